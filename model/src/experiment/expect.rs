//! Expectations as files say them: what an experiment's author holds to be true of its cells.
//!
//! ```toml
//! [[expect]]
//! metric = "delay-p99"
//! part = "messages"
//! arm = "quic"
//! at = { loss = "1%" }
//! most = "120ms"                   # or least, or between = [.., ..], or near with within
//!
//! [[expect]]
//! metric = "delay-p99"
//! part = "messages"
//! arm = "quic"
//! ratio-to = { arm = "tcp" }       # or difference-from
//! most = 0.9
//! ```
//!
//! An expectation is of every cell that fits it: of all arms where it names none, of all values of an axis that `at`
//! leaves out. Which metrics there are, and which figures are of their unit, is for whoever computes them to say.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::arm::Arm;
use crate::units::text_or_number;

/// What is expected of a metric, as the file says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExpectSpec {
    /// The metric's name.
    pub metric: String,
    /// The part; may be left out where there is one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The arm. Absent: each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<Arm>,
    /// No more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<Figure>,
    /// No less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<Figure>,
    /// From the first to the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between: Option<[Figure; 2]>,
    /// This, give or take `within`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<Figure>,
    /// How far from `near` is near enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Figure>,
    /// Whether it is expected of each trial, and not of their median.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub each: bool,
    /// How sure the verdict on a median is. Absent: [`CONFIDENCE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Axes and the value at which it is expected; of an axis that is not named, each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub at: BTreeMap<String, toml::Value>,
    /// Another cell: the bound is of the ratio to it, seed by seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_to: Option<OtherSpec>,
    /// Another cell: the bound is of the difference from it, seed by seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference_from: Option<OtherSpec>,
}

/// A cell to compare with: in what it does not name it is as the cell that is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OtherSpec {
    /// Its part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Its arm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<Arm>,
    /// Axes, and the value that they have there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub at: BTreeMap<String, toml::Value>,
}

/// A figure with its unit, as it is written: `120ms`; a number alone where it counts or is a ratio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Figure(pub String);

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer).map(Figure)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How sure a verdict on a median is where its expectation does not say.
pub const CONFIDENCE: f64 = 0.95;
