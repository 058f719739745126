//! What writes an ordered byte stream: the messages of one logical stream or of several, of either class.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use samepath_model::arm::OrderingDomain;
use samepath_model::workload::{Class, StreamId};
use tokio::sync::mpsc::error::TryRecvError;

use super::messages::Waiting;
use super::transfers::Transfers;
use super::warmup::write_warmup;
use super::writer::ByteWriter;
use crate::TransportError;
use crate::queue::{Queue, Work};
use crate::shared::Shared;

/// The writer of an ordered byte stream.
#[derive(Debug)]
pub(super) struct StreamWriter {
    shared: Arc<Shared>,
    writer: ByteWriter,
    streams: Range<StreamId>,
    /// Precedence of the stream without that of its messages.
    base: i32,
    queue: Queue,
    /// Messages of its streams that were not released yet.
    left: u64,
    waiting: Waiting,
    transfers: Transfers,
    /// What is handed over next; kept for its memory.
    chunks: Vec<Bytes>,
}

impl StreamWriter {
    /// The writer of these logical streams' messages, which come through `queue`.
    pub(super) fn new(
        shared: &Arc<Shared>,
        writer: ByteWriter,
        streams: Range<StreamId>,
        base: i32,
        queue: Queue,
    ) -> StreamWriter {
        let order = shared.plan.tuning.order;
        let has = |class| streams.clone().any(|stream| shared.outgoing.class(stream) == Some(class));
        let is_shared = has(Class::Latency) && has(Class::Throughput);
        StreamWriter {
            shared: shared.clone(),
            writer,
            left: streams.clone().map(|stream| u64::from(shared.outgoing.per_stream(stream))).sum(),
            waiting: Waiting::new(order, streams.clone()),
            transfers: Transfers::new(order, is_shared),
            streams,
            base,
            queue,
            chunks: Vec::new(),
        }
    }

    /// Writes the warm-up, and then whatever is released, until no more is.
    pub(super) async fn run(mut self) -> Result<(), TransportError> {
        // Where messages have streams of their own, the warm-up has one, too.
        if self.shared.plan.arm.ordering != OrderingDomain::Message {
            write_warmup(&self.shared, &mut self.writer, self.streams.clone()).await?;
        }
        let mut is_open = true;
        loop {
            let is_idle = self.waiting.is_empty() && self.transfers.is_empty();
            if is_idle && (self.left == 0 || !is_open) {
                break;
            }
            let work = match is_idle {
                true => self.queue.recv().await.ok_or(TryRecvError::Disconnected),
                false if is_open => self.queue.try_recv(),
                false => Err(TryRecvError::Empty),
            };
            match work {
                Ok(work) => {
                    self.accept(work)?;
                    continue;
                }
                Err(TryRecvError::Disconnected) => is_open = false,
                Err(TryRecvError::Empty) => {}
            }
            self.waiting.write(&self.shared, &mut self.writer, &mut self.chunks).await?;
            self.transfers.write(&self.shared, &mut self.writer, &mut self.chunks).await?;
        }
        self.writer.stream.finish();
        Ok(())
    }

    fn accept(&mut self, work: Work) -> Result<(), TransportError> {
        match work {
            Work::Send(release) => {
                self.left -= 1;
                if release.priority != 0 {
                    // It holds for what follows, too: a byte stream has one.
                    self.writer.stream.set_priority(self.base.saturating_add(release.priority))?;
                }
                match self.shared.outgoing.class(release.id.stream) {
                    Some(Class::Throughput) => self.transfers.push(&self.shared, release),
                    _ => self.waiting.push(release),
                }
            }
            Work::Cancel(id) => {
                if self.waiting.cancel(id) || self.transfers.cancel(id) {
                    self.shared.withdraw(id);
                }
            }
        }
        Ok(())
    }
}

/// Writes byte streams in sequence: one is begun when all of the one before it is written, so that the window they
/// share is not filled by those whose turn it is not.
pub(super) async fn write_one_after_the_other(writers: Vec<StreamWriter>) -> Result<(), TransportError> {
    for writer in writers {
        writer.run().await?;
    }
    Ok(())
}
