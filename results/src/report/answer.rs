//! The short answer: sentences made from the numbers, which never claim more than the seeds carry.

use samepath_model::{Arm, Transport, Workload};

use crate::Field;
use crate::cells::Cell;
use crate::chart::{Group, PartView, number, spread};
use crate::stats;

/// What a part answers.
pub(super) struct Answer {
    /// Its part.
    pub(super) part: String,
    /// What is said of each set of conditions.
    pub(super) findings: Vec<Finding>,
}

/// Conditions, and a sentence or two about them.
pub(super) struct Finding {
    /// The conditions; empty where the part varies nothing.
    pub(super) conditions: String,
    /// The sentences.
    pub(super) words: String,
}

/// The answer of each part that has a trial that counts.
pub(super) fn answers(parts: &[PartView<'_>]) -> Vec<Answer> {
    parts
        .iter()
        .filter(|part| part.trials().next().is_some())
        .map(|part| Answer { part: part.name.to_owned(), findings: findings(part) })
        .filter(|answer| !answer.findings.is_empty())
        .collect()
}

fn findings(part: &PartView<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for group in part.groups() {
        let (said, field) = match part.cells[0].plan.workload {
            Workload::Messages(_) => (delays(&group), Field::DelayP95),
            Workload::Bulk(_) => (goodput(&group), Field::Goodput),
        };
        let Some(said) = said else { continue };
        let compared = compared_pair(&group).and_then(|(a, b)| comparison(a, b, field));
        let blocking = match part.cells[0].plan.workload {
            Workload::Messages(_) => blocking(&group),
            Workload::Bulk(_) => None,
        };
        let words = [Some(said), compared, blocking].into_iter().flatten().collect::<Vec<_>>().join(" ");
        findings.push(Finding { conditions: group.label.clone(), words });
    }
    findings.extend(start(part));
    findings
}

/// The figure of every arm that has it: `tcp 12.3 (11.8–12.9), quic 14`.
fn each(group: &Group<'_>, field: Field) -> Option<String> {
    let said: Vec<String> = group
        .cells
        .iter()
        .filter_map(|cell| {
            let values: Vec<f64> = cell.values(field).into_iter().map(|(_, value)| value).collect();
            (!values.is_empty()).then(|| format!("{} {}", cell.arm, spread(&values)))
        })
        .collect();
    (!said.is_empty()).then(|| said.join(", "))
}

fn delays(group: &Group<'_>) -> Option<String> {
    let said = each(group, Field::DelayP95)?;
    let lost: Vec<String> = group
        .cells
        .iter()
        .filter_map(|cell| {
            let (released, delivered) = (sum(cell, Field::Messages)?, sum(cell, Field::Delivered)?);
            (released > delivered).then(|| {
                format!(
                    "{} never delivered {} % of its messages",
                    cell.arm,
                    number(100.0 * (1.0 - delivered / released))
                )
            })
        })
        .collect();
    let lost = if lost.is_empty() { String::new() } else { format!(" {}.", lost.join("; ")) };
    Some(format!("95th percentile of the delivered messages' delay in ms: {said}.{lost}"))
}

/// What of the delays was blocking, where packets were mapped to messages: measured, not inferred.
fn blocking(group: &Group<'_>) -> Option<String> {
    let said = each(group, Field::InnocentBlocked)?;
    let tails: Vec<String> =
        group.cells.iter().filter_map(|cell| Some(format!("{} {}", cell.arm, tail(cell)?))).collect();
    Some(format!(
        "Measured packet by packet: of the messages that lost nothing themselves, blocked for over 1 ms in %: {said}. \
         Largest part, beside the network, of the delay of the slowest hundredth: {}.",
        tails.join(", ")
    ))
}

/// Parts below this share of the delay, in percent, do not make the slowest messages slow.
const SLIGHT: f64 = 5.0;

/// What makes the slowest messages of a cell slow: the largest part beside the network, with its share.
fn tail(cell: &Cell<'_>) -> Option<String> {
    let parts = [
        (Field::TailHold, "sender hold"),
        (Field::TailOwnLoss, "own loss"),
        (Field::TailBlocked, "blocked"),
        (Field::TailStack, "stack"),
    ];
    let shares = parts.into_iter().filter_map(|(field, name)| Some((cell.spread(field)?.median, name)));
    let (share, name) = shares.max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(if share < SLIGHT { "none of weight".into() } else { format!("{name} ({} %)", number(share)) })
}

fn sum(cell: &Cell<'_>, field: Field) -> Option<f64> {
    let values = cell.values(field);
    (!values.is_empty()).then(|| values.into_iter().map(|(_, value)| value).sum())
}

fn goodput(group: &Group<'_>) -> Option<String> {
    Some(format!("Goodput in Mbit/s: {}.", each(group, Field::Goodput)?))
}

/// The round trips of the start, under the conditions with the least loss.
fn start(part: &PartView<'_>) -> Option<Finding> {
    if !matches!(part.cells[0].plan.workload, Workload::Bulk(_)) {
        return None;
    }
    let loss = |group: &Group<'_>| {
        let link = &group.cells[0].plan.link;
        link.up.loss.rate() + link.down.loss.rate()
    };
    let group = part.groups().into_iter().min_by(|a, b| loss(a).total_cmp(&loss(b)))?;
    let said = each(&group, Field::FirstByteRtts)?;
    let words = format!("Time from the start of connecting to the first payload byte, in round trips: {said}.");
    Some(Finding { conditions: group.label, words })
}

/// What is set against each other: tcp and quic where both are there, else the first two reliable arms.
fn compared_pair<'a>(group: &Group<'a>) -> Option<(&'a Cell<'a>, &'a Cell<'a>)> {
    let of = |arm: Arm| group.cells.iter().copied().find(|cell| cell.arm == arm && cell.n() > 0);
    let wished = of(Arm::default_of(Transport::Tcp)).zip(of(Arm::default_of(Transport::Quic)));
    wished.or_else(|| {
        let mut reliable = group.cells.iter().copied().filter(|cell| cell.arm.transport.is_reliable() && cell.n() > 0);
        reliable.next().zip(reliable.next())
    })
}

/// Ratios up to this, and down to its inverse, are not worth a word.
const ALIKE: f64 = 1.02;

/// The ratio of two arms over their common seeds, with what so many pairs can carry.
fn comparison(a: &Cell<'_>, b: &Cell<'_>, field: Field) -> Option<String> {
    let pairs = a.pairs(b, field);
    let (ratio, interval) = stats::paired_log_ratio(&pairs, 0.95, stats::BOOTSTRAP_SEED)?;
    let (below, above) = (pairs.iter().filter(|(a, b)| b < a).count(), pairs.iter().filter(|(a, b)| b > a).count());
    let n = pairs.len();
    let what = format!("{} over {} by seed: ×{}", b.arm, a.arm, number(ratio));
    if n == 1 {
        return Some(format!("{what}, from a single seed: no uncertainty can be given."));
    }
    let ratios: Vec<f64> = pairs.iter().map(|(a, b)| b / a).collect();
    let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let high = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low >= 1.0 / ALIKE && high <= ALIKE {
        return Some(format!("{} and {} lie within 2 % of each other in all {n} pairs.", b.arm, a.arm));
    }
    let direction = match (below, above) {
        (k, _) if k == n => format!("lower in all {n} pairs"),
        (_, k) if k == n => format!("higher in all {n} pairs"),
        (below, above) => format!("lower in {below}, higher in {above} of {n} pairs: the seeds disagree"),
    };
    let bounds = match interval.filter(|_| n >= stats::MIN_BOOTSTRAP) {
        Some(i) if i.low <= 1.0 && 1.0 <= i.high => {
            format!("95 % interval ×{}–×{} includes 1, so no difference is shown", number(i.low), number(i.high))
        }
        Some(i) => format!("95 % interval ×{}–×{}", number(i.low), number(i.high)),
        None => format!("range ×{}–×{}; too few pairs for an interval", number(low), number(high)),
    };
    Some(format!("{what} ({direction}; {bounds})."))
}

/// Seeds of a run that is to be published: enough for the 90th percentile over trials.
const PUBLISHABLE: usize = 30;

/// What so many paired seeds can show and what they cannot; `fewest` is the least that a cell has.
pub(super) fn power(seeds: usize, fewest: usize) -> String {
    let said = all_cells(seeds);
    if fewest < seeds { format!("{said} Some cells have only {fewest}: they carry less.") } else { said }
}

fn all_cells(seeds: usize) -> String {
    match seeds {
        0 => "No seed has a trial that counts: nothing is shown.".into(),
        1 => "One seed: a single observation of each arm. It shows how the transports behaved once; it cannot show \
              how much of a difference is chance."
            .into(),
        n => {
            let p = stats::smallest_two_sided_p(n);
            let quantile = stats::provable_quantile(n, 0.95) * 100.0;
            let significance = if p > 0.05 {
                "so no difference here can be called significant at 5 %, however clear it looks; it can show a large \
                 effect and its direction"
            } else {
                "so a difference in which all pairs agree can be called significant at 5 % for one comparison; several \
                 comparisons need a correction"
            };
            format!(
                "{n} paired seeds: the smallest two-sided p-value that {n} pairs can give is {}, {significance}. \
                 The largest of {n} trials bounds their {}th percentile at most (95 % confidence).{}",
                number(p),
                number(quantile.floor()),
                if n < PUBLISHABLE { " For results to publish, run at least 30 seeds: --repeat 30." } else { "" }
            )
        }
    }
}
