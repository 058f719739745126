//! Keys of the random draws: by the time since the schedule's start, or by the packet's number.

use samepath_model::link::LossKey;

use super::draws::Key;
use super::instant::Nanos;

/// Width of the slots by which time-keyed draws are keyed.
///
/// Wide enough that a packet which two arms send at the same scheduled instant falls into the same
/// slot in spite of some tenths of a millisecond of scheduling (a tenth of this width gave the same
/// seed other losses in each run); narrow enough that at 20 Mbit/s hardly more than one full packet
/// falls into each. Within a slot the packets are told apart by their number.
pub const SLOT: Nanos = 1_000_000;

/// A packet's arrival as draws and script know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyed {
    /// What the packet's draws are keyed by.
    pub(super) key: Key,
    /// Time since the epoch; `None` before it.
    pub(super) since_epoch: Option<Nanos>,
}

/// Turns arrival times and packet numbers into draw keys.
#[derive(Debug)]
pub(super) struct DrawKeys {
    keyed_by: LossKey,
    epoch: Option<Nanos>,
    /// The packet from which packets are counted.
    counted_from: u64,
    first_packet: Option<Nanos>,
    /// The slot of the last packet, and its number within it; meaningless until `used`.
    last: Key,
    used: bool,
}

impl DrawKeys {
    pub(super) fn new(keyed_by: LossKey) -> Self {
        DrawKeys { keyed_by, epoch: None, counted_from: 0, first_packet: None, last: Key::index(0), used: false }
    }

    pub(super) fn set_epoch(&mut self, epoch: Nanos) {
        // Slots of an earlier schedule are not this one's; those before any schedule go on.
        self.used &= self.epoch.is_none();
        self.epoch = Some(epoch);
    }

    /// Has the packet of this number be the first by which index-keyed draws are keyed.
    pub(super) fn count_from(&mut self, number: u64) {
        self.counted_from = number;
    }

    /// For the `number`-th packet of the direction, which came at `now`.
    pub(super) fn at(&mut self, now: Nanos, number: u64) -> Keyed {
        let first = *self.first_packet.get_or_insert(now);
        let since_epoch = self.epoch.and_then(|epoch| now.checked_sub(epoch));
        let key = match self.keyed_by {
            LossKey::Index => Key::index(number.saturating_sub(self.counted_from)),
            LossKey::Time => {
                let slot = since_epoch.unwrap_or(now.saturating_sub(first)) / SLOT;
                let fresh = Key::slot(slot, since_epoch.is_some());
                let key = if self.used && fresh.same_slot(self.last) { self.last.next() } else { fresh };
                (self.last, self.used) = (key, true);
                key
            }
        };
        Keyed { key, since_epoch }
    }
}
