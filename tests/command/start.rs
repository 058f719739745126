//! Every comparison starts equal: losses begin with the schedule, its state is recorded, and a setting that decides
//! the comparison and was not granted is no silence.

use std::path::Path;

use samepath_model::record::{DropCause, Outcome, TrialRecord};
use samepath_model::{Direction, Transport, VoidKind};
use samepath_results::Run;

use crate::support::{WIDE, can_emulate, expect_status, file, run, stderr, test};

/// What a slow machine does is no subject here.
fn experiment(tolerance: &str, part: &str) -> String {
    format!(
        "schema = 1\nname = \"start\"\nrepeat = 1\n{WIDE}loss = \"5%\"\n{tolerance}\n[[part]]\nname = \"part\"\n{part}"
    )
}

/// Runs it, whatever the exit status of a run that has its records.
fn run_it(dir: &Path, name: &str, text: &str) -> Run {
    let (path, out) = (file(dir, &format!("{name}.toml"), text), dir.join(name));
    let output = run(&["run", &path, "--out", out.to_str().unwrap()]);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{name}: {}", stderr(&output));
    Run::open(&out).unwrap()
}

#[test]
fn losses_begin_with_the_schedule_for_all() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = r#"
arms = ["tcp", "tls", "quic", "quic/shared", "quic/per-message", "tcp/per-stream", "udp"]
workload = { kind = "messages", streams = 2, size = "500B", spacing = "20ms", count = 30 }
link = { rtt = "40ms", rate = "10Mbit", loss = "10%" }
"#;
    let run = run_it(dir.path(), "losses", &experiment("", part));
    let mut lost = 0;
    for record in run.trials() {
        let id = &record.trial.id;
        let packets: Vec<_> = run.ledger(id).unwrap().expect("a ledger").map(Result::unwrap).collect();
        let is_lost = |packet: &&samepath_model::record::PacketRecord| packet.dropped == Some(DropCause::Loss);
        assert_eq!(packets.iter().find(|packet| is_lost(packet) && packet.arrived < 0), None, "{id}");
        lost += packets.iter().filter(is_lost).count();
        let before = |packet: &&samepath_model::record::PacketRecord| packet.arrived < 0;
        assert!(packets.iter().filter(before).count() > 1, "{id}: something came before the schedule");
        let start = record.summary.as_ref().and_then(|summary| summary.start);
        assert_eq!(start.is_some(), record.trial.arm.is_reliable, "{id}");
        let Some(start) = start else { continue };
        let of_sender = record.server.as_ref().and_then(|server| server.start);
        assert_eq!(of_sender, Some(start), "{id}");
        // One bandwidth-delay product: 10 Mbit/s of 40 ms.
        assert_eq!((start.warmup, start.in_flight), (50_000, 0), "{id}: {start:?}");
        let connections = if record.trial.arm.to_string() == "tcp/per-stream" { 2 } else { 1 };
        assert_eq!(start.connections, connections, "{id}");
        let (window, expected) = (start.window as f64, start.expected_window as f64);
        assert!((window / expected - 1.0).abs() <= 0.1 || start.apart.is_some(), "{id}: {start:?}");
        assert!(window >= 50_000.0 || start.apart.is_some(), "{id}: {start:?}");
    }
    assert!(lost > 0, "nothing was lost in any trial");
    let page = std::fs::read_to_string(run.dir().join("report/index.html")).unwrap();
    assert!(page.contains("The state at the start of the schedule") && page.contains("per-stream from 2 connections"));
    let table = std::fs::read_to_string(run.dir().join("report/tables/trials.csv")).unwrap();
    assert!(table.lines().next().unwrap().contains("start_window_bytes"), "{table}");
}

#[test]
fn a_cold_workload_meets_losses_from_its_first_packet() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = r#"
arms = ["tcp", "quic"]
workload = { kind = "bulk", bytes = "20kB" }
link = { rtt = "20ms", rate = "10Mbit", down = { loss = "30%" }, loss-key = "index" }
"#;
    let run = run_it(dir.path(), "cold", &experiment("", part));
    let early = |record: &TrialRecord| {
        let mut packets = run.ledger(&record.trial.id).unwrap().expect("a ledger").map(Result::unwrap);
        // Keyed by their numbers the first dozen have the same fate each time: with this seed some are lost.
        packets.any(|packet| {
            packet.direction == Direction::Down && packet.number < 12 && packet.dropped == Some(DropCause::Loss)
        })
    };
    for record in run.trials() {
        assert!(record.summary.as_ref().is_none_or(|summary| summary.start.is_none()), "{}", record.trial.id);
        assert!(early(record), "{}: its handshake met no loss", record.trial.id);
    }
}

#[test]
fn an_ungranted_setting_voids_unless_allowed() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // The initial window of TCP is the kernel's own; that of QUIC is set.
    let part = r#"
arms = ["tcp", "quic"]
workload = { kind = "bulk", bytes = "20kB" }
link = { rtt = "20ms", rate = "10Mbit" }
tuning = { initial-window = 20 }
"#;
    let strict = run_it(dir.path(), "strict", &experiment("", part));
    for record in strict.trials() {
        let void_for_it = matches!(&record.outcome, Outcome::Void { reasons }
            if reasons.iter().any(|reason| reason.kind == VoidKind::Setting
                && reason.words.contains("tcp.initial-window is 10 in place of 20")));
        assert_eq!(void_for_it, record.trial.arm.to_string() == "tcp", "{}: {:?}", record.trial.id, record.outcome);
    }
    let lenient = run_it(dir.path(), "lenient", &experiment("ungranted = [\"tcp.initial-window\"]", part));
    assert!(lenient.trials().iter().all(|record| record.outcome.is_done()), "{:?}", lenient.trials());

    let wrong = file(dir.path(), "wrong.toml", &experiment("ungranted = [\"ecn\"]", part));
    let output = run(&["run", &wrong]);
    expect_status(&output, 2);
    let said = stderr(&output);
    assert!(said.contains("wrong.toml") && said.contains("line 15") && said.contains("`ecn`"), "{said}");
    assert!(said.contains("net.ipv4.tcp_ecn"), "the names there are: {said}");
}

/// After lost SYNs TCP begins with one segment (RFC 5681, section 3.1): that is the path's doing, and no setting that
/// was not granted.
#[test]
fn settings_survive_the_loss_of_first_packets() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = r#"
arms = ["tcp", "tls"]
workload = { kind = "bulk", bytes = "20kB" }
link = { rtt = "10ms", up = { drop = ["packet 1", "packet 2"] } }
"#;
    let run = run_it(dir.path(), "lost-syns", &experiment("", part));
    for record in run.trials() {
        assert!(record.outcome.is_done(), "{}: {:?}", record.trial.id, record.outcome);
    }
    assert_eq!(run.trials().len(), 2);
}

/// The kernel forgets a window that was asked for whenever a larger segment comes than any before, as the server's
/// certificate does.
#[test]
fn a_receive_window_is_granted_with_tls_as_without() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = r#"
arms = ["tcp", "tls", "tls/per-stream", "quic"]
workload = { kind = "bulk", bytes = "200kB", streams = 2 }
link = { rtt = "10ms" }
tuning = { receive-window = "64KiB" }
axes = { direction = ["up", "down"] }
"#;
    let run = run_it(dir.path(), "window", &experiment("", part));
    assert_eq!(run.trials().len(), 8);
    for record in run.trials() {
        let id = &record.trial.id;
        assert!(record.outcome.is_done(), "{id}: {:?}", record.outcome);
        for end in [&record.client, &record.server] {
            let settings = &end.as_ref().expect("a report").settings;
            let clamp = settings.iter().find(|setting| setting.name == "tcp.window-clamp");
            let is_tcp = record.trial.arm.transport != Transport::Quic;
            assert_eq!(clamp.map(|setting| setting.effective.as_str()), is_tcp.then_some("65536"), "{id}");
        }
    }
}
