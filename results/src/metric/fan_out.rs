//! Figures of operations that need several services, and of their calls, from a trial's messages.

use samepath_model::fanned::Fanned;
use samepath_model::percentiles::nearest_rank;
use samepath_model::record::{MessageRecord, Percentiles};
use samepath_model::{Trial, Workload};

use super::definition::{Better, Metric, PLAIN, Unit, of_workload};
use super::rpc::{ANSWERED, LATENCY_MAX, LATENCY_P50, LATENCY_P90, LATENCY_P95, LATENCY_P99, PER_SECOND, REFUSED};

/// The metrics of calls and wholes.
pub(crate) const METRICS: &[&Metric] =
    &[&CALL_P50, &CALL_P99, &WHOLE_TO_CALL_P50, &WHOLE_TO_CALL_P99, &MET_SLOW, &SLOWEST, &SLOWEST_SHARE];

/// Median of the calls' latency: from the release of a request to a service to the delivery of its response, of all calls
/// that were answered.
pub(crate) const CALL_P50: Metric = Metric {
    name: "call_p50_ms",
    label: "one call p50",
    unit: Unit::Millis,
    better: Some(Better::Lower),
    of: |t| of_workload(t, CALL_P50.name),
    ..PLAIN
};

/// 99th percentile of the calls' latency.
pub(crate) const CALL_P99: Metric = Metric {
    name: "call_p99_ms",
    label: "one call p99",
    unit: Unit::Millis,
    better: Some(Better::Lower),
    of: |t| of_workload(t, CALL_P99.name),
    ..PLAIN
};

/// How many times as long the median operation takes as the median call.
pub(crate) const WHOLE_TO_CALL_P50: Metric = Metric {
    name: "whole_to_call_p50",
    label: "whole / call p50",
    unit: Unit::Index,
    better: Some(Better::Lower),
    of: |t| of_workload(t, WHOLE_TO_CALL_P50.name),
    head: Some("whole /\ncall p50"),
    changes: ("less", "more"),
    ..PLAIN
};

/// How many times as long the 99th percentile of the operations is as that of the calls.
pub(crate) const WHOLE_TO_CALL_P99: Metric = Metric {
    name: "whole_to_call_p99",
    label: "whole / call p99",
    unit: Unit::Index,
    better: Some(Better::Lower),
    of: |t| of_workload(t, WHOLE_TO_CALL_P99.name),
    head: Some("whole /\ncall p99"),
    changes: ("less", "more"),
    ..PLAIN
};

/// Share of the operations that met a slow call, one beyond the 99th percentile of all calls, in percent. Where calls are
/// slow independently of each other it is 1 − 0.99ᵏ of k services (Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013).
pub(crate) const MET_SLOW: Metric = Metric {
    name: "met_slow_call_percent",
    label: "met a slow call",
    unit: Unit::Percent,
    better: Some(Better::Lower),
    of: |t| of_workload(t, MET_SLOW.name),
    head: Some("met a\nslow call %"),
    changes: ("less", "more"),
    ..PLAIN
};

/// The service whose call was the slowest most often, by a millisecond or more, by its number from 0, which is that of its
/// stream.
pub(crate) const SLOWEST: Metric = Metric {
    name: "slowest_service",
    label: "slowest service",
    of: |t| of_workload(t, SLOWEST.name),
    head: Some("slowest\nservice"),
    ..PLAIN
};

/// Share of the operations in which that service's call was, in percent; in parallel, it answered last.
pub(crate) const SLOWEST_SHARE: Metric = Metric {
    name: "slowest_service_percent",
    label: "how often it was",
    unit: Unit::Percent,
    of: |t| of_workload(t, SLOWEST_SHARE.name),
    head: Some("how often\nit was %"),
    ..PLAIN
};

/// The figures of a trial, from its messages.
pub(crate) fn figures(trial: &Trial, messages: &[MessageRecord]) -> Vec<(&'static Metric, f64)> {
    let Workload::FanOut(fan_out) = trial.workload.scored() else { return Vec::new() };
    let mut fanned = Fanned::of(fan_out, messages);
    if fanned.released == 0 {
        return Vec::new();
    }
    let share = |n: f64| 100.0 * n / f64::from(fanned.released);
    let whole = fanned.whole.len() as f64;
    let mut figures = vec![(&ANSWERED, share(whole)), (&REFUSED, share(f64::from(fanned.refused)))];
    let nominal = fan_out.per_second.map_or(0.0, |rate| f64::from(fan_out.operations()) / rate);
    let seconds = (fanned.last_answer as f64 / 1e9).max(nominal);
    if seconds > 0.0 {
        figures.push((&PER_SECOND, whole / seconds));
    }
    let mut latencies: Vec<i64> = fanned.whole.iter().map(|whole| whole.latency).collect();
    let of_whole = Percentiles::of_nanos(&mut latencies);
    let of_calls = Percentiles::of_nanos(&mut fanned.calls);
    figures.extend(of_whole.iter().flat_map(|of| {
        [
            (&LATENCY_P50, of.p50),
            (&LATENCY_P90, of.p90),
            (&LATENCY_P95, of.p95),
            (&LATENCY_P99, of.p99),
            (&LATENCY_MAX, of.max),
        ]
    }));
    figures.extend(of_calls.iter().flat_map(|of| [(&CALL_P50, of.p50), (&CALL_P99, of.p99)]));
    if let Some((whole, calls)) = of_whole.zip(of_calls) {
        let times = [(&WHOLE_TO_CALL_P50, whole.p50 / calls.p50), (&WHOLE_TO_CALL_P99, whole.p99 / calls.p99)];
        figures.extend(times.into_iter().filter(|(_, times)| times.is_finite()));
    }
    // They are in order now.
    let slow = nearest_rank(&fanned.calls, 0.99).and_then(|bound| fanned.with_a_call_beyond(bound));
    figures.extend(slow.map(|share| (&MET_SLOW, 100.0 * share)));
    if let Some((service, share)) = fanned.slowest() {
        figures.extend([(&SLOWEST, f64::from(service)), (&SLOWEST_SHARE, 100.0 * share)]);
    }
    figures
}
