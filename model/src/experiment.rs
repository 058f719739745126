//! Experiments: a question, and the matrix of trials that answers it, as a TOML file.
//!
//! ```toml
//! schema = 1
//! name = "head-of-line"
//! question = "What does one lost packet hold up?"
//! repeat = 3                       # paired seeds; or seeds = [1, 2, 3]
//!
//! [[part]]
//! name = "messages"
//! arms = ["tcp", "quic"]
//! workload = { kind = "messages", streams = 8, size = "1000B", spacing = "40ms", count = 50 }
//! link = { rtt = "60ms", rate = "20Mbit" }
//! axes = { loss = ["0%", "1%", "3%"] }
//! ```
//!
//! A part is one workload on one base link; its axes vary conditions, workload or tuning by name.
//! [`Experiment::trials`] multiplies it out: part × axes × seed × arm.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::arm::Arm;
use crate::link::files::{self, Reader};
use crate::link::{Link, LinkSpec};
use crate::mode::Mode;
use crate::tolerance::Tolerance;
use crate::tuning::Tuning;
use crate::units::Duration;
use crate::workload::Workload;

/// The version of the file format that this program writes.
pub const SCHEMA: u32 = 1;

/// More trials than this are surely a slip.
const MAX_TRIALS: usize = 100_000;

/// A question, and what is run to answer it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Experiment {
    /// Version of the file format.
    pub schema: u32,
    /// Short name: letters, digits, hyphens.
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
    /// The seeds: each gives every arm the same payload and the same weather.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<u64>,
    /// Outside these bounds a trial is void.
    #[serde(default)]
    pub tolerance: Tolerance,
    /// What is measured.
    #[serde(rename = "part")]
    pub parts: Vec<Part>,
}

/// One workload on one link, for several arms, over the axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Part {
    /// Short name, unique in the experiment.
    pub name: String,
    /// The arms compared.
    pub arms: Vec<Arm>,
    /// What is sent.
    pub workload: Workload,
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
    /// Whether packets are mapped to messages (see [`crate::carriage`]). Absent: for `messages`, but
    /// not for `bulk`, whose throughput it would cost a little.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<bool>,
}

/// The name of a trial, unique in its run, fit for a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrialId(pub String);

impl fmt::Display for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One arm, one workload, one set of link conditions, one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trial {
    /// Unique in the run.
    pub id: TrialId,
    /// The part of the experiment it belongs to.
    pub part: String,
    /// The value of each axis, as text, in the axes' order: what makes its cell.
    pub axes: BTreeMap<String, String>,
    /// What is compared.
    pub arm: Arm,
    /// Decides payload and weather.
    pub seed: u64,
    /// What is sent.
    pub workload: Workload,
    /// The path.
    pub link: Link,
    /// What is set on the transports.
    pub tuning: Tuning,
    /// See [`Part::mode`].
    #[serde(default, skip_serializing_if = "Mode::is_auto")]
    pub mode: Mode,
    /// Outside these bounds it is void.
    #[serde(default)]
    pub tolerance: Tolerance,
    /// Longest time it may take in all.
    pub time_limit: Duration,
    /// Whether packets are mapped to messages (see [`crate::carriage`]).
    #[serde(default)]
    pub mapping: bool,
}

/// An experiment that cannot be run, with the remedy.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ExperimentError {
    /// The file is not TOML, or has a field or value that is not known. The text names the line.
    #[error("{0}")]
    Syntax(String),
    /// The file is of a version this program does not know.
    #[error("`schema` is {0}, but this program reads version {SCHEMA}; use a newer samepath")]
    Schema(u32),
    /// The whole makes no sense.
    #[error("{0}")]
    Whole(String),
    /// A part makes no sense.
    #[error("part `{part}`: {problem}")]
    Part {
        /// The part's name.
        part: String,
        /// What is wrong, and the remedy.
        problem: String,
    },
}

impl Experiment {
    /// Reads the text of an experiment file, and refuses what cannot be run.
    ///
    /// # Errors
    /// With line and column where the text itself is wrong; with the part's name where its sense is.
    pub fn parse(text: &str) -> Result<Experiment, ExperimentError> {
        Experiment::parse_with_files(text, &|_| Err("no files can be read here".into()))
    }

    /// As [`parse`](Experiment::parse), for a file whose conditions name others, such as rate traces:
    /// `read` gives their contents, which take their place.
    ///
    /// # Errors
    /// As [`parse`](Experiment::parse), and where a file cannot be read or is not what it should be.
    pub fn parse_with_files(text: &str, read: &Reader<'_>) -> Result<Experiment, ExperimentError> {
        let mut experiment: Experiment =
            toml::from_str(text).map_err(|error| ExperimentError::Syntax(error.to_string().trim_end().to_owned()))?;
        experiment.read_files(read)?;
        experiment.trials()?;
        Ok(experiment)
    }

    /// Puts the contents of the files that conditions name in the place of their names.
    ///
    /// # Errors
    /// Names the part and the file that cannot be read or is not what it should be.
    pub fn read_files(&mut self, read: &Reader<'_>) -> Result<(), ExperimentError> {
        for part in &mut self.parts {
            let wrong = |problem: String| ExperimentError::Part { part: part.name.clone(), problem };
            part.link.read_files(read).map_err(|error| wrong(error.to_string()))?;
            for (axis, values) in &mut part.axes {
                let condition = axis.strip_prefix("up.").or_else(|| axis.strip_prefix("down.")).unwrap_or(axis);
                for value in values.iter_mut() {
                    let Some(text) = value.as_str() else { continue };
                    if let Some(read) =
                        files::inline(condition, text, read).map_err(|error| wrong(error.to_string()))?
                    {
                        *value = toml::Value::String(read);
                    }
                }
            }
        }
        Ok(())
    }

    /// The text form of the file, every default written out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("an experiment always has a text form")
    }

    /// The seeds in force.
    pub fn seeds(&self) -> Vec<u64> {
        if self.seeds.is_empty() { (1..=u64::from(self.repeat.unwrap_or(1))).collect() } else { self.seeds.clone() }
    }

    /// Gives an axis these values in every part that knows it (replacing it where it was there).
    ///
    /// # Errors
    /// Where no part knows an axis of that name.
    pub fn set_axis(&mut self, name: &str, values: &[String]) -> Result<(), ExperimentError> {
        let mut known = false;
        for part in &mut self.parts {
            if part.place_of(name).is_some() {
                known = true;
                part.axes.insert(name.to_owned(), values.iter().map(|v| typed(v)).collect());
            }
        }
        if known {
            Ok(())
        } else {
            Err(ExperimentError::Whole(format!("no part has an axis `{name}`; {}", known_axes())))
        }
    }

    /// Puts these conditions over those of every part. A condition that a part varies on an axis is
    /// no longer varied; a profile replaces the part's own conditions.
    pub fn override_link(&mut self, over: &LinkSpec) {
        let said = toml::Table::try_from(over).expect("a link spec always has a text form");
        for part in &mut self.parts {
            if over.profile.is_some() {
                part.link = LinkSpec::default();
                part.axes.retain(|axis, _| axis == "loss" || part_free_axis(axis));
            }
            if over.rtt.is_some() || over.delay.is_some() {
                (part.link.rtt, part.link.delay) = (None, None);
                part.axes.retain(|axis, _| axis != "rtt" && axis != "delay");
            }
            let mut link = toml::Table::try_from(&part.link).expect("a link spec always has a text form");
            overlay(&mut link, &said, "", &mut part.axes);
            part.link = link.try_into().expect("two link specs make a link spec");
        }
    }

    /// Refuses conditions that would do nothing, as [`LinkSpec::refuse_idle`]: of a new experiment, not of one that
    /// was run. `flags` are those that [`override_link`](Self::override_link) has put into all parts alike; a word
    /// of theirs need do something in one of them alone.
    ///
    /// # Errors
    /// Names the part and the word.
    pub fn refuse_idle(&self, flags: &LinkSpec) -> Result<(), ExperimentError> {
        let mut refused = Vec::new();
        for part in &self.parts {
            let in_part = |problem| ExperimentError::Part { part: part.name.clone(), problem };
            let cells = part.cells().map_err(in_part)?;
            let words = cells.iter().map(|(_, varied)| varied.link.refuse_idle(&varied.link));
            let idle: Vec<_> = words.filter_map(Result::err).collect();
            if let (Some(first), true) = (idle.first(), idle.len() == cells.len()) {
                refused.push(in_part(first.to_string()));
            }
        }
        let all_of_them = refused.len() == self.parts.len() || *flags == LinkSpec::default();
        refused.into_iter().next().filter(|_| all_of_them).map_or(Ok(()), Err)
    }

    /// Every trial, in the order: part, axes, seed, arm. The order in which they are run is the
    /// harness's own.
    ///
    /// # Errors
    /// Names the part and the value that make no sense.
    pub fn trials(&self) -> Result<Vec<Trial>, ExperimentError> {
        let whole = |problem: String| Err(ExperimentError::Whole(problem));
        if self.schema != SCHEMA {
            return Err(ExperimentError::Schema(self.schema));
        }
        if !is_name(&self.name) {
            return whole(format!("`name` is `{}`; use letters, digits and hyphens, at most 64", self.name));
        }
        if self.repeat.is_some() && !self.seeds.is_empty() {
            return whole("`repeat` and `seeds` exclude each other; give one".into());
        }
        let seeds = self.seeds();
        if seeds.is_empty() {
            return whole("`repeat` is 0; at least one seed is needed".into());
        }
        if let Some(twice) = first_repeated(&seeds) {
            return whole(format!("seed {twice} is there twice; a seed is one pairing"));
        }
        if self.parts.is_empty() {
            return whole("there is no [[part]]; an experiment needs at least one".into());
        }
        if let Some(twice) = first_repeated(&self.parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>()) {
            return whole(format!("two parts are named `{twice}`; give each its own name"));
        }
        let mut trials = Vec::new();
        for part in &self.parts {
            part.trials(&seeds, &self.tolerance, &mut trials)
                .map_err(|problem| ExperimentError::Part { part: part.name.clone(), problem })?;
            if trials.len() > MAX_TRIALS {
                return whole(format!("the matrix has more than {MAX_TRIALS} trials; narrow the axes or split it"));
            }
        }
        Ok(trials)
    }
}

/// Where an axis's value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Link,
    Workload,
    Tuning,
}

/// The values of the axes as text, and the part with them applied.
type Cell = (BTreeMap<String, String>, Part);

const LINK_AXES: &[&str] = &[
    "profile",
    "rtt",
    "delay",
    "jitter",
    "distribution",
    "rate",
    "overhead",
    "rate-trace",
    "queue",
    "aqm",
    "limit",
    "slot",
    "loss",
    "ecn",
    "duplicate",
    "corrupt",
    "reorder",
    "mtu",
    "loss-key",
    "generator",
];
const BULK_AXES: &[&str] = &["direction", "streams", "bytes", "duration", "udp-rate", "datagram"];
const MESSAGES_AXES: &[&str] = &["direction", "streams", "size", "spacing", "staggered", "count", "duration", "warmup"];
const TUNING_AXES: &[&str] = &[
    "controller",
    "receive-window",
    "initial-window",
    "quic-mtu",
    "quic-mtu-discovery",
    "quic-gso",
    "quic-send-fairness",
    "order",
    "tls-record-size",
    "no-delay",
    "notsent-lowat",
];

fn known_axes() -> String {
    format!(
        "conditions: {}; bulk: {}; messages: {}; tuning: {}",
        LINK_AXES.join(", "),
        BULK_AXES.join(", "),
        MESSAGES_AXES.join(", "),
        TUNING_AXES.join(", ")
    )
}

impl Part {
    fn place_of(&self, axis: &str) -> Option<Place> {
        let workload = match self.workload {
            Workload::Bulk(_) => BULK_AXES,
            Workload::Messages(_) => MESSAGES_AXES,
        };
        // `up.loss` and `down.loss` vary one direction alone.
        let condition = axis.strip_prefix("up.").or_else(|| axis.strip_prefix("down.")).unwrap_or(axis);
        if LINK_AXES.contains(&condition) {
            Some(Place::Link)
        } else if workload.contains(&axis) {
            Some(Place::Workload)
        } else if TUNING_AXES.contains(&axis) {
            Some(Place::Tuning)
        } else {
            None
        }
    }

    fn trials(&self, seeds: &[u64], tolerance: &Tolerance, trials: &mut Vec<Trial>) -> Result<(), String> {
        if !is_name(&self.name) {
            return Err("its name may have letters, digits and hyphens, at most 64".into());
        }
        if self.arms.is_empty() {
            return Err("`arms` is empty; name at least one".into());
        }
        if let Some(twice) = first_repeated(&self.arms) {
            return Err(format!("arm `{twice}` is there twice"));
        }
        for (cell, (axes, varied)) in self.cells()?.into_iter().enumerate() {
            varied.workload.check().map_err(|error| error.to_string())?;
            let link = varied.link.resolve().map_err(|error| error.to_string())?;
            for &arm in &self.arms {
                varied.tuning.check(arm).map_err(|error| error.to_string())?;
            }
            for &seed in seeds {
                for &arm in &self.arms {
                    trials.push(Trial {
                        id: TrialId(format!("{}-{cell}-s{seed}-{}", self.name, arm.to_string().replace('/', "-"))),
                        part: self.name.clone(),
                        axes: axes.clone(),
                        arm,
                        seed,
                        workload: varied.workload.clone(),
                        link: link.clone(),
                        tuning: varied.tuning.clone(),
                        mode: self.mode,
                        tolerance: *tolerance,
                        time_limit: self.time_limit.unwrap_or_else(|| time_limit(&varied.workload, &link)),
                        mapping: self.mapping.unwrap_or(matches!(varied.workload, Workload::Messages(_))),
                    });
                }
            }
        }
        Ok(())
    }

    /// The product of the axes: the values' text, and the part with them applied.
    fn cells(&self) -> Result<Vec<Cell>, String> {
        let mut cells = vec![(BTreeMap::new(), self.clone())];
        for (name, values) in &self.axes {
            let place = self
                .place_of(name)
                .ok_or_else(|| format!("there is no axis `{name}` for `{}`; {}", self.workload.name(), known_axes()))?;
            if values.is_empty() {
                return Err(format!("axis `{name}` has no values"));
            }
            let mut next = Vec::with_capacity(cells.len() * values.len());
            for (axes, part) in &cells {
                for value in values {
                    let varied = part.with(place, name, value).map_err(|e| format!("axis `{name}`: {e}"))?;
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    let mut axes = axes.clone();
                    if axes.insert(name.clone(), text).is_some() {
                        return Err(format!("axis `{name}` is there twice"));
                    }
                    next.push((axes, varied));
                }
            }
            if next.len() > MAX_TRIALS {
                return Err(format!("the axes make more than {MAX_TRIALS} cells"));
            }
            cells = next;
        }
        Ok(cells)
    }

    /// This part with one value set by name.
    fn with(&self, place: Place, axis: &str, value: &toml::Value) -> Result<Part, String> {
        fn set<T: Serialize + serde::de::DeserializeOwned>(
            whole: &T,
            path: &[&str],
            value: &toml::Value,
        ) -> Result<T, String> {
            let mut table = toml::Table::try_from(whole).map_err(|e| e.to_string())?;
            let mut inner = &mut table;
            for step in &path[..path.len() - 1] {
                let entry = inner.entry((*step).to_owned()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
                inner = entry.as_table_mut().ok_or("not a table")?;
            }
            inner.insert(path[path.len() - 1].to_owned(), value.clone());
            table.try_into().map_err(|e: toml::de::Error| e.message().to_owned())
        }
        let path: Vec<&str> = axis.split('.').collect();
        let mut part = self.clone();
        match place {
            Place::Link => {
                // The shorthand and the longhand exclude each other: the axis replaces either.
                match axis {
                    "rtt" => part.link.delay = None,
                    "delay" => part.link.rtt = None,
                    _ => {}
                }
                part.link = set(&part.link, &path, value)?;
            }
            Place::Workload => {
                match (&mut part.workload, axis) {
                    (Workload::Bulk(bulk), "bytes") => bulk.duration = None,
                    (Workload::Bulk(bulk), "duration") => bulk.bytes = None,
                    (Workload::Messages(messages), "count") => messages.duration = None,
                    (Workload::Messages(messages), "duration") => messages.count = None,
                    _ => {}
                }
                part.workload = set(&part.workload, &path, value)?;
            }
            Place::Tuning => part.tuning = set(&part.tuning, &path, value)?,
        }
        Ok(part)
    }
}

/// Whether an axis varies something else than the link.
fn part_free_axis(axis: &str) -> bool {
    let condition = axis.strip_prefix("up.").or_else(|| axis.strip_prefix("down.")).unwrap_or(axis);
    !LINK_AXES.contains(&condition)
}

/// Writes what `over` says into `base`, direction by direction, and takes it off the axes.
fn overlay(base: &mut toml::Table, over: &toml::Table, prefix: &str, axes: &mut BTreeMap<String, Vec<toml::Value>>) {
    for (name, value) in over {
        match value {
            toml::Value::Table(inner) => {
                let slot = base.entry(name.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
                if let toml::Value::Table(slot) = slot {
                    overlay(slot, inner, &format!("{name}."), axes);
                }
            }
            toml::Value::Array(items) if items.is_empty() => {}
            value => {
                axes.remove(&format!("{prefix}{name}"));
                base.insert(name.clone(), value.clone());
            }
        }
    }
}

/// A bound on a trial that no healthy trial reaches: the schedule, ten times the transfer at the
/// link's rate, and half a minute for handshakes, recovery and draining.
fn time_limit(workload: &Workload, link: &Link) -> Duration {
    let rate = link.direction(workload.direction()).rate;
    let transfer = match (workload.total_bytes(), rate) {
        (Some(bytes), Some(rate)) => rate.time_for(bytes.bytes()),
        // Without a rate a long transfer is limited by loss and RTT; assume no less than 1 Mbit/s.
        (Some(bytes), None) => crate::units::BitRate::new(10_000_000).time_for(bytes.bytes()),
        (None, _) => Duration::ZERO,
    };
    Duration::from_secs(30) + workload.nominal_duration().unwrap_or_default() + transfer * 10 + link.rtt() * 20
}

/// A value as typed on the command line, in the type that the file would give it.
fn typed(text: &str) -> toml::Value {
    if let Ok(n) = text.parse::<i64>() {
        toml::Value::Integer(n)
    } else if let Ok(b) = text.parse::<bool>() {
        toml::Value::Boolean(b)
    } else {
        toml::Value::String(text.to_owned())
    }
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn first_repeated<T: PartialEq + Clone>(items: &[T]) -> Option<T> {
    items.iter().enumerate().find(|(i, item)| items[..*i].contains(item)).map(|(_, item)| item.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
schema = 1
name = "small"
repeat = 2
[[part]]
name = "messages"
arms = ["tcp", "quic"]
workload = { kind = "messages", streams = 4, size = "1000B", spacing = "40ms", count = 10 }
link = { rtt = "60ms", rate = "20Mbit" }
axes = { loss = ["0%", "1%", "burst 1% 3"], streams = [1, 4] }
"#;

    #[test]
    fn the_matrix_is_multiplied_out() {
        let experiment = Experiment::parse(SMALL).unwrap();
        let trials = experiment.trials().unwrap();
        assert_eq!(trials.len(), 3 * 2 * 2 * 2);
        let mut ids: Vec<_> = trials.iter().map(|t| &t.id).collect();
        ids.dedup();
        assert_eq!(ids.len(), trials.len());
        assert!(trials.iter().any(|t| t.workload.streams() == 1 && t.axes["loss"] == "burst 1% 3"));
    }

    #[test]
    fn the_text_form_round_trips() {
        let experiment = Experiment::parse(SMALL).unwrap();
        assert_eq!(Experiment::parse(&experiment.to_toml()).unwrap(), experiment);
    }

    #[test]
    fn an_axis_can_be_set_from_outside() {
        let mut experiment = Experiment::parse(SMALL).unwrap();
        experiment.set_axis("loss", &["2%".into()]).unwrap();
        experiment.set_axis("rtt", &["10ms".into(), "20ms".into()]).unwrap();
        experiment.set_axis("controller", &["reno".into()]).unwrap();
        let trials = experiment.trials().unwrap();
        assert_eq!(trials.len(), 2 * 2 * 2 * 2);
        assert!(experiment.set_axis("colour", &["red".into()]).unwrap_err().to_string().contains("colour"));
    }

    #[test]
    fn conditions_can_be_put_over_those_of_the_file() {
        let mut experiment = Experiment::parse(SMALL).unwrap();
        let over: LinkSpec = toml::from_str("delay = '5ms'\nloss = '2%'\n[up]\nrate = '1Mbit'").unwrap();
        experiment.override_link(&over);
        let trials = experiment.trials().unwrap();
        assert_eq!(trials.len(), 2 * 2 * 2, "loss is no longer an axis");
        let link = &trials[0].link;
        assert_eq!(link.rtt(), Duration::from_millis(10));
        assert_eq!(link.up.rate, Some(crate::BitRate::new(1_000_000)));
        assert_eq!(link.down.rate, Some(crate::BitRate::new(20_000_000)));
        assert!((link.down.loss.rate() - 0.02).abs() < 1e-12);
    }

    #[test]
    fn messages_are_mapped_unless_said_otherwise() {
        let mapped = |text: &str| Experiment::parse(text).unwrap().trials().unwrap()[0].mapping;
        let bulk = "schema = 1\nname = 'b'\n[[part]]\nname = 'b'\narms = ['tcp']\nworkload = { kind = 'bulk', bytes = '1MB' }\n";
        assert!(mapped(SMALL) && !mapped(bulk));
        assert!(mapped(&format!("{bulk}mapping = true")));
        assert!(!mapped(&SMALL.replace("arms =", "mapping = false\narms =")));
    }

    #[test]
    fn errors_name_line_or_part() {
        let at_line = Experiment::parse(&SMALL.replace("60ms", "60")).unwrap_err().to_string();
        assert!(at_line.contains("line 9") && at_line.contains("60ms"), "{at_line}");
        let unknown = Experiment::parse(&SMALL.replace("streams = 4", "stream = 4")).unwrap_err().to_string();
        assert!(unknown.contains("stream"), "{unknown}");
        let axis = Experiment::parse(&SMALL.replace("axes = { loss", "axes = { los")).unwrap_err().to_string();
        assert!(axis.contains("part `messages`") && axis.contains("`los`"), "{axis}");
        let value = Experiment::parse(&SMALL.replace("\"0%\"", "\"200%\"")).unwrap_err().to_string();
        assert!(value.contains("200%"), "{value}");
        let schema = Experiment::parse(&SMALL.replace("schema = 1", "schema = 9")).unwrap_err().to_string();
        assert!(schema.contains('9'), "{schema}");
        assert!(Experiment::parse(&SMALL.replace("repeat = 2", "repeat = 0")).is_err());
    }
}
