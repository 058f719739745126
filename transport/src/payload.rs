//! Payload that both ends know: pseudo-random, or a text, and free at gigabytes a second.
//!
//! One pattern is repeated without end: pseudo-random bytes of prime length, or, where a message is a text, a long one of
//! JSON records. Each message starts at a place in it that its seed, stream and number decide: of the text, where a
//! record begins. The sender hands out slices of the pattern without copying; the receiver compares with `memcmp`. A byte
//! that was changed, lost, or taken from another message shows as a mismatch.

mod mix;
mod text;

use std::sync::LazyLock;

use bytes::Bytes;
use samepath_model::workload::{Content, MOST_TEXT, StreamId, Table};

use mix::mix;
use text::Text;

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

/// The text, likewise; and where its records begin.
static TEXT: LazyLock<(Bytes, Vec<usize>)> = LazyLock::new(|| {
    let Text { mut bytes, records } = Text::of(MOST_TEXT.bytes() as usize);
    bytes.extend_from_within(..MAX_SLICE);
    (bytes.into(), records)
});

/// The payload of one direction of a trial.
#[derive(Debug, Clone)]
pub struct Payload {
    seed: u64,
    /// 0 down, 1 up, where the numbers of streams leave room for it.
    direction: u64,
    /// Which of the messages are texts; `None` where none is.
    texts: Option<Table>,
}

impl Payload {
    /// The payload of these messages that belongs to this seed.
    pub fn new(seed: u64, table: &Table) -> Self {
        let texts = table.has_text().then(|| table.clone());
        if texts.is_some() {
            // Not while somebody waits for a message.
            LazyLock::force(&TEXT);
        }
        Payload { seed, direction: table.direction().opposite().index() as u64, texts }
    }

    /// The pattern in which byte `offset` of a message lies, and where.
    fn place(&self, stream: StreamId, seq: u32, offset: u64) -> (&'static Bytes, usize) {
        let message = mix(self.seed ^ mix(self.direction << 48 | u64::from(stream) << 32 | u64::from(seq)));
        let is_text = self.texts.as_ref().is_some_and(|table| table.content(stream, seq) != Content::Random);
        if is_text {
            let (text, records) = &*TEXT;
            let start = records[(message % records.len() as u64) as usize] as u64;
            (text, ((start + offset) % MOST_TEXT.bytes()) as usize)
        } else {
            let start = message % PERIOD as u64 + offset % PERIOD as u64;
            (&*PATTERN, (start % PERIOD as u64) as usize)
        }
    }

    /// `len` bytes of a message from `offset` on, shared, not copied.
    ///
    /// # Panics
    /// When `len` exceeds [`MAX_SLICE`].
    pub fn slice(&self, stream: StreamId, seq: u32, offset: u64, len: usize) -> Bytes {
        assert!(len <= MAX_SLICE, "a slice of {len} bytes is longer than the pattern");
        let (pattern, start) = self.place(stream, seq, offset);
        pattern.slice(start..start + len)
    }

    /// The same as [`Payload::slice`], appended to a buffer.
    pub fn append(&self, stream: StreamId, seq: u32, offset: u64, len: usize, to: &mut Vec<u8>) {
        let (pattern, start) = self.place(stream, seq, offset);
        to.extend_from_slice(&pattern[start..start + len]);
    }

    /// The first `len` bytes of a message in one piece.
    pub fn whole(&self, stream: StreamId, seq: u32, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let piece = MAX_SLICE.min(len - bytes.len());
            self.append(stream, seq, bytes.len() as u64, piece, &mut bytes);
        }
        bytes
    }

    /// The offset of the first byte of `got` that is not what it must be.
    pub fn mismatch(&self, stream: StreamId, seq: u32, offset: u64, got: &[u8]) -> Option<u64> {
        let mut at = offset;
        for piece in got.chunks(MAX_SLICE) {
            let (pattern, start) = self.place(stream, seq, at);
            let expected = &pattern[start..start + piece.len()];
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
    use samepath_model::link::Direction;
    use samepath_model::workload::{Compression, Rpc, Workload};

    fn random(seed: u64, direction: Direction) -> Payload {
        Payload::new(seed, &Table::new(direction, seed))
    }

    fn text(seed: u64) -> Payload {
        let compression = Some(Compression::None);
        let rpc = Rpc { outstanding: Some(2), count: Some(4), compression, ..Rpc::default() };
        Payload::new(seed, &Workload::Rpc(rpc).table(Direction::Down, seed))
    }

    #[test]
    fn slices_join_without_a_seam() {
        for payload in [random(7, Direction::Up), text(7)] {
            let mut whole = Vec::new();
            for (offset, len) in [(0, 1000), (1000, MAX_SLICE), (1000 + MAX_SLICE as u64, 5)] {
                whole.extend_from_slice(&payload.slice(1, 1, offset, len));
            }
            assert_eq!(payload.mismatch(1, 1, 0, &whole), None);
            assert_eq!(payload.mismatch(1, 1, 500, &whole[500..]), None);
            assert_eq!(payload.whole(1, 1, whole.len()), whole);
            let mut appended = Vec::new();
            payload.append(1, 1, 70_000 - 40, 40, &mut appended);
            assert_eq!(payload.mismatch(1, 1, 70_000 - 40, &appended), None);
        }
    }

    #[test]
    fn every_kind_of_damage_is_found() {
        for of in [|seed| random(seed, Direction::Down), text] {
            let payload = of(7);
            let mut bytes = payload.slice(0, 0, 0, 4096).to_vec();
            bytes[1234] ^= 1;
            assert_eq!(payload.mismatch(0, 0, 0, &bytes), Some(1234));
            let good = payload.slice(0, 0, 0, 4096);
            for (seed, stream, seq, offset) in [(8, 0, 0, 0), (7, 1, 0, 0), (7, 0, 1, 0), (7, 0, 0, 1)] {
                assert!(of(seed).mismatch(stream, seq, offset, &good).is_some());
            }
            assert!(random(7, Direction::Up).mismatch(0, 0, 0, &good).is_some(), "the other direction");
        }
    }

    #[test]
    fn a_text_begins_with_a_record_and_goes_on() {
        let payload = text(3);
        for (stream, seq) in [(0, 0), (1, 1)] {
            assert!(payload.slice(stream, seq, 0, 100).starts_with(br#"{"id":"#));
        }
        let longest = payload.whole(0, 0, MOST_TEXT.bytes() as usize);
        assert_eq!(payload.mismatch(0, 0, 0, &longest), None);
        // What is no response is none of it.
        assert_eq!(payload.slice(0, WARMUP_SEQ, 0, 9), random(3, Direction::Down).slice(0, WARMUP_SEQ, 0, 9));
    }
}
