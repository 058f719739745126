//! The short answer: a sentence or two a part, which can be said aloud, and a small table of the figures behind them.
//!
//! The conditions that the sentences speak of are chosen by the experiment's plan, never by the results: those with
//! the most loss, and of several the last. The two arms that are set against each other are chosen in the same way.
//! A sentence never claims more than its seeds carry; the uncertainty in full is the report's own section.

#[cfg(test)]
mod tests;
mod words;

use samepath_model::{Arm, Transport, Workload};

use crate::cells::{Cell, Estimate};
use crate::metric::{self, Metric};
use crate::number::number;
use crate::part::{Group, PartView};
use crate::stats;
use words::{at, capital, each_on, joined, millis, share, verdict};

/// What a part answers.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its part.
    pub(crate) part: String,
    /// A sentence or two; the third says what was not delivered, or what is missing.
    pub(crate) sentences: Vec<String>,
    /// The arms, after the name of the column before them.
    pub(crate) head: Vec<String>,
    /// The figures behind the sentences: medians over the seeds.
    pub(crate) blocks: Vec<Block>,
    /// Sets of conditions that the table has no room for.
    pub(crate) left_out: usize,
}

/// A figure: a row for each set of conditions, whose name comes first, then a value an arm.
#[derive(Debug)]
pub(crate) struct Block {
    /// What the figure is; empty where the part varies nothing, and the one row says it.
    pub(crate) name: String,
    /// The rows.
    pub(crate) rows: Vec<Vec<String>>,
}

/// The answer of each part that has a trial that counts.
pub(crate) fn answers(parts: &[PartView<'_>]) -> Vec<Answer> {
    parts.iter().filter(|part| part.trials().next().is_some()).map(answer).collect()
}

fn answer(part: &PartView<'_>) -> Answer {
    let headline = Headline::of(part);
    let sentences = match headline {
        Headline::Delay => messages(part),
        Headline::Goodput => {
            let show = |value| format!("{} Mbit/s", number(value));
            transfers(part, &metric::GOODPUT, "the goodput was", show)
        }
        Headline::Completion => transfers(part, &metric::COMPLETION, "all was delivered after", millis),
        Headline::FirstByte => first_byte(part),
    };
    let shown = shown(part.groups().len());
    let (head, blocks) = table(part, headline, &shown);
    let left_out = part.groups().len() - shown.len();
    Answer { part: part.name.to_owned(), sentences, head, blocks, left_out }
}

/// What a part is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Headline {
    /// How late messages are, and what of it is blocking.
    Delay,
    /// How much gets through in a time.
    Goodput,
    /// How long so many bytes take.
    Completion,
    /// How soon an answer begins that is over before the congestion window matters.
    FirstByte,
}

/// Bytes that any initial window lets out at once: ten segments of 1,460 (RFC 6928).
const INITIAL_WINDOW: u64 = 14_600;

impl Headline {
    pub(crate) fn of(part: &PartView<'_>) -> Headline {
        match &part.cells[0].plan.workload {
            Workload::Messages(_) => Headline::Delay,
            Workload::Bulk(bulk) => match bulk.bytes {
                None => Headline::Goodput,
                Some(bytes) if bytes.bytes() <= INITIAL_WINDOW => Headline::FirstByte,
                Some(_) => Headline::Completion,
            },
        }
    }

    /// The figures of the small table, each with what it is called there.
    fn rows(self, part: &PartView<'_>) -> Vec<(Figure, &'static str)> {
        let of = |metric, name| (Figure::Of(metric), name);
        match self {
            Headline::Delay => vec![
                of(&metric::DELAY_P95, "one message in twenty took longer than [ms] (delay p95)"),
                of(&metric::INTACT_BLOCKED, "of the messages that lost nothing themselves, had to wait for others [%]"),
                (Figure::Undelivered, "never delivered [%]"),
            ],
            Headline::Goodput => vec![of(&metric::GOODPUT, "goodput [Mbit/s]")],
            Headline::Completion => vec![of(&metric::COMPLETION, "all delivered after [ms]")],
            Headline::FirstByte if has(part, &metric::FIRST_BYTE_RTTS) => {
                vec![of(&metric::FIRST_BYTE_RTTS, "first payload byte after [round trips]")]
            }
            Headline::FirstByte => vec![of(&metric::FIRST_BYTE, "first payload byte after [ms]")],
        }
    }
}

fn has(part: &PartView<'_>, metric: &Metric) -> bool {
    part.cells.iter().any(|cell| cell.estimate(metric).is_some())
}

/// What a cell of the small table shows.
#[derive(Clone, Copy)]
enum Figure {
    Of(&'static Metric),
    /// Messages that never arrived, as a share of those released, in percent, all trials together.
    Undelivered,
}

impl Figure {
    fn of(self, cell: &Cell<'_>) -> Option<f64> {
        match self {
            Figure::Of(metric) => cell.estimate(metric).map(|estimate| estimate.median),
            Figure::Undelivered => undelivered(cell),
        }
    }
}

fn undelivered(cell: &Cell<'_>) -> Option<f64> {
    let sum = |metric| cell.values(metric).into_iter().map(|(_, value)| value).sum::<f64>();
    let (released, delivered) = (sum(&metric::MESSAGES), sum(&metric::DELIVERED));
    (released > 0.0).then(|| 100.0 * (released - delivered).max(0.0) / released)
}

/// More conditions than these would make the table a wall again.
const MOST_CONDITIONS: usize = 6;

/// Which of so many sets of conditions the small table shows: evenly spread, the first and the last among them.
fn shown(conditions: usize) -> Vec<usize> {
    match conditions {
        n if n <= MOST_CONDITIONS => (0..n).collect(),
        n => (0..MOST_CONDITIONS).map(|i| i * (n - 1) / (MOST_CONDITIONS - 1)).collect(),
    }
}

/// The small table: its head and its blocks.
fn table(part: &PartView<'_>, headline: Headline, shown: &[usize]) -> (Vec<String>, Vec<Block>) {
    let (groups, arms) = (part.groups(), part.arms());
    let varied = groups.iter().any(|group| !group.label.is_empty());
    let mut head = vec![if varied { "conditions" } else { "" }.to_owned()];
    head.extend(arms.iter().map(ToString::to_string));
    let mut blocks = Vec::new();
    for (figure, name) in headline.rows(part) {
        let value = |group: &Group<'_>, arm: Arm| {
            group.cells.iter().find(|cell| cell.arm == arm).and_then(|cell| figure.of(cell))
        };
        let values: Vec<Vec<Option<f64>>> =
            shown.iter().map(|&at| arms.iter().map(|&arm| value(&groups[at], arm)).collect()).collect();
        // What nobody measured, or nobody lost, is no row.
        let idle =
            |value: &Option<f64>| value.is_none() || matches!(figure, Figure::Undelivered) && *value == Some(0.0);
        if values.iter().flatten().all(idle) {
            continue;
        }
        let row = |(values, &at): (&Vec<Option<f64>>, &usize)| {
            let first = if varied { groups[at].label.clone() } else { name.to_owned() };
            let values = values.iter().map(|value| value.map_or_else(|| "–".to_owned(), number));
            std::iter::once(first).chain(values).collect()
        };
        let name = if varied { name.to_owned() } else { String::new() };
        blocks.push(Block { rows: values.iter().zip(shown).map(row).collect(), name });
    }
    (head, blocks)
}

/// The two arms that are set against each other wherever both have figures: tcp and quic where both are there, else the
/// first two reliable arms, else the first two. The second is missing where there is but one.
pub(crate) fn compared(part: &PartView<'_>) -> Option<(Arm, Option<Arm>)> {
    let mut arms: Vec<Arm> = Vec::new();
    for cell in part.cells.iter().filter(|cell| cell.n() > 0) {
        if !arms.contains(&cell.arm) {
            arms.push(cell.arm);
        }
    }
    // Stable: in the experiment's order otherwise.
    arms.sort_by_key(|arm| !arm.is_reliable);
    let (tcp, quic) = (Arm::default_of(Transport::Tcp), Arm::default_of(Transport::Quic));
    if arms.contains(&tcp) && arms.contains(&quic) {
        return Some((tcp, Some(quic)));
    }
    let first = *arms.first()?;
    Some((first, arms.get(1).copied().filter(|second| second.is_reliable == first.is_reliable)))
}

/// The cells of the compared arms under one set of conditions.
struct Pair<'a> {
    group: Group<'a>,
    a: &'a Cell<'a>,
    b: Option<&'a Cell<'a>>,
}

/// The conditions to speak of: all those under which the compared arms have the figure, from the least loss to the
/// most, and what is to be said of the ones with the most loss where they are not among them.
fn told<'a>(part: &PartView<'a>, metric: &Metric) -> (Vec<Pair<'a>>, Option<String>) {
    let Some((a, b)) = compared(part) else { return (Vec::new(), None) };
    let loss = |group: &Group<'_>| {
        let link = &group.cells[0].plan.link;
        link.up.loss.rate() + link.down.loss.rate()
    };
    let mut groups = part.groups();
    groups.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
    let of = |group: &Group<'a>, arm: Arm| {
        group.cells.iter().copied().find(|cell| cell.arm == arm && cell.estimate(metric).is_some())
    };
    let missing = groups.last().and_then(|last| {
        let without = |counts: bool| {
            let has = |arm: Arm| last.cells.iter().any(|cell| cell.arm == arm && cell.n() > 0);
            let arms = [Some(a), b].into_iter().flatten().filter(|&arm| of(last, arm).is_none() && has(arm) == counts);
            joined(&arms.map(|arm| arm.to_string()).collect::<Vec<_>>())
        };
        let (uncounted, empty) = (without(false), without(true));
        let said = [
            (!uncounted.is_empty()).then(|| format!("no trial of {uncounted} counts")),
            (!empty.is_empty()).then(|| format!("nothing was delivered on {empty}")),
        ];
        let said: Vec<String> = said.into_iter().flatten().collect();
        (!said.is_empty()).then(|| sentence(at(last.cells[0]), &joined(&said)))
    });
    let pairs = groups.into_iter().filter_map(|group| {
        let first = of(&group, a)?;
        let second = match b {
            Some(arm) => Some(of(&group, arm)?),
            None => None,
        };
        Some(Pair { group, a: first, b: second })
    });
    (pairs.collect(), missing)
}

/// `At 3 % loss, of the …`, or `Of the …` where the part has nothing to lead with.
fn sentence(lead: Option<String>, body: &str) -> String {
    match lead {
        Some(lead) => format!("{lead}, {body}."),
        None => format!("{}.", capital(body)),
    }
}

/// A figure of the compared arms: `BEFORE 61 ms on quic`, with what their seeds carry.
fn set_against(pair: &Pair<'_>, metric: &Metric, before: &str, show: fn(f64) -> String) -> String {
    let of = |cell: &Cell<'_>| cell.estimate(metric).map_or_else(|| "–".to_owned(), |estimate| show(estimate.median));
    let a = format!("{before} {} on {}", of(pair.a), pair.a.arm);
    match pair.b {
        None => a,
        Some(b) => {
            let verdict = verdict(pair.a, b, metric).map_or_else(String::new, |said| format!(": {said}"));
            let other = if of(b) == of(pair.a) { String::new() } else { format!("{} ", of(b)) };
            format!("{a} and {other}on {}{verdict}", b.arm)
        }
    }
}

fn messages(part: &PartView<'_>) -> Vec<String> {
    let (pairs, missing) = told(part, &metric::DELAY_P95);
    let Some(pair) = pairs.last() else { return vec!["No message was delivered.".into()] };
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

/// Medians that differ by less than this factor are told together where the seeds do not part them.
const NEAR: f64 = 1.5;

/// The share of each arm in words. Arms whose seeds overlap, and whose medians are near each other, are told together:
/// a few seeds do not carry a difference between one in eight and one in nine.
fn alike(measured: &[(Arm, Estimate)]) -> Vec<(Arm, String)> {
    let mut groups: Vec<(Estimate, Vec<Arm>, bool)> = Vec::new();
    for &(arm, own) in measured {
        let near = |of: &Estimate| {
            let (low, high) = (of.median.min(own.median), of.median.max(own.median));
            let overlap = of.min <= own.max && own.min <= of.max || of.n == 1 || own.n == 1;
            low > 0.0 && high <= NEAR * low && overlap
        };
        match groups.iter_mut().find(|(of, ..)| near(of)) {
            Some((of, arms, about)) => {
                *about |= waiting(of) != waiting(&own);
                arms.push(arm);
            }
            None => groups.push((own, vec![arm], false)),
        }
    }
    let words = |(of, arms, about): (Estimate, Vec<Arm>, bool)| {
        let words = if about { format!("about {}", waiting(&of)) } else { waiting(&of) };
        arms.into_iter().map(move |arm| (arm, words.clone()))
    };
    groups.into_iter().flat_map(words).collect()
}

/// A share over the seeds: `none` and `all` hold in every one of them.
fn waiting(estimate: &Estimate) -> String {
    match estimate.median {
        none if none <= 0.0 && estimate.max > 0.0 => "almost none".into(),
        all if all >= 100.0 && estimate.min < 100.0 => "nearly all".into(),
        percent => share(percent),
    }
}

/// `BEFORE one in seven AFTER on tcp and tls, none on quic`.
fn each_told(before: &str, said: Vec<(Arm, String)>, after: &str) -> Option<String> {
    let first = said.first()?.1.clone();
    let all = each_on(said.into_iter(), "on")?;
    let after = if after.is_empty() { String::new() } else { format!(" {after}") };
    Some(format!("{before} {first}{after}{}", all.strip_prefix(&first)?))
}

/// Goodput or completion, under the conditions with the least loss and with the most.
fn transfers(part: &PartView<'_>, metric: &Metric, before: &str, show: fn(f64) -> String) -> Vec<String> {
    let (pairs, missing) = told(part, metric);
    let say = |pair: &Pair<'_>| sentence(at(pair.a), &set_against(pair, metric, before, show));
    let told = match &pairs[..] {
        [] => vec!["No transfer has the figure that this part is about.".into()],
        [only] => vec![say(only)],
        [least, .., most] => vec![say(least), say(most)],
    };
    missing.into_iter().chain(told).collect()
}

/// When the answer begins, of every arm.
fn first_byte(part: &PartView<'_>) -> Vec<String> {
    let in_round_trips = has(part, &metric::FIRST_BYTE_RTTS);
    let metric = if in_round_trips { &metric::FIRST_BYTE_RTTS } else { &metric::FIRST_BYTE };
    let (pairs, missing) = told(part, metric);
    let Some(pair) = pairs.last() else { return vec!["No answer began.".into()] };
    let show = |value: f64| match in_round_trips {
        true if value < 9.95 => {
            let rounded = format!("{value:.1}");
            rounded.strip_suffix(".0").map_or(rounded.clone(), str::to_owned)
        }
        true => number(value),
        false => millis(value),
    };
    let values: Vec<(Arm, String)> =
        pair.group.cells.iter().filter_map(|cell| Some((cell.arm, show(cell.estimate(metric)?.median)))).collect();
    let unit = match values.first() {
        Some((_, first)) if in_round_trips && first == "1" => "round trip",
        _ if in_round_trips => "round trips",
        _ => "",
    };
    let said = each_told("the first payload byte came after", values, unit);
    missing.into_iter().chain(said.map(|said| sentence(at(pair.a), &said))).collect()
}

/// What so many seeds carry, in one sentence below all answers; `fewest` is the least that a cell has.
pub(crate) fn caution(seeds: usize, fewest: usize) -> String {
    let mut said = match seeds {
        0 => return "No trial counts, so there is no answer.".to_owned(),
        1 => "All figures are of one seed: what happened once. How much of a difference is chance cannot be told."
            .to_owned(),
        n if stats::smallest_two_sided_p(n) > 0.05 => format!(
            "All figures are medians of {n} seeds: enough to see a large difference and its direction, too few to call \
             any significant."
        ),
        n => format!("All figures are medians of {n} seeds."),
    };
    if fewest < seeds {
        said += &match fewest {
            0 => " Some cells have no trial that counts.".to_owned(),
            fewest => format!(" Some cells have only {fewest}."),
        };
    }
    said
}
