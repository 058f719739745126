//! Messages on ordered byte streams: many on one, or each on a QUIC stream of its own.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use samepath_model::record::Metric;
use samepath_model::units::ByteCount;
use samepath_model::workload::{Message, StreamId, share};
use tokio::task::JoinSet;

use super::order::{next_turn, priority};
use super::release::Queue;
use super::writer::ByteWriter;
use crate::attribution::Place;
use crate::connection::{SendStream, Streams};
use crate::frame::{HEADER_LEN, Header, Kind};
use crate::payload::WARMUP_SEQ;
use crate::session::Shared;
use crate::{TransportError, clock};

/// What a turn of the round-robin carries where messages compete.
const MESSAGE_CHUNK: u64 = 16 << 10;

/// What is handed to the transport at once of the messages that wait: a TLS record's worth.
const MESSAGE_WRITE: u64 = 16 << 10;

/// Chunks of the warm-up that are handed over at once, of at most [`MESSAGE_CHUNK`] each. Few calls make few segments
/// that are not full, each of which the kernel counts for a whole one as it opens the window.
const WARMUP_CHUNKS: usize = 32;

/// Writes the warm-up's share of these streams.
async fn write_warmup(
    shared: &Shared,
    writer: &mut ByteWriter,
    streams: std::ops::Range<StreamId>,
) -> Result<(), TransportError> {
    let (all, n) = (ByteCount::new(shared.plan.warmup()), shared.plan.workload.streams());
    let mut chunks = Vec::new();
    if all > ByteCount::ZERO {
        shared.open_windows(true);
    }
    for stream in streams {
        let total = share(all, n, stream).bytes();
        let mut offset = 0;
        while offset < total {
            let len = (total - offset).min(MESSAGE_CHUNK);
            let header = Header { kind: Kind::Warmup, stream, len: len as u32, seq: WARMUP_SEQ, offset };
            shared.frame(header, writer, &mut chunks);
            offset += len;
            if chunks.len() >= WARMUP_CHUNKS {
                writer.stream.write_all(&mut chunks).await?;
                chunks.clear();
            }
        }
    }
    if !chunks.is_empty() {
        writer.stream.write_all(&mut chunks).await?;
    }
    Ok(())
}

/// Messages of several streams on one ordered byte stream: the streams in the order that is set, each
/// stream in its own. What waits together is handed over together, as a server does that answers several
/// requests at once: one system call, and under TLS records that hold several messages.
pub(super) async fn write_messages(
    shared: Arc<Shared>,
    mut writer: ByteWriter,
    streams: std::ops::Range<StreamId>,
    mut queue: Queue,
) -> Result<(), TransportError> {
    write_warmup(&shared, &mut writer, streams.clone()).await?;
    let order = shared.plan.tuning.order;
    let first = streams.start;
    let mut waiting: Vec<VecDeque<Message>> = streams.map(|_| VecDeque::new()).collect();
    let mut offsets = vec![0u64; waiting.len()];
    // The streams that have something to send, in the order of their turns.
    let mut turns: VecDeque<usize> = VecDeque::new();
    let mut chunks = Vec::new();
    let mut written: Vec<(usize, u64, bool)> = Vec::new();
    loop {
        let released = if turns.is_empty() { queue.recv().await } else { queue.try_recv().ok() };
        if let Some(message) = released {
            let place = usize::from(message.stream - first);
            if waiting[place].is_empty() {
                turns.push_back(place);
            }
            waiting[place].push_back(message);
            continue;
        }
        if turns.is_empty() {
            break;
        }
        let mut left = MESSAGE_WRITE;
        while let Some(place) = next_turn(order, &mut turns) {
            let Some(message) = waiting[place].front().copied() else { continue };
            let size = message.size.map_or(0, ByteCount::bytes);
            let offset = offsets[place];
            let len = (size - offset).min(MESSAGE_CHUNK);
            if !written.is_empty() && HEADER_LEN as u64 + len > left {
                // The first in the next call; in sequence its number alone decides.
                turns.push_front(place);
                break;
            }
            left = left.saturating_sub(HEADER_LEN as u64 + len);
            let (stream, seq) = (message.stream, message.seq);
            let header = Header { kind: Kind::Data, stream, len: len as u32, seq, offset };
            shared.frame(header, &mut writer, &mut chunks);
            let index = shared.plan.index(stream, seq).expect("it is of the schedule");
            let last = offset + len == size;
            written.push((index, len, last));
            if last {
                offsets[place] = 0;
                waiting[place].pop_front();
            } else {
                offsets[place] += len;
            }
            if !waiting[place].is_empty() {
                turns.push_back(place);
            }
        }
        writer.stream.write_all(&mut chunks).await?;
        chunks.clear();
        let at = clock::now();
        let mut log = shared.log();
        for (index, len, last) in written.drain(..) {
            log.wrote(index, len);
            if last {
                log.finished(index, at);
            }
        }
    }
    writer.stream.finish();
    Ok(())
}

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

/// A QUIC stream for each message, opened in the order of release.
pub(super) async fn write_each_on_its_own(
    shared: Arc<Shared>,
    streams: Streams,
    place: Option<Place>,
    mut queue: Queue,
) -> Result<(), TransportError> {
    if shared.plan.warmup() > 0 {
        let stream = streams.open().await?;
        let mut writer = ByteWriter::one_of_many(stream, place.as_ref());
        write_warmup(&shared, &mut writer, 0..shared.plan.workload.streams()).await?;
        writer.stream.finish();
    }
    let mut tasks = JoinSet::new();
    let (mut open, mut released) = (true, 0);
    while open || !tasks.is_empty() {
        tokio::select! {
            biased;
            Some(ended) = tasks.join_next() => {
                let ended: Result<Result<(), TransportError>, _> = ended;
                ended.map_err(std::io::Error::other)??;
            }
            message = queue.recv(), if open => match message {
                None => open = false,
                Some(message) => {
                    let stream = open_stream(&shared, &streams).await?;
                    let turn = priority(shared.plan.tuning.order, released);
                    stream.set_priority(turn)?;
                    released += 1;
                    let mut writer = ByteWriter::one_of_many(stream, place.as_ref());
                    let shared = shared.clone();
                    tasks.spawn(async move {
                        let mut chunks = Vec::new();
                        let size = message.size.map_or(0, ByteCount::bytes);
                        let index = shared.plan.index(message.stream, message.seq).expect("it is of the schedule");
                        let mut offset = 0;
                        while offset < size {
                            let len = (size - offset).min(MESSAGE_CHUNK);
                            let (stream, seq) = (message.stream, message.seq);
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
                    });
                }
            }
        }
    }
    Ok(())
}
