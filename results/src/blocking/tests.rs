//! Decompositions by hand, and random trials against an oracle that goes byte by byte.

use std::convert::Infallible;

use proptest::prelude::*;
use samepath_model::arm::{Arm, Connections, Mapping, Transport};
use samepath_model::attribution::{LayoutRecord, ObservationRecord, Tag, datagram_domain};
use samepath_model::experiment::{Experiment, Trial};
use samepath_model::link::Direction;
use samepath_model::record::{DropCause, End, Instant, MessageRecord, PacketRecord};
use samepath_model::{VoidKind, VoidReason};

use super::*;

const MS: i64 = 1_000_000;
const DELAY: i64 = 30 * MS;
const PORT: u16 = 50_000;
/// Near the end of the sequence numbers, so that they wrap.
const ISN: u32 = u32::MAX - 100;
/// Connections that a made-up trial over TCP opens.
const SYNS: u64 = 17;

fn trial(arm: &str) -> Trial {
    let text = format!(
        r#"
schema = 1
name = "one"
[[part]]
name = "messages"
arms = ["{arm}"]
workload = {{ kind = "messages", streams = 4, size = "100B", spacing = "40ms", count = 25 }}
link = {{ rtt = "60ms", rate = "20Mbit" }}
"#
    );
    Experiment::parse(&text).unwrap().trials()[0].clone()
}

/// A trial made up packet by packet.
pub(crate) struct Made {
    pub(crate) trial: Trial,
    pub(crate) messages: Vec<MessageRecord>,
    layout: Vec<LayoutRecord>,
    pub(crate) ledger: Vec<PacketRecord>,
    observations: Vec<ObservationRecord>,
}

impl Made {
    pub(crate) fn new(arm: &str) -> Made {
        let mut made = Made {
            trial: trial(arm),
            messages: Vec::new(),
            layout: Vec::new(),
            ledger: Vec::new(),
            observations: Vec::new(),
        };
        if matches!(made.trial.arm.transport, Transport::Tcp | Transport::Tls) {
            // A connection a domain, as far as a test has domains.
            for connection in 0..SYNS as u16 {
                let syn = made.packet(-60 * MS, Some(ISN), 0, None);
                made.ledger[syn].tcp_flags = 0x12;
                made.ledger[syn].destination_port = PORT + connection;
            }
        }
        made
    }

    fn packet(&mut self, arrived: Instant, seq: Option<u32>, payload: u32, dropped: Option<DropCause>) -> usize {
        let number = self.ledger.len() as u64;
        self.ledger.push(PacketRecord {
            flow: None,
            direction: Direction::Down,
            number,
            duplicate: false,
            arrived,
            size: payload + 52,
            protocol: if seq.is_some() { 6 } else { 17 },
            source_port: 4433,
            destination_port: PORT,
            payload,
            tcp_seq: seq,
            tcp_flags: if seq.is_some() { 0x10 } else { 0 },
            tag: seq.is_none().then(|| tag(number)),
            queued: 1000,
            corrupted: false,
            congestion_marked: false,
            bypassed: false,
            left: dropped.is_none().then_some(arrived + 1000 + DELAY),
            dropped,
        });
        self.ledger.len() - 1
    }

    /// A packet with these bytes of domains.
    pub(crate) fn carry(&mut self, arrived: Instant, bytes: &[(u64, u64, u64)], dropped: Option<DropCause>) -> usize {
        match self.trial.arm.transport {
            Transport::Tcp | Transport::Tls => {
                let &[(domain, start, end)] = bytes else { panic!("a segment holds one run") };
                let seq = ISN.wrapping_add(1).wrapping_add(start as u32);
                let place = self.packet(arrived, Some(seq), (end - start) as u32, dropped);
                self.ledger[place].destination_port = PORT + domain as u16;
                place
            }
            Transport::Quic | Transport::Udp => {
                let size = bytes.iter().map(|(_, start, end)| (end - start) as u32 + 10).sum();
                let place = self.packet(arrived, None, size, dropped);
                for &(domain, start, end_offset) in bytes {
                    let observation = |end| ObservationRecord {
                        end,
                        direction: Direction::Down,
                        at: arrived - 10,
                        port: PORT,
                        number: 1000 + place as u64,
                        tag: tag(place as u64),
                        domain: Some(domain),
                        start,
                        end_offset,
                    };
                    self.observations.push(observation(End::Server));
                    if dropped.is_none() {
                        self.observations.push(observation(End::Client));
                    }
                }
                place
            }
        }
    }

    pub(crate) fn message(&mut self, stream: u16, seq: u32, released: Instant, delivered: Option<Instant>) {
        self.messages.push(MessageRecord {
            flow: 0,
            direction: Direction::Down,
            released_by: None,
            deadline: None,
            attempt: 1,
            cancelled: None,
            stream,
            seq,
            size: 100,
            released,
            sent: Some(released + 5),
            delivered,
            received: if delivered.is_some() { 100 } else { 0 },
            coded: None,
        });
    }

    pub(crate) fn lay(&mut self, domain: u64, start: u64, end: u64, stream: u16, seq: Option<u32>) {
        self.lay_in(domain, (start, end), (start, end), stream, seq);
    }

    pub(crate) fn lay_in(
        &mut self,
        domain: u64,
        (start, end): (u64, u64),
        unit: (u64, u64),
        stream: u16,
        seq: Option<u32>,
    ) {
        let (unit_start, unit_end) = unit;
        // A byte stream is told by its port alone.
        let (port, domain) = match self.trial.arm.transport {
            Transport::Tcp | Transport::Tls => (PORT + domain as u16, 0),
            Transport::Quic | Transport::Udp => (PORT, domain),
        };
        self.layout.push(LayoutRecord {
            direction: Direction::Down,
            port,
            domain,
            start,
            end,
            unit_start,
            unit_end,
            stream,
            seq,
        });
    }

    pub(crate) fn analyse(&self) -> Analysis {
        // The ledger is written in the order in which packets were done with.
        let mut ledger = self.ledger.clone();
        ledger.sort_by_key(|packet| packet.left.unwrap_or(packet.arrived));
        analyse(
            &self.trial,
            self.messages.clone(),
            &self.layout,
            ledger.into_iter().map(Ok::<_, Infallible>),
            self.observations.iter().copied().map(Ok),
        )
        .unwrap()
    }
}

fn tag(number: u64) -> Tag {
    let mut tag = [7; 16];
    tag[8..].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    tag
}

/// Three messages on one byte stream, a packet each: 0:0 is lost and comes again, 1:0 and 0:1 wait.
fn one_loss(arm: &str) -> Made {
    let mut made = Made::new(arm);
    let shared = made.trial.arm.mapping == Mapping::Shared;
    let at = |stream: u64, offset: u64, seq: u64| if shared { (0, offset) } else { (stream * 4 + 1, seq * 120) };
    for (i, (stream, seq)) in [(0, 0), (1, 0), (0, 1)].into_iter().enumerate() {
        let (domain, start) = at(stream, i as u64 * 120, seq);
        let released = i as i64 * 5 * MS;
        made.lay(domain, start, start + 120, stream as u16, Some(seq as u32));
        let lost = (i == 0).then_some(DropCause::Loss);
        made.carry(released + 20_000, &[(domain, start, start + 120)], lost);
        made.message(stream as u16, seq as u32, released, None);
    }
    let (domain, start) = at(0, 0, 0);
    made.carry(70 * MS, &[(domain, start, start + 120)], None);
    made
}

/// The instants at which everything that each message needs has arrived, and 7 µs more.
fn deliver(made: &mut Made, arrivals: [Instant; 3]) {
    for (message, arrival) in made.messages.iter_mut().zip(arrivals) {
        message.delivered = Some(arrival + 7000);
    }
}

const AGAIN: Instant = 70 * MS + 1000 + DELAY;

#[test]
fn on_one_stream_all_wait_for_the_loss() {
    let mut made = one_loss("tcp");
    deliver(&mut made, [AGAIN; 3]);
    let analysis = made.analyse();
    let parts = |place: usize| analysis.account(place).unwrap().parts;
    let base = Parts { hold: 20_000, queue: 1000, propagation: DELAY, stack: 7000, ..Parts::default() };
    assert_eq!(parts(0), Parts { own_loss: 70 * MS - 20_000, ..base });
    assert_eq!(parts(1), Parts { cross: 65 * MS - 20_000, ..base });
    // The bytes that it waits for are of its own stream.
    assert_eq!(parts(2), Parts { intra: 60 * MS - 20_000, ..base });
    for (_, message, account) in analysis.accounts() {
        assert_eq!(account.parts.total(), message.delivered.unwrap() - message.released);
    }
    assert_eq!((0..3).map(|i| analysis.account(i).unwrap().intact).collect::<Vec<_>>(), [false, true, true]);
    assert!(analysis.faults().is_empty());

    let figures = analysis.figures().unwrap();
    assert_eq!((figures.messages, figures.intact, figures.intact_blocked), (3, 2, 2));
    assert!((figures.blocked_ms.max - 64.98).abs() < 1e-9 && figures.blocked_ms.p50 == 59.98, "{figures:?}");
    // Stream 1 holds 120 bytes back for 64.98 ms, stream 0 for 59.98 ms; streams 2 and 3 have none.
    assert!((figures.stall_max_ms - 64.98).abs() < 1e-9 && (figures.stall_mean_ms - 31.24).abs() < 1e-9);
    assert_eq!(figures.stall_of_stream_ms, [59.98, 64.98, 0.0, 0.0]);
    let of_streams = figures.stall_ms.unwrap();
    assert_eq!((of_streams.p50, of_streams.p95, of_streams.max), (0.0, 64.98, 64.98));
    assert!((figures.buffered_byte_seconds - 120.0 * (0.06498 + 0.05998)).abs() < 1e-9);
    assert!((figures.of_slowest.total() - 100.008).abs() < 1e-6, "{figures:?}");

    let story = analysis.story(analysis.most_blocked().unwrap()).unwrap();
    assert_eq!((story.message.stream, story.message.seq), (1, 0));
    let [missing] = &story.blockers[..] else { panic!("{story:?}") };
    assert_eq!((missing.start, missing.end, missing.at), (0, 120, AGAIN));
    assert_eq!(missing.of, [Some((0, 0))]);
    let lost: Vec<_> = missing.lost().map(|packet| (packet.number, packet.arrived, packet.fate)).collect();
    assert_eq!(lost, [(SYNS, 20_000, Fate::Dropped(DropCause::Loss))]);
    assert_eq!(missing.brought().unwrap().number, SYNS + 3);
    assert_eq!(story.waiting, [Waiting { stream: 0, seq: 1, blocked: 59_980_000 }]);
    let own = analysis.story(0).unwrap();
    assert_eq!((own.own.len(), own.blockers.len(), own.waiting.len()), (1, 0, 2));
}

#[test]
fn on_separate_streams_only_one_waits() {
    let mut made = one_loss("quic");
    deliver(&mut made, [AGAIN, 5 * MS + 21_000 + DELAY, AGAIN]);
    let analysis = made.analyse();
    let parts = |place: usize| analysis.account(place).unwrap().parts;
    assert_eq!((parts(1).blocked(), parts(1).stack), (0, 7000));
    assert_eq!((parts(2).cross, parts(2).intra), (0, 60 * MS - 20_000));
    assert_eq!(parts(0).own_loss, 70 * MS - 20_000);
    assert!(analysis.account(0).unwrap().behind.is_none());
}

#[test]
fn a_tls_record_is_waited_for_as_a_whole() {
    let mut made = Made::new("tls");
    // One record of two messages in two packets, the second of which is lost.
    made.lay_in(0, (0, 130), (0, 260), 0, Some(0));
    made.lay_in(0, (130, 260), (0, 260), 1, Some(0));
    made.carry(20_000, &[(0, 0, 150)], None);
    made.carry(30_000, &[(0, 150, 260)], Some(DropCause::Overflow));
    made.carry(70 * MS, &[(0, 150, 260)], None);
    for stream in 0..2 {
        made.message(stream, 0, 0, Some(AGAIN + 7000));
    }
    let analysis = made.analyse();
    let first = analysis.account(0).unwrap();
    assert_eq!((first.parts.record, first.parts.cross, first.intact), (70 * MS - 20_000, 0, true));
    let second = analysis.account(1).unwrap();
    assert_eq!((second.parts.own_loss, second.parts.blocked(), second.intact), (70 * MS - 30_000, 0, false));
    let story = analysis.story(0).unwrap();
    assert_eq!(story.blockers[0].lost().next().unwrap().fate, Fate::Dropped(DropCause::Overflow));
    assert_eq!(story.blockers[0].of, [Some((1, 0))]);
}

#[test]
fn a_datagram_waits_for_none() {
    let mut made = Made::new("udp");
    for (i, (stream, seq)) in [(0, 0), (1, 0), (0, 1)].into_iter().enumerate() {
        let (domain, released) = (datagram_domain(stream, seq), i as i64 * 5 * MS);
        made.lay(domain, 0, 116, stream, Some(seq));
        let lost = i == 0;
        made.carry(released + 20_000, &[(domain, 0, 116)], lost.then_some(DropCause::Loss));
        made.message(stream, seq, released, (!lost).then_some(released + 21_000 + DELAY + 7000));
    }
    let analysis = made.analyse();
    assert!(analysis.account(0).is_none() && analysis.fault(0).is_none());
    assert!(analysis.accounts().all(|(_, _, account)| account.parts.blocked() == 0 && account.intact));
    assert_eq!(analysis.figures().unwrap().buffered_byte_seconds, 0.0);
    let story = analysis.story(0).unwrap();
    assert_eq!((story.own.len(), story.own[0].at, story.carried_by.len()), (1, NEVER, 1));
}

#[test]
fn the_earliest_copy_wins_and_corruption_is_a_loss() {
    let mut made = Made::new("tcp");
    made.lay(0, 0, 120, 0, Some(0));
    let flipped = made.carry(20_000, &[(0, 0, 120)], None);
    made.ledger[flipped].corrupted = true;
    made.carry(60 * MS, &[(0, 0, 120)], None);
    // A spurious retransmission and a copy made by the link change nothing.
    let spurious = made.carry(61 * MS, &[(0, 0, 120)], None);
    let mut copy = made.ledger[spurious].clone();
    copy.duplicate = true;
    made.ledger.push(copy);
    made.message(0, 0, 0, Some(60 * MS + 1000 + DELAY));
    let analysis = made.analyse();
    let account = analysis.account(0).unwrap();
    assert_eq!((account.parts.own_loss, account.parts.stack, account.intact), (60 * MS - 20_000, 0, false));
    let story = analysis.story(0).unwrap();
    assert_eq!(story.own[0].copies.len(), 4);
    assert_eq!(story.own[0].lost().map(|packet| packet.fate).collect::<Vec<_>>(), [Fate::Corrupted]);
}

/// One message in one packet that is dropped at `lost` and comes again at `again`, over a link that changes so.
/// A packet of nobody's left the link at `before`.
fn lost_while_changing(changes: &[&str], lost: Instant, again: Instant, before: Option<Instant>) -> Parts {
    let mut made = Made::new("tcp");
    made.trial.link.down.changes = changes.iter().map(|change| change.parse().unwrap()).collect();
    made.lay(0, 0, 120, 0, Some(0));
    if let Some(left) = before {
        let packet = made.packet(lost - 1000, Some(7), 10, None);
        made.ledger[packet].destination_port = PORT + 500;
        made.ledger[packet].left = Some(left);
    }
    made.carry(lost, &[(0, 0, 120)], Some(DropCause::Loss));
    let brought = made.carry(again, &[(0, 0, 120)], None);
    let arrived = again + 400 * MS;
    made.ledger[brought].left = Some(arrived);
    made.message(0, 0, lost - 5000, Some(arrived + 7000));
    let parts = made.analyse().account(0).unwrap().parts;
    assert_eq!((parts.hold, parts.queue, parts.stack), (5000, 1000, 7000));
    assert_eq!(parts.propagation + parts.own_loss, arrived - lost - 1000);
    parts
}

#[test]
fn a_dropped_packet_takes_the_delay_then_in_force() {
    let propagation = |changes: &[&str], lost: Instant| {
        lost_while_changing(changes, lost, lost + 100 * MS, None).propagation as f64 / 1e6
    };
    let step = ["1s: delay 80ms"];
    assert_eq!(propagation(&step, 1000 * MS - 1), 30.0);
    assert_eq!(propagation(&step, 1000 * MS), 80.0);
    assert_eq!(propagation(&step, 3441 * MS), 80.0);
    // Before the schedule's start nothing has changed.
    assert_eq!(propagation(&["0s: delay 80ms"], -50 * MS), 30.0);
    // A ramp goes in steps of a millisecond.
    let ramp = ["1s..2s: delay 80ms", "3s: delay 10ms"];
    assert_eq!(propagation(&ramp, 1500 * MS), 55.0);
    assert_eq!(propagation(&ramp, 1500 * MS + 999_999), 55.0);
    assert_eq!(propagation(&ramp, 1501 * MS), 55.05);
    assert_eq!(propagation(&ramp, 2500 * MS), 80.0);
    assert_eq!(propagation(&ramp, 3500 * MS), 10.0);
}

#[test]
fn a_dropped_packet_would_not_have_overtaken() {
    let lost = 1010 * MS;
    // The delay has just become shorter, and one that came before it is still under way.
    let last = lost + 60 * MS;
    let propagation = |changes: &[&str]| lost_while_changing(changes, lost, lost + 100 * MS, Some(last)).propagation;
    assert_eq!(propagation(&["1s: delay 10ms"]), last - lost - 1000);
    assert_eq!(propagation(&["1s: delay 10ms, jitter 5ms"]), 10 * MS);
    assert_eq!(propagation(&["1s: delay 10ms, reorder 1%"]), 10 * MS);
}

#[test]
fn a_dropped_packet_has_its_own_way_to_go() {
    let propagation = |service: u16| {
        let mut made = Made::new("tcp");
        let workload =
            "kind = 'fan-out'\nservices = 3\noutstanding = 1\ncount = 9\nextra-rtts = ['0s', '40ms', '80ms']";
        made.trial.workload = toml::from_str(workload).unwrap();
        // The farthest has one under way that nobody else's waits for.
        made.lay(2, 0, 120, 2, Some(0));
        let far = made.carry(990 * MS, &[(2, 0, 120)], None);
        made.ledger[far].left = Some(1100 * MS);
        made.message(2, 0, 990 * MS, Some(1100 * MS));
        made.lay(service.into(), 120 * u64::from(service / 2), 240, service, Some(1));
        made.carry(1000 * MS, &[(service.into(), 120 * u64::from(service / 2), 240)], Some(DropCause::Loss));
        let again = made.carry(1200 * MS, &[(service.into(), 120 * u64::from(service / 2), 240)], None);
        made.ledger[again].left = Some(1400 * MS);
        made.message(service, 1, 1000 * MS, Some(1400 * MS));
        made.analyse().account(1).unwrap().parts.propagation
    };
    assert_eq!([0, 1].map(propagation), [DELAY, DELAY + 20 * MS]);
    assert_eq!(propagation(2), 100 * MS - 1000, "behind what went the same way");
}

#[test]
fn a_codel_drop_takes_the_delay_at_dequeue() {
    let with = |aqm: &str| {
        let mut made = Made::new("tcp");
        made.trial.link.down.changes = vec!["1s: delay 80ms".parse().unwrap()];
        made.trial.link.down.aqm = aqm.parse().unwrap();
        made.lay(0, 0, 120, 0, Some(0));
        let dropped = made.carry(950 * MS, &[(0, 0, 120)], Some(DropCause::Aqm));
        made.ledger[dropped].queued = 60 * MS as u64;
        made.carry(1500 * MS, &[(0, 0, 120)], None);
        made.message(0, 0, 950 * MS, Some(1600 * MS));
        let parts = made.analyse().account(0).unwrap().parts;
        (parts.queue / MS, parts.propagation / MS)
    };
    assert_eq!(with("codel"), (60, 80));
    assert_eq!(with("none"), (60, 30));
}

#[test]
fn queueing_while_the_sender_holds_is_hold() {
    let mut made = Made::new("quic");
    made.lay(1, 0, 100, 0, Some(0));
    // The first packet waits 50 ms for the bottleneck; the last byte comes to the link 30 ms after it and does
    // not wait, but for the order of the queue.
    let first = made.carry(0, &[(1, 0, 60)], Some(DropCause::Loss));
    made.ledger[first].queued = 50 * MS as u64;
    made.carry(30 * MS, &[(1, 60, 100)], None);
    made.carry(100 * MS, &[(1, 0, 60)], None);
    made.message(0, 0, 0, Some(200 * MS));
    let parts = made.analyse().account(0).unwrap().parts;
    assert_eq!((parts.hold, parts.queue, parts.propagation), (30 * MS, 20 * MS, DELAY));
    assert_eq!((parts.own_loss, parts.total()), (50 * MS + 1000, 200 * MS));
}

#[test]
fn contradictions_are_faults_that_name_the_message() {
    let mut made = one_loss("tcp");
    deliver(&mut made, [AGAIN, AGAIN - 9000, AGAIN]);
    assert_eq!(made.analyse().fault(1), Some(Fault::BeforeArrival(2000)));
    let said = made.analyse().faults();
    let words = "message 1:0 was delivered 2 µs before all that it needed had left the link: a fault of a clock or of the attribution";
    assert_eq!(said, [VoidReason::new(VoidKind::Contradiction, words)]);
    made.ledger.pop();
    deliver(&mut made, [AGAIN; 3]);
    assert_eq!(made.analyse().faults().len(), 1);
    assert_eq!(made.analyse().fault(2), Some(Fault::Undelivered));
    made.ledger.remove(SYNS as usize);
    assert_eq!(made.analyse().fault(2), Some(Fault::Uncarried));
    made.layout.pop();
    assert_eq!(made.analyse().fault(2), Some(Fault::NoLayout));
    made.layout.clear();
    let none = analyse(&made.trial, Vec::new(), &[], std::iter::empty::<Result<_, Infallible>>(), []);
    assert!(matches!(none, Err(AnalyseError::Unattributed(Unattributed::Off))));
}

/// A byte, as the oracle follows it.
#[derive(Clone)]
struct Byte {
    arrival: Option<Instant>,
    lossless: Instant,
    first: Instant,
    stream: Option<u16>,
}

/// Every byte of every domain, by port and domain.
type Bytes = std::collections::BTreeMap<(u16, u64), Vec<Byte>>;

fn bytes(made: &Made) -> Bytes {
    let mut bytes = Bytes::new();
    let mut ledger: Vec<&PacketRecord> = made.ledger.iter().filter(|packet| packet.tcp_flags & 2 == 0).collect();
    ledger.sort_by_key(|packet| packet.arrived);
    for packet in ledger {
        let carried = match packet.tcp_seq {
            Some(seq) => {
                let start = u64::from(seq.wrapping_sub(ISN.wrapping_add(1)));
                vec![((packet.destination_port, 0), start, start + u64::from(packet.payload))]
            }
            None => {
                let of_it = made.observations.iter().filter(|s| Some(s.tag) == packet.tag && s.end == End::Server);
                of_it.map(|s| ((PORT, s.domain.unwrap()), s.start, s.end_offset)).collect()
            }
        };
        for (domain, start, end) in carried {
            let of_domain = bytes.entry(domain).or_default();
            let lossless = packet.left.unwrap_or(packet.arrived + packet.queued as i64 + DELAY);
            for at in start as usize..end as usize {
                let none = Byte { arrival: None, lossless: 0, first: Instant::MAX, stream: None };
                if of_domain.len() <= at {
                    of_domain.resize(at + 1, none);
                }
                let byte = &mut of_domain[at];
                if byte.first == Instant::MAX {
                    (byte.first, byte.lossless) = (packet.arrived, lossless);
                }
                byte.arrival = [byte.arrival, packet.left].into_iter().flatten().min();
            }
        }
    }
    for l in &made.layout {
        for byte in
            bytes.get_mut(&(l.port, l.domain)).into_iter().flat_map(|all| &mut all[l.start as usize..l.end as usize])
        {
            byte.stream = Some(l.stream);
        }
    }
    bytes
}

/// What the oracle says of a message: hold, network, own loss, intra, cross, record.
fn by_bytes(made: &Made, bytes: &Bytes, message: &MessageRecord) -> Option<[i64; 6]> {
    let own: Vec<&LayoutRecord> =
        made.layout.iter().filter(|l| l.stream == message.stream && l.seq == Some(message.seq)).collect();
    let last = own.iter().max_by_key(|l| l.end)?;
    let all = &bytes[&(last.port, last.domain)];
    let latest = |bytes: Vec<&Byte>| bytes.iter().map(|b| b.arrival).collect::<Option<Vec<_>>>()?.into_iter().max();
    let upto = &all[..last.end as usize];
    let of_own: Vec<&Byte> = own.iter().flat_map(|l| &all[l.start as usize..l.end as usize]).collect();
    let (a0, first) = (of_own.iter().map(|b| b.lossless).max()?, upto.last()?.first);
    let a = latest(of_own)?;
    let stream = latest(upto.iter().filter(|b| b.stream == Some(message.stream)).collect())?;
    let before = latest(upto.iter().collect())?;
    let unit = latest(all[..last.unit_end as usize].iter().collect())?;
    Some([first - message.released, a0.min(a) - first, a - a0.min(a), stream - a, before - stream, unit - before])
}

/// A random trial: messages of some bytes, cut into packets at random, some lost and sent again.
fn random(arm: Arm, sizes: &[u64], cuts: &[u64], fates: &[(bool, u8)], spurious: &[bool]) -> Made {
    let mut made = Made::new(&arm.to_string());
    let tls = arm.transport == Transport::Tls;
    let mut ends: std::collections::BTreeMap<u64, u64> = Default::default();
    for (i, &size) in sizes.iter().enumerate() {
        let (stream, seq) = ((i % 4) as u16, (i / 4) as u32);
        let domain = match arm.mapping {
            Mapping::Shared => 0,
            Mapping::PerStream => u64::from(stream) * 4 + 1,
            Mapping::PerMessage => i as u64 * 4 + 1,
            Mapping::Datagram => datagram_domain(stream, seq),
        };
        let end = ends.entry(domain).or_insert(0);
        let (start, stop) = (*end, *end + size);
        *end = stop;
        if tls && arm.mapping == Mapping::Shared {
            // Records of two messages each, as far as there are two.
            let unit = match i % 2 {
                0 => (start, stop + sizes.get(i + 1).copied().unwrap_or(0)),
                _ => (start - sizes[i - 1], stop),
            };
            made.lay_in(domain, (start, stop), unit, stream, Some(seq));
        } else {
            made.lay(domain, start, stop, stream, Some(seq));
        }
        made.message(stream, seq, i as i64 * MS, None);
    }
    let mut at = 50_000;
    let (mut cuts, mut fates, mut spurious) = (cuts.iter().cycle(), fates.iter().cycle(), spurious.iter().cycle());
    let mut again = Vec::new();
    for (domain, end) in ends {
        let mut start = 0;
        while start < end {
            let stop = end.min(start + cuts.next().unwrap());
            let &(lost, wait) = fates.next().unwrap();
            // Never before what it carries was released.
            at = (at + 200_000).max(sizes.len() as i64 * MS);
            made.carry(at, &[(domain, start, stop)], lost.then_some(DropCause::Loss));
            if lost || *spurious.next().unwrap() {
                // It may be cut anew, and be lost again.
                again.push((at + 60 * MS + i64::from(wait) * MS, domain, start, stop, lost && wait % 3 == 0));
            }
            start = stop;
        }
    }
    let reliable = arm.is_reliable;
    for (at, domain, start, stop, lost) in again.into_iter().filter(|_| reliable) {
        let middle = start + (stop - start) / 2;
        if lost {
            made.carry(at, &[(domain, start, stop)], Some(DropCause::Overflow));
        }
        for (from, to) in [(start, middle), (middle, stop)] {
            if from < to {
                made.carry(at + if lost { 200 * MS } else { 0 }, &[(domain, from, to)], None);
            }
        }
    }
    made.ledger.sort_by_key(|packet| packet.arrived);
    let bytes = bytes(&made);
    for i in 0..made.messages.len() {
        let message = made.messages[i].clone();
        made.messages[i].delivered =
            by_bytes(&made, &bytes, &message).map(|parts| message.released + parts.iter().sum::<i64>() + 3000);
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_delay_is_taken_apart_as_byte_by_byte(
        sizes in prop::collection::vec(1u64..40, 1..14),
        cuts in prop::collection::vec(1u64..50, 1..8),
        fates in prop::collection::vec((prop::bool::weighted(0.3), 0u8..20), 1..12),
        spurious in prop::collection::vec(prop::bool::weighted(0.2), 1..8),
    ) {
        // A connection for each request has no messages that nothing asked for.
        for arm in Arm::all().filter(|arm| arm.connections != Connections::PerMessage) {
            let made = random(arm, &sizes, &cuts, &fates, &spurious);
            let (analysis, bytes) = (made.analyse(), bytes(&made));
            prop_assert_eq!(analysis.faults(), Vec::new(), "{}", arm);
            for (place, message) in made.messages.iter().enumerate() {
                let account = analysis.account(place);
                prop_assert_eq!(account.is_some(), message.delivered.is_some());
                let Some(account) = account else { continue };
                let p = account.parts;
                let seen = [p.hold, p.queue + p.propagation, p.own_loss, p.intra, p.cross, p.record];
                prop_assert_eq!(Some(seen), by_bytes(&made, &bytes, message), "{} {}:{}", arm, message.stream, message.seq);
                // The parts add up to the nanosecond, and none is negative.
                prop_assert_eq!(p.total(), message.delivered.unwrap() - message.released);
                prop_assert!(p.values().iter().all(|part| *part >= 0) && p.stack == 3000);
                // The link has one delay, and no message is faster.
                prop_assert_eq!(p.propagation, DELAY.min(p.queue + p.propagation));
                if arm.mapping != Mapping::Shared {
                    prop_assert_eq!(p.cross, 0, "{}", arm);
                }
                if matches!(arm.mapping, Mapping::PerMessage | Mapping::Datagram) {
                    prop_assert_eq!(p.blocked() - p.record, 0, "{}", arm);
                }
                let story = analysis.story(place).unwrap();
                prop_assert_eq!(story.blockers.is_empty(), p.blocked() == 0);
                if let Some(last) = story.blockers.last() {
                    prop_assert_eq!(last.at, account.complete);
                    prop_assert!(last.brought().is_some_and(|packet| packet.left == last.at));
                }
            }
        }
    }
}
