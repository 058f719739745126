//! Score of `payment`: whether each was made exactly once, and whether its user knows.

use samepath_model::Workload;
use samepath_model::workload::Payment;

use super::definition::{Figures, Score};
use crate::cells::Cell;
use crate::metric::payment::{ATTEMPTS, CONFIRMED, MISSING, REFUSED, TWICE, UNCONFIRMED, UNKNOWN};
use crate::metric::rpc::{LATENCY_P50, LATENCY_P99};
use crate::metric::{self, Metric};
use crate::part::PartView;
use crate::sentence::{Figure, sentence, set_against, told};
use crate::words::{at, joined, millis};

pub(super) const SCORE: Score = Score {
    table: &[&CONFIRMED, &UNKNOWN, &REFUSED, &TWICE, &MISSING, &UNCONFIRMED, &ATTEMPTS, &LATENCY_P50, &LATENCY_P99],
    compared: &[&TWICE, &MISSING, &UNKNOWN, &LATENCY_P99],
    headline: &LATENCY_P99,
    rows: |_| {
        vec![
            (Figure::Of(&CONFIRMED), "payments that were confirmed"),
            (Figure::Of(&UNKNOWN), "not known to their users to be made or not"),
            (Figure::Of(&TWICE), "made twice or more often"),
            (Figure::Of(&MISSING), "confirmed, and missing from the book"),
            (Figure::Of(&LATENCY_P99), "one in a hundred confirmations took longer than [ms]"),
        ]
    },
    sentences,
    charts: &["figures"],
    figures: Some(&Figures {
        title: "Is each payment made exactly once, and does its user know?",
        columns: &[
            ("confirmed", &CONFIRMED),
            ("unknown", &UNKNOWN),
            ("made twice", &TWICE),
            ("lost", &MISSING),
            ("attempts", &ATTEMPTS),
        ],
        about: "Payments: confirmed to their users; tried and not confirmed; in the server's book twice or more often; \
                confirmed and missing from the book. Attempts a payment, in the mean.",
    }),
    of_messages: metric::payment::figures,
};

/// A hundredth of so many payments is at least one.
const FEWEST_FOR_P99: u32 = 100;

fn sentences(part: &PartView<'_>) -> Vec<String> {
    let (pairs, missing) = told(part, &CONFIRMED);
    let mut sentences: Vec<String> = missing.into_iter().collect();
    for pair in &pairs {
        for cell in [Some(pair.a), pair.b].into_iter().flatten() {
            sentences.extend(became(cell).map(|became| sentence(at(cell), &became)));
        }
    }
    let Some(last) = pairs.last().filter(|pair| pair.a.estimate(&LATENCY_P50).is_some()) else { return sentences };
    let (before, metric) = match of_cell(last.a).map_or(0, Payment::payments) {
        few if few < FEWEST_FOR_P99 => ("half of the confirmations took longer than", &LATENCY_P50),
        _ => ("one confirmation in a hundred took longer than", &LATENCY_P99),
    };
    sentences.push(sentence(None, &set_against(last, metric, before, millis)));
    sentences
}

fn of_cell<'a>(cell: &'a Cell<'_>) -> Option<&'a Payment> {
    match cell.plan.workload.scored() {
        Workload::Payment(payment) => Some(payment),
        _ => None,
    }
}

/// What became of the payments of all trials together: `of 600 payments over tcp/per-message 598 were confirmed and 2 were
/// unknown to their users; none was made twice, and none that was confirmed is missing from the book`.
fn became(cell: &Cell<'_>) -> Option<String> {
    let sum = |metric: &Metric| {
        let values = cell.values(metric);
        (!values.is_empty()).then(|| values.into_iter().map(|(_, value)| value).sum::<f64>())
    };
    let (confirmed, unknown, refused) = (sum(&CONFIRMED)?, sum(&UNKNOWN)?, sum(&REFUSED)?);
    let all = confirmed + unknown + refused;
    let outcomes = [
        Some(if confirmed == all { "all were confirmed".into() } else { format!("{} confirmed", were(confirmed)) }),
        (unknown > 0.0).then(|| format!("{} unknown to {}", were(unknown), whom(unknown))),
        (refused > 0.0).then(|| format!("{} refused", were(refused))),
    ];
    let outcomes = joined(&outcomes.into_iter().flatten().collect::<Vec<_>>());
    let book = sum(&TWICE).zip(sum(&MISSING)).map_or_else(String::new, |(twice, missing)| {
        let (n, was, is) = match missing {
            0.0 => ("none".to_owned(), "was", "is"),
            1.0 => ("1".to_owned(), "was", "is"),
            more => (count(more), "were", "are"),
        };
        format!("; {} made twice, and {n} that {was} confirmed {is} missing from the book", were(twice))
    });
    let s = if all == 1.0 { "" } else { "s" };
    Some(format!("of {} payment{s} over {} {outcomes}{book}", count(all), cell.arm))
}

/// `none was`, `1 was` or `2 were`.
fn were(n: f64) -> String {
    match n {
        none if none <= 0.0 => "none was".into(),
        n => format!("{} {}", count(n), if n == 1.0 { "was" } else { "were" }),
    }
}

fn whom(n: f64) -> &'static str {
    if n == 1.0 { "its user" } else { "their users" }
}

/// A whole number, its thousands set apart: `10,000`.
fn count(n: f64) -> String {
    let digits = format!("{n:.0}");
    let mut said = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            said.push(',');
        }
        said.push(digit);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_as_people_say_them() {
        assert_eq!([0.0, 12.0, 999.0, 1_000.0, 1_234_567.0].map(count), ["0", "12", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 1.0, 2.0].map(were), ["none was", "1 was", "2 were"]);
    }
}
