//! Score of `fan-out`: how long operations take that need several services, and how much longer than one call.

use samepath_model::Workload;
use samepath_model::workload::FanOut;

use super::definition::{Figures, Score};
use crate::cells::Cell;
use crate::metric::fan_out::{
    CALL_P50, CALL_P99, MET_SLOW, SLOWEST, SLOWEST_SHARE, WHOLE_TO_CALL_P50, WHOLE_TO_CALL_P99,
};
use crate::metric::rpc::{ANSWERED, LATENCY_P50, LATENCY_P99, REFUSED};
use crate::metric::{self, Metric};
use crate::number::number;
use crate::part::PartView;
use crate::sentence::{Figure, each_told, sentence, set_against, told};
use crate::words::{at, millis};

pub(super) const SCORE: Score = Score {
    table: &[
        &LATENCY_P50,
        &LATENCY_P99,
        &CALL_P50,
        &CALL_P99,
        &WHOLE_TO_CALL_P50,
        &WHOLE_TO_CALL_P99,
        &MET_SLOW,
        &ANSWERED,
        &REFUSED,
    ],
    compared: &[&LATENCY_P50, &LATENCY_P99, &MET_SLOW, &ANSWERED],
    headline: &LATENCY_P99,
    rows: |_| {
        vec![
            (Figure::Of(&LATENCY_P50), "half of the operations took longer than [ms] (latency p50)"),
            (Figure::Of(&LATENCY_P99), "one in a hundred took longer than [ms] (latency p99)"),
            (Figure::Of(&CALL_P50), "half of the calls took longer than [ms]"),
            (Figure::Of(&CALL_P99), "one call in a hundred took longer than [ms]"),
            (Figure::Of(&MET_SLOW), "operations that met such a slow call [%]"),
        ]
    },
    sentences,
    charts: &["call-and-whole", "latency-percentiles", "figures"],
    figures: Some(&Figures {
        title: "What does the tail of one call do to the whole?",
        columns: &[
            ("whole / call p50", &WHOLE_TO_CALL_P50),
            ("whole / call p99", &WHOLE_TO_CALL_P99),
            ("met a slow call", &MET_SLOW),
            ("answered", &ANSWERED),
        ],
        about: "How many times as long the operations take as single calls, in the median and at the 99th percentile; the \
                share of the operations that met a call beyond the calls' 99th percentile; the share that all services answered \
                in time.",
    }),
    of_messages: metric::fan_out::figures,
};

/// A hundredth of so many operations is at least one.
const FEWEST_FOR_P99: u32 = 100;

/// How often a service must be the slowest to be told, in percent.
const NOTABLE: f64 = 50.0;

fn sentences(part: &PartView<'_>) -> Vec<String> {
    let (pairs, missing) = told(part, &LATENCY_P50);
    let mut sentences: Vec<String> = missing.into_iter().collect();
    let Some(last) = pairs.last() else {
        sentences.push("No operation was answered by all its services.".into());
        return sentences;
    };
    let first = pairs.first().filter(|_| pairs.len() > 1);
    for pair in first.into_iter().chain([last]) {
        let half = set_against(pair, &LATENCY_P50, "half of the operations took longer than", millis);
        let times = median(pair.a, &WHOLE_TO_CALL_P50).filter(|_| services(pair.a) > 1);
        let times = times.map_or_else(String::new, |times| {
            format!("; on {} that is {} times the median of one call", pair.a.arm, number(times))
        });
        sentences.push(sentence(at(pair.a), &format!("{half}{times}")));
    }
    if of_cell(last.a).map_or(0, FanOut::operations) >= FEWEST_FOR_P99 {
        let slow = set_against(last, &LATENCY_P99, "one in a hundred took longer than", millis);
        sentences.push(sentence(None, &slow));
        sentences.extend(met_slow(last.a).map(|said| sentence(None, &said)));
    }
    sentences.extend(slowest(last.a).map(|said| sentence(None, &said)));
    let of = |share: &dyn Fn(&Cell<'_>) -> Option<f64>| {
        let said = last.group.cells.iter().filter_map(|cell| {
            let percent = share(cell).filter(|percent| *percent > 1e-3)?;
            Some((cell.arm, format!("{} %", number(percent))))
        });
        said.collect::<Vec<_>>()
    };
    let refused = of(&|cell| median(cell, &REFUSED));
    let unanswered = of(&|cell| Some(100.0 - median(cell, &ANSWERED)? - median(cell, &REFUSED)?));
    let told = [
        each_told("of all operations", refused, "were refused by a service"),
        each_told("of all operations", unanswered, "were not answered in time by all their services"),
    ];
    sentences.extend(told.into_iter().flatten().map(|said| sentence(None, &said)));
    sentences
}

fn of_cell<'a>(cell: &'a Cell<'_>) -> Option<&'a FanOut> {
    match cell.plan.workload.scored() {
        Workload::FanOut(fan_out) => Some(fan_out),
        _ => None,
    }
}

fn services(cell: &Cell<'_>) -> u16 {
    of_cell(cell).map_or(1, |fan_out| fan_out.services)
}

fn median(cell: &Cell<'_>, metric: &Metric) -> Option<f64> {
    cell.estimate(metric).map(|estimate| estimate.median)
}

/// `over tcp one call in a hundred took longer than 80 ms, and 12.2 % of the operations, of 13 services each, met such a
/// call`.
fn met_slow(cell: &Cell<'_>) -> Option<String> {
    let (bound, met) = median(cell, &CALL_P99).zip(median(cell, &MET_SLOW))?;
    let k = services(cell);
    (k > 1).then(|| {
        format!(
            "over {} one call in a hundred took longer than {}, and {} % of the operations, of {k} services each, met such a \
             call",
            cell.arm,
            millis(bound),
            number(met)
        )
    })
}

/// `the call to service 3 was the slowest in 97 % of the operations on tcp`, where one stands out.
fn slowest(cell: &Cell<'_>) -> Option<String> {
    let (service, share) = median(cell, &SLOWEST).zip(median(cell, &SLOWEST_SHARE))?;
    let stands_out = services(cell) > 1 && share >= NOTABLE && service.fract() == 0.0;
    let said = [format!("the call to service {service:.0}, counted from 0,"), "was the slowest".to_owned()];
    stands_out.then(|| format!("{} in {} % of the operations over {}", said.join(" "), number(share), cell.arm))
}
