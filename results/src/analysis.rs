//! The analysis of a run, computed once, for whoever shows it: tables, report, comparison and charts.
//!
//! What is costly is computed when it is first asked for, and kept.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use samepath_model::TrialId;
use samepath_model::record::TrialRecord;

use crate::answer::{self, Answer};
use crate::blocking::{self, AnalyseError, Unattributed};
use crate::cells::{Cell, cells};
use crate::judge::{self, Judged};
use crate::part::{self, PartView};
use crate::store::{Run, StoreError};
use crate::uses::{self, Uses};

/// What a run's records come to.
#[derive(Debug)]
pub struct Analysis<'r> {
    run: &'r Run,
    cells: Vec<Cell<'r>>,
    answers: OnceCell<Vec<Answer>>,
    judged: OnceCell<Vec<Judged>>,
    uses: OnceCell<Option<Uses>>,
    followed: RefCell<Followed>,
}

/// Trials whose messages were followed through their packets: those of one part at a time, as one of a million
/// messages takes up to a gigabyte.
#[derive(Debug, Default)]
struct Followed {
    part: String,
    trials: BTreeMap<TrialId, Result<Rc<blocking::Analysis>, Unattributed>>,
}

impl<'r> Analysis<'r> {
    /// The analysis of a run as it stands.
    pub fn of(run: &'r Run) -> Analysis<'r> {
        Analysis {
            run,
            cells: cells(run),
            answers: OnceCell::new(),
            judged: OnceCell::new(),
            uses: OnceCell::new(),
            followed: RefCell::default(),
        }
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

    /// The verdict on each expectation of its experiment, in the file's order.
    pub fn judged(&self) -> &[Judged] {
        let judge = |expectation| judge::judge(expectation, &self.cells);
        self.judged.get_or_init(|| self.run.expectations().iter().map(judge).collect())
    }

    /// The table of the uses that the experiment is about; `None` where it is about none.
    pub fn uses(&self) -> Option<&Uses> {
        self.uses.get_or_init(|| uses::of(self.run, &self.cells, &self.parts())).as_ref()
    }

    /// What each message of a recorded trial waited for, packet by packet.
    ///
    /// # Errors
    /// Where the trial's packets are not attributed to its messages, or a record cannot be read.
    pub fn blocking(&self, record: &TrialRecord) -> Result<Rc<blocking::Analysis>, AnalyseError<StoreError>> {
        let mut followed = self.followed.borrow_mut();
        if followed.part != record.trial.part {
            *followed = Followed { part: record.trial.part.clone(), trials: BTreeMap::new() };
        }
        if let Some(known) = followed.trials.get(&record.trial.id) {
            return known.clone().map_err(AnalyseError::Unattributed);
        }
        let found = match blocking::of_trial(self.run, &record.trial) {
            Ok(analysis) => Ok(Rc::new(analysis)),
            Err(AnalyseError::Unattributed(reason)) => Err(reason),
            Err(error) => return Err(error),
        };
        followed.trials.insert(record.trial.id.clone(), found.clone());
        found.map_err(AnalyseError::Unattributed)
    }
}
