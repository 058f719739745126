//! The messages that may go in one direction, which both ends derive from spec and seed.
//!
//! So nothing about them crosses the wire while they are measured, and the receiver knows what every byte must be.
//! Which of them is released, and when, the sender's [driver](super::driver) decides.

use std::sync::Arc;

use super::coding::Content;
use super::message::{Class, Length, MessageId};
use super::size::Size;
use super::stream::{StreamId, share};
use crate::link::Direction;
use crate::units::{ByteCount, Duration};

/// Streams next to each other that carry messages alike, as many on each.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Number of streams.
    pub streams: u16,
    /// Most messages that a stream carries.
    pub per_stream: u32,
    /// What they are written for.
    pub class: Class,
    /// How long they are.
    pub lengths: Lengths,
}

impl Block {
    /// Number of messages.
    pub fn len(&self) -> usize {
        usize::from(self.streams) * self.per_stream as usize
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where the messages of a block end.
#[derive(Debug, Clone, PartialEq)]
pub enum Lengths {
    /// Each at this time from the start of the schedule.
    Until(Duration),
    /// Each after so many bytes.
    Fixed(ByteCount),
    /// The one of each stream after its share of so many bytes.
    Share(ByteCount),
    /// Each after as many bytes as the list says of its number; beyond its end the list begins again.
    Each(Arc<[u32]>),
    /// Each after as many sizes as are drawn for it, one after the other, together.
    Drawn {
        /// What they are drawn from.
        size: Size,
        /// How many of them make a message.
        sum_of: u16,
        /// The first message of a stream that has one byte in place of that, as those that follow.
        one_byte_from: u32,
    },
    /// Those of each stream after these in turn, from the first again after the last.
    InTurn(Arc<[ByteCount]>),
}

/// A block of a table.
#[derive(Debug, Clone, PartialEq)]
struct Placed {
    /// Its first stream.
    first: StreamId,
    /// The place of its first message.
    place: usize,
    block: Block,
    content: Content,
}

/// The messages that may go in one direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    direction: Direction,
    seed: u64,
    blocks: Vec<Placed>,
    streams: u16,
    len: usize,
}

impl Table {
    /// A table without messages; `seed` decides the lengths that are drawn.
    pub const fn new(direction: Direction, seed: u64) -> Table {
        Table { direction, seed, blocks: Vec::new(), streams: 0, len: 0 }
    }

    /// The same without streams.
    pub(super) const fn without_streams(&self) -> Table {
        Table::new(self.direction, self.seed)
    }

    /// Adds the next `streams` streams, which carry `block`, of random bytes, or nothing in this direction.
    pub fn add(&mut self, streams: u16, block: Option<Block>) {
        self.add_of(Content::Random, streams, block);
    }

    /// Adds the next `streams` streams, which carry `block`, of such bytes, or nothing in this direction.
    pub fn add_of(&mut self, content: Content, streams: u16, block: Option<Block>) {
        let first = self.streams;
        self.streams += streams;
        if let Some(block) = block.filter(|block| !block.is_empty()) {
            let place = self.len;
            self.len += block.len();
            self.blocks.push(Placed { first, place, block, content });
        }
    }

    /// Which way they go.
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// What decides the lengths that are drawn.
    pub(super) const fn seed(&self) -> u64 {
        self.seed
    }

    /// Number of streams, those without messages included.
    pub const fn streams(&self) -> u16 {
        self.streams
    }

    /// Number of messages.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing goes in this direction.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The blocks.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().map(|placed| &placed.block)
    }

    /// Whether any of the messages is of bytes that are not random.
    pub fn has_text(&self) -> bool {
        self.blocks.iter().any(|placed| placed.content != Content::Random)
    }

    /// Whether any of the messages is compressed.
    pub fn has_compressed(&self) -> bool {
        self.blocks.iter().any(|placed| placed.content.coding().is_some())
    }

    fn placed(&self, stream: StreamId) -> Option<&Placed> {
        self.blocks.iter().find(|placed| stream.checked_sub(placed.first).is_some_and(|n| n < placed.block.streams))
    }

    /// What the bytes of a message are: random where a single byte stands in place of its size.
    pub fn content(&self, stream: StreamId, seq: u32) -> Content {
        let Some(Placed { block, content, .. }) = self.placed(stream) else { return Content::Random };
        let is_whole = match block.lengths {
            Lengths::Drawn { one_byte_from, .. } => seq < one_byte_from,
            _ => seq < block.per_stream,
        };
        if is_whole { *content } else { Content::Random }
    }

    /// Most messages that a stream carries.
    pub fn per_stream(&self, stream: StreamId) -> u32 {
        self.placed(stream).map_or(0, |placed| placed.block.per_stream)
    }

    /// What a stream's messages are written for; `None` where it carries none.
    pub fn class(&self, stream: StreamId) -> Option<Class> {
        self.placed(stream).map(|placed| placed.block.class)
    }

    /// Place of a message among all of them; `None` where there is no such message.
    pub fn index(&self, stream: StreamId, seq: u32) -> Option<usize> {
        let Placed { first, place, block, .. } = self.placed(stream)?;
        let within = seq as usize * usize::from(block.streams) + usize::from(stream - first);
        (seq < block.per_stream).then_some(place + within)
    }

    /// Where a message ends; `None` where there is no such message.
    pub fn length(&self, stream: StreamId, seq: u32) -> Option<Length> {
        let Placed { first, block, .. } = self.placed(stream)?;
        (seq < block.per_stream).then(|| self.length_in(*first, block, stream, seq))
    }

    fn length_in(&self, first: StreamId, block: &Block, stream: StreamId, seq: u32) -> Length {
        match &block.lengths {
            Lengths::Until(time) => Length::Until(*time),
            Lengths::Fixed(bytes) => Length::Bytes(*bytes),
            Lengths::Share(all) => Length::Bytes(share(*all, block.streams, stream - first)),
            Lengths::Each(sizes) => Length::Bytes(ByteCount::new(u64::from(sizes[seq as usize % sizes.len()]))),
            Lengths::Drawn { one_byte_from, .. } if seq >= *one_byte_from => Length::Bytes(ByteCount::new(1)),
            Lengths::Drawn { size, sum_of, .. } => {
                let part = |part| {
                    let seq = seq.wrapping_mul(u32::from(*sum_of)).wrapping_add(part);
                    size.of(self.seed, MessageId { direction: self.direction, stream, seq })
                };
                Length::Bytes(ByteCount::new((0..u32::from(*sum_of)).map(part).sum()))
            }
            Lengths::InTurn(all) => Length::Bytes(all[seq as usize % all.len()]),
        }
    }

    /// Every message by stream, number and length, in the order of their places.
    pub fn messages(&self) -> impl Iterator<Item = (StreamId, u32, Length)> {
        self.blocks.iter().flat_map(move |Placed { first, block, .. }| {
            (0..block.per_stream).flat_map(move |seq| {
                (*first..first + block.streams)
                    .map(move |stream| (stream, seq, self.length_in(*first, block, stream, seq)))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(streams: u16, per_stream: u32) -> Block {
        Block { streams, per_stream, class: Class::Latency, lengths: Lengths::Fixed(ByteCount::new(7)) }
    }

    #[test]
    fn every_message_has_its_own_place() {
        let mut table = Table::new(Direction::Down, 1);
        table.add(3, Some(block(3, 5)));
        table.add(2, None);
        table.add(1, Some(Block { lengths: Lengths::Share(ByteCount::new(9)), ..block(1, 1) }));
        let places: Vec<_> = table.messages().map(|(stream, seq, _)| table.index(stream, seq).unwrap()).collect();
        assert_eq!(places, (0..16).collect::<Vec<_>>());
        assert_eq!((table.len(), table.streams()), (16, 6));
        for nowhere in [(3, 0), (0, 5), (5, 1), (6, 0)] {
            assert_eq!((table.index(nowhere.0, nowhere.1), table.length(nowhere.0, nowhere.1)), (None, None));
        }
        assert_eq!(table.length(5, 0), Some(Length::Bytes(ByteCount::new(9))));
        assert_eq!((table.per_stream(2), table.per_stream(4), table.class(4)), (5, 0, None));
    }
}
