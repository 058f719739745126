//! Flows: one arm that runs one workload from one start time.
//!
//! A trial has a flow under test, whose arm, workload and tuning are the trial's own and whose cell the trial belongs to,
//! and may have **competing flows** beside it on the same link (RFC 5166, section 2.2, calls their traffic cross
//! traffic). Each has a client and a server process of its own, and ports of its own, by which the link's ledger tells
//! them apart.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::arm::Arm;
use crate::tuning::Tuning;
use crate::units::Duration;
use crate::workload::Workload;

/// The place of a flow in its trial: 0 is the flow under test, the competing flows follow in the order of the file.
pub type FlowId = u8;

/// The flow under test.
pub const UNDER_TEST: FlowId = 0;

/// The file of the book that a flow's server keeps, in the directory of its trial.
pub fn book_of(flow: FlowId) -> String {
    if flow == UNDER_TEST { "book.jsonl".to_owned() } else { format!("book-{flow}.jsonl") }
}

/// The most flows that a trial may have, the one under test included: each is two processes.
pub const MAX_FLOWS: usize = 16;

/// A competing flow as an experiment's file says it, in a `[[part.competing-flow]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FlowSpec {
    /// What it is called in tables and charts. Absent: as its arm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its arm.
    pub arm: Arm,
    /// What it sends.
    pub workload: Workload,
    /// When its schedule starts, from the epoch of the trial, which is the start of the flow under test.
    #[serde(default)]
    pub start: Duration,
    /// How much farther away its server stands than the link is long: the round trip beyond the link's, half of it each
    /// way.
    #[serde(default)]
    pub extra_rtt: Duration,
    /// What is set on its transport. Absent: what the part sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
}

/// A competing flow of a trial, every default decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Flow {
    /// What it is called in tables and charts; no other flow of the trial has the name.
    pub name: String,
    /// Its arm.
    pub arm: Arm,
    /// What it sends.
    pub workload: Workload,
    /// When its schedule starts, from the epoch of the trial.
    pub start: Duration,
    /// How much farther away its server stands than the link is long: the round trip beyond the link's.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub extra_rtt: Duration,
    /// What is set on its transport.
    pub tuning: Tuning,
}

fn is_zero(time: &Duration) -> bool {
    *time == Duration::ZERO
}

impl FlowSpec {
    /// What it is called.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.arm.to_string())
    }
}

/// What it is called and what it does: `download (tcp): bulk for 10s down, 1 stream, from 2s`.
impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.name != self.arm.to_string() {
            write!(f, " ({})", self.arm)?;
        }
        write!(f, ": {}", self.workload)?;
        if self.extra_rtt != Duration::ZERO {
            write!(f, ", its server {} farther away", self.extra_rtt)?;
        }
        if self.start == Duration::ZERO { Ok(()) } else { write!(f, ", from {}", self.start) }
    }
}
