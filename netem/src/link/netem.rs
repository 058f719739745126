//! The kernel's netem in place of the lab's own pipeline: the times to send of its one queue.
//!
//! `net/sched/sch_netem.c`, as of Linux 6.12. What the kernel draws, and when, is [`super::netem_generator`]'s; the order
//! of its decisions is the pipe's `enqueue`.

use samepath_model::link::{Conditions, Framing};

use super::instant::Nanos;
use super::netem_generator::NetemGenerator;

/// A netem qdisc but for what it holds.
#[derive(Debug)]
pub(super) struct Netem {
    pub(super) generator: NetemGenerator,
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
    pub(super) fn time_to_send(&mut self, now: Nanos, delay: i64, size: u32) -> (Nanos, Nanos) {
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

    /// As the pipe's own `would_wait`: with the delay of a packet that has no jitter.
    pub(super) fn would_wait(&self, now: Nanos, size: u32) -> Nanos {
        let Some(rate) = self.rate else { return 0 };
        let delay = self.generator.mean_delay();
        self.last.saturating_sub(now + delay) + self.framing.wire_size(size) * 1_000_000_000 / rate
    }
}
