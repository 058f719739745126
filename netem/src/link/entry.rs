//! A line of the ledger: what became of one packet, from its arrival at the link to its fate.
//!
//! The link core begins and finishes it; the ledger's spool holds it in a form of fixed width.

use samepath_model::attribution::Tag;
use samepath_model::link::Direction;
use samepath_model::record::{DropCause, PacketRecord};

use super::instant::Nanos;
use super::packet::PacketInfo;

/// One line of the ledger, in absolute time; compact, so that a second of traffic fits the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    number: u64,
    arrived: Nanos,
    left: Nanos,
    queued: u64,
    size: u32,
    payload: u32,
    tcp_seq: u32,
    source_port: u16,
    destination_port: u16,
    protocol: u8,
    tcp_flags: u8,
    flags: u8,
    tag: Tag,
    /// 0: not dropped; else 1 + the position of the cause in [`DropCause::ALL`].
    cause: u8,
}

/// Bits of `Entry::flags`.
mod flag {
    pub(super) const DOWN: u8 = 1;
    pub(super) const DUPLICATE: u8 = 1 << 1;
    pub(super) const CORRUPTED: u8 = 1 << 2;
    pub(super) const HAS_TCP_SEQ: u8 = 1 << 3;
    pub(super) const LEFT: u8 = 1 << 4;
    pub(super) const HAS_TAG: u8 = 1 << 5;
    pub(super) const CONGESTION: u8 = 1 << 6;
    pub(super) const BYPASSED: u8 = 1 << 7;
}

impl Entry {
    /// An unfinished entry for the `number`-th packet of `direction`, which came at `arrived`.
    pub fn new(direction: Direction, number: u64, arrived: Nanos, info: &PacketInfo) -> Self {
        let down = if direction == Direction::Down { flag::DOWN } else { 0 };
        let has_seq = if info.tcp_seq.is_some() { flag::HAS_TCP_SEQ } else { 0 };
        let has_tag = if info.tag.is_some() { flag::HAS_TAG } else { 0 };
        Entry {
            number,
            arrived,
            left: 0,
            queued: 0,
            size: info.size,
            payload: info.payload,
            tcp_seq: info.tcp_seq.unwrap_or(0),
            source_port: info.source_port,
            destination_port: info.destination_port,
            protocol: info.protocol,
            tcp_flags: info.tcp_flags,
            flags: down | has_seq | has_tag,
            tag: info.tag.unwrap_or_default(),
            cause: 0,
        }
    }

    /// The entry of a copy of this packet.
    #[must_use]
    pub fn as_duplicate(self) -> Self {
        Entry { flags: self.flags | flag::DUPLICATE, ..self }
    }

    /// Whether this is a copy that the link made.
    pub fn is_duplicate(&self) -> bool {
        self.flags & flag::DUPLICATE != 0
    }

    /// Whether a bit was flipped.
    pub fn is_corrupted(&self) -> bool {
        self.flags & flag::CORRUPTED != 0
    }

    /// Whether the link marked it "congestion experienced".
    pub fn is_congestion_marked(&self) -> bool {
        self.flags & flag::CONGESTION != 0
    }

    /// Whether it passed the conditions by, as one that their filter does not match.
    pub fn is_bypassed(&self) -> bool {
        self.flags & flag::BYPASSED != 0
    }

    /// Which way it goes.
    pub fn direction(&self) -> Direction {
        if self.flags & flag::DOWN != 0 { Direction::Down } else { Direction::Up }
    }

    /// The port it comes from; 0 of what has none.
    pub(super) fn source_port(&self) -> u16 {
        self.source_port
    }

    /// The port it goes to; 0 of what has none.
    pub(super) fn destination_port(&self) -> u16 {
        self.destination_port
    }

    /// Its number in its direction.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When it came.
    pub fn arrived(&self) -> Nanos {
        self.arrived
    }

    /// Nanoseconds from its arrival to the end of its transmission, as [`PacketRecord::queued`].
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// Bytes of the IP packet.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// When it left; `None` if it did not, or not yet.
    pub fn left(&self) -> Option<Nanos> {
        (self.flags & flag::LEFT != 0).then_some(self.left)
    }

    /// Why it was dropped, if it was.
    pub fn cause(&self) -> Option<DropCause> {
        DropCause::ALL.get(usize::from(self.cause).checked_sub(1)?).copied()
    }

    pub(crate) fn set_queued(&mut self, nanos: u64) {
        self.queued = nanos;
    }

    pub(crate) fn set_marked(&mut self) {
        self.flags |= flag::CONGESTION;
    }

    pub(crate) fn set_bypassed(&mut self) {
        self.flags |= flag::BYPASSED;
    }

    pub(crate) fn set_corrupted(&mut self) {
        self.flags |= flag::CORRUPTED;
    }

    #[must_use]
    pub(crate) fn finish_left(self, now: Nanos) -> Self {
        Entry { left: now, flags: self.flags | flag::LEFT, ..self }
    }

    #[must_use]
    pub(crate) fn finish_dropped(self, cause: DropCause) -> Self {
        Entry { cause: 1 + cause as u8, ..self }
    }

    /// The record, with its times counted from `epoch`.
    pub fn record(&self, epoch: Nanos) -> PacketRecord {
        let since = |at: Nanos| at.wrapping_sub(epoch).cast_signed();
        PacketRecord {
            flow: None,
            direction: self.direction(),
            number: self.number,
            duplicate: self.is_duplicate(),
            arrived: since(self.arrived),
            size: self.size,
            protocol: self.protocol,
            source_port: self.source_port,
            destination_port: self.destination_port,
            payload: self.payload,
            tcp_seq: (self.flags & flag::HAS_TCP_SEQ != 0).then_some(self.tcp_seq),
            tcp_flags: self.tcp_flags,
            tag: (self.flags & flag::HAS_TAG != 0).then_some(self.tag),
            queued: self.queued,
            corrupted: self.is_corrupted(),
            congestion_marked: self.is_congestion_marked(),
            bypassed: self.is_bypassed(),
            left: self.left().map(since),
            dropped: self.cause(),
        }
    }

    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut line = [0; ENTRY_BYTES];
        let mut rest = line.as_mut_slice();
        let mut put = |bytes: &[u8]| {
            let (head, tail) = std::mem::take(&mut rest).split_at_mut(bytes.len());
            head.copy_from_slice(bytes);
            rest = tail;
        };
        for word in [self.number, self.arrived, self.left, self.queued] {
            put(&word.to_le_bytes());
        }
        for word in [self.size, self.payload, self.tcp_seq] {
            put(&word.to_le_bytes());
        }
        for word in [self.source_port, self.destination_port] {
            put(&word.to_le_bytes());
        }
        put(&[self.protocol, self.tcp_flags, self.flags, self.cause]);
        put(&self.tag);
        line
    }

    pub(crate) fn decode(line: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| line[at + i]));
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| line[at + i]));
        let short = |at: usize| u16::from_le_bytes(std::array::from_fn(|i| line[at + i]));
        let entry = Entry {
            number: long(0),
            arrived: long(8),
            left: long(16),
            queued: long(24),
            size: word(32),
            payload: word(36),
            tcp_seq: word(40),
            source_port: short(44),
            destination_port: short(46),
            protocol: line[48],
            tcp_flags: line[49],
            flags: line[50],
            cause: line[51],
            tag: std::array::from_fn(|i| line[52 + i]),
        };
        (usize::from(entry.cause) <= DropCause::ALL.len()).then_some(entry)
    }
}

/// Bytes of an entry in the file: 4 × 8, 3 × 4, 2 × 2, 4 × 1 and the tag.
pub(crate) const ENTRY_BYTES: usize = 68;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_entry_survives_its_encoding(
            number: u64, arrived: u64, left: u64, queued: u64, size: u32, payload: u32, tcp_seq: Option<u32>,
            ports: (u16, u16), protocol: u8, tcp_flags: u8, down: bool, duplicate: bool, corrupted: bool,
            tag: Option<[u8; 16]>, fate in 0usize..8,
        ) {
            let direction = if down { Direction::Down } else { Direction::Up };
            let info = PacketInfo {
                size, payload, tcp_seq, protocol, tcp_flags, tag,
                source_port: ports.0, destination_port: ports.1,
                ..PacketInfo::default()
            };
            let mut entry = Entry::new(direction, number, arrived, &info);
            entry.set_queued(queued);
            if duplicate {
                entry = entry.as_duplicate();
            }
            if corrupted {
                entry.set_corrupted();
            }
            entry = match fate {
                0 => entry,
                1 => entry.finish_left(left),
                n => entry.finish_dropped(DropCause::ALL[n - 2]),
            };
            prop_assert_eq!(Entry::decode(&entry.encode()), Some(entry));
            let record = entry.record(0);
            prop_assert_eq!(record.tcp_seq, tcp_seq);
            prop_assert_eq!(record.tag, tag);
            prop_assert_eq!(record.direction, direction);
            prop_assert_eq!(record.duplicate, duplicate);
            prop_assert_eq!(record.corrupted, corrupted);
            prop_assert_eq!(record.left, (fate == 1).then_some(left.cast_signed()));
            prop_assert_eq!(record.dropped, (fate > 1).then(|| DropCause::ALL[fate - 2]));
        }
    }
}
