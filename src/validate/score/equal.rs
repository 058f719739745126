//! Scores of equality: do arms start alike, and do arms that differ in nothing that matters come out alike?

use std::collections::BTreeMap;

use samepath_model::experiment::Bound;
use samepath_model::record::{PacketRecord, TrialRecord};
use samepath_model::{Arm, Direction};
use samepath_results::judge::{Reason, Verdict, rule};
use samepath_results::{Run, stats};

use super::{Finding, done, flow, latest, median, short, within};
use crate::validate::finding::UNMEASURED;

/// S1. On the default link every window is at least one bandwidth-delay product, and those of a seed lie within 5 % of
/// each other. On links of other round-trip times they lie within 10 %, or a trial says what kept its window.
pub(crate) fn equal_start(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut groups: BTreeMap<(String, String), BTreeMap<u64, Vec<&TrialRecord>>> = BTreeMap::new();
    for record in done(run) {
        let of = (record.trial.part.clone(), record.trial.axes.values().cloned().collect::<Vec<_>>().join(" "));
        groups.entry(of).or_default().entry(record.trial.seed).or_default().push(record);
    }
    for ((part, axes), seeds) in groups {
        let is_default = part == "default";
        let (name, most) = if is_default { ("RTT 60 ms".to_owned(), 1.05) } else { (format!("RTT {axes}"), 1.10) };
        let windows = |records: &[&TrialRecord]| -> Vec<f64> {
            records.iter().filter_map(|record| Some(record.summary.as_ref()?.start?.window as f64 / 1e3)).collect()
        };
        let ratio = |values: &[f64]| {
            let (low, high) = (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max));
            high.zip(low).map_or(f64::NAN, |(high, low)| high / low)
        };
        let furthest = seeds.values().map(|records| ratio(&windows(records))).fold(f64::NAN, f64::max);
        let said: Vec<String> = seeds
            .values()
            .flatten()
            .filter_map(|record| {
                let told = record.summary.as_ref()?.start?.complaint()?;
                Some(format!("{} {told}", record.trial.id))
            })
            .collect();
        let each = by_arm(&seeds);
        let mut finding = within(format!("{name}: largest window over smallest"), 1.0, most, furthest, "");
        finding.found = format!("{} ({each})", short(furthest));
        if finding.verdict() == Some(Verdict::Fail) && !is_default && !said.is_empty() {
            finding.judgement = Verdict::Pass.into();
            finding.found = format!("{}; told: {}", finding.found, said.join("; "));
        }
        findings.push(finding);
        if is_default {
            let plan = seeds.values().flatten().next().map(|record| &record.trial.link);
            let bdp = plan.and_then(|link| Some(link.down.rate?.bytes_in(link.rtt()).bytes() as f64 / 1e3));
            let least = seeds.values().flat_map(|records| windows(records)).fold(f64::NAN, f64::min);
            let bdp = bdp.unwrap_or(f64::NAN);
            findings.push(Finding {
                what: format!("{name}: smallest window"),
                expected: format!("at least one BDP, {} kB", short(bdp)),
                found: format!("{} kB", short(least)),
                judgement: rule::of_value(Bound::AtLeast(bdp), least).into(),
            });
        }
    }
    Ok(findings)
}

/// The median window of each arm.
fn by_arm(seeds: &BTreeMap<u64, Vec<&TrialRecord>>) -> String {
    let mut arms: BTreeMap<Arm, Vec<f64>> = BTreeMap::new();
    for record in seeds.values().flatten() {
        let start = record.summary.as_ref().and_then(|summary| summary.start);
        arms.entry(record.trial.arm).or_default().extend(start.map(|start| start.window as f64 / 1e3));
    }
    arms.iter().map(|(arm, windows)| format!("{arm} {:.0} kB", median(windows))).collect::<Vec<_>>().join(", ")
}

/// How far the median ratio may be from 1, how far that of a seed, and how many of ten seeds must be so near.
const MEDIAN: (f64, f64) = (0.97, 1.03);
const NEAR: f64 = 0.05;
const MOST_APART: usize = 2;

/// S2. Encryption costs neither a round trip nor a packet once a connection stands, so under the same losses the mean
/// delay by tls over that by tcp is 1: the median over the seeds to within 3 %, and at least 8 of 10 seeds to within
/// 5 %. A seed that is not must be explained by the first packet at which the two part. Where more are not, though the
/// machine was late enough in them to have moved that packet, the count settles nothing. Against an arm that lost packets
/// of its warm-up the same comparison must fail.
pub(crate) fn same_but_for_encryption(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let of = |part: &str, arm: &str| -> BTreeMap<u64, &TrialRecord> {
        done(run)
            .filter(|record| record.trial.part == part && record.trial.arm.to_string() == arm)
            .map(|record| (record.trial.seed, record))
            .collect()
    };
    let (tcp, tls, harmed) = (of("messages", "tcp"), of("messages", "tls"), of("losses-before", "tcp"));
    let mut findings = Vec::new();
    let pairs = pairs(run, &tcp, &tls)?;
    let ratios: Vec<f64> = pairs.iter().map(|pair| pair.ratio).collect();
    findings.push(within("mean delay, tls over tcp: median".into(), MEDIAN.0, MEDIAN.1, median(&ratios), ""));
    let apart = pairs.iter().filter(|pair| (pair.ratio - 1.0).abs() > NEAR);
    let apart: Vec<(&Pair<'_>, Option<Parting>)> =
        apart.map(|pair| Ok((pair, parting(run, pair)?))).collect::<anyhow::Result<_>>()?;
    let by_machine = apart.iter().filter(|(pair, parting)| parting.as_ref().is_some_and(|p| p.is_by_machine(pair)));
    let verdict = count_verdict(apart.len(), by_machine.count());
    findings.push(Finding {
        what: format!("seeds within {} %, of {}", short(NEAR * 100.0), pairs.len()),
        expected: format!("all but {MOST_APART} at most"),
        found: format!(
            "{} ({})",
            pairs.len() - apart.len(),
            ratios.iter().map(|r| short(*r)).collect::<Vec<_>>().join(", ")
        ),
        judgement: if ratios.is_empty() { UNMEASURED } else { verdict }.into(),
    });
    for (pair, parting) in apart {
        findings.push(Finding {
            what: format!("seed {}: ×{}", pair.one.trial.seed, short(pair.ratio)),
            expected: "a first packet at which the two part".into(),
            judgement: parting.is_some().into(),
            found: parting
                .map_or_else(|| "none: every packet had the same fate in both".into(), |parting| parting.words),
        });
    }
    let control: Vec<f64> = self::pairs(run, &harmed, &tls)?.iter().map(|pair| pair.ratio).collect();
    let near = control.iter().filter(|ratio| (**ratio - 1.0).abs() <= NEAR).count();
    let passes = (MEDIAN.0..=MEDIAN.1).contains(&median(&control)) && control.len() - near <= MOST_APART;
    findings.push(Finding {
        what: "the same, tcp having lost packets of its warm-up".into(),
        expected: "not equal".into(),
        found: format!(
            "median {}, {near} of {} seeds within {} %",
            short(median(&control)),
            control.len(),
            short(NEAR * 100.0)
        ),
        judgement: if median(&control).is_nan() { UNMEASURED.into() } else { (!passes).into() },
    });
    Ok(findings)
}

/// What the number of seeds apart says, of which so many are the machine's doing.
fn count_verdict(apart: usize, by_machine: usize) -> Verdict {
    match () {
        () if apart <= MOST_APART => Verdict::Pass,
        () if apart - by_machine <= MOST_APART => Verdict::inconclusive(Reason::MachineLate),
        () => Verdict::Fail,
    }
}

/// Two trials of one seed.
struct Pair<'a> {
    one: &'a TrialRecord,
    other: &'a TrialRecord,
    /// The mean delay of the other over that of the one.
    ratio: f64,
}

fn pairs<'a>(
    run: &Run,
    ones: &BTreeMap<u64, &'a TrialRecord>,
    others: &BTreeMap<u64, &'a TrialRecord>,
) -> anyhow::Result<Vec<Pair<'a>>> {
    let mean = |record: &TrialRecord| -> anyhow::Result<f64> {
        let messages = run.messages(&record.trial.id)?;
        let delays: Vec<f64> = messages.iter().filter_map(|m| Some((m.delivered? - m.released) as f64)).collect();
        Ok(stats::mean(&delays).unwrap_or(f64::NAN))
    };
    let both = ones.iter().filter_map(|(seed, &one)| Some((one, *others.get(seed)?)));
    both.map(|(one, other)| Ok(Pair { one, other, ratio: mean(other)? / mean(one)? })).collect()
}

/// Packets further apart are not the same in both trials, in nanoseconds: less than half the time between two messages,
/// and more than a machine that keeps its bounds delays an end.
const SAME_TIME: u64 = 5_000_000;

/// What a packet of the schedule was to its connection, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    /// Whether it carried bytes that none before it had.
    kind: Kind,
    lost: bool,
    at: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    New,
    Again,
    Acknowledgement,
}

impl Step {
    fn said(step: Option<Step>) -> String {
        let Some(Step { kind, lost, at, .. }) = step else { return "sent nothing more".into() };
        let kind = match kind {
            Kind::New => "new data",
            Kind::Again => "data sent again",
            Kind::Acknowledgement => "an acknowledgement",
        };
        format!("{kind} at {:.2} ms, {}", at as f64 / 1e6, if lost { "lost" } else { "not lost" })
    }
}

/// The packets of the schedule in one direction, by their order.
fn steps(packets: &[PacketRecord]) -> Vec<Step> {
    let mut reached: Option<u32> = None;
    let mut steps = Vec::new();
    for packet in packets {
        let end = packet.tcp_seq.map(|seq| seq.wrapping_add(packet.payload));
        let is_new = match (end, reached) {
            (Some(end), Some(reached)) => end.wrapping_sub(reached).cast_signed() > 0,
            _ => true,
        };
        if packet.payload > 0 && is_new {
            reached = end;
        }
        if packet.arrived < 0 {
            continue;
        }
        let kind = match packet.payload {
            0 => Kind::Acknowledgement,
            _ if is_new => Kind::New,
            _ => Kind::Again,
        };
        steps.push(Step { kind, lost: packet.dropped.is_some(), at: packet.arrived });
    }
    steps
}

/// Where two trials of a seed part.
struct Parting {
    /// When it came, from the schedule's start.
    at: i64,
    /// How far apart it came in the two, where it is of one kind in both, in nanoseconds.
    moved: Option<u64>,
    words: String,
}

impl Parting {
    /// Whether the link and the ends were late, in the two trials together, by as much as the packet moved.
    fn is_by_machine(&self, pair: &Pair<'_>) -> bool {
        self.moved.is_some_and(|moved| moved as f64 / 1e6 <= latest(pair.one) + latest(pair.other))
    }
}

/// The first packet at which two trials of a seed part: the n-th of its direction came at another time, was of another
/// kind, or had another fate. Losses are drawn by time, so the times say why.
fn parting(run: &Run, pair: &Pair<'_>) -> anyhow::Result<Option<Parting>> {
    let mut first: Option<Parting> = None;
    for direction in Direction::BOTH {
        let of = |record: &TrialRecord| -> anyhow::Result<Vec<Step>> { Ok(steps(&flow(run, record, direction)?)) };
        let (ones, others) = (of(pair.one)?, of(pair.other)?);
        let Some((number, one, other)) = first_difference(&ones, &others) else { continue };
        let at = one.or(other).map_or(i64::MAX, |step| step.at);
        let words = format!(
            "packet {number} {direction} of the schedule: {} {}; {} {}",
            pair.one.trial.arm,
            Step::said(one),
            pair.other.trial.arm,
            Step::said(other)
        );
        let alike = one.zip(other).filter(|(one, other)| one.kind == other.kind);
        let moved = alike.map(|(one, other)| one.at.abs_diff(other.at));
        if first.as_ref().is_none_or(|earlier| at < earlier.at) {
            first = Some(Parting { at, moved, words });
        }
    }
    Ok(first)
}

fn first_difference(ones: &[Step], others: &[Step]) -> Option<(usize, Option<Step>, Option<Step>)> {
    let all = ones.len().max(others.len());
    let at = |steps: &[Step], number: usize| steps.get(number).copied();
    let differ = |one: Option<Step>, other: Option<Step>| match (one, other) {
        (Some(one), Some(other)) => {
            (one.kind, one.lost) != (other.kind, other.lost) || one.at.abs_diff(other.at) > SAME_TIME
        }
        _ => true,
    };
    (0..all).map(|number| (number, at(ones, number), at(others, number))).find(|(_, one, other)| differ(*one, *other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(kind: Kind, lost: bool, at: i64) -> Step {
        Step { kind, lost, at }
    }

    #[test]
    fn too_many_differing_seeds_fail() {
        let verdicts = [(2, 0), (3, 0), (3, 1), (5, 2), (5, 3)].map(|(apart, moved)| count_verdict(apart, moved));
        let [pass, fail, open] = [Verdict::Pass, Verdict::Fail, Verdict::inconclusive(Reason::MachineLate)];
        assert_eq!(verdicts, [pass, fail, open, fail, open]);
    }

    #[test]
    fn trials_part_at_the_first_differing_packet() {
        let new = |at, lost| step(Kind::New, lost, at);
        let one = [new(0, false), new(12, true), step(Kind::Again, false, 74), new(80, false)];
        let same = one.map(|step| Step { at: step.at + 1, ..step });
        assert_eq!(first_difference(&one, &same), None, "nothing comes at the same nanosecond");
        let later = one.map(|step| Step { at: step.at * 1_000_000, ..step });
        assert_eq!(first_difference(&one, &later).map(|(number, ..)| number), Some(1), "another message's");
        let mut other = same;
        other[2].lost = true;
        assert_eq!(first_difference(&one, &other), Some((2, Some(one[2]), Some(other[2]))));
        assert_eq!(first_difference(&one, &same[..3]), Some((3, Some(one[3]), None)));
        assert_eq!(Step::said(Some(other[2])), "data sent again at 0.00 ms, lost");
    }
}
