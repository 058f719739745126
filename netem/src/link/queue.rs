//! The bottleneck: a server, and a buffer in front of it that drops what does not fit (drop-tail), or
//! marks what finds it too full.
//!
//! The buffer holds what waits and what is being transmitted, and nothing else: packets in the
//! delay line have left it. Since the server is first-in-first-out and what it will do is known, a
//! packet's departure is computed as it comes; [`super::codel`], which is not so, has a queue of its
//! own.

use std::collections::VecDeque;

use samepath_model::link::{Conditions, QueueCapacity};

use super::instant::Nanos;
use super::service::Service;

/// A single server with a finite, first-in-first-out buffer.
#[derive(Debug)]
pub struct Bottleneck {
    service: Service,
    capacity: Option<QueueCapacity>,
    /// What must not be exceeded for a packet to stay unmarked.
    threshold: Option<QueueCapacity>,
    /// What has not been transmitted wholly: end of its transmission, size.
    backlog: VecDeque<(Nanos, u32)>,
    backlog_bytes: u64,
    max_backlog: u64,
}

/// A packet that was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// When its transmission ends.
    pub departure: Nanos,
    /// Whether it found more in the buffer than the threshold.
    pub over_threshold: bool,
}

impl Bottleneck {
    /// Without a rate in the conditions nothing ever waits; without a capacity the buffer is
    /// unlimited.
    pub fn new(conditions: &Conditions, capacity: Option<QueueCapacity>, threshold: Option<QueueCapacity>) -> Self {
        Bottleneck {
            service: Service::new(conditions, None),
            capacity,
            threshold,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            max_backlog: 0,
        }
    }

    /// Takes a packet of `size` bytes at `now`; `None` if the buffer has no room for it.
    pub fn admit(&mut self, now: Nanos, size: u32) -> Option<Admission> {
        if matches!(self.service, Service::Unlimited) {
            return Some(Admission { departure: now, over_threshold: false });
        }
        self.advance(now);
        let fits = match self.capacity {
            None => true,
            Some(QueueCapacity::Packets(limit)) => self.backlog.len() < limit as usize,
            Some(QueueCapacity::Bytes(limit)) => self.backlog_bytes + u64::from(size) <= limit.bytes(),
        };
        if !fits {
            return None;
        }
        let over_threshold = match self.threshold {
            None => false,
            Some(QueueCapacity::Packets(limit)) => self.backlog.len() > limit as usize,
            Some(QueueCapacity::Bytes(limit)) => self.backlog_bytes > limit.bytes(),
        };
        let departure = self.service.transmit(now, size);
        self.backlog.push_back((departure, size));
        self.backlog_bytes += u64::from(size);
        self.max_backlog = self.max_backlog.max(self.backlog_bytes);
        Some(Admission { departure, over_threshold })
    }

    /// Whether a queue that manages itself has room for a packet more, where it holds so many packets
    /// and bytes beside the one in transmission.
    pub fn fits(&mut self, packets: usize, bytes: u64, now: Nanos, size: u32) -> bool {
        self.advance(now);
        match self.capacity {
            None => true,
            Some(QueueCapacity::Packets(limit)) => packets + self.backlog.len() < limit as usize,
            Some(QueueCapacity::Bytes(limit)) => bytes + self.backlog_bytes + u64::from(size) <= limit.bytes(),
        }
    }

    /// When the server can begin with a packet that is there from `now` on.
    pub fn begins(&self, now: Nanos) -> Nanos {
        self.service.begins(now)
    }

    /// Transmits a packet from a queue that manages itself; says when that ends.
    pub fn serve(&mut self, now: Nanos, size: u32) -> Nanos {
        let departure = self.service.transmit(now, size);
        if !matches!(self.service, Service::Unlimited) {
            self.backlog.push_back((departure, size));
            self.backlog_bytes += u64::from(size);
        }
        departure
    }

    /// When the transmission of a packet of `size` bytes would end that was admitted at `now`,
    /// whether or not the buffer has room for it. Nothing changes.
    pub fn peek(&self, now: Nanos, size: u32) -> Nanos {
        self.service.peek(now, size)
    }

    /// Bytes that have not been transmitted wholly.
    pub fn backlog_bytes(&self) -> u64 {
        self.backlog_bytes
    }

    /// Counts a rate trace's time from `epoch`.
    pub fn set_epoch(&mut self, epoch: Nanos) {
        self.service.start_trace(epoch);
    }

    /// Goes on under these conditions from `now`. What was admitted stays admitted, and is
    /// transmitted at the new rate from now on, the rest of the packet in transmission too. Gives
    /// back the old and the new end of each transmission that was not over, in their order.
    pub fn change(
        &mut self,
        conditions: &Conditions,
        capacity: Option<QueueCapacity>,
        threshold: Option<QueueCapacity>,
        now: Nanos,
        epoch: Option<Nanos>,
    ) -> Vec<(Nanos, Nanos)> {
        (self.capacity, self.threshold) = (capacity, threshold);
        if !self.service.differs(conditions) {
            return Vec::new();
        }
        self.advance(now);
        let before = std::mem::replace(&mut self.service, Service::new(conditions, epoch));
        self.service.start(now);
        let waiting = std::mem::take(&mut self.backlog);
        let mut moved = Vec::with_capacity(waiting.len());
        for (index, (old, size)) in waiting.into_iter().enumerate() {
            let new = match index {
                0 => self.service.take_over(&before, now, old, size),
                _ => self.service.transmit(now, size),
            };
            moved.push((old, new));
            if matches!(self.service, Service::Unlimited) {
                self.backlog_bytes -= u64::from(size);
            } else {
                self.backlog.push_back((new, size));
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
    use super::super::work::BIT_NANOS;
    use super::*;
    use proptest::prelude::*;
    use samepath_model::units::{BitRate, ByteCount};

    fn bottleneck(rate: BitRate, capacity: Option<QueueCapacity>) -> Bottleneck {
        Bottleneck::new(&Conditions { rate: Some(rate), ..Conditions::transparent() }, capacity, None)
    }

    impl Bottleneck {
        fn departs(&mut self, now: Nanos, size: u32) -> Option<Nanos> {
            self.admit(now, size).map(|admission| admission.departure)
        }
    }

    #[test]
    fn the_rate_is_exact_over_a_long_backlog() {
        // Rates for which a packet takes no whole number of nanoseconds.
        for rate in [7_000_003u64, 13_333_333, 99_999_989, 1_000_000_007] {
            let mut bottleneck = bottleneck(BitRate::new(rate), None);
            let (packets, size) = (1_000_000u64, 1499u32);
            let last = (0..packets).map(|_| bottleneck.departs(5, size).unwrap()).last().unwrap();
            let exact = (u128::from(packets) * u128::from(size) * u128::from(BIT_NANOS)).div_ceil(u128::from(rate));
            assert_eq!(u128::from(last - 5), exact, "{rate} bit/s");
        }
    }

    #[test]
    fn a_full_buffer_delays_by_size_over_rate() {
        let (rate, limit) = (BitRate::new(10_000_000), 64_000);
        let mut bottleneck = bottleneck(rate, Some(QueueCapacity::Bytes(ByteCount::new(limit))));
        let mut last = 0;
        while let Some(departure) = bottleneck.departs(1_000, 1000) {
            last = departure;
        }
        assert_eq!(bottleneck.max_backlog(), limit);
        assert_eq!(last - 1_000, rate.time_for(limit).as_nanos());
        // One transmission later there is room for exactly one more.
        let now = 1_000 + rate.time_for(1000).as_nanos();
        assert!(bottleneck.departs(now - 1, 1000).is_none());
        assert!(bottleneck.departs(now, 1000).is_some());
        assert!(bottleneck.departs(now, 1).is_none());
    }

    #[test]
    fn a_limit_in_packets_counts_the_one_in_transmission() {
        let mut bottleneck = bottleneck(BitRate::new(8_000_000), Some(QueueCapacity::Packets(2)));
        assert_eq!(bottleneck.departs(0, 100), Some(100_000));
        assert_eq!(bottleneck.departs(0, 100), Some(200_000));
        assert_eq!(bottleneck.departs(99_999, 100), None);
        assert_eq!(bottleneck.departs(100_000, 100), Some(300_000));
    }

    proptest! {
        #[test]
        fn never_above_its_limit_nor_faster_than_its_rate(
            rate in 1_000u64..2_000_000_000,
            limit in 1_500u64..200_000,
            packets in proptest::collection::vec((0u64..3_000_000, 20u32..1500), 1..300),
        ) {
            let mut bottleneck =
                bottleneck(BitRate::new(rate), Some(QueueCapacity::Bytes(ByteCount::new(limit))));
            let (mut now, mut carried, mut last) = (0u64, 0u128, 0u64);
            for (gap, size) in packets {
                now += gap;
                if let Some(departure) = bottleneck.departs(now, size) {
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
