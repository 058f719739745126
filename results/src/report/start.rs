//! The state from which the schedules started: were the arms equal, and where they were not, by how much and why.

use std::collections::BTreeMap;

use samepath_model::record::TrialRecord;
use samepath_model::start::{Apart, StartState};
use samepath_model::{Arm, ByteCount, Link, Tuning};

use crate::number::{number, spread};
use crate::part::PartView;
use crate::stats;

/// What is said of the start of a part's schedules.
pub(super) struct Start {
    /// The part's name.
    pub(super) part: String,
    /// The table's head.
    pub(super) head: Vec<String>,
    /// A row for each arm; for each arm and set of conditions where these change the path before the schedule, too.
    pub(super) rows: Vec<Vec<String>>,
    /// What they come to.
    pub(super) sentences: Vec<String>,
}

/// Trials whose schedules start alike but for the arm.
struct Alike<'a> {
    /// The conditions that are meant, all of them.
    labels: Vec<String>,
    /// By arm, in the order of the part.
    arms: Vec<(Arm, Vec<&'a TrialRecord>)>,
}

/// Of each part that has a state at its start.
pub(super) fn starts(parts: &[PartView<'_>]) -> Vec<Start> {
    parts.iter().filter_map(start).collect()
}

fn start(part: &PartView<'_>) -> Option<Start> {
    let alike = alike(part);
    let several = alike.len() > 1;
    let mut head: Vec<String> = several.then(|| "conditions".to_owned()).into_iter().collect();
    head.extend(
        ["arm", "trials", "connections", "window [kB]", "smoothed RTT [ms]", "warm-up [kB]", "lost before"]
            .map(str::to_owned),
    );
    let (mut rows, mut sentences) = (Vec::new(), Vec::new());
    for group in &alike {
        for (arm, trials) in &group.arms {
            let states: Vec<StartState> = trials.iter().filter_map(|record| state(record)).collect();
            if states.is_empty() {
                continue;
            }
            let over = |figure: fn(&StartState) -> f64| spread(&states.iter().map(figure).collect::<Vec<f64>>());
            let mut row: Vec<String> = several.then(|| group.labels.join("; ")).into_iter().collect();
            row.extend([
                arm.to_string(),
                states.len().to_string(),
                over(|state| f64::from(state.connections)),
                over(|state| state.window as f64 / 1e3),
                over(|state| state.srtt_us as f64 / 1e3),
                over(|state| state.warmup as f64 / 1e3),
                over(|state| state.losses as f64),
            ]);
            rows.push(row);
        }
        let of = if several { format!("{}: ", group.labels.join("; ")) } else { String::new() };
        sentences.extend(said(group).into_iter().map(|sentence| format!("{of}{sentence}")));
    }
    (!rows.is_empty()).then(|| Start { part: part.name.to_owned(), head, rows, sentences })
}

fn state(record: &TrialRecord) -> Option<StartState> {
    record.summary.as_ref()?.start
}

/// The part's trials, those together that differ before the schedule in nothing but the arm: what is drawn, and what
/// changes with time, begins with it.
fn alike<'a>(part: &PartView<'a>) -> Vec<Alike<'a>> {
    let mut all: Vec<((Link, ByteCount, &Tuning), Alike<'a>)> = Vec::new();
    for group in part.groups() {
        let plan = &group.cells[0].plan;
        let before = (plan.link.without_draws(), plan.workload.warmup(plan.arm), &plan.tuning);
        let place = all.iter().position(|(known, _)| *known == before).unwrap_or_else(|| {
            all.push((before, Alike { labels: Vec::new(), arms: Vec::new() }));
            all.len() - 1
        });
        let of = &mut all[place].1;
        of.labels.push(group.label.clone());
        for cell in group.cells {
            let place = of.arms.iter().position(|(arm, _)| *arm == cell.arm).unwrap_or_else(|| {
                of.arms.push((cell.arm, Vec::new()));
                of.arms.len() - 1
            });
            of.arms[place].1.extend(&cell.trials);
        }
    }
    all.into_iter().map(|(_, alike)| alike).collect()
}

/// How equal they were, and what made them unequal.
fn said(group: &Alike<'_>) -> Vec<String> {
    let mut sentences = Vec::new();
    let (mut windows, mut more) = (Vec::new(), Vec::new());
    for (arm, trials) in &group.arms {
        let states: Vec<StartState> = trials.iter().filter_map(|record| state(record)).collect();
        let Some(window) = stats::median(&states.iter().map(|s| s.window as f64).collect::<Vec<f64>>()) else {
            continue;
        };
        match states.iter().map(|state| state.connections).max() {
            Some(n) if n > 1 => more.push(format!("{arm} from {n}")),
            _ => windows.push((window, arm)),
        }
    }
    let by_window = |a: &&(f64, &Arm), b: &&(f64, &Arm)| a.0.total_cmp(&b.0);
    if let (Some((low, least)), Some((high, most))) =
        (windows.iter().min_by(by_window), windows.iter().max_by(by_window))
        && windows.len() > 1
    {
        let kilobytes = |bytes: f64| number(bytes / 1e3);
        sentences.push(format!(
            "In the median the windows of arms with one connection lie within {} % of each other ({least} {} kB, {most} \
             {} kB).",
            number((high / low.max(1.0) - 1.0) * 100.0),
            kilobytes(*low),
            kilobytes(*high)
        ));
    }
    if !more.is_empty() {
        sentences.push(format!(
            "More connections open more windows, which no warm-up makes equal; the sum is shown: {} connections.",
            more.join(", ")
        ));
    }
    for (arm, trials) in &group.arms {
        let mut causes: BTreeMap<Apart, Vec<StartState>> = BTreeMap::new();
        for state in trials.iter().filter_map(|record| state(record)) {
            if let Some(apart) = state.apart {
                causes.entry(apart).or_default().push(state);
            }
        }
        for (_, states) in causes {
            let furthest = states.iter().max_by(|a, b| a.deviation().abs().total_cmp(&b.deviation().abs()));
            let Some(told) = furthest.and_then(StartState::complaint) else { continue };
            let (n, all) = (states.len(), trials.len());
            sentences.push(format!("{arm}, {n} of {all} trials: {told}."));
        }
    }
    sentences
}

#[cfg(test)]
mod tests {
    use samepath_model::{Controller, Transport};

    use super::*;
    use crate::cells::cells;
    use crate::fixture;
    use crate::part::parts;
    use crate::store::Run;

    /// The small run, with these windows at the start of the messages' schedule, in bytes.
    fn said(tcp: u64, quic: u64, losses: u64) -> Vec<Start> {
        let (dir, experiment) = (tempfile::tempdir().unwrap(), fixture::experiment());
        let mut run = Run::create(&dir.path().join("run"), &experiment, fixture::manifest(&experiment)).unwrap();
        for trial in experiment.trials() {
            let mut play = fixture::play(trial, 1.0);
            let window = if trial.arm.transport == Transport::Quic { quic } else { tcp };
            let state = StartState {
                connections: 1,
                window,
                srtt_us: 61_000,
                warmup: 150_000,
                losses,
                in_flight: 0,
                expected_window: 164_480,
                apart: None,
            };
            let is_warm = !trial.workload.is_cold() && trial.arm.is_congestion_controlled;
            play.server.start = is_warm.then(|| state.judged(Controller::Cubic));
            run.append(&fixture::record(trial, &play)).unwrap();
        }
        let cells = cells(&run);
        starts(&parts(&cells))
    }

    #[test]
    fn scheduled_loss_makes_no_unequal_start() {
        let starts = said(165_000, 168_000, 0);
        assert_eq!(starts.len(), 1, "bulk starts with its connections");
        let Start { part, head, rows, sentences } = &starts[0];
        assert_eq!((part.as_str(), head[0].as_str()), ("messages", "arm"));
        // Two losses of three seeds each; udp has no window.
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0], ["tcp", "6", "1", "165", "61", "150", "0"]);
        assert_eq!(sentences.len(), 1);
        assert!(sentences[0].contains("within 1.82 % of each other (tcp 165 kB, quic 168 kB)"), "{sentences:?}");
    }

    #[test]
    fn an_unequal_start_is_named_with_its_reason() {
        let starts = said(165_000, 82_240, 2);
        let sentences = &starts[0].sentences;
        assert!(sentences[0].contains("within 101 % of each other (quic 82.2 kB, tcp 165 kB)"), "{sentences:?}");
        let told = "quic, 6 of 6 trials: a window of 82 kB, 50 % below the 164 kB that its warm-up opens: packets were \
                    lost before the schedule.";
        assert_eq!(sentences[1..], [told]);
    }
}
