//! Progress and final report of one endpoint of a session, as they cross the control connection.

use samepath_model::attribution::{LayoutRecord, ObservationRecord};
use samepath_model::record::{EndReport, Metric};
use serde::{Deserialize, Serialize};

pub use crate::recorder::{Received, Released, Sent};

/// How far an end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Connections are still missing.
    Waiting,
    /// Every connection is there.
    Bound,
    /// It has the peer's whole warm-up, if there is one.
    Heard,
    /// Warm-up is over: of its own, it has every acknowledgement, too. (An end of a cold workload goes on
    /// without it.)
    Warm,
    /// Its driver has nothing more to do, and everything that it released was handed over.
    Sent,
    /// Everything that the peer has sent is here, too, or is lost.
    Finished,
}

impl Phase {
    /// The one that follows.
    #[must_use]
    pub const fn next(self) -> Phase {
        match self {
            Phase::Waiting => Phase::Bound,
            Phase::Bound => Phase::Heard,
            Phase::Heard => Phase::Warm,
            Phase::Warm => Phase::Sent,
            Phase::Sent | Phase::Finished => Phase::Finished,
        }
    }
}

/// What one end knows when it is over. Times are CLOCK_MONOTONIC of that end, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionReport {
    /// Of what it sent.
    pub sent: Sent,
    /// Of what it received.
    pub received: Received,
    /// Time series.
    pub series: Vec<(u64, Metric, f64)>,
    /// Where the messages lie that it sent, where that was to be noted.
    pub layout: Vec<LayoutRecord>,
    /// What it saw in its packets, likewise.
    pub observations: Vec<ObservationRecord>,
    /// The rest.
    pub end: EndReport,
}
