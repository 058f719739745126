//! Score of `rpc`: how long operations take, how many get through, and what is refused or never answered.

use super::compression;
use super::definition::{PLAIN, Score};
use crate::cells::Cell;
use crate::metric;
use crate::metric::compression::{COMPRESSION_CPU, CPU_IN_ALL, DECOMPRESSION_CPU, RATIO};
use crate::metric::rpc::{ANSWERED, LATENCY_P50, LATENCY_P95, LATENCY_P99, PER_SECOND, REFUSED};
use crate::number::number;
use crate::part::PartView;
use crate::sentence::{Figure, each_told, sentence, set_against, told, without_pairs};
use crate::words::{at, millis};

pub(super) const SCORE: Score = Score {
    table: &[
        &LATENCY_P50,
        &LATENCY_P95,
        &LATENCY_P99,
        &PER_SECOND,
        &ANSWERED,
        &REFUSED,
        &RATIO,
        &COMPRESSION_CPU,
        &DECOMPRESSION_CPU,
        &CPU_IN_ALL,
    ],
    compared: &[&LATENCY_P50, &LATENCY_P99, &PER_SECOND, &ANSWERED],
    headline: &LATENCY_P50,
    rows: |_| {
        vec![
            (Figure::Of(&LATENCY_P50), "half of the operations took longer than [ms] (latency p50)"),
            (Figure::Of(&LATENCY_P99), "one in a hundred took longer than [ms] (latency p99)"),
            (Figure::Of(&PER_SECOND), "operations answered a second"),
            (Figure::Of(&REFUSED), "refused [%]"),
            (Figure::Of(&RATIO), "content for each byte sent [B/B]"),
            (Figure::Of(&COMPRESSION_CPU), "CPU time at the server to compress a response [ms]"),
            (Figure::Of(&DECOMPRESSION_CPU), "CPU time at the client to decompress one [ms]"),
        ]
    },
    sentences,
    charts: &["compression", "latency-percentiles"],
    of_messages: metric::rpc::figures,
    ..PLAIN
};

fn sentences(part: &PartView<'_>) -> Vec<String> {
    if let Some(sentences) = compression::sentences(part) {
        return sentences;
    }
    let (pairs, missing) = told(part, &LATENCY_P50);
    let mut sentences: Vec<String> = missing.into_iter().collect();
    let Some(last) = pairs.last() else {
        sentences.push(without_pairs(part, &LATENCY_P50, "No operation was answered."));
        return sentences;
    };
    let first = pairs.first().filter(|_| pairs.len() > 1);
    sentences.extend(first.into_iter().chain([last]).map(|pair| {
        let half = set_against(pair, &LATENCY_P50, "half of the operations took longer than", millis);
        sentence(at(pair.a), &half)
    }));
    let slow = set_against(last, &LATENCY_P99, "one in a hundred took longer than", millis);
    sentences.push(sentence(None, &slow));
    let of = |share: &dyn Fn(&Cell<'_>) -> Option<f64>| {
        let said = last.group.cells.iter().filter_map(|cell| {
            let percent = share(cell).filter(|percent| *percent > 0.0)?;
            Some((cell.arm, format!("{} %", number(percent))))
        });
        said.collect::<Vec<_>>()
    };
    let median = |cell: &Cell<'_>, metric| cell.estimate(metric).map(|estimate| estimate.median);
    let refused = of(&|cell| median(cell, &REFUSED));
    // Below a thousandth of a percent it is rounding.
    let unanswered =
        of(&|cell| Some(100.0 - median(cell, &ANSWERED)? - median(cell, &REFUSED)?).filter(|rest| *rest > 1e-3));
    sentences.extend(each_told("of all operations", refused, "were refused").map(|said| sentence(None, &said)));
    let told = each_told("of all operations", unanswered, "were not answered in time");
    sentences.extend(told.map(|said| sentence(None, &said)));
    sentences
}
