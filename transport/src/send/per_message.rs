//! A QUIC stream for each message, opened in the order of release.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use samepath_model::record::Metric;
use samepath_model::units::ByteCount;
use samepath_model::workload::Release;
use tokio::task::JoinSet;

use super::framing::MESSAGE_CHUNK;
use super::order::{enter, priority};
use super::stream::withdraw;
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

/// Writes a message on a stream of its own.
async fn write_one(shared: Arc<Shared>, mut writer: ByteWriter, message: Release) -> Result<(), TransportError> {
    let mut chunks = Vec::new();
    let size = message.length.bytes().map_or(0, ByteCount::bytes);
    let index = shared.index(message.id);
    let mut offset = 0;
    while offset < size {
        let len = (size - offset).min(MESSAGE_CHUNK);
        let (stream, seq) = (message.id.stream, message.id.seq);
        let header = Header { kind: Kind::Data, stream, len: len as u32, seq, offset };
        shared.frame(header, &mut writer, &mut chunks);
        writer.stream.write_all(&mut chunks).await?;
        chunks.clear();
        offset += len;
        shared.log().wrote(index, len);
    }
    writer.stream.finish();
    shared.log().finished(index, clock::now());
    Ok(())
}

/// The messages that wait for a stream: those of a higher priority first.
#[derive(Debug, Default)]
struct Backlog(VecDeque<Release>);

impl Backlog {
    fn accept(&mut self, shared: &Shared, work: Work) {
        match work {
            Work::Send(release) => enter(&mut self.0, release, |waiting| waiting.priority),
            Work::Cancel(id) => {
                if let Some(at) = self.0.iter().position(|release| release.id == id) {
                    self.0.remove(at);
                    withdraw(shared, id);
                }
            }
        }
    }
}

/// Writes each message on a QUIC stream of its own.
pub(super) async fn write_each_on_its_own(
    shared: Arc<Shared>,
    streams: Streams,
    place: Option<Place>,
    mut queue: Queue,
) -> Result<(), TransportError> {
    warm_up(&shared, &streams, place.as_ref()).await?;
    let mut tasks = JoinSet::new();
    let mut backlog = Backlog::default();
    let (mut open, mut released) = (true, 0);
    while open || !tasks.is_empty() {
        tokio::select! {
            biased;
            Some(ended) = tasks.join_next() => {
                let ended: Result<Result<(), TransportError>, _> = ended;
                ended.map_err(std::io::Error::other)??;
            }
            work = queue.recv(), if open => match work {
                None => open = false,
                Some(work) => {
                    backlog.accept(&shared, work);
                    while let Some(message) = backlog.0.pop_front() {
                        let stream = open_stream(&shared, &streams).await?;
                        let turn = priority(shared.plan.tuning.order, released).saturating_add(message.priority);
                        stream.set_priority(turn)?;
                        released += 1;
                        let writer = ByteWriter::one_of_many(stream, place.as_ref());
                        tasks.spawn(write_one(shared.clone(), writer, message));
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
