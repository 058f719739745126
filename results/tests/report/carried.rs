//! Made-up messages on made-up packets: each packet of the ledger with the bytes it carried, so that
//! blocking can be followed as in a measured trial.

use std::collections::BTreeMap;

use samepath_model::attribution::{LayoutRecord, ObservationRecord, datagram_domain};
use samepath_model::record::{DropCause, End, MessageRecord, Metric, PacketRecord, PlayReport, SeriesPoint};
use samepath_model::{Direction, Mapping, Transport, Trial};

use crate::synthetic::{MS, uniform};

const PORT: u16 = 50_000;
const ISN: u32 = 1_000_000;
/// From a packet's arrival at the link to its transmission.
const QUEUED: i64 = 430_000;

/// The messages, a packet each: a loss costs its bytes a round trip and a half.
pub(crate) fn messages(trial: &Trial, mut report: PlayReport) -> (PlayReport, Vec<PacketRecord>) {
    let mut ledger = Vec::new();
    let p = trial.link.down.loss.rate();
    let (one_way, rtt) = (trial.link.down.delay.as_nanos() as i64, trial.link.rtt().as_nanos() as i64);
    let (transport, mapping) = (trial.arm.transport, trial.arm.mapping);
    let stream_of_bytes = matches!(transport, Transport::Tcp | Transport::Tls);
    // The connections are opened; a byte stream each where streams have their own.
    if stream_of_bytes {
        for stream in 0..trial.workload.streams() {
            let mut syn = packet(&ledger, -rtt - 5 * MS, 0, None, one_way);
            (syn.tcp_seq, syn.tcp_flags, syn.destination_port) = (Some(ISN), 0x12, PORT + stream);
            ledger.push(syn);
        }
    }
    let mut ends: BTreeMap<(u16, u64), u64> = BTreeMap::new();
    let mut ready: BTreeMap<(u16, u64), i64> = BTreeMap::new();
    for (i, message) in trial.workload.released_by_the_clock(End::Server, trial.seed).into_iter().enumerate() {
        let released = message.at.as_nanos() as i64;
        let (port, domain) = match (stream_of_bytes, mapping) {
            (true, Mapping::Shared) => (PORT, 0),
            (true, _) => (PORT + message.id.stream, 0),
            (false, Mapping::Datagram) => (PORT, datagram_domain(message.id.stream, message.id.seq)),
            (false, Mapping::Shared) => (PORT, 1),
            (false, Mapping::PerMessage) => (PORT, i as u64 * 4 + 1),
            (false, Mapping::PerStream) => (PORT, u64::from(message.id.stream) * 4 + 1),
        };
        let end = ends.entry((port, domain)).or_insert(0);
        let (start, stop) = (*end, *end + 1016);
        *end = stop;
        report.layout.push(LayoutRecord {
            direction: Direction::Down,
            port,
            domain,
            start,
            end: stop,
            unit_start: start,
            unit_end: stop,
            stream: message.id.stream,
            seq: Some(message.id.seq),
        });
        let mut carry = |at: i64, dropped: Option<DropCause>| {
            let mut packet = packet(&ledger, at, 1016, dropped, one_way);
            packet.destination_port = port;
            if stream_of_bytes {
                packet.tcp_seq = Some(ISN.wrapping_add(1).wrapping_add(start as u32));
            } else {
                let mut tag = [3; 16];
                tag[..8].copy_from_slice(&packet.number.to_be_bytes());
                (packet.protocol, packet.tag) = (17, Some(tag));
                report.observations.push(ObservationRecord {
                    end: End::Server,
                    direction: Direction::Down,
                    at,
                    port,
                    number: packet.number + 100,
                    tag,
                    domain: Some(domain),
                    start,
                    end_offset: stop,
                });
            }
            let left = packet.left;
            ledger.push(packet);
            left
        };
        // The same losses for all arms: the draws do not depend on the arm.
        let lost = uniform(trial.seed, 1, i as u64) < p;
        let again = lost && uniform(trial.seed, 9, i as u64) < p;
        let noise = (uniform(trial.seed, 2 + transport as u64, i as u64) * 3e5) as i64 + 60_000;
        let mut arrived = carry(released + 50_000, lost.then_some(DropCause::Loss));
        if lost && trial.arm.is_reliable {
            arrived = carry(released + rtt + rtt / 4 + 10 * MS, again.then_some(DropCause::Overflow));
            if again {
                arrived = carry(released + 5 * rtt, None);
            }
        }
        let delivered = arrived.map(|arrived| {
            let ready = ready.entry((port, domain)).or_insert(i64::MIN);
            *ready = arrived.max(*ready);
            *ready + noise
        });
        let size = message.length.bytes().map_or(0, |size| size.bytes());
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
    report.complete = report.messages.iter().all(|message| message.delivered.is_some());
    // What has no window reports none.
    let over =
        report.messages.iter().map(|message| message.released).max().filter(|_| trial.arm.is_reliable).unwrap_or(0);
    for at in (0..over).step_by(10_000_000) {
        let mut sample =
            |metric, value| report.series.push(SeriesPoint { flow: 0, at, end: End::Server, metric, value });
        let wave = ((at as f64 / 4e8) + trial.seed as f64).sin();
        sample(Metric::CongestionWindow, 90_000.0 + 40_000.0 * wave);
        sample(Metric::SmoothedRtt, rtt as f64 / 1e3 + 900.0 + 400.0 * wave);
    }
    (report, ledger)
}

fn packet(ledger: &[PacketRecord], at: i64, payload: u32, dropped: Option<DropCause>, one_way: i64) -> PacketRecord {
    PacketRecord {
        flow: None,
        direction: Direction::Down,
        number: ledger.len() as u64,
        duplicate: false,
        arrived: at,
        size: payload + 52,
        protocol: 6,
        source_port: 4433,
        destination_port: PORT,
        payload,
        tcp_seq: None,
        tcp_flags: 0x10,
        tag: None,
        queued: QUEUED as u64,
        corrupted: false,
        congestion_marked: false,
        bypassed: false,
        left: dropped.is_none().then_some(at + QUEUED + one_way + 12_000),
        dropped,
    }
}
