//! What lies beside a capture: the keys that open it in Wireshark, and QUIC's own logs.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{can_emulate, expect_status, file, has, samepath, stderr, test, tolerant};

const EXPERIMENT: &str = "
schema = 1
name = 'secrets'
[[part]]
name = 'messages'
arms = ['tls', 'quic']
workload = { kind = 'messages', streams = 2, size = '2000B', spacing = '10ms', count = 10, warmup = '100kB' }
link = { rtt = '20ms', rate = '20Mbit' }
";

#[test]
fn a_captured_trial_is_decrypted_with_its_keys() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (experiment, out) = (file(dir.path(), "secrets.toml", &tolerant(EXPERIMENT)), dir.path().join("run"));
    let output = samepath().args(["run", &experiment, "--capture", "--out"]).arg(&out).output().unwrap();
    expect_status(&output, 0);

    for (arm, label) in [("tls", "CLIENT_TRAFFIC_SECRET_0"), ("quic", "SERVER_TRAFFIC_SECRET_0")] {
        let trial = out.join(format!("trials/messages-0-s1-{arm}"));
        let keys = std::fs::read_to_string(trial.join("keys.log")).unwrap();
        // Both ends log the control connection and the data connection.
        assert_eq!(keys.lines().filter(|line| line.starts_with(label)).count(), 4, "{arm}: {keys}");
        let logs: Vec<_> = std::fs::read_dir(&trial)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "sqlog"))
            .collect();
        assert_eq!(logs.len(), if arm == "quic" { 2 } else { 0 }, "{arm}: {logs:?}");
        logs.iter().for_each(|log| check_qlog(log));
        if has("tshark", test!()) {
            check_with_tshark(&trial, arm);
        }
    }
}

/// JSON text sequences (RFC 7464) of the qlog schema that qvis opens.
fn check_qlog(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let text = std::str::from_utf8(&bytes).unwrap();
    let records: Vec<Value> =
        text.split('\u{1e}').skip(1).map(|record| serde_json::from_str(record).unwrap()).collect();
    let (head, events) = records.split_first().unwrap();
    assert_eq!((head["qlog_format"].as_str(), head["qlog_version"].as_str()), (Some("JSON-SEQ"), Some("0.3")));
    for name in ["transport:packet_sent", "transport:packet_received", "recovery:metrics_updated"] {
        assert!(events.iter().any(|event| event["name"] == name), "{}: no {name}", path.display());
    }
    // qvis sorts, and complains, where times run backwards; and it takes a trace apart by `group_id`.
    let times: Vec<f64> = events.iter().map(|event| event["time"].as_f64().unwrap()).collect();
    assert!(times.is_sorted() && events.iter().all(|event| event.get("group_id").is_none()));
    let end = if path.to_string_lossy().contains("_client") { "client" } else { "server" };
    assert_eq!(head["trace"]["vantage_point"]["type"], end);
    assert_eq!(head["trace"]["common_fields"]["time_format"], "relative");
    // Both ends run on this host: no offset between their clocks is to be guessed, for which 0 would be taken.
    let offset = head["trace"]["configuration"]["time_offset"].as_f64().unwrap();
    assert!(if end == "server" { offset > 0.0 && offset < 1e-3 } else { offset == 0.0 }, "{head}");
    // Both ends' transport parameters, each before the first packet that they could have to do with.
    let of = |name: &'static str| events.iter().filter(move |event| event["name"] == name).map(|event| &event["data"]);
    let owners: Vec<_> = of("transport:parameters_set").map(|set| set["owner"].as_str().unwrap()).collect();
    assert_eq!(owners, ["local", "remote"]);
    for set in of("transport:parameters_set") {
        let limits = ["initial_max_data", "initial_max_stream_data_bidi_remote", "max_packet_size"];
        assert!(limits.iter().all(|limit| set[limit].as_u64().is_some_and(|limit| limit > 1200)), "{set}");
    }
    // What its congestion, sequence and multiplexing diagrams are drawn from.
    let mut acknowledged = 0;
    for (name, packet) in ["transport:packet_sent", "transport:packet_received"]
        .into_iter()
        .flat_map(|name| of(name).map(move |packet| (name, packet)))
    {
        assert!(packet["header"]["packet_number"].is_u64() && packet["header"]["packet_type"].is_string(), "{packet}");
        assert!(packet["raw"]["length"].as_u64().is_some_and(|length| length > 20), "{name}: {packet}");
        let frames = packet["frames"].as_array().unwrap_or_else(|| panic!("{name}: no frames: {packet}"));
        assert!(!frames.is_empty() && frames.iter().all(|frame| frame["frame_type"].is_string()), "{packet}");
        acknowledged += frames.iter().filter(|frame| frame["acked_ranges"][0][0].is_u64()).count();
    }
    assert!(acknowledged > 3, "{acknowledged} packets with acknowledgements");
    let data = if end == "server" { "transport:packet_sent" } else { "transport:packet_received" };
    let streams: u64 = of(data)
        .flat_map(|packet| packet["frames"].as_array().unwrap())
        .filter(|frame| frame["frame_type"] == "stream")
        .map(|frame| frame["length"].as_u64().unwrap())
        .sum();
    // The warm-up and 20 messages go down.
    assert!(streams >= 100_000 + 20 * 2000, "{streams} bytes of streams");
    // A round trip is 20 ms, not 0.02.
    let rtts: Vec<f64> = of("recovery:metrics_updated").filter_map(|metrics| metrics["min_rtt"].as_f64()).collect();
    assert!(rtts.iter().any(|rtt| (20.0..60.0).contains(rtt)), "{rtts:?}");
}

fn check_with_tshark(trial: &Path, arm: &str) {
    let shown = |filter: &str, with_keys: bool| {
        let mut tshark = Command::new("tshark");
        tshark.arg("-r").arg(trial.join("capture.pcapng")).args(["-Y", filter, "-T", "fields", "-e", "frame.number"]);
        if with_keys {
            tshark.arg("-o").arg(format!("tls.keylog_file:{}", trial.join("keys.log").display()));
        }
        let output = tshark.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count()
    };
    match arm {
        "quic" => {
            // Packets with a short header show frames only where they were decrypted.
            let (all, read) = (shown("quic.short", false), shown("quic.short && quic.frame", true));
            assert!(all > 50 && all == read, "{read} of {all} packets were decrypted");
        }
        _ => {
            // The messages of the handshake behind ServerHello are encrypted.
            assert_eq!(shown("tls.handshake.type == 20", false), 0);
            assert!(shown("tls.handshake.type == 20", true) > 0, "no Finished was decrypted");
        }
    }
}
