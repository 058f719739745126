//! Payload that both ends know: pseudo-random, and free at gigabytes a second.
//!
//! One pseudo-random pattern of prime length is repeated without end; each message starts at a
//! place in it that its seed, stream and number decide. The sender hands out slices of the pattern
//! without copying; the receiver compares with `memcmp`. A byte that was changed, lost, or taken
//! from another message shows as a mismatch.

use std::sync::LazyLock;

use bytes::Bytes;
use samepath_model::link::Direction;
use samepath_model::workload::StreamId;

/// Length of the pattern: a prime, so that no power-of-two shift maps it onto itself.
const PERIOD: usize = 65_521;

/// The longest piece that [`Payload::slice`] gives out.
pub const MAX_SLICE: usize = 4 * PERIOD;

/// The message number under which warm-up bytes are made.
pub const WARMUP_SEQ: u32 = u32::MAX;

/// The pattern several times over, so that a slice from anywhere within the first copy is
/// contiguous; still small enough for the processor's cache.
static PATTERN: LazyLock<Bytes> = LazyLock::new(|| {
    let once: Vec<u8> = (0u64..).flat_map(|i| mix(i).to_le_bytes()).take(PERIOD).collect();
    Bytes::from(once.repeat(MAX_SLICE / PERIOD + 1))
});

/// Makes the pattern, once: it takes time, which is to be no part of what is measured.
pub(crate) fn make_ready() {
    LazyLock::force(&PATTERN);
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014).
const fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The payload of one direction of a trial.
#[derive(Debug, Clone, Copy)]
pub struct Payload {
    seed: u64,
    /// 0 down, 1 up, where the numbers of streams leave room for it.
    direction: u64,
}

impl Payload {
    /// The payload that belongs to this seed in this direction.
    pub const fn new(seed: u64, direction: Direction) -> Self {
        Payload { seed, direction: direction.opposite().index() as u64 }
    }

    /// Where in the pattern byte `offset` of a message lies.
    fn start(self, stream: StreamId, seq: u32, offset: u64) -> usize {
        let message = mix(self.seed ^ mix(self.direction << 48 | u64::from(stream) << 32 | u64::from(seq)));
        ((message % PERIOD as u64 + offset % PERIOD as u64) % PERIOD as u64) as usize
    }

    /// `len` bytes of a message from `offset` on, shared, not copied.
    ///
    /// # Panics
    /// When `len` exceeds [`MAX_SLICE`].
    pub fn slice(self, stream: StreamId, seq: u32, offset: u64, len: usize) -> Bytes {
        assert!(len <= MAX_SLICE, "a slice of {len} bytes is longer than the pattern");
        let start = self.start(stream, seq, offset);
        PATTERN.slice(start..start + len)
    }

    /// The same as [`Payload::slice`], appended to a buffer.
    pub fn append(self, stream: StreamId, seq: u32, offset: u64, len: usize, to: &mut Vec<u8>) {
        let start = self.start(stream, seq, offset);
        to.extend_from_slice(&PATTERN[start..start + len]);
    }

    /// The offset of the first byte of `got` that is not what it must be.
    pub fn mismatch(self, stream: StreamId, seq: u32, offset: u64, got: &[u8]) -> Option<u64> {
        let mut at = offset;
        for piece in got.chunks(MAX_SLICE) {
            let start = self.start(stream, seq, at);
            let expected = &PATTERN[start..start + piece.len()];
            if expected != piece {
                let wrong = expected.iter().zip(piece).position(|(a, b)| a != b).unwrap_or(0);
                return Some(at + wrong as u64);
            }
            at += piece.len() as u64;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_join_without_a_seam() {
        let payload = Payload::new(7, Direction::Up);
        let mut whole = Vec::new();
        for (offset, len) in [(0, 1000), (1000, MAX_SLICE), (1000 + MAX_SLICE as u64, 5)] {
            whole.extend_from_slice(&payload.slice(3, 9, offset, len));
        }
        assert_eq!(payload.mismatch(3, 9, 0, &whole), None);
        assert_eq!(payload.mismatch(3, 9, 500, &whole[500..]), None);
        let mut appended = Vec::new();
        payload.append(3, 9, 70_000 - 40, 40, &mut appended);
        assert_eq!(payload.mismatch(3, 9, 70_000 - 40, &appended), None);
    }

    #[test]
    fn every_kind_of_damage_is_found() {
        let payload = Payload::new(7, Direction::Up);
        let mut bytes = payload.slice(0, 0, 0, 4096).to_vec();
        bytes[1234] ^= 1;
        assert_eq!(payload.mismatch(0, 0, 0, &bytes), Some(1234));
        let good = payload.slice(0, 0, 0, 4096);
        for (seed, stream, seq, offset) in [(8, 0, 0, 0), (7, 1, 0, 0), (7, 0, 1, 0), (7, 0, 0, 1)] {
            assert!(Payload::new(seed, Direction::Up).mismatch(stream, seq, offset, &good).is_some());
        }
        assert!(Payload::new(7, Direction::Down).mismatch(0, 0, 0, &good).is_some(), "the other direction");
    }
}
