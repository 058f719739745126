//! Shards: the part of an experiment's trials that falls to one of many machines.
//!
//! Batch systems that start many tasks alike tell each which it is: Slurm's arrays by
//! `SLURM_ARRAY_TASK_ID`, of `SLURM_ARRAY_TASK_COUNT` from `SLURM_ARRAY_TASK_MIN`; Kubernetes' indexed
//! Jobs by `JOB_COMPLETION_INDEX`, from 0, without saying of how many.

use std::fmt;
use std::str::FromStr;

use samepath_model::Trial;
use samepath_results::manifest::Manifest;

/// One of a number of equal parts of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    /// Which one, from 1.
    number: u32,
    /// Of how many.
    of: u32,
}

/// The shard that is asked for on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    This(Shard),
    /// Of so many, the one that the batch system says.
    Auto {
        of: u32,
    },
}

impl Shard {
    /// The name under which a run's manifest has its shard.
    const SETTING: &str = "shard";

    /// The shard that is asked for, or that the batch system gives this task; `None` for all trials.
    ///
    /// # Errors
    /// Where the batch system says too little, in words for the user.
    pub(crate) fn resolve(wish: Option<Wish>) -> Result<Option<Shard>, String> {
        Shard::choose(wish, |name| std::env::var(name).ok()?.parse().ok())
    }

    fn choose(wish: Option<Wish>, variable: impl Fn(&str) -> Option<u32>) -> Result<Option<Shard>, String> {
        let index = || variable("JOB_COMPLETION_INDEX");
        let task = || variable("SLURM_ARRAY_TASK_ID")?.checked_sub(variable("SLURM_ARRAY_TASK_MIN").unwrap_or(0));
        let (place, of) = match wish {
            Some(Wish::This(shard)) => return Ok(Some(shard)),
            Some(Wish::Auto { of }) => match index().or_else(task) {
                Some(place) => (place, of),
                None => {
                    return Err("neither JOB_COMPLETION_INDEX nor SLURM_ARRAY_TASK_ID says which task this is; write \
                                --shard K/N"
                        .into());
                }
            },
            None => match (task(), variable("SLURM_ARRAY_TASK_COUNT"), index()) {
                (Some(place), Some(of), _) => (place, of),
                (_, _, Some(place)) => {
                    return Err(format!(
                        "JOB_COMPLETION_INDEX is {place}, but not of how many; write --shard auto/N with N the Job's \
                         completions, or --shard 1/1 where each task is to run all trials"
                    ));
                }
                _ => return Ok(None),
            },
        };
        match place.checked_add(1).filter(|number| *number <= of) {
            Some(number) => Ok(Some(Shard { number, of })),
            None => Err(format!("this is task {place}, from 0, of {of} shards; write --shard K/N with an N that fits")),
        }
    }

    /// The shard whose run this is; `None` where it is of all trials.
    pub(crate) fn of_run(manifest: &Manifest) -> Option<Shard> {
        manifest.settings.get(Shard::SETTING)?.parse().ok()
    }

    /// Writes it down with the run.
    pub(crate) fn note(self, manifest: &mut Manifest) {
        manifest.settings.insert(Shard::SETTING.into(), self.to_string());
    }

    /// Takes its word back, where shards are joined.
    pub(crate) fn forget(manifest: &mut Manifest) {
        manifest.settings.remove(Shard::SETTING);
    }

    /// Its trials of the matrix.
    pub(crate) fn take(self, matrix: &[Trial]) -> Vec<Trial> {
        matrix.iter().skip(self.number as usize - 1).step_by(self.of as usize).cloned().collect()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = ();

    fn from_str(text: &str) -> Result<Shard, ()> {
        let (number, of) = text.split_once('/').ok_or(())?;
        let (number, of) = (number.parse().map_err(|_| ())?, of.parse().map_err(|_| ())?);
        if number == 0 || number > of { Err(()) } else { Ok(Shard { number, of }) }
    }
}

impl FromStr for Wish {
    type Err = String;

    fn from_str(text: &str) -> Result<Wish, String> {
        if let Some(of) = text.strip_prefix("auto/") {
            return match of.parse() {
                Ok(of) if of > 0 => Ok(Wish::Auto { of }),
                _ => Err("write auto/N with N from 1, as auto/8".into()),
            };
        }
        text.parse().map(Wish::This).map_err(|()| "write K/N with K from 1 to N, as 2/8, or auto/N".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(wish: &str, variables: &[(&str, u32)]) -> Result<Option<String>, String> {
        let wish = (!wish.is_empty()).then(|| wish.parse().unwrap());
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        Shard::choose(wish, variable).map(|shard| shard.map(|shard| shard.to_string()))
    }

    #[test]
    fn the_batch_system_says_which_task_this_is() {
        let slurm = [("SLURM_ARRAY_TASK_ID", 12), ("SLURM_ARRAY_TASK_MIN", 10), ("SLURM_ARRAY_TASK_COUNT", 4)];
        assert_eq!(choose("", &slurm), Ok(Some("3/4".into())));
        assert_eq!(choose("auto/8", &slurm), Ok(Some("3/8".into())));
        assert_eq!(choose("1/2", &slurm), Ok(Some("1/2".into())));
        let job = [("JOB_COMPLETION_INDEX", 0)];
        assert_eq!(choose("auto/5", &job), Ok(Some("1/5".into())));
        assert!(choose("", &job).unwrap_err().contains("--shard auto/N"));
        assert_eq!(choose("", &[]), Ok(None));
    }

    #[test]
    fn a_task_beyond_the_shards_is_refused() {
        assert!(choose("auto/5", &[("JOB_COMPLETION_INDEX", 5)]).unwrap_err().contains("task 5"));
        assert!(choose("auto/5", &[("JOB_COMPLETION_INDEX", u32::MAX)]).is_err());
        assert!(choose("auto/5", &[]).unwrap_err().contains("--shard K/N"));
        for wrong in ["0/3", "4/3", "1", "auto/0", "auto/", "a/b"] {
            assert!(wrong.parse::<Wish>().is_err(), "{wrong}");
        }
    }
}
