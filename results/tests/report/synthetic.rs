//! A run made up, the same each time: plausible delays, losses and rates, so that charts and page
//! have something like a real run to show. It is no measurement and is kept in no place where it
//! could be taken for one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::time::{Duration, SystemTime};

use samepath_model::record::{
    DirectionReport, DropCause, End, EndReport, Lateness, LinkReport, MessageRecord, Metric, Outcome, PacketRecord,
    PlayReport, RECORD_SCHEMA, SERIES_BIN_NANOS, SeriesPoint, Setting, TrialRecord,
};
use samepath_model::{Direction, Experiment, Mapping, Transport, Trial, Workload};
use samepath_results::{Manifest, Run, blocking, summary};

use crate::carried;

pub(crate) const MS: i64 = 1_000_000;

/// The experiment that the lab itself asks, in small.
pub(crate) const HEAD_OF_LINE: &str = r#"
schema = 1
name = "head-of-line"
question = "What does one lost packet hold up, and what is left of the throughput?"
explanation = "On one ordered byte stream every later message waits for the lost one; on streams of their own only the messages of the same stream do."
repeat = 3

[[part]]
name = "messages"
arms = ["tcp", "tls", "quic", "quic/shared", "udp"]
workload = { kind = "messages", streams = 8, size = "1000B", spacing = "40ms", count = 100 }
link = { rtt = "60ms", rate = "20Mbit" }
axes = { loss = ["0%", "1%", "3%"] }

[[part]]
name = "bulk"
arms = ["tcp", "tls", "quic", "quic/shared", "udp"]
workload = { kind = "bulk", streams = 4, duration = "4s" }
link = { rtt = "60ms", rate = "20Mbit" }
axes = { loss = ["0%", "1%", "3%"] }
"#;

/// A uniform number in [0, 1) that depends on nothing but its arguments (SplitMix64's finaliser).
pub(crate) fn uniform(seed: u64, stream: u64, index: u64) -> f64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ index;
    for factor in [0xbf58_476d_1ce4_e5b9u64, 0x94d0_49bb_1331_11eb] {
        z = (z ^ (z >> 30)).wrapping_mul(factor);
    }
    (z ^ (z >> 31)) as f64 / 2f64.powi(64)
}

/// What becomes of a trial; by default every one counts.
pub(crate) type Fate = fn(&Trial) -> Outcome;

pub(crate) fn all_done(_: &Trial) -> Outcome {
    Outcome::Done
}

/// A run of which no trial has been run.
pub(crate) fn empty(dir: &Path, experiment: &str) -> Run {
    let experiment = Experiment::parse(experiment).expect("the experiment is right");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let command = ["samepath", "run", "head-of-line", "--seed", "1"].map(str::to_owned);
    let mut manifest = Manifest::capture(&command, &experiment, Some("embedded"), now);
    // The machine that runs the test must not show in its bytes.
    manifest.host = Default::default();
    Run::create(dir, &experiment, manifest).expect("a new directory")
}

/// Writes the run into `dir`, its trials in a shuffled order, as the harness does.
pub(crate) fn run(dir: &Path, experiment: &str, fate: Fate) -> Run {
    let run = empty(dir, experiment);
    let mut trials = run.planned().to_vec();
    trials.sort_by_key(|t| (uniform(t.seed, 77, t.id.0.bytes().map(u64::from).sum()).to_bits(), t.id.clone()));
    play_all(run, &trials, fate)
}

/// The same run, its trials in the order of the plan.
pub(crate) fn run_in_order(dir: &Path, experiment: &str, fate: Fate) -> Run {
    let run = empty(dir, experiment);
    let trials = run.planned().to_vec();
    play_all(run, &trials, fate)
}

fn play_all(mut run: Run, trials: &[Trial], fate: Fate) -> Run {
    for trial in trials {
        let record = play(&run, trial, fate(trial));
        run.append(&record).expect("the line is written");
    }
    run.seal().expect("checksums");
    Run::open(run.dir()).expect("what was written can be read")
}

fn play(run: &Run, trial: &Trial, outcome: Outcome) -> TrialRecord {
    let mut record = TrialRecord {
        competing: Vec::new(),
        restarts: Vec::new(),
        session_failures: Vec::new(),
        schema: RECORD_SCHEMA,
        trial: trial.clone(),
        attempt: 1,
        outcome,
        started_unix: 1_790_000_000.0,
        wall_ms: 5_100.0,
        set_up_ms: Some(80.0),
        tear_down_ms: Some(25.0),
        summary: None,
        link: None,
        client: None,
        server: None,
        epoch_ns: Some(1_000_000_000),
        clock_error_ns: Some(0),
        evidence: None,
    };
    if matches!(record.outcome, Outcome::Failed { .. }) {
        return record;
    }
    let (mut report, ledger) = match &trial.workload {
        Workload::Messages(_) if trial.attribution => carried::messages(trial, empty_report(trial)),
        Workload::Messages(_) => messages(trial),
        Workload::Bulk(_) => bulk(trial),
        other => unreachable!("the synthetic run has no `{}`", other.name()),
    };
    ends(trial, &mut report);
    let link = link_report(&ledger);
    let mut figures = summary::summarise(trial, &report, Some(&link));
    if trial.attribution {
        let ledger = ledger.iter().cloned().map(Ok::<_, Infallible>);
        let observations = report.observations.iter().copied().map(Ok);
        let analysis = blocking::analyse(trial, report.messages.clone(), &report.layout, ledger, observations);
        let analysis = analysis.expect("made-up attribution is whole");
        assert_eq!(analysis.faults(), Vec::new(), "{}", trial.id);
        figures.blocking = analysis.figures();
    }
    record.summary = Some(figures);
    record.link = Some(link);
    record.client = Some(report.client.clone());
    record.server = Some(report.server.clone());
    let mut writer = run.begin_trial(&trial.id).expect("a trial's directory");
    writer.set_epoch(report.epoch_ns);
    writer.write_messages(report.messages.clone()).expect("messages");
    writer.write_series(report.series.clone()).expect("series");
    if trial.attribution {
        writer.write_layout(report.layout.iter().copied()).expect("layout");
        writer.write_observations(report.observations.iter().copied()).expect("observations");
    }
    writer.write_ledger(ledger.into_iter().map(Ok::<_, Infallible>)).expect("ledger");
    writer.finish().expect("the trial is in its place");
    record
}

fn empty_report(trial: &Trial) -> PlayReport {
    let rtt = trial.link.rtt().as_nanos();
    let (handshake, first) = match trial.arm.transport {
        Transport::Tcp => (Some(rtt), 2 * rtt),
        Transport::Tls => (Some(2 * rtt + 900_000), 3 * rtt + 1_400_000),
        Transport::Quic => (Some(rtt + 1_100_000), 2 * rtt + 1_500_000),
        Transport::Udp => (None, rtt),
    };
    let own = (uniform(trial.seed, 5, rtt) * 4e5) as u64 + 150_000;
    PlayReport {
        epoch_ns: 1_000_000_000,
        clock_error_ns: 0,
        name_lookup: None,
        handshake_ns: handshake.map(|ns| ns + own),
        connecting: 0,
        first_byte_ns: Some(first + 2 * own),
        failure: None,
        complete: true,
        messages: Vec::new(),
        series: Vec::new(),
        layout: Vec::new(),
        observations: Vec::new(),
        client: EndReport::default(),
        server: EndReport::default(),
    }
}

fn packet(number: u64, arrived: i64, payload: u32, dropped: bool) -> PacketRecord {
    PacketRecord {
        flow: None,
        direction: Direction::Down,
        number,
        duplicate: false,
        arrived,
        size: payload + 52,
        protocol: 6,
        source_port: 4433,
        destination_port: 50_000,
        payload,
        tcp_seq: None,
        tcp_flags: 0,
        tag: None,
        queued: 424_000,
        corrupted: false,
        congestion_marked: false,
        bypassed: false,
        left: (!dropped).then_some(arrived + 30 * MS + 440_000),
        dropped: dropped.then_some(DropCause::Loss),
    }
}

/// Messages: a loss costs its message an RTT and a bit, and whatever waits behind it in order.
fn messages(trial: &Trial) -> (PlayReport, Vec<PacketRecord>) {
    let mut report = empty_report(trial);
    let mut ledger = Vec::new();
    let p = trial.link.down.loss.rate();
    let (one_way, rtt) = (trial.link.down.delay.as_nanos() as i64, trial.link.rtt().as_nanos() as i64);
    let reliable = trial.arm.is_reliable;
    let mut ready: BTreeMap<u16, i64> = BTreeMap::new();
    for (i, message) in trial.workload.released_by_the_clock(End::Server, trial.seed).into_iter().enumerate() {
        let released = message.at.as_nanos() as i64;
        let noise = (uniform(trial.seed, 2 + trial.arm.transport as u64, i as u64) * 3e5) as i64 + 100_000;
        // The same losses for all arms: the draw does not depend on the arm.
        let lost = uniform(trial.seed, 1, i as u64) < p;
        ledger.push(packet(ledger.len() as u64, released + 50_000, 1008, lost));
        let mut arrived = released + one_way + 460_000 + noise;
        if lost && reliable {
            let again = uniform(trial.seed, 9, i as u64) < p;
            arrived += rtt + rtt / 4 + if again { 4 * rtt } else { 10 * MS };
            ledger.push(packet(ledger.len() as u64, released + rtt + 15 * MS, 1008, again));
        }
        let domain = match (trial.arm.transport, trial.arm.mapping) {
            (_, Mapping::Shared) => Some(0),
            (Transport::Udp, _) => None,
            _ => Some(message.id.stream),
        };
        let delivered = match domain {
            None => (!lost).then_some(arrived),
            Some(domain) => {
                let at = ready.entry(domain).or_insert(0);
                *at = (*at).max(arrived);
                Some(*at)
            }
        };
        let size = message.length.bytes().map_or(0, |s| s.bytes());
        report.messages.push(MessageRecord {
            flow: 0,
            direction: Direction::Down,
            released_by: None,
            deadline: None,
            attempt: 1,
            cancelled: None,
            stream: message.id.stream,
            seq: message.id.seq,
            size,
            released,
            sent: Some(released + 20_000),
            delivered,
            received: if delivered.is_some() { size } else { 0 },
            coded: None,
        });
    }
    report.complete = report.messages.iter().all(|m| m.delivered.is_some());
    (report, ledger)
}

/// Bulk: a slow start, then a level that the loss sets, wavering.
fn bulk(trial: &Trial) -> (PlayReport, Vec<PacketRecord>) {
    let mut report = empty_report(trial);
    let p = trial.link.down.loss.rate();
    let rate = trial.link.down.rate.map_or(1e8, |r| r.bits_per_second() as f64);
    let rtt = trial.link.rtt().as_secs_f64();
    let level = match trial.arm.transport {
        Transport::Udp => rate * 0.96 * (1.0 - p),
        _ if p == 0.0 => rate * 0.955,
        Transport::Quic => (1.45 * 1448.0 * 8.0 / (rtt * p.sqrt())).min(rate * 0.95),
        _ => (1.3 * 1448.0 * 8.0 / (rtt * p.sqrt())).min(rate * 0.95),
    };
    let end = trial.workload.nominal_duration().map_or(0, |d| d.as_nanos() as i64);
    let start = report.first_byte_ns.unwrap_or(0) as i64;
    let mut ledger = Vec::new();
    let mut received = 0.0;
    for bin in 0..end / SERIES_BIN_NANOS {
        let at = bin * SERIES_BIN_NANOS;
        let since = (at - start) as f64 / 1e9;
        let ramp = if trial.arm.transport == Transport::Udp { 1.0 } else { (2f64.powf(since / rtt) * 0.1).min(1.0) };
        let wave = 1.0 + 0.18 * ((bin as f64) / 37.0 + trial.seed as f64 * 1.7).sin() * f64::from(p > 0.0);
        let noise = 0.96 + 0.08 * uniform(trial.seed, 30 + trial.arm.transport as u64, bin as u64);
        let bits = if since < 0.0 { 0.0 } else { (level * ramp * wave * noise).min(rate * 0.96) };
        let bytes = (bits / 8.0 * SERIES_BIN_NANOS as f64 / 1e9).floor();
        received += bytes;
        report.series.push(SeriesPoint { flow: 0, at, end: End::Client, metric: Metric::DeliveredBytes, value: bytes });
        for i in 0..(received / 1448.0) as u64 - (received - bytes).max(0.0) as u64 / 1448 {
            let lost = uniform(trial.seed, 40, bin as u64 * 1000 + i) < p;
            ledger.push(packet(ledger.len() as u64, at + i as i64 * 100_000, 1448, lost));
        }
    }
    for message in trial.workload.released_by_the_clock(End::Server, trial.seed) {
        let share = received as u64 / u64::from(trial.workload.streams());
        report.messages.push(MessageRecord {
            flow: 0,
            direction: Direction::Down,
            released_by: None,
            deadline: None,
            attempt: 1,
            cancelled: None,
            stream: message.id.stream,
            seq: 0,
            size: share,
            released: 0,
            sent: Some(end),
            delivered: Some(end),
            received: share,
            coded: None,
        });
    }
    (report, ledger)
}

fn ends(trial: &Trial, report: &mut PlayReport) {
    let bytes: u64 = report.messages.iter().map(|m| m.received).sum();
    let dear = match trial.arm.transport {
        Transport::Quic => 9.0,
        Transport::Tls => 3.0,
        _ => 1.6,
    };
    let end = |share: f64, sent: u64, received: u64| EndReport {
        cpu_user_ns: (bytes as f64 * dear * share) as u64,
        cpu_system_ns: (bytes as f64 * dear * share * 0.4) as u64,
        wall_ns: 5_000_000_000,
        retransmissions: trial.arm.is_reliable.then_some(12),
        bytes_sent: sent,
        bytes_received: received,
        settings: vec![
            setting(&format!("{}.congestion-control", trial.arm.transport), Some("cubic"), "cubic"),
            setting(&format!("{}.receive-buffer", trial.arm.transport), Some("8388608"), "425984"),
        ]
        .into(),
        ..EndReport::default()
    };
    let offered: u64 = report.messages.iter().map(|m| m.size).sum();
    report.client = end(0.6, 0, bytes);
    report.server = end(1.0, offered, 0);
}

fn setting(name: &str, asked: Option<&str>, effective: &str) -> Setting {
    Setting::new(name, asked.map(Into::into), effective)
}

fn link_report(ledger: &[PacketRecord]) -> LinkReport {
    let dropped = ledger.iter().filter(|p| p.dropped.is_some()).count() as u64;
    let packets = ledger.len() as u64;
    let down = DirectionReport {
        packets,
        bytes: ledger.iter().map(|p| u64::from(p.size)).sum(),
        delivered_packets: packets - dropped,
        delivered_bytes: ledger.iter().filter(|p| p.dropped.is_none()).map(|p| u64::from(p.size)).sum(),
        dropped: BTreeMap::from([("loss".to_owned(), dropped)]),
        largest_packet: 1500,
        ..DirectionReport::default()
    };
    let up = DirectionReport {
        packets: packets / 2,
        bytes: packets / 2 * 52,
        delivered_packets: packets / 2,
        delivered_bytes: packets / 2 * 52,
        ..DirectionReport::default()
    };
    LinkReport {
        backend: "embedded-tun".into(),
        up,
        down,
        lateness: Lateness {
            histogram: Lateness::bins([(9_000, packets - packets / 50), (74_000, packets / 50), (410_000, 1)]),
            count: packets,
            p50_ns: 9_000,
            p99_ns: 74_000,
            max_ns: 410_000,
        },
        device_drops: 0,
        receive_buffer_drops: 0,
        realtime: true,
        precedence: Default::default(),
        cpu_ns: 80_000_000,
        up_ns: 5_000_000_000,
        settings: vec![setting("net.ipv4.tcp_sack", Some("1"), "1")].into(),
        steal: None,
        draws_began_ns: None,
        before: None,
        after: None,
    }
}
