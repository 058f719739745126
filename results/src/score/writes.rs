//! Score of `writes`: how many packets and reads small writes become, and what collecting them costs in delay.

use super::definition::{Figures, PLAIN, Score};
use crate::metric;
use crate::metric::writes::{DATA_PACKETS, READ_CALLS, WIRE_PER_BYTE, WRITE_CALLS};
use crate::part::PartView;
use crate::sentence::{Figure, each_told, sentence, set_against, told, without_pairs};
use crate::words::{at, millis};

pub(super) const SCORE: Score = Score {
    table: &[
        &WRITE_CALLS,
        &DATA_PACKETS,
        &READ_CALLS,
        &WIRE_PER_BYTE,
        &metric::DELAY_P50,
        &metric::DELAY_P99,
        &metric::DELIVERED_SHARE,
    ],
    compared: &[&DATA_PACKETS, &READ_CALLS, &metric::DELAY_P50, &metric::DELAY_P99],
    headline: &READ_CALLS,
    rows: |_| {
        vec![
            (Figure::Of(&READ_CALLS), "reads in which the receiver had all of them"),
            (Figure::Of(&DATA_PACKETS), "packets that carried them"),
            (Figure::Of(&metric::DELAY_P50), "half of the messages took longer than [ms]"),
        ]
    },
    sentences,
    figures: Some(&Figures {
        title: "What becomes of many small writes?",
        columns: &[("writes", &WRITE_CALLS), ("packets", &DATA_PACKETS), ("reads", &READ_CALLS)],
        about: "Calls in which payload was written, packets that came to the link in its direction, and calls in which it \
                was read: a byte stream keeps no borders between writes, a datagram does.",
    }),
    ..PLAIN
};

fn sentences(part: &PartView<'_>) -> Vec<String> {
    let (pairs, missing) = told(part, &READ_CALLS);
    let mut sentences: Vec<String> = missing.into_iter().collect();
    let Some(pair) = pairs.last() else {
        sentences.push(without_pairs(part, &READ_CALLS, "Nothing was read."));
        return sentences;
    };
    let count = |value: f64| format!("{value:.0}");
    let told = |metric| {
        let values = pair.group.cells.iter().filter_map(|cell| Some((cell.arm, cell.estimate(metric)?.median)));
        values.map(|(arm, value)| (arm, count(value))).collect::<Vec<_>>()
    };
    let messages = pair.group.cells.first().and_then(|cell| cell.estimate(&metric::MESSAGES));
    let all = messages.map_or_else(|| "all messages".to_owned(), |n| format!("{:.0} messages", n.median));
    let reads = each_told(&format!("{all} were read in"), told(&READ_CALLS), "reads");
    sentences.extend(reads.map(|said| sentence(at(pair.a), &said)));
    let packets = each_told("they took", told(&DATA_PACKETS), "packets");
    sentences.extend(packets.map(|said| sentence(None, &said)));
    let half = set_against(pair, &metric::DELAY_P50, "half of the messages took longer than", millis);
    sentences.push(sentence(None, &half));
    sentences
}
