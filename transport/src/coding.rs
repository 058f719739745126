//! Content codings at work: what this end sends compressed, and what it receives so.
//!
//! A response is compressed whole when the driver has released it, and then handed to what writes it; it is decompressed
//! whole when its last byte was read, compared, and then delivered. Both are done by threads beside the runtime's, as
//! many at a time as the machine has processors, so that neither holds up what else arrives. So their time is within the
//! delay of a message, and their CPU time is measured by the threads' own clocks.

use std::io;
use std::sync::Arc;

use samepath_model::units::ByteCount;
use samepath_model::workload::{Coding, Length, MessageId, Release};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::compressed::Arrived;
use crate::payload::Payload;
use crate::queue::Queues;
use crate::shared::Shared;
use crate::{TransportError, clock, codec};

/// How many threads work at a time.
fn most() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Compresses what is released of such messages, and hands each to what writes it.
pub(crate) async fn compress_each(
    shared: Arc<Shared>,
    mut released: UnboundedReceiver<Release>,
    queues: Queues,
) -> Result<(), TransportError> {
    let (mut tasks, most, mut is_open) = (JoinSet::new(), most(), true);
    loop {
        tokio::select! {
            biased;
            Some(ended) = tasks.join_next() => {
                let ended: io::Result<(Release, Vec<u8>, u64)> = ended.map_err(io::Error::other)?;
                let (release, coded, cpu_ns) = ended?;
                let length = ByteCount::new(coded.len() as u64);
                let content = release.length.bytes().unwrap_or_default();
                shared.log().compressed(shared.index(release.id), content, length, cpu_ns);
                shared.compressed.insert(release.id, coded.into());
                queues.send(Release { length: Length::Bytes(length), ..release });
            }
            work = released.recv(), if is_open && tasks.len() < most => match work {
                Some(release) => {
                    let shared = shared.clone();
                    tasks.spawn_blocking(move || compress(&shared, release));
                }
                None => is_open = false,
            },
            else => return Ok(()),
        }
    }
}

fn compress(shared: &Shared, release: Release) -> io::Result<(Release, Vec<u8>, u64)> {
    let MessageId { stream, seq, .. } = release.id;
    let coding = coding(shared.outgoing.content(stream, seq).coding())?;
    let content = shared.payload.whole(stream, seq, release.length.bytes().map_or(0, ByteCount::bytes) as usize);
    let (coded, cpu_ns) = codec::timed(|| codec::compress(coding, &content))?;
    Ok((release, coded?, cpu_ns))
}

/// Decompresses what arrives of such messages, compares it, and delivers it.
pub(crate) async fn decompress_each(
    shared: Arc<Shared>,
    mut arrived: UnboundedReceiver<Arrived>,
) -> Result<(), TransportError> {
    let incoming = Arc::new(shared.plan.table(shared.end.outgoing().opposite()));
    let payload = Arc::new(Payload::new(shared.plan.seed, &incoming));
    let (mut tasks, most, mut is_open) = (JoinSet::new(), most(), true);
    loop {
        tokio::select! {
            biased;
            Some(ended) = tasks.join_next() => {
                let ended: Result<(Arrived, u64), TransportError> = ended.map_err(io::Error::other)?;
                let (arrived, cpu_ns) = ended?;
                let now = clock::now();
                shared.enter(now, |sink| {
                    sink.decompressed(&arrived, cpu_ns, now);
                    Ok(())
                })?;
            }
            work = arrived.recv(), if is_open && tasks.len() < most => match work {
                Some(arrived) => {
                    let (incoming, payload) = (incoming.clone(), payload.clone());
                    tasks.spawn_blocking(move || {
                        let content = incoming.content(arrived.stream, arrived.seq);
                        let coding = coding(content.coding())?;
                        let cpu_ns = decompress(&payload, coding, &arrived)?;
                        Ok((arrived, cpu_ns))
                    });
                }
                None => is_open = false,
            },
            else => return Ok(()),
        }
    }
}

/// Decompresses a message and compares every byte of its content; the CPU time of the first.
fn decompress(payload: &Payload, coding: Coding, arrived: &Arrived) -> Result<u64, TransportError> {
    let Arrived { stream, seq, content, coded } = arrived;
    let (decompressed, cpu_ns) = codec::timed(|| codec::decompress(coding.codec, coded, *content as usize))?;
    let decompressed = decompressed.map_err(|cause| TransportError::Undecodable {
        coding: coding.codec,
        stream: *stream,
        seq: *seq,
        cause,
    })?;
    match payload.mismatch(*stream, *seq, 0, &decompressed) {
        None => Ok(cpu_ns),
        Some(offset) => Err(TransportError::Mismatch { stream: *stream, seq: *seq, offset }),
    }
}

fn coding(coding: Option<Coding>) -> io::Result<Coding> {
    coding.ok_or_else(|| io::Error::other("a message that has no coding"))
}
