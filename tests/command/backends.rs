//! A whole run on every backend: what it needs of a kernel, `tests/qemu/run` brings.

use std::collections::BTreeSet;
use std::path::Path;

use samepath_model::record::{Calibration, DropCause, Outcome, PacketRecord, TrialRecord};
use samepath_model::{Direction, VoidKind};
use samepath_results::Run;

use crate::support::{can_emulate, carries, expect_status, file, has, run, stderr, stdout, test, tolerant};

/// Every transport, with loss and without, on a link that a slow machine can keep.
const SMALL: &str = r#"
schema = 1
name = "backends"
question = "Does the kernel's netem carry it, too?"
repeat = 1

[[part]]
name = "messages"
arms = ["tcp", "tls", "quic", "udp"]
workload = { kind = "messages", streams = 2, size = "1000B", spacing = "20ms", count = 30, warmup = "10kB" }
link = { rtt = "60ms", rate = "4Mbit", generator = "netem" }
axes = { loss = ["0%", "3%"] }

[[part]]
name = "bulk"
arms = ["tcp"]
workload = { kind = "bulk", bytes = "100kB" }
link = { rtt = "60ms", rate = "4Mbit", queue = "30kB", loss = "1%", loss-key = "index" }
"#;

/// Bounds that a slow machine keeps, whose sockets may lose a probe as well.
fn lossy(experiment: &str) -> String {
    tolerant(experiment).replacen("[tolerance]", "[tolerance]\nloss = \"5%\"", 1)
}

/// Runs the experiment; no trial may fail. The kernel on a slow machine may void some.
fn run_on(backend: &str, dir: &Path) -> Run {
    let (path, out) = (file(dir, &format!("{backend}.toml"), &lossy(SMALL)), dir.join(backend));
    let output = run(&["run", &path, "--backend", backend, "--out", out.to_str().unwrap()]);
    eprintln!("{backend}: {}", stderr(&output));
    assert!(matches!(output.status.code(), Some(0 | 3)), "{backend}: {}\n{}", stdout(&output), stderr(&output));
    assert!(!stderr(&output).contains("no trial counts"), "{backend}: {}", stderr(&output));
    let page = std::fs::read_to_string(out.join("report/index.html")).unwrap();
    assert!(page.contains("Does the kernel"), "{backend}: the report is drawn");
    let run = Run::open(&out).unwrap();
    assert_eq!(run.trials().len(), 9, "{backend}");
    for record in run.trials() {
        let id = &record.trial.id;
        assert!(!matches!(record.outcome, Outcome::Failed { .. }), "{backend} {id}: {:?}", record.outcome);
        let link = record.link.as_ref().expect("a link gives account");
        for (direction, counts) in [("up", &link.up), ("down", &link.down)] {
            let dropped: u64 = counts.dropped.values().sum();
            // The workload goes down; of `udp` only a greeting goes up.
            let least = if direction == "down" { 30 } else { 1 };
            assert!(counts.packets >= least, "{backend} {id}, {direction}: {counts:?}");
            assert!(counts.packets >= counts.delivered_packets + dropped, "{backend} {id}, {direction}: {counts:?}");
        }
        for (when, probes) in [("before", &link.before), ("after", &link.after)] {
            holds(probes.as_ref().expect("every emulated link is probed"), &format!("{backend} {id}, {when}"));
        }
        assert!(run.ledger(id).unwrap().is_some(), "{backend} {id}: a ledger");
    }
    run
}

/// Nothing comes before its time. How much later, and at which rate, is for the verdict: a slow machine has no say.
fn holds(calibration: &Calibration, whose: &str) {
    for probes in [&calibration.up, &calibration.down] {
        assert!(probes.sent > 10 && probes.lost < probes.sent / 2, "{whose}: {probes:?}");
        assert!(probes.delay_p50_ns.unwrap() >= 30_000_000, "{whose}: {probes:?}");
        assert!(probes.delay_p99_ns >= probes.delay_p50_ns, "{whose}: {probes:?}");
        assert_eq!(probes.rate_asked, Some(4_000_000), "{whose}");
        assert!(probes.rate.is_some_and(|rate| rate > 0), "{whose}: {probes:?}");
    }
}

/// The numbers of the packets that the link lost one way, and how many came: both counted from where its draws began,
/// before which nothing is lost. None where a packet came while they began, as on a machine that was kept from running.
fn lost(run: &Run, record: &TrialRecord, direction: Direction) -> Option<(u64, BTreeSet<u64>)> {
    let [begin, began] = record.link.as_ref().and_then(|link| link.draws_began_ns).unwrap_or_default();
    let packets = run.ledger(&record.trial.id).unwrap().expect("a ledger").map(|line| line.unwrap());
    let (way, before): (Vec<_>, Vec<_>) =
        packets.filter(|packet| packet.direction == direction).partition(|packet| packet.arrived >= began.max(0));
    if before.iter().any(|packet| packet.arrived >= begin) {
        return None;
    }
    let is_lost = |packet: &&PacketRecord| packet.dropped == Some(DropCause::Loss);
    assert_eq!(before.iter().find(is_lost), None, "{}: lost before the draws began", record.trial.id);
    let first = way.iter().map(|packet| packet.number).min().unwrap_or(0);
    let offered = way.iter().map(|packet| packet.number - first + 1).max().unwrap_or(0);
    Some((offered, way.iter().filter(is_lost).map(|packet| packet.number - first).collect()))
}

#[test]
fn a_run_on_netem_loses_as_embedded() {
    if !can_emulate(test!()) || !carries("netem", test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (kernel, embedded) = (run_on("netem", dir.path()), run_on("auto", dir.path()));
    assert!(kernel.trials().iter().all(|record| record.link.as_ref().unwrap().backend == "netem"));
    let mut losses = 0;
    for record in kernel.trials().iter().filter(|record| record.trial.part == "messages") {
        let id = &record.trial.id;
        let other = embedded.trials().iter().find(|other| other.trial.id == *id).expect("the same matrix");
        for direction in Direction::BOTH {
            let Some((offered, by_kernel)) = lost(&kernel, record, direction) else { continue };
            let (of_other, by_ours) = lost(&embedded, other, direction).expect("it begins between two packets");
            // A transport sends more or fewer packets as the clock has it, and at the end some are under way; of
            // those that both carried the same are lost.
            let both = offered.min(of_other).saturating_sub(5);
            let until = |lost: BTreeSet<u64>| lost.into_iter().filter(|number| *number < both).collect::<Vec<_>>();
            let (by_kernel, by_ours) = (until(by_kernel), until(by_ours));
            assert_eq!(by_kernel, by_ours, "{id}, {direction}: of {both} packets");
            losses += by_kernel.len();
        }
    }
    assert!(losses > 0, "nothing was lost in any trial");
}

#[test]
fn a_link_on_netem_has_status_and_nests() {
    if !can_emulate(test!()) || !has("ping", test!()) || !carries("netem", test!()) {
        return;
    }
    let program = env!("CARGO_BIN_EXE_samepath");
    let inner = format!("{program} link --quiet --backend netem --rtt 30ms -- ping -c 3 198.18.0.2");
    let script = format!("{inner} && {program} link status --json");
    let output = run(&["link", "--backend", "netem", "--rtt", "20ms", "--", "sh", "-c", &script]);
    expect_status(&output, 0);
    let said = stdout(&output);
    let times = said.lines().filter_map(|line| line.split("time=").nth(1)?.split(' ').next()?.parse::<f64>().ok());
    let times: Vec<f64> = times.collect();
    assert!(times.len() == 3 && times.iter().all(|time| *time >= 50.0), "{said}");
    let status: serde_json::Value = serde_json::from_str(&said[said.find("\n{").expect("JSON")..]).expect("JSON");
    for direction in ["up", "down"] {
        let counts = &status["counters"][direction];
        assert_eq!((counts["packets"].as_u64(), counts["delivered_packets"].as_u64()), (Some(3), Some(3)), "{status}");
    }
}

#[test]
fn a_run_without_emulation_says_what_there_is() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let text =
        SMALL.replace("axes =", "# axes =").replace(r#"arms = ["tcp", "tls", "quic", "udp"]"#, r#"arms = ["tcp"]"#);
    let (path, out) = (file(dir.path(), "none.toml", &text), dir.path().join("run"));
    let refused = run(&["run", &path, "--backend", "none", "--out", out.to_str().unwrap()]);
    expect_status(&refused, 2);
    assert!(stderr(&refused).contains("a bare cable has no conditions") && !out.exists(), "{}", stderr(&refused));

    let unshaped = |line| if str::starts_with(line, "link =") { "link = {}" } else { line };
    let bare = text.lines().map(unshaped).collect::<Vec<_>>().join("\n");
    let path = file(dir.path(), "bare.toml", &lossy(&bare));
    let with_capture = run(&["run", &path, "--backend", "none", "--capture", "--out", out.to_str().unwrap()]);
    expect_status(&with_capture, 2);
    let output = run(&["run", &path, "--backend", "none", "--out", out.to_str().unwrap()]);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}\n{}", stdout(&output), stderr(&output));
    for record in Run::open(&out).unwrap().trials() {
        let link = record.link.as_ref().expect("a link gives account");
        for probes in [&link.before, &link.after] {
            for probes in [&probes.as_ref().unwrap().up, &probes.as_ref().unwrap().down] {
                assert_eq!((probes.sent, probes.delay_asked_ns, probes.rate_asked), (20, 0, None));
                assert!(probes.delay_p50_ns.is_some_and(|p50| p50 > 0), "{probes:?}");
            }
        }
        // Without conditions no delay can be wrong.
        if let Outcome::Void { reasons } = &record.outcome {
            assert!(reasons.iter().all(|reason| reason.kind != VoidKind::ProbeDelay), "{reasons:?}");
        }
    }
}
