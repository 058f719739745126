//! Messages written for throughput on an ordered byte stream: as much as the transport takes, in turns, until their
//! bytes or their time are over.

use std::collections::VecDeque;

use bytes::Bytes;
use samepath_model::Order;
use samepath_model::units::ByteCount;
use samepath_model::workload::{Length, MessageId, Release};

use super::framing::MESSAGE_CHUNK;
use super::order::again;
use super::writer::ByteWriter;
use crate::frame::{Header, Kind, MAX_PAYLOAD};
use crate::shared::Shared;
use crate::{TransportError, clock};

/// What a turn of the round-robin carries where transfers compete.
const TRANSFER_CHUNK: u64 = 64 << 10;

/// Frames handed over together where they are that short, so that a system call is worth its while.
const TRANSFER_FRAMES: usize = 4;

/// Payload of the first frame of a transfer, which is handed over by itself, whatever the
/// transport. A TLS record cannot be read before its last byte, and a full one of 16 KiB does not
/// fit the initial window: the first byte would wait a round trip for the record's end.
const FIRST_FRAME: u64 = 1024;

/// A large message, and how much of it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer {
    pub(super) id: MessageId,
    /// Its place in the table.
    pub(super) index: usize,
    pub(super) size: Option<u64>,
    /// When it ends, by the clock, where it has no size.
    pub(super) until: Option<u64>,
    pub(super) offset: u64,
}

impl Transfer {
    /// A message that was just released.
    pub(super) fn new(shared: &Shared, release: &Release) -> Transfer {
        let until = match release.length {
            Length::Bytes(_) => None,
            Length::Until(end) => Some(shared.epoch.borrow().unwrap_or_default() + end.as_nanos()),
        };
        let size = release.length.bytes().map(ByteCount::bytes);
        Transfer { id: release.id, index: shared.index(release.id), size, until, offset: 0 }
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self) -> bool {
        self.until.is_some_and(|end| clock::now() >= end)
    }
}

/// The transfers under way, in the order of their turns.
#[derive(Debug)]
pub(super) struct Transfers {
    order: Order,
    /// Whether messages that are written for latency share the stream: then none waits behind a long frame, as in HTTP/2
    /// (RFC 9113, section 4.2).
    is_shared: bool,
    turns: VecDeque<Transfer>,
    /// Whether nothing was written yet.
    is_first: bool,
    written: Vec<(usize, u64, bool)>,
}

impl Transfers {
    pub(super) const fn new(order: Order, is_shared: bool) -> Transfers {
        Transfers { order, is_shared, turns: VecDeque::new(), is_first: true, written: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    pub(super) fn push(&mut self, shared: &Shared, release: Release) {
        self.turns.push_back(Transfer::new(shared, &release));
    }

    /// Takes a message away of which nothing is written; whether it was there.
    pub(super) fn cancel(&mut self, id: MessageId) -> bool {
        let at = self.turns.iter().position(|transfer| transfer.id == id && transfer.offset == 0);
        at.and_then(|at| self.turns.remove(at)).is_some()
    }

    /// Writes the next turns.
    pub(super) async fn write(
        &mut self,
        shared: &Shared,
        writer: &mut ByteWriter,
        chunks: &mut Vec<Bytes>,
    ) -> Result<(), TransportError> {
        // Those that are bounded by time end together, or nearly so.
        let Some(over) = self.turns.front().map(Transfer::is_over) else { return Ok(()) };
        let order = self.order;
        let (frames, most) = match self.turns.len() {
            _ if self.is_first => (1, FIRST_FRAME),
            _ if self.is_shared => (1, MESSAGE_CHUNK),
            _ if order == Order::Sequential && !over => (1, MAX_PAYLOAD as u64),
            1 => (1, MAX_PAYLOAD as u64),
            _ => (TRANSFER_FRAMES, TRANSFER_CHUNK),
        };
        let unsent = shared.plan.tuning.notsent_lowat.filter(|_| self.is_shared).map(ByteCount::bytes);
        let plan = &shared.plan;
        let most = most.min(writer.stream.bound_backlog(plan.send_window(), plan.rate.is_some(), unsent));
        self.is_first = false;
        while self.written.len() < frames {
            let Some(transfer) = self.turns.pop_front() else { break };
            let Transfer { id: MessageId { stream, seq, .. }, index, size, offset, .. } = transfer;
            if over && size.is_none() {
                let header = Header { kind: Kind::End, stream, len: 0, seq, offset };
                shared.frame(header, writer, chunks);
                self.written.push((index, 0, true));
                continue;
            }
            let len = size.map_or(most, |size| (size - offset).min(most));
            let header = Header { kind: Kind::Data, stream, len: len as u32, seq, offset };
            shared.frame(header, writer, chunks);
            let last = size == Some(offset + len);
            self.written.push((index, len, last));
            if !last {
                again(order, &mut self.turns, Transfer { offset: offset + len, ..transfer });
            }
        }
        {
            // Streams of one QUIC connection share its send window, which quinn gives to whoever
            // asks first; in turns, each gets its share.
            let _turn = if writer.stream.shares_window() { Some(shared.turn.lock().await) } else { None };
            writer.stream.write_all(chunks).await?;
        }
        chunks.clear();
        let at = clock::now();
        shared.log().wrote_together(self.written.drain(..), at);
        Ok(())
    }
}
