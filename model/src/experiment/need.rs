//! Needs: what the people who use something take from it, and who says so.
//!
//! ```toml
//! [[part]]
//! use = "telephone call"
//! …
//!
//! [[need]]
//! use = "telephone call"
//! metric = "r-factor"
//! least = 80                       # or most
//! limit = 70                       # what is still borne
//! source = "ITU-T G.109: satisfied from 80 (cited)"
//! ```
//!
//! A need is of every cell of every part with its use. It is asked, not expected: that an arm does not meet it is an answer, and
//! no failure.

use serde::{Deserialize, Serialize};

use super::expect::Figure;
use crate::arm::Arm;

/// What a use needs, as the file says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NeedSpec {
    /// The use that needs it.
    #[serde(rename = "use")]
    pub of: String,
    /// The metric's name.
    pub metric: String,
    /// No more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<Figure>,
    /// No less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<Figure>,
    /// What is still borne, beyond the bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Figure>,
    /// Which percentile of the trials is held against the bound, above 0 and below 100. Absent: their median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentile: Option<f64>,
    /// How sure the verdict is. Absent: [`CONFIDENCE`](super::CONFIDENCE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Who says so, and how that is known.
    pub source: String,
}

/// A rule of thumb about a use, as the file says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RuleSpec {
    /// The use that it is about.
    #[serde(rename = "use")]
    pub of: String,
    /// The rule in words: `calls need UDP`.
    pub says: String,
    /// The arms without which, by the rule, what is needed is not met.
    pub arms: Vec<Arm>,
}
