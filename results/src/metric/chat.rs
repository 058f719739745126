//! Figures of conversations, from a trial's messages.

use samepath_model::conversations::Conversations;
use samepath_model::record::{MessageRecord, Percentiles};
use samepath_model::{Trial, Workload};

use super::definition::{Better, Metric, PLAIN, Unit, of_workload};

/// The metrics of conversations.
pub(crate) const METRICS: &[&Metric] =
    &[&DELIVERED, &LOST, &DELAY_P50, &DELAY_P95, &DELAY_P99, &OUT_OF_ORDER, &LARGEST_GAP, &KEEP_ALIVES];

const DELAY: Metric = Metric { unit: Unit::Millis, better: Some(Better::Lower), ..PLAIN };

/// Share of the messages that were delivered, keep-alives left out, in percent.
pub(crate) const DELIVERED: Metric = Metric {
    name: "chat_delivered_percent",
    label: "chat delivered",
    unit: Unit::Percent,
    better: Some(Better::Higher),
    of: |t| of_workload(t, DELIVERED.name),
    head: Some("delivered\n%"),
    changes: ("more", "less"),
    is_share_of_all: true,
};

/// Messages that were never delivered.
const LOST: Metric = Metric {
    name: "chat_lost",
    label: "chat lost",
    better: Some(Better::Lower),
    of: |t| of_workload(t, LOST.name),
    head: Some("messages\nlost"),
    changes: ("fewer", "more"),
    ..PLAIN
};

/// Median of the messages' delay from release to delivery.
pub(crate) const DELAY_P50: Metric =
    Metric { name: "chat_delay_p50_ms", label: "chat delay p50", of: |t| of_workload(t, DELAY_P50.name), ..DELAY };

/// 95th percentile of the delay.
pub(crate) const DELAY_P95: Metric =
    Metric { name: "chat_delay_p95_ms", label: "chat delay p95", of: |t| of_workload(t, DELAY_P95.name), ..DELAY };

/// 99th percentile of the delay.
pub(crate) const DELAY_P99: Metric =
    Metric { name: "chat_delay_p99_ms", label: "chat delay p99", of: |t| of_workload(t, DELAY_P99.name), ..DELAY };

/// Share of the delivered messages that came after a later one of their conversation and direction, in percent.
pub(crate) const OUT_OF_ORDER: Metric = Metric {
    name: "chat_out_of_order_percent",
    label: "out of order",
    unit: Unit::Percent,
    better: Some(Better::Lower),
    of: |t| of_workload(t, OUT_OF_ORDER.name),
    head: Some("out of\norder %"),
    changes: ("less", "more"),
    ..PLAIN
};

/// Longest time from a delivery to the next of the same conversation and direction.
pub(crate) const LARGEST_GAP: Metric =
    Metric { name: "chat_largest_gap_ms", label: "largest gap", of: |t| of_workload(t, LARGEST_GAP.name), ..DELAY };

/// Keep-alives that were released.
const KEEP_ALIVES: Metric = Metric {
    name: "chat_keep_alives",
    label: "keep-alives",
    of: |t| of_workload(t, KEEP_ALIVES.name),
    changes: ("fewer", "more"),
    ..PLAIN
};

/// The figures of a trial, from its messages.
pub(crate) fn figures(trial: &Trial, messages: &[MessageRecord]) -> Vec<(&'static Metric, f64)> {
    let Workload::Chat(chat) = trial.workload.scored() else { return Vec::new() };
    let mut all = Conversations::of(chat, trial.workload.scored_streams(), messages);
    let (released, delivered) = (f64::from(all.released), all.delays.len() as f64);
    let mut figures = vec![(&LOST, released - delivered), (&KEEP_ALIVES, f64::from(all.keep_alives))];
    if released > 0.0 {
        figures.push((&DELIVERED, 100.0 * delivered / released));
    }
    if let Some(of) = Percentiles::of_nanos(&mut all.delays) {
        figures.extend([(&DELAY_P50, of.p50), (&DELAY_P95, of.p95), (&DELAY_P99, of.p99)]);
        figures.push((&OUT_OF_ORDER, 100.0 * f64::from(all.out_of_order) / delivered));
    }
    figures.extend(all.largest_gap.map(|gap| (&LARGEST_GAP, gap as f64 / 1e6)));
    figures
}
