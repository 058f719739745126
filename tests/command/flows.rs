//! Trials with several flows on one link, and those whose servers are killed.

use std::collections::BTreeMap;
use std::path::Path;

use samepath_model::experiment::TrialId;
use samepath_model::record::Metric;
use samepath_results::Run;
use serde_json::Value;

use crate::support::{can_emulate, expect_status, file, run, stderr, stdout, test, tolerant};

/// Two downloads on one link, the second a second later.
const TWO: &str = r#"
schema = 1
name = "two"
question = "How does QUIC share a link with TCP?"
repeat = 1

[[part]]
name = "bulk"
arms = ["quic"]
workload = { kind = "bulk", duration = "3s" }
link = { rtt = "20ms", rate = "20Mbit" }

[[part.competing-flow]]
arm = "tcp"
workload = { kind = "bulk", duration = "3s" }
start = "1s"
"#;

const SECOND: i64 = 1_000_000_000;
const ID: &str = "bulk-0-s1-quic";

fn line(dir: &Path) -> Value {
    serde_json::from_str(std::fs::read_to_string(dir.join("trials.jsonl")).unwrap().trim()).unwrap()
}

/// The rows of a table without quoted fields, by their columns' names.
fn rows(table: &Path) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(table).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned));
    let head: Vec<String> = lines.next().unwrap().collect();
    lines.map(|row| head.iter().cloned().zip(row).collect()).collect()
}

#[test]
fn flows_on_one_link_are_told_apart() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (file(dir.path(), "two.toml", &tolerant(TWO)), dir.path().join("run"));
    let output = run(&["run", &path, "--out", out.to_str().unwrap()]);
    expect_status(&output, 0);

    // The record has each flow's figures, and they add up to what the link can carry.
    let record = line(&out);
    let competing = &record["competing"][0];
    assert_eq!(competing["name"], "tcp");
    let of = |flow: &Value, figure: &str| flow["summary"].pointer(figure).and_then(Value::as_f64).unwrap();
    let [quic, tcp] = [&record, competing].map(|flow| of(flow, "/goodput_bits_per_second"));
    assert!(quic > 1e6 && tcp > 1e6 && quic + tcp < 40e6, "{quic} {tcp}");
    let shares = [&record, competing].map(|flow| of(flow, "/link_share/share"));
    assert!((shares[0] + shares[1] - 1.0).abs() < 1e-9, "{shares:?}");
    assert_eq!(
        (of(&record, "/link_share/from_ms"), of(&record, "/link_share/until_ms")),
        (1000.0, 3000.0),
        "while both were sending"
    );
    assert!(competing["server"]["settings"].as_array().is_some_and(|settings| !settings.is_empty()));

    // The ledger tells them apart, and nothing of the second is there before its start.
    let (opened, id) = (Run::open(&out).unwrap(), TrialId(ID.into()));
    let (mut first, mut wire, mut apart) = ([i64::MAX; 2], [0.0; 2], 0.0);
    for packet in opened.ledger(&id).unwrap().expect("a ledger") {
        let packet = packet.unwrap();
        let Some(flow) = packet.flow.map(usize::from) else {
            assert_eq!(packet.protocol, 1, "nothing else is of no flow");
            apart += f64::from(packet.size);
            continue;
        };
        assert_eq!(packet.protocol, [17, 6][flow]);
        first[flow] = first[flow].min(packet.arrived);
        wire[flow] += f64::from(packet.size);
    }
    assert_eq!(wire, [&record, competing].map(|flow| of(flow, "/wire_bytes")));
    let offered: f64 = ["up", "down"].iter().map(|way| record["link"][way]["bytes"].as_f64().unwrap()).sum();
    assert!((wire[0] + wire[1] + apart - offered).abs() < 1.0, "{wire:?} {apart} {offered}");
    assert!(first[0] >= 0 && first[0] < SECOND && first[1] >= SECOND && first[1] < 2 * SECOND, "{first:?}");
    for flow in 0..2 {
        let series = opened.series_of(&id, flow).unwrap();
        let read: f64 = series.iter().filter(|p| p.metric == Metric::DeliveredBytes).map(|p| p.value).sum();
        assert!(read > 100_000.0 && series.iter().all(|p| p.flow == flow), "{flow}: {read}");
    }
    assert!(opened.messages(&id).unwrap().iter().all(|message| message.flow == 0));

    // Table, CSV, page and chart name both.
    let table = stdout(&output);
    assert!(table.contains("tcp beside quic") && table.contains("beside tcp: bulk for 3s down"), "{table}");
    let trials = rows(&out.join("report/tables/trials.csv"));
    let flows: Vec<_> = trials.iter().map(|row| (row["flow"].as_str(), row["arm"].as_str())).collect();
    assert_eq!(flows, [("0", "quic"), ("1", "tcp")]);
    assert!(trials.iter().all(|row| row["jain_index"].parse::<f64>().is_ok_and(|jain| (0.5..=1.0).contains(&jain))));
    let cells = rows(&out.join("report/tables/cells.csv"));
    assert_eq!(cells.iter().map(|row| row["flow_name"].as_str()).collect::<Vec<_>>(), ["", "tcp"]);
    let page = std::fs::read_to_string(out.join("report/index.html")).unwrap();
    assert!(page.contains("How do the flows share the link over time?") && page.contains("tcp beside quic"));
    expect_status(&run(&["report", out.to_str().unwrap(), "--verify"]), 0);
}

/// Two servers on one link: one as far as the link is long, the other 60 ms farther away.
const FAR: &str = r#"
schema = 1
name = "far"
question = "?"
repeat = 1

[[part]]
name = "rpc"
arms = ["tcp"]
workload = { kind = "rpc", outstanding = 1, count = 10 }
link = { rtt = "20ms", rate = "20Mbit" }

[[part.competing-flow]]
name = "far"
arm = "quic"
workload = { kind = "rpc", outstanding = 1, count = 10 }
extra-rtt = "60ms"
"#;

#[test]
fn each_server_on_a_link_has_its_own_delay() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (file(dir.path(), "far.toml", &tolerant(FAR)), dir.path().join("run"));
    expect_status(&run(&["run", &path, "--out", out.to_str().unwrap()]), 0);
    let (opened, id) = (Run::open(&out).unwrap(), TrialId("rpc-0-s1-tcp".into()));
    let mut shortest = [[i64::MAX; 2]; 2];
    for packet in opened.ledger(&id).unwrap().expect("a ledger") {
        let packet = packet.unwrap();
        let (Some(flow), Some(left)) = (packet.flow, packet.left) else { continue };
        let propagation = left - packet.arrived - packet.queued as i64;
        let shortest = &mut shortest[usize::from(flow)][packet.direction as usize];
        *shortest = propagation.min(*shortest);
    }
    for (flow, delay) in [10_000_000, 40_000_000].into_iter().enumerate() {
        for shortest in shortest[flow] {
            assert!((delay..delay + 5_000_000).contains(&shortest), "flow {flow}: {shortest} ns");
        }
    }
    // What its user waits for, too.
    let record = line(&out);
    for (flow, rtt) in [(&record, 20.0), (&record["competing"][0], 80.0)] {
        let latency = flow["summary"]["score"]["latency_p50_ms"].as_f64().unwrap();
        assert!((rtt..rtt + 20.0).contains(&latency), "{latency} ms over {rtt} ms");
    }
}

#[test]
fn distances_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (from, to, backend, told) in [
        ("60ms", "3min", "auto", ["line 17", "at most 60s each way"]),
        ("60ms", "-1ms", "auto", ["line 17", "-1ms"]),
        ("60ms", "60ms", "netem", ["`netem` has one delay for all", "--backend auto"]),
    ] {
        let path = file(dir.path(), "far.toml", &FAR.replace(from, to));
        let out = dir.path().join("run");
        let output = run(&["run", &path, "--backend", backend, "--out", out.to_str().unwrap()]);
        expect_status(&output, 2);
        assert!(!out.exists(), "nothing half-written");
        assert!(told.iter().all(|told| stderr(&output).contains(told)), "{}", stderr(&output));
    }
}

#[test]
fn an_impossible_flow_is_refused_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    for (from, to, said) in [
        ("start = \"1s\"", "start = \"3s\"", "line 16: part `bulk`: competing flow `tcp`: a `start` of 3s is too late"),
        ("arm = \"tcp\"", "arm = \"tpc\"", "line 14"),
    ] {
        let text = TWO.replacen(from, to, 1);
        assert_ne!(text, TWO);
        let out = dir.path().join("run");
        let output = run(&["run", &file(dir.path(), "two.toml", &text), "--out", out.to_str().unwrap()]);
        expect_status(&output, 2);
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
        assert!(!out.exists(), "nothing half-written");
    }
}

/// A server that is killed under a download.
const KILLED: &str = r#"
schema = 1
name = "killed"
question = "What does an application see of a server that dies?"
repeat = 1

[[part]]
name = "bulk"
arms = ["tcp", "quic"]
workload = { kind = "bulk", duration = "2s" }
link = { rtt = "20ms", rate = "20Mbit" }

[[part.server-restart]]
at = "500ms"
downtime = "300ms"
"#;

#[test]
fn a_killed_server_is_an_outcome_of_the_trial() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (file(dir.path(), "killed.toml", &tolerant(KILLED)), dir.path().join("run"));
    let output = run(&["run", &path, "--out", out.to_str().unwrap()]);
    expect_status(&output, 0);
    let opened = Run::open(&out).unwrap();
    for record in opened.trials() {
        let id = &record.trial.id;
        let [restart] = record.restarts[..] else { panic!("{id}: one restart") };
        assert!((SECOND / 2..SECOND).contains(&restart.killed), "{id}: {restart:?}");
        let [failure] = &record.session_failures[..] else { panic!("{id}: one session") };
        assert!(failure.at >= restart.killed, "{id}: {failure:?} {restart:?}");
        let summary = record.summary.as_ref().unwrap();
        assert!(summary.received_bytes > 50_000, "{id}: what came before it counts");
        assert_eq!(summary.completion_ms, None, "{id}");
        match record.trial.arm.to_string().as_str() {
            // Its kernel sends what was buffered, and ends the stream of bytes.
            "tcp" => assert!(failure.at < 2 * SECOND && failure.error.contains("closed"), "{failure:?}"),
            // Nothing tells a client of QUIC; by then the server is there again.
            _ => {
                assert!(failure.at >= 2 * SECOND && failure.error.contains("silent"), "{failure:?}");
                assert!(restart.ready.is_some_and(|ready| ready >= restart.killed + 3 * SECOND / 10), "{restart:?}");
            }
        }
    }
    let told = stdout(&output);
    assert!(told.contains("Sessions that broke") && told.contains("after its server was killed"), "{told}");
    let page = std::fs::read_to_string(out.join("report/index.html")).unwrap();
    assert!(page.contains("Servers that were killed") && page.contains("server killed"));
    let trials = std::fs::read_to_string(out.join("report/tables/trials.csv")).unwrap();
    assert!(trials.lines().skip(1).all(|row| row.contains(",done,\"the session of ")), "{trials}");
}
