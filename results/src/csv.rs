//! The figures as tables for spreadsheets: `trials.csv`, `cells.csv`, `delay-parts.csv`, which has what the
//! delays are made of, and `streams.csv`, which has how long each stream stalled.
//!
//! Every column is there whatever was measured; what is missing is an empty field.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use samepath_model::blocking::DelayParts;
use samepath_model::flow::{FlowId, UNDER_TEST};
use samepath_model::record::{Outcome, TrialRecord};
use samepath_model::void::in_words;

use crate::analysis::Analysis;
use crate::metric;
use crate::store::{Run, StoreError, write_atomically};

/// Writes `trials.csv` (a row for each flow of a trial, and at the end those of each void attempt that another followed),
/// `cells.csv` (a row for each flow of a cell), and of the trials whose packets were
/// attributed `delay-parts.csv` (three rows each) and `streams.csv` (a row a stream) into `dir`, which is made
/// where it is not there. Returns their paths.
///
/// # Errors
/// Where the directory or a file cannot be written.
pub fn write(analysis: &Analysis<'_>, dir: &Path) -> Result<[PathBuf; 4], StoreError> {
    let run = analysis.run();
    std::fs::create_dir_all(dir).map_err(StoreError::io("create", dir))?;
    let paths = ["trials.csv", "cells.csv", "delay-parts.csv", "streams.csv"].map(|name| dir.join(name));
    write_atomically(&paths[0], &rows(trial_rows(run)))?;
    write_atomically(&paths[1], &rows(cell_rows(analysis)))?;
    write_atomically(&paths[2], &rows(part_rows(run)))?;
    write_atomically(&paths[3], &rows(stream_rows(run)))?;
    Ok(paths)
}

fn trial_rows(run: &Run) -> Vec<Vec<String>> {
    let axes = axes(run);
    let mut head: Vec<String> = ["trial", "part"].map(String::from).to_vec();
    head.extend(axes.iter().cloned());
    head.extend(
        [
            "arm",
            "flow",
            "flow_name",
            "transport",
            "mapping",
            "seed",
            "attempt",
            "outcome",
            "reason",
            "started_unix_s",
            "wall_ms",
            "set_up_ms",
        ]
        .map(String::from),
    );
    head.extend(["tear_down_ms", "lateness_p50_us", "lateness_p99_us", "lateness_max_us"].map(String::from));
    head.extend(metric::ALL.iter().map(|metric| metric.name.to_owned()));
    let mut rows = vec![head];
    for (record, flow) in run.trials().iter().chain(run.earlier_attempts()).flat_map(flows) {
        let record = &record;
        let trial = &record.trial;
        let mut row = vec![trial.id.to_string(), trial.part.clone()];
        row.extend(axes.iter().map(|axis| trial.axes.get(axis).cloned().unwrap_or_default()));
        let (outcome, reason) = outcome(record);
        row.push(trial.arm.to_string());
        row.extend(flow);
        row.extend([trial.arm.transport.to_string(), trial.arm.mapping.to_string()]);
        row.extend([trial.seed.to_string(), record.attempt.to_string(), outcome.to_owned(), reason]);
        row.extend([record.started_unix.to_string(), record.wall_ms.to_string()]);
        row.extend([optional(record.set_up_ms), optional(record.tear_down_ms)]);
        let lateness = record.link.as_ref().map(|link| &link.lateness);
        let micros = |ns: Option<u64>| optional(ns.map(|ns| ns as f64 / 1e3));
        row.push(micros(lateness.map(|l| l.p50_ns)));
        row.push(micros(lateness.map(|l| l.p99_ns)));
        row.push(micros(lateness.map(|l| l.max_ns)));
        row.extend(metric::ALL.iter().map(|metric| optional((metric.of)(record))));
        rows.push(row);
    }
    rows
}

/// The flows of a trial, each recorded as a trial of its own, with its number and name; the one under test has none.
fn flows(record: &TrialRecord) -> Vec<(TrialRecord, [String; 2])> {
    let name = |flow| record.trial.competing(flow).map(|flow| flow.name.clone()).unwrap_or_default();
    let flows = record.trial.flows().filter_map(|flow| Some((record.of_flow(flow)?, [flow.to_string(), name(flow)])));
    flows.collect()
}

fn cell_rows(analysis: &Analysis<'_>) -> Vec<Vec<String>> {
    let axes = axes(analysis.run());
    let mut head = vec!["part".to_owned()];
    head.extend(axes.iter().cloned());
    head.extend(["arm", "flow", "flow_name", "n", "void", "failed", "pending"].map(String::from));
    for metric in metric::ALL {
        let name = metric.name;
        head.extend(["median", "min", "max", "low95", "high95"].map(|of| format!("{name}_{of}")));
    }
    let mut rows = vec![head];
    let flows = analysis.cells().iter().flat_map(|cell| {
        let competing = cell.competing.iter().zip(&cell.plan.competing).zip(1..);
        let competing = competing.map(|((flow, plan), id)| ([FlowId::to_string(&id), plan.name.clone()], &flow.cell));
        std::iter::once(([UNDER_TEST.to_string(), String::new()], cell)).chain(competing)
    });
    for (flow, cell) in flows {
        let mut row = vec![cell.part.clone()];
        row.extend(axes.iter().map(|axis| cell.axes.get(axis).cloned().unwrap_or_default()));
        row.push(cell.arm.to_string());
        row.extend(flow);
        row.extend([cell.n(), cell.void.len(), cell.failed.len(), cell.pending].map(|n| n.to_string()));
        for metric in metric::ALL {
            let (estimate, interval) = (cell.estimate(metric), cell.interval(metric));
            row.push(optional(estimate.map(|e| e.median)));
            row.push(optional(estimate.map(|e| e.min)));
            row.push(optional(estimate.map(|e| e.max)));
            row.push(optional(interval.map(|i| i.low)));
            row.push(optional(interval.map(|i| i.high)));
        }
        rows.push(row);
    }
    rows
}

/// How long each stream held bytes that it could not deliver.
fn stream_rows(run: &Run) -> Vec<Vec<String>> {
    let axes = axes(run);
    let mut head: Vec<String> = ["trial", "part"].map(String::from).to_vec();
    head.extend(axes.iter().cloned());
    head.extend(["arm", "seed", "outcome", "stream", "stall_ms"].map(String::from));
    let mut rows = vec![head];
    for record in run.trials() {
        let Some(blocking) = record.summary.as_ref().and_then(|summary| summary.blocking.as_ref()) else { continue };
        let trial = &record.trial;
        for (stream, stall) in blocking.stall_of_stream_ms.iter().enumerate() {
            let mut row = vec![trial.id.to_string(), trial.part.clone()];
            row.extend(axes.iter().map(|axis| trial.axes.get(axis).cloned().unwrap_or_default()));
            row.extend([trial.arm.to_string(), trial.seed.to_string(), outcome(record).0.to_owned()]);
            row.extend([stream.to_string(), stall.to_string()]);
            rows.push(row);
        }
    }
    rows
}

/// The mean parts of the delay, of all messages of a trial, the intact ones, and the slowest hundredth.
fn part_rows(run: &Run) -> Vec<Vec<String>> {
    let axes = axes(run);
    let mut head: Vec<String> = ["trial", "part"].map(String::from).to_vec();
    head.extend(axes.iter().cloned());
    head.extend(["arm", "seed", "outcome", "message_group"].map(String::from));
    head.extend(DelayParts::NAMES.map(|name| format!("{name}_ms")));
    head.extend(["blocked_ms", "delay_ms"].map(String::from));
    let mut rows = vec![head];
    for record in run.trials() {
        let Some(blocking) = record.summary.as_ref().and_then(|summary| summary.blocking.as_ref()) else { continue };
        let trial = &record.trial;
        let of = [
            ("all", Some(blocking.all)),
            ("intact", (blocking.intact > 0).then_some(blocking.of_intact)),
            ("slowest", Some(blocking.of_slowest)),
        ];
        for (which, parts) in of {
            let mut row = vec![trial.id.to_string(), trial.part.clone()];
            row.extend(axes.iter().map(|axis| trial.axes.get(axis).cloned().unwrap_or_default()));
            row.extend([trial.arm.to_string(), trial.seed.to_string(), outcome(record).0.to_owned(), which.to_owned()]);
            let values = (0..DelayParts::NAMES.len()).map(|i| parts.map(|parts| parts.values()[i]));
            row.extend(values.map(optional));
            row.extend([optional(parts.map(|p| p.blocked())), optional(parts.map(|p| p.total()))]);
            rows.push(row);
        }
    }
    rows
}

/// Every axis of the experiment, by name: parts may have different ones.
fn axes(run: &Run) -> BTreeSet<String> {
    run.planned().iter().flat_map(|trial| trial.axes.keys().cloned()).collect()
}

fn outcome(record: &TrialRecord) -> (&'static str, String) {
    match &record.outcome {
        Outcome::Done => ("done", record.failures_in_words().join("; ")),
        Outcome::Void { reasons } => ("void", in_words(reasons)),
        Outcome::Failed { step, error } => ("failed", format!("{step}: {error}")),
    }
}

fn optional(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn rows(rows: Vec<Vec<String>>) -> Vec<u8> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).expect("memory takes every row, and every row has the head's length");
    }
    writer.into_inner().expect("memory takes every row")
}

#[cfg(test)]
mod tests {
    use samepath_model::record::TrialRecord;
    use samepath_model::{VoidKind, VoidReason};
    use tempfile::tempdir;

    use super::*;
    use crate::fixture;

    fn read(path: &Path) -> (Vec<String>, Vec<std::collections::BTreeMap<String, String>>) {
        let mut reader = ::csv::Reader::from_path(path).unwrap();
        let head = reader.headers().unwrap().iter().map(str::to_owned).collect();
        (head, reader.deserialize().map(Result::unwrap).collect())
    }

    #[test]
    fn every_trial_and_cell_has_its_row() {
        let dir = tempdir().unwrap();
        let mut run = fixture::lines(&dir.path().join("run"), &fixture::experiment(), 1.0);
        let error = "the server said \"no\", and\nwent".to_owned();
        let failed = Outcome::Failed { step: "server".into(), error };
        let failed = TrialRecord { outcome: failed.clone(), summary: None, link: None, ..run.trials()[0].clone() };
        run.append(&failed).unwrap();
        let void = Outcome::Void { reasons: vec![VoidReason::new(VoidKind::Steal, "another had the CPU")] };
        let (first, second) = (run.trials()[1].clone(), TrialRecord { attempt: 2, ..run.trials()[1].clone() });
        run.append(&TrialRecord { outcome: void, ..first }).unwrap();
        run.append(&second).unwrap();
        let [trials, cells, parts, streams] = write(&Analysis::of(&run), &dir.path().join("tables")).unwrap();
        let (head, rows) = read(&trials);
        assert_eq!(head[..4], ["trial", "part", "loss", "arm"]);
        // What was void and run again has its row at the end.
        assert_eq!(rows.len(), 24 + 1);
        let attempt = |row: usize| ["trial", "attempt", "outcome"].map(|name| rows[row][name].clone());
        assert_eq!(attempt(1)[1..], ["2", "done"]);
        assert_eq!(attempt(24), [&second.trial.id.0, "1", "void"]);
        assert_eq!(rows[0]["reason"], "server: the server said \"no\", and\nwent");
        assert_eq!((rows[0]["goodput_mbit_per_s"].as_str(), rows[0]["lateness_p50_us"].as_str()), ("", ""));
        let last = run.trials().last().unwrap();
        let seen = &rows[23];
        assert_eq!(seen["trial"], last.trial.id.0);
        assert_eq!(seen["loss"], "");
        assert_eq!(seen["delay_p50_ms"].parse::<f64>().ok(), (metric::DELAY_P50.of)(last));
        // These trials are not attributed: the table is there, and empty.
        let (head, rows) = read(&parts);
        assert!(head.contains(&"own_loss_ms".to_owned()) && rows.is_empty());
        let (head, rows) = read(&streams);
        assert!(head.ends_with(&["stream".to_owned(), "stall_ms".to_owned()]) && rows.is_empty());
        let (_, rows) = read(&cells);
        assert_eq!(rows.len(), 2 * 3 + 2);
        assert_eq!((rows[0]["n"].as_str(), rows[0]["failed"].as_str()), ("2", "1"));
        // Of two or three values there is no interval, only their spread.
        assert!(rows.iter().all(|row| row["delay_p50_ms_low95"].is_empty() && !row["delay_p50_ms_min"].is_empty()));
    }
}
