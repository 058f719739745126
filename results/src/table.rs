//! The table at the end of a run: every cell, its figures over the seeds, and what they prove.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use samepath_model::record::{Outcome, TrialRecord};
use samepath_model::{TrialId, VoidKind};

use crate::analysis::Analysis;
use crate::cells::{Cell, Trouble};
use crate::metric::{self, Metric, Unit};
use crate::plain;
use crate::score;
use crate::stats;
use crate::store::Run;

/// More trials of one trouble than these are counted, not named.
const MOST_NAMES: usize = 4;

/// What stands where nothing was measured.
const MISSING: &str = "–";
/// Reasons why trials do not count, as many as leave the table on the screen.
const MOST_TROUBLES: usize = 12;

/// The table as plain text: for each part its cells and its short answer, then what the number of seeds can show,
/// then the trials that do not count and why.
pub fn render(analysis: &Analysis<'_>) -> String {
    let (run, cells, answers) = (analysis.run(), analysis.cells(), analysis.answers());
    let mut text = String::new();
    for part in cells.chunk_by(|a, b| a.part == b.part) {
        text += &plain::wrap(&format!("{}: {}", part[0].part, conditions(part)));
        let _ = writeln!(text, "{}\n", table_of(part));
        if let Some(answer) = answers.iter().find(|answer| answer.part == part[0].part) {
            let _ = writeln!(text, "{}", plain::wrap(&answer.sentences.join(" ")));
        }
    }
    text += &footer(run, cells);
    text
}

/// Workload and link, as far as all cells of a part have them in common; the axes say the rest.
fn conditions(part: &[Cell<'_>]) -> String {
    let plan = &part[0].plan;
    let workload = match part.iter().all(|cell| cell.plan.workload == plan.workload) {
        true => plan.workload.to_string(),
        false => plan.workload.name().to_owned(),
    };
    let links: Vec<String> = part.iter().map(|cell| cell.plan.link.to_string()).collect();
    let common = links[0].split(", ").filter(|said| links.iter().all(|link| link.split(", ").any(|s| s == *said)));
    let mut parts = vec![workload];
    parts.extend(plan.competing.iter().map(|flow| format!("beside {flow}")));
    parts.extend(common.map(str::to_owned));
    parts.join(", ")
}

/// A figure as people read it: three significant digits, no more than its metric deserves.
pub fn number(metric: &Metric, value: f64) -> String {
    match metric.unit {
        // 99.996 % is not all of it.
        _ if metric.is_share_of_all && value < 100.0 => trim(format!("{:.2}", (value * 100.0).floor() / 100.0)),
        _ if metric.is_share_of_all => "100".into(),
        Unit::Count => trim(format!("{value:.1}")),
        Unit::Bytes => format!("{value:.0}"),
        _ if !value.is_finite() => MISSING.into(),
        _ if value.abs() >= 99.95 => format!("{value:.0}"),
        _ if value.abs() >= 9.995 => format!("{value:.1}"),
        _ if value.abs() >= 0.9995 || value == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A metric's name with its unit, on two lines, so that the head is no wider than its numbers.
fn head(metric: &Metric) -> String {
    metric.head.map_or_else(|| format!("{}\n{}", metric.label, metric.unit.symbol()), str::to_owned)
}

/// The figures of flows beside each other: what each got, and what it cost it.
const OF_FLOWS: [&Metric; 5] =
    [&metric::GOODPUT, &metric::LINK_SHARE, &metric::JAIN_INDEX, &metric::PACKETS_DROPPED, &metric::RETRANSMISSIONS];

fn table_of(part: &[Cell<'_>]) -> String {
    let axes: Vec<&String> = part[0].axes.keys().collect();
    let mut metrics = score::of_workload(&part[0].plan.workload).table.to_vec();
    if part.iter().any(|cell| !cell.competing.is_empty()) {
        // Of a transfer that shares the link its part of it says most.
        metrics.retain(|metric| !(*metric == &metric::FIRST_BYTE || *metric == &metric::HANDSHAKE));
        metrics.extend(OF_FLOWS.into_iter().filter(|metric| !metrics.contains(metric)).collect::<Vec<_>>());
    }
    let has = |cell: &Cell<'_>, metric| cell.estimate(metric).is_some();
    metrics.retain(|&metric| {
        part.iter().any(|cell| has(cell, metric) || cell.competing.iter().any(|flow| has(&flow.cell, metric)))
    });
    let heads = axes.iter().map(|axis| axis.to_string()).chain(["arm".into(), "n".into()]);
    let mut rows = vec![heads.chain(metrics.iter().map(|&metric| head(metric))).collect()];
    for (i, cell) in part.iter().enumerate() {
        // An axis's value stands once, at the head of its arms.
        let first = i == 0 || part[i - 1].axes != cell.axes;
        let mut row: Vec<String> =
            axes.iter().map(|axis| if first { cell.axes[*axis].clone() } else { String::new() }).collect();
        let figures = |name: String, cell: &Cell<'_>| {
            let figures = metrics.iter().map(|&metric| figure(cell, metric));
            [name, cell.n().to_string()].into_iter().chain(figures).collect::<Vec<_>>()
        };
        row.extend(figures(cell.arm.to_string(), cell));
        rows.push(row);
        for flow in &cell.competing {
            let beside = figures(flow.name.clone(), &flow.cell);
            rows.push(axes.iter().map(|_| String::new()).chain(beside).collect());
        }
    }
    let columns = rows[0].len();
    plain::table(rows, axes.len() + 1..columns)
}

/// The median, and in brackets the smallest and the largest where they differ from it.
fn figure(cell: &Cell<'_>, metric: &Metric) -> String {
    let Some(estimate) = cell.estimate(metric) else { return MISSING.into() };
    let [median, min, max] = [estimate.median, estimate.min, estimate.max].map(|value| number(metric, value));
    if min == max { median } else { format!("{median} ({min}–{max})") }
}

fn footer(run: &Run, cells: &[Cell<'_>]) -> String {
    let mut text = String::from("Medians over n seeds; in brackets the smallest and the largest seed.\n");
    if let Some(most) = cells.iter().map(Cell::n).max() {
        text += &plain::wrap(&stats::what_seeds_prove(most));
        let fewest = cells.iter().map(Cell::n).min().unwrap_or(most);
        match fewest {
            0 => text += "Some cells have no trial that counts.\n",
            _ if fewest < most => drop(writeln!(text, "Some cells have only {fewest}: they prove less.")),
            _ => {}
        }
    }
    let of = |count: fn(&Cell<'_>) -> usize| cells.iter().map(count).sum::<usize>();
    let (void, failed, pending) = (of(|c| c.void.len()), of(|c| c.failed.len()), of(|c| c.pending));
    if void + failed > 0 {
        let _ = writeln!(
            text,
            "Left out of every figure: {void} void and {failed} failed of {} trials.",
            run.trials().len()
        );
        let told: Vec<_> = cells.iter().flat_map(troubles).collect();
        let (void, failed): (Vec<_>, Vec<_>) =
            told.into_iter().partition(|(trouble, _)| matches!(trouble, Trouble::Void(_)));
        let lines: Vec<String> = failed.into_iter().chain(void).map(|(_, line)| line).collect();
        // One more line would take the place of the word that there is one.
        let shown = if lines.len() > MOST_TROUBLES + 1 { MOST_TROUBLES } else { lines.len() };
        text.extend(lines[..shown].iter().map(String::as_str));
        if shown < lines.len() {
            let _ = writeln!(text, "  and {} more; the report lists all", lines.len() - shown);
        }
    }
    let broken: Vec<String> = cells.iter().flat_map(broken).collect();
    if !broken.is_empty() {
        text += "Sessions that broke where servers were to be killed; their trials count:\n";
        let shown = if broken.len() > MOST_TROUBLES + 1 { MOST_TROUBLES } else { broken.len() };
        text.extend(broken[..shown].iter().map(String::as_str));
        if shown < broken.len() {
            let _ = writeln!(text, "  and {} more; the report lists all", broken.len() - shown);
        }
    }
    text += &again(run);
    if pending > 0 {
        let _ = writeln!(text, "Not run yet: {pending} trials; go on with: samepath resume {}", run.dir().display());
    }
    if run.manifest().debug_build {
        text += "This was a debug build: rates and CPU figures are not those of the transports.\n";
    }
    text
}

/// How sessions of a cell's trials broke where servers were killed on purpose, a line each.
fn broken(cell: &Cell<'_>) -> Vec<String> {
    let of_trial = |record: &TrialRecord| {
        let lines = record.failures_in_words().into_iter().map(|words| format!("  {}: {words}\n", record.trial.id));
        lines.collect::<Vec<_>>()
    };
    cell.trials.iter().flat_map(|record| of_trial(record)).collect()
}

/// What was run again, and why, by kinds: the report has the words; nothing where nothing was.
fn again(run: &Run) -> String {
    let earlier = run.earlier_attempts();
    let trials: BTreeSet<_> = earlier.iter().map(|record| &record.trial.id).collect();
    if trials.is_empty() {
        return String::new();
    }
    let mut kinds: BTreeMap<VoidKind, usize> = BTreeMap::new();
    for record in earlier {
        let Outcome::Void { reasons } = &record.outcome else { continue };
        let of_record: BTreeSet<_> = reasons.iter().map(|reason| reason.kind).collect();
        of_record.into_iter().for_each(|kind| *kinds.entry(kind).or_default() += 1);
    }
    let kinds: Vec<String> = kinds.into_iter().map(|(kind, times)| format!("{kind} ({times})")).collect();
    plain::wrap(&format!(
        "Voided by this machine and run again: trials {}, void attempts {} (in no figure): {}.",
        trials.len(),
        earlier.len(),
        kinds.join(", ")
    ))
}

/// Why trials of a cell do not count, each with its line, by the names that `explain --trial` takes.
fn troubles<'a>(cell: &'a Cell<'_>) -> Vec<(Trouble<'a>, String)> {
    let conditions = if cell.axes.is_empty() { String::new() } else { format!(" ({})", cell.label()) };
    let line = |trouble, trials: &[_]| format!("  {}{conditions}: {trouble}\n", named(trials));
    cell.troubles().into_iter().map(|(trouble, trials)| (trouble, line(trouble, &trials))).collect()
}

/// The trials by name, at most [`MOST_NAMES`] of them.
pub(crate) fn named(trials: &[&TrialId]) -> String {
    let mut names = trials.iter().take(MOST_NAMES).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if trials.len() > MOST_NAMES {
        let _ = write!(names, " and {} more", trials.len() - MOST_NAMES);
    }
    names
}

fn trim(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use samepath_model::VoidReason;
    use samepath_model::record::TrialRecord;
    use tempfile::tempdir;

    use super::*;
    use crate::fixture;
    use crate::metric;

    #[test]
    fn numbers_keep_three_digits_and_their_honesty() {
        let show = |values: &[f64]| values.iter().map(|&v| number(&metric::DELAY_P50, v)).collect::<Vec<_>>();
        assert_eq!(
            show(&[0.0, 0.01234, 1.234, 9.999, 12.34, 99.97, 1234.5]),
            ["0.00", "0.012", "1.23", "10.0", "12.3", "100", "1234"]
        );
        assert_eq!(number(&metric::DELIVERED_SHARE, 99.999), "99.99");
        assert_eq!(number(&metric::DELIVERED_SHARE, 100.0), "100");
        assert_eq!(number(&metric::RETRANSMISSIONS, 3.0), "3");
    }

    #[test]
    fn of_many_troubles_the_first_are_told() {
        let dir = tempdir().unwrap();
        let mut run = fixture::lines(dir.path(), &fixture::experiment(), 1.0);
        let mut records: Vec<TrialRecord> = run.trials().to_vec();
        for (index, record) in records.iter_mut().take(14).enumerate() {
            record.outcome =
                Outcome::Void { reasons: vec![VoidReason::new(VoidKind::LinkLate, format!("late by {index} ms"))] };
        }
        records[14].outcome = Outcome::Failed { step: "client".into(), error: "no answer".into() };
        for record in &records[..15] {
            run.append(record).unwrap();
        }
        let text = render(&Analysis::of(&run));
        let told: Vec<&str> =
            text.lines().filter(|line| line.starts_with("  messages-") || line.starts_with("  and")).collect();
        assert_eq!(told.len(), MOST_TROUBLES + 1, "{text}");
        assert!(told[0].contains("failed at client: no answer"), "{text}");
        assert_eq!(told[MOST_TROUBLES], "  and 3 more; the report lists all");
    }

    #[test]
    fn retried_trials_are_counted_by_kind() {
        let dir = tempdir().unwrap();
        let mut run = fixture::lines(dir.path(), &fixture::experiment(), 1.0);
        let plain = render(&Analysis::of(&run));
        let second = TrialRecord { attempt: 3, ..run.trials()[1].clone() };
        for (attempt, kinds) in [(1, vec![VoidKind::Steal]), (2, vec![VoidKind::LinkLate, VoidKind::Steal])] {
            let reasons = kinds.into_iter().map(|kind| VoidReason::new(kind, "by so much")).collect();
            run.append(&TrialRecord { attempt, outcome: Outcome::Void { reasons }, ..second.clone() }).unwrap();
        }
        run.append(&second).unwrap();
        // A line that is written once more is no further attempt.
        run.append(&second).unwrap();
        let told = "Voided by this machine and run again: trials 1, void attempts 2 (in no figure): the link was late\n\
                    (1), the hypervisor took CPU time (2).\n";
        let text = render(&Analysis::of(&run));
        assert!(text.contains(told), "{text}");
        assert_eq!(text.replace(told, ""), plain);
    }

    #[test]
    fn the_table_of_a_run() {
        let dir = tempdir().unwrap();
        let mut run = fixture::lines(dir.path(), &fixture::experiment(), 1.0);
        let void = Outcome::Void { reasons: vec![VoidReason::new(VoidKind::LinkLate, "packets left up to 3 ms late")] };
        let void = TrialRecord { outcome: void, ..run.trials()[1].clone() };
        run.append(&void).unwrap();
        let text = render(&Analysis::of(&run));
        // Sanity, whatever the layout: the median of seeds 1 to 3 is seed 2's.
        assert!(text.contains("30.6") && text.lines().all(|line| line.chars().count() <= 100), "{text}");
        insta::assert_snapshot!(text, @"
        messages: 100 messages of 1kB down, 4 streams, one each 40ms a stream, RTT 60ms, 20Mbit, queue 1bdp
        (150kB)
        loss   arm    n          delay p50          delay p95          delay p99   delivered
                                        ms                 ms                 ms           %
        ──────────────────────────────────────────────────────────────────────────────────────
        0%     tcp    3   30.6 (30.3–30.9)   30.6 (30.3–30.9)   30.6 (30.3–30.9)         100
               quic   2   30.8 (30.6–30.9)   30.8 (30.6–30.9)   30.8 (30.6–30.9)         100
               udp    3   30.6 (30.3–30.9)   30.6 (30.3–30.9)   30.6 (30.3–30.9)         100
        1%     tcp    3   30.6 (30.3–30.9)   91.8 (90.9–92.7)   91.8 (90.9–92.7)         100
               quic   3   30.6 (30.3–30.9)   91.8 (90.9–92.7)   91.8 (90.9–92.7)         100
               udp    3   30.6 (30.3–30.9)   30.6 (30.3–30.9)   30.6 (30.3–30.9)          90

        At 1 % loss, one message in twenty took longer than 91.8 ms on tcp and on quic: within 2 % of each
        other in all 3 paired seeds. Of all messages 10 % never arrived on udp.

        bulk: bulk 1MB down, 1 stream, RTT 60ms, 20Mbit, queue 1bdp (150kB)
        arm    n            goodput      completion   first byte   delivered   handshake   retrans-
                             Mbit/s              ms           ms           %          ms   missions
        ─────────────────────────────────────────────────────────────────────────────────────────────
        tcp    3   15.7 (15.5–15.8)   510 (505–515)          120         100        60.1          0
        quic   3   15.7 (15.5–15.8)   510 (505–515)          120         100         120          0

        All was delivered after 510 ms on tcp and on quic: within 2 % of each other in all 3 paired seeds.

        Medians over n seeds; in brackets the smallest and the largest seed.
        3 seeds: the smallest two-sided p-value that a paired test can give is 0.25, so no difference
        between arms can be called significant at 5 % (6 seeds could). The largest of 3 bounds not even the
        median trial with 95 % confidence: that needs 5 seeds, the 90th percentile 29.
        Some cells have only 2: they prove less.
        Left out of every figure: 1 void and 0 failed of 24 trials.
          messages-0-s1-quic (loss 0%): void: packets left up to 3 ms late
        ");
    }

    #[test]
    fn a_run_without_trials_says_what_is_left() {
        let dir = tempdir().unwrap();
        let experiment = fixture::experiment();
        let run = Run::create(dir.path(), &experiment, fixture::manifest(&experiment)).unwrap();
        let text = render(&Analysis::of(&run));
        assert!(text.contains("No trial counts") && text.contains("Not run yet: 24 trials"), "{text}");
    }
}
