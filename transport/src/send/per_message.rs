//! A QUIC stream for each message, opened in the order of release.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use samepath_model::record::Metric;
use samepath_model::units::ByteCount;
use samepath_model::workload::{MessageId, Release, StreamId};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::framing::MESSAGE_CHUNK;
use super::order::{enter, priority};
use super::warmup::warm_up;
use super::writer::ByteWriter;
use crate::attribution::Place;
use crate::connection::{SendStream, Streams};
use crate::frame::{Header, Kind};
use crate::queue::{Queue, Work};
use crate::shared::Shared;
use crate::{TransportError, clock};

/// Opens a stream for a message, and notes how long there was none to be had.
async fn open_stream(shared: &Shared, streams: &Streams) -> Result<SendStream, TransportError> {
    let mut opening = pin!(streams.open());
    match poll_fn(|context| Poll::Ready(opening.as_mut().poll(context))).await {
        Poll::Ready(opened) => opened,
        Poll::Pending => {
            shared.mark(Metric::StreamsBlocked, 1.0);
            let opened = opening.await;
            shared.mark(Metric::StreamsBlocked, 0.0);
            opened
        }
    }
}

/// Writes a message on a stream of its own, unless it is given up. Until the peer has all of it, one that is of use for a
/// time alone can be given up after that, too.
async fn write_one(
    shared: Arc<Shared>,
    mut writer: ByteWriter,
    message: Release,
    mut gives_up: oneshot::Receiver<()>,
) -> Result<Option<Written>, TransportError> {
    tokio::select! {
        biased;
        Ok(()) = &mut gives_up => {
            writer.stream.reset();
            shared.give_up(message.id);
            return Ok(None);
        }
        written = write_message(&shared, &mut writer, &message, None) => written?,
    }
    let stream = writer.stream;
    Ok(message.deadline.is_some().then_some(Written { id: message.id, stream, gives_up }))
}

/// A message that is written, and may yet be given up.
struct Written {
    id: MessageId,
    stream: SendStream,
    gives_up: oneshot::Receiver<()>,
}

impl Written {
    /// Waits until the peer has it, or it is given up.
    async fn linger(mut self, shared: Arc<Shared>) -> MessageId {
        tokio::select! {
            biased;
            Ok(()) = &mut self.gives_up => {
                if self.stream.reset() {
                    shared.give_up(self.id);
                }
            }
            () = self.stream.acknowledged() => {}
        }
        self.id
    }
}

/// Writes a whole message, behind what is to go first.
pub(crate) async fn write_message(
    shared: &Shared,
    writer: &mut ByteWriter,
    message: &Release,
    first: Option<Bytes>,
) -> Result<(), TransportError> {
    let mut chunks = Vec::from_iter(first);
    let size = message.length.bytes().map_or(0, ByteCount::bytes);
    let index = shared.index(message.id);
    let mut offset = 0;
    while offset < size {
        let len = (size - offset).min(MESSAGE_CHUNK);
        let (stream, seq) = (message.id.stream, message.id.seq);
        let header = Header { kind: Kind::Data, stream, len: len as u32, seq, offset };
        shared.frame(header, writer, &mut chunks);
        writer.stream.write_all(&mut chunks).await?;
        chunks.clear();
        offset += len;
        {
            let mut log = shared.log();
            log.wrote(index, len);
            log.writes += 1;
        }
    }
    writer.stream.finish();
    shared.log().finished(index, clock::now());
    Ok(())
}

/// The messages that wait for a stream, those of a higher priority first; and by what those that have one are given up.
#[derive(Debug, Default)]
struct Backlog {
    waiting: VecDeque<Release>,
    begun: HashMap<MessageId, oneshot::Sender<()>>,
}

impl Backlog {
    fn accept(&mut self, shared: &Shared, work: Work) {
        match work {
            Work::Send(release) => enter(&mut self.waiting, release, |waiting| waiting.priority),
            Work::Cancel(id) => {
                if let Some(at) = self.waiting.iter().position(|release| release.id == id) {
                    self.waiting.remove(at);
                    shared.withdraw(id);
                } else if let Some(gives_up) = self.begun.remove(&id) {
                    // It fails only where the peer has it by now.
                    let _ = gives_up.send(());
                }
            }
        }
    }
}

/// Writes each message on a QUIC stream of its own, after the warm-up of the streams that the connection carries.
pub(super) async fn write_each_on_its_own(
    shared: Arc<Shared>,
    streams: Streams,
    carried: Range<StreamId>,
    place: Option<Place>,
    mut queue: Queue,
) -> Result<(), TransportError> {
    warm_up(&shared, &streams, carried, place.as_ref()).await?;
    let (mut tasks, mut lingering) = (JoinSet::new(), JoinSet::new());
    let mut backlog = Backlog::default();
    let (mut open, mut released) = (true, 0);
    while open || !tasks.is_empty() {
        tokio::select! {
            biased;
            Some(ended) = tasks.join_next() => {
                let (id, written) = ended.map_err(std::io::Error::other)?;
                match written? {
                    Some(written) => {
                        let written: Written = written;
                        lingering.spawn(written.linger(shared.clone()));
                    }
                    None => {
                        backlog.begun.remove(&id);
                    }
                }
            }
            Some(ended) = lingering.join_next() => {
                backlog.begun.remove(&ended.map_err(std::io::Error::other)?);
            }
            work = queue.recv(), if open => match work {
                None => open = false,
                Some(work) => {
                    backlog.accept(&shared, work);
                    while let Some(message) = backlog.waiting.pop_front() {
                        let stream = open_stream(&shared, &streams).await?;
                        let turn = priority(shared.plan.tuning.order, released).saturating_add(message.priority);
                        stream.set_priority(turn)?;
                        released += 1;
                        let writer = ByteWriter::one_of_many(stream, place.as_ref());
                        let (gives_up, given_up) = oneshot::channel();
                        backlog.begun.insert(message.id, gives_up);
                        let writing = write_one(shared.clone(), writer, message, given_up);
                        tasks.spawn(async move { (message.id, writing.await) });
                        // What was released while it waited for a stream.
                        while let Ok(work) = queue.try_recv() {
                            backlog.accept(&shared, work);
                        }
                    }
                }
            }
        }
    }
    Ok(())
}
