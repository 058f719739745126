//! Figures of operations, requests and their responses, from a trial's messages.

use std::ops::Range;

use samepath_model::operations::Operations;
use samepath_model::record::MessageRecord;
use samepath_model::record::Percentiles;
use samepath_model::workload::{Rpc, StreamId};
use samepath_model::{Trial, Workload};

use super::compression;
use super::definition::{Better, Metric, PLAIN, Unit, of_workload};

/// The metrics of operations.
pub(crate) const METRICS: &[&Metric] =
    &[&LATENCY_P50, &LATENCY_P90, &LATENCY_P95, &LATENCY_P99, &LATENCY_MAX, &PER_SECOND, &ANSWERED, &REFUSED];

const LATENCY: Metric = Metric { unit: Unit::Millis, better: Some(Better::Lower), ..PLAIN };

/// Median of the latency: from the intended release of an operation's first request to the delivery of its last
/// response, of the operations that were answered in time.
pub(crate) const LATENCY_P50: Metric =
    Metric { name: "latency_p50_ms", label: "latency p50", of: |t| of_workload(t, LATENCY_P50.name), ..LATENCY };

/// 90th percentile of the latency.
pub(crate) const LATENCY_P90: Metric =
    Metric { name: "latency_p90_ms", label: "latency p90", of: |t| of_workload(t, LATENCY_P90.name), ..LATENCY };

/// 95th percentile of the latency.
pub(crate) const LATENCY_P95: Metric =
    Metric { name: "latency_p95_ms", label: "latency p95", of: |t| of_workload(t, LATENCY_P95.name), ..LATENCY };

/// 99th percentile of the latency.
pub(crate) const LATENCY_P99: Metric =
    Metric { name: "latency_p99_ms", label: "latency p99", of: |t| of_workload(t, LATENCY_P99.name), ..LATENCY };

/// Largest latency.
pub(crate) const LATENCY_MAX: Metric =
    Metric { name: "latency_max_ms", label: "latency max", of: |t| of_workload(t, LATENCY_MAX.name), ..LATENCY };

/// Operations that were answered in time, a second of the time in which they were released and answered.
pub(crate) const PER_SECOND: Metric = Metric {
    name: "operations_per_s",
    label: "operations",
    unit: Unit::PerSecond,
    better: Some(Better::Higher),
    of: |t| of_workload(t, PER_SECOND.name),
    changes: ("more", "fewer"),
    ..PLAIN
};

/// Share of the operations that were answered in time, in percent.
pub(crate) const ANSWERED: Metric = Metric {
    name: "answered_percent",
    label: "answered",
    unit: Unit::Percent,
    better: Some(Better::Higher),
    of: |t| of_workload(t, ANSWERED.name),
    changes: ("more", "less"),
    is_share_of_all: true,
    ..PLAIN
};

/// Share of the operations that the server refused, in percent; what is neither answered nor refused was never answered,
/// or too late.
pub(crate) const REFUSED: Metric = Metric {
    name: "refused_percent",
    label: "refused",
    unit: Unit::Percent,
    better: Some(Better::Lower),
    of: |t| of_workload(t, REFUSED.name),
    changes: ("less", "more"),
    ..PLAIN
};

/// The figures of a trial, from its messages.
pub(crate) fn figures(trial: &Trial, messages: &[MessageRecord]) -> Vec<(&'static Metric, f64)> {
    match trial.workload.scored() {
        Workload::Rpc(rpc) => {
            let streams = trial.workload.scored_streams();
            let mut figures = of_operations(rpc, streams.clone(), messages);
            figures.extend(compression::figures(rpc, streams, messages));
            figures
        }
        _ => Vec::new(),
    }
}

/// The figures of such operations, from the messages on these streams.
pub(super) fn of_operations(
    rpc: &Rpc,
    streams: Range<StreamId>,
    messages: &[MessageRecord],
) -> Vec<(&'static Metric, f64)> {
    let Operations { released, mut latencies, refused, last_answer, .. } = Operations::of(rpc, streams, messages);
    if released == 0 {
        return Vec::new();
    }
    let share = |n: f64| 100.0 * n / f64::from(released);
    let answered = latencies.len() as f64;
    let mut figures = vec![(&ANSWERED, share(answered)), (&REFUSED, share(f64::from(refused)))];
    let nominal = rpc.per_second.map_or(0.0, |rate| f64::from(rpc.operations()) / rate);
    let seconds = (last_answer as f64 / 1e9).max(nominal);
    if seconds > 0.0 {
        figures.push((&PER_SECOND, answered / seconds));
    }
    if let Some(of) = Percentiles::of_nanos(&mut latencies) {
        figures.extend([
            (&LATENCY_P50, of.p50),
            (&LATENCY_P90, of.p90),
            (&LATENCY_P95, of.p95),
            (&LATENCY_P99, of.p99),
            (&LATENCY_MAX, of.max),
        ]);
    }
    figures
}

#[cfg(test)]
mod tests {
    use samepath_model::record::Coded;
    use samepath_model::workload::{Compression, MessageId};
    use samepath_model::{ByteCount, Direction, Duration};

    use super::*;

    fn message(direction: Direction, stream: u16, seq: u32, released: i64, delivered: Option<i64>) -> MessageRecord {
        let ms = 1_000_000;
        MessageRecord {
            flow: 0,
            direction,
            stream,
            seq,
            size: 100,
            released: released * ms,
            released_by: (direction == Direction::Down).then_some(MessageId { direction: Direction::Up, stream, seq }),
            deadline: None,
            attempt: 1,
            cancelled: None,
            sent: Some(released * ms),
            delivered: delivered.map(|at| at * ms),
            received: 100,
            coded: None,
        }
    }

    fn figure(all: &[(&Metric, f64)], metric: &Metric) -> f64 {
        all.iter().find(|(of, _)| *of == metric).unwrap().1
    }

    #[test]
    fn what_compression_takes_is_counted_by_hand() {
        let rpc = Rpc { outstanding: Some(1), count: Some(3), compression: Some(Compression::Gzip), ..Rpc::default() };
        let (up, down) = (Direction::Up, Direction::Down);
        let coded =
            |decompression_cpu_ns| Some(Coded { content: 1_000, compression_cpu_ns: 3_000_000, decompression_cpu_ns });
        let messages = [
            message(up, 0, 0, 0, Some(30)),
            MessageRecord { coded: coded(Some(1_000_000)), size: 200, ..message(down, 0, 0, 30, Some(60)) },
            MessageRecord { coded: coded(Some(2_000_000)), size: 300, ..message(down, 0, 1, 30, Some(60)) },
            // What was not delivered counts nowhere, and a refusal is no response.
            MessageRecord { coded: coded(None), size: 300, ..message(down, 0, 2, 30, None) },
            message(down, 0, 3, 30, Some(60)),
        ];
        let all = compression::figures(&rpc, 0..1, &messages);
        let of = |metric| figure(&all, metric);
        assert_eq!((of(&compression::CONTENT), of(&compression::COMPRESSED)), (2_000.0, 500.0));
        assert_eq!(of(&compression::RATIO), 4.0);
        assert_eq!((of(&compression::COMPRESSION_CPU), of(&compression::DECOMPRESSION_CPU)), (3.0, 1.5));
        assert_eq!(of(&compression::CPU_IN_ALL), 9.0);
        // Without a word of compression there are no such figures; where it is none, they are those of doing nothing.
        let plain = [message(down, 0, 0, 30, Some(60))];
        assert!(compression::figures(&Rpc { compression: None, ..rpc.clone() }, 0..1, &plain).is_empty());
        let none = compression::figures(&Rpc { compression: Some(Compression::None), ..rpc }, 0..1, &plain);
        assert_eq!((figure(&none, &compression::RATIO), figure(&none, &compression::CPU_IN_ALL)), (1.0, 0.0));
    }

    #[test]
    fn operations_are_counted_by_hand() {
        let rpc = Rpc {
            outstanding: Some(2),
            count: Some(4),
            calls: 2,
            workers: Some(1),
            service: Duration::from_millis(1),
            timeout: Duration::from_secs(1),
            request: samepath_model::workload::Size::Fixed(ByteCount::new(100)),
            ..Rpc::default()
        };
        // Two operations a stream, of two requests each: a refusal's number is 4 more than its request's.
        let (up, down) = (Direction::Up, Direction::Down);
        let messages = [
            // Answered after 120 ms.
            message(up, 0, 0, 0, Some(30)),
            message(down, 0, 0, 30, Some(60)),
            message(up, 0, 1, 60, Some(90)),
            message(down, 0, 1, 90, Some(120)),
            // Refused at its second request.
            message(up, 1, 0, 0, Some(30)),
            message(down, 1, 0, 30, Some(60)),
            message(up, 1, 1, 60, Some(90)),
            message(down, 1, 5, 90, Some(120)),
            // Answered in part.
            message(up, 0, 2, 120, Some(150)),
            message(down, 0, 2, 150, None),
            // Answered too late.
            message(up, 1, 2, 120, Some(150)),
            message(down, 1, 2, 150, Some(180)),
            message(up, 1, 3, 180, Some(210)),
            message(down, 1, 3, 210, Some(1121)),
        ];
        let all = of_operations(&rpc, 0..2, &messages);
        assert_eq!((figure(&all, &ANSWERED), figure(&all, &REFUSED)), (25.0, 25.0));
        assert_eq!((figure(&all, &LATENCY_P50), figure(&all, &LATENCY_MAX)), (120.0, 120.0));
        assert!((figure(&all, &PER_SECOND) - 1.0 / 0.12).abs() < 1e-9);
        assert!(of_operations(&rpc, 5..7, &messages).is_empty(), "other streams are another workload's");
    }
}
