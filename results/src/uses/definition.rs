//! What the table of uses is made of.

use samepath_model::Arm;
use serde::Serialize;

use crate::judge::{Reason, Verdict};

/// The uses of an experiment, with what became of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Uses {
    /// A set of conditions each.
    pub blocks: Vec<Block>,
    /// The uses, in the experiment's order.
    pub uses: Vec<Use>,
}

/// A use, and what is said of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Use {
    /// What people do.
    pub name: String,
    /// What they need, each with who says so.
    pub needs: Vec<Told>,
    /// Why it is as it is, what it costs others, and which rules of thumb are wrong.
    pub sentences: Vec<String>,
}

/// A need in words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// What is needed: `latency p99 at most 250ms`.
    pub claim: String,
    /// What is still borne, where that is said: `5s`.
    pub limit: Option<String>,
    /// Who says so.
    pub source: String,
}

/// The uses under one set of conditions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Block {
    /// The conditions' short name.
    pub conditions: String,
    /// The link in words.
    pub link: String,
    /// The arms that any of the rows has, in the order of the charts.
    pub arms: Vec<Arm>,
    /// A use each.
    pub rows: Vec<Row>,
}

/// A use under one set of conditions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The use.
    #[serde(rename = "use")]
    pub of: String,
    /// The part of the experiment.
    pub part: String,
    /// An arm each.
    pub cells: Vec<UseCell>,
}

/// A use over an arm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UseCell {
    /// The arm.
    pub arm: Arm,
    /// Whether all that is needed is met.
    #[serde(flatten)]
    pub verdict: Met,
    /// Whether all that is not met is still within its limit, for sure.
    pub within_limit: bool,
    /// Each need, that which decides first.
    pub needs: Vec<Answered>,
}

/// A need in a cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answered {
    /// The metric's name in files.
    pub metric: String,
    /// What the trials came to, in the metric's unit; `None` where none has it.
    pub found: Option<f64>,
    /// The same in words.
    pub words: String,
    /// The best that there can be, where arithmetic says it.
    pub floor: Option<f64>,
    /// Whether it is met.
    #[serde(flatten)]
    pub verdict: Met,
    /// Whether it is within the limit, for sure.
    pub within_limit: bool,
}

/// Whether a need is met.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Met {
    /// It is.
    Meets,
    /// It is not.
    Fails,
    /// It cannot be, on any arm: the round trip alone takes too long.
    FailsByDistance,
    /// It cannot be on this arm, which takes more round trips than others.
    FailsByRoundTrips,
    /// What was measured does not settle it.
    CannotTell {
        /// Why.
        reason: Reason,
    },
}

impl Met {
    /// As a table says it.
    pub const fn words(self) -> &'static str {
        match self {
            Met::Meets => "meets",
            Met::Fails => "fails",
            Met::FailsByDistance => "fails by distance",
            Met::FailsByRoundTrips => "fails by its round trips",
            Met::CannotTell { .. } => "cannot tell",
        }
    }

    /// Whether it is not met, for sure.
    pub const fn is_failed(self) -> bool {
        matches!(self, Met::Fails | Met::FailsByDistance | Met::FailsByRoundTrips)
    }

    /// What decides of several: that which fails by distance before that which fails, and so on.
    pub(super) const fn rank(self) -> u8 {
        match self {
            Met::FailsByDistance => 0,
            Met::FailsByRoundTrips => 1,
            Met::Fails => 2,
            Met::CannotTell { .. } => 3,
            Met::Meets => 4,
        }
    }
}

impl From<Verdict> for Met {
    fn from(verdict: Verdict) -> Met {
        match verdict {
            Verdict::Pass => Met::Meets,
            Verdict::Fail => Met::Fails,
            Verdict::Inconclusive { reason } => Met::CannotTell { reason },
        }
    }
}
