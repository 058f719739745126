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
//! A part is one workload on one base link; its axes vary conditions, workload or tuning by name. Flows that compete with
//! it for the link are each a table:
//!
//! ```toml
//! [[part.competing-flow]]
//! name = "download"                # absent: as its arm
//! arm = "tcp"
//! workload = { kind = "bulk", duration = "10s" }
//! start = "2s"                     # from the start of the flow under test; absent: with it
//! tuning = { controller = "bbr" }  # absent: what the part sets
//! ```
//!
//! So are the instants at which a server's process is killed and started again, without which a session that breaks is a
//! trial that failed:
//!
//! ```toml
//! [[part.server-restart]]
//! at = "2s"                        # killed (SIGKILL), from the start of the flow under test
//! downtime = "500ms"               # and started again so long after
//! flow = "download"                # whose server; absent: that of the flow under test
//! ```
//!
//! [`ExperimentSpec`] is what the file says, which flags may change; [`ExperimentSpec::resolve`] checks it and multiplies
//! it out, part × axes × seed × arm, to an [`Experiment`], which nothing changes any more.

mod axes;
mod bound;
mod competing;
mod error;
mod expect;
mod expected;
mod files;
mod matrix;
mod names;
mod need;
mod needed;
mod overrides;
mod restarts;
mod spec;
mod trial;

use serde::Deserialize;

pub use bound::Bound;
pub use error::ExperimentError;
use error::in_words;
pub use expect::{CONFIDENCE, ExpectSpec, Figure, OtherSpec};
pub use expected::{CellName, Expected, ExpectedCell, Relation, Statistic};
pub use need::{NeedSpec, RuleSpec};
pub use needed::Need;
pub use spec::{ExperimentSpec, Part, SCHEMA};
pub use trial::{Trial, TrialId};

use crate::link::files::{Inputs, Reader};

/// An experiment that can be run, with every one of its trials.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    spec: ExperimentSpec,
    trials: Vec<Trial>,
    expected: Vec<Expected>,
    needs: Vec<Need>,
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
        let mut spec = ExperimentSpec::parse(text)?;
        let files = spec.read_files(read);
        let resolved = files.and_then(|()| spec.resolve()).and_then(|experiment| {
            // Of what flags leave of it later, an expectation may be of no cell; a file that says so is wrong.
            experiment.spec.refuse_unknown_cells(&experiment.expected)?;
            Ok(experiment)
        });
        resolved.map_err(|error| error.in_text(text))
    }

    /// As [`parse`](Experiment::parse), for the experiment of a run that was made: what was run once stays
    /// readable, though values of its axes may make the same trials twice.
    ///
    /// # Errors
    /// As [`parse`](Experiment::parse).
    pub fn parse_recorded(text: &str) -> Result<Experiment, ExperimentError> {
        let spec = ExperimentSpec::parse(text)?;
        let resolved = spec.matrix().and_then(|trials| Ok((spec.expected(&trials)?, spec.needed(&trials)?, trials)));
        let (expected, needs, trials) = resolved.map_err(|error| error.in_text(text))?;
        Ok(Experiment { spec, trials, expected, needs })
    }

    /// What its file says, every default written out.
    pub const fn spec(&self) -> &ExperimentSpec {
        &self.spec
    }

    /// The same, to be changed and resolved again.
    pub fn into_spec(self) -> ExperimentSpec {
        self.spec
    }

    /// The same with these contents of the files that its conditions name. Its trials know them by their checksums.
    #[must_use]
    pub fn with_inputs(mut self, inputs: Inputs) -> Experiment {
        self.spec.inputs = inputs;
        self
    }

    /// Every trial, in the order: part, axes, seed, arm. The order in which they are run is the
    /// harness's own.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// What is expected to come out, in the file's order.
    pub fn expected(&self) -> &[Expected] {
        &self.expected
    }

    /// What the uses of its parts need, in the file's order.
    pub fn needs(&self) -> &[Need] {
        &self.needs
    }
}

impl ExperimentSpec {
    /// Reads the text of an experiment file as it stands: whether it makes sense as a whole, [`resolve`](Self::resolve)
    /// says.
    ///
    /// # Errors
    /// With the line.
    pub fn parse(text: &str) -> Result<ExperimentSpec, ExperimentError> {
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

    /// Checks the whole, and multiplies it out.
    ///
    /// # Errors
    /// Names the part and the value that make no sense, and values of axes that make the same trials twice.
    pub fn resolve(self) -> Result<Experiment, ExperimentError> {
        let trials = self.matrix()?;
        self.refuse_twins()?;
        let (expected, needs) = (self.expected(&trials)?, self.needed(&trials)?);
        Ok(Experiment { spec: self, trials, expected, needs })
    }
}

#[cfg(test)]
mod tests;
