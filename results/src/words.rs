//! Figures as people say them.

use samepath_model::link::Loss;
use samepath_model::{Arm, Duration};

use crate::cells::Cell;
use crate::metric::Metric;
use crate::number::number;

/// The conditions of a cell, to begin a sentence with: `At 3 % loss`, `With rtt 60ms`. Where the part varies nothing,
/// its random loss; `None` where it has none.
pub(crate) fn at(cell: &Cell<'_>) -> Option<String> {
    if cell.axes.len() == 1
        && let Some(loss) = cell.axes.get("loss")
        && let Some(percent) = loss.strip_suffix('%').filter(|percent| percent.parse::<f64>().is_ok())
    {
        return Some(format!("At {percent} % loss"));
    }
    if !cell.axes.is_empty() {
        return Some(format!("With {}", cell.label()));
    }
    match cell.plan.link.direction(cell.plan.workload.direction()).loss {
        Loss::Random(p) => Some(format!("At {} % loss", number(p.fraction() * 100.0))),
        _ => None,
    }
}

const NUMBERS: [&str; 13] =
    ["", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

fn spelled(n: u32) -> String {
    NUMBERS.get(n as usize).map_or_else(|| n.to_string(), |word| (*word).to_owned())
}

/// Shares that are said as two numbers.
const FRACTIONS: [(u32, u32); 6] = [(2, 5), (3, 5), (2, 3), (3, 4), (4, 5), (9, 10)];
/// How far the words may be from the share, as a part of the share.
const ROUNDING: f64 = 0.08;

/// A share as one says it: `none`, `almost none` (below 1 %), `one in seven`, `half`, `all`; in percent where no plain words come near.
pub(crate) fn share(percent: f64) -> String {
    if !percent.is_finite() {
        return "–".into();
    }
    let share = percent / 100.0;
    match percent {
        p if p <= 0.0 => return "none".into(),
        p if p >= 100.0 => return "all".into(),
        p if p < 1.0 => return "almost none".into(),
        p if p > 95.0 => return "nearly all".into(),
        _ => {}
    }
    let of = (1.0 / share).round();
    let unit = (share < 0.55).then_some((1, of as u32));
    let near = |&(k, n): &(u32, u32)| (f64::from(k) / f64::from(n) / share - 1.0).abs();
    let best = FRACTIONS.into_iter().chain(unit).min_by(|a, b| near(a).total_cmp(&near(b)));
    match best {
        Some((1, 2)) if near(&(1, 2)) <= ROUNDING => "half".into(),
        Some((k, n)) if near(&(k, n)) <= ROUNDING => format!("{} in {}", spelled(k), spelled(n)),
        _ => format!("{} %", number(percent)),
    }
}

/// A time in milliseconds, from ten seconds on in seconds.
pub(crate) fn millis(value: f64) -> String {
    if value.abs() >= 1e4 { format!("{} s", number(value / 1e3)) } else { format!("{} ms", number(value)) }
}

/// A time that an application waits, or that somebody bears: from a second on in seconds.
pub(crate) fn time(duration: Duration) -> String {
    match duration.as_millis_f64() {
        ms if ms < 1e3 => millis(ms),
        ms => format!("{} s", number(ms / 1e3)),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn joined(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// What is said of each arm, those of whom the same is said together: `2 on tcp and quic, 3 on tls`.
pub(crate) fn each_on(said: impl Iterator<Item = (Arm, String)>, on: &str) -> Option<String> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (arm, words) in said {
        match groups.iter_mut().find(|(known, _)| *known == words) {
            Some((_, arms)) => arms.push(arm.to_string()),
            None => groups.push((words, vec![arm.to_string()])),
        }
    }
    let phrases: Vec<String> =
        groups.into_iter().map(|(words, arms)| format!("{words} {on} {}", joined(&arms))).collect();
    (!phrases.is_empty()).then(|| phrases.join(", "))
}

/// With its first character in upper case.
pub(crate) fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// Ratios up to this, and down to its inverse, are not worth a word.
const ALIKE: f64 = 1.02;

/// What the seeds that two arms share can carry of a difference; `None` where they share none.
pub(crate) fn verdict(a: &Cell<'_>, b: &Cell<'_>, metric: &Metric) -> Option<String> {
    let pairs = a.pairs(b, metric);
    let n = pairs.len();
    let count = |test: fn(&(f64, f64)) -> bool| pairs.iter().filter(|pair| test(pair)).count();
    let (below, above) = (count(|(a, b)| b < a), count(|(a, b)| b > a));
    let alike = count(|(a, b)| a == b || (1.0 / ALIKE..=ALIKE).contains(&(b / a)));
    let arm = b.arm;
    let seeds = if n == 1 { "in the single seed".to_owned() } else { format!("in all {n} paired seeds") };
    if n == 0 {
        return None;
    } else if alike == n {
        return Some(format!("within 2 % of each other {seeds}"));
    } else if below == n {
        return Some(format!("less on {arm} {seeds}"));
    } else if above == n {
        return Some(format!("more on {arm} {seeds}"));
    }
    let most = if above > below { format!("more in {above}") } else { format!("less in {below}") };
    let interval = a.ratio(b, metric).and_then(|(_, interval)| interval);
    let shown = interval.is_some_and(|i| i.low > 1.0 || i.high < 1.0);
    Some(if shown {
        format!("on {arm} {most} of {n} paired seeds")
    } else {
        format!("no difference is shown (on {arm} {most} of {n} paired seeds)")
    })
}
