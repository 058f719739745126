//! Plan of a trial: what is to be done, by which program, and what is kept of it.

use std::path::PathBuf;

use samepath_model::Trial;
use serde::{Deserialize, Serialize};

use crate::backend::Backend;

/// A trial that is to be run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrialPlan {
    /// The trial.
    pub trial: Trial,
    /// The program that has the verbs `server`, `client` and `__trial`.
    pub program: PathBuf,
    /// An existing directory, for the trial alone: spools, logs, reports.
    pub scratch: PathBuf,
    /// Where the files lie that the link's conditions name, each under its checksum.
    pub inputs: PathBuf,
    /// Where servers keep the books of workloads that have one.
    pub books: PathBuf,
    /// What carries the link's packets.
    pub backend: Backend,
    /// Whether the fate of every packet is kept.
    pub keep_ledger: bool,
    /// Where every packet is captured, if it is.
    pub capture: Option<PathBuf>,
}
