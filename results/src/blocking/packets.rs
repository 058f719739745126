//! The ledger in small: the packets that carried payload, in the order in which they came to the link.

use std::collections::HashMap;

use samepath_model::attribution::Tag;
use samepath_model::link::Direction;
use samepath_model::record::{DropCause, Instant, PacketRecord};
use serde::{Serialize, Serializer};

/// The instant of what never happened; later than any other.
pub const NEVER: Instant = Instant::MAX;

/// IP protocol number of TCP.
const TCP: u8 = 6;
/// The flag of the segment that opens a connection (RFC 9293, section 3.1).
const SYN: u8 = 0x02;

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It reached the receiving host intact.
    Delivered,
    /// It reached the receiving host with a flipped bit, so that its checksum or tag refused it.
    Corrupted,
    /// The link dropped it.
    Dropped(DropCause),
}

impl Fate {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Fate::Delivered => "delivered",
            Fate::Corrupted => "corruption",
            Fate::Dropped(cause) => cause.name(),
        }
    }
}

impl Serialize for Fate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A packet with payload, as the ledger knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Its number in its direction.
    pub number: u64,
    /// When it came to the link.
    pub arrived: Instant,
    /// When it left the link for the receiving host, harmed or not; [`NEVER`] where it did not.
    pub left: Instant,
    /// How long it waited for the bottleneck and was transmitted, in nanoseconds.
    pub queued: u64,
    /// Bytes of the IP packet.
    pub size: u32,
    /// Which way it went.
    pub direction: Direction,
    /// Whether the link itself made this copy.
    pub duplicate: bool,
    /// Whether it passed the link's conditions by.
    pub bypassed: bool,
    /// What became of it.
    pub fate: Fate,
    pub(super) port: u16,
    pub(super) seq: Option<u32>,
    pub(super) payload: u32,
    pub(super) opens: bool,
    pub(super) tag: Option<Tag>,
}

impl Packet {
    /// Of a line of the ledger; `None` where it neither carries payload nor opens a connection.
    pub(super) fn of(record: &PacketRecord) -> Option<Packet> {
        let opens = record.protocol == TCP && record.tcp_flags & SYN != 0;
        if record.payload == 0 && !opens {
            return None;
        }
        let fate = match (record.dropped, record.left) {
            (Some(cause), _) => Fate::Dropped(cause),
            (None, None) => Fate::Dropped(DropCause::LinkDown),
            (None, Some(_)) if record.corrupted => Fate::Corrupted,
            (None, Some(_)) => Fate::Delivered,
        };
        Some(Packet {
            number: record.number,
            arrived: record.arrived,
            left: record.left.unwrap_or(NEVER),
            queued: record.queued,
            size: record.size,
            direction: record.direction,
            duplicate: record.duplicate,
            bypassed: record.bypassed,
            fate,
            port: match record.direction {
                Direction::Up => record.source_port,
                Direction::Down => record.destination_port,
            },
            seq: record.tcp_seq,
            payload: record.payload,
            opens,
            tag: record.tag,
        })
    }

    /// When the receiving host had its bytes; [`NEVER`] where it did not get them.
    pub fn delivered(&self) -> Instant {
        if self.fate == Fate::Delivered { self.left } else { NEVER }
    }
}

/// Some of a domain's bytes in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    /// Place in the list of domains.
    pub(super) domain: u32,
    /// Place in the list of packets.
    pub(super) packet: u32,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Puts the packets into the order in which they came; a copy that the link made follows its original.
pub(super) fn sort(packets: &mut [Packet]) {
    packets.sort_unstable_by_key(|packet| (packet.arrived, packet.direction, packet.number, packet.duplicate));
}

/// What each TCP segment carried: offsets in its connection's byte stream, counted from the initial
/// sequence number plus one, past the wrap of the 32-bit numbers (RFC 9293, section 3.4).
///
/// `domain` finds the place of a connection's domain by direction and client's port.
pub(super) fn tcp_runs(packets: &[Packet], domain: impl Fn(Direction, u16) -> Option<u32>) -> Vec<Run> {
    struct Flow {
        domain: Option<u32>,
        /// Sequence number of the first byte.
        first: u32,
        /// Offset behind the last byte seen.
        high: i64,
    }
    let mut flows: HashMap<(Direction, u16), Flow> = HashMap::new();
    let mut runs = Vec::with_capacity(packets.len());
    for (place, packet) in packets.iter().enumerate() {
        let Some(seq) = packet.seq else { continue };
        let key = (packet.direction, packet.port);
        if packet.opens {
            // A second SYN is the first one again.
            flows.entry(key).or_insert_with(|| Flow {
                domain: domain(key.0, key.1),
                first: seq.wrapping_add(1),
                high: 0,
            });
            continue;
        }
        let Some(flow) = flows.get_mut(&key) else { continue };
        let Some(domain) = flow.domain else { continue };
        // The offset nearest to the last one that is congruent to the number.
        let near = seq.wrapping_sub(flow.first).wrapping_sub(flow.high as u32).cast_signed();
        let start = flow.high + i64::from(near);
        let end = start + i64::from(packet.payload);
        if end <= 0 {
            continue;
        }
        flow.high = flow.high.max(end);
        runs.push(Run { domain, packet: place as u32, start: start.max(0) as u64, end: end as u64 });
    }
    runs
}

/// The packets by their tags.
pub(super) struct Tags(Vec<(u128, u32)>);

impl Tags {
    pub(super) fn of(packets: &[Packet]) -> Tags {
        let mut tags: Vec<(u128, u32)> = packets
            .iter()
            .enumerate()
            .filter_map(|(place, packet)| Some((u128::from_be_bytes(packet.tag?), place as u32)))
            .collect();
        tags.sort_unstable();
        Tags(tags)
    }

    /// Every packet that bears the tag: one, but for copies that the link made.
    pub(super) fn with(&self, tag: Tag) -> impl Iterator<Item = u32> + '_ {
        let tag = u128::from_be_bytes(tag);
        let from = self.0.partition_point(|&(other, _)| other < tag);
        self.0[from..].iter().take_while(move |&&(other, _)| other == tag).map(|&(_, place)| place)
    }
}
