//! Restarts of servers: when a server's process is killed, and after how long it is started again.

use serde::{Deserialize, Serialize};

use crate::flow::FlowId;
use crate::units::Duration;

/// A restart as an experiment's file says it, in a `[[part.server-restart]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RestartSpec {
    /// When the process is killed (SIGKILL), from the epoch of the trial.
    pub at: Duration,
    /// After how long it is started again.
    pub downtime: Duration,
    /// The name of the competing flow whose server it is. Absent: that of the flow under test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
}

/// A restart in a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Restart {
    /// The flow whose server it is.
    pub flow: FlowId,
    /// When the process is killed, from the epoch of the trial.
    pub at: Duration,
    /// After how long it is started again.
    pub downtime: Duration,
}
