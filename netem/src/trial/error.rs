//! What goes wrong with a trial, and what its link knew by then.

use samepath_model::VoidReason;
use samepath_model::record::LinkReport;
use serde::{Deserialize, Serialize};

use crate::link::Nanos;

/// A trial that did not get to its end.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// It was stopped from outside.
    #[error("the trial was interrupted")]
    Cancelled,
    /// One of its steps failed.
    #[error("{error}")]
    Step {
        /// What it was doing: `set-up`, `server`, `client`, `records`.
        step: String,
        /// What went wrong, with the endpoint's last words where it was one.
        error: String,
        /// What the link knew by then.
        remains: Box<Remains>,
    },
    /// The machine could not carry it: it is void, not failed.
    #[error("{}", reason.words)]
    Exhausted {
        /// What gave out.
        reason: VoidReason,
        /// What the link knew by then.
        remains: Box<Remains>,
    },
}

impl TrialError {
    pub(super) fn new(step: &str, error: impl std::fmt::Display) -> TrialError {
        TrialError::Step { step: step.to_owned(), error: error.to_string(), remains: Box::default() }
    }

    /// What it was doing: `set-up`, `server`, `client`, `records`; or `interrupted`, `exhausted`.
    pub fn step(&self) -> &str {
        match self {
            TrialError::Cancelled => "interrupted",
            TrialError::Step { step, .. } => step,
            TrialError::Exhausted { .. } => "exhausted",
        }
    }
}

/// What the link of a failed trial knew when it was taken down. Its ledger so far, and the last words
/// of both ends, are files of the trial's scratch directory: [`Remains::of`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Remains {
    /// What the link reports; `None` where there was none, or it ended with its process.
    pub link: Option<LinkReport>,
    /// Start of the schedule (CLOCK_MONOTONIC), where the client got so far.
    pub epoch: Option<Nanos>,
}
