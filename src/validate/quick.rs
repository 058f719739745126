//! `samepath validate --quick`: of each check a part, judged by the same bounds.

use samepath_model::experiment::{Experiment, ExperimentError, ExperimentSpec, Part};

/// What is taken of a check: fewer seeds, parts, arms or values. What is left is scored as the whole is, so bounds that
/// follow from the number of packets or messages are as wide as these few make them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quick {
    /// So many seeds, from the first.
    pub(crate) seeds: usize,
    /// These parts by name; all of them where none is named.
    pub(crate) parts: &'static [&'static str],
    /// These arms; all of them where none is named.
    pub(crate) arms: &'static [&'static str],
    /// Values of an axis, in place of the part's: part (every one where it is empty), axis, values.
    pub(crate) set: &'static [(&'static str, &'static str, &'static [&'static str])],
}

/// One seed of everything.
pub(crate) const ONE_SEED: Quick = Quick { seeds: 1, parts: &[], arms: &[], set: &[] };

impl Quick {
    /// Takes it of the experiment.
    ///
    /// # Errors
    /// Where an axis is none of its part's, or nothing is left.
    pub(crate) fn of(&self, experiment: Experiment) -> Result<Experiment, ExperimentError> {
        let mut experiment = experiment.into_spec();
        let named = |names: &[&str], name: &str| names.is_empty() || names.contains(&name);
        experiment.seeds = experiment.seeds().into_iter().take(self.seeds).collect();
        experiment.repeat = None;
        experiment.parts.retain(|part| named(self.parts, &part.name));
        for part in &mut experiment.parts {
            part.arms.retain(|arm| named(self.arms, &arm.to_string()));
        }
        experiment.parts =
            experiment.parts.clone().into_iter().map(|part| self.set(&experiment, part)).collect::<Result<_, _>>()?;
        experiment.resolve()
    }

    fn set(&self, whole: &ExperimentSpec, part: Part) -> Result<Part, ExperimentError> {
        let name = part.name.clone();
        let mut alone = ExperimentSpec { parts: vec![part], ..whole.clone() };
        for (_, axis, values) in self.set.iter().filter(|(of, ..)| of.is_empty() || *of == name) {
            alone.set_axis(axis, &values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())?;
        }
        Ok(alone.parts.remove(0))
    }
}
