//! Which trials the timelines show: of one set of conditions and one seed, a trial an arm. Chosen because
//! there is something to see, and so never typical; the chart says how.

use samepath_model::Arm;
use samepath_model::blocking::Blocking;
use samepath_model::record::TrialRecord;

use crate::blocking::BLOCKED;
use crate::cells::Cell;
use crate::part::{Group, PartView};

/// One trial an arm, as far as it counts: the same conditions, the same seed.
pub(super) struct Choice<'a> {
    pub(super) group: Group<'a>,
    pub(super) seed: u64,
    by: By,
}

/// What a choice was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The loss that is set.
    Loss,
    /// What messages waited for other bytes, or for lost ones of their own.
    Waiting,
    /// The order of the experiment.
    Order,
}

impl<'a> Choice<'a> {
    /// The trials, in the order of the cells.
    pub(super) fn records(&self) -> impl Iterator<Item = &'a TrialRecord> {
        of_seed(&self.group, self.seed)
    }

    /// The arms that have no trial of the seed that counts.
    fn missing(&self) -> Vec<Arm> {
        let without = |cell: &&&Cell<'_>| cell.trials.iter().all(|record| record.trial.seed != self.seed);
        self.group.cells.iter().filter(without).map(|cell| cell.arm).collect()
    }

    /// How it was chosen, as the beginning of a sentence.
    pub(super) fn words(&self) -> String {
        let (which, least) = match self.by {
            By::Loss => ("the lossy conditions", "the ones with the least loss"),
            By::Waiting => (
                "the conditions under which messages were blocked, or waited for lost bytes of their own,",
                "the ones with the least of it",
            ),
            By::Order => ("the conditions", "the first"),
        };
        let any = if self.by == By::Waiting { " and in which any did" } else { "" };
        match &self.missing()[..] {
            [] => {
                format!(
                    "of {which} {least} at which every arm has a trial that counts, the first seed of which that is so{any}"
                )
            }
            _ => format!(
                "of {which} none has a trial of every arm that counts; of those with the most arms {least}, the first seed \
                 with as many{any}"
            ),
        }
    }

    /// Who is missing, as a sentence; `None` where every arm is there.
    pub(super) fn absent(&self) -> Option<String> {
        let arms: Vec<String> = self.missing().iter().map(Arm::to_string).collect();
        (!arms.is_empty()).then(|| {
            format!(
                "Not shown, for want of a trial that counts under these conditions and this seed: {}.",
                arms.join(", ")
            )
        })
    }
}

/// For the stall timelines. The conditions with the least loss above 0 at which every arm counts; where no loss is
/// set, or not every arm counts there, those of which the records say that messages waited. In want of a whole
/// set of arms the largest. `Err`: why there is nothing to see.
pub(super) fn choose<'a>(part: &PartView<'a>) -> Result<Choice<'a>, String> {
    let everything = |_: &Group<'_>, _: u64| true;
    let waited =
        |group: &Group<'_>, seed: u64| of_seed(group, seed).any(|record| blocking(record).is_some_and(teaches));
    pick(lossy(part), By::Loss, true, everything)
        .or_else(|| pick(waiting(part), By::Waiting, true, waited))
        .or_else(|| pick(lossy(part), By::Loss, false, everything))
        .or_else(|| pick(waiting(part), By::Waiting, false, waited))
        .ok_or_else(|| {
            if is_mapped(part) {
                "no message of the trials that count was blocked for over 1 ms, or waited for lost bytes of its own".into()
            } else {
                "no trial that counts has loss, drops or outages among its conditions, and what else delayed messages is \
                 not known, as their packets are not attributed to them"
                    .into()
            }
        })
}

/// For what is of interest without loss, too: as [`choose`] by the loss that is set, else the first conditions.
pub(super) fn any<'a>(part: &PartView<'a>) -> Option<Choice<'a>> {
    let everything = |_: &Group<'_>, _: u64| true;
    pick(lossy(part), By::Loss, true, everything)
        .or_else(|| pick(part.groups(), By::Order, true, everything))
        .or_else(|| pick(lossy(part), By::Loss, false, everything))
        .or_else(|| pick(part.groups(), By::Order, false, everything))
}

/// The trial with the longest stall: of those that the stall timeline shows, else of the first seed with one under
/// the conditions with the least of it. `Err`: why there is none.
pub(super) fn longest_stall<'a>(part: &PartView<'a>) -> Result<&'a TrialRecord, String> {
    let longest = |records: &mut dyn Iterator<Item = &'a TrialRecord>, over: f64| {
        records
            .filter_map(|record| Some((blocking(record)?.blocked_ms.max, record)))
            .filter(|(stall, _)| *stall > over)
            .reduce(|best, one| if one.0 > best.0 { one } else { best })
            .map(|(_, record)| record)
    };
    let elsewhere = || {
        waiting(part).iter().find_map(|group| {
            seeds(group).into_iter().find_map(|seed| longest(&mut of_seed(group, seed), BLOCKED as f64 / 1e6))
        })
    };
    let shown = choose(part).ok().and_then(|choice| longest(&mut choice.records(), 0.0));
    shown.or_else(elsewhere).ok_or_else(|| {
        if is_mapped(part) {
            "no message of the trials that count was blocked for over 1 ms".into()
        } else {
            "the packets of the trials that count are not attributed to their messages".into()
        }
    })
}

/// The first seed of the first group with every arm; else, where it need not be all of them, with the most.
fn pick<'a>(groups: Vec<Group<'a>>, by: By, whole: bool, fits: impl Fn(&Group<'_>, u64) -> bool) -> Option<Choice<'a>> {
    let mut best: Option<(usize, Choice<'a>)> = None;
    for group in groups {
        let arms = |seed: u64| of_seed(&group, seed).count();
        let enough = |arms: usize| arms > 0 && (!whole || arms == group.cells.len());
        let of_group = seeds(&group).into_iter().filter(|&seed| enough(arms(seed)) && fits(&group, seed));
        // Of equals the first.
        let Some(seed) = of_group.rev().max_by_key(|&seed| arms(seed)) else { continue };
        let most = arms(seed);
        if best.as_ref().is_none_or(|(arms, _)| most > *arms) {
            best = Some((most, Choice { group, seed, by }));
        }
        if whole {
            break;
        }
    }
    best.map(|(_, choice)| choice)
}

/// The groups that are set to lose packets, the least loss first.
fn lossy<'a>(part: &PartView<'a>) -> Vec<Group<'a>> {
    ranked(part, |group| {
        let plan = &group.cells[0].plan;
        let conditions = plan.link.direction(plan.workload.direction());
        let scripted = !conditions.drops.is_empty() || !conditions.outages.is_empty();
        let rate = conditions.loss.rate();
        (rate > 0.0 || scripted).then_some((false, rate))
    })
}

/// The groups in whose trials messages waited, the shortest waiting first; those in which they waited for bytes of
/// their own alone come last.
fn waiting<'a>(part: &PartView<'a>) -> Vec<Group<'a>> {
    ranked(part, |group| {
        let records = || group.cells.iter().flat_map(|cell| &cell.trials).filter_map(|record| blocking(record));
        let n = records().count();
        let sum: f64 = records().map(|b| b.blocked_mean_ms + b.all.own_loss).sum();
        records().any(teaches).then(|| (!records().any(is_blocked), sum / n as f64))
    })
}

fn ranked<'a>(part: &PartView<'a>, rank: impl Fn(&Group<'_>) -> Option<(bool, f64)>) -> Vec<Group<'a>> {
    let mut groups: Vec<((bool, f64), Group<'a>)> =
        part.groups().into_iter().filter_map(|group| Some((rank(&group)?, group))).collect();
    groups.sort_by(|((a, x), _), ((b, y), _)| a.cmp(b).then(x.total_cmp(y)));
    groups.into_iter().map(|(_, group)| group).collect()
}

fn blocking(record: &TrialRecord) -> Option<&Blocking> {
    record.summary.as_ref()?.blocking.as_ref()
}

fn is_mapped(part: &PartView<'_>) -> bool {
    part.trials().any(|record| blocking(record).is_some())
}

/// Whether a message was blocked for long enough to count as such: TLS records cost microseconds everywhere.
fn is_blocked(blocking: &Blocking) -> bool {
    blocking.blocked_ms.max > BLOCKED as f64 / 1e6
}

/// Whether there is anything to see.
fn teaches(blocking: &Blocking) -> bool {
    is_blocked(blocking) || blocking.all.own_loss > 0.0
}

/// The seeds of the trials that count, in the order of the first arm that has them.
fn seeds(group: &Group<'_>) -> Vec<u64> {
    let mut seeds: Vec<u64> = Vec::new();
    for record in group.cells.iter().flat_map(|cell| &cell.trials) {
        if !seeds.contains(&record.trial.seed) {
            seeds.push(record.trial.seed);
        }
    }
    seeds
}

/// The trials of a seed that count, an arm each.
fn of_seed<'a>(group: &Group<'a>, seed: u64) -> impl Iterator<Item = &'a TrialRecord> {
    let cells: Vec<&'a Cell<'a>> = group.cells.clone();
    cells.into_iter().filter_map(move |cell| cell.trials.iter().copied().find(|record| record.trial.seed == seed))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use samepath_model::experiment::Experiment;
    use samepath_model::record::{Outcome, Percentiles};
    use samepath_model::{VoidKind, VoidReason};

    use super::*;
    use crate::cells::cells;
    use crate::fixture;
    use crate::part::parts;
    use crate::store::Run;

    /// Two arms, three seeds, on the values of an axis.
    fn run(dir: &Path, axis: &str, values: &str, change: impl Fn(&TrialRecord) -> TrialRecord) -> Run {
        let text = format!(
            "schema = 1\nname = \"one\"\nrepeat = 3\n[[part]]\nname = \"part\"\narms = [\"tcp\", \"quic\"]\n\
             workload = {{ kind = \"messages\", streams = 2, size = \"1000B\", spacing = \"40ms\", count = 5 }}\n\
             link = {{ rtt = \"60ms\", rate = \"20Mbit\" }}\naxes = {{ {axis} = [{values}] }}\n"
        );
        let mut run = fixture::lines(dir, &Experiment::parse(&text).unwrap(), 1.0);
        for record in run.trials().to_vec() {
            run.append(&change(&record)).unwrap();
        }
        run
    }

    fn with(record: &TrialRecord, blocked: f64, own_loss: f64) -> TrialRecord {
        let mut record = record.clone();
        let mut blocking = Blocking { blocked_mean_ms: blocked / 10.0, ..Blocking::default() };
        blocking.blocked_ms = Percentiles { max: blocked, ..Percentiles::default() };
        blocking.all.own_loss = own_loss;
        record.summary.as_mut().unwrap().blocking = Some(blocking);
        record
    }

    fn void(record: &TrialRecord) -> TrialRecord {
        TrialRecord {
            outcome: Outcome::Void { reasons: vec![VoidReason::new(VoidKind::LinkLate, "late")] },
            ..record.clone()
        }
    }

    fn is(record: &TrialRecord, axis: &str, value: &str, arm: &str) -> bool {
        record.trial.axes.get(axis).is_some_and(|v| v == value)
            && (arm.is_empty() || record.trial.arm.to_string() == arm)
    }

    /// What is chosen: conditions, seed, how, who is missing.
    fn chosen(all: &[Cell<'_>]) -> Result<(String, u64, String, Option<String>), String> {
        let choice = choose(&parts(all)[0])?;
        Ok((choice.group.label.clone(), choice.seed, choice.words(), choice.absent()))
    }

    #[test]
    fn the_least_loss_at_which_every_arm_counts() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str, change: &dyn Fn(&TrialRecord) -> TrialRecord| {
            let run = run(&dir.path().join(name), "loss", r#""3%", "0%", "1%""#, change);
            let all = cells(&run);
            chosen(&all)
        };
        let words = "of the lossy conditions the ones with the least loss at which every arm has a trial that counts, the \
                     first seed of which that is so";
        let whole = of("whole", &TrialRecord::clone).unwrap();
        assert_eq!(whole, ("loss 1%".into(), 1, words.into(), None));
        let passed = of("passed", &|r| if is(r, "loss", "1%", "tcp") { void(r) } else { r.clone() }).unwrap();
        assert_eq!(passed, ("loss 3%".into(), 1, words.into(), None));
        let one = of("seed", &|r| if is(r, "loss", "1%", "tcp") && r.trial.seed == 1 { void(r) } else { r.clone() });
        assert_eq!(one.unwrap(), ("loss 1%".into(), 2, words.into(), None));
        // No conditions with every arm: those of the arms that count, and who is missing.
        let (conditions, seed, words, absent) =
            of("none", &|r| if r.trial.arm.to_string() == "tcp" { void(r) } else { r.clone() }).unwrap();
        assert_eq!((conditions.as_str(), seed), ("loss 1%", 1));
        assert!(words.starts_with("of the lossy conditions none has a trial of every arm that counts; "), "{words}");
        assert!(absent.unwrap().ends_with("seed: tcp."));
    }

    #[test]
    fn without_loss_the_records_choose_the_trial() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str, change: &dyn Fn(&TrialRecord) -> TrialRecord| {
            let run = run(&dir.path().join(name), "corrupt", r#""3%", "0%", "1%""#, change);
            let all = cells(&run);
            (chosen(&all), longest_stall(&parts(&all)[0]).map(|record| record.trial.id.0.clone()))
        };
        let (none, stall) = of("unattributed", &TrialRecord::clone);
        assert!(none.unwrap_err().contains("their packets are not attributed"));
        assert!(stall.unwrap_err().contains("not attributed"));
        let (none, stall) = of("calm", &|r| with(r, 0.02, 0.0));
        assert!(none.unwrap_err().starts_with("no message of the trials that count was blocked for over 1 ms, or"));
        assert!(stall.unwrap_err().starts_with("no message of the trials that count was blocked for over 1 ms"));
        // Least waiting first, and the first seed with any; own loss alone comes behind.
        let (some, stall) = of("some", &|r| match (r.trial.axes["corrupt"].as_str(), r.trial.seed) {
            ("3%", _) => with(r, 90.0, 9.0),
            ("1%", 2) => with(r, if r.trial.arm.to_string() == "tcp" { 60.0 } else { 30.0 }, 0.0),
            ("0%", _) => with(r, 0.0, 0.5),
            _ => with(r, 0.0, 0.0),
        });
        let (conditions, seed, words, absent) = some.unwrap();
        assert_eq!((conditions.as_str(), seed, absent), ("corrupt 1%", 2, None));
        assert!(words.starts_with("of the conditions under which messages were blocked"), "{words}");
        assert!(stall.unwrap().ends_with("-s2-tcp"));
        let (own, stall) = of("own", &|r| with(r, 0.0, if r.trial.seed == 3 { 2.0 } else { 0.0 }));
        assert_eq!(own.unwrap().1, 3);
        assert!(stall.is_err());
    }

    #[test]
    fn stalls_are_shown_at_the_least_loss() {
        let dir = tempfile::tempdir().unwrap();
        let run = run(&dir.path().join("run"), "loss", r#""0.1%", "3%""#, |r| {
            with(r, if is(r, "loss", "3%", "tcp") { 40.0 + r.trial.seed as f64 } else { 0.0 }, 0.0)
        });
        let all = cells(&run);
        assert_eq!(chosen(&all).unwrap().0, "loss 0.1%");
        let stall = longest_stall(&parts(&all)[0]).unwrap();
        assert_eq!((stall.trial.axes["loss"].as_str(), stall.trial.seed), ("3%", 1));
    }
}
