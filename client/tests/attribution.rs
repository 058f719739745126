//! What both ends note for the attribution of packets to messages, played over loopback: every byte of every
//! message has its place, and the two ends of a QUIC connection see the same packets.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use samepath_client::{Target, play};
use samepath_model::arm::{Arm, Connections, Mapping, OrderingDomain, Transport};
use samepath_model::attribution::{LayoutRecord, ObservationRecord, Tag, datagram_domain};
use samepath_model::link::Direction;
use samepath_model::record::{End, PlayReport};
use samepath_model::tuning::Tuning;
use samepath_model::units::{BitRate, ByteCount, Duration};
use samepath_model::workload::{Bulk, Messages, Workload};
use samepath_server::{Limits, Server, ServerConfig, Shutdown};
use samepath_transport::Plan;
use samepath_transport::frame::HEADER_LEN;
use samepath_transport::identity::Pin;
use tokio::sync::watch;

const TOKEN: &str = "the token of this test";

/// Plays these on one server, in turn.
async fn played(plans: impl IntoIterator<Item = Plan>) -> Vec<(Plan, PlayReport)> {
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let server =
        Server::bind(ServerConfig { listen, token: TOKEN.into(), limits: Limits::default(), servers: 1, book: None })
            .unwrap();
    let address = server.address();
    let target =
        Target { control: vec![address], data: None, token: TOKEN.into(), pin: Pin::Exactly(server.fingerprint()) };
    let (_running, stage) = watch::channel(Shutdown::Running);
    let serving = tokio::spawn(server.serve(stage, |_| {}));
    let mut reports = Vec::new();
    for plan in plans {
        let report = play(&target, &plan, |_| {}).await.unwrap_or_else(|error| panic!("{}: {error}", plan.arm)).report;
        assert!(report.complete, "{}", plan.arm);
        reports.push((plan, report));
    }
    serving.abort();
    reports
}

fn plan(arm: Arm, workload: Workload) -> Plan {
    Plan {
        arm,
        workload,
        tuning: Tuning::default(),
        seed: 7,
        mtu: 1500,
        rtt: Duration::ZERO,
        rate: None,
        time_limit: Duration::from_secs(60),
        attribution: true,
    }
}

fn workloads() -> Vec<Workload> {
    let mut all = Vec::new();
    for direction in Direction::BOTH {
        for (streams, size, count) in [(4, 1000, 20), (3, 50_001, 5)] {
            all.push(Workload::Messages(Messages {
                direction,
                streams,
                size: ByteCount::new(size),
                spacing: Duration::from_millis(2),
                count: Some(count),
                warmup: Some(ByteCount::new(100_001)),
                ..Messages::default()
            }));
        }
        let (bytes, udp_rate) = (Some(ByteCount::new(1_000_003)), Some(BitRate::new(200_000_000)));
        all.push(Workload::Bulk(Bulk { direction, streams: 3, bytes, udp_rate, ..Bulk::default() }));
    }
    all
}

/// The arms that have their connections before anything is sent.
fn with_connections_before() -> impl Iterator<Item = Arm> {
    Arm::all().filter(|arm| arm.connections != Connections::PerMessage)
}

/// The runs of each ordering domain, in order.
fn domains(layout: &[LayoutRecord]) -> BTreeMap<(u16, u64), Vec<LayoutRecord>> {
    let mut domains: BTreeMap<_, Vec<LayoutRecord>> = BTreeMap::new();
    for run in layout {
        domains.entry((run.port, run.domain)).or_default().push(*run);
    }
    domains.values_mut().for_each(|runs| runs.sort_by_key(|run| run.start));
    domains
}

#[tokio::test]
async fn every_byte_of_every_message_has_its_place() {
    let plans =
        with_connections_before().flat_map(|arm| workloads().into_iter().map(move |workload| plan(arm, workload)));
    for (plan, report) in played(plans).await {
        let what = format!("{} {}", plan.arm, plan.workload);
        let domains = domains(&report.layout);
        let mut bytes: HashMap<_, u64> = HashMap::new();
        for ((port, domain), runs) in &domains {
            assert!(*port > 0);
            for run in runs {
                assert_eq!(run.direction, plan.workload.direction(), "{what}");
                assert!(run.start < run.end, "{what}: {run:?}");
                *bytes.entry((run.stream, run.seq)).or_default() += run.end - run.start;
            }
            let is_tls = plan.arm.transport == Transport::Tls;
            for pair in runs.windows(2) {
                // Under TLS the records' own bytes lie between.
                let gap = pair[1].start - pair[0].end;
                let expected = if is_tls && pair[0].unit_end != pair[1].unit_end { 22 } else { 0 };
                assert_eq!(gap, expected, "{what}: {pair:?}");
            }
            for run in runs {
                match is_tls {
                    false => assert_eq!((run.unit_start, run.unit_end), (run.start, run.end), "{what}"),
                    true => assert!(run.unit_start + 5 <= run.start && run.end + 17 <= run.unit_end, "{what}: {run:?}"),
                }
            }
            // The client's preface stands before the first frame.
            let preface = match (plan.arm.transport, plan.workload.direction()) {
                (Transport::Tcp, Direction::Up) => 32,
                (Transport::Tls, _) => runs[0].start,
                _ => 0,
            };
            assert_eq!(runs[0].start, preface, "{what}: {domain}");
        }
        for message in plan.table(plan.workload.direction()).messages() {
            let (stream, seq, length) = message;
            let size = length.bytes().unwrap().bytes();
            let have = bytes[&(stream, Some(seq))];
            let headers = have.checked_sub(size).unwrap_or_else(|| panic!("{what}: {have} of {size}"));
            assert!(headers >= HEADER_LEN as u64 && headers % HEADER_LEN as u64 == 0, "{what}: {headers}");
            if plan.arm.ordering == OrderingDomain::Nothing {
                let runs = &domains[&(report.layout[0].port, datagram_domain(stream, seq))];
                let capacity = (plan.datagram(false) - HEADER_LEN) as u64;
                assert_eq!((runs.len(), headers), (1, 16 * size.div_ceil(capacity)), "{what}");
            }
        }
        let whose = |run: &&LayoutRecord| run.seq.is_none();
        let warmup: u64 = report.layout.iter().filter(whose).map(|run| run.end - run.start).sum();
        assert!(warmup >= plan.warmup(), "{what}");
        // A connection, a QUIC stream, or a message is a domain.
        let expected = match (plan.arm.transport, plan.arm.mapping) {
            (_, Mapping::Datagram) => plan.message_count() + usize::from(plan.warmup() > 0),
            (_, Mapping::Shared) => 1,
            (Transport::Quic, Mapping::PerMessage) => plan.message_count() + usize::from(plan.warmup() > 0),
            _ => usize::from(plan.workload.streams()),
        };
        assert_eq!(domains.len(), expected, "{what}");
    }
}

/// A packet's number, and the runs of bytes that it holds.
type Packet = (u64, Vec<(Option<u64>, u64, u64)>);

/// What is comparable of the observations.
fn seen(observations: &[ObservationRecord], end: End, direction: Direction) -> HashMap<Tag, Packet> {
    let mut seen: HashMap<Tag, Packet> = HashMap::new();
    for observation in observations.iter().filter(|s| s.end == end && s.direction == direction) {
        let packet = seen.entry(observation.tag).or_insert((observation.number, Vec::new()));
        assert_eq!(packet.0, observation.number, "a tag names one packet");
        packet.1.push((observation.domain, observation.start, observation.end_offset));
    }
    seen
}

#[tokio::test]
async fn both_ends_of_quic_see_the_same_packets() {
    let arms = Arm::all().filter(|arm| arm.transport == Transport::Quic);
    let plans = arms.flat_map(|arm| workloads().into_iter().map(move |workload| plan(arm, workload)));
    for (plan, report) in played(plans).await {
        let what = format!("{} {}", plan.arm, plan.workload);
        for (direction, sender, receiver) in
            [(Direction::Up, End::Client, End::Server), (Direction::Down, End::Server, End::Client)]
        {
            let (sent, received) =
                (seen(&report.observations, sender, direction), seen(&report.observations, receiver, direction));
            assert!(received.len() > 5, "{what}");
            for (tag, packet) in &received {
                assert_eq!(sent.get(tag), Some(packet), "{what}");
            }
        }
        // What was sent covers every byte that the messages have.
        let sent = seen(
            &report.observations,
            if plan.sends(End::Client) { End::Client } else { End::Server },
            plan.workload.direction(),
        );
        let mut carried: HashMap<u64, Vec<(u64, u64)>> = HashMap::new();
        for (domain, start, end) in sent.values().flat_map(|(_, runs)| runs) {
            carried.entry(domain.unwrap_or(u64::MAX)).or_default().push((*start, *end));
        }
        for run in &report.layout {
            let runs = carried.get_mut(&run.domain).unwrap_or_else(|| panic!("{what}: {run:?}"));
            runs.sort_unstable();
            let reached = runs.iter().fold(0, |at, (start, end)| if *start <= at { at.max(*end) } else { at });
            assert!(reached >= run.end, "{what}: {run:?} but {reached}");
        }
        // Nothing was left out.
        assert!(
            report
                .client
                .settings
                .iter()
                .chain(report.server.settings.iter())
                .all(|s| !s.name.starts_with("attribution."))
        );
    }
}

#[tokio::test]
async fn messages_of_one_instant_share_tls_records() {
    let plans = [1400, 4096, 16_384].map(|record| {
        let together = Messages {
            streams: 16,
            size: ByteCount::new(1000),
            spacing: Duration::from_millis(2),
            staggered: false,
            count: Some(5),
            warmup: Some(ByteCount::new(1)),
            ..Messages::default()
        };
        let tuning = Tuning { tls_record_size: Some(ByteCount::new(record)), ..Tuning::default() };
        Plan { tuning, ..plan(Arm::default_of(Transport::Tls), Workload::Messages(together)) }
    });
    for ((plan, report), whole) in played(plans).await.into_iter().zip([1, 4, 16]) {
        // Messages that lie in one record as a whole, at most.
        let mut records: HashMap<u64, Vec<&LayoutRecord>> = HashMap::new();
        for run in report.layout.iter().filter(|run| run.seq.is_some()) {
            records.entry(run.unit_start).or_default().push(run);
        }
        let is_whole = |run: &&&LayoutRecord| run.end - run.start == 1000 + HEADER_LEN as u64;
        let most = records.values().map(|runs| runs.iter().filter(is_whole).count()).max();
        assert_eq!(most, Some(whole), "{:?}", plan.tuning.tls_record_size);
    }
}

#[tokio::test]
async fn nothing_is_noted_where_nobody_asked() {
    let plans = with_connections_before().map(|arm| Plan { attribution: false, ..plan(arm, workloads().remove(0)) });
    for (plan, report) in played(plans).await {
        assert!(report.layout.is_empty() && report.observations.is_empty(), "{}", plan.arm);
    }
}

#[tokio::test]
async fn datagrams_are_seen_by_their_sender() {
    let udp = Arm::default_of(Transport::Udp);
    for (plan, report) in played(workloads().into_iter().map(|workload| plan(udp, workload))).await {
        let sender = End::sender(plan.workload.direction());
        assert!(report.observations.iter().all(|s| s.end == sender && s.direction == plan.workload.direction()));
        let sent = if sender == End::Client { &report.client } else { &report.server }.datagrams_sent.unwrap();
        assert_eq!(report.observations.len() as u64, sent);
        let mut numbers: Vec<_> = report.observations.iter().map(|s| s.number).collect();
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..sent));
        let carried: u64 = report.observations.iter().map(|s| s.end_offset - s.start).sum();
        assert_eq!(carried, report.layout.iter().map(|run| run.end - run.start).sum::<u64>(), "{}", plan.workload);
    }
}
