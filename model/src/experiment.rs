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

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::arm::Arm;
use crate::link::files::{self, Inputs, Reader};
use crate::link::{Checksum, Link, LinkSpec};
use crate::mode::Mode;
use crate::spot::{Spot, quoted};
use crate::streams;
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
    #[error("{problem}")]
    Whole {
        /// Where it stands.
        at: Spot,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// A part makes no sense.
    #[error("part `{part}`: {problem}")]
    Part {
        /// The part's name.
        part: String,
        /// Where it stands.
        at: Spot,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// One of the others, found in the text of a file.
    #[error("line {line}: {error}")]
    InText {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        error: Box<ExperimentError>,
    },
}

impl ExperimentError {
    /// Where in the experiment it stands; `None` where its text cannot be read at all.
    pub fn at(&self) -> Option<Spot> {
        match self {
            ExperimentError::Syntax(_) => None,
            ExperimentError::Schema(_) => Some(Spot::key("schema")),
            ExperimentError::Whole { at, .. } | ExperimentError::Part { at, .. } => Some(at.clone()),
            ExperimentError::InText { error, .. } => error.at(),
        }
    }

    /// With the line of this text on which it stands, if it is in it.
    fn in_text(self, text: &str) -> ExperimentError {
        let problem = match &self {
            ExperimentError::Whole { problem, .. } | ExperimentError::Part { problem, .. } => problem.as_str(),
            _ => "",
        };
        match self.at().and_then(|at| at.line(text, problem)) {
            Some(line) => ExperimentError::InText { line, error: Box::new(self) },
            None => self,
        }
    }
}

/// What is wrong in a part, and where in it.
struct Fault {
    at: Spot,
    problem: String,
}

impl Fault {
    fn new(at: Spot, problem: impl fmt::Display) -> Fault {
        Fault { at, problem: problem.to_string() }
    }

    /// In the part that stands at this place.
    fn of(self, place: usize, part: &Part) -> ExperimentError {
        let at = Spot::key("part").item(place).join(self.at);
        ExperimentError::Part { part: part.name.clone(), at, problem: self.problem }
    }
}

impl Experiment {
    /// Reads the text of an experiment file, and refuses what cannot be run.
    ///
    /// # Errors
    /// With the line, and with the part's name where its sense is wrong.
    pub fn parse(text: &str) -> Result<Experiment, ExperimentError> {
        Experiment::parse_with_files(text, &|_| Err("no files can be read here".into()))
    }

    /// As [`parse`](Experiment::parse), for a file whose conditions name others, such as rate traces:
    /// `read` gives their contents, which take their place.
    ///
    /// # Errors
    /// As [`parse`](Experiment::parse), and where a file cannot be read or is not what it should be.
    pub fn parse_with_files(text: &str, read: &Reader<'_>) -> Result<Experiment, ExperimentError> {
        let mut experiment = Experiment::from_text(text)?;
        let check = |experiment: &mut Experiment| {
            experiment.read_files(read)?;
            experiment.trials()
        };
        check(&mut experiment).map_err(|error| error.in_text(text))?;
        Ok(experiment)
    }

    /// As [`parse`](Experiment::parse), for the experiment of a run that was made: what was run once stays
    /// readable, though it would be refused today (see [`matrix`](Experiment::matrix)).
    ///
    /// # Errors
    /// As [`parse`](Experiment::parse).
    pub fn parse_recorded(text: &str) -> Result<Experiment, ExperimentError> {
        let experiment = Experiment::from_text(text)?;
        experiment.matrix().map_err(|error| error.in_text(text))?;
        Ok(experiment)
    }

    fn from_text(text: &str) -> Result<Experiment, ExperimentError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        // A newer file may have keys that are not known here: its version tells more than they do.
        if let Ok(Version { schema }) = toml::from_str(text)
            && schema != SCHEMA
        {
            return Err(ExperimentError::Schema(schema).in_text(text));
        }
        toml::from_str(text).map_err(|error| ExperimentError::Syntax(in_words(error.to_string().trim_end())))
    }

    /// Puts the contents of the files that conditions name in the place of their names.
    ///
    /// # Errors
    /// Names the part and the file that cannot be read or is not what it should be.
    pub fn read_files(&mut self, read: &Reader<'_>) -> Result<(), ExperimentError> {
        for (place, part) in self.parts.iter_mut().enumerate() {
            part.read_files(&mut self.inputs, read).map_err(|fault| fault.of(place, part))?;
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
            Err(ExperimentError::Whole {
                at: Spot::default(),
                problem: format!("no part has an axis `{name}`; {}", known_axes()),
            })
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
            // One kind of rate takes the place of the other.
            let both = (over.rate.is_some(), over.rate_trace.is_some());
            let up = (over.up.rate.is_some() || both.0, over.up.rate_trace.is_some() || both.1);
            let down = (over.down.rate.is_some() || both.0, over.down.rate_trace.is_some() || both.1);
            for ((by_rate, by_trace), (rate, trace), prefix) in [
                (both, (&mut part.link.rate, &mut part.link.rate_trace), ""),
                (up, (&mut part.link.up.rate, &mut part.link.up.rate_trace), "up."),
                (down, (&mut part.link.down.rate, &mut part.link.down.rate_trace), "down."),
            ] {
                if by_rate {
                    *trace = None;
                    part.axes.remove(&format!("{prefix}rate-trace"));
                }
                if by_trace {
                    *rate = None;
                    part.axes.remove(&format!("{prefix}rate"));
                }
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
        for (place, part) in self.parts.iter().enumerate() {
            let cells = part.cells().map_err(|fault| fault.of(place, part))?;
            let words = cells.iter().map(|(_, varied)| varied.link.refuse_idle(&varied.link));
            let idle: Vec<_> = words.filter_map(Result::err).collect();
            if let (Some(first), true) = (idle.first(), idle.len() == cells.len()) {
                refused.push(Fault::new(Spot::key("link"), first).of(place, part));
            }
        }
        let all_of_them = refused.len() == self.parts.len() || *flags == LinkSpec::default();
        refused.into_iter().next().filter(|_| all_of_them).map_or(Ok(()), Err)
    }

    /// Every trial, in the order: part, axes, seed, arm. The order in which they are run is the
    /// harness's own.
    ///
    /// # Errors
    /// Names the part and the value that make no sense, and values of axes that make the same trials twice.
    pub fn trials(&self) -> Result<Vec<Trial>, ExperimentError> {
        let trials = self.matrix()?;
        for (place, part) in self.parts.iter().enumerate() {
            part.refuse_twins().map_err(|fault| fault.of(place, part))?;
        }
        Ok(trials)
    }

    /// As [`trials`](Experiment::trials), where values of axes may make the same trials twice: of runs that
    /// were recorded when they were let pass.
    ///
    /// # Errors
    /// Names the part and the value that make no sense.
    pub fn matrix(&self) -> Result<Vec<Trial>, ExperimentError> {
        let whole = |at: Spot, problem: String| Err(ExperimentError::Whole { at, problem });
        if self.schema != SCHEMA {
            return Err(ExperimentError::Schema(self.schema));
        }
        if !is_name(&self.name) {
            let problem = format!("`name` is `{}`; use letters, digits and hyphens, at most 64", self.name);
            return whole(Spot::key("name"), problem);
        }
        if self.repeat.is_some() && !self.seeds.is_empty() {
            return whole(Spot::key("repeat"), "`repeat` and `seeds` exclude each other; give one".into());
        }
        let seeds = self.seeds();
        if seeds.is_empty() {
            return whole(Spot::key("repeat"), "`repeat` is 0; at least one seed is needed".into());
        }
        if let Some((place, twice)) = first_repeated(&seeds) {
            return whole(
                Spot::key("seeds").item(place),
                format!("seed {twice} is there twice; a seed is one pairing"),
            );
        }
        if self.parts.is_empty() {
            return whole(Spot::key("part"), "there is no [[part]]; an experiment needs at least one".into());
        }
        if let Some((place, twice)) = first_repeated(&self.parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>()) {
            let at = Spot::key("part").item(place).then("name");
            return whole(at, format!("two parts are named `{twice}`; give each its own name"));
        }
        let mut trials = Vec::new();
        for (place, part) in self.parts.iter().enumerate() {
            part.trials(&seeds, &self.tolerance, &mut trials).map_err(|fault| fault.of(place, part))?;
            if trials.len() > MAX_TRIALS {
                let problem = format!("the matrix has more than {MAX_TRIALS} trials; narrow the axes or split it");
                return whole(Spot::key("part").item(place), problem);
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

impl Place {
    /// The key of the table in the file.
    const fn key(self) -> &'static str {
        match self {
            Place::Link => "link",
            Place::Workload => "workload",
            Place::Tuning => "tuning",
        }
    }
}

/// The values of the axes as text, and the part with them applied.
type Cell = (BTreeMap<String, String>, Part);

const LINK_AXES: &[&str] = &[
    "profile",
    "filter",
    "rtt",
    "delay",
    "jitter",
    "distribution",
    "keep-order",
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
    "blackhole",
    "bleach",
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

    fn read_files(&mut self, inputs: &mut Inputs, read: &Reader<'_>) -> Result<(), Fault> {
        self.link.read_files(inputs, read).map_err(|error| Fault::new(Spot::key("link"), error))?;
        for (axis, values) in &mut self.axes {
            let condition = axis.strip_prefix("up.").or_else(|| axis.strip_prefix("down.")).unwrap_or(axis);
            for (place, value) in values.iter_mut().enumerate() {
                let Some(text) = value.as_str() else { continue };
                let at = || Spot::key("axes").then(axis).item(place);
                let read = files::resolve(condition, text, inputs, read).map_err(|error| Fault::new(at(), error))?;
                if let Some(read) = read {
                    *value = toml::Value::String(read);
                }
            }
        }
        Ok(())
    }

    fn trials(&self, seeds: &[u64], tolerance: &Tolerance, trials: &mut Vec<Trial>) -> Result<(), Fault> {
        if !is_name(&self.name) {
            let problem = "its name may have letters, digits and hyphens, at most 64; give it another";
            return Err(Fault::new(Spot::key("name"), problem));
        }
        if self.arms.is_empty() {
            return Err(Fault::new(Spot::key("arms"), "`arms` is empty; name at least one"));
        }
        if let Some((place, twice)) = first_repeated(&self.arms) {
            let problem = format!("arm `{twice}` is there twice; leave one out");
            return Err(Fault::new(Spot::key("arms").item(place), problem));
        }
        for (cell, (axes, varied)) in self.cells()?.into_iter().enumerate() {
            let fault = |table: Place, error: &dyn fmt::Display| self.fault(table, &axes, error.to_string());
            varied.workload.check().map_err(|error| fault(Place::Workload, &error))?;
            let link = varied.link.resolve().map_err(|error| fault(Place::Link, &error))?;
            let workload = varied.workload.clone().on_link(&link);
            for &arm in &self.arms {
                varied.tuning.check(arm).map_err(|error| fault(Place::Tuning, &error))?;
                let (mtu, least) = (link.mtu, arm.least_mtu());
                if mtu < least {
                    let problem = format!(
                        "an `mtu` of {mtu} is too small for QUIC; give at least {least}, or leave the arm `{arm}` out"
                    );
                    return Err(fault(Place::Link, &problem));
                }
                streams::check(arm, &workload, link.rtt()).map_err(|error| fault(Place::Workload, &error))?;
            }
            for &seed in seeds {
                for &arm in &self.arms {
                    trials.push(Trial {
                        id: TrialId(format!("{}-{cell}-s{seed}-{}", self.name, arm.to_string().replace('/', "-"))),
                        part: self.name.clone(),
                        axes: axes.clone(),
                        arm,
                        seed,
                        workload: workload.clone(),
                        link: link.clone(),
                        tuning: varied.tuning.clone(),
                        mode: self.mode,
                        tolerance: tolerance.clone(),
                        time_limit: self.time_limit.unwrap_or_else(|| time_limit(&workload, &link)),
                        mapping: self.mapping.unwrap_or(matches!(varied.workload, Workload::Messages(_))),
                    });
                }
            }
        }
        Ok(())
    }

    /// A fault of a cell, at the value of the axis that made it where there is one, else in the table that
    /// has the base's values.
    fn fault(&self, table: Place, cell: &BTreeMap<String, String>, problem: String) -> Fault {
        let condition = |axis: &str| axis.rsplit('.').next().unwrap_or(axis).to_owned();
        let named = quoted(&problem).find_map(|key| cell.keys().find(|axis| condition(axis) == key));
        // Where the message names no axis, but the base is sound, one of those that vary this table it must be.
        let base_is_sound = match table {
            Place::Link => {
                self.link.resolve().is_ok_and(|link| self.arms.iter().all(|arm| arm.least_mtu() <= link.mtu))
            }
            Place::Workload => self.workload.check().is_ok(),
            Place::Tuning => self.arms.iter().all(|&arm| self.tuning.check(arm).is_ok()),
        };
        let varies = || cell.keys().find(|axis| base_is_sound && self.place_of(axis) == Some(table));
        let at = match named.or_else(varies) {
            Some(axis) => self.value_spot(axis, &cell[axis]),
            None => Spot::key(table.key()),
        };
        Fault { at, problem }
    }

    /// Where the value of an axis stands that has this text.
    fn value_spot(&self, axis: &str, value: &str) -> Spot {
        let at = Spot::key("axes").then(axis);
        match value_texts(axis, &self.axes[axis]).iter().position(|known| known == value) {
            Some(place) => at.item(place),
            None => at,
        }
    }

    /// Refuses cells that are the same but for how their values are written: each seed would count twice.
    fn refuse_twins(&self) -> Result<(), Fault> {
        let mut known: HashMap<String, BTreeMap<String, String>> = HashMap::new();
        for (axes, varied) in self.cells()? {
            let link = varied.link.resolve().map_err(|error| self.fault(Place::Link, &axes, error.to_string()))?;
            let resolved = format!("{:?} {link:?} {:?}", varied.workload, varied.tuning);
            if let Some(twin) = known.get(&resolved) {
                return Err(self.twins(twin, &axes));
            }
            known.insert(resolved, axes);
        }
        Ok(())
    }

    fn twins(&self, first: &BTreeMap<String, String>, second: &BTreeMap<String, String>) -> Fault {
        let differing: Vec<&String> = second.keys().filter(|axis| first[*axis] != second[*axis]).collect();
        // Where the texts are the same, a value is there twice: the first axis that has one is at fault.
        let twice = || {
            self.axes.iter().find_map(|(axis, values)| {
                let texts = value_texts(axis, values);
                let (place, text) = first_repeated(&texts)?;
                let problem = format!("axis `{axis}` has the value `{text}` twice");
                Some((Spot::key("axes").then(axis).item(place), problem))
            })
        };
        let (at, problem) = match (&differing[..], twice()) {
            ([], Some(twice)) => twice,
            (&[axis], _) => {
                let (one, other) = (&first[axis], &second[axis]);
                let problem = format!("the values `{one}` and `{other}` of axis `{axis}` make the same trials");
                (self.value_spot(axis, &second[axis]), problem)
            }
            _ => {
                let cell = |axes: &BTreeMap<String, String>| {
                    axes.iter().map(|(axis, value)| format!("{axis}={value}")).collect::<Vec<_>>().join(", ")
                };
                let problem = format!("the axes make the same trials of {} and of {}", cell(first), cell(second));
                (Spot::key("axes"), problem)
            }
        };
        Fault { at, problem: format!("{problem}, so that each seed would count twice; leave one out") }
    }

    /// The product of the axes: the values' text, and the part with them applied.
    fn cells(&self) -> Result<Vec<Cell>, Fault> {
        let mut cells = vec![(BTreeMap::new(), self.clone())];
        for (name, values) in &self.axes {
            let at = || Spot::key("axes").then(name);
            let place = self.place_of(name).ok_or_else(|| {
                let kind = self.workload.name();
                Fault::new(at(), format!("there is no axis `{name}` for `{kind}`; {}", known_axes()))
            })?;
            if values.is_empty() {
                return Err(Fault::new(at(), format!("axis `{name}` has no values; give at least one")));
            }
            let texts = value_texts(name, values);
            let mut next = Vec::with_capacity(cells.len() * values.len());
            for (axes, part) in &cells {
                for (place_in_list, value) in values.iter().enumerate() {
                    let varied = part.with(place, name, value).map_err(|e| {
                        Fault::new(at().item(place_in_list), format!("axis `{name}`: {}", in_words(&e)))
                    })?;
                    let mut axes = axes.clone();
                    axes.insert(name.clone(), texts[place_in_list].clone());
                    next.push((axes, varied));
                }
            }
            if next.len() > MAX_TRIALS {
                let problem = format!("the axes make more than {MAX_TRIALS} cells; give fewer values");
                return Err(Fault::new(Spot::key("axes"), problem));
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
    let rate = link.direction(workload.direction()).mean_rate();
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

/// The first that is there before, and its place.
fn first_repeated<T: PartialEq + Clone>(items: &[T]) -> Option<(usize, T)> {
    items.iter().enumerate().find(|(i, item)| items[..*i].contains(item)).map(|(i, item)| (i, item.clone()))
}

/// The values of an axis as text; of what stands for a file, its name, with the beginning of its text's checksum
/// where another value has the same.
fn value_texts(axis: &str, values: &[toml::Value]) -> Vec<String> {
    let condition = axis.rsplit('.').next().unwrap_or(axis);
    let whole: Vec<String> = values.iter().map(value_text).collect();
    let labels: Vec<String> =
        whole.iter().map(|text| files::label(condition, text).unwrap_or_else(|| text.clone())).collect();
    let is_shared = |at: usize| (0..whole.len()).any(|other| labels[other] == labels[at] && whole[other] != whole[at]);
    let told = |at: usize| match is_shared(at) {
        true => format!("{} ({})", labels[at], &Checksum::of(whole[at].as_bytes()).hex()[..8]),
        false => labels[at].clone(),
    };
    (0..whole.len()).map(told).collect()
}

/// A value of an axis as it is written.
fn value_text(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A message of the parser with the program's types put in words.
fn in_words(message: &str) -> String {
    let range = |message: String, (name, most): (&str, u64)| {
        message.replace(&format!("expected {name}"), &format!("expected a whole number from 0 to {most}"))
    };
    let types =
        [("u8", u8::MAX.into()), ("u16", u16::MAX.into()), ("u32", u32::MAX.into()), ("u64", i64::MAX.unsigned_abs())];
    types.into_iter().fold(message.to_owned(), range)
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
    fn one_kind_of_rate_takes_the_place_of_the_other() {
        let rates = |file: &str, flags: &str| {
            let mut experiment = Experiment::parse(&SMALL.replace("rate = \"20Mbit\"", file)).unwrap();
            experiment.override_link(&toml::from_str(flags).unwrap());
            let link = experiment.trials().unwrap()[0].link.clone();
            [link.up, link.down].map(|c| (c.rate.map(|rate| rate.to_string()), c.rate_trace.is_some()))
        };
        let (rate, trace) = ((Some("20Mbit".to_owned()), false), (None, true));
        let twenty = "rate = '20Mbit'";
        assert_eq!(rates(twenty, "rate-trace = 'inline t 1'"), [trace.clone(), trace.clone()]);
        assert_eq!(rates(twenty, "[up]\nrate-trace = 'inline t 1'"), [trace.clone(), rate.clone()]);
        assert_eq!(rates("rate-trace = 'inline t 1'", twenty), [rate.clone(), rate.clone()]);
        assert_eq!(rates("up = { rate = '1Mbit' }", "rate-trace = 'inline t 1'"), [trace.clone(), trace]);
        assert_eq!(rates("rate-trace = 'inline t 1'", "[down]\nrate = '20Mbit'")[1], rate);
    }

    #[test]
    fn messages_are_mapped_unless_said_otherwise() {
        let mapped = |text: &str| Experiment::parse(text).unwrap().trials().unwrap()[0].mapping;
        let bulk = "schema = 1\nname = 'b'\n[[part]]\nname = 'b'\narms = ['tcp']\nworkload = { kind = 'bulk', bytes = '1MB' }\n";
        assert!(mapped(SMALL) && !mapped(bulk));
        assert!(mapped(&format!("{bulk}mapping = true")));
        assert!(!mapped(&SMALL.replace("arms =", "mapping = false\narms =")));
    }

    fn refused(text: &str) -> String {
        Experiment::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_line_and_part() {
        let at_line = refused(&SMALL.replace("60ms", "60"));
        assert!(at_line.contains("line 9") && at_line.contains("60ms"), "{at_line}");
        assert!(refused(&SMALL.replace("streams = 4", "stream = 4")).contains("stream"));
        for (from, to, expected) in [
            ("schema = 1", "schema = 99\nnews = 1", "line 2: `schema` is 99"),
            ("\"small\"", "\"so small\"", "line 3: `name` is `so small`"),
            ("repeat = 2", "repeat = 0", "line 4: `repeat` is 0"),
            ("repeat = 2", "seeds = [1,\n2,\n1]", "line 6: seed 1 is there twice"),
            ("\"messages\"\na", "\"no name\"\na", "line 6: part `no name`: its name"),
            ("[\"tcp\", \"quic\"]", "[]", "line 7: part `messages`: `arms` is empty"),
            ("\"quic\"]", "\n\"tcp\"]", "line 8: part `messages`: arm `tcp` is there twice"),
            ("spacing = \"40ms\"", "spacing = \"0s\"", "line 8: part `messages`: workload `messages`"),
            ("{ loss", "{ los", "line 10: part `messages`: there is no axis `los`"),
            ("\"0%\"", "\n\"200%\"", "line 11: part `messages`: axis `loss`: "),
            ("[1, 4]", "[1,\n0]", "line 11: part `messages`: workload `messages`"),
            ("streams = [1, 4]", "jitter = [\"1ms\",\n\"9s\"]", "line 11: part `messages`: impossible"),
            ("rate = \"20Mbit\"", "limit = 0", "line 9: part `messages`: impossible link conditions: a `limit`"),
        ] {
            let changed = SMALL.replacen(from, to, 1);
            assert_ne!(changed, SMALL, "{from}");
            let error = refused(&changed);
            assert!(error.starts_with(expected), "{to}: {error}");
        }
    }

    #[test]
    fn a_number_out_of_range_is_told_with_the_range() {
        let wrong = refused(&SMALL.replace("streams = 4", "streams = 100000000"));
        assert!(wrong.contains("from 0 to 65535") && wrong.contains("line 8"), "{wrong}");
        let axis = refused(&SMALL.replace("[1, 4]", "[1, 100000000]"));
        assert!(axis.contains("from 0 to 65535") && axis.contains("line 10"), "{axis}");
    }

    #[test]
    fn values_that_mean_the_same_are_refused() {
        let set = |axis: &str, values: &[&str]| {
            let mut experiment = Experiment::parse(SMALL).unwrap();
            experiment.set_axis(axis, &values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>()).unwrap();
            experiment.trials().map(|trials| trials.len()).map_err(|error| error.to_string())
        };
        for (axis, values) in [
            ("loss", ["0%", "0%"]),
            ("loss", ["1%", "1.0%"]),
            ("rate", ["10Mbit", "10000kbit"]),
            ("size", ["1kB", "1000B"]),
            ("controller", ["cubic", "cubic"]),
        ] {
            let error = set(axis, &values).unwrap_err();
            let named = values.iter().all(|value| error.contains(&format!("`{value}`")));
            assert!(named && error.contains(axis) && error.contains("leave one out"), "{error}");
        }
        assert_eq!(set("loss", &["0%", "1%"]), Ok(2 * 2 * 2 * 2));
        // The round trip takes the place of the delay, so that two delays are one.
        let mut both = Experiment::parse(SMALL).unwrap();
        both.set_axis("delay", &["5ms".into(), "10ms".into()]).unwrap();
        both.set_axis("rtt", &["20ms".into(), "40ms".into()]).unwrap();
        let error = both.trials().unwrap_err().to_string();
        assert!(error.contains("the values `5ms` and `10ms` of axis `delay` make the same trials"), "{error}");
        // In a file, with the line; a run that was made so can still be read.
        let text = SMALL.replace("\"0%\"", "\"1.0%\"");
        assert!(
            refused(&text).starts_with("line 10: part `messages`: the values `1.0%` and `1%`"),
            "{}",
            refused(&text)
        );
        let recorded = Experiment::parse_recorded(&text).unwrap();
        assert_eq!(recorded.matrix().unwrap().len(), 3 * 2 * 2 * 2);
    }
}
