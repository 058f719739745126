//! Shards: the part of an experiment's trials that falls to one of many machines.
//!
//! Batch systems that start many tasks alike tell each which it is: Slurm's arrays by
//! `SLURM_ARRAY_TASK_ID`, of `SLURM_ARRAY_TASK_COUNT` from `SLURM_ARRAY_TASK_MIN` to `SLURM_ARRAY_TASK_MAX`
//! by `SLURM_ARRAY_TASK_STEP` (sbatch(1), output environment variables); Kubernetes' indexed Jobs by
//! `JOB_COMPLETION_INDEX`, from 0, without saying of how many.

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
        let (place, of) = match wish {
            Some(Wish::This(shard)) => return Ok(Some(shard)),
            Some(Wish::Auto { of }) => match index().map_or_else(|| array_place(&variable), |index| Ok(Some(index)))? {
                Some(place) => (place, of),
                None => {
                    return Err("neither JOB_COMPLETION_INDEX nor SLURM_ARRAY_TASK_ID says which task this is; write \
                                --shard K/N"
                        .into());
                }
            },
            None => match (array_place(&variable)?, variable("SLURM_ARRAY_TASK_COUNT"), index()) {
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

/// Which of its array's tasks, from 0, this is; `None` outside of an array.
///
/// # Errors
/// Where the array's numbers are a list with gaps: a task knows only its own number and the ends, and so
/// not how many come before it.
fn array_place(variable: impl Fn(&str) -> Option<u32>) -> Result<Option<u32>, String> {
    let of_task = |what: &str| variable(&format!("SLURM_ARRAY_TASK_{what}"));
    let Some(id) = of_task("ID") else { return Ok(None) };
    let (least, step) = (of_task("MIN").unwrap_or(0), of_task("STEP").unwrap_or(1).max(1));
    let is_whole = match (of_task("MAX"), of_task("COUNT")) {
        (Some(most), Some(count)) => most.checked_sub(least).is_some_and(|span| span / step == count.wrapping_sub(1)),
        _ => true,
    };
    match id.checked_sub(least) {
        Some(beyond) if is_whole && beyond % step == 0 => Ok(Some(beyond / step)),
        _ => Err(format!(
            "the numbers of this Slurm array have gaps, so task {id} cannot tell which part is its own: write --shard \
             K/N, with a K from 1 to N for each task, or submit the job with --array=1-N"
        )),
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
    fn array_jobs_give_every_shard_once() {
        let array = |id: u32, [least, most, step, count]: [u32; 4]| {
            vec![
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_MIN", least),
                ("SLURM_ARRAY_TASK_MAX", most),
                ("SLURM_ARRAY_TASK_STEP", step),
                ("SLURM_ARRAY_TASK_COUNT", count),
            ]
        };
        // --array=1-9:2, and the same where the upper end is no task's number.
        for most in [9, 10] {
            let shards: Vec<_> =
                (1..=9).step_by(2).map(|id| choose("", &array(id, [1, most, 2, 5])).unwrap().unwrap()).collect();
            assert_eq!(shards, ["1/5", "2/5", "3/5", "4/5", "5/5"]);
        }
        assert_eq!(choose("auto/5", &array(8, [0, 16, 4, 5])), Ok(Some("3/5".into())));
        assert_eq!(choose("", &array(7, [7, 7, 1, 1])), Ok(Some("1/1".into())));
        // --array=1,3,7, and a number that the step does not reach.
        for wish in ["", "auto/3"] {
            assert!(choose(wish, &array(3, [1, 7, 1, 3])).unwrap_err().contains("--shard K/N"), "{wish}");
            assert!(choose(wish, &array(4, [1, 9, 2, 5])).unwrap_err().contains("gaps"), "{wish}");
        }
        assert_eq!(choose("2/3", &array(3, [1, 7, 1, 3])), Ok(Some("2/3".into())));
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
