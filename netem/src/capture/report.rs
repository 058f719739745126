//! What came of a capture: how many packets are in the file, and what it lacks.

use serde::{Deserialize, Serialize};

/// How many packets a capture has, and how many it lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureCount {
    /// Packets in the file.
    pub packets: u64,
    /// Packets offered to the link that are not in it.
    pub missing: u64,
    /// Packets in it whose fate is not.
    pub unknown: u64,
}

/// What came of a capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureReport {
    /// Packets in the file, and those that are not.
    pub count: CaptureCount,
    /// Why the file ends before the link did, with the remedy, where it does.
    pub failure: Option<String>,
}

impl CaptureReport {
    /// What the file lacks, in words; `None` where it lacks nothing.
    pub fn complaint(&self) -> Option<String> {
        let CaptureCount { missing, unknown, .. } = self.count;
        match (&self.failure, missing, unknown) {
            (Some(failure), missing, _) => Some(format!("{failure}; {missing} packets are missing at its end")),
            (None, 0, 0) => None,
            (None, missing, 0) => {
                Some(format!("the capture lacks {missing} packets, because its writer could not keep up"))
            }
            (None, missing, unknown) => Some(format!(
                "the capture lacks {missing} packets, and the fates of {unknown}, because its writer could not keep up"
            )),
        }
    }
}
