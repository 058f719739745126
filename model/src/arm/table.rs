//! The arms that are built, a row each.

use super::look::{Look, Marker};
use super::parts::{Application, AttributedBy, Connections, IpProtocol, Mapping, OrderingDomain, Stack, Transport};

/// An arm, without its features.
#[derive(Debug)]
pub struct ArmRow {
    /// The shortest spelling of its name.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// What frames its messages.
    pub application: Application,
    /// What carries the bytes.
    pub transport: Transport,
    /// Who implements the transport.
    pub stack: Stack,
    /// How the workload's streams lie on the transport.
    pub mapping: Mapping,
    /// What shares one order of delivery.
    pub ordering: OrderingDomain,
    /// Whether what was sent arrives whole and in order, or the connection fails.
    pub is_reliable: bool,
    /// Whether how fast it sends is under congestion control.
    pub is_congestion_controlled: bool,
    /// The connections that carry a workload.
    pub connections: Connections,
    /// Round trips from the first packet until the client's end is connected; `None` without a handshake.
    pub handshake_round_trips: Option<u8>,
    /// Round trips from the first packet until the first byte of an answer.
    pub first_byte_round_trips: u8,
    /// What its packets are in IP.
    pub ip_protocol: IpProtocol,
    /// What says which packet carried which bytes.
    pub attributed_by: AttributedBy,
    /// The smallest MTU over which it can run, in bytes, where it has one of its own; else 0.
    pub least_mtu: u16,
    /// How charts show it.
    pub look: Look,
}

impl ArmRow {
    /// Connections of the transport that carry so many streams, and are made before anything is sent.
    pub const fn connections(&self, streams: u16) -> u16 {
        match self.connections {
            Connections::One => 1,
            Connections::PerStream => streams,
            Connections::PerMessage => 0,
        }
    }

    /// The name with every part: `raw/tcp@kernel/shared`.
    pub fn spelled_out(&self) -> String {
        format!("{}/{}@{}/{}", self.application, self.transport, self.stack, self.mapping)
    }
}

/// Every arm that is built, in the order in which charts show them. Of the rows with a transport, the first one says
/// which stack its bare name stands for, and of those with a stack, which mapping.
pub static ARMS: [ArmRow; 11] = [
    TCP,
    ArmRow {
        name: "tcp/per-stream",
        about: "a TCP connection for each stream",
        mapping: Mapping::PerStream,
        ordering: OrderingDomain::Stream,
        connections: Connections::PerStream,
        look: Look::new([0x00, 0x45, 0x6d], Marker::Ring, &[12.0, 3.0]),
        ..TCP
    },
    ArmRow {
        name: "tcp/per-message",
        about: "a TCP connection for each request and its response",
        mapping: Mapping::PerMessage,
        ordering: OrderingDomain::Message,
        connections: Connections::PerMessage,
        look: Look::new([0x3d, 0x5a, 0x8f], Marker::TriangleLeft, &[2.0, 4.0]),
        ..TCP
    },
    TLS,
    ArmRow {
        name: "tls/per-stream",
        about: "a TLS 1.3 connection for each stream",
        mapping: Mapping::PerStream,
        ordering: OrderingDomain::Stream,
        connections: Connections::PerStream,
        look: Look::new([0x2a, 0x86, 0xc0], Marker::DiamondHollow, &[9.0, 3.0, 2.0, 3.0, 2.0, 3.0]),
        ..TLS
    },
    ArmRow {
        name: "tls/per-message",
        about: "a TLS 1.3 connection for each request and its response",
        mapping: Mapping::PerMessage,
        ordering: OrderingDomain::Message,
        connections: Connections::PerMessage,
        look: Look::new([0x7f, 0xa6, 0xb5], Marker::TriangleLeftHollow, &[7.0, 2.0, 1.5, 2.0, 1.5, 2.0]),
        ..TLS
    },
    QUIC,
    ArmRow {
        name: "quic/shared",
        about: "one QUIC connection, all streams framed on one QUIC stream: the control for `tls`",
        mapping: Mapping::Shared,
        ordering: OrderingDomain::Connection,
        look: Look::new([0x8a, 0x3c, 0x00], Marker::TriangleDown, &[3.5, 2.5]),
        ..QUIC
    },
    ArmRow {
        name: "quic/per-message",
        about: "one QUIC connection, a QUIC stream for each message",
        mapping: Mapping::PerMessage,
        ordering: OrderingDomain::Message,
        look: Look::new([0xe8, 0x8a, 0x45], Marker::TriangleRight, &[10.0, 4.0]),
        ..QUIC
    },
    // Unreliable, and yet encrypted and under congestion control (RFC 9221).
    ArmRow {
        name: "quic/datagram",
        about: "one QUIC connection, each message in DATAGRAM frames, no retransmission",
        mapping: Mapping::Datagram,
        ordering: OrderingDomain::Nothing,
        is_reliable: false,
        look: Look::new([0xcc, 0x79, 0xa7], Marker::SquareHollow, &[4.0, 2.0, 1.5, 2.0]),
        ..QUIC
    },
    ArmRow {
        name: "udp",
        about: "datagrams, no retransmission",
        application: Application::Raw,
        transport: Transport::Udp,
        stack: Stack::Kernel,
        mapping: Mapping::Datagram,
        ordering: OrderingDomain::Nothing,
        is_reliable: false,
        is_congestion_controlled: false,
        connections: Connections::One,
        handshake_round_trips: None,
        first_byte_round_trips: 1,
        ip_protocol: IpProtocol::Udp,
        attributed_by: AttributedBy::Observations,
        least_mtu: 0,
        look: Look::new([0x00, 0x9e, 0x73], Marker::Square, &[1.8, 2.6]),
    },
];

/// One round trip for SYN and SYN-ACK (RFC 9293, section 3.5), another for request and answer.
const TCP: ArmRow = ArmRow {
    name: "tcp",
    about: "all streams framed on one TCP connection",
    application: Application::Raw,
    transport: Transport::Tcp,
    stack: Stack::Kernel,
    mapping: Mapping::Shared,
    ordering: OrderingDomain::Connection,
    is_reliable: true,
    is_congestion_controlled: true,
    connections: Connections::One,
    handshake_round_trips: Some(1),
    first_byte_round_trips: 2,
    ip_protocol: IpProtocol::Tcp,
    attributed_by: AttributedBy::SequenceNumbers,
    least_mtu: 0,
    look: Look::new([0x00, 0x72, 0xb2], Marker::Circle, &[]),
};

/// One more round trip than TCP, for the handshake of TLS 1.3 (RFC 8446, section 2).
const TLS: ArmRow = ArmRow {
    name: "tls",
    about: "all streams framed on one TLS 1.3 connection",
    transport: Transport::Tls,
    stack: Stack::Rustls,
    handshake_round_trips: Some(2),
    first_byte_round_trips: 3,
    attributed_by: AttributedBy::TlsRecords,
    look: Look::new([0x56, 0xb4, 0xe9], Marker::Diamond, &[8.0, 3.0, 2.0, 3.0]),
    ..TCP
};

/// The handshakes of connection and TLS 1.3 in one (RFC 9001). Its datagrams have 1200 bytes of payload at least
/// (RFC 9000, section 14), beside the headers of IPv6 and UDP.
const QUIC: ArmRow = ArmRow {
    name: "quic",
    about: "one QUIC connection, a QUIC stream for each stream",
    application: Application::Raw,
    transport: Transport::Quic,
    stack: Stack::Quinn,
    mapping: Mapping::PerStream,
    ordering: OrderingDomain::Stream,
    is_reliable: true,
    is_congestion_controlled: true,
    connections: Connections::One,
    handshake_round_trips: Some(1),
    first_byte_round_trips: 2,
    ip_protocol: IpProtocol::Udp,
    attributed_by: AttributedBy::Observations,
    least_mtu: 1248,
    look: Look::new([0xd5, 0x5e, 0x00], Marker::Triangle, &[6.0, 3.0]),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_arms_look_alike() {
        for (i, a) in ARMS.iter().enumerate() {
            assert_ne!(a.look.marker, Marker::Cross, "{} is no lost packet", a.name);
            for b in &ARMS[i + 1..] {
                let (one, other) = (a.look, b.look);
                let apart = one.colour != other.colour && one.marker != other.marker && one.dash != other.dash;
                assert!(apart, "{} and {} in colour, marker or dash", a.name, b.name);
            }
        }
    }

    #[test]
    fn what_the_columns_say_fits_together() {
        for arm in &ARMS {
            let name = arm.name;
            assert!(!arm.about.is_empty(), "{name}");
            assert_eq!(arm.ordering == OrderingDomain::Nothing, !arm.is_reliable, "{name}");
            let handshake = arm.handshake_round_trips.unwrap_or(0);
            assert!(arm.first_byte_round_trips > handshake, "{name}: an answer takes a round trip");
            let in_ledger = arm.attributed_by != AttributedBy::Observations;
            assert_eq!(in_ledger, arm.ip_protocol == IpProtocol::Tcp, "{name}");
            let connections = match arm.connections {
                Connections::One => 1,
                Connections::PerStream => 3,
                Connections::PerMessage => 0,
            };
            assert_eq!(arm.connections(3), connections, "{name}");
        }
    }
}
