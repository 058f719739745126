//! The kernel's netem in place of the lab's own pipeline: its order of decisions and its one queue.
//!
//! `netem_enqueue` of `net/sched/sch_netem.c`, as of Linux 6.12: duplication, loss, corruption, the
//! limit, the copy from the top, then reordering or delay and rate. What the kernel draws, and when,
//! is [`super::netem_generator`]'s.

use samepath_model::link::{Conditions, Framing};
use samepath_model::record::DropCause;

use super::entry::Entry;
use super::instant::Nanos;
use super::netem_generator::NetemGenerator;
use super::{Arrival, Inside, Pipe, packet};

/// A netem qdisc but for what it holds.
#[derive(Debug)]
pub(super) struct Netem {
    generator: NetemGenerator,
    /// Bytes a second, as the kernel counts it; `None`: unlimited.
    rate: Option<u64>,
    framing: Framing,
    /// Whether the order is kept where there is no rate, which keeps it.
    keep_order: bool,
    /// The latest time to send of all it was given.
    last: Nanos,
}

impl Netem {
    pub(super) fn new(conditions: &Conditions, seed: u64) -> Self {
        let mut netem = Netem {
            generator: NetemGenerator::new(conditions, seed),
            rate: None,
            framing: Framing::default(),
            keep_order: false,
            last: 0,
        };
        netem.change(conditions);
        netem
    }

    /// Begins its draws anew at the seed, under these conditions; what it holds keeps its time to send.
    pub(super) fn restart(&mut self, conditions: &Conditions, seed: u64) {
        self.generator = NetemGenerator::new(conditions, seed);
    }

    pub(super) fn change(&mut self, conditions: &Conditions) {
        self.generator.change(conditions);
        self.rate = conditions.rate.map(|rate| (rate.bits_per_second() / 8).max(1));
        self.framing = conditions.overhead;
        self.keep_order = conditions.keep_order;
    }

    /// The time to send, and how much of the stay is queueing and transmission.
    fn time_to_send(&mut self, now: Nanos, delay: i64, size: u32) -> (Nanos, Nanos) {
        let Some(rate) = self.rate else {
            let at = now.saturating_add_signed(delay).max(if self.keep_order { self.last } else { 0 });
            self.last = self.last.max(at);
            return (at, 0);
        };
        let transmission = self.framing.wire_size(size) * 1_000_000_000 / rate;
        // The kernel refers to the last packet it still holds; one whose time has come it does not.
        let starts = match self.last > now {
            true => self.last.max(now.saturating_add_signed(delay)),
            false => now.saturating_add_signed(delay),
        };
        let at = starts + transmission;
        self.last = self.last.max(at);
        (at, at.saturating_sub(now.saturating_add_signed(delay)))
    }

    /// As [`Pipe::would_wait`]: with the delay of a packet that has no jitter.
    pub(super) fn would_wait(&self, now: Nanos, size: u32) -> Nanos {
        let Some(rate) = self.rate else { return 0 };
        let delay = self.generator.mean_delay();
        self.last.saturating_sub(now + delay) + self.framing.wire_size(size) * 1_000_000_000 / rate
    }
}

impl<P: AsRef<[u8]> + AsMut<[u8]> + Clone> Pipe<P> {
    /// `netem_enqueue`. A copy has no copy.
    pub(super) fn enqueue(
        &mut self,
        mut packet: P,
        mut entry: Entry,
        arrival: &Arrival,
        ledger: &mut impl FnMut(Entry),
    ) -> Option<P> {
        let Some(netem) = &mut self.netem else { return Some(packet) };
        let original = !entry.is_duplicate();
        let mut count = 1 + u32::from(original && netem.generator.duplicates());
        if netem.generator.loses() {
            if self.effects.ecn && packet::mark_congestion(packet.as_mut()) {
                self.mark(&mut entry);
            } else {
                count -= 1;
            }
        }
        if count == 0 {
            entry.set_queued(self.would_wait(arrival));
            ledger(self.dropped(entry, DropCause::Loss));
            return Some(packet);
        }
        // Cloned before it is corrupted. Lost and duplicated leaves the one packet.
        let copy = (count > 1).then(|| (packet.clone(), entry.as_duplicate()));
        if copy.is_some() {
            self.counters.duplicated += 1;
        }
        if self.netem.as_mut().is_some_and(|netem| netem.generator.corrupts()) {
            self.corrupt(&mut packet, &mut entry, arrival.ip_header, arrival.key);
        }
        if self.line.len() >= self.limit {
            let wait = self.would_wait(arrival);
            for mut entry in [Some(entry), copy.map(|(_, entry)| entry)].into_iter().flatten() {
                entry.set_queued(wait);
                ledger(self.dropped(entry, DropCause::Overflow));
            }
            return Some(packet);
        }
        let returned = copy.and_then(|(copy, entry)| self.enqueue(copy, entry, arrival, ledger));
        let Some(netem) = &mut self.netem else { return Some(packet) };
        let due = match netem.generator.delay() {
            // To the head of the queue, which is served at once.
            None => arrival.now,
            Some(delay) => {
                let (at, queued) = netem.time_to_send(arrival.now, delay, arrival.size);
                entry.set_queued(queued);
                at
            }
        };
        self.line.push(due, Inside { packet, entry });
        self.face_gate();
        returned
    }
}
