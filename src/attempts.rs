//! What the machine voided is run again, at the end of the run.
//!
//! Not at once: a hypervisor that gives the CPU to others does so in bursts, and the next attempt would meet the same
//! one. Nothing is ever run again because of its result: a trial that failed, or is void for anything but what the
//! machine did, has had its only attempt.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use samepath_model::record::TrialRecord;
use samepath_model::{Probability, Trial};
use samepath_netem::{host, tell};
use samepath_results::Run;

/// How long a look at the hypervisor's doings takes.
const LOOK: Duration = Duration::from_millis(500);
/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(1500);
/// Looks until the trials are run all the same: half a minute.
const MOST_LOOKS: u32 = 15;

/// One attempt at a trial.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attempt {
    pub(crate) trial: Trial,
    /// Which, from 1.
    pub(crate) number: u32,
}

impl Attempt {
    /// The first at this trial.
    pub(crate) fn first(trial: Trial) -> Attempt {
        Attempt { trial, number: 1 }
    }

    /// The one that is due after this, where the machine voided it and it was not the last of `retries` more.
    pub(crate) fn after(record: &TrialRecord, retries: u32) -> Option<Attempt> {
        let is_due = record.outcome.is_voided_by_the_machine() && record.attempt <= retries;
        is_due.then(|| Attempt { trial: record.trial.clone(), number: record.attempt + 1 })
    }
}

/// The attempts that are due of what a run recorded.
pub(crate) fn due(run: &Run, retries: u32) -> Vec<Attempt> {
    run.trials().iter().filter_map(|record| Attempt::after(record, retries)).collect()
}

/// Waits while the hypervisor gives more than `bound` of the machine's CPU time to others, for half a minute at most;
/// not at all where there is no bound.
pub(crate) fn wait_for_calm(bound: Option<Probability>, stop: &AtomicBool) {
    let Some(bound) = bound else { return };
    let pause = || {
        // In slices, so that Ctrl-C is heard.
        let slice = PAUSE / 15;
        (0..15).take_while(|_| !stop.load(Ordering::Relaxed)).for_each(|_| std::thread::sleep(slice));
        !stop.load(Ordering::Relaxed)
    };
    wait(bound, || host::steal_when_busy(LOOK), pause);
}

/// Looks until the share is within its bound or cannot be told, pausing between; `pause` says whether to go on.
fn wait(bound: Probability, mut look: impl FnMut() -> Option<f64>, mut pause: impl FnMut() -> bool) {
    for number in 1..=MOST_LOOKS {
        let Some(share) = look().filter(|share| *share > bound.fraction()) else { return };
        if number == 1 {
            let most = (LOOK + PAUSE) * MOST_LOOKS;
            tell!(
                "the hypervisor gives {:.0} % of the CPU time to others (bound {bound}); waiting until it does not, at \
                 most {} s",
                share * 100.0,
                most.as_secs()
            );
        }
        if number == MOST_LOOKS || !pause() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use samepath_model::record::Outcome;
    use samepath_model::{Experiment, VoidKind, VoidReason};

    use super::*;

    fn trial() -> Trial {
        let text = "schema = 1\nname = 'x'\n[[part]]\nname = 'bulk'\narms = ['tcp']\n\
                    workload = { kind = 'bulk', bytes = '1kB' }\n";
        Experiment::parse(text).unwrap().trials()[0].clone()
    }

    fn record(attempt: u32, outcome: Outcome) -> TrialRecord {
        let line = serde_json::json!({
            "schema": 3, "trial": trial(), "attempt": attempt, "outcome": "done", "started_unix_s": 0.0, "wall_ms": 0.0,
        });
        TrialRecord { outcome, ..serde_json::from_value(line).unwrap() }
    }

    fn void(kinds: &[VoidKind]) -> Outcome {
        Outcome::Void { reasons: kinds.iter().map(|&kind| VoidReason::new(kind, "by so much")).collect() }
    }

    #[test]
    fn only_void_trials_are_retried_and_not_forever() {
        let due = |attempt, outcome| Attempt::after(&record(attempt, outcome), 2).map(|attempt| attempt.number);
        assert_eq!(due(1, void(&[VoidKind::Steal])), Some(2));
        assert_eq!(due(2, void(&[VoidKind::LinkLate, VoidKind::EndLate])), Some(3));
        assert_eq!(due(3, void(&[VoidKind::Steal])), None, "twice is enough");
        assert_eq!(due(1, Outcome::Done), None);
        assert_eq!(due(1, Outcome::Failed { step: "client".into(), error: "late".into() }), None);
        assert_eq!(due(1, void(&[VoidKind::Contradiction])), None);
        assert_eq!(due(1, void(&[VoidKind::Steal, VoidKind::Setting])), None, "it would be void all the same");
        assert_eq!(Attempt::after(&record(1, void(&[VoidKind::Steal])), 0), None, "none was wanted");
        for kind in VoidKind::ALL {
            assert_eq!(due(1, void(&[kind])).is_some(), kind.is_by_the_machine(), "{kind:?}");
        }
    }

    #[test]
    fn waits_while_there_is_steal_and_not_for_ever() {
        let bound = Probability::new(0.05).unwrap();
        let looks = |shares: &[Option<f64>], go_on: bool| {
            let (mut seen, mut pauses) = (0, 0);
            let look = || {
                seen += 1;
                shares[(seen - 1).min(shares.len() - 1)]
            };
            let pause = || {
                pauses += 1;
                go_on
            };
            wait(bound, look, pause);
            (seen, pauses)
        };
        assert_eq!(looks(&[Some(0.0)], true), (1, 0));
        assert_eq!(looks(&[Some(0.05)], true), (1, 0), "the bound itself is kept");
        assert_eq!(looks(&[None], true), (1, 0), "nobody can tell");
        assert_eq!(looks(&[Some(0.5), Some(0.2), Some(0.01)], true), (3, 2));
        assert_eq!(looks(&[Some(0.5)], true), (MOST_LOOKS as usize, MOST_LOOKS - 1));
        assert_eq!(looks(&[Some(0.5)], false), (1, 1), "interrupted");
    }
}
