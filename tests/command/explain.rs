//! `samepath explain`: why a message was late, by the packet that was dropped on purpose.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{can_emulate, expect_status, file, run, stderr, stdout, test, tolerant};

/// The fifth data packet down is dropped, once; messages of a packet each, on four streams.
const DROPPED: &str = r#"
schema = 1
name = "dropped"
repeat = 1

[[part]]
name = "messages"
arms = ["tcp", "tls", "quic", "udp"]
workload = { kind = "messages", streams = 4, size = "500B", spacing = "20ms", count = 12, warmup = "20kB" }
link = { rtt = "40ms", rate = "20Mbit", down = { drop = ["data 5"] } }

[[part]]
name = "unattributed"
arms = ["tcp"]
workload = { kind = "messages", streams = 1, size = "500B", spacing = "20ms", count = 3, warmup = "0B" }
link = { rtt = "10ms", rate = "20Mbit" }
attribution = false
"#;

/// The document that the command prints.
fn document(args: &[&str]) -> Value {
    let output = run(args);
    expect_status(&output, 0);
    serde_json::from_slice(&output.stdout).expect("--json prints JSON alone")
}

#[test]
fn each_part_of_a_delay_names_its_packet() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (file(dir.path(), "dropped.toml", &tolerant(DROPPED)), dir.path().join("run"));
    let out = out.to_str().unwrap();
    let output = run(&["run", &path, "--out", out]);
    expect_status(&output, 0);

    // By default a trial that counts is explained: it must say something.
    expect_status(&run(&["explain", out]), 0);
    // By default the most blocked message of the trial: one behind the packet that the script dropped.
    let words = run(&["explain", out, "--trial", "messages-0-s1-tcp"]);
    expect_status(&words, 0);
    let said = stdout(&words);
    for expected in ["of which it was blocked for", "sender hold", "was dropped by the script", "retransmitted them"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }

    for arm in ["tcp", "tls", "quic", "udp"] {
        let trial = format!("messages-0-s1-{arm}");
        let mut dropped = BTreeSet::new();
        for (stream, seq) in (0..12).flat_map(|seq| (0..4).map(move |stream| (stream, seq))) {
            let name = format!("{stream}:{seq}");
            let said = document(&["explain", out, "--trial", &trial, "--message", &name, "--json"]);
            assert_eq!((&said["stream"], &said["seq"]), (&stream.into(), &seq.into()), "{said}");
            let Some(parts) = said["parts_ms"].as_object() else {
                // Only udp never delivers, and then it says which packet was dropped.
                assert_eq!((arm, said["verdict"].as_str()), ("udp", Some("never-delivered")), "{said}");
                assert_eq!(said["own"][0]["lost"][0]["fate"], "script", "{said}");
                dropped.insert(said["own"][0]["lost"][0]["packet"].as_u64().unwrap());
                continue;
            };
            let sum: f64 = parts.values().filter_map(Value::as_f64).sum();
            assert!((sum - said["delay_ms"].as_f64().unwrap()).abs() < 1e-3, "to the microsecond: {said}");
            assert!(parts.values().all(|part| part.as_f64().unwrap() >= 0.0), "{said}");
            if matches!(arm, "quic" | "udp") {
                assert_eq!(parts["blocked_other_streams"], 0.0, "{said}");
            }
            if said["verdict"] == "own-loss" {
                let lost = &said["own"][0];
                assert_eq!(lost["lost"][0]["fate"], "script", "{said}");
                assert!(lost["brought_by"]["at_ms"].as_f64() > lost["lost"][0]["at_ms"].as_f64(), "{said}");
                dropped.insert(lost["lost"][0]["packet"].as_u64().unwrap());
            }
        }
        // On a busy machine it may hold more than one message.
        assert_eq!(dropped.len(), 1, "{arm}: one packet was dropped");
    }

    let wrong = |args: &[&str], status, remedy: &str| {
        let output = run(&[&["explain", out], args].concat());
        expect_status(&output, status);
        let said = stdout(&output) + &stderr(&output);
        assert!(said.contains(remedy), "{said}");
    };
    wrong(&["--trial", "messages-0-s9-tcp"], 2, "messages-0-s1-tcp");
    wrong(&["--trial", "messages-0-s1-tcp", "--message", "0:12"], 2, "stream 0 has messages 0 to 11");
    wrong(&["--trial", "messages-0-s1-tcp", "--message", "4:0"], 2, "its streams are 0 to 3");
    wrong(&["--message", "first"], 2, "STREAM:SEQ");
    wrong(&["--trial", "unattributed-0-s1-tcp"], 1, "without the attribution of packets to messages");
}
