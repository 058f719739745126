//! Figures of responses that are compressed on their way: how much smaller they become, and the CPU time that it takes.
//!
//! They are there where the workload says what is done, `none` included: what is not compressed has a ratio of 1 and takes
//! no time.

use std::ops::Range;

use samepath_model::link::Direction;
use samepath_model::record::MessageRecord;
use samepath_model::workload::{Rpc, StreamId};

use super::definition::{Better, Metric, PLAIN, Unit, of_workload};

/// The metrics of compression.
pub(crate) const METRICS: &[&Metric] =
    &[&CONTENT, &COMPRESSED, &RATIO, &COMPRESSION_CPU, &DECOMPRESSION_CPU, &CPU_IN_ALL];

/// Bytes of the responses that were delivered, before they were compressed.
pub(crate) const CONTENT: Metric = Metric {
    name: "content_bytes",
    label: "content",
    unit: Unit::Bytes,
    of: |t| of_workload(t, CONTENT.name),
    ..PLAIN
};

/// Bytes of the same as they crossed the wire.
pub(crate) const COMPRESSED: Metric = Metric {
    name: "compressed_bytes",
    label: "compressed",
    unit: Unit::Bytes,
    better: Some(Better::Lower),
    of: |t| of_workload(t, COMPRESSED.name),
    changes: ("fewer", "more"),
    ..PLAIN
};

/// Bytes of content for each byte that crossed the wire.
pub(crate) const RATIO: Metric = Metric {
    name: "compression_ratio",
    label: "content for each byte sent",
    unit: Unit::BytesPerByte,
    better: Some(Better::Higher),
    of: |t| of_workload(t, RATIO.name),
    head: Some("ratio\nB/B"),
    changes: ("more", "less"),
    ..PLAIN
};

const CPU: Metric = Metric { unit: Unit::Millis, better: Some(Better::Lower), changes: ("less", "more"), ..PLAIN };

/// CPU time in which the server compressed a response, in the mean.
pub(crate) const COMPRESSION_CPU: Metric = Metric {
    name: "compression_cpu_ms",
    label: "CPU to compress a response",
    of: |t| of_workload(t, COMPRESSION_CPU.name),
    head: Some("compress\nCPU ms"),
    ..CPU
};

/// CPU time in which the client decompressed a response, in the mean.
pub(crate) const DECOMPRESSION_CPU: Metric = Metric {
    name: "decompression_cpu_ms",
    label: "CPU to decompress a response",
    of: |t| of_workload(t, DECOMPRESSION_CPU.name),
    head: Some("decompress\nCPU ms"),
    ..CPU
};

/// Both, of all responses together.
pub(crate) const CPU_IN_ALL: Metric = Metric {
    name: "compression_cpu_in_all_ms",
    label: "CPU of both for all responses",
    of: |t| of_workload(t, CPU_IN_ALL.name),
    head: Some("both in\nall ms"),
    ..CPU
};

/// The figures of the responses on these streams; none where nothing is said of compression.
pub(super) fn figures(rpc: &Rpc, streams: Range<StreamId>, messages: &[MessageRecord]) -> Vec<(&'static Metric, f64)> {
    let is_response = |message: &&MessageRecord| {
        streams.contains(&message.stream)
            && message.direction == Direction::Down
            && message.seq < rpc.requests_of_stream()
            && message.delivered.is_some()
    };
    let responses: Vec<&MessageRecord> =
        messages.iter().filter(is_response).filter(|_| rpc.compression.is_some()).collect();
    if responses.is_empty() {
        return Vec::new();
    }
    let sum = |of: fn(&MessageRecord) -> u64| responses.iter().map(|&message| of(message)).sum::<u64>() as f64;
    let content = sum(|message| message.coded.map_or(message.size, |coded| coded.content));
    let compressed = sum(|message| message.size);
    let there = sum(|message| message.coded.map_or(0, |coded| coded.compression_cpu_ns)) / 1e6;
    let here = sum(|message| message.coded.and_then(|coded| coded.decompression_cpu_ns).unwrap_or(0)) / 1e6;
    let n = responses.len() as f64;
    vec![
        (&CONTENT, content),
        (&COMPRESSED, compressed),
        (&RATIO, content / compressed),
        (&COMPRESSION_CPU, there / n),
        (&DECOMPRESSION_CPU, here / n),
        (&CPU_IN_ALL, there + here),
    ]
}
