//! A NAT between the link and the server, which forgets its mappings at set times.
//!
//! Until then it translates nothing. From a rebinding on, what leaves the link for the server comes from other ports, or
//! from another address, and what the server sends there is translated back as it comes to the link. So the link, its
//! ledger and its filters know the client's own addresses and ports throughout. What is still sent to a mapping that was
//! forgotten is lost, as a NAT has nowhere to send it (RFC 4787, section 4.3).
//!
//! Mappings do not depend on the destination (RFC 4787, REQ-1) and are made by what the client sends. Checksums are
//! adjusted (RFC 1624), also those that a host has left to its network card, and so are packets quoted in ICMP errors
//! (RFC 5508). A later fragment has no ports; it goes with its datagram all the same, since a new port changes nothing in
//! it. Start with [`Nat::out`] and [`Nat::back`].

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use samepath_model::link::{Rebind, Rebound};
use samepath_model::units::Duration;

use super::instant::Nanos;
use super::packet::{self, PacketInfo, TCP, UDP, add, adjusted};

/// Where ports are taken from: above those that Linux gives its own sockets.
const PORTS: RangeInclusive<u16> = 61_000..=65_535;

/// The NAT of one link.
#[derive(Debug)]
pub struct Nat {
    rebinds: Vec<Rebind>,
    client: Client,
    epoch: Option<Nanos>,
    /// The last time at which mappings were forgotten, since the epoch.
    since: Option<Duration>,
    /// When they are next.
    next: Option<Nanos>,
    /// How often the address was another.
    moves: u32,
    /// Mappings of ports, from the first time on that they are other than the client's.
    ports: Option<Ports>,
    /// What has happened and was not told.
    news: Option<&'static str>,
}

/// The client's addresses, and how many others there are for it: those behind the server's, which comes next.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
    /// How many addresses behind the server's are nobody's.
    pub spare: u32,
}

/// Mappings of ports: protocol, the client's side's address, and port.
#[derive(Debug, Default)]
struct Ports {
    out: HashMap<(u8, IpAddr, u16), u16>,
    back: HashMap<(u8, IpAddr, u16), u16>,
    /// How many have been given in all.
    given: usize,
}

impl Nat {
    /// One that forgets its mappings at these times.
    pub fn new(rebinds: &[Rebind], client: Client) -> Nat {
        let rebinds = rebinds.to_vec();
        Nat { rebinds, client, epoch: None, since: None, next: None, moves: 0, ports: None, news: None }
    }

    /// A schedule starts at `epoch`: there are no mappings.
    pub fn set_epoch(&mut self, epoch: Nanos) {
        (self.epoch, self.since, self.moves, self.ports) = (Some(epoch), None, 0, None);
        self.look_ahead();
    }

    /// From `now` on these times hold, counted from the same epoch; mappings stay.
    pub fn change(&mut self, rebinds: &[Rebind], now: Nanos) {
        if self.rebinds != rebinds {
            self.advance(now);
            self.rebinds = rebinds.to_vec();
            self.skip_to(now);
        }
    }

    /// Takes the times up to `now` for over, with nothing forgotten.
    pub fn skip_to(&mut self, now: Nanos) {
        self.since = self.epoch.and_then(|epoch| now.checked_sub(epoch)).map(Duration::from_nanos);
        self.look_ahead();
    }

    /// What has happened since the last call, in words.
    pub fn news(&mut self) -> Option<&'static str> {
        self.news.take()
    }

    /// Translates a packet that leaves the link for the server at `now`. `pending`: its checksum stands for the
    /// pseudo-header alone, the rest is left to a network card.
    pub fn out(&mut self, packet: &mut [u8], pending: bool, now: Nanos) {
        self.advance(now);
        if self.is_idle() {
            return;
        }
        let info = packet::parse(packet);
        let Some(source) = info.source else { return };
        let outside = self.outside_of(source);
        if let (Some(ports), Some(port)) = (&mut self.ports, port_of(&info, Side::Source)) {
            let mapped = ports.mapping((info.protocol, source, port));
            set_port(packet, &info, Side::Source, mapped, pending);
        }
        set_address(packet, &info, Side::Source, outside, pending);
        self.translate_quoted(packet, &info, Side::Destination);
    }

    /// Translates a packet that comes to the link from the server at `now`; `false` where it is for a mapping that is
    /// forgotten.
    #[must_use]
    pub fn back(&mut self, packet: &mut [u8], pending: bool, now: Nanos) -> bool {
        self.advance(now);
        if self.is_idle() {
            return true;
        }
        let info = packet::parse(packet);
        let Some(destination) = info.destination else { return true };
        let Some(inside) = self.inside_of(destination) else { return false };
        if let (Some(ports), Some(port)) = (&self.ports, port_of(&info, Side::Destination)) {
            let Some(&own) = ports.back.get(&(info.protocol, inside, port)) else { return false };
            set_port(packet, &info, Side::Destination, own, pending);
        }
        set_address(packet, &info, Side::Destination, inside, pending);
        self.translate_quoted(packet, &info, Side::Source);
        true
    }

    /// Whether it translates nothing so far.
    fn is_idle(&self) -> bool {
        self.moves == 0 && self.ports.is_none()
    }

    /// Forgets what is to be forgotten up to `now`.
    fn advance(&mut self, now: Nanos) {
        while let (Some(next), Some(epoch)) = (self.next.filter(|next| *next <= now), self.epoch) {
            let before = self.since;
            let at = Duration::from_nanos(next - epoch);
            for rebind in self.rebinds.iter().filter(|rebind| rebind.next(before) == Some(at)) {
                self.news = Some(match rebind.what {
                    Rebound::Port => {
                        let given = self.ports.as_ref().map_or(0, |ports| ports.given);
                        self.ports = Some(Ports { given, ..Ports::default() });
                        "the NAT forgets its mappings: other ports from here on"
                    }
                    Rebound::Address => {
                        self.moves = self.moves.wrapping_add(1);
                        "the NAT forgets its mappings: another address from here on"
                    }
                });
            }
            self.since = Some(at);
            self.look_ahead();
        }
    }

    fn look_ahead(&mut self) {
        let next = self.rebinds.iter().filter_map(|rebind| rebind.next(self.since)).min();
        self.next = self.epoch.zip(next).map(|(epoch, next)| epoch + next.as_nanos());
    }

    /// The address that the server sees in place of this one.
    fn outside_of(&self, source: IpAddr) -> IpAddr {
        if self.is_clients(source) { self.current(source) } else { source }
    }

    /// The address that this one stands for; `None` where it did so once.
    fn inside_of(&self, destination: IpAddr) -> Option<IpAddr> {
        let own = match destination {
            IpAddr::V4(_) => IpAddr::V4(self.client.v4),
            IpAddr::V6(_) => IpAddr::V6(self.client.v6),
        };
        if self.moves > 0 && destination == self.current(own) {
            return Some(own);
        }
        let is_of_nat = destination == own || self.step_of(destination).is_some_and(|step| step <= self.client.spare);
        (self.moves == 0 || !is_of_nat).then_some(destination)
    }

    fn is_clients(&self, address: IpAddr) -> bool {
        address == IpAddr::V4(self.client.v4) || address == IpAddr::V6(self.client.v6)
    }

    /// What the client's own address is to the server.
    fn current(&self, own: IpAddr) -> IpAddr {
        // One after the other, the client's own among them.
        match self.moves % (self.client.spare + 1) {
            0 => own,
            step => match own {
                IpAddr::V4(own) => IpAddr::V4(Ipv4Addr::from_bits(own.to_bits() + 1 + step)),
                IpAddr::V6(own) => IpAddr::V6(Ipv6Addr::from_bits(own.to_bits() + 1 + u128::from(step))),
            },
        }
    }

    /// Which of the addresses behind the server's this is, from 1.
    fn step_of(&self, address: IpAddr) -> Option<u32> {
        let step = match address {
            IpAddr::V4(address) => address.to_bits().checked_sub(self.client.v4.to_bits())?.checked_sub(1)?,
            IpAddr::V6(address) => {
                let step = address.to_bits().checked_sub(self.client.v6.to_bits())?.checked_sub(1)?;
                u32::try_from(step).ok()?
            }
        };
        (step > 0).then_some(step)
    }

    /// Translates the packet that an ICMP error quotes: one that went the other way, so that `side` is the client's.
    fn translate_quoted(&self, packet: &mut [u8], info: &PacketInfo, side: Side) {
        let at = usize::from(info.ip_header);
        let is_error = match (info.protocol, packet.get(at)) {
            (1, Some(kind)) => matches!(kind, 3 | 11 | 12),
            (58, Some(kind)) => matches!(kind, 1..=4),
            _ => false,
        };
        const ICMP_HEADER: usize = 8;
        if !is_error || info.later_fragment || packet.len() < at + ICMP_HEADER {
            return;
        }
        let (head, quoted) = packet.split_at_mut(at + ICMP_HEADER);
        let inner = packet::parse(quoted);
        let Some(address) = (match side {
            Side::Source => inner.source,
            Side::Destination => inner.destination,
        }) else {
            return;
        };
        let (new, port) = match side {
            Side::Source => {
                let Some(inside) = self.inside_of(address) else { return };
                let ports = self.ports.as_ref().zip(quoted_port(quoted, &inner, side));
                (inside, ports.and_then(|(ports, port)| ports.back.get(&(inner.protocol, inside, port)).copied()))
            }
            Side::Destination => {
                let ports = self.ports.as_ref().zip(quoted_port(quoted, &inner, side));
                (
                    self.outside_of(address),
                    ports.and_then(|(ports, port)| ports.out.get(&(inner.protocol, address, port)).copied()),
                )
            }
        };
        let before: Vec<u8> = quoted.to_vec();
        if let Some(port) = port {
            let place = usize::from(inner.ip_header) + side.port();
            quoted[place..place + 2].copy_from_slice(&port.to_be_bytes());
        }
        // The quoted transport's own checksum is nobody's concern; the quoted IP header's is kept right.
        set_address(quoted, &PacketInfo { protocol: 0, ..inner }, side, new, false);
        let mut sum = u16::from_be_bytes([head[at + 2], head[at + 3]]);
        for (old, new) in before.as_chunks::<2>().0.iter().zip(quoted.as_chunks::<2>().0) {
            if old != new {
                sum = adjusted(sum, u16::from_be_bytes(*old), u16::from_be_bytes(*new));
            }
        }
        head[at + 2..at + 4].copy_from_slice(&sum.to_be_bytes());
    }
}

impl Ports {
    /// The port in whose place this one is seen; a new one where there is none yet.
    fn mapping(&mut self, endpoint: (u8, IpAddr, u16)) -> u16 {
        if let Some(&port) = self.out.get(&endpoint) {
            return port;
        }
        let (protocol, address, own) = endpoint;
        let all = PORTS.len();
        for _ in 0..all {
            let port = PORTS.start() + (self.given % all) as u16;
            self.given += 1;
            if port != own && !self.back.contains_key(&(protocol, address, port)) {
                self.out.insert(endpoint, port);
                self.back.insert((protocol, address, port), own);
                return port;
            }
        }
        own // all are taken
    }
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Source,
    Destination,
}

impl Side {
    /// Where the port is in the headers of TCP and UDP.
    const fn port(self) -> usize {
        match self {
            Side::Source => 0,
            Side::Destination => 2,
        }
    }

    /// Where the address is in the IP header.
    const fn address(self, version: u8) -> RangeInclusive<usize> {
        match (self, version) {
            (Side::Source, 4) => 12..=15,
            (Side::Destination, 4) => 16..=19,
            (Side::Source, _) => 8..=23,
            (Side::Destination, _) => 24..=39,
        }
    }
}

/// A port of TCP or UDP, where the packet names it.
fn port_of(info: &PacketInfo, side: Side) -> Option<u16> {
    let port = match side {
        Side::Source => info.source_port,
        Side::Destination => info.destination_port,
    };
    (matches!(info.protocol, TCP | UDP) && !info.later_fragment && port != 0).then_some(port)
}

/// The same of a quoted packet, of whose transport header there may be no more than the ports.
fn quoted_port(quoted: &[u8], inner: &PacketInfo, side: Side) -> Option<u16> {
    let place = usize::from(inner.ip_header) + side.port();
    let port = u16::from_be_bytes(*quoted.get(place..)?.first_chunk()?);
    (matches!(inner.protocol, TCP | UDP) && !inner.later_fragment).then_some(port)
}

/// Where the transport's checksum is, if the packet has one that sums the pseudo-header.
fn sum_place(packet: &[u8], info: &PacketInfo) -> Option<usize> {
    let offset = match info.protocol {
        TCP => 16,
        UDP => 6,
        58 => 2,
        _ => return None,
    };
    let place = usize::from(info.ip_header) + offset;
    (!info.later_fragment && place + 2 <= packet.len()).then_some(place)
}

fn set_port(packet: &mut [u8], info: &PacketInfo, side: Side, port: u16, pending: bool) {
    let place = usize::from(info.ip_header) + side.port();
    let before = u16::from_be_bytes([packet[place], packet[place + 1]]);
    packet[place..place + 2].copy_from_slice(&port.to_be_bytes());
    // One that is still to be made will sum the port as it then is.
    if !pending && let Some(at) = sum_place(packet, info) {
        change_sum(packet, at, info.protocol, before, port);
    }
}

fn set_address(packet: &mut [u8], info: &PacketInfo, side: Side, address: IpAddr, pending: bool) {
    let octets: &[u8] = match address {
        IpAddr::V4(address) => &address.octets(),
        IpAddr::V6(address) => &address.octets(),
    };
    let version = if address.is_ipv4() { 4 } else { 6 };
    let place = side.address(version);
    let (start, sum_at) = (*place.start(), sum_place(packet, info));
    for (step, new) in octets.as_chunks::<2>().0.iter().enumerate() {
        let at = start + 2 * step;
        let (before, after) = (u16::from_be_bytes([packet[at], packet[at + 1]]), u16::from_be_bytes(*new));
        if before == after {
            continue;
        }
        packet[at..at + 2].copy_from_slice(new);
        if version == 4 {
            let sum = adjusted(u16::from_be_bytes([packet[10], packet[11]]), before, after);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        match sum_at {
            Some(at) if pending => {
                // The sum of the pseudo-header as it is, not inverted.
                let sum = add(add(u16::from_be_bytes([packet[at], packet[at + 1]]), !before), after);
                packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
            }
            Some(at) => change_sum(packet, at, info.protocol, before, after),
            None => {}
        }
    }
}

/// Adjusts a transport's checksum. One of UDP that is zero is none, and none may become zero (RFC 768).
fn change_sum(packet: &mut [u8], at: usize, protocol: u8, before: u16, after: u16) {
    let sum = u16::from_be_bytes([packet[at], packet[at + 1]]);
    if protocol == UDP && sum == 0 {
        return;
    }
    let sum = match adjusted(sum, before, after) {
        0 if protocol == UDP => 0xffff,
        sum => sum,
    };
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    const MS: Nanos = 1_000_000;
    const CLIENT: Client =
        Client { v4: Ipv4Addr::new(198, 18, 0, 1), v6: Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1), spare: 250 };

    fn nat(rules: &[&str], spare: u32) -> Nat {
        let rebinds: Vec<Rebind> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let mut nat = Nat::new(&rebinds, Client { spare, ..CLIENT });
        nat.set_epoch(0);
        nat
    }

    fn address(v6: bool, step: u32) -> IpAddr {
        match v6 {
            false => IpAddr::V4(Ipv4Addr::from_bits(CLIENT.v4.to_bits() + step)),
            true => IpAddr::V6(Ipv6Addr::from_bits(CLIENT.v6.to_bits() + u128::from(step))),
        }
    }

    fn build(from: (IpAddr, u16), to: (IpAddr, u16), protocol: u8, payload: &[u8]) -> Vec<u8> {
        let builder = match (from.0, to.0) {
            (IpAddr::V4(a), IpAddr::V4(b)) => PacketBuilder::ipv4(a.octets(), b.octets(), 64),
            (IpAddr::V6(a), IpAddr::V6(b)) => PacketBuilder::ipv6(a.octets(), b.octets(), 64),
            _ => panic!("of one version"),
        };
        let mut packet = Vec::new();
        match protocol {
            TCP => builder.tcp(from.1, to.1, 7, 1000).write(&mut packet, payload).unwrap(),
            UDP => builder.udp(from.1, to.1).write(&mut packet, payload).unwrap(),
            _ => match from.0 {
                IpAddr::V4(_) => builder.icmpv4_echo_request(3, 4).write(&mut packet, payload).unwrap(),
                IpAddr::V6(_) => builder.icmpv6_echo_request(3, 4).write(&mut packet, payload).unwrap(),
            },
        }
        packet
    }

    fn ends(packet: &[u8]) -> [(IpAddr, u16); 2] {
        let info = packet::parse(packet);
        [(info.source.unwrap(), info.source_port), (info.destination.unwrap(), info.destination_port)]
    }

    /// An independent reading of every checksum.
    fn assert_sums(packet: &[u8]) {
        let sliced = SlicedPacket::from_ip(packet).unwrap();
        match sliced.net.as_ref().unwrap() {
            etherparse::NetSlice::Ipv4(ip) => {
                let header = ip.header().to_header();
                assert_eq!(header.header_checksum, header.calc_header_checksum());
                match sliced.transport.unwrap() {
                    TransportSlice::Tcp(tcp) => {
                        assert_eq!(
                            tcp.checksum(),
                            tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination()).unwrap()
                        );
                    }
                    TransportSlice::Udp(udp) => {
                        let header = udp.to_header();
                        assert_eq!(
                            header.checksum,
                            header
                                .calc_checksum_ipv4_raw(ip.header().source(), ip.header().destination(), udp.payload())
                                .unwrap()
                        );
                    }
                    TransportSlice::Icmpv4(icmp) => {
                        assert!(icmp.icmp_type().calc_checksum(icmp.payload()) == icmp.checksum())
                    }
                    _ => panic!("no transport"),
                }
            }
            etherparse::NetSlice::Ipv6(ip) => {
                let (from, to) = (ip.header().source(), ip.header().destination());
                match sliced.transport.unwrap() {
                    TransportSlice::Tcp(tcp) => assert_eq!(tcp.checksum(), tcp.calc_checksum_ipv6(from, to).unwrap()),
                    TransportSlice::Udp(udp) => {
                        let header = udp.to_header();
                        assert_eq!(header.checksum, header.calc_checksum_ipv6_raw(from, to, udp.payload()).unwrap());
                    }
                    TransportSlice::Icmpv6(icmp) => assert!(icmp.is_checksum_valid(from, to)),
                    _ => panic!("no transport"),
                }
            }
            _ => panic!("no IP"),
        }
    }

    proptest! {
        /// What goes out and is answered comes back to where it came from, with every checksum right.
        #[test]
        fn there_and_back_again(
            v6: bool, protocol in prop_oneof![Just(TCP), Just(UDP), Just(1u8)], port in 1u16.., times in 1u64..300,
            kind in prop_oneof![Just("port"), Just("address")], payload in proptest::collection::vec(any::<u8>(), 0..99),
        ) {
            let mut nat = nat(&[&format!("1ms every 2ms: {kind}")], 250);
            let now = times * 2 * MS;
            let (client, server) = ((address(v6, 0), port), (address(v6, 1), 443));
            let mut packet = build(client, server, protocol, &payload);
            nat.out(&mut packet, false, now);
            assert_sums(&packet);
            let [from, to] = ends(&packet);
            if protocol == 1 {
                prop_assert_eq!(from.0 != client.0, kind == "address" && times % 251 != 0);
            } else {
                prop_assert_eq!(to, server);
                prop_assert_eq!(from.1 != client.1, kind == "port");
                prop_assert_eq!(from.0 != client.0, kind == "address" && times % 251 != 0);
            }
            // The same flow keeps its mapping, and another has another.
            let mut again = build(client, server, protocol, b"again");
            nat.out(&mut again, false, now);
            prop_assert_eq!(ends(&again)[0], from);
            let mut answer = build(server, from, protocol, &payload);
            prop_assert!(nat.back(&mut answer, false, now));
            assert_sums(&answer);
            prop_assert_eq!(ends(&answer)[1].0, client.0);
            if protocol != 1 {
                prop_assert_eq!(ends(&answer), [server, client]);
            }
            // To the mapping before there is no way any more.
            let mut late = build(server, from, protocol, &payload);
            let untouched = late.clone();
            let lost = !nat.back(&mut late, false, now + 2 * MS);
            prop_assert_eq!(lost, kind == "address" || protocol != 1);
            if lost {
                prop_assert_eq!(late, untouched);
            }
        }

        /// A checksum that was left to a network card stays one: the sum of the pseudo-header alone.
        #[test]
        fn a_pending_sum_is_kept_right(v6: bool, tcp: bool, port in 1u16..) {
            let protocol = if tcp { TCP } else { UDP };
            let offset = if tcp { 16 } else { 6 };
            let pseudo = |packet: &mut [u8]| {
                let start = usize::from(packet::parse(packet).ip_header);
                let addresses = if v6 { &packet[8..40] } else { &packet[12..20] };
                let words = addresses.as_chunks::<2>().0.iter().map(|word| u16::from_be_bytes(*word));
                let length = (packet.len() - start) as u16;
                let sum = words.chain([u16::from(protocol), length]).fold(0, add);
                packet[start + offset..start + offset + 2].copy_from_slice(&sum.to_be_bytes());
            };
            for rules in [&["1ms: port", "1ms: address"][..], &["1ms: address"], &["1ms: port"]] {
                let mut nat = nat(rules, 250);
                let mut packet = build((address(v6, 0), port), (address(v6, 1), 443), protocol, b"hello");
                pseudo(&mut packet);
                nat.out(&mut packet, true, MS);
                let mut expected = packet.clone();
                pseudo(&mut expected);
                prop_assert_eq!(packet, expected);
            }
        }

        #[test]
        fn garbage_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), version in 0u8..16) {
            if let Some(first) = bytes.first_mut() {
                *first = version << 4 | *first & 0x0f;
            }
            let mut nat = nat(&["1ms: port", "1ms: address"], 250);
            nat.out(&mut bytes, false, 2 * MS);
            let _ = nat.back(&mut bytes, true, 2 * MS);
        }
    }

    #[test]
    fn nothing_is_rebound_before_its_time() {
        let mut nat = nat(&["5ms: port", "9ms: address"], 250);
        let packet = build((address(false, 0), 5000), (address(false, 1), 443), UDP, b"hello");
        let seen = |nat: &mut Nat, at: Nanos| {
            let mut packet = packet.clone();
            nat.out(&mut packet, false, at);
            ends(&packet)[0]
        };
        let own = (address(false, 0), 5000);
        assert_eq!((seen(&mut nat, 4 * MS), nat.news()), (own, None));
        assert_eq!(seen(&mut nat, 5 * MS), (address(false, 0), 61_000));
        assert!(nat.news().unwrap().contains("other ports"));
        assert_eq!(seen(&mut nat, 9 * MS), (address(false, 2), 61_000));
        nat.set_epoch(100 * MS);
        assert_eq!((seen(&mut nat, 104 * MS), seen(&mut nat, 106 * MS)), (own, (address(false, 0), 61_000)));
        nat.change(&[], 107 * MS);
        assert_eq!(seen(&mut nat, 200 * MS), (address(false, 0), 61_000), "what is there stays");
    }

    #[test]
    fn what_an_error_quotes_is_translated_too() {
        for v6 in [false, true] {
            let mut nat = nat(&["1ms: port", "1ms: address"], 1);
            let (client, server) = ((address(v6, 0), 5000), (address(v6, 1), 443));
            let mut sent = build(client, server, UDP, b"to a closed port");
            nat.out(&mut sent, false, MS);
            let [outside, _] = ends(&sent);
            // "Port unreachable", with what it is about.
            let mut error = Vec::new();
            match (server.0, outside.0) {
                (IpAddr::V4(a), IpAddr::V4(b)) => PacketBuilder::ipv4(a.octets(), b.octets(), 64)
                    .icmpv4(etherparse::Icmpv4Type::DestinationUnreachable(
                        etherparse::icmpv4::DestUnreachableHeader::Port,
                    ))
                    .write(&mut error, &sent[..28])
                    .unwrap(),
                (IpAddr::V6(a), IpAddr::V6(b)) => PacketBuilder::ipv6(a.octets(), b.octets(), 64)
                    .icmpv6(etherparse::Icmpv6Type::DestinationUnreachable(
                        etherparse::icmpv6::DestUnreachableCode::Port,
                    ))
                    .write(&mut error, &sent)
                    .unwrap(),
                _ => unreachable!("of one version"),
            }
            assert!(nat.back(&mut error, false, 2 * MS));
            assert_sums(&error);
            assert_eq!(ends(&error)[1].0, client.0);
            let quoted = if v6 { &error[48..] } else { &error[28..] };
            let at = if v6 { 40 } else { 20 };
            assert_eq!(packet::parse(quoted).source, Some(client.0));
            assert_eq!(u16::from_be_bytes([quoted[at], quoted[at + 1]]), client.1);
        }
    }

    #[test]
    fn hosts_behind_the_client_keep_their_addresses() {
        let mut nat = nat(&["1ms: port", "2ms: address"], 2);
        let behind = IpAddr::V4(Ipv4Addr::new(198, 19, 8, 1));
        let mut seen = Vec::new();
        for source in [behind, address(false, 0)] {
            let mut packet = build((source, 5000), (address(false, 1), 443), UDP, b"hello");
            nat.out(&mut packet, false, 3 * MS);
            assert_sums(&packet);
            seen.push(ends(&packet)[0]);
        }
        assert_eq!(seen, [(behind, 61_000), (address(false, 2), 61_001)]);
        let mut answer = build((address(false, 1), 443), (behind, 61_000), UDP, b"hello");
        assert!(nat.back(&mut answer, false, 3 * MS));
        assert_eq!(ends(&answer)[1], (behind, 5000));
    }

    #[test]
    fn fragments_keep_to_their_datagram() {
        let mut nat = nat(&["1ms: address"], 9);
        let mut whole = build((address(false, 0), 5000), (address(false, 1), 443), UDP, &[7; 64]);
        let mut later = whole.clone();
        later[7] = 3; // the place of a later fragment, 24 bytes on
        let payload = later[20..].to_vec();
        for packet in [&mut whole, &mut later] {
            nat.out(packet, false, MS);
            assert_eq!(packet::parse(packet).source, Some(address(false, 2)));
        }
        assert_eq!(later[20..], payload[..], "it has no checksum of its own");
    }
}
