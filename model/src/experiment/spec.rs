//! Experiments and their parts as files say them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::expect::ExpectSpec;
use super::need::{NeedSpec, RuleSpec};
use crate::arm::Arm;
use crate::flow::FlowSpec;
use crate::link::LinkSpec;
use crate::link::files::Inputs;
use crate::mode::Mode;
use crate::restart::RestartSpec;
use crate::tolerance::Tolerance;
use crate::tuning::Tuning;
use crate::units::Duration;
use crate::workload::Workload;

/// The version of the file format that this program writes.
pub const SCHEMA: u32 = 1;

/// A question, and what is run to answer it, as its file says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExperimentSpec {
    /// Version of the file format.
    pub schema: u32,
    /// Short name: a-z, A-Z, 0-9 and hyphens.
    pub name: String,
    /// What the experiment asks, for the report's head.
    #[serde(default)]
    pub question: String,
    /// What to look for in the answer, for the report.
    #[serde(default)]
    pub explanation: String,
    /// Number of paired seeds, where `seeds` is not given: seeds 1, 2, …, `repeat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<u32>,
    /// The seeds: each gives every arm the same payload and the same random draws.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<u64>,
    /// Outside these bounds a trial is void.
    #[serde(default)]
    pub tolerance: Tolerance,
    /// What is measured.
    #[serde(rename = "part")]
    pub parts: Vec<Part>,
    /// What is expected to come out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<ExpectSpec>,
    /// What the uses of its parts need.
    #[serde(rename = "need", default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<NeedSpec>,
    /// Rules of thumb about them.
    #[serde(rename = "rule", default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleSpec>,
    /// The files that its conditions name, as far as they have been read; the file of the experiment has their
    /// checksums alone.
    #[serde(skip)]
    pub inputs: Inputs,
}

/// One workload on one link, for several arms, over the axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Part {
    /// Short name, unique in the experiment.
    pub name: String,
    /// What it is that people do here, in words: parts with the same use are told together, by what they need.
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    pub of_use: Option<String>,
    /// Number of its paired seeds, where it takes others than the experiment: 1, 2, …, `repeat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<u32>,
    /// The arms compared.
    pub arms: Vec<Arm>,
    /// What is sent.
    pub workload: Workload,
    /// The flows beside it on the same link, in each of its trials alike.
    #[serde(rename = "competing-flow", default, skip_serializing_if = "Vec::is_empty")]
    pub competing: Vec<FlowSpec>,
    /// When servers are killed and started again, in each of its trials alike.
    #[serde(rename = "server-restart", default, skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<RestartSpec>,
    /// The path.
    #[serde(default)]
    pub link: LinkSpec,
    /// What is set on the transports.
    #[serde(default)]
    pub tuning: Tuning,
    /// Whether the link may hand neighbouring packets over as one; by itself it never does for `messages`.
    #[serde(default, skip_serializing_if = "Mode::is_auto")]
    pub mode: Mode,
    /// Name of a condition, a workload parameter or a tuning, and the values it takes in turn.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub axes: BTreeMap<String, Vec<toml::Value>>,
    /// Longest time a trial of this part may take in all. Absent: derived from workload and link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<Duration>,
    /// Whether packets are attributed to messages (see [`crate::attribution`]). Absent: for `messages`, but
    /// not for `bulk`, whose throughput it would cost a little.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<bool>,
}

impl ExperimentSpec {
    /// The text form of the file, every default written out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("an experiment always has a text form")
    }

    /// The seeds in force.
    pub fn seeds(&self) -> Vec<u64> {
        if self.seeds.is_empty() { (1..=u64::from(self.repeat.unwrap_or(1))).collect() } else { self.seeds.clone() }
    }
}
