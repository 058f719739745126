//! Operations that need several services: what they must take by the ways to them, on every arm; and what cannot be.

use samepath_model::record::Instant;
use samepath_model::workload::CallOrder;
use samepath_model::{Direction, Workload};

use crate::support::{can_emulate, expect_status, figure, file, late, run, stderr, stdout, test, trials};

/// Every arm.
const ARMS: &str = "arms = ['tcp', 'tcp/per-stream', 'tcp/per-message', 'tls', 'tls/per-stream', 'tls/per-message', \
                    'quic', 'quic/shared', 'quic/per-message', 'quic/datagram', 'udp']";

/// Three services, the second of which stands 40 ms farther away.
const THREE: &str = "workload = { kind = 'fan-out', services = 3, outstanding = 1, count = 7, service = '5ms', \
                     extra-rtts = ['0s', '40ms'] }\nlink = { rtt = '20ms', rate = '100Mbit' }";

#[test]
fn sequence_takes_the_sum_and_parallel_the_slowest() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let run =
        trials(dir.path(), "services", &format!("{ARMS}\n{THREE}\naxes = {{ order = ['parallel', 'sequence'] }}"));
    assert_eq!(run.trials().len(), 22);
    for record in run.trials() {
        let (id, trial) = (&record.trial.id, &record.trial);
        let Workload::FanOut(fan_out) = &trial.workload else { unreachable!("it is what was asked") };
        assert_eq!(figure(record, "answered_percent"), 100.0, "{id}");
        // An exchange with a connection of its own takes a handshake first.
        let handshake = if trial.workload.connections(trial.arm) == 0 { trial.arm.handshake_round_trips } else { None };
        let rounds = f64::from(1 + handshake.unwrap_or(0));
        let calls: Vec<f64> = [20.0, 60.0, 20.0].iter().map(|rtt| rounds * rtt + 5.0).collect();
        let expected: f64 = match fan_out.order {
            CallOrder::Parallel => calls[1],
            CallOrder::Sequence => calls.iter().sum(),
        };
        let took = figure(record, "latency_p50_ms");
        let most = expected + 3.0 * (2.0 + rounds * late(record));
        assert!((expected..=most).contains(&took), "{id}: {took} ms, not {expected} ms");
        let slowest = ["slowest_service", "slowest_service_percent"].map(|name| figure(record, name));
        // Each packet is attributed to the message that it carried, on its own connection.
        let blocking = record.summary.as_ref().unwrap().blocking.as_ref().unwrap_or_else(|| panic!("{id}"));
        assert_eq!((blocking.messages, blocking.intact, blocking.intact_blocked), (42, 42, 0), "{id}");
        assert!(slowest[0] == 1.0 && slowest[1] > 80.0, "{id}: {slowest:?}");
    }
}

#[test]
fn a_farther_service_has_its_own_way() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let run = trials(dir.path(), "ways", &format!("arms = ['tcp', 'tls', 'quic', 'udp']\n{THREE}"));
    for record in run.trials() {
        let id = &record.trial.id;
        // The shortest time on the link of the packets of each connection, each way, by the server's port.
        let mut shortest: std::collections::BTreeMap<(u16, Direction), Instant> = Default::default();
        for packet in run.ledger(id).unwrap().expect("a ledger") {
            let packet = packet.unwrap();
            let (Some(left), Some(0)) = (packet.left, packet.flow) else { continue };
            let port = if packet.direction == Direction::Up { packet.destination_port } else { packet.source_port };
            let propagation = left - packet.arrived - packet.queued as i64;
            let least = shortest.entry((port, packet.direction)).or_insert(Instant::MAX);
            *least = propagation.min(*least);
        }
        let ways: Vec<i64> = shortest.values().map(|least| least / 1_000_000).collect();
        assert_eq!(shortest.len(), 6, "{id}: {shortest:?}: three servers, both ways");
        let expected = [10, 10, 30, 30, 10, 10];
        let fits = ways.iter().zip(expected).all(|(way, expected)| (expected..expected + 5).contains(way));
        assert!(fits, "{id}: {shortest:?}");
    }
}

#[test]
fn services_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("schema = 1\nname = 'no'\nquestion = '?'\n[[part]]\nname = 'no'\narms = ['tcp']\n{THREE}\n");
    for (from, to, backend, told) in [
        ("services = 3", "services = 0", "auto", ["`services` is 0", "between 1 and 100"]),
        ("services = 3", "services = 101", "auto", ["`services` is 101", "between 1 and 100"]),
        ("'40ms'", "'3min'", "auto", ["`extra-rtts` has 180s", "at most 60s each way"]),
        ("", "", "netem", ["`netem` has one delay for all", "--backend auto"]),
        ("", "", "none", ["no conditions", "leave out `--backend none`"]),
        (
            "workload = {",
            "workload = { kind = 'mix', of = [{ kind = 'rpc', outstanding = 1, count = 1 }, {",
            "auto",
            ["`fan-out`", "`competing-flow`"],
        ),
    ] {
        let mut changed = if from.is_empty() { text.clone() } else { text.replacen(from, to, 1) };
        if to.contains("mix") {
            changed = changed.replacen("'40ms'] }", "'40ms'] }] }", 1);
        }
        let out = dir.path().join("run");
        let path = file(dir.path(), "no.toml", &changed);
        let output = run(&["run", &path, "--backend", backend, "--out", out.to_str().unwrap()]);
        expect_status(&output, 2);
        assert!(told.iter().all(|told| stderr(&output).contains(told)), "{}", stderr(&output));
        assert!(!out.exists(), "nothing half-written");
    }
}

#[test]
fn its_report_sets_one_call_beside_the_whole() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = "arms = ['tcp', 'quic']\nworkload = { kind = 'fan-out', services = 5, per-second = 20, arrivals = 'poisson', \
                count = 120, service = '2ms', slow = '5%', slow-service = '100ms' }\n\
                link = { rtt = '20ms', rate = '20Mbit' }";
    let opened = trials(dir.path(), "report", part);
    for record in opened.trials() {
        let id = &record.trial.id;
        // Both drew the same: one call in twenty is slow, and so 23 % of the operations of five, within 3.9 deviations.
        let calls = ["call_p50_ms", "call_p99_ms"].map(|name| figure(record, name));
        assert!(calls[0] < 40.0 && calls[1] >= 120.0, "{id}: {calls:?}");
        let beyond = opened.messages(id).unwrap();
        let Workload::FanOut(fan_out) = &record.trial.workload else { unreachable!("it is what was asked") };
        let fanned = samepath_model::fanned::Fanned::of(fan_out, &beyond);
        let met = fanned.with_a_call_beyond(110_000_000).unwrap();
        assert!((0.08..0.38).contains(&met), "{id}: {met}");
    }
    let dir = opened.dir().to_str().unwrap();
    let output = run(&["report", dir, "--verify"]);
    expect_status(&output, 0);
    let page = std::fs::read_to_string(opened.dir().join("report/index.html")).unwrap();
    assert!(page.contains("How much later than one call is the whole?"));
    assert!(page.contains("of 5 services each, met such a call"), "{}", stdout(&output));
}
