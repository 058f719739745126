//! Figures of payments, from a trial's messages and from the book of its server.

use samepath_model::book::Entry;
use samepath_model::payments::Payments;
use samepath_model::record::{MessageRecord, Percentiles};
use samepath_model::{Trial, Workload};

use super::definition::{Better, Metric, PLAIN, Unit, of_workload};
use super::rpc::{LATENCY_MAX, LATENCY_P50, LATENCY_P90, LATENCY_P95, LATENCY_P99};

/// The metrics of payments, beside those that they share with other operations.
pub(crate) const METRICS: &[&Metric] = &[&CONFIRMED, &REFUSED, &UNKNOWN, &TWICE, &MISSING, &UNCONFIRMED, &ATTEMPTS];

const FEW: Metric = Metric { better: Some(Better::Lower), changes: ("fewer", "more"), ..PLAIN };

/// Payments of which the user had a confirmation in time.
pub(crate) const CONFIRMED: Metric = Metric {
    name: "payments_confirmed",
    label: "confirmed",
    better: Some(Better::Higher),
    of: |t| of_workload(t, CONFIRMED.name),
    changes: ("more", "fewer"),
    ..PLAIN
};

/// Payments that were never tried, as the circuit breaker was open.
pub(crate) const REFUSED: Metric =
    Metric { name: "payments_refused", label: "refused", of: |t| of_workload(t, REFUSED.name), ..FEW };

/// Payments that were tried and not confirmed: their users do not know whether they were made.
pub(crate) const UNKNOWN: Metric =
    Metric { name: "payments_unknown", label: "unknown", of: |t| of_workload(t, UNKNOWN.name), ..FEW };

/// Payments that stand in the book twice or more often.
pub(crate) const TWICE: Metric =
    Metric { name: "payments_made_twice", label: "made twice", of: |t| of_workload(t, TWICE.name), ..FEW };

/// Payments that were confirmed and do not stand in the book.
pub(crate) const MISSING: Metric =
    Metric { name: "payments_lost", label: "confirmed and lost", of: |t| of_workload(t, MISSING.name), ..FEW };

/// Payments that stand in the book, and whose users do not know it.
pub(crate) const UNCONFIRMED: Metric = Metric {
    name: "payments_made_unconfirmed",
    label: "made unconfirmed",
    of: |t| of_workload(t, UNCONFIRMED.name),
    ..FEW
};

/// Attempts a payment that was tried, in the mean.
pub(crate) const ATTEMPTS: Metric = Metric {
    name: "attempts_per_payment",
    label: "attempts a payment",
    unit: Unit::Index,
    of: |t| of_workload(t, ATTEMPTS.name),
    head: Some("attempts\na payment"),
    ..FEW
};

/// The figures of a trial, from its messages.
pub(crate) fn figures(trial: &Trial, messages: &[MessageRecord]) -> Vec<(&'static Metric, f64)> {
    let Some(payments) = payments(trial, messages) else { return Vec::new() };
    let tried = payments.all - payments.refused();
    let mut figures = vec![
        (&CONFIRMED, f64::from(payments.confirmed())),
        (&REFUSED, f64::from(payments.refused())),
        (&UNKNOWN, f64::from(payments.unknown())),
    ];
    if tried > 0 {
        figures.push((&ATTEMPTS, f64::from(payments.attempts) / f64::from(tried)));
    }
    if let Some(of) = Percentiles::of_nanos(&mut payments.latencies()) {
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

/// What stands in the book of a trial's server.
pub(crate) fn of_book(trial: &Trial, messages: &[MessageRecord], book: &[Entry]) -> Vec<(&'static Metric, f64)> {
    let Some(payments) = payments(trial, messages) else { return Vec::new() };
    let recorded = payments.in_book(book);
    vec![
        (&TWICE, f64::from(recorded.twice)),
        (&MISSING, f64::from(recorded.missing)),
        (&UNCONFIRMED, f64::from(recorded.unconfirmed)),
    ]
}

fn payments(trial: &Trial, messages: &[MessageRecord]) -> Option<Payments> {
    match trial.workload.scored() {
        Workload::Payment(payment) => Some(Payments::of(payment, trial.workload.scored_streams(), messages)),
        _ => None,
    }
}
