//! The two ends of a trial.

use serde::{Deserialize, Serialize};

/// Which end of the trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The client.
    Client,
    /// The server.
    Server,
}
