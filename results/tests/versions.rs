//! Every version of the run directory that was ever written stays readable: a small run of each is
//! kept under `fixtures/`, as the program of its day wrote it, without its report.

use std::fs;
use std::path::{Path, PathBuf};

use samepath_results::recompute::recompute;
use samepath_results::{Analysis, Run, report};
use serde_json::Value;

/// The kept runs, oldest first.
fn kept() -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut all: Vec<_> = fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    assert!(!all.is_empty());
    all
}

/// A copy that a report may be drawn into.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// All that was said then is said now; there may be more of it.
fn said_then(then: &Value, now: &Value, what: &str) {
    match then {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| said_then(value, &now[name], what)),
        _ => assert_eq!(now, then, "{what}"),
    }
}

#[test]
fn every_version_is_read_whole_and_drawn() {
    for kept in kept() {
        let name = kept.file_name().unwrap().to_string_lossy().into_owned();
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().join("run");
        copy(&kept, &here);
        let run = Run::open(&here).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(format!("schema-{}", run.manifest().schema), name);
        assert_eq!(run.verify().unwrap(), [], "{name}: its files are as they were sealed");
        assert!(run.pending().is_empty() && !run.trials().is_empty());
        for record in run.trials() {
            let id = &record.trial.id;
            let messages = run.messages(id).unwrap();
            let delivered = messages.iter().filter(|message| message.delivered.is_some()).count();
            assert!(!run.series(id).unwrap().is_empty());
            let ledger = run.ledger(id).unwrap().expect("it was kept").map(Result::unwrap);
            let causes: Vec<_> = ledger.filter_map(|packet| packet.dropped).collect();
            let (dropped, lost) = (causes.len(), causes.iter().filter(|cause| cause.is_loss()).count());
            // What the figures said then, they say now; there may be more of them.
            let then = record.summary.as_ref().unwrap();
            assert_eq!(then.delivered, delivered as u64, "{name} {id}");
            // Some counted what was still under way as the link went down.
            assert!([dropped, lost].contains(&(then.packets_dropped.unwrap() as usize)), "{name} {id}");
            let now = serde_json::to_value(recompute(&run, record).unwrap()).unwrap();
            let line = fs::read_to_string(here.join("trials.jsonl")).unwrap();
            let line = line.lines().find(|line| line.contains(&format!("\"{id}\""))).expect("it has a line");
            let line: Value = serde_json::from_str(line).unwrap();
            for (figure, value) in line["summary"].as_object().unwrap() {
                if figure == "packets_dropped" {
                    assert_eq!(now[figure], lost, "{name} {id}");
                    continue;
                }
                // Once, the warm-up was not in what CPU time is divided by.
                if let (Some(then), true) = (value.as_f64(), figure.ends_with("_cpu_s_per_gb")) {
                    let received = line["summary"]["received_bytes"].as_f64().unwrap();
                    let warmup = record.trial.workload.warmup(record.trial.arm).bytes() as f64;
                    let expected = [then, then * received / (received + warmup)];
                    let found = now[figure].as_f64().unwrap();
                    let fits = expected.iter().any(|then| (found - then).abs() <= 1e-9 * then.abs());
                    assert!(fits, "{name} {id}: {figure}: {found}, not one of {expected:?}");
                    continue;
                }
                said_then(value, &now[figure], &format!("{name} {id}: {figure}"));
            }
        }
        let page = report::draw(&Analysis::of(&run)).unwrap();
        assert!(fs::read_to_string(page).unwrap().contains("messages"));
    }
}
