//! Every experiment that ships: it resolves, says what it asks, and its quick form runs.

use serde_json::Value;

use crate::support::{can_emulate, expect_status, file, run, stderr, stdout, test, tolerant};

/// Names of the experiments that ship.
fn names() -> Vec<String> {
    let output = run(&["list", "--json"]);
    expect_status(&output, 0);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let experiments = document["experiments"].as_array().unwrap();
    experiments.iter().map(|experiment| experiment["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_experiment_says_what_it_cannot_prove() {
    let names = names();
    for wanted in [
        "head-of-line",
        "goodput-versus-loss",
        "handshake",
        "bursty-loss",
        "streams",
        "message-size",
        "stream-order",
        "window-cut",
        "tls-record-size",
        "query",
        "payment",
        "payment-in-full",
        "chat",
        "game-state",
        "chatty-or-batched",
        "fan-out",
        "overload",
        "compression",
        "page",
        "video-on-demand",
        "voice",
        "video-call",
        "cloud-gaming",
    ] {
        assert!(names.iter().any(|name| name == wanted), "{wanted}");
    }
    for name in names {
        let output = run(&["run", &name, "--dry-run"]);
        expect_status(&output, 0);
        let said = stdout(&output);
        let last = said.lines().next_back().unwrap_or_default();
        assert!(last.starts_with("# ") && last.contains(" over "), "{name}: {last}");
    }
}

#[test]
fn the_quick_form_of_every_experiment_runs() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for name in names() {
        let mut text = stdout(&run(&["list", "--show", &name]));
        // Servers are killed at set times, for which this is too short, and `which-transport` has many workloads, which have
        // no axis in common: they have tests of their own.
        if text.contains("server-restart") || text.contains("[[need]]") {
            continue;
        }
        // Shorter still: the question here is whether it runs, not what it shows.
        let short = match &text {
            text if text.contains("kind = \"mix\"") => "priority=equal",
            text if text.contains("duration = ") => "duration=320ms",
            text if text.contains("count = ") => "count=4",
            text if text.contains("kind = \"page\"") => "contents=small",
            text if text.contains("segments = ") => "segments=2",
            _ => "bytes=80kB",
        };
        if short == "priority=equal" {
            // What is in a mix is no axis.
            text = text.replace("duration = \"8s\"", "duration = \"1s\"");
        }
        let (path, out) = (file(dir.path(), &format!("{name}.toml"), &tolerant(&text)), dir.path().join(&name));
        let output = run(&[
            "run",
            &path,
            "--quick",
            "--arm",
            "tcp,quic",
            "--set",
            short,
            "--json",
            "--out",
            out.to_str().unwrap(),
        ]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let trials = document["trials"].as_array().unwrap();
        assert!(trials.len() >= 2, "{name}: {}", trials.len());
        for trial in trials {
            assert_ne!(trial["outcome"], "failed", "{name}: {trial}");
            // A third of a second is less than the first retransmission timer of a lost first flight.
            let received = trial["summary"]["received_bytes"].as_u64().unwrap();
            assert!(received > 0 || lost(trial) > 0, "{name}: {trial}");
        }
        assert!(out.join("report/index.html").exists(), "{name}");
    }
}

/// Packets the link dropped by its loss, both directions together.
fn lost(trial: &Value) -> u64 {
    ["up", "down"].iter().filter_map(|side| trial["link"][side]["dropped"]["loss"].as_u64()).sum()
}
