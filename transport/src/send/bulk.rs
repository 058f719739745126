//! Bulk transfers on ordered byte streams: as much as the transport takes, until the bytes or the time are over.

use std::collections::VecDeque;
use std::sync::Arc;

use samepath_model::Order;
use samepath_model::units::ByteCount;
use samepath_model::workload::{Message, StreamId, Workload};

use super::order::again;
use super::writer::ByteWriter;
use crate::frame::{Header, Kind, MAX_PAYLOAD};
use crate::session::Shared;
use crate::{TransportError, clock};

/// What a turn of the round-robin carries where bulk transfers compete.
const BULK_CHUNK: u64 = 64 << 10;

/// Frames handed over together where they are that short, so that a system call is worth its while.
const BULK_FRAMES: usize = 4;

/// Payload of the first frame of a bulk transfer, which is handed over by itself, whatever the
/// transport. A TLS record cannot be read before its last byte, and a full one of 16 KiB does not
/// fit the initial window: the first byte would wait a round trip for the record's end.
const FIRST_FRAME: u64 = 1024;

/// When a bulk transfer bounded by time is over; `None` for one bounded by bytes.
pub(super) struct Deadline<'a> {
    shared: &'a Shared,
    duration: Option<u64>,
    /// Stands in for the epoch until that is known.
    began: u64,
}

impl<'a> Deadline<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        let duration = match &shared.plan.workload {
            Workload::Bulk(bulk) => bulk.duration.map(|d| d.as_nanos()),
            Workload::Messages(_) => None,
        };
        Deadline { shared, duration, began: clock::now() }
    }

    pub(super) fn is_over(&self) -> bool {
        self.duration.is_some_and(|d| clock::now() >= self.shared.epoch.borrow().unwrap_or(self.began) + d)
    }
}

/// One large message a stream, each on a QUIC stream of its own: a stream is begun when all of the one
/// before it is written, so that the window they share is not filled by those whose turn it is not.
pub(super) async fn write_one_after_the_other(
    shared: Arc<Shared>,
    writers: Vec<(ByteWriter, std::ops::Range<StreamId>)>,
) -> Result<(), TransportError> {
    for (writer, streams) in writers {
        write_bulk(shared.clone(), writer, streams).await?;
    }
    Ok(())
}

/// One large message a stream on one ordered byte stream, in the order that is set.
pub(super) async fn write_bulk(
    shared: Arc<Shared>,
    mut writer: ByteWriter,
    streams: std::ops::Range<StreamId>,
) -> Result<(), TransportError> {
    let deadline = Deadline::new(&shared);
    let schedule: Vec<Message> = shared.plan.workload.schedule().collect();
    // Stream, size, and how much of it is written.
    let mut turns: VecDeque<(StreamId, Option<u64>, u64)> =
        streams.map(|stream| (stream, schedule[usize::from(stream)].size.map(ByteCount::bytes), 0)).collect();
    let mut chunks = Vec::new();
    let mut written: Vec<(StreamId, u64, bool)> = Vec::new();
    let mut is_first = true;
    let send_window = shared.plan.send_window();
    while !turns.is_empty() {
        let over = deadline.is_over();
        let order = shared.plan.tuning.order;
        let (frames, most) = match turns.len() {
            _ if is_first => (1, FIRST_FRAME),
            _ if order == Order::Sequential && !over => (1, MAX_PAYLOAD as u64),
            1 => (1, MAX_PAYLOAD as u64),
            _ => (BULK_FRAMES, BULK_CHUNK),
        };
        let most = most.min(writer.stream.bound_backlog(send_window, shared.plan.rate.is_some()));
        is_first = false;
        while written.len() < frames {
            let Some((stream, size, offset)) = turns.pop_front() else { break };
            if over {
                let header = Header { kind: Kind::End, stream, len: 0, seq: 0, offset };
                shared.frame(header, &mut writer, &mut chunks);
                written.push((stream, 0, true));
                continue;
            }
            let len = size.map_or(most, |size| (size - offset).min(most));
            let header = Header { kind: Kind::Data, stream, len: len as u32, seq: 0, offset };
            shared.frame(header, &mut writer, &mut chunks);
            let last = size == Some(offset + len);
            written.push((stream, len, last));
            if !last {
                again(order, &mut turns, (stream, size, offset + len));
            }
        }
        {
            // Streams of one QUIC connection share its send window, which quinn gives to whoever
            // asks first; in turns, each gets its share.
            let _turn = if writer.stream.shares_window() { Some(shared.turn.lock().await) } else { None };
            writer.stream.write_all(&mut chunks).await?;
        }
        chunks.clear();
        let at = clock::now();
        let mut log = shared.log();
        for (stream, len, last) in written.drain(..) {
            log.wrote(usize::from(stream), len);
            if last {
                log.finished(usize::from(stream), at);
            }
        }
    }
    writer.stream.finish();
    Ok(())
}
