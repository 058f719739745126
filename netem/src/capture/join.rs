//! Joins packets and their fates, and gives them back in order of arrival.

use std::collections::VecDeque;

use samepath_model::link::Direction;
use samepath_model::record::PacketRecord;

use crate::link::Nanos;
use crate::link::entry::Entry;

/// Bytes of packets that may wait for their fate. Beyond them the oldest is written without it.
const WAITING_BYTES: usize = 256 << 20;
/// Buffers kept for the next packets.
const SPARE_BUFFERS: usize = 4096;

/// A packet, and what became of it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) direction: Direction,
    pub(super) number: u64,
    pub(super) arrived: Nanos,
    pub(super) packet: Vec<u8>,
    /// Of the packet itself and of its copy, as far as they are known.
    pub(super) fates: Vec<PacketRecord>,
    /// Whether `fates` is all there is to know.
    pub(super) complete: bool,
    /// What had happened to the link since the packet before.
    pub(super) notes: Vec<Box<str>>,
}

/// A packet that waits.
#[derive(Debug)]
struct Waiting {
    known: Known,
    /// Fates that there will be; `None` until the data thread has said so.
    expected: Option<usize>,
}

/// Packets between offer and fate.
#[derive(Debug, Default)]
pub(super) struct Join {
    /// By direction; numbers rise.
    waiting: [VecDeque<Waiting>; 2],
    /// The direction of the packet last taken.
    last: Option<Direction>,
    bytes: usize,
    notes: Vec<Box<str>>,
    spare: Vec<Vec<u8>>,
}

impl Join {
    pub(super) fn empty_buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    pub(super) fn give_back(&mut self, known: Known) {
        if self.spare.len() < SPARE_BUFFERS {
            let mut packet = known.packet;
            packet.clear();
            self.spare.push(packet);
        }
    }

    pub(super) fn packet(&mut self, direction: Direction, number: u64, arrived: Nanos, packet: Vec<u8>) {
        self.bytes += packet.len();
        let notes = std::mem::take(&mut self.notes);
        let known = Known { direction, number, arrived, packet, fates: Vec::new(), complete: false, notes };
        self.waiting[direction.index()].push_back(Waiting { known, expected: None });
        self.last = Some(direction);
    }

    pub(super) fn inside(&mut self, copies: u8) {
        let last = self.last.and_then(|direction| self.waiting[direction.index()].back_mut());
        if let Some(waiting) = last {
            waiting.expected = Some(waiting.known.fates.len() + usize::from(copies));
            waiting.settle();
        }
    }

    /// A fate of a packet that is not here (it was missed, or written without its fate) is of no use.
    pub(super) fn fate(&mut self, entry: &Entry) {
        let waiting = &mut self.waiting[entry.direction().index()];
        if let Ok(at) = waiting.binary_search_by_key(&entry.number(), |waiting| waiting.known.number) {
            let waiting = &mut waiting[at];
            waiting.known.fates.push(entry.record(0));
            waiting.settle();
        }
    }

    pub(super) fn note(&mut self, text: Box<str>) {
        self.notes.push(text);
    }

    /// What has happened since the last packet.
    pub(super) fn notes(&self) -> &[Box<str>] {
        &self.notes
    }

    /// The packet that came first of those that wait, if its fate is known, or too much waits.
    pub(super) fn next_known(&mut self) -> Option<Known> {
        let first = self.first()?;
        let waiting = self.waiting[first.index()].front()?;
        // Where too much waits, not even the packet just taken is spared: then it is the only one.
        if waiting.known.complete || self.bytes > WAITING_BYTES { self.pop(first) } else { None }
    }

    /// The packet that came first of those that are left, for when no more fates will come.
    pub(super) fn next_of_rest(&mut self) -> Option<Known> {
        self.first().and_then(|first| self.pop(first))
    }

    /// The direction in which the oldest packet waits. Packets are taken in order of time, so that
    /// none older can come.
    fn first(&self) -> Option<Direction> {
        Direction::BOTH
            .into_iter()
            .filter_map(|direction| Some((self.waiting[direction.index()].front()?.known.arrived, direction)))
            .min()
            .map(|(_, direction)| direction)
    }

    fn pop(&mut self, direction: Direction) -> Option<Known> {
        let known = self.waiting[direction.index()].pop_front()?.known;
        self.bytes -= known.packet.len();
        Some(known)
    }
}

impl Waiting {
    fn settle(&mut self) {
        self.known.complete = self.expected.is_some_and(|expected| self.known.fates.len() >= expected);
    }
}
