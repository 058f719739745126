//! Conditions that stand in files: rate traces and tables of delays.
//!
//! This crate opens no file. What names one is replaced here by its contents, which a caller reads;
//! from then on the conditions hold all there is to know, and a run can be repeated elsewhere.

use super::{Change, ConditionsSpec};
use super::{ConditionError, DelayTable, Distribution, LinkSpec, Pause, RateTrace, Slot};

/// Reads a whole text file; the error is for people.
pub type Reader<'a> = dyn Fn(&str) -> Result<String, String> + 'a;

impl LinkSpec {
    /// Replaces the files that the conditions name by what `read` finds in them.
    ///
    /// # Errors
    /// Where a file cannot be read or is not what it should be.
    pub fn read_files(&mut self, read: &Reader<'_>) -> Result<(), ConditionError> {
        read_trace(&mut self.rate_trace, read)?;
        read_table(&mut self.distribution, read)?;
        read_slot(&mut self.slot, read)?;
        read_changes(&mut self.change, read)?;
        self.up.read_files(read)?;
        self.down.read_files(read)
    }
}

impl ConditionsSpec {
    fn read_files(&mut self, read: &Reader<'_>) -> Result<(), ConditionError> {
        read_trace(&mut self.rate_trace, read)?;
        read_table(&mut self.distribution, read)?;
        read_slot(&mut self.slot, read)?;
        read_changes(&mut self.change, read)
    }
}

/// What takes the place of a condition's `text` where that names a file; `None` where it does not.
///
/// # Errors
/// Where the file cannot be read or is not what it should be.
pub fn inline(condition: &str, text: &str, read: &Reader<'_>) -> Result<Option<String>, ConditionError> {
    match condition {
        "rate-trace" => {
            let mut trace = Some(text.parse()?);
            read_trace(&mut trace, read)?;
            Ok(trace.map(|trace| trace.to_string()))
        }
        "distribution" => {
            let mut distribution = Some(text.parse()?);
            read_table(&mut distribution, read)?;
            Ok(distribution.map(|distribution| distribution.to_string()))
        }
        "slot" => {
            let mut slot = Some(text.parse()?);
            read_slot(&mut slot, read)?;
            Ok(slot.map(|slot| slot.to_string()))
        }
        _ => Ok(None),
    }
}

fn read_changes(changes: &mut [Change], read: &Reader<'_>) -> Result<(), ConditionError> {
    changes.iter_mut().try_for_each(|change| change.set.read_files(read))
}

fn read_trace(trace: &mut Option<RateTrace>, read: &Reader<'_>) -> Result<(), ConditionError> {
    if let Some(RateTrace::File(path)) = trace {
        let text = read(path).map_err(|problem| ConditionError::Trace { name: path.clone(), problem })?;
        *trace = Some(RateTrace::parse(path, &text)?);
    }
    Ok(())
}

fn read_table(distribution: &mut Option<Distribution>, read: &Reader<'_>) -> Result<(), ConditionError> {
    distribution.as_mut().map_or(Ok(()), |distribution| read_distribution(distribution, read))
}

fn read_slot(slot: &mut Option<Slot>, read: &Reader<'_>) -> Result<(), ConditionError> {
    match slot {
        Some(Slot { pause: Pause::Distributed { distribution, .. }, .. }) => read_distribution(distribution, read),
        _ => Ok(()),
    }
}

fn read_distribution(distribution: &mut Distribution, read: &Reader<'_>) -> Result<(), ConditionError> {
    if let Distribution::File(path) = distribution {
        let text = read(path).map_err(|problem| ConditionError::Table { name: path.clone(), problem })?;
        *distribution = Distribution::Table(DelayTable::parse(path, &text)?);
    }
    Ok(())
}
