//! Figures of queries, which the application tries again, from a trial's messages.

use samepath_model::queries::Queries;
use samepath_model::record::{MessageRecord, Percentiles};
use samepath_model::{Trial, Workload};

use super::definition::{Better, Metric, PLAIN, Unit, of_workload};
use super::rpc::{ANSWERED, LATENCY_MAX, LATENCY_P50, LATENCY_P90, LATENCY_P95, LATENCY_P99};

/// The metrics of queries, beside those that they share with other operations.
pub(crate) const METRICS: &[&Metric] = &[&BY_FIRST, &BY_SECOND, &TRIES, &ABOVE_BOUND];

const SHARE: Metric = Metric {
    unit: Unit::Percent,
    better: Some(Better::Higher),
    changes: ("more", "less"),
    is_share_of_all: true,
    ..PLAIN
};

/// Share of the queries whose first try was answered before another try was, in percent.
pub(crate) const BY_FIRST: Metric = Metric {
    name: "answered_by_first_try_percent",
    label: "by the first try",
    of: |t| of_workload(t, BY_FIRST.name),
    head: Some("by the\nfirst try %"),
    ..SHARE
};

/// Share of the queries that were answered by one of their first two tries, in percent.
const BY_SECOND: Metric = Metric {
    name: "answered_by_second_try_percent",
    label: "by the second try",
    of: |t| of_workload(t, BY_SECOND.name),
    head: Some("by the\nsecond try %"),
    ..SHARE
};

/// Tries a query, in the mean.
pub(crate) const TRIES: Metric = Metric {
    name: "tries_per_query",
    label: "tries a query",
    unit: Unit::Index,
    better: Some(Better::Lower),
    of: |t| of_workload(t, TRIES.name),
    head: Some("tries\na query"),
    changes: ("fewer", "more"),
    ..PLAIN
};

/// Share of the queries whose answer took longer than the workload's bound, or never came, in percent.
pub(crate) const ABOVE_BOUND: Metric = Metric {
    name: "latency_above_bound_percent",
    label: "too late",
    unit: Unit::Percent,
    better: Some(Better::Lower),
    of: |t| of_workload(t, ABOVE_BOUND.name),
    head: Some("too late\n%"),
    changes: ("less", "more"),
    ..PLAIN
};

/// The figures of a trial, from its messages.
pub(crate) fn figures(trial: &Trial, messages: &[MessageRecord]) -> Vec<(&'static Metric, f64)> {
    let Workload::Query(query) = trial.workload.scored() else { return Vec::new() };
    let queries = Queries::of(query, trial.workload.scored_streams(), messages);
    if queries.released == 0 {
        return Vec::new();
    }
    let released = f64::from(queries.released);
    let share = |n: f64| 100.0 * n / released;
    let mut latencies: Vec<i64> = queries.answers.iter().map(|answer| answer.latency).collect();
    let bound = i64::try_from(query.bound.as_nanos()).unwrap_or(i64::MAX);
    let in_time = latencies.iter().filter(|latency| **latency <= bound).count() as f64;
    let mut figures = vec![
        (&ANSWERED, share(latencies.len() as f64)),
        (&BY_FIRST, share(f64::from(queries.answered_by(1)))),
        (&BY_SECOND, share(f64::from(queries.answered_by(2)))),
        (&TRIES, f64::from(queries.tries) / released),
        (&ABOVE_BOUND, share(released - in_time)),
    ];
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
