//! A small run, for tests: records as the harness makes them, with figures that can be checked by hand.

use std::path::Path;
use std::time::SystemTime;

use samepath_model::attribution::{LayoutRecord, ObservationRecord, Tag};
use samepath_model::experiment::{Experiment, ExperimentSpec, Trial};
use samepath_model::record::{
    Coded, DirectionReport, DropCause, End, EndReport, FlowRecord, LinkReport, MessageRecord, Metric, Outcome,
    PacketRecord, PlayReport, RECORD_SCHEMA, SeriesPoint, Settings, TrialRecord,
};
use samepath_model::{Direction, FlowId, Transport};

use crate::manifest::Manifest;
use crate::store::Run;
use crate::summary::summarise;

pub(crate) const EXPERIMENT: &str = r#"
schema = 1
name = "small"
question = "What does one lost packet hold up?"
repeat = 3
[[part]]
name = "messages"
arms = ["tcp", "quic", "udp"]
workload = { kind = "messages", streams = 4, size = "1000B", spacing = "40ms", count = 25, warmup = "1MB" }
link = { rtt = "60ms", rate = "20Mbit" }
axes = { loss = ["0%", "1%"] }
[[part]]
name = "bulk"
arms = ["tcp", "quic"]
workload = { kind = "bulk", bytes = "1MB" }
link = { rtt = "60ms", rate = "20Mbit" }
"#;

pub(crate) fn experiment() -> Experiment {
    Experiment::parse(EXPERIMENT).unwrap()
}

/// The same with other seeds: 1, 2, …, `repeat`.
pub(crate) fn experiment_of(repeat: u32) -> Experiment {
    ExperimentSpec { repeat: Some(repeat), ..experiment().into_spec() }.resolve().unwrap()
}

pub(crate) fn manifest(experiment: &Experiment) -> Manifest {
    let command = ["samepath", "run"].map(String::from);
    Manifest { debug_build: false, ..Manifest::capture(&command, experiment, Some("tun"), SystemTime::UNIX_EPOCH) }
}

/// A run of the small experiment with all its trials, each message later by `slower` times.
pub(crate) fn run(dir: &Path, experiment: &Experiment, slower: f64) -> Run {
    let mut run = Run::create(dir, experiment, manifest(experiment)).unwrap();
    for trial in experiment.trials() {
        add(&mut run, trial, &play(trial, slower));
    }
    run
}

/// The same without the trials' files, for what looks at their lines alone.
pub(crate) fn lines(dir: &Path, experiment: &Experiment, slower: f64) -> Run {
    let mut run = Run::create(dir, experiment, manifest(experiment)).unwrap();
    for trial in experiment.trials() {
        run.append(&record(trial, &play(trial, slower))).unwrap();
    }
    run
}

/// Writes a trial's files and its line.
pub(crate) fn add(run: &mut Run, trial: &Trial, play: &PlayReport) {
    let mut writer = run.begin_trial(&trial.id).unwrap();
    writer.set_epoch(play.epoch_ns);
    writer.write_messages(play.messages.clone()).unwrap();
    writer.write_series(play.series.clone()).unwrap();
    writer.write_ledger(packets(100).map(Ok::<_, String>)).unwrap();
    if trial.attribution {
        writer.write_layout(layout(50)).unwrap();
        writer.write_observations(observations(80)).unwrap();
    }
    writer.finish().unwrap();
    run.append(&record(trial, play)).unwrap();
}

fn competing(trial: &Trial, flow: FlowId) -> FlowRecord {
    let alone = trial.of_flow(flow);
    let play = play(&alone, 1.0);
    let summary = summarise(&alone, &play, Some(&link()));
    FlowRecord { name: trial.competing(flow).unwrap().name.clone(), summary, client: play.client, server: play.server }
}

pub(crate) fn record(trial: &Trial, play: &PlayReport) -> TrialRecord {
    let link = link();
    TrialRecord {
        restarts: Vec::new(),
        session_failures: Vec::new(),
        competing: trial.flows().skip(1).map(|flow| competing(trial, flow)).collect(),
        schema: RECORD_SCHEMA,
        trial: trial.clone(),
        attempt: 1,
        outcome: Outcome::Done,
        started_unix: 1.7e9,
        wall_ms: 1500.25,
        set_up_ms: Some(80.0),
        tear_down_ms: Some(20.0),
        summary: Some(summarise(trial, play, Some(&link))),
        link: Some(link),
        client: Some(play.client.clone()),
        server: Some(play.server.clone()),
        epoch_ns: Some(play.epoch_ns),
        clock_error_ns: Some(play.clock_error_ns),
        evidence: None,
    }
}

/// Messages that take half an RTT and, one in ten, another RTT. On `udp` those never arrive.
pub(crate) fn play(trial: &Trial, slower: f64) -> PlayReport {
    let lossy = trial.axes.get("loss").is_some_and(|loss| loss != "0%");
    let reliable = trial.arm.is_reliable;
    // A little of the seed in every delay, so that the seeds have a spread.
    let jitter = 1.0 + 0.01 * trial.seed as f64;
    let ms = |ms: f64| (ms * 1e6 * slower * jitter) as i64;
    let messages: Vec<_> = trial
        .workload
        .released_by_the_clock(End::sender(trial.workload.direction()), trial.seed)
        .into_iter()
        .enumerate()
        .map(|(i, message)| {
            let released = i64::try_from(message.at.as_nanos()).unwrap();
            let hit = lossy && i % 10 == 7;
            let size = message.length.bytes().map_or(0, |size| size.bytes());
            let delay = ms(if size > 10_000 { 500.0 } else { 30.0 }) + if hit { ms(60.0) } else { 0 };
            let arrives = reliable || !hit;
            MessageRecord {
                flow: 0,
                direction: message.id.direction,
                released_by: None,
                deadline: None,
                attempt: 1,
                cancelled: None,
                stream: message.id.stream,
                seq: message.id.seq,
                size,
                released,
                sent: Some(released + 1_000),
                delivered: arrives.then_some(released + delay),
                received: if arrives { size } else { 0 },
                coded: (i % 10 == 3).then_some(Coded {
                    content: 5 * size,
                    compression_cpu_ns: 70_000,
                    decompression_cpu_ns: arrives.then_some(9_000),
                }),
            }
        })
        .collect();
    let received = messages.iter().map(|m| m.received).sum();
    let series = (0..50).map(|i| SeriesPoint {
        flow: 0,
        at: i * 10_000_000,
        end: End::Client,
        metric: Metric::DeliveredBytes,
        value: received as f64 / 50.0,
    });
    let rtts = reliable.then_some(if trial.arm.transport == Transport::Tcp { 1 } else { 2 });
    PlayReport {
        epoch_ns: 1_000_000_000 + trial.seed,
        clock_error_ns: 0,
        name_lookup: None,
        handshake_ns: rtts.map(|n| n * 60_100_000),
        connecting: 0,
        first_byte_ns: Some(120_000_000),
        complete: reliable || !lossy,
        failure: None,
        series: series.collect(),
        layout: Vec::new(),
        observations: Vec::new(),
        client: EndReport { cpu_user_ns: 2_000_000, bytes_received: received, wall_ns: 1, ..EndReport::default() },
        server: EndReport {
            cpu_system_ns: 1_000_000,
            bytes_sent: messages.iter().map(|m| m.size).sum(),
            retransmissions: reliable.then_some(if lossy { 3 } else { 0 }),
            ..EndReport::default()
        },
        messages,
    }
}

pub(crate) fn link() -> LinkReport {
    let down = DirectionReport {
        packets: 100,
        bytes: 150_000,
        dropped: [("loss".to_owned(), 2)].into(),
        ..DirectionReport::default()
    };
    LinkReport {
        backend: "embedded-tun".into(),
        up: DirectionReport { packets: 50, bytes: 2_000, ..DirectionReport::default() },
        down,
        lateness: Default::default(),
        device_drops: 0,
        receive_buffer_drops: 0,
        realtime: false,
        precedence: Default::default(),
        cpu_ns: 1,
        up_ns: 2,
        settings: Settings::default(),
        steal: None,
        draws_began_ns: None,
        before: None,
        after: None,
    }
}

/// The tag of the fixture's packet of this number.
pub(crate) fn tag(number: u64) -> Tag {
    let mut tag = [0; 16];
    tag[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    tag[8..].copy_from_slice(&number.to_be_bytes());
    tag
}

/// Places of so many runs of bytes, with every field in use.
pub(crate) fn layout(n: u64) -> impl Iterator<Item = LayoutRecord> {
    (0..n).map(|number| LayoutRecord {
        direction: if number % 5 == 0 { Direction::Up } else { Direction::Down },
        port: 65_535 - (number % 3) as u16,
        domain: if number % 7 == 0 { u64::MAX - number } else { number * 4 + 3 },
        start: number * 1016,
        end: number * 1016 + 1016,
        unit_start: (number * 1016).saturating_sub(5),
        unit_end: number * 1016 + 1033,
        stream: (number % 4096) as u16,
        seq: number.checked_sub(10).map(|seq| seq as u32),
    })
}

/// So many observations, with every field in use.
pub(crate) fn observations(n: u64) -> impl Iterator<Item = ObservationRecord> {
    (0..n).map(|number| ObservationRecord {
        end: if number % 2 == 0 { End::Client } else { End::Server },
        direction: if number % 4 == 0 { Direction::Up } else { Direction::Down },
        at: number as i64 * 1_000 - 50_000,
        port: 40_000,
        number: number / 2 * 3,
        tag: tag(number / 2),
        domain: (number % 6 != 0).then_some(number % 6 * 4 + 3),
        start: number * 1400,
        end_offset: number * 1400 + 1400,
    })
}

/// So many packets, with every field and every cause in use.
pub(crate) fn packets(n: u64) -> impl Iterator<Item = PacketRecord> {
    (0..n).map(|number| {
        let dropped = (number % 10 == 3).then(|| DropCause::ALL[(number as usize / 10) % DropCause::ALL.len()]);
        let tcp = number % 3 == 0;
        PacketRecord {
            flow: (number % 5 != 0).then_some((number % 3) as u8),
            direction: if number % 4 == 0 { Direction::Up } else { Direction::Down },
            number,
            duplicate: number % 50 == 49,
            arrived: number as i64 * 12_345 - 1_000_000,
            size: 1500 - (number % 700) as u32,
            protocol: if tcp { 6 } else { 17 },
            source_port: 4433,
            destination_port: 65_535 - (number % 8) as u16,
            payload: 1448,
            tcp_seq: tcp.then_some((number as u32).wrapping_mul(1448).wrapping_sub(5000)),
            tcp_flags: if tcp { 0x90 } else { 0 },
            tag: (!tcp).then(|| tag(number)),
            queued: number * 7 % 100_000,
            corrupted: number % 97 == 0,
            congestion_marked: number % 89 == 0,
            bypassed: number % 53 == 0,
            left: dropped.is_none().then_some(number as i64 * 12_345 + 29_000_000),
            dropped,
        }
    })
}
