//! Score of `query`: how long it takes until a name is resolved, and how often it takes another try.

use samepath_model::Workload;
use samepath_model::workload::Query;

use super::definition::{Figures, Score};
use crate::cells::Cell;
use crate::metric::query::{ABOVE_BOUND, BY_FIRST, TRIES};
use crate::metric::rpc::{ANSWERED, LATENCY_P50, LATENCY_P95, LATENCY_P99};
use crate::metric::{self, Metric};
use crate::number::number;
use crate::part::{Group, PartView};
use crate::sentence::{Figure, each_told, sentence, told};
use crate::words::{at, joined, millis, time};

pub(super) const SCORE: Score = Score {
    table: &[&LATENCY_P50, &LATENCY_P95, &LATENCY_P99, &ABOVE_BOUND, &BY_FIRST, &ANSWERED, &TRIES],
    compared: &[&LATENCY_P50, &LATENCY_P99, &ABOVE_BOUND, &ANSWERED],
    headline: &LATENCY_P99,
    rows: |_| {
        vec![
            (Figure::Of(&LATENCY_P50), "half of the queries took longer than [ms] (latency p50)"),
            (Figure::Of(&LATENCY_P99), "one in a hundred took longer than [ms] (latency p99)"),
            (Figure::Of(&ABOVE_BOUND), "too late, or never answered [%]"),
            (Figure::Of(&TRIES), "tries a query"),
        ]
    },
    sentences,
    charts: &["latency-percentiles", "figures"],
    figures: Some(&Figures {
        title: "How many queries are answered, how soon, and at which try?",
        columns: &[
            ("answered", &ANSWERED),
            ("by the first try", &BY_FIRST),
            ("tries", &TRIES),
            ("too late", &ABOVE_BOUND),
        ],
        about: "Too late: the share of the queries whose answer took longer than the workload's bound, or never came.",
    }),
    of_messages: metric::query::figures,
};

/// A hundredth of so many queries is at least one.
const FEWEST_FOR_P99: u32 = 100;

fn sentences(part: &PartView<'_>) -> Vec<String> {
    let (pairs, missing) = told(part, &LATENCY_P50);
    let mut sentences: Vec<String> = missing.into_iter().collect();
    for pair in &pairs {
        let of = of_cell(pair.a);
        let (before, metric) = match of.map_or(0, Query::queries) {
            1 => ("the query took", &LATENCY_P50),
            few if few < FEWEST_FOR_P99 => ("half of the queries took longer than", &LATENCY_P50),
            _ => ("one query in a hundred took longer than", &LATENCY_P99),
        };
        let Some(latency) = each(&pair.group, before, metric, "", millis) else { continue };
        let again = again(&pair.group).map_or_else(String::new, |again| format!("; {again}"));
        sentences.push(sentence(at(pair.a), &format!("{latency}{again}")));
    }
    let Some(last) = pairs.last().filter(|pair| of_cell(pair.a).is_some_and(|query| query.queries() > 1)) else {
        return sentences;
    };
    let Some(query) = of_cell(last.a) else { return sentences };
    let bound = time(query.bound);
    if last.group.cells.iter().filter_map(|cell| cell.estimate(&ABOVE_BOUND)).all(|late| late.median <= 0.0) {
        sentences.push(format!("All were answered within {bound}."));
    } else {
        let after = format!("took longer than {bound}, or were never answered,");
        let late = each(&last.group, "of all queries", &ABOVE_BOUND, &after, |value| format!("{} %", number(value)));
        sentences.extend(late.map(|late| sentence(None, &late)));
    }
    sentences
}

fn of_cell<'a>(cell: &'a Cell<'_>) -> Option<&'a Query> {
    match cell.plan.workload.scored() {
        Workload::Query(query) => Some(query),
        _ => None,
    }
}

/// A figure of every arm.
fn each(group: &Group<'_>, before: &str, metric: &Metric, after: &str, show: fn(f64) -> String) -> Option<String> {
    let values = group.cells.iter().filter_map(|cell| Some((cell.arm, show(cell.estimate(metric)?.median))));
    each_told(before, values.collect(), after)
}

/// When the application tries again, on the arms on which it had to: `over udp the application tries again after 5 s`.
fn again(group: &Group<'_>) -> Option<String> {
    let tries = group.cells.iter().filter(|cell| cell.estimate(&TRIES).is_some_and(|tries| tries.max > 1.0));
    let arms: Vec<String> = tries.clone().map(|cell| cell.arm.to_string()).collect();
    let after = time(of_cell(tries.clone().next()?)?.rule().timeout.base);
    Some(format!("over {} the application tries again after {after}", joined(&arms)))
}
