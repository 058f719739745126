//! The sender's books: what was handed over, when, and where it lies in what its transport orders.

use std::collections::HashMap;

use samepath_model::attribution::{LayoutRecord, ObservationRecord};
use serde::{Deserialize, Serialize};

use crate::attribution;
use crate::plan::Plan;
use crate::tls::Tap;

/// What the sender noted of each message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// When the last byte of each message was handed over, in the order of [`Plan::index`];
    /// 0 where it was not.
    pub at: Vec<u64>,
    /// Bytes of each message that were handed over.
    pub bytes: Vec<u64>,
}

/// The sender's books.
#[derive(Debug, Default)]
pub(crate) struct SendLog {
    pub(crate) sent: Sent,
    bytes: u64,
    pub(crate) datagrams: u64,
    /// Where the messages lie; under TLS in the plaintext.
    pub(crate) layout: Vec<LayoutRecord>,
    pub(crate) observations: Vec<ObservationRecord>,
}

impl SendLog {
    pub(crate) fn new(plan: &Plan) -> SendLog {
        let n = plan.message_count();
        SendLog { sent: Sent { at: vec![0; n], bytes: vec![0; n] }, ..SendLog::default() }
    }

    pub(crate) fn wrote(&mut self, index: usize, bytes: u64) {
        self.sent.bytes[index] += bytes;
        self.bytes += bytes;
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
