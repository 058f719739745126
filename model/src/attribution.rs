//! Attribution of packets to messages: which packets carried which bytes of which messages.
//!
//! An **ordering domain** is what a transport delivers strictly in order: a TCP connection, a QUIC
//! stream; a datagram is a domain of its own. Two kinds of record meet in it:
//!
//! - a [`LayoutRecord`] says where the bytes of a message lie in a domain; the sender writes it;
//! - an [`ObservationRecord`] says which bytes of a domain a packet held; an endpoint writes it where the
//!   ledger cannot see into the packet (QUIC, and UDP for its message).
//!
//! TCP needs no observations: the ledger has the sequence numbers, and a domain's offsets count from the
//! initial sequence number plus one. The other observations join the ledger by the packet's
//! [tag](crate::record::PacketRecord::tag).
//!
//! A domain is named by its direction, by the client's port (which tells connections apart, in the
//! ledger too) and by an identifier within the connection: 0 for TCP and TLS, the stream ID for
//! QUIC, [`datagram_domain`] for datagrams.

use serde::{Deserialize, Serialize};

use crate::end::End;
use crate::link::Direction;
use crate::units::Instant;
use crate::workload::StreamId;

/// What tells one packet from all others of its direction: 16 of its bytes.
///
/// QUIC: the last 16 bytes of the UDP payload, the authentication tag of the packet (RFC 9001,
/// section 5.3). Our own datagrams: the first 16, their header.
pub type Tag = [u8; 16];

/// Where a run of bytes that belong to one message lies in its ordering domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutRecord {
    /// The sender's side of the link.
    pub direction: Direction,
    /// The client's port.
    pub port: u16,
    /// Which domain of the connection.
    pub domain: u64,
    /// Offset in the domain of the run's first byte, frame headers counted as the message's own.
    /// Under TLS these are offsets of the ciphertext.
    pub start: u64,
    /// Offset behind the run's last byte.
    pub end: u64,
    /// Where the unit starts that must have arrived whole before any of the run can be read: the TLS
    /// record. Elsewhere the same as `start`.
    pub unit_start: u64,
    /// Where that unit ends. Elsewhere the same as `end`.
    pub unit_end: u64,
    /// The message's stream.
    pub stream: StreamId,
    /// The message's number in its stream; `None` for warm-up and for what serves the connection.
    pub seq: Option<u32>,
}

/// One run of a domain's bytes in one packet, as an endpoint saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservationRecord {
    /// Who saw it.
    pub end: End,
    /// The direction in which the packet went: up if the client sent it.
    pub direction: Direction,
    /// When: as it was protected by its sender, as it was opened by its receiver.
    pub at: Instant,
    /// The client's port.
    pub port: u16,
    /// The transport's own number of the packet; senders may skip numbers.
    pub number: u64,
    /// Joins it to the ledger.
    pub tag: Tag,
    /// The domain whose bytes it held; `None` in a packet without any.
    pub domain: Option<u64>,
    /// Offset in the domain of the first byte.
    pub start: u64,
    /// Offset behind the last byte.
    pub end_offset: u64,
}

/// The domain of a datagram's message: each message has one of its own, beyond every ID of a QUIC stream (RFC 9000,
/// section 2.1), of which the same connection may have some.
pub const fn datagram_domain(stream: StreamId, seq: u32) -> u64 {
    1 << 62 | (stream as u64) << 32 | seq as u64
}
