//! The bottleneck: a rate, and a buffer in front of it that drops what does not fit (drop-tail).
//!
//! The buffer holds what waits and what is being transmitted, and nothing else: packets in the
//! delay line have left it.

use std::collections::VecDeque;

use samepath_model::link::QueueCapacity;
use samepath_model::units::BitRate;

use super::Nanos;

/// Bits a byte × nanoseconds a second: a packet of `n` bytes takes `n` × this ÷ rate nanoseconds.
const BIT_NANOS: u64 = 8 * 1_000_000_000;

/// A single server with a finite, first-in-first-out buffer.
#[derive(Debug)]
pub struct Bottleneck {
    /// Bits per second; `None` is no bottleneck at all.
    rate: Option<u64>,
    capacity: Option<QueueCapacity>,
    /// When the transmission of all that was admitted ends: whole nanoseconds, and the rest in
    /// units of 1/rate nanoseconds. The rest is carried, so that rounding never adds up.
    free_at: Nanos,
    free_rest: u64,
    /// What has not been transmitted wholly: end of its transmission, size.
    backlog: VecDeque<(Nanos, u32)>,
    backlog_bytes: u64,
    max_backlog: u64,
}

impl Bottleneck {
    /// Without a rate nothing ever waits; without a capacity the buffer is unlimited.
    pub fn new(rate: Option<BitRate>, capacity: Option<QueueCapacity>) -> Self {
        Bottleneck {
            rate: rate.map(|rate| rate.bits_per_second().max(1)),
            capacity,
            free_at: 0,
            free_rest: 0,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            max_backlog: 0,
        }
    }

    /// Takes a packet of `size` bytes at `now`, and says when its transmission ends (never before
    /// `now`; rounded up to a whole nanosecond); `None` if the buffer has no room for it.
    pub fn admit(&mut self, now: Nanos, size: u32) -> Option<Nanos> {
        let Some(rate) = self.rate else {
            return Some(now);
        };
        self.advance(now);
        let fits = match self.capacity {
            None => true,
            Some(QueueCapacity::Packets(limit)) => self.backlog.len() < limit as usize,
            Some(QueueCapacity::Bytes(limit)) => self.backlog_bytes + u64::from(size) <= limit.bytes(),
        };
        if !fits {
            return None;
        }
        let departure = self.transmit(rate, now, size);
        self.backlog.push_back((departure, size));
        self.backlog_bytes += u64::from(size);
        self.max_backlog = self.max_backlog.max(self.backlog_bytes);
        Some(departure)
    }

    /// When the transmission of a packet of `size` bytes would end that was admitted at `now`,
    /// whether or not the buffer has room for it. Nothing changes.
    pub fn peek(&self, now: Nanos, size: u32) -> Nanos {
        match self.rate {
            None => now,
            Some(rate) => {
                let (free_at, rest) = self.after(rate, now, size);
                free_at + u64::from(rest > 0)
            }
        }
    }

    /// Takes up the server with `size` bytes, and says when their transmission ends.
    fn transmit(&mut self, rate: u64, now: Nanos, size: u32) -> Nanos {
        (self.free_at, self.free_rest) = self.after(rate, now, size);
        self.free_at + u64::from(self.free_rest > 0)
    }

    /// When the server is free again, with `size` bytes more.
    fn after(&self, rate: u64, now: Nanos, size: u32) -> (Nanos, u64) {
        let free = self.free_at + u64::from(self.free_rest > 0);
        let (from, rest) = if free <= now { (now, 0) } else { (self.free_at, self.free_rest) };
        let work = rest + u64::from(size) * BIT_NANOS;
        (from + work / rate, work % rate)
    }

    /// Changes rate and capacity at `now`. What was admitted stays admitted, and is transmitted at
    /// the new rate from now on, the rest of the packet in transmission too. Gives back the old and
    /// the new end of each transmission that was not over, in their order.
    pub fn change(
        &mut self,
        rate: Option<BitRate>,
        capacity: Option<QueueCapacity>,
        now: Nanos,
    ) -> Vec<(Nanos, Nanos)> {
        self.capacity = capacity;
        let rate = rate.map(|rate| rate.bits_per_second().max(1));
        if rate == self.rate {
            return Vec::new();
        }
        self.advance(now);
        let before = std::mem::replace(&mut self.rate, rate);
        (self.free_at, self.free_rest) = (now, 0);
        let waiting = std::mem::take(&mut self.backlog);
        let mut moved = Vec::with_capacity(waiting.len());
        for (index, (old, size)) in waiting.into_iter().enumerate() {
            let new = match (rate, before) {
                (None, _) | (_, None) => now,
                // Of the packet in transmission only what is left of it.
                (Some(rate), Some(before)) if index == 0 => {
                    let left = u128::from(old - now) * u128::from(before);
                    let whole = u128::from(size) * u128::from(BIT_NANOS);
                    let work = left.min(whole);
                    self.free_at = now + u64::try_from(work / u128::from(rate)).unwrap_or(u64::MAX / 2);
                    self.free_rest = (work % u128::from(rate)) as u64;
                    self.free_at + u64::from(self.free_rest > 0)
                }
                (Some(rate), Some(_)) => self.transmit(rate, now, size),
            };
            moved.push((old, new));
            if rate.is_some() {
                self.backlog.push_back((new, size));
            } else {
                self.backlog_bytes -= u64::from(size);
            }
        }
        moved
    }

    /// Forgets what was transmitted by `now`.
    fn advance(&mut self, now: Nanos) {
        while let Some(&(departure, size)) = self.backlog.front()
            && departure <= now
        {
            self.backlog.pop_front();
            self.backlog_bytes -= u64::from(size);
        }
    }

    /// The largest backlog so far, in bytes.
    pub fn max_backlog(&self) -> u64 {
        self.max_backlog
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use samepath_model::units::ByteCount;

    #[test]
    fn the_rate_is_exact_over_a_long_backlog() {
        // Rates for which a packet takes no whole number of nanoseconds.
        for rate in [7_000_003u64, 13_333_333, 99_999_989, 1_000_000_007] {
            let mut bottleneck = Bottleneck::new(Some(BitRate::new(rate)), None);
            let (packets, size) = (1_000_000u64, 1499u32);
            let last = (0..packets).map(|_| bottleneck.admit(5, size).unwrap()).last().unwrap();
            let exact = (u128::from(packets) * u128::from(size) * u128::from(BIT_NANOS)).div_ceil(u128::from(rate));
            assert_eq!(u128::from(last - 5), exact, "{rate} bit/s");
        }
    }

    #[test]
    fn a_full_buffer_delays_by_its_size_over_its_rate() {
        let (rate, limit) = (BitRate::new(10_000_000), 64_000);
        let mut bottleneck = Bottleneck::new(Some(rate), Some(QueueCapacity::Bytes(ByteCount::new(limit))));
        let mut last = 0;
        while let Some(departure) = bottleneck.admit(1_000, 1000) {
            last = departure;
        }
        assert_eq!(bottleneck.max_backlog(), limit);
        assert_eq!(last - 1_000, rate.time_for(limit).as_nanos());
        // One transmission later there is room for exactly one more.
        let now = 1_000 + rate.time_for(1000).as_nanos();
        assert!(bottleneck.admit(now - 1, 1000).is_none());
        assert!(bottleneck.admit(now, 1000).is_some());
        assert!(bottleneck.admit(now, 1).is_none());
    }

    #[test]
    fn a_limit_in_packets_counts_the_one_in_transmission() {
        let mut bottleneck = Bottleneck::new(Some(BitRate::new(8_000_000)), Some(QueueCapacity::Packets(2)));
        assert_eq!(bottleneck.admit(0, 100), Some(100_000));
        assert_eq!(bottleneck.admit(0, 100), Some(200_000));
        assert_eq!(bottleneck.admit(99_999, 100), None);
        assert_eq!(bottleneck.admit(100_000, 100), Some(300_000));
    }

    proptest! {
        #[test]
        fn never_above_its_limit_nor_faster_than_its_rate(
            rate in 1_000u64..2_000_000_000,
            limit in 1_500u64..200_000,
            packets in proptest::collection::vec((0u64..3_000_000, 20u32..1500), 1..300),
        ) {
            let mut bottleneck =
                Bottleneck::new(Some(BitRate::new(rate)), Some(QueueCapacity::Bytes(ByteCount::new(limit))));
            let (mut now, mut carried, mut last) = (0u64, 0u128, 0u64);
            for (gap, size) in packets {
                now += gap;
                if let Some(departure) = bottleneck.admit(now, size) {
                    carried += u128::from(size);
                    prop_assert!(departure >= now && departure >= last);
                    // All that was carried since time 0 took at least its serialisation time.
                    prop_assert!(u128::from(departure) * u128::from(rate) >= carried * u128::from(BIT_NANOS));
                    // Nothing waits longer than a full buffer takes.
                    prop_assert!(u128::from(departure - now - 1) * u128::from(rate) <= u128::from(limit) * u128::from(BIT_NANOS));
                    last = departure;
                }
                prop_assert!(bottleneck.backlog_bytes <= limit);
            }
            prop_assert!(bottleneck.max_backlog() <= limit);
        }
    }
}
