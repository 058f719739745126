//! Verdicts on a run's cells.

use std::collections::BTreeSet;

use samepath_model::experiment::{Bound, CellName, Relation, Statistic};
use serde::Serialize;

use super::expectation::Expectation;
use super::rule;
use super::verdict::{Reason, Verdict};
use crate::cells::Cell;
use crate::metric::{Metric, Unit};
use crate::number::number;
use crate::stats;

/// An expectation, what was found, and whether they agree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// Which of the file's expectations it is, from 1.
    pub expectation: usize,
    /// The cell; `None` where the run was to have none of those that the file names.
    #[serde(flatten)]
    pub cell: Option<CellName>,
    /// The metric's name in files.
    pub metric: String,
    /// The cell in words.
    pub of: String,
    /// What is expected of it, in words.
    pub claim: String,
    /// How sure a verdict on a median is to be, as 0.95; `None` where each trial is looked at.
    pub confidence: Option<f64>,
    /// What the trials came to; `None` where none has the metric.
    pub found: Option<Found>,
    /// The same in words.
    pub words: String,
    /// Whether they agree.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What trials came to, or pairs of them, in the metric's unit; a ratio in none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Found {
    /// How many they are.
    pub n: usize,
    /// Their median, or the percentile of them that is looked at.
    pub median: f64,
    /// Lower end of its interval; `None` where so few have none, or each is looked at.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// The smallest of them.
    pub smallest: f64,
    /// The largest.
    pub largest: f64,
}

/// Holds an expectation against the cells of a run.
pub fn judge(expectation: &Expectation, cells: &[Cell<'_>]) -> Judged {
    let evidence = Evidence::of(expectation, cells);
    let (found, verdict) = evidence.map_or_else(
        || (None, Verdict::inconclusive(Reason::NotRun { pending: 0 })),
        |evidence| (evidence.found(expectation), evidence.verdict(expectation)),
    );
    Judged {
        expectation: expectation.number,
        cell: expectation.cell.as_ref().map(|expected| expected.cell.clone()),
        metric: expectation.metric.key(),
        of: expectation.of(),
        claim: expectation.claim(),
        confidence: match expectation.statistic {
            Statistic::Median { confidence } | Statistic::Percentile { confidence, .. } => Some(confidence),
            Statistic::Each => None,
        },
        found,
        words: words(found, expectation),
        verdict,
    }
}

/// What the trials of a cell, or of two, say of a metric.
struct Evidence {
    /// Of trials that count, or of the pairs of one seed that do.
    values: Vec<f64>,
    /// Seeds that were to be run.
    planned: usize,
    void: usize,
    failed: usize,
    pending: usize,
    /// Trials that count and do not have the metric.
    missing: usize,
    /// Whether a value cannot be divided by.
    has_no_ratio: bool,
}

impl Evidence {
    /// `None` where the run was to have no such cell.
    fn of(expectation: &Expectation, cells: &[Cell<'_>]) -> Option<Evidence> {
        let find = |name: &CellName| {
            cells.iter().find(|cell| cell.arm == name.arm && cell.part == name.part && cell.axes == name.axes)
        };
        let expected = expectation.cell.as_ref()?;
        let cell = find(&expected.cell)?;
        match (expectation.relation, &expected.other) {
            (Some(relation), Some(other)) => Some(Evidence::of_pair(cell, relation, find(other)?, expectation.metric)),
            _ => Some(Evidence::of_cell(cell, expectation.metric)),
        }
    }

    fn of_cell(cell: &Cell<'_>, metric: &Metric) -> Evidence {
        let values: Vec<f64> = cell.values(metric).into_iter().map(|(_, value)| value).collect();
        Evidence {
            planned: cell.seeds.len(),
            void: cell.void.len(),
            failed: cell.failed.len(),
            pending: cell.pending,
            missing: cell.n() - values.len(),
            has_no_ratio: false,
            values,
        }
    }

    fn of_pair(cell: &Cell<'_>, relation: Relation, other: &Cell<'_>, metric: &Metric) -> Evidence {
        let pairs = cell.pairs(other, metric);
        let seeds = |cell: &Cell<'_>| cell.trials.iter().map(|record| record.trial.seed).collect::<BTreeSet<_>>();
        let both = seeds(cell).intersection(&seeds(other)).count();
        let compare = |&(own, others): &(f64, f64)| match relation {
            Relation::Ratio => own / others,
            Relation::Difference => own - others,
        };
        Evidence {
            planned: cell.seeds.len(),
            void: cell.void.len() + other.void.len(),
            failed: cell.failed.len() + other.failed.len(),
            pending: cell.pending + other.pending,
            missing: both.saturating_sub(pairs.len()),
            has_no_ratio: relation == Relation::Ratio && pairs.iter().any(|(_, others)| *others == 0.0),
            values: pairs.iter().map(compare).collect(),
        }
    }

    fn verdict(&self, expectation: &Expectation) -> Verdict {
        let bound = expectation.bound;
        let inconclusive = Verdict::inconclusive;
        if self.has_no_ratio {
            return inconclusive(Reason::NoRatio);
        }
        match expectation.statistic {
            // One that is outside settles it, whatever the others would be.
            Statistic::Each => match rule::of_each(bound, &self.values) {
                Verdict::Fail => Verdict::Fail,
                verdict => self.lacking().map_or(verdict, inconclusive),
            },
            // Values that are missing are not missing at random: what was never delivered has no delay. And who looks
            // before the end, and may go on, does not keep the confidence.
            Statistic::Median { .. } | Statistic::Percentile { .. } if self.pending > 0 => {
                inconclusive(Reason::NotRun { pending: self.pending })
            }
            Statistic::Median { .. } | Statistic::Percentile { .. } if self.missing > 0 => {
                inconclusive(Reason::NotMeasured { missing: self.missing })
            }
            Statistic::Median { confidence } => {
                self.as_far_as_planned(rule::of_median(bound, &self.values, confidence).map(|(_, verdict)| verdict))
            }
            Statistic::Percentile { percentile, confidence } => {
                self.as_far_as_planned(rule::of_percentile(bound, &self.values, percentile, confidence))
            }
        }
    }

    /// A verdict that rests on the number of trials; where they are too few, why, if as many were planned as it takes.
    fn as_far_as_planned(&self, verdict: Option<Verdict>) -> Verdict {
        match verdict {
            None => Verdict::inconclusive(self.lacking().unwrap_or(Reason::NotMeasured { missing: 0 })),
            Some(Verdict::Inconclusive { reason: Reason::TooFewSeeds { n, needed } }) => {
                let too_few = Reason::TooFewSeeds { n, needed };
                Verdict::inconclusive(self.lacking().filter(|_| self.planned >= needed).unwrap_or(too_few))
            }
            Some(verdict) => verdict,
        }
    }

    /// What keeps trials from being looked at, if anything does.
    fn lacking(&self) -> Option<Reason> {
        match *self {
            Evidence { pending: pending @ 1.., .. } => Some(Reason::NotRun { pending }),
            Evidence { failed: failed @ 1.., .. } => Some(Reason::TrialsFailed { failed }),
            Evidence { void: void @ 1.., .. } => Some(Reason::TrialsVoid { void }),
            Evidence { missing: missing @ 1.., .. } => Some(Reason::NotMeasured { missing }),
            _ => None,
        }
    }

    fn quantile(&self, q: f64) -> Option<f64> {
        let mut sorted = self.values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        stats::nearest_rank(&sorted, q)
    }

    fn found(&self, expectation: &Expectation) -> Option<Found> {
        if self.has_no_ratio {
            return None;
        }
        let interval = match expectation.statistic {
            Statistic::Median { confidence } => stats::median_interval(&self.values, confidence),
            Statistic::Percentile { .. } | Statistic::Each => None,
        };
        let figure = match (expectation.statistic, expectation.bound) {
            // Of what is to be large, as many are to be above it.
            (Statistic::Percentile { percentile, .. }, Bound::AtLeast(_)) => self.quantile(1.0 - percentile / 100.0),
            (Statistic::Percentile { percentile, .. }, _) => self.quantile(percentile / 100.0),
            _ => stats::median(&self.values),
        };
        Some(Found {
            n: self.values.len(),
            median: figure?,
            low: interval.map(|i| i.low),
            high: interval.map(|i| i.high),
            smallest: self.values.iter().copied().reduce(f64::min)?,
            largest: self.values.iter().copied().reduce(f64::max)?,
        })
    }
}

/// What was found, as people read it: `98.3 ms (95 % interval 95.1–104, n = 10)`.
fn words(found: Option<Found>, expectation: &Expectation) -> String {
    let Some(Found { n, median, low, high, smallest, largest }) = found else { return "nothing".into() };
    let unit = match (expectation.relation, expectation.metric.unit) {
        (Some(Relation::Ratio), _) | (_, Unit::Count) => String::new(),
        (_, unit) => format!(" {}", unit.symbol()),
    };
    let pairs = if expectation.relation.is_some() { " pairs" } else { "" };
    let span = |low: f64, high: f64| match (number(low), number(high)) {
        (low, high) if low == high => low,
        // A dash before a minus sign is hard to read.
        (low, high) if low.starts_with('−') => format!("{low} to {high}"),
        (low, high) => format!("{low}–{high}"),
    };
    match (expectation.statistic, low.zip(high)) {
        (Statistic::Median { confidence }, Some((low, high))) => {
            let percent = number(confidence * 100.0);
            format!("{}{unit} ({percent} % interval {}, n = {n}{pairs})", number(median), span(low, high))
        }
        (Statistic::Percentile { percentile, .. }, _) => {
            format!("{}{unit} (p{} of n = {n}{pairs}, {})", number(median), number(percentile), span(smallest, largest))
        }
        (Statistic::Each, _) => format!("{}{unit} (n = {n}{pairs})", span(smallest, largest)),
        _ => format!("{}{unit} ({}, n = {n}{pairs})", number(median), span(smallest, largest)),
    }
}
