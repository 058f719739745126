//! Slots: packets leave in groups, after pauses.
//!
//! As netem's `slot`: what is due waits for the next slot, which lets so many packets and bytes
//! through at once and is followed by a pause. A slot that opened while nothing was due is not kept:
//! the pause is drawn anew from when the next packet is due.

use samepath_model::link::{Direction, Slot};

use super::Nanos;
use super::draws::{Draws, Effect, Key};

/// The gate at the end of one direction.
#[derive(Debug)]
pub(super) struct Gate {
    slot: Slot,
    draws: Draws,
    /// Pauses drawn so far.
    pauses: u64,
    /// When the slot opens that is open or comes next.
    opens: Nanos,
    packets_left: u64,
    bytes_left: u64,
}

impl Gate {
    pub(super) fn new(slot: Slot, seed: u64, direction: Direction) -> Self {
        let mut gate =
            Gate { slot, draws: Draws::new(seed, direction), pauses: 0, opens: 0, packets_left: 0, bytes_left: 0 };
        gate.refill();
        gate
    }

    pub(super) fn is(&self, slot: Slot) -> bool {
        self.slot == slot
    }

    /// The next packet is due at `due`.
    pub(super) fn face(&mut self, due: Nanos) {
        // The kernel's is open from its start, so the first packet waits for no slot.
        if self.opens == 0 {
            self.opens = due;
        }
        if self.opens < due {
            self.pause(due);
        }
    }

    /// When a packet that is due at `due`, and which the gate faces, may leave.
    pub(super) fn passes(&self, due: Nanos) -> Nanos {
        due.max(self.opens)
    }

    /// A packet of `size` bytes left at `at`.
    pub(super) fn passed(&mut self, at: Nanos, size: u32) {
        self.packets_left = self.packets_left.saturating_sub(1);
        self.bytes_left = self.bytes_left.saturating_sub(u64::from(size));
        if self.packets_left == 0 || self.bytes_left == 0 {
            self.pause(at);
        }
    }

    fn pause(&mut self, from: Nanos) {
        let (min, max) = (self.slot.min.as_nanos(), self.slot.max.as_nanos());
        let share = self.draws.uniform(Effect::SlotPause, false, Key::index(self.pauses));
        self.pauses += 1;
        self.opens = from + min + (share * (max - min) as f64) as u64;
        self.refill();
    }

    fn refill(&mut self) {
        self.packets_left = self.slot.packets.map_or(u64::MAX, u64::from);
        self.bytes_left = self.slot.bytes.map_or(u64::MAX, |bytes| bytes.bytes());
    }
}
