//! Progress and final report of one endpoint of a session, as they cross the control connection.

use samepath_model::attribution::{LayoutRecord, ObservationRecord};
use samepath_model::record::{EndReport, Metric};
use serde::{Deserialize, Serialize};

use crate::recorder::{Received, Sent};

/// How far a half has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Connections are still missing.
    Waiting,
    /// Every connection is there.
    Bound,
    /// Warm-up is over: the receiver has all of it, the sender every acknowledgement of it. (The sender of a cold
    /// workload goes from `Bound` to `Finished`.)
    Warm,
    /// The sender has handed over everything; the receiver has got everything, or waited in vain
    /// for what datagrams lost.
    Finished,
}

/// What one end knows when it is over. Times are CLOCK_MONOTONIC of that end, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HalfReport {
    /// The sender's books.
    pub sent: Option<Sent>,
    /// The receiver's books.
    pub received: Option<Received>,
    /// Time series.
    pub series: Vec<(u64, Metric, f64)>,
    /// Where the messages lie that it sent, where that was to be noted.
    pub layout: Vec<LayoutRecord>,
    /// What it saw in its packets, likewise.
    pub observations: Vec<ObservationRecord>,
    /// The rest.
    pub end: EndReport,
}
