//! Figures of updates of which only the newest counts, from a trial's messages.

use samepath_model::age::Age;
use samepath_model::record::MessageRecord;
use samepath_model::{Trial, Workload};

use super::definition::{Better, Metric, PLAIN, Unit, of_workload};

/// The metrics of the age of information.
pub(crate) const METRICS: &[&Metric] = &[&AGE_MEAN, &AGE_P99, &AGE_MAX, &AGE_ABOVE_BOUND];

const AGE: Metric = Metric { unit: Unit::Millis, better: Some(Better::Lower), changes: ("less", "more"), ..PLAIN };

/// Mean over time of the age: the time since the release of the newest update that was delivered.
pub(crate) const AGE_MEAN: Metric =
    Metric { name: "age_mean_ms", label: "age mean", of: |t| of_workload(t, AGE_MEAN.name), ..AGE };

/// The age that it was at or below for 99 % of the time.
pub(crate) const AGE_P99: Metric =
    Metric { name: "age_p99_ms", label: "age p99", of: |t| of_workload(t, AGE_P99.name), ..AGE };

/// Largest age.
pub(crate) const AGE_MAX: Metric =
    Metric { name: "age_max_ms", label: "age max", of: |t| of_workload(t, AGE_MAX.name), ..AGE };

/// Share of the time in which the age was above the workload's bound, in percent.
pub(crate) const AGE_ABOVE_BOUND: Metric = Metric {
    name: "age_above_bound_percent",
    label: "too old",
    unit: Unit::Percent,
    of: |t| of_workload(t, AGE_ABOVE_BOUND.name),
    head: Some("too old\n% of time"),
    ..AGE
};

/// The age in a trial; `None` where its workload has none.
pub(crate) fn age(trial: &Trial, messages: &[MessageRecord]) -> Option<Age> {
    let Workload::GameState(state) = trial.workload.scored() else { return None };
    let one_way = trial.link.direction(state.direction).delay;
    Some(Age::of(state, trial.workload.scored_streams(), one_way, messages))
}

/// The figures of a trial, from its messages.
pub(crate) fn figures(trial: &Trial, messages: &[MessageRecord]) -> Vec<(&'static Metric, f64)> {
    let Workload::GameState(state) = trial.workload.scored() else { return Vec::new() };
    let age = age(trial, messages).unwrap_or_default();
    let all = [
        (&AGE_MEAN, age.mean().map(|ns| ns / 1e6)),
        (&AGE_P99, age.quantile(0.99).map(|ns| ns / 1e6)),
        (&AGE_MAX, age.max().map(|ns| ns as f64 / 1e6)),
        (&AGE_ABOVE_BOUND, age.share_above(state.bound).map(|share| 100.0 * share)),
    ];
    all.into_iter().filter_map(|(metric, value)| Some((metric, value?))).collect()
}
