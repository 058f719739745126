//! Expectations, checked, each with the cells of the experiment that it is of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::axes::{value_text, value_texts};
use super::bound::Bound;
use super::error::{ExperimentError, Fault};
use super::expect::{CONFIDENCE, ExpectSpec, Figure, OtherSpec};
use super::spec::{ExperimentSpec, Part};
use super::trial::Trial;
use crate::arm::Arm;
use crate::spot::Spot;

/// An expectation that makes sense, with the cells of the experiment that it is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// Its place among the file's expectations, from 0.
    pub place: usize,
    /// The metric's name, which nobody has looked up yet.
    pub metric: String,
    /// Where it expects the metric, in the metric's unit; a ratio in none.
    pub bound: Bound<Figure>,
    /// What is looked at.
    pub statistic: Statistic,
    /// How each cell is compared with its other one; `None` where the bound is of its own figure.
    pub relation: Option<Relation>,
    /// The cells, each judged by itself. None where flags have taken all of them out of the experiment.
    pub cells: Vec<ExpectedCell>,
    /// Which cells it names, in words, for where there are none.
    pub named: String,
}

/// What of a cell's trials is held against the bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// Their median, with this confidence: 0.5 or more, and below 1.
    Median {
        /// As 0.95.
        confidence: f64,
    },
    /// A percentile of them, above 0 and below 100, with this confidence.
    Percentile {
        /// As 75.
        percentile: f64,
        /// As 0.95.
        confidence: f64,
    },
    /// Every one of them.
    Each,
}

/// A cell that an expectation is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedCell {
    /// The cell.
    pub cell: CellName,
    /// The one it is compared with, seed by seed; where there is a [relation](Expected::relation), and only there.
    pub other: Option<CellName>,
}

/// How a cell is compared with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// How many times the other's figure its own is.
    Ratio,
    /// Its own figure less the other's.
    Difference,
}

/// What tells a cell from the others of its experiment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CellName {
    /// The part.
    pub part: String,
    /// The value of each axis, as text.
    pub axes: BTreeMap<String, String>,
    /// The arm.
    pub arm: Arm,
}

impl CellName {
    /// The cell of a trial.
    pub fn of(trial: &Trial) -> CellName {
        CellName { part: trial.part.clone(), axes: trial.axes.clone(), arm: trial.arm }
    }
}

impl fmt::Display for CellName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.part)?;
        for (nth, (axis, value)) in self.axes.iter().enumerate() {
            write!(f, "{} {axis} {value}", if nth == 0 { "" } else { "," })?;
        }
        write!(f, " {}", self.arm)
    }
}

impl ExperimentSpec {
    /// The expectations, with the cells of these trials that they are of.
    pub(super) fn expected(&self, trials: &[Trial]) -> Result<Vec<Expected>, ExperimentError> {
        let mut cells: Vec<CellName> = Vec::new();
        let mut known = BTreeSet::new();
        for trial in trials {
            let name = CellName::of(trial);
            if !self.expect.is_empty() && known.insert(name.clone()) {
                cells.push(name);
            }
        }
        let expected =
            |(place, spec): (usize, &ExpectSpec)| spec.expected(place, &cells).map_err(|f| f.expected(place));
        self.expect.iter().enumerate().map(expected).collect()
    }

    /// Refuses expectations of parts, arms, axes and values that the experiment does not have.
    pub(super) fn refuse_unknown_cells(&self, expected: &[Expected]) -> Result<(), ExperimentError> {
        for (place, (spec, expected)) in self.expect.iter().zip(expected).enumerate() {
            spec.check_names(&self.parts, expected).map_err(|fault| fault.expected(place))?;
        }
        Ok(())
    }
}

impl ExpectSpec {
    fn expected(&self, place: usize, cells: &[CellName]) -> Result<Expected, Fault> {
        let relation = self.relation()?;
        let fits = |cell: &&CellName| {
            self.part.as_ref().is_none_or(|part| *part == cell.part)
                && self.arm.is_none_or(|arm| arm == cell.arm)
                && self.at.iter().all(|(axis, value)| cell.axes.get(axis) == Some(&value_text(value)))
        };
        let with_other = |cell: &CellName| {
            let Some((_, other)) = relation else {
                return Some(ExpectedCell { cell: cell.clone(), other: None });
            };
            let other = other.beside(cell, cells)?;
            // Of all arms, that which the others are compared with is no case.
            (other != *cell).then(|| ExpectedCell { cell: cell.clone(), other: Some(other) })
        };
        Ok(Expected {
            place,
            metric: self.metric.clone(),
            bound: self.bound()?,
            statistic: self.statistic()?,
            relation: relation.map(|(relation, _)| relation),
            cells: cells.iter().filter(fits).filter_map(with_other).collect(),
            named: self.named(),
        })
    }

    fn bound(&self) -> Result<Bound<Figure>, Fault> {
        let ExpectSpec { most, least, between, near, within, .. } = self;
        let bound = match (most, least, between, near, within) {
            (Some(most), None, None, None, None) => Bound::AtMost(most.clone()),
            (None, Some(least), None, None, None) => Bound::AtLeast(least.clone()),
            (None, None, Some([least, most]), None, None) => Bound::Between(least.clone(), most.clone()),
            (None, None, None, Some(near), Some(within)) => {
                Bound::About { value: near.clone(), tolerance: within.clone() }
            }
            (None, None, None, Some(_), None) => {
                return Err(Fault::new(Spot::key("near"), "`near` goes with `within`, how far from it is near enough"));
            }
            (None, None, None, None, Some(_)) => {
                return Err(Fault::new(Spot::key("within"), "`within` goes with `near`, the figure that is expected"));
            }
            (None, None, None, None, None) => {
                let problem = "it has no bound; give `most`, `least`, `between` or `near` with `within`";
                return Err(Fault::new(Spot::default(), problem));
            }
            _ => {
                let problem = "it has more than one bound; give one of `most`, `least`, `between` and `near` with \
                               `within` (a range is `between = [LEAST, MOST]`)";
                return Err(Fault::new(Spot::default(), problem));
            }
        };
        Ok(bound)
    }

    fn statistic(&self) -> Result<Statistic, Fault> {
        match (self.each, self.confidence) {
            (true, Some(_)) => {
                let problem = "`confidence` is of a median, and `each` looks at every trial; leave one of them out";
                Err(Fault::new(Spot::key("confidence"), problem))
            }
            (true, None) => Ok(Statistic::Each),
            (false, said) => {
                let confidence = said.unwrap_or(CONFIDENCE);
                if (0.5..1.0).contains(&confidence) {
                    return Ok(Statistic::Median { confidence });
                }
                let percent = if (50.0..100.0).contains(&confidence) {
                    format!("; write {}", confidence / 100.0)
                } else {
                    ", as 0.95".into()
                };
                let problem =
                    format!("a `confidence` of {confidence} cannot be: it is 0.5 or more and below 1{percent}");
                Err(Fault::new(Spot::key("confidence"), problem))
            }
        }
    }

    fn relation(&self) -> Result<Option<(Relation, &OtherSpec)>, Fault> {
        match (&self.ratio_to, &self.difference_from) {
            (None, None) => Ok(None),
            (Some(other), None) => Ok(Some((Relation::Ratio, other))),
            (None, Some(other)) => Ok(Some((Relation::Difference, other))),
            (Some(_), Some(_)) => {
                let problem = "`ratio-to` and `difference-from` exclude each other; make two expectations of it";
                Err(Fault::new(Spot::key("difference-from"), problem))
            }
        }
    }

    /// The cells that it names, as far as it does.
    fn named(&self) -> String {
        let axes = self.at.iter().map(|(axis, value)| format!("{axis} {}", value_text(value)));
        let axes = axes.collect::<Vec<_>>().join(", ");
        let words = [self.part.clone().unwrap_or_default(), axes, self.arm.map_or_else(String::new, |a| a.to_string())];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    fn check_names(&self, parts: &[Part], expected: &Expected) -> Result<(), Fault> {
        let part = part_named(self.part.as_deref(), parts)?;
        check_cell(part, self.arm, &self.at)?;
        let Some((relation, other)) = self.relation()? else { return Ok(()) };
        let key = match relation {
            Relation::Ratio => "ratio-to",
            Relation::Difference => "difference-from",
        };
        let within = |fault: Fault| Fault { at: Spot::key(key).join(fault.at), ..fault };
        let others = part_named(other.part.as_deref().or(Some(&part.name)), parts).map_err(within)?;
        check_cell(others, other.arm, &other.at).map_err(within)?;
        let is_itself = other.part.as_ref().is_none_or(|name| *name == part.name)
            && other.arm.is_none_or(|arm| self.arm == Some(arm))
            && other.at.iter().all(|(axis, value)| self.at.get(axis) == Some(value));
        if is_itself {
            let problem = format!("`{key}` leads to the cell itself; name another `arm`, `part` or value of an axis");
            return Err(Fault::new(Spot::key(key), problem));
        }
        if expected.cells.is_empty() {
            let problem = format!(
                "`{key}` leads to a cell that the experiment does not have; name its `part`, its `arm`, and in `at` its \
                 value of each axis in which it differs"
            );
            return Err(Fault::new(Spot::key(key), problem));
        }
        Ok(())
    }
}

impl OtherSpec {
    /// The cell that this is beside another: `None` where there is none.
    fn beside(&self, cell: &CellName, cells: &[CellName]) -> Option<CellName> {
        let part = self.part.as_ref().unwrap_or(&cell.part);
        let arm = self.arm.unwrap_or(cell.arm);
        let fits = |axis: &String, value: &String| match self.at.get(axis) {
            Some(named) => value_text(named) == *value,
            // Of an axis that the cell does not have, whatever value there is.
            None => cell.axes.get(axis).is_none_or(|own| own == value),
        };
        let is_it =
            |other: &&CellName| other.part == *part && other.arm == arm && other.axes.iter().all(|(a, v)| fits(a, v));
        let mut found = cells.iter().filter(is_it);
        // Several would leave the choice to chance.
        found.next().filter(|_| found.next().is_none()).cloned()
    }
}

/// The part of this name; where none is named, the only one.
fn part_named<'a>(name: Option<&str>, parts: &'a [Part]) -> Result<&'a Part, Fault> {
    let known = || parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, parts) {
        (None, [part]) => Ok(part),
        (None, _) => Err(Fault::new(Spot::default(), format!("it names no `part`; choose one: {}", known()))),
        (Some(name), _) => parts.iter().find(|part| part.name == name).ok_or_else(|| {
            Fault::new(Spot::key("part"), format!("there is no part `{name}`; choose from: {}", known()))
        }),
    }
}

/// Makes sure that the part has the arm, and its axes the values.
fn check_cell(part: &Part, arm: Option<Arm>, at: &BTreeMap<String, toml::Value>) -> Result<(), Fault> {
    let name = &part.name;
    if let Some(arm) = arm.filter(|arm| !part.arms.contains(arm)) {
        let known = part.arms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let problem = format!("part `{name}` has no arm `{arm}`; choose from: {known}");
        return Err(Fault::new(Spot::key("arm"), problem));
    }
    for (axis, value) in at {
        let spot = || Spot::key("at").then(axis);
        let Some(values) = part.axes.get(axis) else {
            let known = part.axes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let remedy =
                if known.is_empty() { "it has none, so leave `at` out".into() } else { format!("it has: {known}") };
            return Err(Fault::new(spot(), format!("part `{name}` has no axis `{axis}`; {remedy}")));
        };
        let (text, known) = (value_text(value), value_texts(axis, values));
        if !known.contains(&text) {
            let problem =
                format!("axis `{axis}` of part `{name}` has no value `{text}`; choose from: {}", known.join(", "));
            return Err(Fault::new(spot(), problem));
        }
    }
    Ok(())
}
