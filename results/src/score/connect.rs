//! Score of `connect`: how fast exchanges go, how many ports they hold, and what fails when there are none left.

use super::definition::{Figures, PLAIN, Score};
use crate::metric;
use crate::metric::connect::{FAILED, FIRST_FAILURE, PORTS, TIME_WAIT_CLIENT, TIME_WAIT_SERVER};
use crate::metric::rpc::{LATENCY_P50, LATENCY_P99, PER_SECOND};
use crate::number::number;
use crate::part::{Group, PartView};
use crate::sentence::{Figure, each_told, sentence, set_against, told, without_pairs};
use crate::words::{at, millis};

pub(super) const SCORE: Score = Score {
    table: &[
        &LATENCY_P50,
        &LATENCY_P99,
        &PER_SECOND,
        &FAILED,
        &FIRST_FAILURE,
        &PORTS,
        &TIME_WAIT_CLIENT,
        &TIME_WAIT_SERVER,
    ],
    compared: &[&LATENCY_P50, &LATENCY_P99, &PER_SECOND, &FAILED],
    headline: &LATENCY_P50,
    rows: |_| {
        vec![
            (Figure::Of(&LATENCY_P50), "half of the exchanges took longer than [ms]"),
            (Figure::Of(&FAILED), "could not be made: no port, no descriptor, or no connection [%]"),
            (Figure::Of(&PORTS), "ports that the client held at most"),
        ]
    },
    sentences,
    figures: Some(&Figures {
        title: "What does a connection for each exchange cost?",
        columns: &[("latency", &LATENCY_P50), ("ports held", &PORTS), ("failed", &FAILED)],
        about: "Median latency of the exchanges; ports in use or in TIME-WAIT at the client, the most at a time, as its \
                kernel counted them; share of the exchanges for which no connection could be had.",
    }),
    of_messages: metric::connect::figures,
    ..PLAIN
};

fn sentences(part: &PartView<'_>) -> Vec<String> {
    let (pairs, missing) = told(part, &LATENCY_P50);
    let mut sentences: Vec<String> = missing.into_iter().collect();
    let Some(pair) = pairs.last() else {
        sentences.push(without_pairs(part, &LATENCY_P50, "No exchange was answered."));
        return sentences;
    };
    let half = set_against(pair, &LATENCY_P50, "half of the exchanges took longer than", millis);
    sentences.push(sentence(at(pair.a), &half));
    // Where the most fails it is told why: as many ports were held there.
    let failed = |group: &Group<'_>| {
        let shares = group.cells.iter().filter_map(|cell| Some(cell.estimate(&FAILED)?.median));
        shares.fold(0.0, f64::max)
    };
    let groups = part.groups();
    let worst = groups.iter().max_by(|a, b| failed(a).total_cmp(&failed(b))).filter(|group| failed(group) > 0.0);
    let group = worst.unwrap_or(&pair.group);
    let lead = || worst.and_then(|group| at(group.cells[0]));
    let of = |metric, show: fn(f64) -> String| {
        let values = group.cells.iter().filter_map(|cell| Some((cell.arm, cell.estimate(metric)?.median)));
        values.filter(|(_, value)| *value > 0.0).map(|(arm, value)| (arm, show(value))).collect::<Vec<_>>()
    };
    let ports =
        each_told("the client held at most", of(&PORTS, |n| format!("{n:.0}")), "ports, in use or in TIME-WAIT");
    sentences.extend(ports.map(|said| sentence(lead(), &said)));
    let percent = |value: f64| format!("{} %", number(value));
    let without = each_told("of all exchanges", of(&FAILED, percent), "found no connection to be had");
    sentences.extend(without.map(|said| sentence(lead(), &said)));
    sentences
}
