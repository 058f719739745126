//! What the machine voided is run again, at the end of the same run, and counted.

use std::collections::BTreeSet;
use std::path::Path;

use samepath_model::record::TrialRecord;
use samepath_model::{VoidKind, VoidReason};
use samepath_results::Run;
use serde_json::Value;

use crate::support::{can_emulate, expect_status, file, run, stderr, stdout, test, tolerant};

/// Two trials of which no machine keeps the conditions: a packet leaves late by a nanosecond at least.
const IMPOSSIBLE: &str = r#"
schema = 1
name = "impossible"
question = "Can a machine be on time to the nanosecond?"
repeat = 2
[tolerance]
lateness = "1ns"
steal = "100%"
[[part]]
name = "bulk"
arms = ["tcp"]
workload = { kind = "bulk", bytes = "20kB" }
link = { rtt = "4ms", rate = "20Mbit" }
"#;

/// What any machine keeps.
fn possible() -> String {
    tolerant(&IMPOSSIBLE.replace("[tolerance]\nlateness = \"1ns\"\nsteal = \"100%\"\n", ""))
}

/// Trial, attempt and outcome of each line.
fn attempts(dir: &Path) -> Vec<(String, u64, String)> {
    let text = std::fs::read_to_string(dir.join("trials.jsonl")).unwrap();
    let of = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        (word(&record["trial"]["id"]), record["attempt"].as_u64().unwrap(), word(&record["outcome"]))
    };
    text.lines().map(of).collect()
}

#[test]
fn a_trial_void_three_times_has_no_result() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (file(dir.path(), "impossible.toml", IMPOSSIBLE), dir.path().join("run"));
    let output = run(&["run", &path, "--retries", "0", "--out", out.to_str().unwrap()]);
    expect_status(&output, 3);
    assert!(stderr(&output).contains("no trial counts: of 2 trials 2 are void"), "{}", stderr(&output));
    assert_eq!(attempts(&out).len(), 2);
    for record in Run::open(&out).unwrap().trials() {
        assert!(record.outcome.is_voided_by_the_machine(), "{:?}", record.outcome);
    }

    // What was left so is run again as the run is gone on with, and no more than twice.
    let output = run(&["resume", out.to_str().unwrap()]);
    expect_status(&output, 3);
    assert!(stderr(&output).contains("run again: 2 trials"), "{}", stderr(&output));
    let mut numbers: Vec<u64> = attempts(&out).into_iter().map(|(_, number, _)| number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 1, 2, 2, 3, 3]);
    assert!(stdout(&output).contains("void attempts 4"), "{}", stdout(&output));
    let whole = run(&["resume", out.to_str().unwrap()]);
    expect_status(&whole, 3);
    assert!(stderr(&whole).contains("the run is complete"), "{}", stderr(&whole));
    assert_eq!(attempts(&out).len(), 6);

    // Every attempt is shown, and joined with those of other shards.
    let page = std::fs::read_to_string(out.join("report/index.html")).unwrap();
    assert!(page.contains("run again: 4 attempts") && page.contains("bulk-0-s1-tcp, attempt 2"));
    let merged = dir.path().join("merged");
    expect_status(&run(&["merge", merged.to_str().unwrap(), out.to_str().unwrap()]), 3);
    let (merged, out) = (Run::open(&merged).unwrap(), Run::open(&out).unwrap());
    let earlier = |run: &Run| -> BTreeSet<_> {
        run.earlier_attempts().iter().map(|record| (record.trial.id.clone(), record.attempt)).collect()
    };
    assert_eq!((earlier(&merged).len(), earlier(&merged)), (4, earlier(&out)));
    for record in out.earlier_attempts().iter().chain(out.trials()) {
        for dir in [merged.directory(record), out.directory(record)] {
            assert!(dir.join("ledger.parquet").exists(), "{}", dir.display());
        }
    }
}

/// The run's last line of this trial becomes one that is void for that.
fn make_void(dir: &Path, id: &str, kind: VoidKind) {
    let path = dir.join("trials.jsonl");
    let rewritten = |line: &str| {
        let mut record: TrialRecord = serde_json::from_str(line).unwrap();
        if record.trial.id.0 == id {
            let reasons = vec![VoidReason::new(kind, "for the test")];
            record.outcome = samepath_model::record::Outcome::Void { reasons };
        }
        serde_json::to_string(&record).unwrap() + "\n"
    };
    let lines: String = std::fs::read_to_string(&path).unwrap().lines().map(rewritten).collect();
    std::fs::write(&path, lines).unwrap();
}

#[test]
fn the_attempt_that_kept_its_conditions_counts() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (file(dir.path(), "possible.toml", &possible()), dir.path().join("run"));
    expect_status(&run(&["run", &path, "--out", out.to_str().unwrap()]), 0);
    assert_eq!(attempts(&out).len(), 2);
    make_void(&out, "bulk-0-s1-tcp", VoidKind::Steal);
    make_void(&out, "bulk-0-s2-tcp", VoidKind::Contradiction);
    let output = run(&["resume", out.to_str().unwrap(), "--json"]);
    // The second is void for what no other attempt would mend.
    expect_status(&output, 3);
    let document: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON alone");
    let seen = |list: &str| -> Vec<String> {
        let told = |r: &Value| format!("{} {} {}", r["trial"]["id"], r["attempt"], r["outcome"]).replace('"', "");
        // Trials that ran at the same time may have ended in either order.
        let mut seen: Vec<String> = document[list].as_array().unwrap().iter().map(told).collect();
        seen.sort();
        seen
    };
    assert_eq!(seen("trials"), ["bulk-0-s1-tcp 2 done", "bulk-0-s2-tcp 1 void"]);
    assert_eq!(seen("earlier_attempts"), ["bulk-0-s1-tcp 1 void"]);
    assert!(out.join("trials/bulk-0-s1-tcp.attempt-1/messages.parquet").exists());
    expect_status(&run(&["report", out.to_str().unwrap(), "--verify"]), 0);
    let table = std::fs::read_to_string(out.join("report/tables/trials.csv")).unwrap();
    assert_eq!(table.lines().filter(|line| line.starts_with("bulk-0-s1-tcp,")).count(), 2, "{table}");
}
