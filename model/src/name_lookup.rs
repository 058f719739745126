//! What became of the lookup of a name with which a session began.

use serde::{Deserialize, Serialize};

/// The lookup of the server's name across the link, before the first connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameLookup {
    /// From the start of the schedule until the response was there, or the lookup was given up, in nanoseconds.
    pub took_ns: u64,
    /// Queries sent.
    pub tries: u32,
    /// Whether one of them was answered in time: else no connection was made.
    pub answered: bool,
}
