//! The command itself, as the harness and as people call it.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

use samepath_model::Trial;
use samepath_model::record::PlayReport;
use samepath_server::{Limits, Server, ServerConfig, Shutdown};
use tokio::sync::watch;

const TOKEN: &str = "a secret";

/// A server on a thread of its own; ends when the sender is dropped.
fn serve() -> (String, String, watch::Sender<Shutdown>) {
    let (ready_in, ready) = mpsc::channel();
    let (shutdown, stage) = watch::channel(Shutdown::Running);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listen = "127.0.0.1:0".parse().unwrap();
            let server = Server::bind(ServerConfig {
                listen,
                token: TOKEN.into(),
                limits: Limits::default(),
                servers: 1,
                book: None,
            })
            .unwrap();
            ready_in.send(server.ready()).unwrap();
            server.serve(stage, |_| {}).await;
        });
    });
    let ready = ready.recv().unwrap();
    (ready.control, ready.fingerprint, shutdown)
}

fn client(token: Option<&str>, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_samepath-client"));
    command.args(args).env_remove("SAMEPATH_TOKEN").stdin(Stdio::null());
    if let Some(token) = token {
        command.env("SAMEPATH_TOKEN", token);
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const TRIAL: &str = r#"{
    "id": "t1", "part": "p", "axes": {}, "arm": "quic/shared", "seed": 7,
    "workload": { "kind": "messages", "direction": "down", "streams": 3, "size": "500B", "spacing": "5ms",
                  "count": 20, "duration": null, "warmup": "20kB" },
    "link": LINK, "tuning": {}, "time-limit": "30s", "attribution": false
}"#;

#[test]
fn the_harness_gets_start_and_report() {
    let (control, fingerprint, _running) = serve();
    let link = serde_json::to_string(&samepath_model::Link::transparent()).unwrap();
    let trial = TRIAL.replace("LINK", &link);
    let _: Trial = serde_json::from_str(&trial).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (trial_file, report_file) = (directory.path().join("trial.json"), directory.path().join("report"));
    std::fs::File::create(&trial_file).unwrap().write_all(trial.as_bytes()).unwrap();
    let (trial_file, report_file) = (trial_file.to_str().unwrap(), report_file.to_str().unwrap());
    let args = [
        &control,
        "--via",
        "127.0.0.1",
        "--fingerprint",
        &fingerprint,
        "--trial",
        trial_file,
        "--report",
        report_file,
        "--json",
    ];
    let output = client(Some(TOKEN), &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let report: PlayReport = postcard::from_bytes(&std::fs::read(report_file).unwrap()).unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["event"], &lines[0]["epoch_ns"]), (&"start".into(), &report.epoch_ns.into()));
    assert_eq!((&lines[1]["event"], &lines[1]["delivered"]), (&"result".into(), &60.into()));
    assert!(report.complete && report.messages.len() == 60);
    // Nothing half-written is left beside it.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn the_json_document_has_iperf3s_names() {
    let (control, _, _running) = serve();
    let args = [&control, "--arm", "udp", "--bytes", "200kB", "--udp-rate", "100Mbit", "--json"];
    let output = client(Some(TOKEN), &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packets = 200_000u64.div_ceil(1456);
    for (pointer, expected) in [
        ("/end/sum/packets", packets),
        ("/end/sum/lost_packets", 0),
        ("/end/sum_received/bytes", 200_000),
        ("/end/sum_sent/bytes", 200_000),
        ("/start/test_start/reverse", 1),
    ] {
        assert_eq!(document.pointer(pointer), Some(&expected.into()), "{pointer}");
    }
    let whole: u64 =
        document["intervals"].as_array().unwrap().iter().map(|i| i["sum"]["bytes"].as_u64().unwrap()).sum();
    assert_eq!(whole, 200_000);
    assert!(document["end"]["sum"]["jitter_ms"].is_number());
    assert_eq!(document.pointer("/end/streams/0/sender/bytes"), Some(&200_000.into()));
}

#[test]
fn bytes_sent_within_a_duration_are_told_where_known() {
    let (control, _, _running) = serve();
    for streams in ["1", "2"] {
        let args = [&control, "--arm", "tcp/per-stream", "--streams", streams, "--duration", "200ms", "--json"];
        let output = client(Some(TOKEN), &args);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let sent = &document["end"]["streams"][0]["sender"]["bytes"];
        let all = &document["end"]["sum_sent"]["bytes"];
        assert!(all.as_u64().is_some_and(|bytes| bytes > 0));
        assert_eq!(sent, if streams == "1" { all } else { &serde_json::Value::Null }, "{document}");
    }
}

#[test]
fn failures_have_a_message_and_a_status() {
    let (control, _, _running) = serve();
    let bulk = ["--bytes", "1kB"];
    let cases: [(Option<&str>, Vec<&str>, i32, &str); 9] = [
        (None, vec![&control], 2, "SAMEPATH_TOKEN"),
        (Some("wrong"), vec![&control], 1, "token"),
        (Some(TOKEN), vec![&control, "--fingerprint", "sha256:12"], 2, "fingerprint"),
        (Some(TOKEN), vec![&control, "--arm", "sctp"], 2, "quic/per-message"),
        (Some(TOKEN), vec![&control, "--bytes", "10M"], 2, "10MiB"),
        (Some(TOKEN), vec![&control, "--size", "10B"], 2, "--workload messages"),
        (Some(TOKEN), vec![&control, "--streams", "0"], 2, "streams"),
        (Some(TOKEN), vec![&control, "--trial", "/nonexistent"], 2, "/nonexistent"),
        (Some(TOKEN), vec!["no-such-host.invalid"], 1, "no-such-host.invalid"),
    ];
    for (token, mut args, status, word) in cases {
        if !args.iter().any(|a| ["--bytes", "--trial"].contains(a)) {
            args.extend(bulk);
        }
        let output = client(token, &args);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {message}");
        assert!(message.contains(word), "{args:?}: {message}");
        assert!(output.stdout.is_empty(), "{args:?}: results go to stdout, messages do not");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_a_failure() {
    let (control, _, _running) = serve();
    let output = client(Some(TOKEN), &[&control, "--bytes", "1kB", "--report", "/nonexistent/report"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/nonexistent/report"));
}
