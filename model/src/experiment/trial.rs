//! Trials: one arm, one workload, one set of link conditions, one seed.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::arm::Arm;
use crate::link::Link;
use crate::mode::Mode;
use crate::tolerance::Tolerance;
use crate::tuning::Tuning;
use crate::units::Duration;
use crate::workload::Workload;

/// The name of a trial, unique in its run, fit for a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrialId(pub String);

impl fmt::Display for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One arm, one workload, one set of link conditions, one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trial {
    /// Unique in the run.
    pub id: TrialId,
    /// The part of the experiment it belongs to.
    pub part: String,
    /// The value of each axis, as text, in the axes' order: what makes its cell.
    pub axes: BTreeMap<String, String>,
    /// What is compared.
    pub arm: Arm,
    /// Seed of payload and random draws.
    pub seed: u64,
    /// What is sent.
    pub workload: Workload,
    /// The path.
    pub link: Link,
    /// What is set on the transports.
    pub tuning: Tuning,
    /// See [`Part::mode`](super::Part::mode).
    #[serde(default, skip_serializing_if = "Mode::is_auto")]
    pub mode: Mode,
    /// Outside these bounds it is void.
    #[serde(default)]
    pub tolerance: Tolerance,
    /// Longest time it may take in all.
    pub time_limit: Duration,
    /// Whether packets are attributed to messages (see [`crate::attribution`]).
    pub attribution: bool,
}
