//! What is noted of datagrams as they arrive: which ones came, and how unevenly.

use std::collections::VecDeque;

/// The datagrams of a message that have arrived: all below a floor, and a window above it. A
/// datagram that comes more than a window late counts as one that came before.
#[derive(Debug, Default)]
pub(super) struct Parts {
    floor: u64,
    window: VecDeque<u64>,
}

impl Parts {
    /// Datagrams in the window: more than any queue of a link holds.
    const WORDS: usize = 1 << 12;

    /// Whether this one is new.
    pub(super) fn insert(&mut self, part: u64) -> bool {
        let (word, bit) = (part / 64, 1u64 << (part % 64));
        let Some(mut place) = word.checked_sub(self.floor) else { return false };
        while place >= Parts::WORDS as u64 {
            if self.window.pop_front().is_none() {
                // The window is empty: it may as well start here.
                self.floor = word;
                place = 0;
                break;
            }
            self.floor += 1;
            place -= 1;
        }
        let place = place as usize;
        if place >= self.window.len() {
            self.window.resize(place + 1, 0);
        }
        let is_new = self.window[place] & bit == 0;
        self.window[place] |= bit;
        is_new
    }
}

/// Interarrival jitter: the smoothed change of the transit time (RFC 3550, section 6.4.1).
#[derive(Debug, Default)]
pub(super) struct Jitter {
    last: Option<u32>,
    smoothed_us: f64,
    count: u64,
}

impl Jitter {
    /// A datagram sent at `sent_us` (the low bits of the sender's clock) arrived.
    pub(super) fn arrived(&mut self, sent_us: u32, now: u64) {
        let transit = ((now / 1000) as u32).wrapping_sub(sent_us);
        if let Some(last) = self.last.replace(transit) {
            let change = f64::from(transit.wrapping_sub(last).cast_signed().unsigned_abs());
            self.smoothed_us += (change - self.smoothed_us) / 16.0;
        }
        self.count += 1;
    }

    pub(super) fn nanos(&self) -> Option<u64> {
        (self.count > 1).then_some((self.smoothed_us * 1000.0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn jitter_is_zero_for_a_steady_stream() {
        let (mut steady, mut restless) = (Jitter::default(), Jitter::default());
        for n in 0..1000u32 {
            steady.arrived(n * 100, u64::from(n) * 100_000 + 5_000_000);
            restless.arrived(n * 100, u64::from(n) * 100_000 + u64::from(n % 2) * 40_000);
        }
        assert_eq!(steady.nanos(), Some(0));
        // Every transit time differs from the one before by 40 µs.
        let nanos = restless.nanos().unwrap();
        assert!((39_000..=40_000).contains(&nanos), "{nanos}");
    }

    proptest! {
        #[test]
        fn a_window_counts_each_part_once(parts in proptest::collection::vec(0u64..10_000, 1..2000)) {
            let mut seen = std::collections::HashSet::new();
            let mut window = Parts::default();
            for part in parts {
                prop_assert_eq!(window.insert(part), seen.insert(part));
            }
        }

        #[test]
        fn a_window_is_bounded(parts in proptest::collection::vec(any::<u64>(), 1..100)) {
            let mut window = Parts::default();
            for part in parts {
                window.insert(part);
                prop_assert!(window.window.len() <= Parts::WORDS);
            }
        }
    }
}
