//! The sender's records: what was handed over, when, and where it lies in what its transport orders.

use std::collections::HashMap;

use samepath_model::attribution::{LayoutRecord, ObservationRecord};
use samepath_model::record::CoderReport;
use samepath_model::units::{ByteCount, Duration};
use samepath_model::workload::{MessageId, Release, StreamId, Table};
use serde::{Deserialize, Serialize};

use crate::attribution;
use crate::tls::Tap;

/// What the sender noted of each message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// The messages that were released, in order.
    pub released: Vec<Released>,
    /// When the last byte of each message was handed over, by its place in the table; 0 where it was not.
    pub at: Vec<u64>,
    /// Bytes of each message that were handed over, likewise.
    pub bytes: Vec<u64>,
    /// When messages were withdrawn before any of them was sent, by their place in the table.
    pub cancelled: Vec<(usize, u64)>,
    /// The messages that were compressed: their place in the table, the bytes that they became, and the nanoseconds of CPU
    /// time that it took.
    pub compressed: Vec<(usize, u64, u64)>,
}

/// A message that was released. Times are nanoseconds from the start of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// Its stream.
    pub stream: StreamId,
    /// Its number in the stream.
    pub seq: u32,
    /// When it was meant to be released.
    pub at: u64,
    /// The message whose delivery released it; `None` for the clock.
    pub by: Option<MessageId>,
    /// Until when it was of use.
    pub deadline: Option<u64>,
    /// Which attempt it was, from 1.
    pub attempt: u32,
}

impl From<&Release> for Released {
    fn from(release: &Release) -> Released {
        let Release { id, at, by, deadline, attempt, .. } = *release;
        let deadline = deadline.map(Duration::as_nanos);
        Released { stream: id.stream, seq: id.seq, at: at.as_nanos(), by, deadline, attempt }
    }
}

/// The sender's records.
#[derive(Debug, Default)]
pub(crate) struct SendLog {
    pub(crate) sent: Sent,
    bytes: u64,
    /// All that was compressed; `None` where nothing is.
    pub(crate) compression: Option<CoderReport>,
    pub(crate) datagrams: u64,
    /// Calls in which payload was written.
    pub(crate) writes: u64,
    /// Where the messages lie; under TLS in the plaintext.
    pub(crate) layout: Vec<LayoutRecord>,
    pub(crate) observations: Vec<ObservationRecord>,
}

impl SendLog {
    pub(crate) fn new(table: &Table) -> SendLog {
        let n = table.len();
        let sent = Sent { released: Vec::with_capacity(n), at: vec![0; n], bytes: vec![0; n], ..Sent::default() };
        let compression = table.has_compressed().then(CoderReport::default);
        SendLog { sent, compression, ..SendLog::default() }
    }

    pub(crate) fn released(&mut self, release: &Release) {
        self.sent.released.push(Released::from(release));
    }

    pub(crate) fn cancelled(&mut self, index: usize, at: u64) {
        self.sent.cancelled.push((index, at));
    }

    /// Notes that a message's content was compressed to so many bytes, and the CPU time that it took.
    pub(crate) fn compressed(&mut self, index: usize, content: ByteCount, coded: ByteCount, cpu_ns: u64) {
        self.sent.compressed.push((index, coded.bytes(), cpu_ns));
        let all = self.compression.unwrap_or_default();
        self.compression = Some(all.and(content.bytes(), coded.bytes(), cpu_ns));
    }

    pub(crate) fn wrote(&mut self, index: usize, bytes: u64) {
        self.sent.bytes[index] += bytes;
        self.bytes += bytes;
    }

    /// Notes what was handed over in one call at `at`: of each message its place, how many bytes, and whether they are
    /// its last.
    pub(crate) fn wrote_together(&mut self, written: impl Iterator<Item = (usize, u64, bool)>, at: u64) {
        self.writes += 1;
        for (index, bytes, is_last) in written {
            self.wrote(index, bytes);
            if is_last {
                self.finished(index, at);
            }
        }
    }

    pub(crate) fn finished(&mut self, index: usize, at: u64) {
        self.sent.at[index] = at;
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) const fn datagrams(&self) -> u64 {
        self.datagrams
    }

    /// Where the messages lie in what was written to the sockets; `taps` are those of TLS.
    pub(crate) fn layout(&mut self, taps: Vec<(u16, Tap)>) -> Vec<LayoutRecord> {
        let layout = std::mem::take(&mut self.layout);
        if taps.is_empty() {
            return layout;
        }
        let mut by_port: HashMap<u16, Vec<LayoutRecord>> = HashMap::new();
        for run in layout {
            by_port.entry(run.port).or_default().push(run);
        }
        let of = |port: u16| by_port.get(&port).map_or(&[][..], Vec::as_slice);
        taps.iter().flat_map(|(port, tap)| attribution::seal(of(*port), &tap.take())).collect()
    }

    /// What the sender of datagrams saw in them.
    pub(crate) fn take_observations(&mut self) -> Vec<ObservationRecord> {
        std::mem::take(&mut self.observations)
    }

    pub(crate) fn into_report(self) -> Sent {
        self.sent
    }
}
