//! Did anything change between two runs, by how much, and how sure is it.
//!
//! Cells are matched by part, axes and arm. Where both runs are of the same seeds the values are
//! paired, seed by seed, and a void or failed trial costs its pair; else the samples are taken as
//! independent, and every trial of each counts. Medians, ratio and test are always of the same values. The claim of a
//! change rests on a rank test, corrected for the number of comparisons (Holm), and on the judge's interval of the ratio
//! ([`Effect`]), which holds its level however few the trials are.

use std::collections::BTreeMap;
use std::fmt;

use samepath_model::arm::Arm;
use serde::Serialize;

use crate::analysis::Analysis;
use crate::cells::{Cell, label};
use crate::judge::Effect;
use crate::metric::{Better, Metric, Unit};
use crate::plain;
use crate::score;
use crate::stats;
use crate::store::Run;
use crate::table::number;

/// Chance of any false claim of a change in a comparison.
const ALPHA: f64 = 0.05;

/// Ratios within 1 ± this are called equal, where the interval lies within them.
const MARGIN: f64 = 0.05;

/// Two runs side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Directory of the first run.
    pub before: String,
    /// Directory of the second.
    pub after: String,
    /// What else differs between them: versions, machine, conditions.
    pub notes: Vec<String>,
    /// Each figure of each cell that both have.
    pub changes: Vec<Change>,
    /// Cells that only the first has.
    pub only_before: Vec<String>,
    /// Cells that only the second has.
    pub only_after: Vec<String>,
}

/// What became of one figure of one cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The part of the experiment.
    pub part: String,
    /// Value of each axis.
    pub axes: BTreeMap<String, String>,
    /// The arm.
    pub arm: Arm,
    /// The figure's name in files.
    pub figure: &'static str,
    /// Trials of the first run that everything here is of: those that have the figure, and, where they are paired,
    /// whose seed has it in the second run, too.
    pub n_before: usize,
    /// Trials of the second; where they are paired, as many.
    pub n_after: usize,
    /// Whether they were paired by seed.
    pub paired: bool,
    /// Median of those before.
    pub before: f64,
    /// Median of those after.
    pub after: f64,
    /// How many times the value before it is after: the median over the pairs, or over all pairs of one trial each where
    /// they are not paired. `None` where a value is 0.
    pub ratio: Option<f64>,
    /// Lower bound of the ratio's 95 % interval (order statistics); `None` where so few trials have none.
    pub ratio_low: Option<f64>,
    /// Upper bound.
    pub ratio_high: Option<f64>,
    /// Two-sided p-value: Wilcoxon's signed-rank test of pairs, else Mann–Whitney.
    pub p: Option<f64>,
    /// The same, corrected for all comparisons of this table (Holm).
    pub p_corrected: Option<f64>,
    /// What may be said.
    pub verdict: Verdict,
    #[serde(skip)]
    metric: &'static Metric,
}

/// What may be said of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Every seed has the very same value.
    Identical,
    /// It improved.
    Better,
    /// It became worse.
    Worse,
    /// The interval of the ratio lies within 5 % of 1.
    Equal,
    /// There are trials enough for a change to be seen, and none was.
    NotDetected,
    /// Whatever the values, so few trials could not show a change.
    CannotTell {
        /// Trials there are.
        n: usize,
        /// Trials it takes, in each run.
        needed: usize,
    },
}

/// Compares two runs cell by cell.
pub fn compare(before: &Analysis<'_>, after: &Analysis<'_>) -> Comparison {
    let (cells_before, cells_after) = (before.cells(), after.cells());
    let (before, after) = (before.run(), after.run());
    let find = |cells: &[Cell<'_>], cell: &Cell<'_>| cells.iter().position(|other| same(cell, other));
    let mut comparison = Comparison {
        before: before.dir().display().to_string(),
        after: after.dir().display().to_string(),
        notes: notes(before, after),
        changes: Vec::new(),
        only_before: Vec::new(),
        only_after: Vec::new(),
    };
    for cell in cells_before {
        let Some(other) = find(cells_after, cell).map(|i| &cells_after[i]) else {
            comparison.only_before.push(name(cell));
            continue;
        };
        comparison.notes.extend(conditions(cell, other));
        let metrics = score::of_workload(&cell.plan.workload).compared.iter();
        comparison.changes.extend(metrics.filter_map(|&metric| change(cell, other, metric)));
    }
    comparison.only_after = cells_after.iter().filter(|cell| find(cells_before, cell).is_none()).map(name).collect();
    judge(&mut comparison.changes);
    comparison
}

/// The values of two cells, as they may be compared.
enum Sample {
    Paired(Vec<(f64, f64)>),
    Apart(Vec<f64>, Vec<f64>),
}

impl Sample {
    /// Of a figure; `None` where a cell has no value.
    fn of(a: &Cell<'_>, b: &Cell<'_>, metric: &Metric) -> Option<Sample> {
        let pairs = a.pairs(b, metric);
        if !pairs.is_empty() {
            return Some(Sample::Paired(pairs));
        }
        let [a, b] = [a, b].map(|cell| cell.values(metric).into_iter().map(|(_, value)| value).collect::<Vec<_>>());
        (!a.is_empty() && !b.is_empty()).then_some(Sample::Apart(a, b))
    }

    /// The values of each run that everything else is of.
    fn sides(&self) -> [Vec<f64>; 2] {
        match self {
            Sample::Paired(pairs) => pairs.iter().copied().unzip().into(),
            Sample::Apart(a, b) => [a.clone(), b.clone()],
        }
    }

    /// The second over the first, with its 95 % interval; `None` where a value is 0.
    fn ratio(&self) -> Option<Effect> {
        match self {
            Sample::Paired(pairs) => {
                let ratio = |&(a, b): &(f64, f64)| (a > 0.0 && b > 0.0).then(|| b / a);
                Effect::of_median(&pairs.iter().map(ratio).collect::<Option<Vec<_>>>()?, 1.0 - ALPHA)
            }
            Sample::Apart(a, b) => Effect::of_ratio(a, b, 1.0 - ALPHA),
        }
    }

    /// The p-value of the rank test, and whether every pair is equal.
    fn test(&self) -> (Option<f64>, bool) {
        match self {
            Sample::Paired(pairs) => {
                let differences: Vec<f64> = pairs.iter().map(|(a, b)| b - a).collect();
                let identical = differences.iter().all(|d| *d == 0.0);
                (stats::wilcoxon_signed_rank(&differences).map(|test| test.p), identical)
            }
            Sample::Apart(a, b) => (stats::mann_whitney(a, b).map(|test| test.p), false),
        }
    }
}

fn change(a: &Cell<'_>, b: &Cell<'_>, metric: &'static Metric) -> Option<Change> {
    let sample = Sample::of(a, b, metric)?;
    let [values_before, values_after] = sample.sides();
    let (p, identical) = sample.test();
    let ratio = sample.ratio();
    let interval = ratio.and_then(|ratio| ratio.interval());
    Some(Change {
        part: a.part.clone(),
        axes: a.axes.clone(),
        arm: a.arm,
        figure: metric.name,
        n_before: values_before.len(),
        n_after: values_after.len(),
        paired: matches!(sample, Sample::Paired(_)),
        before: stats::median(&values_before)?,
        after: stats::median(&values_after)?,
        ratio: ratio.map(|ratio| ratio.value),
        ratio_low: interval.map(|(low, _)| low),
        ratio_high: interval.map(|(_, high)| high),
        p,
        p_corrected: None,
        verdict: if identical { Verdict::Identical } else { Verdict::NotDetected },
        metric,
    })
}

/// Corrects the p-values for their number and says what may be said. Where every pair is equal, no
/// assignment of signs could have given a small p-value, so such a comparison does not count among
/// those that are corrected for (Tarone, Biometrics 46, 1990).
fn judge(changes: &mut [Change]) {
    let tested: Vec<usize> =
        (0..changes.len()).filter(|&i| changes[i].verdict != Verdict::Identical && changes[i].p.is_some()).collect();
    let corrected = stats::holm(&tested.iter().filter_map(|&i| changes[i].p).collect::<Vec<_>>());
    let comparisons = tested.len();
    for (&i, p) in tested.iter().zip(corrected) {
        let change = &mut changes[i];
        change.p_corrected = Some(p);
        change.verdict = verdict(change, p, comparisons);
    }
}

fn verdict(change: &Change, p: f64, comparisons: usize) -> Verdict {
    let (n, m) = (change.n_before, change.n_after);
    let enough = |n: usize, m: usize| smallest_p(change.paired, n, m) * comparisons as f64 <= ALPHA;
    if !enough(n, m) {
        let needed = (n.min(m) + 1..1024).find(|&n| enough(n, n)).unwrap_or(1024);
        return Verdict::CannotTell { n: n.min(m), needed };
    }
    let bounds = change.ratio_low.zip(change.ratio_high);
    let rose = change.ratio.map_or(change.after > change.before, |ratio| ratio > 1.0);
    // The test and the interval must both say so.
    if p <= ALPHA && bounds.is_none_or(|(low, high)| low > 1.0 || high < 1.0) {
        let improves = change.metric.better.unwrap_or(Better::Lower) == Better::Higher;
        return if rose == improves { Verdict::Better } else { Verdict::Worse };
    }
    match bounds {
        Some((low, high)) if low >= 1.0 / (1.0 + MARGIN) && high <= 1.0 + MARGIN => Verdict::Equal,
        _ => Verdict::NotDetected,
    }
}

/// The smallest two-sided p-value that samples of these sizes can give.
fn smallest_p(paired: bool, n: usize, m: usize) -> f64 {
    if paired {
        return stats::smallest_two_sided_p(n.min(m));
    }
    // One of all the ways to choose n of n + m ranks.
    let ways: f64 = (1..=n).map(|i| (m + i) as f64 / i as f64).product();
    (2.0 / ways).min(1.0)
}

fn same(a: &Cell<'_>, b: &Cell<'_>) -> bool {
    a.part == b.part && a.axes == b.axes && a.arm == b.arm
}

fn name(cell: &Cell<'_>) -> String {
    place(&cell.part, &cell.axes, cell.arm)
}

fn place(part: &str, axes: &BTreeMap<String, String>, arm: Arm) -> String {
    if axes.is_empty() { format!("{part} {arm}") } else { format!("{part} {} {arm}", label(axes)) }
}

/// What differs between the programs and machines of two runs.
fn notes(before: &Run, after: &Run) -> Vec<String> {
    let (a, b) = (before.manifest(), after.manifest());
    let mut notes = Vec::new();
    let mut differ = |what: &str, a: String, b: String| {
        if a != b {
            notes.push(format!("{what}: {a} before, {b} after"));
        }
    };
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
    differ("samepath", a.version.clone(), b.version.clone());
    let build = |debug: bool| if debug { "debug" } else { "release" }.to_owned();
    differ("build", build(a.debug_build), build(b.debug_build));
    differ("kernel", known(&a.host.kernel), known(&b.host.kernel));
    differ("CPU", known(&a.host.cpu_model), known(&b.host.cpu_model));
    differ("cores", format!("{:?}", a.host.cores.unwrap_or(0)), format!("{:?}", b.host.cores.unwrap_or(0)));
    differ("backend", known(&a.backend), known(&b.backend));
    for (name, version) in &a.dependencies {
        if let Some(other) = b.dependencies.get(name) {
            differ(name, version.clone(), other.clone());
        }
    }
    notes
}

/// What differs between the conditions of two cells of one name.
fn conditions(a: &Cell<'_>, b: &Cell<'_>) -> Option<String> {
    let differ: Vec<_> = [
        ("workload", a.plan.workload != b.plan.workload),
        ("link", a.plan.link != b.plan.link),
        ("tuning", a.plan.tuning != b.plan.tuning),
    ]
    .into_iter()
    .filter_map(|(what, differs)| differs.then_some(what))
    .collect();
    (!differ.is_empty()).then(|| format!("{}: not the same {}", name(a), differ.join(", ")))
}

impl Change {
    /// The verdict in words.
    pub fn words(&self) -> String {
        let (better, worse) = self.metric.changes;
        match self.verdict {
            Verdict::Identical => "identical".into(),
            Verdict::Better => better.into(),
            Verdict::Worse => worse.into(),
            Verdict::Equal => format!("equal within {:.0} %", MARGIN * 100.0),
            Verdict::NotDetected => "no detectable difference".into(),
            Verdict::CannotTell { n, needed } => format!("cannot tell with n = {n} (needs {needed})"),
        }
    }
}

impl Comparison {
    /// As plain text, for the terminal.
    pub fn render(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "before: {}\nafter:  {}", self.before, self.after)?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        if self.changes.is_empty() {
            writeln!(f, "The two runs have no figure of the same cell in common: nothing to compare.")?;
        } else {
            writeln!(f, "{}", self.table())?;
            let comparisons = self.changes.iter().filter(|change| change.p.is_some()).count();
            writeln!(
                f,
                "n: pairs of trials of one seed; where the runs are of other seeds, the trials of each. Medians of those.\n\
                 Ratio: after over before, median of the pairs, with its 95 % interval (order statistics).\n\
                 Verdicts hold for all {comparisons} comparisons together at 5 % (rank tests, Holm's correction)."
            )?;
        }
        for (cells, which) in [(&self.only_before, "before"), (&self.only_after, "after")] {
            for cell in cells {
                writeln!(f, "only {which}: {cell}")?;
            }
        }
        Ok(())
    }
}

impl Comparison {
    fn table(&self) -> String {
        let mut rows = vec![["cell", "figure", "n", "before", "after", "ratio", "verdict"].map(String::from).to_vec()];
        let mut last = String::new();
        for change in &self.changes {
            let place = place(&change.part, &change.axes, change.arm);
            let ratio = match (change.ratio, change.ratio_low.zip(change.ratio_high)) {
                (Some(ratio), Some((low, high))) => format!("{ratio:.3} ({low:.3}–{high:.3})"),
                (Some(ratio), None) => format!("{ratio:.3}"),
                (None, _) => "–".into(),
            };
            let figure = match change.metric.unit {
                Unit::Count => change.metric.label.to_owned(),
                unit => format!("{} {}", change.metric.label, unit.symbol()),
            };
            let n = match change {
                Change { paired: true, n_before, .. } => n_before.to_string(),
                Change { n_before, n_after, .. } => format!("{n_before}, {n_after}"),
            };
            let shown = if place == last { String::new() } else { place.clone() };
            let [before, after] = [change.before, change.after].map(|value| number(change.metric, value));
            rows.push(vec![shown, figure, n, before, after, ratio, change.words()]);
            last = place;
        }
        plain::table(rows, 2..6)
    }
}

#[cfg(test)]
mod tests {
    use samepath_model::record::{Outcome, TrialRecord};
    use samepath_model::{ExperimentSpec, VoidKind, VoidReason};
    use tempfile::tempdir;

    use super::*;
    use crate::fixture;

    /// Two runs, the second slower by a factor, with so many seeds.
    fn comparison(seeds: u32, slower: f64) -> Comparison {
        let dir = tempdir().unwrap();
        let experiment = fixture::experiment_of(seeds);
        let runs = [("a", 1.0), ("b", slower)].map(|(name, s)| fixture::lines(&dir.path().join(name), &experiment, s));
        compare(&Analysis::of(&runs[0]), &Analysis::of(&runs[1]))
    }

    fn verdict_of(comparison: &Comparison, arm: &str, figure: &str) -> Verdict {
        let fits = |c: &&Change| c.arm.to_string() == arm && c.figure == figure && c.part == "messages";
        comparison.changes.iter().find(fits).unwrap().verdict
    }

    #[test]
    fn a_run_compared_with_itself_is_identical() {
        let comparison = comparison(3, 1.0);
        assert!(!comparison.changes.is_empty());
        assert!(comparison.changes.iter().all(|c| c.verdict == Verdict::Identical && c.ratio == Some(1.0)));
        assert!(comparison.notes.is_empty() && comparison.only_before.is_empty() && comparison.only_after.is_empty());
    }

    #[test]
    fn few_seeds_cannot_tell_and_many_can() {
        let few = comparison(3, 1.5);
        let Verdict::CannotTell { n: 3, needed } = verdict_of(&few, "tcp", "delay_p50_ms") else {
            panic!("three seeds prove nothing: {few}");
        };
        let many = comparison(u32::try_from(needed).unwrap(), 1.5);
        assert_eq!(verdict_of(&many, "tcp", "delay_p50_ms"), Verdict::Worse);
        assert_eq!(verdict_of(&many, "udp", "delivered_percent"), Verdict::Identical);
        let change = many.changes.iter().find(|c| c.figure == "delay_p50_ms").unwrap();
        assert!((change.ratio.unwrap() - 1.5).abs() < 1e-6 && change.paired);
        assert_eq!(verdict_of(&comparison(needed as u32, 0.8), "quic", "delay_p99_ms"), Verdict::Better);
    }

    #[test]
    fn runs_of_other_seeds_are_not_paired() {
        let dir = tempdir().unwrap();
        let [a, b] = [("a", 1..=10), ("b", 11..=20)].map(|(name, seeds)| {
            let experiment =
                ExperimentSpec { repeat: None, seeds: seeds.collect(), ..fixture::experiment().into_spec() }
                    .resolve()
                    .unwrap();
            fixture::lines(&dir.path().join(name), &experiment, 1.0)
        });
        let comparison = compare(&Analysis::of(&a), &Analysis::of(&b));
        assert!(comparison.changes.iter().all(|change| !change.paired && change.n_before == 10));
        // The fixture's seeds 11 to 20 are slower by about 9 %.
        assert_eq!(verdict_of(&comparison, "tcp", "delay_p50_ms"), Verdict::Worse);
    }

    #[test]
    fn a_few_common_seeds_are_not_paired() {
        let dir = tempdir().unwrap();
        let [a, b] = [("a", 10), ("b", 4)].map(|(name, seeds)| {
            let experiment = fixture::experiment_of(seeds);
            fixture::lines(&dir.path().join(name), &experiment, 1.0)
        });
        let comparison = compare(&Analysis::of(&a), &Analysis::of(&b));
        assert!(!comparison.changes.is_empty());
        for change in &comparison.changes {
            assert_eq!((change.paired, change.n_before, change.n_after), (false, 10, 4), "{}", change.figure);
        }
        // A seed more is 1 % more: the medians are those of seeds 1 to 10 and 1 to 4, and the ratio is near theirs.
        let p50 = comparison.changes.iter().find(|change| change.figure == "delay_p50_ms").unwrap();
        assert!((p50.before - 30.0 * 1.055).abs() < 1e-6 && (p50.after - 30.0 * 1.025).abs() < 1e-6, "{p50:?}");
        assert!((p50.ratio.unwrap() - p50.after / p50.before).abs() < 1e-3, "{p50:?}");
        assert!(comparison.render().contains("   10, 4  "), "{comparison}");
    }

    #[test]
    fn void_trials_cost_their_pairs() {
        let dir = tempdir().unwrap();
        let experiment = fixture::experiment_of(8);
        let [mut a, mut b] =
            [("a", 1.0), ("b", 1.5)].map(|(name, s)| fixture::lines(&dir.path().join(name), &experiment, s));
        for (run, seeds) in [(&mut a, 1..=1), (&mut b, 6..=8)] {
            for record in run.trials().to_vec().into_iter().filter(|record| seeds.contains(&record.trial.seed)) {
                run.append(&TrialRecord {
                    outcome: Outcome::Void { reasons: vec![VoidReason::new(VoidKind::LinkLate, "late")] },
                    ..record
                })
                .unwrap();
            }
        }
        let comparison = compare(&Analysis::of(&a), &Analysis::of(&b));
        let p50 = comparison.changes.iter().find(|change| change.figure == "delay_p50_ms").unwrap();
        // Seeds 2 to 5 are in both.
        assert_eq!((p50.paired, p50.n_before, p50.n_after), (true, 4, 4));
        assert!((p50.before - 30.0 * 1.035).abs() < 1e-6, "{p50:?}");
        assert!((p50.after / p50.before - 1.5).abs() < 1e-6 && (p50.ratio.unwrap() - 1.5).abs() < 1e-6, "{p50:?}");
    }

    #[test]
    fn runs_of_the_same_seeds_are_paired() {
        let dir = tempdir().unwrap();
        let runs = [("a", 3), ("b", 30)].map(|(name, seeds)| {
            let experiment = fixture::experiment_of(seeds);
            let mut run = Run::create(&dir.path().join(name), &experiment, fixture::manifest(&experiment)).unwrap();
            // The longer one was interrupted.
            for trial in experiment.trials().iter().filter(|trial| trial.seed <= 3) {
                run.append(&fixture::record(trial, &fixture::play(trial, 1.0))).unwrap();
            }
            run
        });
        let comparison = compare(&Analysis::of(&runs[0]), &Analysis::of(&runs[1]));
        assert!(comparison.changes.iter().all(|c| c.paired && c.n_after == 3 && c.verdict == Verdict::Identical));
    }

    #[test]
    fn other_conditions_and_missing_cells_are_named() {
        let dir = tempdir().unwrap();
        let experiment = fixture::experiment();
        let mut other = experiment.clone().into_spec();
        other.parts[0].arms.pop();
        other.parts[1].link.rtt = Some(samepath_model::Duration::from_millis(80));
        let other = other.resolve().unwrap();
        let [a, b] =
            [("a", &experiment), ("b", &other)].map(|(name, e)| fixture::lines(&dir.path().join(name), e, 1.0));
        let comparison = compare(&Analysis::of(&a), &Analysis::of(&b));
        assert_eq!(comparison.only_before, ["messages loss 0% udp", "messages loss 1% udp"]);
        assert_eq!(comparison.notes, ["bulk tcp: not the same link", "bulk quic: not the same link"]);
    }

    #[test]
    fn the_comparison_as_text() {
        let dir = tempdir().unwrap();
        let mut experiment = fixture::experiment().into_spec();
        experiment.parts.remove(0);
        let experiment = experiment.resolve().unwrap();
        let runs = [("a", 1.0), ("b", 1.2)].map(|(name, s)| fixture::lines(&dir.path().join(name), &experiment, s));
        let mut comparison = compare(&Analysis::of(&runs[0]), &Analysis::of(&runs[1]));
        (comparison.before, comparison.after) = ("a".into(), "b".into());
        let text = comparison.render();
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
        assert!(text.contains("0.833"));
        insta::assert_snapshot!(text, @"
        before: a
        after:  b
        cell        figure              n   before   after   ratio   verdict
        ───────────────────────────────────────────────────────────────────────────────────────────────
        bulk tcp    goodput Mbit/s      3     15.7    13.1   0.833   cannot tell with n = 3 (needs 7)
                    delivered share %   3      100     100   1.000   identical
                    handshake ms        3     60.1    60.1   1.000   identical
        bulk quic   goodput Mbit/s      3     15.7    13.1   0.833   cannot tell with n = 3 (needs 7)
                    delivered share %   3      100     100   1.000   identical
                    handshake ms        3      120     120   1.000   identical
        n: pairs of trials of one seed; where the runs are of other seeds, the trials of each. Medians of those.
        Ratio: after over before, median of the pairs, with its 95 % interval (order statistics).
        Verdicts hold for all 2 comparisons together at 5 % (rank tests, Holm's correction).
        ");
    }
}
