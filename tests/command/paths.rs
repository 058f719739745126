//! Paths that real machines have and a clean lab has not: hosts of several addresses, hops of a smaller MTU, windows
//! with thousands of gaps, messages that wait at their sender.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{apart, can_emulate, expect_status, file, has, run, samepath, stderr, stdout, test, tolerant};

/// The lines of a run's records, of which none may have failed.
fn records(experiment: &str, dir: &std::path::Path) -> Vec<Value> {
    let (path, out) = (file(dir, "experiment.toml", &tolerant(experiment)), dir.join("run"));
    let output = run(&["run", &path, "--out", out.to_str().unwrap()]);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}\n{}", stdout(&output), stderr(&output));
    let lines = std::fs::read_to_string(out.join("trials.jsonl")).unwrap();
    let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for record in &records {
        assert_ne!(record["outcome"], "failed", "{}: {}", record["trial"]["id"], record["error"]);
    }
    records
}

#[test]
fn a_thousand_gaps_arrive_byte_for_byte() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // All of it is under way at once, and every second packet of it is lost.
    let drops: Vec<String> = (20..4020).step_by(2).map(|n| format!("\"data {n}\"")).collect();
    let text = format!(
        r#"
schema = 1
name = "gaps"
repeat = 1
[[part]]
name = "bulk"
arms = ["quic"]
workload = {{ kind = "bulk", direction = "down", bytes = "9MB" }}
link = {{ rtt = "20ms", down = {{ drop = [{}] }} }}
tuning = {{ initial-window = 10000 }}
"#,
        drops.join(", ")
    );
    let records = records(&text, dir.path());
    let record = records.last().unwrap();
    assert_eq!(record["summary"]["received_bytes"], 9_000_000, "{record}");
    let dropped = record["link"]["down"]["dropped"]["script"].as_u64().unwrap();
    assert!(dropped > 1500, "only {dropped} were dropped");
    let settings = record["client"]["settings"].as_array().unwrap();
    let stack = settings.iter().find(|setting| setting["name"] == "quic.stack").unwrap();
    assert!(stack["effective"].as_str().unwrap().contains("patched"), "{stack}");
}

#[test]
fn what_holds_a_message_at_its_sender_is_named() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Cold windows of ten segments, and a hundred times as much to send.
    let text = r#"
schema = 1
name = "hold"
repeat = 1
[[part]]
name = "messages"
arms = ["quic/per-message", "quic/shared", "tcp"]
workload = { kind = "messages", direction = "down", streams = 40, size = "1kB", spacing = "14ms", count = 20, warmup = "0B" }
link = { rtt = "200ms", rate = "100Mbit" }
"#;
    for record in records(text, dir.path()) {
        let (id, blocking) = (&record["trial"]["id"], &record["summary"]["blocking"]);
        let held = blocking["sender_hold_ms"].as_object().unwrap_or_else(|| panic!("{id}: {blocking}"));
        let sum: f64 = held.values().map(|part| part.as_f64().unwrap()).sum();
        let hold = blocking["all_ms"]["sender_hold"].as_f64().unwrap();
        assert!(hold > 100.0 && (sum - hold).abs() < 0.001, "{id}: {sum} of {hold}: {held:?}");
        // quinn paces, by the window, and does not tell; the kernel's CUBIC sends as its window lets it.
        let part = |name: &str| held[name].as_f64().unwrap();
        let is_quic = id.as_str().unwrap().contains("quic");
        let by_window = if is_quic { part("congestion_window") + part("unknown") } else { part("congestion_window") };
        assert!(part("congestion_window") > 0.05 * hold && by_window > 0.5 * hold, "{id}: it was the window: {held:?}");
        assert_eq!(held["stream_limit"], 0.0, "{id}: {held:?}");
    }
    let said = run(&["explain", dir.path().join("run").to_str().unwrap()]);
    expect_status(&said, 0);
    assert!(stdout(&said).contains("held by: ") && stdout(&said).contains("congestion window"), "{}", stdout(&said));
}

#[test]
fn every_transport_passes_a_smaller_mtu() {
    if !can_emulate(test!()) {
        return;
    }
    // Within the outer link the path takes 1420 bytes; the ends see 1500. The inner link's far end is the router.
    let program = env!("CARGO_BIN_EXE_samepath");
    let server = format!("exec {program} server --token sesame");
    for arm in ["quic", "tcp", "tls"] {
        for direction in ["down", "up"] {
            let client = format!(
                "{program} link --quiet -- {program} client $SAMEPATH_SERVER --token sesame --arm {arm} --direction \
                 {direction} --bytes 200kB --time-limit 20s --json"
            );
            let output = samepath()
                .args(["link", "--quiet", "--mtu", "1420", "--server-command", &server, "--", "sh", "-c", &client])
                .output()
                .unwrap();
            expect_status(&output, 0);
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(document["end"]["sum_received"]["bytes"], 200_000, "{arm} {direction}");
        }
    }
}

#[test]
fn a_name_is_reached_by_its_second_address() {
    if !has("unshare", test!()) {
        return;
    }
    let mut server = samepath()
        .args(["server", "--listen", "127.0.0.1:0", "--token", "sesame", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let port = ready["control"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();

    let dir = tempfile::tempdir().unwrap();
    let hosts = file(dir.path(), "hosts", "::1 twofold\n127.0.0.1 twofold\n127.0.0.2 nobody\n127.0.0.3 nobody\n");
    let program = env!("CARGO_BIN_EXE_samepath");
    let client = |host: &str, arm: &str| {
        let script = format!(
            "mount --bind {hosts} /etc/hosts && exec {program} client {host}:{port} --token sesame --arm {arm} --bytes \
             20kB --json"
        );
        apart(Command::new("unshare")).args(["--mount", "sh", "-c", &script]).output().unwrap()
    };
    let output = client("twofold", "tcp");
    if stderr(&output).contains("unshare") || stderr(&output).contains("mount:") {
        samepath_testing::skip_part!("names", "cannot make a mount namespace: {}", stderr(&output));
    } else {
        expect_status(&output, 0);
        for arm in ["tls", "quic", "udp"] {
            expect_status(&client("twofold", arm), 0);
        }
        let output = client("nobody", "quic");
        expect_status(&output, 1);
        let said = stderr(&output);
        for address in ["127.0.0.2", "127.0.0.3"] {
            assert!(said.contains(&format!("{address}:{port}")), "{said}");
        }
    }
    let _ = server.kill();
    let _ = server.wait();
}
