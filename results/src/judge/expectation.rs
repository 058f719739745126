//! An expectation as it is judged: a metric of one cell, and where it is to lie.

use std::fmt;

use samepath_model::experiment::{Bound, ExpectedCell, Figure, Relation, Statistic};

use crate::metric::Metric;

/// What is expected of a metric of one cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// Which of the file's expectations it comes from, from 1.
    pub number: usize,
    /// The metric.
    pub metric: &'static Metric,
    /// The cell, and the one it is compared with; `None` where flags have taken all that the file names out of the
    /// experiment.
    pub cell: Option<ExpectedCell>,
    /// Which cells the file names, in words.
    pub named: String,
    /// Where the metric is to lie, in its unit; a ratio in none.
    pub bound: Bound<f64>,
    /// The same as the file has it.
    pub written: Bound<Figure>,
    /// What is held against the bound.
    pub statistic: Statistic,
    /// How the cell is compared with the other one; `None` where the bound is of its own figure.
    pub relation: Option<Relation>,
}

impl Expectation {
    /// The cell in words.
    pub fn of(&self) -> String {
        self.cell.as_ref().map_or_else(|| self.named.clone(), |expected| expected.cell.to_string())
    }

    /// What is expected of the cell, in words.
    pub fn claim(&self) -> String {
        let how = match self.relation {
            None => String::new(),
            Some(Relation::Ratio) => format!(", ratio to {},", self.other()),
            Some(Relation::Difference) => format!(", difference from {},", self.other()),
        };
        let each = match (self.statistic, self.relation) {
            (Statistic::Median { .. } | Statistic::Percentile { .. }, _) => "",
            (Statistic::Each, None) => " in each trial",
            (Statistic::Each, Some(_)) => " in each pair",
        };
        format!("{}{how} {}{each}", self.metric.label, self.written)
    }

    /// The cell that it is compared with, in words: by its arm alone where it differs in nothing else.
    fn other(&self) -> String {
        match &self.cell {
            Some(ExpectedCell { cell, other: Some(other) }) if other.part == cell.part && other.axes == cell.axes => {
                other.arm.to_string()
            }
            Some(ExpectedCell { other: Some(other), .. }) => other.to_string(),
            _ => "another cell".into(),
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of() {
            of if of.is_empty() => f.write_str(&self.claim()),
            of => write!(f, "{of}: {}", self.claim()),
        }
    }
}
