//! Needs, checked, each with the cells of the experiment that it is of.

use super::bound::Bound;
use super::error::ExperimentError;
use super::expect::{CONFIDENCE, Figure};
use super::expected::{CellName, Statistic};
use super::need::NeedSpec;
use super::spec::ExperimentSpec;
use super::trial::Trial;
use crate::spot::Spot;

/// A need that makes sense, with the cells of the experiment that it is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Need {
    /// Its place among the file's needs, from 0.
    pub place: usize,
    /// The use that needs it.
    pub of: String,
    /// The metric's name, which nobody has looked up yet.
    pub metric: String,
    /// Where the metric is to lie.
    pub bound: Bound<Figure>,
    /// Where it is still borne.
    pub limit: Option<Bound<Figure>>,
    /// What is held against the bound.
    pub statistic: Statistic,
    /// Who says so.
    pub source: String,
    /// The cells.
    pub cells: Vec<CellName>,
}

impl ExperimentError {
    /// Of the need at this place, from 0: what is wrong with the value of a key.
    pub fn of_need(place: usize, key: &str, problem: impl std::fmt::Display) -> ExperimentError {
        let at = Spot::key("need").item(place).then(key);
        ExperimentError::Whole { at, problem: format!("need {}: {problem}", place + 1) }
    }
}

impl ExperimentSpec {
    /// The needs, with the cells of these trials that they are of.
    pub(super) fn needed(&self, trials: &[Trial]) -> Result<Vec<Need>, ExperimentError> {
        let cells_of = |of: &str| {
            let parts = self.parts.iter().filter(|part| part.of_use.as_deref() == Some(of)).map(|part| &part.name);
            let parts: Vec<&String> = parts.collect();
            let mut cells: Vec<CellName> = Vec::new();
            for trial in trials.iter().filter(|trial| parts.contains(&&trial.part)) {
                let name = CellName::of(trial);
                if !cells.contains(&name) {
                    cells.push(name);
                }
            }
            cells
        };
        if let Some((place, rule)) = self.rules.iter().enumerate().find(|(_, rule)| cells_of(&rule.of).is_empty()) {
            let at = Spot::key("rule").item(place).then("use");
            let problem = format!("rule {}: no part has `use = \"{}\"`", place + 1, rule.of);
            return Err(ExperimentError::Whole { at, problem });
        }
        let needed = |(place, spec): (usize, &NeedSpec)| spec.needed(place, cells_of(&spec.of));
        self.needs.iter().enumerate().map(needed).collect()
    }
}

impl NeedSpec {
    fn needed(&self, place: usize, cells: Vec<CellName>) -> Result<Need, ExperimentError> {
        let fault = |key: &str, problem: &str| Err(ExperimentError::of_need(place, key, problem));
        let (figure, bound): (&Figure, fn(Figure) -> Bound<Figure>) = match (&self.most, &self.least) {
            (Some(most), None) => (most, Bound::AtMost),
            (None, Some(least)) => (least, Bound::AtLeast),
            (None, None) => return fault("metric", "it has no bound; give `most` or `least`"),
            (Some(_), Some(_)) => return fault("least", "`most` and `least` exclude each other; make two needs of it"),
        };
        if cells.is_empty() {
            let problem = format!("no part has `use = \"{}\"`; give it to the parts that are about it", self.of);
            return fault("use", &problem);
        }
        let confidence = self.confidence.unwrap_or(CONFIDENCE);
        if !(0.5..1.0).contains(&confidence) {
            return fault("confidence", "`confidence` must be 0.5 or more and below 1, as 0.95");
        }
        let statistic = match self.percentile {
            None => Statistic::Median { confidence },
            Some(percentile) if percentile > 0.0 && percentile < 100.0 => {
                Statistic::Percentile { percentile, confidence }
            }
            Some(_) => return fault("percentile", "`percentile` must lie above 0 and below 100, as 75"),
        };
        Ok(Need {
            place,
            of: self.of.clone(),
            metric: self.metric.clone(),
            bound: bound(figure.clone()),
            limit: self.limit.clone().map(bound),
            statistic,
            source: self.source.clone(),
            cells,
        })
    }
}
