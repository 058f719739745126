//! Who is dropped on purpose: scripted drops and outages.

use std::collections::HashMap;
use std::net::IpAddr;

use samepath_model::link::{Counted, Outage, ScriptedDrop, Series, is_within};
use samepath_model::record::DropCause;
use samepath_model::units::Duration;

use super::instant::Nanos;
use super::packet::{PacketInfo, TCP, TCP_FIN, TCP_RST, TCP_SYN};

/// The script of one direction, and how far it has got.
#[derive(Debug)]
pub struct Script {
    outages: Vec<Span>,
    /// `packet N`: numbers from 0, sorted.
    packets: Vec<u64>,
    /// `data N`: numbers from 1, sorted.
    data: Vec<u64>,
    /// Data packets since the schedule's start.
    data_seen: u64,
    /// `handshake N`: numbers from 1, sorted.
    handshakes: Vec<u64>,
    /// Packets of handshakes so far, while a rule asks for them.
    handshakes_seen: u64,
    /// `time T`.
    times: Vec<Instants>,
    /// `time A..B`.
    spans: Vec<Span>,
    /// `packet A..B every N`.
    packet_series: Vec<Series>,
    /// `data A..B every N`.
    data_series: Vec<Series>,
    /// `handshake A..B every N`.
    handshake_series: Vec<Series>,
    /// `bytes A..B`.
    ranges: Vec<(u64, u64)>,
    streams: HashMap<Flow, TcpStream>,
}

/// A span of time since the schedule's start, and after how long it comes again.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: Nanos,
    to: Nanos,
    every: Option<Nanos>,
}

impl Span {
    fn new(from: Duration, to: Duration, every: Option<Duration>) -> Span {
        Span { from: from.as_nanos(), to: to.as_nanos(), every: every.map(Duration::as_nanos) }
    }

    fn holds(&self, at: Nanos) -> bool {
        is_within(at, self.from, self.to, self.every)
    }
}

/// Instants of which the first packet then, or after it, is dropped.
#[derive(Debug, Clone, Copy)]
struct Instants {
    at: Nanos,
    every: Option<Nanos>,
    /// The next one; `None` when there is none any more.
    next: Option<Nanos>,
}

impl Instants {
    /// Whether the packet that came at `at` is the first since one of them.
    fn strikes(&mut self, at: Nanos) -> bool {
        let Some(next) = self.next.filter(|next| *next <= at) else { return false };
        self.next = self.every.map(|every| next + ((at - next) / every + 1) * every);
        true
    }
}

/// A connection, as seen from one direction: source and destination, address and port.
type Flow = (IpAddr, u16, IpAddr, u16);

/// How far one direction of a TCP connection has got.
#[derive(Debug)]
struct TcpStream {
    initial: u32,
    /// Offset of the first byte that has not been seen yet: what lies above is a first copy.
    next: u64,
}

impl Script {
    /// What `drops` and `outages` say.
    pub fn new(drops: &[ScriptedDrop], outages: &[Outage]) -> Self {
        let mut script = Script {
            outages: Vec::new(),
            packets: Vec::new(),
            data: Vec::new(),
            data_seen: 0,
            handshakes: Vec::new(),
            handshakes_seen: 0,
            times: Vec::new(),
            spans: Vec::new(),
            packet_series: Vec::new(),
            data_series: Vec::new(),
            handshake_series: Vec::new(),
            ranges: Vec::new(),
            streams: HashMap::new(),
        };
        script.change(drops, outages);
        script
    }

    /// Puts other rules in place of those there were. What was counted stays counted, as far as it
    /// was: data packets are counted only while a rule asks for them, and so are those of handshakes.
    pub fn change(&mut self, drops: &[ScriptedDrop], outages: &[Outage]) {
        self.outages = outages.iter().map(|o| Span::new(o.from, o.to, o.every)).collect();
        self.packets.clear();
        self.data.clear();
        self.ranges.clear();
        self.handshakes.clear();
        self.spans.clear();
        for series in [&mut self.packet_series, &mut self.data_series, &mut self.handshake_series] {
            series.clear();
        }
        let times = std::mem::take(&mut self.times);
        for drop in drops {
            match *drop {
                ScriptedDrop::Packet(n) => self.packets.push(n.saturating_sub(1)),
                ScriptedDrop::Data(n) => self.data.push(n),
                ScriptedDrop::Bytes(from, to) => self.ranges.push((from, to)),
                ScriptedDrop::Handshake(n) => self.handshakes.push(n),
                ScriptedDrop::Series(Counted::Packet, series) => self.packet_series.push(series),
                ScriptedDrop::Series(Counted::Data, series) => self.data_series.push(series),
                ScriptedDrop::Series(Counted::Handshake, series) => self.handshake_series.push(series),
                ScriptedDrop::Time { at, every } => {
                    let (at, every) = (at.as_nanos(), every.map(Duration::as_nanos));
                    let known = times.iter().find(|known| (known.at, known.every) == (at, every));
                    self.times.push(*known.unwrap_or(&Instants { at, every, next: Some(at) }));
                }
                ScriptedDrop::Span { from, to, every } => self.spans.push(Span::new(from, to, every)),
            }
        }
        self.handshakes.sort_unstable();
        self.packets.sort_unstable();
        self.data.sort_unstable();
    }

    /// Begins to count data packets and times anew, as a schedule starts.
    pub fn restart(&mut self) {
        self.data_seen = 0;
        self.times.iter_mut().for_each(|times| times.next = Some(times.at));
    }

    /// Why the `number`-th packet (from 0) is dropped, if it is. `since_epoch` is the time since
    /// the schedule's start, `None` before it: then there are no outages and no counted data.
    pub fn verdict(&mut self, info: &PacketInfo, number: u64, since_epoch: Option<Nanos>) -> Option<DropCause> {
        // Everything is counted even while an outage drops it: the n-th packet is the n-th offered.
        let one_of = |series: &[Series], number: u64| series.iter().any(|series| series.contains(number));
        let mut scripted = self.packets.binary_search(&number).is_ok() || one_of(&self.packet_series, number + 1);
        if info.is_data && since_epoch.is_some() && !(self.data.is_empty() && self.data_series.is_empty()) {
            self.data_seen += 1;
            scripted |= self.data.binary_search(&self.data_seen).is_ok() || one_of(&self.data_series, self.data_seen);
        }
        if info.is_handshake && !(self.handshakes.is_empty() && self.handshake_series.is_empty()) {
            self.handshakes_seen += 1;
            scripted |= self.handshakes.binary_search(&self.handshakes_seen).is_ok()
                || one_of(&self.handshake_series, self.handshakes_seen);
        }
        if let Some(at) = since_epoch {
            scripted |= self.spans.iter().any(|span| span.holds(at));
            for times in &mut self.times {
                scripted |= times.strikes(at);
            }
        }
        if info.protocol == TCP && !self.ranges.is_empty() {
            scripted |= self.first_copy_in_range(info);
        }
        let outage = since_epoch.is_some_and(|at| self.outages.iter().any(|outage| outage.holds(at)));
        match (outage, scripted) {
            (true, _) => Some(DropCause::Outage),
            (false, true) => Some(DropCause::Script),
            (false, false) => None,
        }
    }

    /// Whether a TCP segment carries, for the first time, a byte of one of the ranges. Connections
    /// whose SYN was not seen have no known offsets, and are left alone.
    fn first_copy_in_range(&mut self, info: &PacketInfo) -> bool {
        let (Some(sequence), Some(source), Some(destination)) = (info.tcp_seq, info.source, info.destination) else {
            return false;
        };
        let flow = (source, info.source_port, destination, info.destination_port);
        let syn = info.tcp_flags & TCP_SYN != 0;
        // The SYN takes up one number, and its data (TCP Fast Open) starts after it.
        let first = if syn { sequence.wrapping_add(1) } else { sequence };
        if syn && self.streams.get(&flow).is_none_or(|stream| stream.initial != sequence) {
            self.streams.insert(flow, TcpStream { initial: sequence, next: 0 });
        }
        let Some(stream) = self.streams.get_mut(&flow) else {
            return false;
        };
        // The 32-bit number is within 2³¹ of what was seen last; from there to the 64-bit offset.
        let expected = stream.initial.wrapping_add(1).wrapping_add(stream.next as u32);
        let ahead = i64::from(first.wrapping_sub(expected).cast_signed());
        let start = stream.next.saturating_add_signed(ahead);
        let end = stream.next.saturating_add_signed(ahead + i64::from(info.payload));
        let fresh = start.max(stream.next)..end;
        stream.next = stream.next.max(end);
        let hit = !fresh.is_empty() && self.ranges.iter().any(|&(from, to)| fresh.start < to && from < fresh.end);
        // Nothing new comes after these: forget the connection, so that memory does not grow.
        if info.tcp_flags & (TCP_FIN | TCP_RST) != 0 {
            self.streams.remove(&flow);
        }
        hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::packet::{PacketInfo, UDP};

    fn script(drops: &[&str], outages: &[&str]) -> Script {
        let drops: Vec<ScriptedDrop> = drops.iter().map(|d| d.parse().unwrap()).collect();
        let outages: Vec<Outage> = outages.iter().map(|o| o.parse().unwrap()).collect();
        Script::new(&drops, &outages)
    }

    fn tcp(port: u16, seq: u32, flags: u8, payload: u32) -> PacketInfo {
        PacketInfo {
            protocol: TCP,
            source: Some(IpAddr::from([198, 18, 0, 1])),
            destination: Some(IpAddr::from([198, 18, 0, 2])),
            source_port: port,
            destination_port: 4433,
            payload,
            tcp_seq: Some(seq),
            tcp_flags: flags,
            is_data: payload >= 100,
            ..PacketInfo::default()
        }
    }

    fn udp(payload: u32) -> PacketInfo {
        PacketInfo { protocol: UDP, payload, is_data: payload >= 100, ..PacketInfo::default() }
    }

    #[test]
    fn the_nth_packet_and_the_nth_data_packet() {
        let mut script = script(&["packet 1", "data 2"], &[]);
        let fates: Vec<bool> = [
            (udp(500), None),    // the first packet; its data does not count before the epoch
            (udp(500), None),    // neither does this
            (udp(500), Some(0)), // data 1
            (udp(99), Some(1)),  // too small to count
            (udp(500), Some(2)), // data 2
            (udp(500), Some(3)), // data 3
        ]
        .into_iter()
        .enumerate()
        .map(|(n, (info, at))| script.verdict(&info, n as u64, at) == Some(DropCause::Script))
        .collect();
        assert_eq!(fates, [true, false, false, false, true, false]);
        // A new schedule counts anew.
        script.restart();
        assert_eq!(script.verdict(&udp(500), 6, Some(0)), None);
        assert_eq!(script.verdict(&udp(500), 7, Some(0)), Some(DropCause::Script));
    }

    #[test]
    fn packets_of_handshakes_and_of_times() {
        let mut script = script(&["handshake 2", "time 5ms", "time 8ms..9ms"], &[]);
        let greeting = PacketInfo { is_handshake: true, ..udp(500) };
        assert!(script.verdict(&greeting, 0, None).is_none());
        assert!(script.verdict(&udp(500), 1, None).is_none());
        assert!(script.verdict(&greeting, 2, None).is_some(), "before the schedule's start, too");
        assert!(script.verdict(&greeting, 3, None).is_none());
        let mut at = |micros: u64| script.verdict(&udp(50), 4, Some(micros * 1000)).is_some();
        assert_eq!([4999, 5100, 5200, 8000, 8500, 9000].map(&mut at), [false, true, false, true, true, false]);
        // A new schedule has its own times.
        script.restart();
        assert!(script.verdict(&udp(50), 5, Some(6_000_000)).is_some());
        // Rules that are asked for again are not new.
        script.change(&["time 5ms".parse().unwrap()], &[]);
        assert!(script.verdict(&udp(50), 6, Some(7_000_000)).is_none());
    }

    #[test]
    fn an_outage_excludes_its_last_instant() {
        let mut script = script(&["packet 1"], &["1ms..2ms", "3ms..4ms"]);
        let mut at = |time: Option<Nanos>| script.verdict(&udp(500), 1, time);
        assert_eq!(at(None), None);
        assert_eq!(at(Some(999_999)), None);
        assert_eq!(at(Some(1_000_000)), Some(DropCause::Outage));
        assert_eq!(at(Some(1_999_999)), Some(DropCause::Outage));
        assert_eq!(at(Some(2_000_000)), None);
        assert_eq!(at(Some(3_500_000)), Some(DropCause::Outage));
    }

    #[test]
    fn a_byte_range_is_matched_once_a_connection() {
        // The initial number is such that the stream wraps around 2³² within the range.
        let initial = u32::MAX - 1500;
        let at = |offset: u32| initial.wrapping_add(1).wrapping_add(offset);
        let mut script = script(&["bytes 1000..3000"], &[]);
        let mut hit = |info: PacketInfo| script.verdict(&info, 0, None).is_some();
        // No SYN seen: not touched.
        assert!(!hit(tcp(9, at(1000), 0, 500)));
        for port in [10, 11] {
            assert!(!hit(tcp(port, initial, TCP_SYN, 0)));
            assert!(!hit(tcp(port, at(0), 0, 1000)), "ends where the range starts");
            assert!(hit(tcp(port, at(1000), 0, 1000)));
            assert!(hit(tcp(port, at(2000), 0, 1000)));
            assert!(!hit(tcp(port, at(1000), 0, 1000)), "the retransmission passes");
            assert!(!hit(tcp(port, initial, TCP_SYN, 0)), "a repeated SYN changes nothing");
            assert!(!hit(tcp(port, at(2000), 0, 1000)), "the retransmission passes");
            assert!(!hit(tcp(port, at(3000), 0, 1000)), "starts where the range ends");
        }
        // The same ports again: a new connection.
        assert!(!hit(tcp(10, 77, TCP_SYN, 0)));
        assert!(hit(tcp(10, 78, 0, 1400)));
        assert!(!hit(tcp(10, 78, TCP_FIN, 1400)));
        assert!(!hit(tcp(10, 78 + 1400, 0, 1400)), "forgotten with its end");
    }

    #[test]
    fn offsets_go_on_past_four_gigabytes() {
        let from = (1u64 << 32) + 5_000;
        let rule = format!("bytes {from}..{}", from + 1);
        let mut script = script(&[&rule], &[]);
        let mut hit = |seq: u32, flags, payload| script.verdict(&tcp(1, seq, flags, payload), 0, None).is_some();
        assert!(!hit(0, TCP_SYN, 0));
        let (step, mut offset, mut hits) = (60_000u32, 0u64, Vec::new());
        while offset < from + 200_000 {
            if hit(1u32.wrapping_add(offset as u32), 0, step) {
                hits.push(offset);
            }
            offset += u64::from(step);
        }
        assert_eq!(hits, [from / u64::from(step) * u64::from(step)]);
    }
}
