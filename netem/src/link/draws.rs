//! Random draws: a value for each (seed, direction, effect, key), with nothing remembered.
//!
//! The generator is counter-based: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random
//! numbers: as easy as 1, 2, 3", SC 2011), which passes TestU01's BigCrush. Its key is the seed;
//! its 128-bit counter says which draw is wanted. So no effect can move another's draws, any draw
//! can be had again later, and a packet costs a few nanoseconds for each effect that is on. It is
//! written out here, and held to its published test vectors, because the crates that offer it
//! hide the counter behind a sequential interface, and the counter is the point.

use samepath_model::link::Direction;

/// What a draw is for. Each has a stream of its own; the numbers must never change, or recorded
/// runs could not be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Effect {
    /// Whether a packet is lost.
    Loss = 0,
    /// Whether the Gilbert–Elliott chain changes its state.
    LossTransition = 1,
    /// The state in which the Gilbert–Elliott chain starts.
    LossStart = 2,
    /// Whether a packet is duplicated.
    Duplicate = 3,
    /// Whether a bit is flipped.
    Corrupt = 4,
    /// Which bit.
    CorruptPosition = 5,
    /// Whether a packet skips the delay line.
    Reorder = 6,
    /// Where in its range the delay lies.
    Jitter = 7,
    /// Whether a packet's loss is that of the one before it.
    LossRepeat = 8,
    /// Whether a packet is duplicated as the one before it.
    DuplicateRepeat = 9,
    /// Whether a packet is corrupted as the one before it.
    CorruptRepeat = 10,
    /// Whether a packet skips the delay line as the one before it.
    ReorderRepeat = 11,
    /// Whether a packet's delay is that of the one before it.
    JitterRepeat = 12,
    /// The pause before a slot.
    SlotPause = 13,
}

impl Effect {
    /// The stream that decides on repetition, where there is correlation.
    const fn repeat(self) -> Effect {
        match self {
            Effect::Duplicate => Effect::DuplicateRepeat,
            Effect::Corrupt => Effect::CorruptRepeat,
            Effect::Reorder => Effect::ReorderRepeat,
            Effect::Jitter => Effect::JitterRepeat,
            _ => Effect::LossRepeat,
        }
    }
}

/// Which draw of a stream: what the packet is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The packet's number, or the time slot.
    major: u64,
    /// The packet's number within the slot.
    minor: u32,
    kind: KeyKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum KeyKind {
    Index = 0,
    /// Slots counted from the schedule's start.
    Scheduled = 1,
    /// Slots counted from the first packet, before the schedule's start.
    Before = 2,
}

impl Key {
    /// By the packet's number in its direction.
    pub const fn index(number: u64) -> Key {
        Key { major: number, minor: 0, kind: KeyKind::Index }
    }

    /// The first packet of a time slot, counted from the schedule's start (`scheduled`) or, before
    /// that, from the first packet.
    pub const fn slot(slot: u64, scheduled: bool) -> Key {
        Key { major: slot, minor: 0, kind: if scheduled { KeyKind::Scheduled } else { KeyKind::Before } }
    }

    /// The next packet of the same slot.
    #[must_use]
    pub const fn next(self) -> Key {
        Key { minor: self.minor.wrapping_add(1), ..self }
    }

    /// Whether both are packets of one slot.
    pub fn same_slot(self, other: Key) -> bool {
        (self.major, self.kind) == (other.major, other.kind)
    }

    /// The key of what is drawn once for a whole count of time, not for a packet.
    #[must_use]
    pub const fn origin(self) -> Key {
        Key { major: 0, minor: 0, kind: self.kind }
    }

    /// Whether both count from the same origin.
    pub fn same_origin(self, other: Key) -> bool {
        self.kind == other.kind
    }
}

/// The draws of one direction under one seed.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    key: [u32; 2],
    direction: u32,
}

impl Draws {
    /// The draws of `direction` under `seed`.
    pub const fn new(seed: u64, direction: Direction) -> Self {
        Draws { key: [seed as u32, (seed >> 32) as u32], direction: direction as u32 }
    }

    /// Sixty-four uniform bits. `copy` tells a duplicate's draws from those of its original.
    pub fn bits(&self, effect: Effect, copy: bool, key: Key) -> u64 {
        // One word for the stream: effect, direction, copy and kind of key, a byte each.
        let stream = effect as u32 | self.direction << 8 | u32::from(copy) << 16 | (key.kind as u32) << 24;
        let out = philox4x32_10([key.major as u32, (key.major >> 32) as u32, key.minor, stream], self.key);
        u64::from(out[0]) | u64::from(out[1]) << 32
    }

    /// Uniform in [0, 1), with 53 bits: below `p` with probability `p`, never for 0, always for 1.
    pub fn uniform(&self, effect: Effect, copy: bool, key: Key) -> f64 {
        (self.bits(effect, copy, key) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

/// The draws of one effect, each of which is with some probability that of the packet before it.
///
/// So neighbours are alike with just that correlation, packets k apart with its k-th power, and the
/// share of packets that are struck stays what it is. (netem mixes a packet's value with the one before
/// it, which narrows the distribution: there a loss of 1 % with a correlation of 25 % loses far less.)
/// A copy has a draw of its own. Under time keys the first packet of a schedule follows none.
#[derive(Debug, Clone, Copy)]
pub struct Sequence {
    effect: Effect,
    correlation: f64,
    last: Option<(Key, f64)>,
}

impl Sequence {
    /// The draws of `effect`, of this correlation.
    pub const fn new(effect: Effect, correlation: f64) -> Self {
        Sequence { effect, correlation, last: None }
    }

    /// Goes on with this correlation.
    pub const fn change(&mut self, correlation: f64) {
        self.correlation = correlation;
    }

    /// Forgets what was before, as a new schedule starts.
    pub const fn restart(&mut self) {
        self.last = None;
    }

    /// The next draw, uniform in [0, 1).
    #[inline]
    pub fn next(&mut self, draws: &Draws, copy: bool, key: Key) -> f64 {
        if self.correlation == 0.0 || copy {
            return draws.uniform(self.effect, copy, key);
        }
        let repeated = self.last.filter(|(last, _)| {
            last.same_origin(key) && draws.uniform(self.effect.repeat(), false, key) < self.correlation
        });
        let value = repeated.map_or_else(|| draws.uniform(self.effect, false, key), |(_, value)| value);
        self.last = Some((key, value));
        value
    }
}

/// The block function of Philox with four 32-bit words and ten rounds.
fn philox4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    // The golden ratio and √3 − 1: Weyl sequences that give each round its own key.
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    for _ in 0..10 {
        let (a, b) = (MULTIPLIERS[0] * u64::from(counter[0]), MULTIPLIERS[1] * u64::from(counter[2]));
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `philox4x32 10` lines of `kat_vectors` in the authors' Random123 distribution.
    #[test]
    fn philox_gives_its_published_vectors() {
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32_10(counter, key), expected);
        }
    }

    #[test]
    fn every_part_of_the_key_matters() {
        let base = Draws::new(7, Direction::Up);
        let key = Key::slot(5, true);
        let values = [
            base.bits(Effect::Loss, false, key),
            base.bits(Effect::Loss, true, key),
            base.bits(Effect::Jitter, false, key),
            base.bits(Effect::Loss, false, key.next()),
            base.bits(Effect::Loss, false, Key::slot(6, true)),
            base.bits(Effect::Loss, false, Key::slot(5, false)),
            base.bits(Effect::Loss, false, Key::index(5)),
            Draws::new(8, Direction::Up).bits(Effect::Loss, false, key),
            Draws::new(7 | 1 << 32, Direction::Up).bits(Effect::Loss, false, key),
            Draws::new(7, Direction::Down).bits(Effect::Loss, false, key),
        ];
        let distinct: std::collections::HashSet<u64> = values.into_iter().collect();
        assert_eq!(distinct.len(), values.len());
    }

    #[test]
    fn correlation_is_kept_and_so_is_the_share() {
        let draws = Draws::new(1, Direction::Up);
        let n = 200_000;
        for correlation in [0.0, 0.25, 0.9] {
            let mut sequence = Sequence::new(Effect::Loss, correlation);
            let struck: Vec<f64> =
                (0..n).map(|k| f64::from(sequence.next(&draws, false, Key::index(k)) < 0.1)).collect();
            let mean = struck.iter().sum::<f64>() / n as f64;
            // The variance of the mean is that of independent draws times (1 + ρ)/(1 − ρ).
            let bound = 5.0 * (0.09 / n as f64 * (1.0 + correlation) / (1.0 - correlation)).sqrt();
            assert!((mean - 0.1).abs() < bound, "{correlation}: {mean}");
            let product = |lag: usize| {
                let sum: f64 = struck.iter().zip(&struck[lag..]).map(|(a, b)| (a - mean) * (b - mean)).sum();
                sum / (n as usize - lag) as f64 / (mean * (1.0 - mean))
            };
            assert!((product(1) - correlation).abs() < 0.02, "{correlation}: {}", product(1));
            assert!((product(2) - correlation * correlation).abs() < 0.03, "{correlation}: {}", product(2));
        }
    }

    #[test]
    fn uniform_stays_below_one_and_fills_its_range() {
        let draws = Draws::new(1, Direction::Down);
        let values: Vec<f64> = (0..10_000).map(|n| draws.uniform(Effect::Jitter, false, Key::index(n))).collect();
        assert!(values.iter().all(|v| (0.0..1.0).contains(v)));
        for tenth in 0..10 {
            let count = values.iter().filter(|&&v| (v * 10.0) as usize == tenth).count();
            // 1000 expected, standard deviation 30: five of them.
            assert!((850..1150).contains(&count), "tenth {tenth}: {count}");
        }
    }
}
