//! Reads what the ledger and the scripts need from the headers of an IP packet.
//!
//! Written by hand because it runs once for every packet between two timers, allocates nothing, and
//! must make the best of whatever a program sends: what cannot be read is left at its default,
//! nothing is refused, and no input makes it panic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use samepath_model::attribution::Tag;

/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;
/// TCP's FIN flag (RFC 9293).
pub const TCP_FIN: u8 = 0x01;
/// TCP's SYN flag.
pub const TCP_SYN: u8 = 0x02;
/// TCP's RST flag.
pub const TCP_RST: u8 = 0x04;

/// From how many bytes of transport payload on a packet counts as data: more than a bare
/// acknowledgement of any transport, less than any message worth measuring.
pub const DATA_PAYLOAD: u32 = 100;

/// What the headers of one IP packet say. Missing things are `None`; in the figures that a ledger
/// line always has, 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacketInfo {
    /// Bytes of the IP packet, as it was offered.
    pub size: u32,
    /// Protocol above IP and its extension headers: 6 TCP, 17 UDP, 1 and 58 ICMP; 0 if unreadable.
    pub protocol: u8,
    /// Source address.
    pub source: Option<IpAddr>,
    /// Destination address.
    pub destination: Option<IpAddr>,
    /// Source port; 0 where the protocol has none, and in all fragments but the first.
    pub source_port: u16,
    /// Destination port, likewise.
    pub destination_port: u16,
    /// The number of its datagram, where it is a fragment of one.
    pub fragment_of: Option<u32>,
    /// Whether it is a fragment, and not the first: there are no headers of the transport.
    pub later_fragment: bool,
    /// Bytes of IP header and extension headers, at most `size`: what lies behind may be corrupted
    /// without sending the packet elsewhere.
    pub ip_header: u16,
    /// Bytes of transport payload in this packet (for neither TCP nor UDP: all behind the IP header).
    pub payload: u32,
    /// TCP sequence number of the first payload byte; of a SYN, its own.
    pub tcp_seq: Option<u32>,
    /// TCP flags: the byte from CWR to FIN (RFC 9293); 0 where there are none.
    pub tcp_flags: u8,
    /// What joins it to an endpoint's record of it, of UDP datagrams of at least 16 bytes: where the
    /// fixed bit of QUIC is set (RFC 9000, section 17), the last 16 bytes, which are the
    /// authentication tag; else the first 16, the header of the lab's own datagrams.
    pub tag: Option<Tag>,
    /// Whether it counts for `drop data N`: at least [`DATA_PAYLOAD`] bytes of TCP payload, or of a
    /// UDP datagram that is no QUIC long-header (handshake) packet.
    pub is_data: bool,
    /// Whether it counts for `drop handshake N`: a TCP SYN, a TCP segment that begins with a TLS
    /// handshake record, or a datagram that begins with a QUIC long header.
    pub is_handshake: bool,
}

/// Reads an IPv4 or IPv6 packet; anything else is a packet of its size and nothing more.
pub fn parse(packet: &[u8]) -> PacketInfo {
    let info = PacketInfo { size: u32::try_from(packet.len()).unwrap_or(u32::MAX), ..PacketInfo::default() };
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => parse_v4(packet, info),
        Some(6) => parse_v6(packet, info),
        _ => None,
    }
    .unwrap_or(info)
}

fn parse_v4(packet: &[u8], mut info: PacketInfo) -> Option<PacketInfo> {
    let fixed: &[u8; 20] = packet.first_chunk()?;
    let header = usize::from(fixed[0] & 0x0f) * 4;
    if header < 20 || header > packet.len() {
        return None;
    }
    info.protocol = fixed[9];
    info.source = Some(IpAddr::V4(Ipv4Addr::from_octets(*chunk(fixed, 12)?)));
    info.destination = Some(IpAddr::V4(Ipv4Addr::from_octets(*chunk(fixed, 16)?)));
    info.ip_header = header as u16;
    // A total length of 0 is what offloaded super-packets of 64 KiB and more have.
    let end = match usize::from(u16_at(packet, 2)?) {
        0 => packet.len(),
        length => length.clamp(header, packet.len()),
    };
    let (place, more) = (u16_at(packet, 6)? & 0x1fff, u16_at(packet, 6)? & 0x2000 != 0);
    let first_fragment = place == 0;
    if more || place != 0 {
        info.fragment_of = Some(u32::from(u16_at(packet, 4)?));
    }
    Some(parse_transport(&packet[header..end], first_fragment, info))
}

fn parse_v6(packet: &[u8], mut info: PacketInfo) -> Option<PacketInfo> {
    const FIXED: usize = 40;
    if packet.len() < FIXED {
        return None;
    }
    info.source = Some(IpAddr::V6(Ipv6Addr::from_octets(*chunk(packet, 8)?)));
    info.destination = Some(IpAddr::V6(Ipv6Addr::from_octets(*chunk(packet, 24)?)));
    let end = match usize::from(u16_at(packet, 4)?) {
        0 => packet.len(),
        length => (FIXED + length).min(packet.len()),
    };
    let (mut next, mut at, mut first_fragment) = (packet[6], FIXED, true);
    // RFC 8200: hop-by-hop 0, routing 43, fragment 44, destination options 60; authentication
    // 51 (RFC 4302); mobility 135, HIP 139, shim 140. Each says which header follows.
    while let 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140 = next {
        let Some(&[following, length]) = chunk::<2>(&packet[..end], at) else {
            break;
        };
        let size = match next {
            44 => 8,
            51 => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        if at + size > end {
            break;
        }
        if next == 44 {
            first_fragment = u16_at(packet, at + 2)? & 0xfff8 == 0;
            info.fragment_of = Some(u32::from_be_bytes(*chunk(packet, at + 4)?));
        }
        next = following;
        at += size;
        if !first_fragment {
            break; // what follows is the middle of something
        }
    }
    info.protocol = next;
    info.ip_header = at as u16;
    Some(parse_transport(&packet[at..end], first_fragment, info))
}

/// Reads the transport's header at the start of the IP payload.
fn parse_transport(segment: &[u8], first_fragment: bool, mut info: PacketInfo) -> PacketInfo {
    info.payload = segment.len() as u32;
    info.later_fragment = !first_fragment;
    if !first_fragment {
        return info;
    }
    match info.protocol {
        TCP => parse_tcp(segment, info),
        UDP => parse_udp(segment, info),
        _ => None,
    }
    .unwrap_or(info)
}

fn parse_tcp(segment: &[u8], mut info: PacketInfo) -> Option<PacketInfo> {
    let fixed: &[u8; 20] = segment.first_chunk()?;
    let header = usize::from(fixed[12] >> 4) * 4;
    if header < 20 || header > segment.len() {
        return None;
    }
    (info.source_port, info.destination_port) = (u16_at(fixed, 0)?, u16_at(fixed, 2)?);
    info.tcp_seq = Some(u32::from_be_bytes(*chunk(fixed, 4)?));
    info.tcp_flags = fixed[13];
    info.payload = (segment.len() - header) as u32;
    info.is_data = info.payload >= DATA_PAYLOAD;
    info.is_handshake = info.tcp_flags & TCP_SYN != 0 || is_tls_handshake(&segment[header..]);
    Some(info)
}

fn parse_udp(segment: &[u8], mut info: PacketInfo) -> Option<PacketInfo> {
    let fixed: &[u8; 8] = segment.first_chunk()?;
    (info.source_port, info.destination_port) = (u16_at(fixed, 0)?, u16_at(fixed, 2)?);
    let datagram = &segment[fixed.len()..];
    info.payload = datagram.len() as u32;
    info.tag = tag(datagram);
    info.is_handshake = is_quic_long_header(datagram);
    info.is_data = info.payload >= DATA_PAYLOAD && !info.is_handshake;
    Some(info)
}

/// See [`PacketInfo::tag`].
fn tag(datagram: &[u8]) -> Option<Tag> {
    const FIXED_BIT: u8 = 0x40;
    if datagram.first()? & FIXED_BIT != 0 { datagram.last_chunk() } else { datagram.first_chunk() }.copied()
}

/// Whether a datagram starts with a QUIC long header: header form and fixed bit set, and one of
/// the versions there are (RFC 9000, section 17.2; RFC 9369). The version is looked at because any
/// other program's datagrams may start with those two bits.
fn is_quic_long_header(datagram: &[u8]) -> bool {
    const VERSIONS: [[u8; 4]; 2] = [[0, 0, 0, 1], [0x6b, 0x33, 0x43, 0xcf]];
    datagram.first().is_some_and(|byte| byte & 0xc0 == 0xc0)
        && chunk(datagram, 1).is_some_and(|version| VERSIONS.contains(version))
}

/// Whether a TCP segment begins with a TLS record of a handshake: content type 22, a version from
/// TLS 1.0's to 1.2's (RFC 8446, section 5.1).
fn is_tls_handshake(payload: &[u8]) -> bool {
    matches!(payload, [22, 3, 0..=4, ..])
}

/// The ECN field's value "congestion experienced" (RFC 3168, section 5).
const CE: u8 = 3;

/// Marks an IP packet "congestion experienced" in place of dropping it (RFC 3168, section 5), and
/// keeps IPv4's header checksum right (RFC 1624). `false`, and nothing done, where its transport is
/// not ECN-capable.
pub fn mark_congestion(packet: &mut [u8]) -> bool {
    set_ecn(packet, CE)
}

/// Clears the ECN field, as if the transport were not ECN-capable, and keeps IPv4's header checksum right. `false`, and
/// nothing done, where it is clear.
pub fn clear_ecn(packet: &mut [u8]) -> bool {
    set_ecn(packet, 0)
}

/// Sets the ECN field of a packet in which it is not clear.
fn set_ecn(packet: &mut [u8], value: u8) -> bool {
    match packet {
        [first, tos, ..] if *first >> 4 == 4 => {
            if *tos & CE == 0 || packet.len() < 20 {
                return false;
            }
            let before = u16::from_be_bytes([packet[0], packet[1]]);
            packet[1] = packet[1] & !CE | value;
            let after = u16::from_be_bytes([packet[0], packet[1]]);
            let checksum = u16::from_be_bytes([packet[10], packet[11]]);
            packet[10..12].copy_from_slice(&adjusted(checksum, before, after).to_be_bytes());
            true
        }
        [first, class, ..] if *first >> 4 == 6 => {
            // The traffic class lies across the two bytes; ECN is its low end.
            let capable = *class & CE << 4 != 0;
            if capable {
                *class = *class & !(CE << 4) | value << 4;
            }
            capable
        }
        _ => false,
    }
}

/// A checksum after one of the words it sums has changed: HC' = ~(~HC + ~m + m'), in ones' complement (RFC 1624,
/// equation 3).
pub(super) fn adjusted(checksum: u16, before: u16, after: u16) -> u16 {
    !add(add(!checksum, !before), after)
}

/// The ones' complement sum of two words.
pub(super) fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u16::from(carry)
}

/// Whether an IP packet is marked "congestion experienced".
pub fn is_congestion_marked(packet: &[u8]) -> bool {
    match packet {
        [first, tos, ..] if *first >> 4 == 4 => *tos & 3 == 3,
        [first, class, ..] if *first >> 4 == 6 => *class >> 4 & 3 == 3,
        _ => false,
    }
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
    bytes.get(at..)?.first_chunk()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    chunk(bytes, at).map(|two| u16::from_be_bytes(*two))
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{IpFragOffset, Ipv4Header, Ipv4Options, PacketBuilder};
    use proptest::prelude::*;

    const A: [u8; 4] = [198, 18, 0, 1];
    const B: [u8; 4] = [198, 18, 0, 2];

    /// Small enough not to count as data, and just large enough.
    const SMALL: &[u8] = &[0x41; 99];
    const LARGE: &[u8] = &[0x41; 100];

    #[test]
    fn tcp_over_ipv4() {
        let builder = PacketBuilder::ipv4(A, B, 64).tcp(1234, 4433, 0xdead_beef, 1000).ack(7).psh();
        let mut packet = Vec::new();
        builder.write(&mut packet, LARGE).unwrap();
        let expected = PacketInfo {
            size: 140,
            protocol: TCP,
            source: Some(A.into()),
            destination: Some(B.into()),
            source_port: 1234,
            destination_port: 4433,
            fragment_of: None,
            later_fragment: false,
            ip_header: 20,
            payload: 100,
            tcp_seq: Some(0xdead_beef),
            tcp_flags: 0x18,
            tag: None,
            is_data: true,
            is_handshake: false,
        };
        assert_eq!(parse(&packet), expected);
        // Padding behind the IP packet, as short Ethernet frames have, is no payload.
        packet.extend([0; 30]);
        assert_eq!(parse(&packet), PacketInfo { size: 170, ..expected });
    }

    #[test]
    fn udp_over_ipv4_with_options_and_tcp_with_options() {
        let options = Ipv4Options::try_from([1u8, 1, 1, 1, 1, 1, 1, 0].as_slice()).unwrap();
        let header = Ipv4Header { options, ..Ipv4Header::new(0, 64, etherparse::IpNumber::UDP, A, B).unwrap() };
        let mut packet = Vec::new();
        PacketBuilder::ip(etherparse::IpHeaders::Ipv4(header, Default::default()))
            .udp(1, 2)
            .write(&mut packet, SMALL)
            .unwrap();
        let info = parse(&packet);
        assert_eq!((info.ip_header, info.protocol, info.source_port, info.destination_port), (28, UDP, 1, 2));
        assert_eq!((info.payload, info.is_data, info.tcp_seq), (99, false, None));

        let mut packet = Vec::new();
        PacketBuilder::ipv4(A, B, 64)
            .tcp(3, 4, 5, 6)
            .syn()
            .options(&[etherparse::TcpOptionElement::Timestamp(1, 2)])
            .unwrap()
            .write(&mut packet, &[])
            .unwrap();
        let info = parse(&packet);
        assert_eq!((info.payload, info.tcp_flags, info.tcp_seq), (0, TCP_SYN, Some(5)));
    }

    #[test]
    fn ipv6_with_and_without_extension_headers() {
        let (a, b) = ("2001:2::1".parse::<Ipv6Addr>().unwrap(), "2001:2::2".parse::<Ipv6Addr>().unwrap());
        let mut plain = Vec::new();
        PacketBuilder::ipv6(a.octets(), b.octets(), 64).udp(10, 20).write(&mut plain, LARGE).unwrap();
        let info = parse(&plain);
        assert_eq!((info.source, info.destination), (Some(a.into()), Some(b.into())));
        assert_eq!((info.protocol, info.source_port, info.destination_port), (UDP, 10, 20));
        assert_eq!((info.ip_header, info.payload, info.is_data), (40, 100, true));

        // Hop-by-hop options and destination options of 8 and 16 bytes before the datagram.
        let mut extended = plain[..40].to_vec();
        extended[6] = 0;
        extended.extend([60, 0, 1, 4, 0, 0, 0, 0]);
        extended.extend([UDP, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        extended.extend(&plain[40..]);
        let length = (extended.len() - 40) as u16;
        extended[4..6].copy_from_slice(&length.to_be_bytes());
        let expected = PacketInfo { size: extended.len() as u32, ip_header: 64, ..info };
        assert_eq!(parse(&extended), expected);
        let (oracle, _) = etherparse::IpHeaders::from_slice(&extended).unwrap();
        assert_eq!(oracle.header_len(), 64, "the hand-made packet is what it is meant to be");
    }

    #[test]
    fn fragments_have_ports_in_the_first_alone() {
        let mut whole = Vec::new();
        PacketBuilder::ipv4(A, B, 64).udp(10, 20).write(&mut whole, LARGE).unwrap();
        let fragment = |offset: u16, more: bool| {
            let (mut header, rest) = Ipv4Header::from_slice(&whole).unwrap();
            header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
            header.more_fragments = more;
            header.identification = 77;
            let mut packet = header.to_bytes().to_vec();
            packet.extend(rest);
            parse(&packet)
        };
        let (first, middle) = (fragment(0, true), fragment(100, true));
        assert_eq!((first.source_port, first.payload, first.is_data), (10, 100, true));
        assert_eq!((middle.source_port, middle.payload, middle.is_data), (0, 108, false));
        assert_eq!(middle.protocol, UDP);
        assert_eq!((first.fragment_of, middle.fragment_of, parse(&whole).fragment_of), (Some(77), Some(77), None));

        // IPv6 carries the same in an extension header.
        let mut packet = Vec::new();
        PacketBuilder::ipv6([0; 16], [1; 16], 64).udp(10, 20).write(&mut packet, LARGE).unwrap();
        packet.splice(40..40, [UDP, 0, 0, 8, 0, 0, 0, 9]);
        packet[6] = 44;
        let length = (packet.len() - 40) as u16;
        packet[4..6].copy_from_slice(&length.to_be_bytes());
        let later = parse(&packet);
        assert_eq!((later.protocol, later.source_port, later.ip_header, later.is_data), (UDP, 0, 48, false));
        assert_eq!(later.fragment_of, Some(9));
    }

    #[test]
    fn marks_are_quic_tags_or_datagram_heads() {
        let tag = |first: u8, len: u8| {
            let mut payload: Vec<u8> = (0..len).collect();
            payload[0] = first;
            let mut packet = Vec::new();
            PacketBuilder::ipv4(A, B, 64).udp(10, 20).write(&mut packet, &payload).unwrap();
            // Padding of a short Ethernet frame is behind the datagram.
            packet.extend([0xee; 7]);
            parse(&packet).tag
        };
        let run = |first: u8, from: u8| -> Tag {
            let mut bytes = std::array::from_fn(|i| from + i as u8);
            if from == 0 {
                bytes[0] = first;
            }
            bytes
        };
        for quic in [0x40, 0x4f, 0xc3, 0xe0] {
            assert_eq!(tag(quic, 40), Some(run(quic, 24)));
        }
        for own in [0x00, 0x10, 0x3f] {
            assert_eq!(tag(own, 40), Some(run(own, 0)));
        }
        assert_eq!((tag(0x40, 16), tag(0x40, 15)), (Some(run(0x40, 0)), None));
    }

    #[test]
    fn icmp_has_no_ports() {
        let mut packet = Vec::new();
        PacketBuilder::ipv4(A, B, 64).icmpv4_echo_request(1, 2).write(&mut packet, LARGE).unwrap();
        let info = parse(&packet);
        assert_eq!((info.protocol, info.source_port, info.payload, info.is_data), (1, 0, 108, false));
    }

    #[test]
    fn quic_handshakes_are_no_data() {
        let datagram = |payload: &[u8]| {
            let mut packet = Vec::new();
            PacketBuilder::ipv4(A, B, 64).udp(10, 20).write(&mut packet, payload).unwrap();
            parse(&packet).is_data
        };
        let long = |first: u8, version: u32| {
            let mut payload = vec![0u8; 1200];
            payload[0] = first;
            payload[1..5].copy_from_slice(&version.to_be_bytes());
            payload
        };
        assert!(!datagram(&long(0xc3, 1)), "Initial");
        assert!(!datagram(&long(0xe0, 1)), "Handshake");
        assert!(!datagram(&long(0xc0, 0x6b33_43cf)), "QUIC version 2");
        assert!(datagram(&long(0x43, 1)), "short header");
        assert!(datagram(&long(0xc3, 0x1234_5678)), "another program's datagram");
    }

    #[test]
    fn packets_of_handshakes_are_known() {
        let tcp = |payload: &[u8], syn: bool| {
            let builder = PacketBuilder::ipv4(A, B, 64).tcp(1, 2, 3, 4);
            let mut packet = Vec::new();
            (if syn { builder.syn() } else { builder }).write(&mut packet, payload).unwrap();
            parse(&packet).is_handshake
        };
        assert!(tcp(&[], true));
        assert!(tcp(&[22, 3, 1, 2, 0, 1, 0, 1, 252], false), "ClientHello");
        assert!(tcp(&[22, 3, 3, 0, 90, 2, 0, 0, 86], false), "ServerHello");
        assert!(!tcp(&[23, 3, 3, 1, 0], false), "application data");
        assert!(!tcp(&[], false));
        let mut initial = vec![0u8; 1200];
        (initial[0], initial[4]) = (0xc3, 1);
        let mut packet = Vec::new();
        PacketBuilder::ipv4(A, B, 64).udp(10, 20).write(&mut packet, &initial).unwrap();
        assert!(parse(&packet).is_handshake);
    }

    #[test]
    fn congestion_is_marked_where_it_is_understood() {
        for (ecn, capable) in [(0u8, false), (1, true), (2, true), (3, true)] {
            for id in 0..500u16 {
                let mut header = Ipv4Header::new(100, 64, etherparse::IpNumber::UDP, A, B).unwrap();
                header.ecn = etherparse::IpEcn::try_new(ecn).unwrap();
                header.identification = id * 131;
                header.header_checksum = header.calc_header_checksum();
                let mut bytes = header.to_bytes().to_vec();
                bytes.extend([0; 100]);
                let untouched = bytes.clone();
                assert_eq!(mark_congestion(&mut bytes), capable);
                assert!(!capable || is_congestion_marked(&bytes));
                let (marked, _) = Ipv4Header::from_slice(&bytes).unwrap();
                if capable {
                    assert_eq!(marked.ecn.value(), 3);
                    let mut bleached = bytes.clone();
                    assert!(clear_ecn(&mut bleached) && !clear_ecn(&mut bleached));
                    let (cleared, _) = Ipv4Header::from_slice(&bleached).unwrap();
                    assert_eq!((cleared.ecn.value(), cleared.header_checksum), (0, cleared.calc_header_checksum()));
                } else {
                    assert_eq!(bytes, untouched);
                }
                assert_eq!(marked.header_checksum, marked.calc_header_checksum());
            }
            let mut packet = Vec::new();
            PacketBuilder::ipv6([0; 16], [1; 16], 64).udp(10, 20).write(&mut packet, LARGE).unwrap();
            packet[0] |= 0x0a; // a differentiated service beside it
            packet[1] = packet[1] & 0xcf | ecn << 4;
            let untouched = packet.clone();
            assert_eq!(mark_congestion(&mut packet), capable);
            assert_eq!(packet[1] >> 4 & 3, if capable { 3 } else { 0 });
            let mut bleached = packet.clone();
            assert_eq!(clear_ecn(&mut bleached), capable);
            assert_eq!((bleached[0], bleached[1] >> 4 & 3), (packet[0], 0));
            packet[1] = packet[1] & 0xcf | ecn << 4;
            assert_eq!(packet, untouched);
        }
        assert!(!mark_congestion(&mut []));
        assert!(!mark_congestion(&mut [0x45, 3]));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), version in 0u8..16) {
            if let Some(first) = bytes.first_mut() {
                *first = version << 4 | *first & 0x0f;
            }
            let info = parse(&bytes);
            mark_congestion(&mut bytes.clone());
            prop_assert_eq!(info.size as usize, bytes.len());
            prop_assert!(usize::from(info.ip_header) <= bytes.len());
            prop_assert!(info.payload <= info.size);
        }
    }
}
