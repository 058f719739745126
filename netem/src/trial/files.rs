//! Files by which a trial's processes hand things over: the plan, the verdict, spools, and what was said on stderr.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use samepath_model::flow::{FlowId, UNDER_TEST};
use samepath_model::record::{LinkReport, RestartRecord};
use samepath_model::{Trial, VoidReason};
use serde::{Deserialize, Serialize};

use super::error::{Remains, TrialError};
use super::plan::TrialPlan;
use crate::capture::CaptureReport;
use crate::link::Nanos;

/// The files of a trial's scratch directory.
pub(super) struct Files<'a>(pub(super) &'a Path);

impl Files<'_> {
    pub(super) fn order(&self) -> PathBuf {
        self.0.join("plan.json")
    }
    /// The trial as this flow has it to itself.
    pub(super) fn trial(&self, flow: FlowId) -> PathBuf {
        self.0.join(format!("{}.json", of_flow("trial", flow)))
    }
    pub(super) fn verdict(&self) -> PathBuf {
        self.0.join("verdict.json")
    }
    pub(super) fn report(&self, flow: FlowId) -> PathBuf {
        self.0.join(format!("{}.postcard", of_flow("report", flow)))
    }
    pub(super) fn ledger(&self) -> PathBuf {
        self.0.join("ledger.spool")
    }
    pub(super) fn stderr(&self, of: &str) -> PathBuf {
        self.0.join(format!("{of}.stderr"))
    }
}

/// What is a flow's: of the one under test, the plain name.
pub(super) fn of_flow(what: &str, flow: FlowId) -> String {
    if flow == UNDER_TEST { what.to_owned() } else { format!("{what}-{flow}") }
}

/// What is of the server that the n-th restart of a trial starts.
pub(super) fn restarted(number: usize) -> String {
    format!("server-restart-{number}")
}

/// The plan as it is handed to the new process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) plan: TrialPlan,
    /// When the supervisor began (CLOCK_MONOTONIC).
    pub(super) started: Nanos,
}

/// What the contained process hands back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Verdict {
    Done {
        link: Box<LinkReport>,
        void: Vec<VoidReason>,
        capture: Option<CaptureReport>,
        /// When the client was started.
        client_started: Nanos,
        /// When it had ended.
        client_ended: Nanos,
        /// What became of the restarts of servers.
        restarts: Vec<RestartRecord>,
    },
    Failed {
        step: String,
        error: String,
        remains: Box<Remains>,
    },
    Exhausted {
        reason: VoidReason,
        remains: Box<Remains>,
    },
}

impl Verdict {
    pub(super) fn failed(error: &TrialError, remains: Remains) -> Verdict {
        if let TrialError::Exhausted { reason, .. } = error {
            return Verdict::Exhausted { reason: reason.clone(), remains: Box::new(remains) };
        }
        Verdict::Failed { step: error.step().to_owned(), error: error.to_string(), remains: Box::new(remains) }
    }
}

/// What a failed trial left in its scratch directory.
#[derive(Debug)]
pub struct Leavings {
    /// The spool of packets' fates, for [`crate::ledger::read_so_far`].
    pub ledger: Option<PathBuf>,
    /// The plan, and what the trial's processes said on stderr.
    pub texts: Vec<PathBuf>,
}

impl Remains {
    /// The files that the trial, which failed, left in `scratch`, as far as it got.
    pub fn of(trial: &Trial, scratch: &Path) -> Leavings {
        let files = Files(scratch);
        let there = |file: &PathBuf| file.exists();
        let restarted = (1..=trial.restarts.len()).map(restarted);
        let ends = trial.flows().flat_map(|flow| ["server", "client"].map(|end| of_flow(end, flow))).chain(restarted);
        let said = std::iter::once("trial".to_owned()).chain(ends).map(|of| files.stderr(&of));
        Leavings {
            ledger: Some(files.ledger()).filter(there),
            texts: std::iter::once(files.order()).chain(said).filter(there).collect(),
        }
    }
}

pub(super) fn write_json(file: &Path, value: &impl Serialize) -> Result<(), String> {
    let text = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    write_whole(file, &text).map_err(|error| format!("cannot write `{}`: {error}", file.display()))
}

/// Writes a file that is never seen half-written.
pub(super) fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = file.with_extension("tmp");
    File::create(&beside)?.write_all(bytes)?;
    fs::rename(&beside, file)
}
