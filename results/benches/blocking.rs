//! How long the analysis of a trial of a million messages takes, and how much memory: over TCP, one
//! connection for all, and over QUIC, a stream for each message. One packet in a hundred is lost.
//!
//! `cargo bench -p samepath-results --bench blocking`. The must: below 10 s and 1 GiB. With an
//! argument it takes so many messages. Run each arm alone (`tcp`, `quic/per-message`) for its own
//! peak of memory: `cargo bench -p samepath-results --bench blocking -- tcp 1000000`.

use std::convert::Infallible;
use std::time::Instant;

use samepath_model::attribution::{LayoutRecord, ObservationRecord};
use samepath_model::record::{DropCause, End, MessageRecord, PacketRecord};
use samepath_model::{Arm, Direction, Experiment, Transport, Trial};
use samepath_results::blocking;

const DELAY: i64 = 30_000_000;
const BYTES: u64 = 1016;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let messages = words.iter().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let wanted: Vec<Arm> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let arms = if wanted.is_empty() { vec!["tcp", "quic/per-message"] } else { Vec::new() };
    let arms = wanted.into_iter().chain(arms.into_iter().map(|arm| arm.parse().expect("a known arm")));
    for arm in arms {
        let made = Made::new(arm, messages);
        let before = peak_mib();
        let begun = Instant::now();
        let analysis = blocking::analyse(
            &made.trial,
            made.messages,
            &made.layout,
            std::iter::once(syn())
                .chain((0..made.packets).map(|n| packet(arm.transport, n, messages)))
                .map(Ok::<_, Infallible>),
            made.observations.into_iter().map(Ok),
        )
        .expect("made-up attribution is whole");
        let figures = analysis.figures().expect("messages were delivered");
        println!(
            "{arm}: {messages} messages in {:.2} s, peak {} MiB (of these records {before} MiB); faults: {:?}; {:.1} % of the \
             intact blocked",
            begun.elapsed().as_secs_f64(),
            peak_mib(),
            analysis.faults(),
            100.0 * figures.intact_blocked as f64 / figures.intact as f64,
        );
    }
}

/// A trial's records, but for the ledger, which is read as it comes.
struct Made {
    trial: Trial,
    messages: Vec<MessageRecord>,
    layout: Vec<LayoutRecord>,
    observations: Vec<ObservationRecord>,
    packets: u64,
}

/// Whether the first packet of the message is lost; it comes again as a packet behind all others.
fn lost(message: u64) -> bool {
    message % 100 == 37
}

/// When the packet with this number comes to the link: one each 10 µs, a retransmission 80 ms after.
fn arrival(number: u64, messages: u64) -> i64 {
    match number.checked_sub(messages) {
        None => number as i64 * 10_000,
        Some(lost) => (lost * 100 + 37) as i64 * 10_000 + 80_000_000,
    }
}

fn packet(transport: Transport, number: u64, messages: u64) -> PacketRecord {
    let message = number.checked_sub(messages).map_or(number, |lost| lost * 100 + 37);
    let dropped = number == message && lost(message);
    let arrived = arrival(number, messages);
    let tcp = matches!(transport, Transport::Tcp);
    PacketRecord {
        flow: None,
        direction: Direction::Down,
        number,
        duplicate: false,
        arrived,
        size: BYTES as u32 + 52,
        protocol: if tcp { 6 } else { 17 },
        source_port: 4433,
        destination_port: 50_000,
        payload: BYTES as u32,
        tcp_seq: tcp.then_some((message * BYTES) as u32),
        tcp_flags: if tcp { 0x10 } else { 0 },
        tag: (!tcp).then(|| tag(number)),
        queued: 1000,
        corrupted: false,
        congestion_marked: false,
        bypassed: false,
        left: (!dropped).then_some(arrived + 1000 + DELAY),
        dropped: dropped.then_some(DropCause::Loss),
    }
}

/// What opens a connection of TCP, its first byte numbered 0; over QUIC no one takes notice of it.
fn syn() -> PacketRecord {
    let first = packet(Transport::Tcp, 0, 1);
    PacketRecord { arrived: -1_000_000, payload: 0, tcp_seq: Some(u32::MAX), tcp_flags: 0x12, ..first }
}

fn tag(number: u64) -> [u8; 16] {
    let mut tag = [0; 16];
    tag[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    tag
}

impl Made {
    fn new(arm: Arm, n: u64) -> Made {
        let text = format!(
            "schema = 1\nname = \"bench\"\n[[part]]\nname = \"messages\"\narms = [\"{arm}\"]\n\
             workload = {{ kind = \"messages\", streams = 8, size = \"1000B\", spacing = \"1ms\", count = {} }}\n\
             link = {{ rtt = \"60ms\" }}\n",
            n.div_ceil(8)
        );
        let trial = Experiment::parse(&text).expect("the experiment is right").trials()[0].clone();
        let packets = n + n / 100;
        let tcp = arm.transport == Transport::Tcp;
        let mut made = Made { trial, messages: Vec::new(), layout: Vec::new(), observations: Vec::new(), packets };
        let mut ready = 0;
        for message in 0..n {
            let (stream, seq) = ((message % 8) as u16, (message / 8) as u32);
            let brought = if lost(message) { n + (message - 37) / 100 } else { message };
            let arrived = arrival(brought, n) + 1000 + DELAY;
            ready = if tcp { arrived.max(ready) } else { arrived };
            made.messages.push(MessageRecord {
                flow: 0,
                direction: Direction::Down,
                released_by: None,
                deadline: None,
                attempt: 1,
                cancelled: None,
                stream,
                seq,
                size: 1000,
                released: message as i64 * 10_000 - 5_000,
                sent: None,
                delivered: Some(ready + 20_000),
                received: 1000,
                coded: None,
            });
            let (domain, start) = if tcp { (0, message * BYTES) } else { (message * 4 + 1, 0) };
            made.layout.push(LayoutRecord {
                direction: Direction::Down,
                port: 50_000,
                domain,
                start,
                end: start + BYTES,
                unit_start: start,
                unit_end: start + BYTES,
                stream,
                seq: Some(seq),
            });
        }
        for number in (0..if tcp { 0 } else { packets }).flat_map(|number| [number, number]) {
            let message = number.checked_sub(n).map_or(number, |lost| lost * 100 + 37);
            // Both ends see it; the sender first.
            let end = if made.observations.len().is_multiple_of(2) { End::Server } else { End::Client };
            made.observations.push(ObservationRecord {
                end,
                direction: Direction::Down,
                at: arrival(number, n),
                port: 50_000,
                number,
                tag: tag(number),
                domain: Some(message * 4 + 1),
                start: 0,
                end_offset: BYTES,
            });
        }
        made
    }
}

/// The largest resident size of this process so far, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) / 1024
}
