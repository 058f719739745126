//! The link core: what one direction of the path does to its packets.
//!
//! Sans-io: time and randomness are arguments. A [`Pipe`] takes `(packet, now)` and decides; it
//! opens no socket, reads no clock, starts no thread and never waits, so everything it claims can
//! be tested in virtual time. The backends call it from their data thread.
//!
//! ```text
//! offer ─► loss, script, outage ─► duplicate ─► bottleneck ─► corrupt ─► delay line ─► release
//!          (one decision a packet,              (rate, buffer) (one bit)  (delay, jitter;
//!           before the queue)                                              reorder skips it)
//! ```
//!
//! Buffer and delay line are separate things: only packets that wait for the bottleneck, or are
//! being transmitted, take up the buffer. Every due time is computed from arrival times alone, so
//! a late caller never shifts later packets.
//!
//! Start with [`Pipe::offer`]. [`packet`] reads headers, [`draws`] is the randomness, [`loss`] and
//! [`script`] decide who is dropped, [`queue`] is the bottleneck, [`mod@line`] the delay line.

pub mod draws;
pub mod line;
pub mod loss;
pub mod packet;
pub mod queue;
pub mod script;

use samepath_model::link::{Direction, Link, LossKey};
use samepath_model::record::{DirectionReport, DropCause};

use crate::ledger::Entry;
use draws::{Draws, Effect, Key};
use line::DelayLine;
use loss::LossProcess;
use packet::PacketInfo;
use queue::Bottleneck;
use script::Script;

/// An instant: nanoseconds of CLOCK_MONOTONIC.
pub type Nanos = u64;

/// Width of the slots by which time-keyed draws are keyed.
///
/// Wide enough that a packet which two arms send at the same scheduled instant falls into the same
/// slot in spite of some tenths of a millisecond of scheduling (a tenth of this width gave the same
/// seed other losses in each run); narrow enough that at 20 Mbit/s hardly more than one full packet
/// falls into each. Within a slot the packets are told apart by their number.
pub const SLOT: Nanos = 1_000_000;

/// One direction of the link.
///
/// `P` is the caller's packet buffer, a whole IP packet. It is cloned for duplicates only.
///
/// # Words of the contract
/// Every packet that is offered ends in exactly one finished [`Entry`], every copy the pipe makes
/// in one more: given to the `ledger` argument of [`offer`](Pipe::offer) when dropped at once, by
/// [`left`](Pipe::left) or [`refused`](Pipe::refused) after its release, or by
/// [`drain`](Pipe::drain).
#[derive(Debug)]
pub struct Pipe<P> {
    direction: Direction,
    clock: WeatherClock,
    draws: Draws,
    loss: LossProcess,
    script: Script,
    duplicate: f64,
    corrupt: f64,
    reorder: f64,
    delay: Nanos,
    jitter: Nanos,
    bottleneck: Bottleneck,
    line: DelayLine<Inside<P>>,
    counters: Counters,
}

/// A packet between offer and release.
#[derive(Debug)]
struct Inside<P> {
    packet: P,
    entry: Entry,
}

/// A packet that is due, and its line of the ledger, still to be finished: hand the entry to
/// [`Pipe::left`] or [`Pipe::refused`].
#[derive(Debug)]
#[must_use = "the entry must be finished with `left` or `refused`"]
pub struct Released<P> {
    /// The IP packet, possibly with a flipped bit.
    pub packet: P,
    /// The instant computed for its release; lateness is the real one minus this.
    pub due: Nanos,
    /// Its line of the ledger.
    pub entry: Entry,
}

/// What [`DirectionReport`] is made from.
#[derive(Debug, Default)]
struct Counters {
    packets: u64,
    bytes: u64,
    delivered_packets: u64,
    delivered_bytes: u64,
    dropped: [u64; DropCause::ALL.len()],
    duplicated: u64,
    corrupted: u64,
    largest_packet: u32,
    /// Released, and not yet finished by `left` or `refused`.
    unsettled: u64,
}

impl<P: AsRef<[u8]> + AsMut<[u8]> + Clone> Pipe<P> {
    /// An empty pipe with the conditions of `direction`.
    ///
    /// Nothing but `(seed, direction, effect, key)` enters any draw: the same seed gives every arm
    /// the same draws, and switching one effect on moves no other.
    pub fn new(link: &Link, direction: Direction, seed: u64) -> Self {
        let conditions = link.direction(direction);
        let draws = Draws::new(seed, direction);
        let jitter = conditions.jitter.as_nanos();
        let may_reorder = jitter > 0 || !conditions.reorder.is_zero();
        Pipe {
            direction,
            clock: WeatherClock::new(link.loss_key),
            loss: LossProcess::new(conditions.loss, link.loss_key, draws),
            draws,
            script: Script::new(&conditions.drops, &conditions.outages),
            duplicate: conditions.duplicate.fraction(),
            corrupt: conditions.corrupt.fraction(),
            reorder: conditions.reorder.fraction(),
            delay: conditions.delay.as_nanos(),
            jitter,
            bottleneck: Bottleneck::new(conditions.rate, link.queue_capacity(direction)),
            line: DelayLine::new(may_reorder),
            counters: Counters::default(),
        }
    }

    /// Sets the start of the schedule, which may lie ahead: from `epoch` on, time-keyed draws and
    /// outages count time from it, and `data N` counts packets from it. What was decided before is
    /// not taken back. Until then time runs from the first packet, in draw streams of its own.
    pub fn set_epoch(&mut self, epoch: Nanos) {
        self.clock.set_epoch(epoch);
        self.loss.restart();
        self.script.restart();
    }

    /// From `now` on the conditions of this direction in `link` hold. Seed and loss key stay.
    ///
    /// Nothing inside is lost. What waits for the bottleneck, or is being transmitted, goes on at
    /// the new rate; what has been transmitted keeps the delay it was given, and so does every
    /// waiting packet. Where the new conditions neither jitter nor reorder, nothing overtakes: what
    /// would, because its delay is shorter, leaves together with the last before it. No draw moves:
    /// each is a function of seed, direction, effect and key alone.
    pub fn set_conditions(&mut self, link: &Link, now: Nanos) {
        let conditions = link.direction(self.direction);
        self.loss.change(conditions.loss);
        self.script.change(&conditions.drops, &conditions.outages);
        self.duplicate = conditions.duplicate.fraction();
        self.corrupt = conditions.corrupt.fraction();
        self.reorder = conditions.reorder.fraction();
        self.delay = conditions.delay.as_nanos();
        self.jitter = conditions.jitter.as_nanos();
        if self.jitter > 0 || self.reorder > 0.0 {
            self.line.allow_disorder();
        }
        let moved = self.bottleneck.change(conditions.rate, link.queue_capacity(self.direction), now);
        if !moved.is_empty() {
            self.move_departures(&moved, now);
        }
    }

    /// Gives the packets that wait for the bottleneck their new departures: `moved` has the old and
    /// the new of each, in their order.
    fn move_departures(&mut self, moved: &[(Nanos, Nanos)], now: Nanos) {
        let mut all = self.line.take_all();
        let departure = |inside: &Inside<P>| inside.entry.arrived() + inside.entry.queued();
        let mut waiting: Vec<usize> = (0..all.len()).filter(|&index| departure(&all[index].1) > now).collect();
        waiting.sort_by_key(|&index| (departure(&all[index].1), all[index].1.entry.number()));
        for (&index, &(old, new)) in waiting.iter().zip(moved) {
            let (due, inside) = &mut all[index];
            debug_assert_eq!(departure(inside), old, "the line and the bottleneck know the same packets");
            *due = (*due - old) + new;
            inside.entry.set_queued(new - inside.entry.arrived());
        }
        for (due, inside) in all {
            self.line.push(due, inside);
        }
    }

    /// Takes one packet that came to the link at `now`.
    ///
    /// Gives the packet back if the pipe did not keep it, so that its buffer can be used again.
    /// Whatever was dropped at once, the packet or the copy made of it, goes to `ledger` as a
    /// finished entry.
    pub fn offer(&mut self, packet: P, now: Nanos, mut ledger: impl FnMut(Entry)) -> Option<P> {
        let info = packet::parse(packet.as_ref());
        let number = self.counters.packets;
        let weather = self.clock.at(now, number);
        let mut entry = Entry::new(self.direction, number, now, &info);
        self.counters.packets += 1;
        self.counters.bytes += u64::from(info.size);
        self.counters.largest_packet = self.counters.largest_packet.max(info.size);

        // The loss process moves on with every packet, whatever else befalls it, so that a script
        // or an outage does not change the losses after it.
        let lost = self.loss.strikes(weather.key);
        let scripted = self.script.verdict(&info, number, weather.since_epoch);
        if let Some(cause) = scripted {
            entry.set_queued(self.bottleneck.peek(now, info.size) - now);
            ledger(self.dropped(entry, cause));
            return Some(packet);
        }

        let duplicated =
            self.duplicate > 0.0 && self.draws.uniform(Effect::Duplicate, false, weather.key) < self.duplicate;
        if duplicated {
            self.counters.duplicated += 1;
        }
        if lost {
            entry.set_queued(self.bottleneck.peek(now, info.size) - now);
            ledger(self.dropped(entry, DropCause::Loss));
            // As in netem, loss and duplication together leave one copy, which is not lost again.
            return if duplicated {
                self.carry(packet, entry.as_duplicate(), &info, weather.key, now, &mut ledger)
            } else {
                Some(packet)
            };
        }
        let copy = duplicated.then(|| packet.clone());
        let returned = self.carry(packet, entry, &info, weather.key, now, &mut ledger);
        match copy {
            None => returned,
            Some(copy) => {
                let copy_returned = self.carry(copy, entry.as_duplicate(), &info, weather.key, now, &mut ledger);
                returned.or(copy_returned)
            }
        }
    }

    /// Corruption, bottleneck and delay line, for what the loss rules spared.
    fn carry(
        &mut self,
        mut packet: P,
        mut entry: Entry,
        info: &PacketInfo,
        key: Key,
        now: Nanos,
        ledger: &mut impl FnMut(Entry),
    ) -> Option<P> {
        let copy = entry.is_duplicate();
        let Some(departure) = self.bottleneck.admit(now, info.size) else {
            entry.set_queued(self.bottleneck.peek(now, info.size) - now);
            ledger(self.dropped(entry, DropCause::Overflow));
            return Some(packet);
        };
        entry.set_queued(departure - now);
        if self.corrupt > 0.0 && self.draws.uniform(Effect::Corrupt, copy, key) < self.corrupt {
            let where_to = self.draws.bits(Effect::CorruptPosition, copy, key);
            if flip_bit(&mut packet.as_mut()[usize::from(info.ip_header)..], where_to) {
                entry.set_corrupted();
                self.counters.corrupted += 1;
            }
        }
        let skips = self.reorder > 0.0 && self.draws.uniform(Effect::Reorder, copy, key) < self.reorder;
        let due = if skips {
            departure
        } else {
            // Uniform in [delay − jitter, delay + jitter); the jitter is never more than the delay.
            let late = match self.jitter {
                0 => 0,
                jitter => (self.draws.uniform(Effect::Jitter, copy, key) * (2 * jitter) as f64) as Nanos,
            };
            departure + self.delay.saturating_sub(self.jitter) + late
        };
        self.line.push(due, Inside { packet, entry });
        None
    }

    /// Packets offered so far: the number that the next one will have.
    pub fn offered(&self) -> u64 {
        self.counters.packets
    }

    /// When the next packet is due, if one is inside.
    pub fn next_release(&self) -> Option<Nanos> {
        self.line.next_due()
    }

    /// One packet that is due at `now`, the earliest first; ties in order of arrival. Call until
    /// `None`.
    pub fn release(&mut self, now: Nanos) -> Option<Released<P>> {
        let (due, Inside { packet, entry }) = self.line.pop_due(now)?;
        self.counters.unsettled += 1;
        Some(Released { packet, due, entry })
    }

    /// Finishes the entry of a released packet that left for the receiving host at `now`.
    pub fn left(&mut self, entry: Entry, now: Nanos) -> Entry {
        self.counters.unsettled -= 1;
        self.counters.delivered_packets += 1;
        self.counters.delivered_bytes += u64::from(entry.size());
        entry.finish_left(now)
    }

    /// Finishes the entry of a released packet that the host refused: the trial is void.
    pub fn refused(&mut self, entry: Entry) -> Entry {
        self.counters.unsettled -= 1;
        self.dropped(entry, DropCause::Host)
    }

    /// Empties the pipe as the link goes down: every packet still inside, in order of its due time,
    /// with its finished entry.
    pub fn drain(&mut self) -> impl Iterator<Item = (P, Entry)> + '_ {
        std::iter::from_fn(move || {
            let (_, Inside { packet, entry }) = self.line.pop_due(Nanos::MAX)?;
            let entry = self.dropped(entry, DropCause::LinkDown);
            Some((packet, entry))
        })
    }

    /// Packets inside, and those released but not yet finished; copies included.
    pub fn in_flight(&self) -> u64 {
        self.line.len() as u64 + self.counters.unsettled
    }

    /// The counts so far.
    pub fn report(&self) -> DirectionReport {
        let c = &self.counters;
        let dropped = DropCause::ALL
            .into_iter()
            .zip(c.dropped)
            .filter(|(_, n)| *n > 0)
            .map(|(cause, n)| (cause.name().to_owned(), n));
        DirectionReport {
            packets: c.packets,
            bytes: c.bytes,
            delivered_packets: c.delivered_packets,
            delivered_bytes: c.delivered_bytes,
            dropped: dropped.collect(),
            duplicated: c.duplicated,
            corrupted: c.corrupted,
            max_backlog_bytes: self.bottleneck.max_backlog(),
            largest_packet: c.largest_packet,
        }
    }

    /// Counts a drop and finishes its entry.
    fn dropped(&mut self, entry: Entry, cause: DropCause) -> Entry {
        self.counters.dropped[cause as usize] += 1;
        entry.finish_dropped(cause)
    }
}

/// Flips one bit of `bytes`, chosen by `random`; `false` where there is none to flip.
fn flip_bit(bytes: &mut [u8], random: u64) -> bool {
    let bits = bytes.len() as u64 * 8;
    if bits == 0 {
        return false;
    }
    // Multiply and shift (Lemire 2019): no modulo bias worth speaking of for so few bits.
    let bit = ((u128::from(random) * u128::from(bits)) >> 64) as usize;
    bytes[bit / 8] ^= 1 << (bit % 8);
    true
}

/// What an instant means to the draws and the script.
#[derive(Debug, Clone, Copy)]
struct Weather {
    /// What the packet's draws are keyed by.
    key: Key,
    /// Time since the epoch; `None` before it.
    since_epoch: Option<Nanos>,
}

/// Turns arrival times into draw keys.
#[derive(Debug)]
struct WeatherClock {
    keyed_by: LossKey,
    epoch: Option<Nanos>,
    first_packet: Option<Nanos>,
    /// The slot of the last packet, and its number within it; meaningless until `used`.
    last: Key,
    used: bool,
}

impl WeatherClock {
    fn new(keyed_by: LossKey) -> Self {
        WeatherClock { keyed_by, epoch: None, first_packet: None, last: Key::index(0), used: false }
    }

    fn set_epoch(&mut self, epoch: Nanos) {
        // Slots of an earlier schedule are not this one's; those before any schedule go on.
        self.used &= self.epoch.is_none();
        self.epoch = Some(epoch);
    }

    /// For the `number`-th packet of the direction, which came at `now`.
    fn at(&mut self, now: Nanos, number: u64) -> Weather {
        let first = *self.first_packet.get_or_insert(now);
        let since_epoch = self.epoch.and_then(|epoch| now.checked_sub(epoch));
        let key = match self.keyed_by {
            LossKey::Index => Key::index(number),
            LossKey::Time => {
                let slot = since_epoch.unwrap_or(now.saturating_sub(first)) / SLOT;
                let fresh = Key::slot(slot, since_epoch.is_some());
                let key = if self.used && fresh.same_slot(self.last) { self.last.next() } else { fresh };
                (self.last, self.used) = (key, true);
                key
            }
        };
        Weather { key, since_epoch }
    }
}

#[cfg(test)]
mod tests;
