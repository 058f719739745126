//! Warm-up: bytes that only open the congestion window, before the schedule starts.

use std::ops::Range;

use samepath_model::units::ByteCount;
use samepath_model::workload::{StreamId, share};

use super::framing::MESSAGE_CHUNK;
use super::writer::ByteWriter;
use crate::TransportError;
use crate::attribution::Place;
use crate::connection::Streams;
use crate::frame::{Header, Kind};
use crate::payload::WARMUP_SEQ;
use crate::shared::Shared;

/// Chunks of the warm-up that are handed over at once, of at most [`MESSAGE_CHUNK`] each. Few calls make few segments
/// that are not full, each of which the kernel counts for a whole one as it opens the window.
const WARMUP_CHUNKS: usize = 32;

/// Writes the warm-up's share of the streams that a connection carries, where there is one, on a stream of its own.
pub(super) async fn warm_up(
    shared: &Shared,
    streams: &Streams,
    carried: Range<StreamId>,
    place: Option<&Place>,
) -> Result<(), TransportError> {
    if shared.plan.warmup() > 0 {
        let mut writer = ByteWriter::one_of_many(streams.open().await?, place);
        write_warmup(shared, &mut writer, carried).await?;
        writer.stream.finish();
    }
    Ok(())
}

/// Writes the warm-up's share of these streams.
pub(super) async fn write_warmup(
    shared: &Shared,
    writer: &mut ByteWriter,
    streams: Range<StreamId>,
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
