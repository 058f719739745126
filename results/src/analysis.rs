//! The analysis of a run, computed once, for whoever shows it: tables, report, comparison and charts.
//!
//! What is costly is computed when it is first asked for, and kept.

use std::cell::OnceCell;

use crate::answer::{self, Answer};
use crate::cells::{Cell, cells};
use crate::part::{self, PartView};
use crate::store::Run;

/// What a run's records come to.
#[derive(Debug)]
pub struct Analysis<'r> {
    run: &'r Run,
    cells: Vec<Cell<'r>>,
    answers: OnceCell<Vec<Answer>>,
}

impl<'r> Analysis<'r> {
    /// The analysis of a run as it stands.
    pub fn of(run: &'r Run) -> Analysis<'r> {
        Analysis { run, cells: cells(run), answers: OnceCell::new() }
    }

    /// The run.
    pub fn run(&self) -> &'r Run {
        self.run
    }

    /// Its cells, in the order of the experiment: part, axes, arm. They keep what they estimate.
    pub fn cells(&self) -> &[Cell<'r>] {
        &self.cells
    }

    /// Its parts, in the order of the experiment.
    pub(crate) fn parts(&self) -> Vec<PartView<'_>> {
        part::parts(&self.cells)
    }

    /// The short answer of each part that has a trial that counts.
    pub(crate) fn answers(&self) -> &[Answer] {
        self.answers.get_or_init(|| answer::answers(&self.parts()))
    }
}
