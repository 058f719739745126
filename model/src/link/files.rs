//! Conditions that stand in files: rate traces and tables of delays.
//!
//! This crate opens no file. What names one is replaced here by the checksum of what a caller reads from it, and of
//! a rate trace by what there is to say of it ([`super::trace`]); the file itself goes to the [`Inputs`]. A run
//! keeps those once, so that it can be repeated elsewhere; where packets are served, [`Link::load`] takes traces and
//! tables from them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::checksum::Checksum;
use super::trace::{self, Trace};
use super::{Change, Conditions, ConditionsSpec, Direction, Link};
use super::{ConditionError, DelayTable, Distribution, LinkSpec, Pause, RateTrace, Slot};

/// Reads a whole file; the error is for people.
pub type Reader<'a> = dyn Fn(&str) -> Result<Vec<u8>, String> + 'a;

/// Where a run keeps the files that its conditions name, each under its checksum.
pub const DIRECTORY: &str = "inputs";

/// The files that conditions name, by their checksums, as they were read.
#[derive(Clone, Default)]
pub struct Inputs(BTreeMap<Checksum, Arc<[u8]>>);

impl Inputs {
    /// The bytes of a file.
    pub fn get(&self, checksum: &Checksum) -> Option<&Arc<[u8]>> {
        self.0.get(checksum)
    }

    /// Takes a file in; says its checksum.
    pub fn insert(&mut self, bytes: impl Into<Arc<[u8]>>) -> Checksum {
        let bytes = bytes.into();
        let checksum = Checksum::of(&bytes);
        self.0.entry(checksum).or_insert(bytes);
        checksum
    }

    /// Takes in those of `other`, too.
    pub fn extend(&mut self, other: Inputs) {
        self.0.extend(other.0);
    }

    /// Reads the file that a rate trace names, if it names one; of one that another run has kept, the kept file.
    ///
    /// # Errors
    /// Where the file cannot be read, or is no trace: with its line.
    pub fn read_trace(&mut self, rate_trace: &mut RateTrace, read: &Reader<'_>) -> Result<(), ConditionError> {
        match rate_trace {
            RateTrace::File { path, form } => {
                let wrong = |problem| ConditionError::Trace { name: path.clone(), problem };
                let bytes = read(path).map_err(wrong)?;
                let (form, schedule) = trace::read(path, &bytes, form.as_ref())?;
                let checksum = self.insert(bytes);
                *rate_trace = RateTrace::Read(Trace::kept(path, checksum, form, schedule));
            }
            RateTrace::Read(trace) => {
                let wrong = |problem| ConditionError::Trace { name: trace.name().to_owned(), problem };
                self.read_kept(trace.checksum().copied(), read).map_err(wrong)?;
            }
        }
        Ok(())
    }

    /// Reads the table of delays that a distribution names, likewise.
    ///
    /// # Errors
    /// Where the file cannot be read, or is no table: with its line.
    pub fn read_table(&mut self, distribution: &mut Distribution, read: &Reader<'_>) -> Result<(), ConditionError> {
        match distribution {
            Distribution::File(path) => {
                let wrong = |problem: String| ConditionError::Table { name: path.clone(), problem };
                let bytes = read(path).map_err(wrong)?;
                let table = DelayTable::parse(path, trace::text_of(&bytes).map_err(wrong)?)?;
                *distribution = Distribution::Table(DelayTable { kept: Some(self.insert(bytes)), ..table });
                Ok(())
            }
            Distribution::Table(table) => {
                let wrong = |problem| ConditionError::Table { name: table.name.clone(), problem };
                self.read_kept(table.kept, read).map_err(wrong)
            }
            _ => Ok(()),
        }
    }

    /// Reads the table of pauses that a slot names, likewise.
    ///
    /// # Errors
    /// As [`read_table`](Inputs::read_table).
    pub fn read_slot(&mut self, slot: &mut Slot, read: &Reader<'_>) -> Result<(), ConditionError> {
        match &mut slot.pause {
            Pause::Distributed { distribution, .. } => self.read_table(distribution, read),
            Pause::Between { .. } => Ok(()),
        }
    }

    /// Reads the files that changes name, likewise.
    ///
    /// # Errors
    /// As those.
    pub fn read_changes(&mut self, changes: &mut [Change], read: &Reader<'_>) -> Result<(), ConditionError> {
        changes.iter_mut().try_for_each(|change| change.set.read_files(self, read))
    }

    fn read_conditions(
        &mut self,
        rate_trace: &mut Option<RateTrace>,
        distribution: &mut Option<Distribution>,
        slot: &mut Option<Slot>,
        read: &Reader<'_>,
    ) -> Result<(), ConditionError> {
        rate_trace.as_mut().map_or(Ok(()), |trace| self.read_trace(trace, read))?;
        distribution.as_mut().map_or(Ok(()), |distribution| self.read_table(distribution, read))?;
        slot.as_mut().map_or(Ok(()), |slot| self.read_slot(slot, read))
    }

    /// Reads a file that a run has kept, unless it is here.
    fn read_kept(&mut self, checksum: Option<Checksum>, read: &Reader<'_>) -> Result<(), String> {
        let Some(checksum) = checksum.filter(|checksum| self.get(checksum).is_none()) else { return Ok(()) };
        let path = format!("{DIRECTORY}/{}", checksum.hex());
        let name_it = "; name the file itself in its place";
        let bytes = read(&path).map_err(|problem| format!("`{path}`: {problem}{name_it}"))?;
        if self.insert(bytes) == checksum {
            Ok(())
        } else {
            Err(format!("`{path}` is another file than the one that was kept there{name_it}"))
        }
    }
}

/// What conditions say of a file they say by its checksum, which they compare; whoever has read it says no more.
impl PartialEq for Inputs {
    fn eq(&self, _: &Inputs) -> bool {
        true
    }
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// As text, which traces are.
impl Serialize for Inputs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.values().map(|bytes| String::from_utf8_lossy(bytes)))
    }
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut inputs = Inputs::default();
        Vec::<String>::deserialize(deserializer)?.into_iter().for_each(|text| {
            inputs.insert(text.into_bytes());
        });
        Ok(inputs)
    }
}

impl Link {
    /// The checksums of the files that must be had to serve packets under these conditions.
    pub fn inputs(&self) -> BTreeSet<Checksum> {
        let of = |conditions: &Conditions| {
            let trace = conditions.rate_trace.as_ref().and_then(|trace| trace.read()?.checksum().copied());
            trace.into_iter().chain(tables(conditions).filter_map(|table| table.kept)).collect::<Vec<_>>()
        };
        Direction::BOTH.into_iter().flat_map(|direction| of(self.direction(direction))).collect()
    }

    /// Takes its rate traces and tables from their files, which `find` has by their checksums.
    ///
    /// # Errors
    /// Where a file is not there, or not what it was.
    pub fn load(&mut self, find: impl Fn(&Checksum) -> Result<Arc<[u8]>, String>) -> Result<(), ConditionError> {
        let find = |checksum: &Checksum| {
            let bytes = find(checksum)?;
            match Checksum::of(&bytes) == *checksum {
                true => Ok(bytes),
                false => Err(format!("its file is not the one with the checksum {checksum}; fetch it again")),
            }
        };
        for table in [&mut self.up, &mut self.down].into_iter().flat_map(tables_mut) {
            let Some(checksum) = table.kept.filter(|_| table.values.is_empty()) else { continue };
            let wrong = |problem: String| ConditionError::Table { name: table.name.clone(), problem };
            let bytes = find(&checksum).map_err(wrong)?;
            table.values = DelayTable::parse(&table.name, trace::text_of(&bytes).map_err(wrong)?)?.values;
        }
        let load = |rate_trace: &mut Option<RateTrace>| {
            let Some(RateTrace::Read(trace)) = rate_trace else { return Ok(()) };
            let Some(checksum) = trace.checksum().filter(|_| trace.schedule().is_none()) else { return Ok(()) };
            let bytes =
                find(checksum).map_err(|problem| ConditionError::Trace { name: trace.name().to_owned(), problem })?;
            trace.load(&bytes)
        };
        load(&mut self.up.rate_trace)?;
        if self.down.rate_trace == self.up.rate_trace {
            // Read once, and shared.
            self.down.rate_trace = self.up.rate_trace.clone();
        }
        load(&mut self.down.rate_trace)
    }
}

/// The tables that the conditions have or will have.
fn tables(conditions: &Conditions) -> impl Iterator<Item = &DelayTable> {
    let of_slot = conditions.slot.iter().filter_map(|slot| match &slot.pause {
        Pause::Distributed { distribution, .. } => Some(distribution),
        Pause::Between { .. } => None,
    });
    let of_changes = conditions.changes.iter().filter_map(|change| change.set.distribution.as_ref());
    std::iter::once(&conditions.distribution).chain(of_slot).chain(of_changes).filter_map(|distribution| {
        match distribution {
            Distribution::Table(table) => Some(table),
            _ => None,
        }
    })
}

/// The same, to be changed.
fn tables_mut(conditions: &mut Conditions) -> impl Iterator<Item = &mut DelayTable> {
    let of_slot = conditions.slot.iter_mut().filter_map(|slot| match &mut slot.pause {
        Pause::Distributed { distribution, .. } => Some(distribution),
        Pause::Between { .. } => None,
    });
    let of_changes = conditions.changes.iter_mut().filter_map(|change| change.set.distribution.as_mut());
    std::iter::once(&mut conditions.distribution).chain(of_slot).chain(of_changes).filter_map(|distribution| {
        match distribution {
            Distribution::Table(table) => Some(table),
            _ => None,
        }
    })
}

impl LinkSpec {
    /// Replaces the files that the conditions name by what `read` finds in them; what is kept of them goes to
    /// `inputs`.
    ///
    /// # Errors
    /// Where a file cannot be read or is not what it should be.
    pub fn read_files(&mut self, inputs: &mut Inputs, read: &Reader<'_>) -> Result<(), ConditionError> {
        inputs.read_conditions(&mut self.rate_trace, &mut self.distribution, &mut self.slot, read)?;
        inputs.read_changes(&mut self.change, read)?;
        self.up.read_files(inputs, read)?;
        self.down.read_files(inputs, read)
    }
}

impl ConditionsSpec {
    fn read_files(&mut self, inputs: &mut Inputs, read: &Reader<'_>) -> Result<(), ConditionError> {
        inputs.read_conditions(&mut self.rate_trace, &mut self.distribution, &mut self.slot, read)?;
        inputs.read_changes(&mut self.change, read)
    }
}

/// What takes the place of a condition's `text` where that names a file; `None` where it does not.
///
/// # Errors
/// Where the file cannot be read or is not what it should be.
pub fn resolve(
    condition: &str,
    text: &str,
    inputs: &mut Inputs,
    read: &Reader<'_>,
) -> Result<Option<String>, ConditionError> {
    match condition {
        "rate-trace" => {
            let mut trace = text.parse()?;
            inputs.read_trace(&mut trace, read)?;
            Ok(Some(trace.to_string()))
        }
        "distribution" => {
            let mut distribution = text.parse()?;
            inputs.read_table(&mut distribution, read)?;
            Ok(Some(distribution.to_string()))
        }
        "slot" => {
            let mut slot = text.parse()?;
            inputs.read_slot(&mut slot, read)?;
            Ok(Some(slot.to_string()))
        }
        _ => Ok(None),
    }
}

/// The value of a condition as people read it where it stands for the contents of a file: that file's name.
pub fn label(condition: &str, text: &str) -> Option<String> {
    match condition {
        "rate-trace" => Some(text.parse::<RateTrace>().ok()?.read()?.name().to_owned()),
        "distribution" => match text.parse().ok()? {
            Distribution::Table(table) => Some(table.name),
            _ => None,
        },
        _ => None,
    }
}
