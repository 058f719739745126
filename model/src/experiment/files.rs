//! Files that the conditions of an experiment name: their contents take the place of their names.

use super::error::Fault;
use super::{ExperimentError, ExperimentSpec, Part};
use crate::link::files::{self, Inputs, Reader};
use crate::spot::Spot;

impl ExperimentSpec {
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
}

impl Part {
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
}
