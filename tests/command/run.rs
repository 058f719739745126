//! Experiments, from the file to the report.

use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use samepath_model::experiment::TrialId;
use samepath_model::record::Metric;
use serde_json::Value;

use crate::support::{
    can_emulate, eventually, expect_status, file, processes_with, run, samepath, stderr, stdout, test, tolerant,
};

/// Every arm once, on a small link: a few seconds.
const SMALL: &str = r#"
schema = 1
name = "small"
question = "Does all of it work?"
repeat = 1

[[part]]
name = "messages"
arms = ["tcp", "tcp/per-stream", "tls", "tls/per-stream", "quic", "quic/shared", "quic/per-message", "udp"]
workload = { kind = "messages", streams = 4, size = "1000B", spacing = "20ms", count = 15, warmup = "20kB" }
link = { rtt = "20ms", rate = "20Mbit", loss = "2%" }

[[part]]
name = "bulk"
arms = ["tcp", "tls", "quic", "udp"]
workload = { kind = "bulk", bytes = "200kB", streams = 2 }
link = { rtt = "20ms", rate = "20Mbit" }
"#;

fn lines(dir: &Path) -> Vec<Value> {
    std::fs::read_to_string(dir.join("trials.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Both transports say what they have in flight: something, and never more than the window and a packet.
fn bytes_in_flight_are_told(out: &Path) {
    let run = samepath_results::Run::open(out).unwrap();
    for id in ["bulk-0-s1-tcp", "bulk-0-s1-quic"] {
        let series = run.series(&TrialId(id.into())).unwrap();
        let most = |metric| series.iter().filter(|p| p.metric == metric).map(|p| p.value).fold(0.0, f64::max);
        let (in_flight, window) = (most(Metric::InFlight), most(Metric::CongestionWindow));
        assert!(in_flight > 10_000.0 && in_flight <= window + 1500.0, "{id}: {in_flight} of {window}");
    }
}

#[test]
fn a_report_is_made_again_from_records() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (file(dir.path(), "small.toml", &tolerant(SMALL)), dir.path().join("run"));
    let output = run(&["run", &path, "--out", out.to_str().unwrap()]);
    expect_status(&output, 0);
    let records = lines(&out);
    bytes_in_flight_are_told(&out);
    assert_eq!(records.len(), 12);
    for record in &records {
        let (id, outcome) = (&record["trial"]["id"], record["outcome"].as_str().unwrap());
        assert_ne!(outcome, "failed", "{id}: {}", record["error"]);
        let summary = &record["summary"];
        assert!(summary["received_bytes"].as_u64().unwrap() > 0, "{id}");
        // Reliable transports deliver everything; udp loses what the link loses, and no more.
        let (released, delivered) = (summary["messages"].as_u64().unwrap(), summary["delivered"].as_u64().unwrap());
        if record["trial"]["arm"] != "udp" {
            assert_eq!(released, delivered, "{id}");
        }
        let trial = out.join("trials").join(id.as_str().unwrap());
        for name in ["messages.parquet", "ledger.parquet", "series.parquet"] {
            let bytes = std::fs::read(trial.join(name)).unwrap();
            assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{id}: {name}");
        }
        // No packet was larger than the path allows: nothing reached the link unsegmented.
        for direction in ["up", "down"] {
            assert!(record["link"][direction]["largest_packet_bytes"].as_u64().unwrap() <= 1500, "{id}");
        }
    }
    let page = std::fs::read_to_string(out.join("report/index.html")).unwrap();
    assert!(page.contains("Does all of it work?"));
    assert!(stdout(&output).contains("report/index.html"));

    let again = run(&["report", out.to_str().unwrap(), "--verify"]);
    expect_status(&again, 0);
    assert_eq!(
        std::fs::read_to_string(out.join("report/index.html")).unwrap(),
        page,
        "the same records, the same page"
    );

    let copy = dir.path().join("elsewhere");
    std::fs::rename(&out, &copy).unwrap();
    expect_status(&run(&["report", copy.to_str().unwrap()]), 0);
    expect_status(&run(&["compare", copy.to_str().unwrap(), copy.to_str().unwrap()]), 0);
}

/// TCP as QUIC: else the one would be marked where the other loses its packets.
#[test]
fn a_marking_link_marks_every_transport() {
    if !can_emulate(test!()) {
        return;
    }
    const MARKS: &str = r#"
schema = 1
name = "marks"
question = "Who is marked?"
repeat = 1

[[part]]
name = "bulk"
arms = ["tcp", "quic"]
workload = { kind = "bulk", bytes = "400kB" }
link = { rtt = "10ms", rate = "20Mbit", loss = "5%", ecn = true }
"#;
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (file(dir.path(), "marks.toml", &tolerant(MARKS)), dir.path().join("run"));
    run(&["run", &path, "--out", out.to_str().unwrap()]);
    let trials = lines(&out);
    assert_eq!(trials.len(), 2);
    for trial in trials {
        let down = &trial["link"]["down"];
        assert_ne!(trial["outcome"], "failed", "{trial}");
        assert!(down["congestion_marked"].as_u64().is_some_and(|marked| marked > 0), "{trial}");
        let settings = trial["link"]["settings"].as_array().unwrap();
        let ecn = settings.iter().find(|setting| setting["name"] == "net.ipv4.tcp_ecn").unwrap();
        assert!(ecn["effective"].as_str().unwrap().starts_with('1'), "{ecn}");
    }
}

#[test]
fn a_run_is_replayed_as_recorded_and_compared() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = file(
        dir.path(),
        "twice.toml",
        &tolerant(
            r#"
schema = 1
name = "twice"
seeds = [7]
[[part]]
name = "bulk"
arms = ["tcp", "udp"]
workload = { kind = "bulk", bytes = "50kB" }
link = { rtt = "10ms" }
"#,
        ),
    );
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let (first, second) = (first.to_str().unwrap(), second.to_str().unwrap());
    let output = run(&["run", &path, "--out", first]);
    expect_status(&output, 0);
    // The file that it came from is not needed again.
    std::fs::remove_file(&path).unwrap();
    let output = run(&["replay", first, "--out", second, "--json"]);
    expect_status(&output, 0);
    let document: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON alone");
    let ids = |trials: &Value| -> Vec<String> {
        let mut ids: Vec<String> =
            trials.as_array().unwrap().iter().map(|trial| trial["trial"]["id"].to_string()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&document["trials"]), ["\"bulk-0-s7-tcp\"", "\"bulk-0-s7-udp\""]);
    assert_eq!(document["comparison"]["before"], first);
    assert_eq!(document["comparison"]["after"], second);
    let experiment = |run: &str| std::fs::read_to_string(format!("{run}/experiment.toml")).unwrap();
    assert_eq!(experiment(first), experiment(second));
    // What is there stays as it is.
    expect_status(&run(&["report", first, "--verify"]), 0);
    let output = run(&["replay", first, "--out", second]);
    expect_status(&output, 1);
    assert!(stderr(&output).contains(second), "{}", stderr(&output));
}

#[test]
fn a_hanging_trial_is_ended() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = file(
        dir.path(),
        "hang.toml",
        r#"
schema = 1
name = "hang"
[[part]]
name = "bulk"
arms = ["tcp", "quic"]
workload = { kind = "bulk", bytes = "10kB" }
link = { rtt = "10ms" }
axes = { loss = ["0%", "100%"] }
time-limit = "3s"
"#,
    );
    let out = dir.path().join("run");
    let output = run(&["run", &path, "--json", "--out", out.to_str().unwrap()]);
    expect_status(&output, 3);
    let document: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON alone");
    let trials = document["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 4);
    for trial in trials {
        // A busy machine may void a trial, which is another thing than to fail it.
        let hangs = trial["trial"]["axes"]["loss"] == "100%";
        assert_eq!(trial["outcome"] == "failed", hangs, "{trial}");
        if hangs {
            // What explains the hang is kept: every packet up to the end, each dropped.
            let evidence = out.join(trial["evidence"].as_str().expect("its place is named"));
            assert!(evidence.join("plan.json").exists());
            let ledger = evidence.join("ledger.parquet");
            assert!(ledger.metadata().expect("the ledger so far").len() > 0);
            let (up, dropped) = (&trial["link"]["up"]["packets"], &trial["link"]["up"]["dropped"]["loss"]);
            assert_eq!(up, dropped, "{trial}");
            assert!(up.as_u64().expect("a count") > 0, "{trial}");
        }
    }
    assert!(out.join("report/index.html").exists());
    // What failed keeps its evidence as shards are joined.
    let whole = dir.path().join("whole");
    expect_status(&run(&["merge", whole.to_str().unwrap(), out.to_str().unwrap()]), 3);
    for trial in trials.iter().filter_map(|trial| trial["evidence"].as_str()) {
        assert!(whole.join(trial).join("plan.json").exists(), "{trial}");
    }
}

/// A run that would take long, to be interrupted.
const LONG: &str = r#"
schema = 1
name = "long"
repeat = 6
[[part]]
name = "messages"
arms = ["tcp"]
workload = { kind = "messages", streams = 1, spacing = "20ms", duration = "1s", warmup = "0B" }
link = { rtt = "10ms", rate = "50Mbit" }
"#;

fn interrupted(signal: Signal, what: &str) {
    if !can_emulate(what) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (file(dir.path(), "long.toml", &tolerant(LONG)), dir.path().join("run"));
    let mut child = samepath()
        .args(["run", &path, "--jobs", "1", "--out", out.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let trials = out.join("trials.jsonl");
    eventually("the first trial is recorded", || std::fs::metadata(&trials).is_ok_and(|file| file.len() > 0));
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    let output = {
        let status = child.wait().unwrap();
        (status, std::io::read_to_string(child.stderr.take().unwrap()).unwrap())
    };
    if signal == Signal::SIGINT {
        assert_eq!(output.0.code(), Some(130), "{}", output.1);
        assert!(output.1.contains("samepath resume"), "{}", output.1);
    }
    let mark = dir.path().to_str().unwrap().to_owned();
    eventually("nothing of the run is left", || processes_with(&mark).is_empty());
    let kept = lines(&out).len();
    assert!((1..6).contains(&kept), "{kept} trials kept");

    let resumed = run(&["resume", out.to_str().unwrap()]);
    expect_status(&resumed, 0);
    assert_eq!(lines(&out).len(), 6);
    assert!(
        std::fs::read_dir(out.join("trials")).unwrap().flatten().all(|e| e.path().join("messages.parquet").exists())
    );
}

#[test]
fn ctrl_c_keeps_trials_and_resume_continues() {
    interrupted(Signal::SIGINT, "Ctrl-C");
}

#[test]
fn kill_leaves_nothing_behind_and_resume_goes_on() {
    interrupted(Signal::SIGKILL, "kill");
}

#[test]
fn shards_make_one_run() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "long.toml", &tolerant(&LONG.replace("1s", "200ms")));
    let of = |k: u32| dir.path().join(format!("shard-{k}")).to_str().unwrap().to_owned();
    for k in 1..=2 {
        let mut command = samepath();
        let output = command.args(["run", &path, "--out", &of(k)]);
        let output = match k {
            1 => output.args(["--shard", "1/2"]),
            _ => output.args(["--shard", "auto/2"]).env("JOB_COMPLETION_INDEX", "1"),
        };
        let output = output.output().unwrap();
        expect_status(&output, 0);
        assert_eq!(lines(Path::new(&of(k))).len(), 3);
    }
    // The rest of the experiment is no business of a shard.
    let output = run(&["resume", &of(2)]);
    assert!(stderr(&output).contains("the run is complete: 3 trials"), "{}", stderr(&output));
    let output = samepath().args(["run", &path, "--dry-run"]).env("JOB_COMPLETION_INDEX", "1").output().unwrap();
    expect_status(&output, 2);
    assert!(stderr(&output).contains("--shard auto/N"), "{}", stderr(&output));
    let whole = dir.path().join("whole");
    let output = run(&["merge", whole.to_str().unwrap(), &of(1), &of(2)]);
    expect_status(&output, 0);
    assert_eq!(lines(&whole).len(), 6);
    let twice = dir.path().join("twice");
    let output = run(&["merge", twice.to_str().unwrap(), &of(1), &of(1)]);
    expect_status(&output, 1);
    assert!(stderr(&output).contains("more than one shard"), "{}", stderr(&output));
}

#[test]
fn a_dry_run_shows_every_trial_and_runs_none() {
    let output = run(&["run", "--dry-run", "--quick", "--arm", "tcp,quic", "--rtt", "20ms"]);
    expect_status(&output, 0);
    let said = stdout(&output);
    assert_eq!(said.lines().filter(|line| line.contains("RTT 20ms")).count(), 2 * 2 * 2, "{said}");
}

#[test]
fn lists_are_for_people_and_programs() {
    expect_status(&run(&["list"]), 0);
    let output = run(&["list", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["arms"].as_array().unwrap().len(), samepath_model::Arm::all().count());
    let workloads = document["workloads"].as_array().unwrap();
    assert!(workloads.iter().any(|kind| kind["name"] == "video-call" && kind["parameters"][0] == "direction"));
    let file = run(&["list", "--show", "head-of-line"]);
    assert!(stdout(&file).contains("schema = 1"));
}
