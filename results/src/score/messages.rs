//! Score of `messages`: how late they are, and what of it is blocking.

use samepath_model::Arm;

use super::definition::{PLAIN, Score};
use crate::cells::{Cell, Estimate};
use crate::metric;
use crate::number::number;
use crate::part::{Group, PartView};
use crate::sentence::{Figure, alike, each_told, sentence, set_against, told, undelivered, without_pairs};
use crate::words::{at, millis};

pub(super) const SCORE: Score = Score {
    table: &[
        &metric::DELAY_P50,
        &metric::DELAY_P95,
        &metric::DELAY_P99,
        &metric::INTACT_BLOCKED,
        &metric::DELIVERED_SHARE,
    ],
    compared: &[&metric::DELAY_P50, &metric::DELAY_P99, &metric::DELIVERED_SHARE, &metric::HANDSHAKE],
    headline: &metric::DELAY_P95,
    rows: |_| {
        vec![
            (Figure::Of(&metric::DELAY_P95), "one message in twenty took longer than [ms] (delay p95)"),
            (
                Figure::Of(&metric::INTACT_BLOCKED),
                "of the messages that lost nothing themselves, had to wait for others [%]",
            ),
            (Figure::Undelivered, "never delivered [%]"),
        ]
    },
    sentences: messages,
    charts: &["blocked", "delay-tail"],
    ..PLAIN
};

fn messages(part: &PartView<'_>) -> Vec<String> {
    let (pairs, missing) = told(part, &metric::DELAY_P95);
    let Some(pair) = pairs.last() else {
        return vec![without_pairs(part, &metric::DELAY_P95, "No message was delivered.")];
    };
    let mut sentences: Vec<String> = missing.into_iter().collect();
    let delay = set_against(pair, &metric::DELAY_P95, "one message in twenty took longer than", millis);
    match waited(&pair.group) {
        Some(waited) => {
            sentences.push(sentence(at(pair.a), &waited));
            sentences.push(sentence(None, &delay));
        }
        None => sentences.push(sentence(at(pair.a), &delay)),
    }
    let lost = pair.group.cells.iter().filter_map(|cell| {
        let lost = undelivered(cell).filter(|&lost| lost > 0.0)?;
        Some((cell.arm, format!("{} %", number(lost))))
    });
    sentences.extend(each_told("of all messages", lost.collect(), "never arrived").map(|said| sentence(None, &said)));
    sentences
}

/// What was blocked, where packets were attributed to messages: measured, not inferred.
fn waited(group: &Group<'_>) -> Option<String> {
    let reliable: Vec<&Cell<'_>> = group.cells.iter().copied().filter(|cell| cell.arm.is_reliable).collect();
    let cells = if reliable.is_empty() { &group.cells } else { &reliable };
    let measured: Vec<(Arm, Estimate)> =
        cells.iter().filter_map(|cell| Some((cell.arm, cell.estimate(&metric::INTACT_BLOCKED)?))).collect();
    if measured.len() > 1 && measured.iter().all(|(_, estimate)| estimate.max <= 0.0) {
        return Some("none of the messages that lost nothing themselves had to wait for others, on any arm".into());
    }
    each_told("of the messages that lost nothing themselves", alike(&measured), "had to wait for others")
}
