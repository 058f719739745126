//! Messages written for latency on an ordered byte stream: what waits together is handed over together, as a server
//! does that answers several requests at once: one system call, and under TLS records that hold several messages.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use samepath_model::Order;
use samepath_model::units::ByteCount;
use samepath_model::workload::{MessageId, Release, StreamId};

use super::framing::MESSAGE_CHUNK;
use super::order::Turns;
use super::writer::ByteWriter;
use crate::frame::{HEADER_LEN, Header, Kind};
use crate::shared::Shared;
use crate::{TransportError, clock};

/// What is handed to the transport at once of the messages that wait: a TLS record's worth.
const MESSAGE_WRITE: u64 = 16 << 10;

/// The messages that wait: the streams in the order that is set, each stream in its own.
#[derive(Debug)]
pub(super) struct Waiting {
    order: Order,
    first: StreamId,
    of_stream: Vec<VecDeque<Release>>,
    /// How much of each stream's first message is written.
    offsets: Vec<u64>,
    turns: Turns,
    written: Vec<(usize, u64, bool)>,
}

impl Waiting {
    pub(super) fn new(order: Order, streams: Range<StreamId>) -> Waiting {
        let n = streams.len();
        Waiting {
            order,
            first: streams.start,
            of_stream: vec![VecDeque::new(); n],
            offsets: vec![0; n],
            turns: Turns::default(),
            written: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    pub(super) fn push(&mut self, release: Release) {
        let place = usize::from(release.id.stream - self.first);
        if self.of_stream[place].is_empty() {
            self.turns.enter(place, release.priority);
        }
        self.of_stream[place].push_back(release);
    }

    /// Takes a message away of which nothing is written; whether it was there.
    pub(super) fn cancel(&mut self, id: MessageId) -> bool {
        let place = usize::from(id.stream - self.first);
        let queue = &mut self.of_stream[place];
        let Some(at) = queue.iter().position(|release| release.id == id) else { return false };
        if at == 0 && self.offsets[place] > 0 {
            return false;
        }
        queue.remove(at);
        if queue.is_empty() {
            self.turns.leave(place);
        }
        true
    }

    /// Writes what fits one call.
    pub(super) async fn write(
        &mut self,
        shared: &Shared,
        writer: &mut ByteWriter,
        chunks: &mut Vec<Bytes>,
    ) -> Result<(), TransportError> {
        let mut left = MESSAGE_WRITE;
        while let Some((place, priority)) = self.turns.next(self.order) {
            let Some(message) = self.of_stream[place].front().copied() else { continue };
            let size = message.length.bytes().map_or(0, ByteCount::bytes);
            let offset = self.offsets[place];
            let len = (size - offset).min(MESSAGE_CHUNK);
            if !self.written.is_empty() && HEADER_LEN as u64 + len > left {
                // The first in the next call; in sequence its number alone decides.
                self.turns.put_back(place, priority);
                break;
            }
            left = left.saturating_sub(HEADER_LEN as u64 + len);
            let MessageId { stream, seq, .. } = message.id;
            let header = Header { kind: Kind::Data, stream, len: len as u32, seq, offset };
            shared.frame(header, writer, chunks);
            let last = offset + len == size;
            self.written.push((shared.index(message.id), len, last));
            if last {
                self.offsets[place] = 0;
                self.of_stream[place].pop_front();
            } else {
                self.offsets[place] += len;
            }
            if let Some(next) = self.of_stream[place].front() {
                self.turns.enter(place, next.priority);
            }
        }
        if self.written.is_empty() {
            return Ok(());
        }
        writer.stream.write_all(chunks).await?;
        chunks.clear();
        let at = clock::now();
        shared.log().wrote_together(self.written.drain(..), at);
        Ok(())
    }
}
