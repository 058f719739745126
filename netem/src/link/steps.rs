//! A bottleneck whose rate was recorded: rates that hold one after the other, and again from the start.
//!
//! A packet is transmitted at whatever rate holds, bit by bit, through as many steps as it takes; where the rate
//! is 0 it waits. All is counted in whole numbers, work in millionths of a bit × 10⁹, of which a rate does as many a
//! nanosecond as it has millionths of a bit a second: nothing is rounded but the end of each transmission as it is
//! told, up to a whole nanosecond, and that never adds up.

use std::sync::Arc;

use samepath_model::link::Framing;
use samepath_model::link::trace::{MICRO, Steps};

use super::instant::Nanos;
use super::work::BIT_NANOS;

/// Work of a byte.
const BYTE: u128 = BIT_NANOS as u128 * MICRO as u128;

/// Serves by recorded rates.
#[derive(Debug, Clone)]
pub(super) struct StepService {
    steps: Arc<Steps>,
    framing: Framing,
    /// When a period begins, one of them; `None`: with the first packet.
    origin: Option<Nanos>,
    /// When the transmission of all that was taken ends: whole nanoseconds, and what is done of the next one's work.
    free_at: Nanos,
    free_done: u128,
}

/// A place in the steps: which holds, and until when.
#[derive(Debug, Clone, Copy)]
struct Place {
    index: usize,
    ends: Nanos,
}

impl StepService {
    pub(super) fn new(steps: Arc<Steps>, framing: Framing, origin: Option<Nanos>) -> StepService {
        StepService { steps, framing, origin, free_at: 0, free_done: 0 }
    }

    /// Whether it serves as `other` does, from its start.
    pub(super) fn is(&self, other: &StepService) -> bool {
        self.framing == other.framing && self.steps == other.steps
    }

    /// When it can begin with a packet that is there from `now` on.
    pub(super) fn begins(&self, now: Nanos) -> Nanos {
        let at = self.free().max(now);
        let origin = self.origin.unwrap_or(now);
        let mut place = self.place(origin, at);
        if self.rate(place) > 0 {
            return at;
        }
        while self.rate(place) == 0 {
            place = self.after(place);
        }
        // It begins where the one before it ends.
        place.ends - (self.steps.end(place.index) - self.steps.steps()[place.index].from)
    }

    /// Transmits a packet that is there from `now` on, after all those before it; says when that ends.
    pub(super) fn transmit(&mut self, now: Nanos, size: u32) -> Nanos {
        let work = u128::from(self.framing.wire_size(size)) * BYTE;
        if self.free() <= now {
            (self.free_at, self.free_done) = (now, 0);
        }
        self.origin.get_or_insert(now);
        self.do_work(work)
    }

    /// Starts at `now` with so much work, in bits × 10⁹.
    pub(super) fn work(&mut self, now: Nanos, work: u128) -> Nanos {
        (self.free_at, self.free_done) = (now, 0);
        self.origin.get_or_insert(now);
        self.do_work(work * u128::from(MICRO))
    }

    /// What is left at `now` of a packet whose transmission ends at `ends`, in bits × 10⁹, and its size on the wire.
    pub(super) fn left(&self, now: Nanos, ends: Nanos, size: u32) -> (u128, u64) {
        let mut place = self.place(self.origin.unwrap_or(now), now);
        let (mut at, mut work) = (now, 0);
        while at < ends {
            let until = place.ends.min(ends);
            work += u128::from(self.rate(place)) * u128::from(until - at);
            at = until;
            place = self.after(place);
        }
        (work / u128::from(MICRO), self.framing.wire_size(size))
    }

    /// Counts time from `origin`. What was announced stays so.
    pub(super) fn start(&mut self, origin: Nanos) {
        (self.free_at, self.free_done) = (self.free(), 0);
        self.origin = Some(origin);
    }

    fn free(&self) -> Nanos {
        self.free_at + u64::from(self.free_done > 0)
    }

    fn rate(&self, place: Place) -> u64 {
        self.steps.steps()[place.index].rate
    }

    /// Where `at` is. The steps repeat before the first period, too.
    fn place(&self, origin: Nanos, at: Nanos) -> Place {
        let period = self.steps.period();
        let within = match at.checked_sub(origin) {
            Some(since) => since % period,
            None => (period - (origin - at) % period) % period,
        };
        let index = self.steps.at(within);
        Place { index, ends: at.saturating_add(self.steps.end(index) - within) }
    }

    fn after(&self, place: Place) -> Place {
        let index = (place.index + 1) % self.steps.steps().len();
        let step = self.steps.steps()[index];
        Place { index, ends: place.ends.saturating_add(self.steps.end(index) - step.from) }
    }

    /// Goes on from where it is free, with so much more work; says when that ends.
    fn do_work(&mut self, mut work: u128) -> Nanos {
        let origin = self.origin.unwrap_or(self.free_at);
        let mut place = self.place(origin, self.free_at);
        let of_period = self.steps.work();
        if work > of_period {
            // Whole periods, from wherever they are counted, do the same work.
            let periods = u64::try_from((work - 1) / of_period).unwrap_or(u64::MAX);
            let skipped = periods.saturating_mul(self.steps.period());
            work -= u128::from(periods) * of_period;
            (self.free_at, place.ends) = (self.free_at.saturating_add(skipped), place.ends.saturating_add(skipped));
        }
        // The nanosecond that is begun is done from its start.
        work += self.free_done;
        loop {
            let rate = u128::from(self.rate(place));
            let capacity = rate * u128::from(place.ends - self.free_at);
            if work < capacity || (work == capacity && rate > 0) {
                // Never beyond the step's end: there another rate holds.
                self.free_at += u64::try_from(work / rate).unwrap_or(u64::MAX);
                self.free_done = work % rate;
                return self.free();
            }
            if place.ends == Nanos::MAX {
                // So far ahead that it never comes.
                (self.free_at, self.free_done) = (Nanos::MAX / 4, 0);
                return self.free();
            }
            work -= capacity;
            self.free_at = place.ends;
            place = self.after(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use samepath_model::link::trace::Step;

    const MS: Nanos = 1_000_000;
    const MBIT: u64 = 1_000_000 * MICRO;

    fn service(steps: &[(Nanos, u64)], period: Nanos) -> StepService {
        let steps = steps.iter().map(|&(from, rate)| Step { from, rate }).collect();
        StepService::new(Steps::new(steps, period).unwrap().into(), Framing::default(), Some(0))
    }

    #[test]
    fn each_packet_goes_at_the_rate_that_holds() {
        // 12 Mbit/s (a packet a millisecond), then half as much, then nothing, then again.
        let mut service = service(&[(0, 12 * MBIT), (10 * MS, 6 * MBIT), (20 * MS, 0)], 30 * MS);
        let out: Vec<Nanos> = (0..17).map(|_| service.transmit(0, 1500) / MS).collect();
        assert_eq!(out, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 31, 32]);
        // One that comes while nothing passes waits.
        assert_eq!(service.begins(51 * MS), 60 * MS);
        assert_eq!(service.transmit(51 * MS, 1500), 61 * MS);
        // One that is under way as the rate changes is transmitted at both.
        assert_eq!(service.transmit(99 * MS + MS / 2, 1500), 101 * MS);
        assert_eq!(service.transmit(999 * MS, 1500), 1000 * MS);
    }

    #[test]
    fn more_than_a_period_carries_takes_several() {
        let mut service = service(&[(0, MBIT), (MS, 0)], 10 * MS);
        // 1000 bits a period: 12 000 of a packet take eleven periods and the twelfth's first millisecond.
        assert_eq!(service.transmit(0, 1500), 111 * MS);
        assert_eq!(service.transmit(0, 1500), 231 * MS);
    }

    #[test]
    fn schedule_restarts_it_and_keeps_announced_times() {
        let mut service = service(&[(0, 12 * MBIT), (10 * MS, 0)], 20 * MS);
        assert_eq!((0..3).map(|_| service.transmit(0, 1500) / MS).last(), Some(3));
        service.start(2 * MS);
        assert_eq!(service.transmit(2 * MS, 1500), 4 * MS);
        // Before the start the period before it holds: nothing passes in its latter half.
        service.start(50 * MS);
        assert_eq!(service.begins(31 * MS), 31 * MS);
        assert_eq!(service.begins(45 * MS), 50 * MS);
        assert_eq!(service.transmit(45 * MS, 1500), 51 * MS);
    }

    #[test]
    fn only_the_remaining_steps_are_left() {
        let mut service = service(&[(0, 12 * MBIT), (10 * MS, 6 * MBIT)], 20 * MS);
        let ends = service.transmit(9 * MS + MS / 2, 1500);
        assert_eq!(ends, 11 * MS);
        let bits = |(work, _): (u128, u64)| work / 1_000_000_000;
        assert_eq!(bits(service.left(9 * MS + MS / 2, ends, 1500)), 12_000);
        assert_eq!(bits(service.left(10 * MS, ends, 1500)), 6_000);
        assert_eq!(service.work(10 * MS, 6_000 * 1_000_000_000), 11 * MS);
    }

    proptest! {
        /// However it is cut into steps and packets, what has passed is exactly what the rates do by then.
        #[test]
        fn nothing_is_lost_or_gained(
            steps in proptest::collection::vec((1u64..5_000_000, 0u64..50_000_000_000_007), 1..12),
            packets in proptest::collection::vec((0u64..2_000_000, 20u32..9000), 1..200),
            origin in 0u64..50_000_000,
        ) {
            let mut from = 0;
            let placed: Vec<Step> = steps.iter().map(|&(length, rate)| {
                let step = Step { from, rate };
                from += length;
                step
            }).collect();
            let Some(all) = Steps::new(placed.clone(), from) else { return Ok(()) };
            let period = from;
            let rate_at = |at: Nanos| {
                let within = (i128::from(at) - i128::from(origin)).rem_euclid(i128::from(period)) as u64;
                placed.iter().rev().find(|step| step.from <= within).unwrap().rate
            };
            // The work between two instants, step by step.
            let work = |from: Nanos, to: Nanos| {
                let (mut at, mut sum) = (from, 0u128);
                while at < to {
                    let within = (i128::from(at) - i128::from(origin)).rem_euclid(i128::from(period)) as u64;
                    let ends = placed.iter().map(|step| step.from).chain([period]).find(|end| *end > within).unwrap();
                    let until = to.min(at + ends - within);
                    sum += u128::from(rate_at(at)) * u128::from(until - at);
                    at = until;
                }
                sum
            };
            let mut service = StepService::new(all.into(), Framing::default(), Some(origin));
            let (mut now, mut last) = (0, 0);
            // Of a busy period: when it began, and the work it has been given.
            let (mut began, mut given) = (0, 0u128);
            for (gap, size) in packets {
                now += gap;
                if last <= now {
                    (began, given) = (now, 0);
                }
                let ends = service.transmit(now, size);
                given += u128::from(size) * BYTE;
                prop_assert!(ends >= last && ends >= now);
                if ends > began + 2_000 * period {
                    return Ok(()); // too far to add up step by step
                }
                // By its end all the work can be done, and a nanosecond before it cannot.
                prop_assert!(work(began, ends) >= given, "{} < {given}", work(began, ends));
                prop_assert!(work(began, ends - 1) < given);
                last = ends;
            }
        }
    }
}
