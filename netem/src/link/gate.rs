//! Slots: packets leave in groups, after pauses.
//!
//! As netem's `slot`: what is due waits for the next slot, which lets so many packets and bytes
//! through at once and is followed by a pause. A slot that opened while nothing was due is not kept:
//! the pause is drawn anew from when the next packet is due.

use std::sync::Arc;

use samepath_model::link::{Direction, Pause, Slot};

use super::distribution;
use super::draws::{Draws, Effect, Key};
use super::instant::Nanos;

/// The gate at the end of one direction.
#[derive(Debug)]
pub(super) struct Gate {
    slot: Slot,
    /// The table of the pauses; `None`: uniform.
    table: Option<Arc<[i16]>>,
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
        let table = match &slot.pause {
            Pause::Distributed { distribution, .. } => distribution::table(distribution),
            Pause::Between { .. } => None,
        };
        let draws = Draws::new(seed, direction);
        let mut gate = Gate { slot, table, draws, pauses: 0, opens: 0, packets_left: 0, bytes_left: 0 };
        gate.refill();
        gate
    }

    pub(super) fn is(&self, slot: &Slot) -> bool {
        self.slot == *slot
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
        let share = self.draws.uniform(Effect::SlotPause, false, Key::index(self.pauses));
        self.pauses += 1;
        let pause = match &self.slot.pause {
            Pause::Between { min, max } => {
                let (min, max) = (min.as_nanos(), max.as_nanos());
                min + (share * (max - min) as f64) as Nanos
            }
            Pause::Distributed { delay, jitter, .. } => {
                let (delay, jitter) = (delay.as_nanos() as f64, jitter.as_nanos() as f64);
                let value = match &self.table {
                    Some(table) => f64::from(table[(share * table.len() as f64) as usize]) / distribution::SCALE,
                    None => 2.0 * share - 1.0,
                };
                (delay + jitter * value).max(0.0) as Nanos
            }
        };
        self.opens = from + pause;
        self.refill();
    }

    fn refill(&mut self) {
        self.packets_left = self.slot.packets.map_or(u64::MAX, u64::from);
        self.bytes_left = self.slot.bytes.map_or(u64::MAX, |bytes| bytes.bytes());
    }
}
