//! Score of `chat`: whether every message comes, in order within its conversation, and how soon.

use super::definition::{Figures, Score};
use crate::cells::Cell;
use crate::metric::chat::{DELAY_P50, DELAY_P95, DELAY_P99, DELIVERED, LARGEST_GAP, OUT_OF_ORDER};
use crate::metric::{self, Metric};
use crate::number::number;
use crate::part::PartView;
use crate::sentence::{Figure, each_told, sentence, set_against, told};
use crate::words::{at, joined, millis};

pub(super) const SCORE: Score = Score {
    table: &[&DELAY_P50, &DELAY_P95, &DELAY_P99, &LARGEST_GAP, &DELIVERED, &OUT_OF_ORDER],
    compared: &[&DELAY_P50, &DELAY_P99, &DELIVERED, &OUT_OF_ORDER],
    headline: &DELAY_P99,
    rows: |_| {
        vec![
            (Figure::Of(&DELAY_P50), "half of the messages took longer than [ms] (delay p50)"),
            (Figure::Of(&DELAY_P99), "one in a hundred took longer than [ms] (delay p99)"),
            (Figure::Of(&DELIVERED), "delivered [% of the messages]"),
            (Figure::Of(&OUT_OF_ORDER), "out of order within their conversation [% of those delivered]"),
        ]
    },
    sentences,
    charts: &["figures"],
    figures: Some(&Figures {
        title: "Does every message come, in order, and how soon?",
        columns: &[
            ("delay p50", &DELAY_P50),
            ("delay p99", &DELAY_P99),
            ("delivered", &DELIVERED),
            ("out of order", &OUT_OF_ORDER),
        ],
        about: "Out of order: the share of the delivered messages that came after a later one of their conversation and \
                direction. Keep-alives are left out.",
    }),
    of_messages: metric::chat::figures,
};

fn sentences(part: &PartView<'_>) -> Vec<String> {
    let (pairs, missing) = told(part, &DELAY_P99);
    let mut sentences: Vec<String> = missing.into_iter().collect();
    let Some(last) = pairs.last() else { return sentences };
    let first = pairs.first().filter(|_| pairs.len() > 1);
    sentences.extend(first.into_iter().chain([last]).map(|pair| {
        let late = set_against(pair, &DELAY_P99, "one message in a hundred took longer than", millis);
        sentence(at(pair.a), &late)
    }));
    let median = |cell: &Cell<'_>, metric: &Metric| cell.estimate(metric).map(|estimate| estimate.median);
    let some = |of: &dyn Fn(&Cell<'_>) -> Option<f64>, after: &str| {
        let said = last.group.cells.iter().filter_map(|cell| {
            let percent = of(cell).filter(|percent| *percent > 1e-9)?;
            Some((cell.arm, format!("{} %", number(percent))))
        });
        each_told("of all messages", said.collect(), after).map(|said| sentence(None, &said))
    };
    sentences.extend(some(&|cell| Some(100.0 - median(cell, &DELIVERED)?), "never came"));
    sentences.extend(some(&|cell| median(cell, &OUT_OF_ORDER), "came after a later one of their conversation"));
    let is_whole = |cell: &&&Cell<'_>| {
        cell.estimate(&DELIVERED).is_some_and(|share| share.min >= 100.0)
            && cell.estimate(&OUT_OF_ORDER).is_some_and(|share| share.max <= 0.0)
    };
    let whole: Vec<String> = last.group.cells.iter().filter(is_whole).map(|cell| cell.arm.to_string()).collect();
    if !whole.is_empty() {
        sentences.push(format!("All came, and in order, on {}.", joined(&whole)));
    }
    sentences
}
