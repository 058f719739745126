//! Cells: the trials of one part, one value of each axis and one arm, over the seeds.
//!
//! The trial is the unit of every statistic: messages within one trial share its losses. Void and
//! failed trials stay in their cell, counted, and out of its figures.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use samepath_model::VoidReason;
use samepath_model::arm::Arm;
use samepath_model::experiment::{Trial, TrialId};
use samepath_model::flow::UNDER_TEST;
use samepath_model::record::{Outcome, TrialRecord};

use crate::memo::Memo;
use crate::metric::Metric;
use crate::number;
use crate::stats::{self, Interval};
use crate::store::Run;

/// The trials of one arm under one set of conditions.
#[derive(Debug, Clone)]
pub struct Cell<'a> {
    /// The part of the experiment.
    pub part: String,
    /// Value of each axis, as text.
    pub axes: BTreeMap<String, String>,
    /// What is compared.
    pub arm: Arm,
    /// One of its trials, as the experiment resolves it: workload, link and tuning of them all.
    pub plan: Trial,
    /// The seeds of all its trials, those that do not count and those to come included.
    pub seeds: BTreeSet<u64>,
    /// Trials that count, by seed.
    pub trials: Vec<&'a TrialRecord>,
    /// Trials whose conditions were not kept.
    pub void: Vec<&'a TrialRecord>,
    /// Trials that did not get to their end.
    pub failed: Vec<&'a TrialRecord>,
    /// Trials that have not been run yet.
    pub pending: usize,
    /// What the competing flows of its trials came to, in the order of the experiment.
    pub competing: Vec<Competing<'a>>,
    /// By the metric's name.
    estimates: Memo<&'static str, Option<Estimate>>,
    intervals: Memo<&'static str, Option<Interval>>,
    /// By the pairs' bits.
    ratios: Memo<Vec<[u64; 2]>, Option<Ratio>>,
}

/// A competing flow over the trials of a cell.
#[derive(Debug, Clone)]
pub struct Competing<'a> {
    /// What it is called: `tcp beside quic`.
    pub name: String,
    /// Its trials, each with that flow's plan and figures.
    pub cell: Cell<'a>,
}

/// The confidence of the intervals in tables and charts.
const LEVEL: f64 = 0.95;

/// A median of ratios, and its 95 % confidence interval (order statistics over seeds).
type Ratio = (f64, Option<Interval>);

/// Why a trial does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble<'a> {
    /// It failed: what it was doing, and what went wrong.
    Failed {
        /// The step.
        step: &'a str,
        /// The error.
        error: &'a str,
    },
    /// It is void.
    Void(&'a VoidReason),
}

impl fmt::Display for Trouble<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Failed { step, error } => write!(f, "failed at {step}: {error}"),
            Trouble::Void(reason) => write!(f, "void: {reason}"),
        }
    }
}

/// A figure of a cell over its seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Trials that have the figure.
    pub n: usize,
    /// Median (nearest rank would not be symmetric: the mean of the middle two where n is even).
    pub median: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

impl<'a> Cell<'a> {
    /// The cell of a planned trial, and those of the flows beside it; without any trial so far.
    fn of(plan: &Trial) -> Cell<'a> {
        let competing = plan.flows().filter(|flow| *flow != UNDER_TEST);
        Cell {
            part: plan.part.clone(),
            axes: plan.axes.clone(),
            arm: plan.arm,
            plan: plan.clone(),
            seeds: BTreeSet::new(),
            trials: Vec::new(),
            void: Vec::new(),
            failed: Vec::new(),
            pending: 0,
            competing: competing
                .map(|flow| Competing { name: plan.name_of(flow), cell: Cell::of(&plan.of_flow(flow)) })
                .collect(),
            estimates: Memo::default(),
            intervals: Memo::default(),
            ratios: Memo::default(),
        }
    }

    /// Adds a planned trial, with its record where it has ended and those of the flows beside it.
    fn add(&mut self, seed: u64, record: Option<&'a TrialRecord>, competing: &'a [TrialRecord]) {
        self.seeds.insert(seed);
        match record.map(|record| (&record.outcome, record)) {
            None => self.pending += 1,
            Some((Outcome::Done, record)) => self.trials.push(record),
            Some((Outcome::Void { .. }, record)) => self.void.push(record),
            Some((Outcome::Failed { .. }, record)) => self.failed.push(record),
        }
        for (place, flow) in self.competing.iter_mut().enumerate() {
            // Of a trial that failed there is its own record alone.
            flow.cell.add(seed, competing.get(place).or(record), &[]);
        }
    }

    /// Puts its trials in the order of their seeds.
    fn sort(&mut self) {
        self.trials.sort_by_key(|record| record.trial.seed);
        self.competing.iter_mut().for_each(|flow| flow.cell.sort());
    }
}

impl Cell<'_> {
    /// Trials that count.
    pub fn n(&self) -> usize {
        self.trials.len()
    }

    /// The axes as `loss 1%, rtt 60ms`; empty where the part has none.
    pub fn label(&self) -> String {
        label(&self.axes)
    }

    /// Seed and value of every trial that counts and has the figure, by seed.
    pub fn values(&self, metric: &Metric) -> Vec<(u64, f64)> {
        self.trials.iter().filter_map(|record| Some((record.trial.seed, (metric.of)(record)?))).collect()
    }

    /// The figure in this cell and in another, seed by seed, of the seeds that have it in both. Two cells make pairs
    /// where they are planned with the same seeds, of which void and failed trials may cost some, or where the very
    /// same seeds have the figure. Else there are none: a few seeds in common would speak for all the others.
    pub fn pairs(&self, other: &Cell<'_>, metric: &Metric) -> Vec<(f64, f64)> {
        let (own, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (self.values(metric).into_iter().collect(), other.values(metric).into_iter().collect());
        if self.seeds != other.seeds && !own.keys().eq(others.keys()) {
            return Vec::new();
        }
        own.into_iter().filter_map(|(seed, value)| Some((value, *others.get(&seed)?))).collect()
    }

    /// The figure over the seeds; `None` where no trial has it.
    pub fn estimate(&self, metric: &Metric) -> Option<Estimate> {
        self.estimates.get(metric.name, || {
            let values: Vec<f64> = self.values(metric).into_iter().map(|(_, value)| value).collect();
            Some(Estimate {
                n: values.len(),
                median: stats::median(&values)?,
                min: values.iter().copied().reduce(f64::min)?,
                max: values.iter().copied().reduce(f64::max)?,
            })
        })
    }

    /// 95 % confidence interval of the figure's median (order statistics over seeds); `None` with fewer than
    /// [`stats::FEWEST_FOR_INTERVAL`] trials, of which there is none.
    pub fn interval(&self, metric: &Metric) -> Option<Interval> {
        self.intervals.get(metric.name, || {
            let values: Vec<f64> = self.values(metric).into_iter().map(|(_, value)| value).collect();
            stats::median_interval(&values, LEVEL)
        })
    }

    /// How many times the figure of this cell that of another is, in the median over the [pairs](Cell::pairs) that they
    /// make, with its interval where they are enough; `None` where there are none, or a value is not above 0.
    pub fn ratio(&self, other: &Cell<'_>, metric: &Metric) -> Option<(f64, Option<Interval>)> {
        let pairs = self.pairs(other, metric);
        let bits = pairs.iter().map(|(own, others)| [own.to_bits(), others.to_bits()]).collect();
        self.ratios.get(bits, || {
            let ratio = |&(own, others): &(f64, f64)| (own > 0.0 && others > 0.0).then(|| others / own);
            let ratios = pairs.iter().map(ratio).collect::<Option<Vec<f64>>>()?;
            Some((stats::median(&ratios)?, stats::median_interval(&ratios, LEVEL)))
        })
    }

    /// The figure with its spread over seeds, as tables say it: `12.3 (11.8–12.9)`; `–` where missing.
    pub(crate) fn spread(&self, metric: &Metric) -> String {
        self.estimate(metric).map_or_else(|| "–".into(), |of| number::range(of.median, of.min, of.max))
    }

    /// The reasons of its void and failed trials, each with the trials that gave it.
    pub fn troubles(&self) -> BTreeMap<Trouble<'_>, Vec<&TrialId>> {
        let mut troubles: BTreeMap<Trouble<'_>, Vec<&TrialId>> = BTreeMap::new();
        for record in self.void.iter().chain(&self.failed) {
            let of_trial: Vec<Trouble<'_>> = match &record.outcome {
                Outcome::Done => Vec::new(),
                Outcome::Void { reasons } => reasons.iter().map(Trouble::Void).collect(),
                Outcome::Failed { step, error } => vec![Trouble::Failed { step, error }],
            };
            for trouble in of_trial {
                troubles.entry(trouble).or_default().push(&record.trial.id);
            }
        }
        troubles
    }
}

/// The axes as `loss 1%, rtt 60ms`.
pub fn label(axes: &BTreeMap<String, String>) -> String {
    axes.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

/// The cells of a run, in the order of its experiment: part, axes, arm.
pub(crate) fn cells(run: &Run) -> Vec<Cell<'_>> {
    type Key = (String, BTreeMap<String, String>, Arm);
    let mut cells: Vec<Cell<'_>> = Vec::new();
    let mut places: BTreeMap<Key, usize> = BTreeMap::new();
    let records: BTreeMap<_, _> =
        run.trials().iter().zip(run.competing()).map(|(record, flows)| (&record.trial.id, (record, flows))).collect();
    for plan in run.planned() {
        let key = (plan.part.clone(), plan.axes.clone(), plan.arm);
        let place = *places.entry(key).or_insert_with(|| {
            cells.push(Cell::of(plan));
            cells.len() - 1
        });
        match records.get(&plan.id) {
            Some(&(record, competing)) => cells[place].add(plan.seed, Some(record), competing),
            None => cells[place].add(plan.seed, None, &[]),
        }
    }
    cells.iter_mut().for_each(Cell::sort);
    cells
}

#[cfg(test)]
mod tests {
    use samepath_model::{Experiment, VoidKind};
    use tempfile::tempdir;

    use super::*;
    use crate::fixture;
    use crate::metric;

    #[test]
    fn cells_keep_the_order_and_exclude_void_trials() {
        let dir = tempdir().unwrap();
        let mut run = fixture::lines(dir.path(), &fixture::experiment(), 1.0);
        let of = |record: &TrialRecord, outcome| TrialRecord { outcome, ..record.clone() };
        let (late, drops) =
            (VoidReason::new(VoidKind::LinkLate, "late"), VoidReason::new(VoidKind::HostDrops, "drops"));
        let void = of(&run.trials()[0], Outcome::Void { reasons: vec![late, drops] });
        let error = "no answer".to_owned();
        let failed = of(&run.trials()[1], Outcome::Failed { step: "client".into(), error });
        run.append(&void).unwrap();
        run.append(&failed).unwrap();
        let cells = cells(&run);
        let names: Vec<_> = cells.iter().map(|c| format!("{} {} {}", c.part, c.label(), c.arm)).collect();
        assert_eq!(
            names[..4],
            ["messages loss 0% tcp", "messages loss 0% quic", "messages loss 0% udp", "messages loss 1% tcp"]
        );
        assert_eq!(names[6..], ["bulk  tcp", "bulk  quic"]);
        let counts: Vec<_> = cells.iter().map(|c| (c.n(), c.void.len(), c.failed.len(), c.pending)).collect();
        assert_eq!(counts[..3], [(2, 1, 0, 0), (2, 0, 1, 0), (3, 0, 0, 0)]);
        assert_eq!(
            cells[0]
                .troubles()
                .into_iter()
                .map(|(trouble, trials)| (trouble.to_string(), trials.len()))
                .collect::<Vec<_>>(),
            [("void: late".into(), 1), ("void: drops".into(), 1)]
        );
        // Seed 1 is void: seeds 2 and 3 are left.
        assert_eq!(cells[0].values(&metric::MESSAGES), [(2, 100.0), (3, 100.0)]);
        let estimate = cells[2].estimate(&metric::DELAY_P50).unwrap();
        assert!((estimate.min - 30.3).abs() < 1e-6 && (estimate.median - 30.6).abs() < 1e-6);
        assert_eq!(cells[2].interval(&metric::DELAY_P50), None);
        assert_eq!(cells[2].estimate(&metric::HANDSHAKE), None);
    }

    #[test]
    fn competing_flows_have_cells_beside_the_flow_under_test() {
        let dir = tempdir().unwrap();
        let text = "schema = 1\nname = 'two'\nrepeat = 3\n[[part]]\nname = 'bulk'\narms = ['tcp', 'quic']\n\
                    workload = { kind = 'bulk', bytes = '1MB' }\n[[part.competing-flow]]\nname = 'other'\n\
                    arm = 'udp'\nworkload = { kind = 'messages', streams = 2, count = 5 }\n";
        let mut run = fixture::lines(dir.path(), &Experiment::parse(text).unwrap(), 1.0);
        let failed = Outcome::Failed { step: "client".into(), error: "no answer".into() };
        let first = run.trials()[0].clone();
        run.append(&TrialRecord { outcome: failed, summary: None, competing: Vec::new(), ..first }).unwrap();
        let cells = cells(&run);
        assert_eq!(cells.len(), 2, "an arm each");
        for (cell, failed) in cells.iter().zip([1, 0]) {
            let [other] = &cell.competing[..] else { panic!("one flow beside it") };
            assert_eq!(other.name, format!("other beside {}", cell.arm));
            assert_eq!((other.cell.arm.to_string().as_str(), &other.cell.seeds), ("udp", &cell.seeds));
            assert_eq!((other.cell.n(), other.cell.failed.len(), other.cell.pending), (3 - failed, failed, 0));
            assert!(other.cell.values(&metric::MESSAGES).iter().all(|(_, messages)| *messages == 10.0));
            assert!(cell.values(&metric::MESSAGES).iter().all(|(_, messages)| *messages == 1.0));
        }
    }
}
