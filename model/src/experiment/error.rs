//! Errors of an experiment's file, each with the place in it.

use std::fmt;

use super::spec::{Part, SCHEMA};
use crate::spot::Spot;

/// An experiment that cannot be run, with the remedy.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ExperimentError {
    /// The file is not TOML, or has a field or value that is not known. The text names the line.
    #[error("{0}")]
    Syntax(String),
    /// The file is of a version this program does not know.
    #[error("`schema` is {0}, but this program reads version {SCHEMA}; use a newer samepath")]
    Schema(u32),
    /// The whole makes no sense.
    #[error("{problem}")]
    Whole {
        /// Where it stands.
        at: Spot,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// A part makes no sense.
    #[error("part `{part}`: {problem}")]
    Part {
        /// The part's name.
        part: String,
        /// Where it stands.
        at: Spot,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// An expectation makes no sense.
    #[error("expectation {number}: {problem}")]
    Expectation {
        /// Which one, from 1.
        number: usize,
        /// Where it stands.
        at: Spot,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// One of the others, found in the text of a file.
    #[error("line {line}: {error}")]
    InText {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        error: Box<ExperimentError>,
    },
}

impl ExperimentError {
    /// Where in the experiment it stands; `None` where its text cannot be read at all.
    pub fn at(&self) -> Option<Spot> {
        match self {
            ExperimentError::Syntax(_) => None,
            ExperimentError::Schema(_) => Some(Spot::key("schema")),
            ExperimentError::Whole { at, .. }
            | ExperimentError::Part { at, .. }
            | ExperimentError::Expectation { at, .. } => Some(at.clone()),
            ExperimentError::InText { error, .. } => error.at(),
        }
    }

    /// Of the expectation at this place, from 0: what is wrong with the value of a key.
    pub fn of_expectation(place: usize, key: &str, problem: impl fmt::Display) -> ExperimentError {
        Fault::new(Spot::key(key), problem).expected(place)
    }

    /// With the line of this text on which it stands, if it is in it.
    #[must_use]
    pub fn in_text(self, text: &str) -> ExperimentError {
        let problem = match &self {
            ExperimentError::Whole { problem, .. }
            | ExperimentError::Part { problem, .. }
            | ExperimentError::Expectation { problem, .. } => problem.as_str(),
            _ => "",
        };
        match self.at().and_then(|at| at.line(text, problem)) {
            Some(line) => ExperimentError::InText { line, error: Box::new(self) },
            None => self,
        }
    }
}

/// What is wrong in a part, and where in it.
pub(super) struct Fault {
    pub(super) at: Spot,
    pub(super) problem: String,
}

impl Fault {
    pub(super) fn new(at: Spot, problem: impl fmt::Display) -> Fault {
        Fault { at, problem: problem.to_string() }
    }

    /// In the part that stands at this place.
    pub(super) fn of(self, place: usize, part: &Part) -> ExperimentError {
        let at = Spot::key("part").item(place).join(self.at);
        ExperimentError::Part { part: part.name.clone(), at, problem: self.problem }
    }

    /// In the expectation at this place.
    pub(super) fn expected(self, place: usize) -> ExperimentError {
        let at = Spot::key("expect").item(place).join(self.at);
        ExperimentError::Expectation { number: place + 1, at, problem: self.problem }
    }
}

/// A message of the parser with the program's types put in words.
pub(super) fn in_words(message: &str) -> String {
    let range = |message: String, (name, most): (&str, u64)| {
        message.replace(&format!("expected {name}"), &format!("expected a whole number from 0 to {most}"))
    };
    let types =
        [("u8", u8::MAX.into()), ("u16", u16::MAX.into()), ("u32", u32::MAX.into()), ("u64", i64::MAX.unsigned_abs())];
    types.into_iter().fold(message.to_owned(), range)
}
