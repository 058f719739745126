//! The one frame of every mapping: which bytes of which message follow.
//!
//! ```text
//!  0      2          6          10               16
//!  +------+----------+----------+----------------+ - - - - - +
//!  |stream|   len    |   seq    |     offset     |  payload  |   big-endian
//!  +------+----------+----------+----------------+ - - - - - +
//! ```
//!
//! The upper four bits of `stream` are flags, the two topmost always 0: a datagram of ours lacks
//! both bits that QUIC's first byte may show (RFC 9000, section 17), so neither is ever taken for the
//! other. Byte streams carry frames back to back; a datagram is
//! exactly one frame.

use samepath_model::workload::{MAX_STREAMS, StreamId};

/// Bytes before the payload.
pub const HEADER_LEN: usize = 16;

/// The most payload that a frame carries: long frames make few chunks, through which quinn searches
/// for every packet that it sends.
pub const MAX_PAYLOAD: usize = crate::payload::MAX_SLICE;

/// Offsets have 48 bits.
const MAX_OFFSET: u64 = (1 << 48) - 1;

const WARMUP: u16 = 0x1000;
const END: u16 = 0x2000;
const TIMED: u16 = 0x3000;
const STREAM_BITS: u16 = MAX_STREAMS - 1;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes of a message.
    Data,
    /// Bytes that only open the congestion window.
    Warmup,
    /// The message ends with these bytes, or before them where there are none; for those whose length the schedule leaves
    /// open, or a coder decides.
    End,
    /// Bytes of a bulk datagram: `seq` holds the low 32 bits of the sender's clock in microseconds,
    /// from which the receiver computes jitter (RFC 3550, section 6.4.1).
    Timed,
}

/// What stands before a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the frame is for.
    pub kind: Kind,
    /// The logical stream.
    pub stream: StreamId,
    /// Bytes of payload that follow.
    pub len: u32,
    /// The message's number within its stream.
    pub seq: u32,
    /// Where in the message the payload starts.
    pub offset: u64,
}

/// Bytes that are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer sent {0}, which is no frame of this protocol")]
pub struct FrameError(&'static str);

impl FrameError {
    /// A datagram too short for a header.
    pub(crate) const SHORT: FrameError = FrameError("a datagram shorter than a header");
}

impl Header {
    /// The header as written; an offset wraps at 2⁴⁸.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let flags = match self.kind {
            Kind::Data => 0,
            Kind::Warmup => WARMUP,
            Kind::End => END,
            Kind::Timed => TIMED,
        };
        let mut bytes = [0; HEADER_LEN];
        bytes[..2].copy_from_slice(&(self.stream & STREAM_BITS | flags).to_be_bytes());
        bytes[2..6].copy_from_slice(&self.len.to_be_bytes());
        bytes[6..10].copy_from_slice(&self.seq.to_be_bytes());
        bytes[10..].copy_from_slice(&self.offset.to_be_bytes()[2..]);
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// When it is none: unknown flags, a length that no sender uses.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Header, FrameError> {
        let [s0, s1, l0, l1, l2, l3, q0, q1, q2, q3, o0, o1, o2, o3, o4, o5] = *bytes;
        let first = u16::from_be_bytes([s0, s1]);
        let kind = match first & !STREAM_BITS {
            0 => Kind::Data,
            WARMUP => Kind::Warmup,
            END => Kind::End,
            TIMED => Kind::Timed,
            _ => return Err(FrameError("unknown flags")),
        };
        let header = Header {
            kind,
            stream: first & STREAM_BITS,
            len: u32::from_be_bytes([l0, l1, l2, l3]),
            seq: u32::from_be_bytes([q0, q1, q2, q3]),
            offset: u64::from_be_bytes([0, 0, o0, o1, o2, o3, o4, o5]),
        };
        if header.len as usize > MAX_PAYLOAD {
            return Err(FrameError("a frame that is too long"));
        }
        if header.len == 0 && kind != Kind::End {
            return Err(FrameError("a frame of impossible length"));
        }
        if header.offset + u64::from(header.len) > MAX_OFFSET {
            return Err(FrameError("an offset beyond every message"));
        }
        Ok(header)
    }
}

/// A run of payload that belongs to one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The frame's header.
    pub header: Header,
    /// Where in the message these bytes start.
    pub offset: u64,
    /// The bytes; of [`Kind::End`] there may be none.
    pub bytes: &'a [u8],
}

/// Takes a byte stream apart, however it was cut on its way.
#[derive(Debug, Default)]
pub struct Decoder {
    head: [u8; HEADER_LEN],
    have: usize,
    /// The frame under way and how much of its payload was seen.
    frame: Option<(Header, u32)>,
}

impl Decoder {
    /// The next piece of `input`, which shrinks by what was used; `None` when all of it was.
    ///
    /// # Errors
    /// When the bytes are no frame; the stream cannot be read further.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, FrameError> {
        loop {
            if let Some((header, seen)) = &mut self.frame {
                let left = (header.len - *seen) as usize;
                if left > 0 && input.is_empty() {
                    return Ok(None);
                }
                let (bytes, rest) = input.split_at(left.min(input.len()));
                *input = rest;
                let piece = Piece { header: *header, offset: header.offset + u64::from(*seen), bytes };
                *seen += bytes.len() as u32;
                if *seen == header.len {
                    self.frame = None;
                }
                return Ok(Some(piece));
            }
            let take = (HEADER_LEN - self.have).min(input.len());
            let (head, rest) = input.split_at(take);
            self.head[self.have..self.have + take].copy_from_slice(head);
            *input = rest;
            self.have += take;
            if self.have < HEADER_LEN {
                return Ok(None);
            }
            self.have = 0;
            self.frame = Some((Header::decode(&self.head)?, 0));
        }
    }

    /// Whether the stream may end here: between two frames.
    pub fn is_between_frames(&self) -> bool {
        self.have == 0 && self.frame.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames() -> impl Strategy<Value = Vec<(Header, Vec<u8>)>> {
        let frame = (0..MAX_STREAMS, any::<u32>(), 0..MAX_OFFSET / 2, proptest::collection::vec(any::<u8>(), 0..300));
        let frame = frame.prop_map(|(stream, seq, offset, bytes)| {
            let kind = if bytes.is_empty() { Kind::End } else { Kind::Data };
            (Header { kind, stream, len: bytes.len() as u32, seq, offset }, bytes)
        });
        proptest::collection::vec(frame, 1..8)
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(frames in frames(), cut in 1usize..70) {
            let wire: Vec<u8> = frames.iter().flat_map(|(h, b)| [&h.encode()[..], b].concat()).collect();
            let mut decoder = Decoder::default();
            let mut got: Vec<(Header, Vec<u8>)> = Vec::new();
            for mut piece in wire.chunks(cut) {
                while let Some(p) = decoder.next(&mut piece).unwrap() {
                    match got.last_mut() {
                        Some((h, bytes)) if *h == p.header && p.offset > h.offset => bytes.extend_from_slice(p.bytes),
                        _ => got.push((p.header, p.bytes.to_vec())),
                    }
                }
            }
            prop_assert!(decoder.is_between_frames());
            prop_assert_eq!(got, frames);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..4096), cut in 1usize..300) {
            let mut decoder = Decoder::default();
            'all: for mut piece in bytes.chunks(cut) {
                loop {
                    match decoder.next(&mut piece) {
                        Ok(Some(p)) => prop_assert!(p.bytes.len() <= p.header.len as usize),
                        Ok(None) => break,
                        Err(_) => break 'all,
                    }
                }
            }
        }
    }
}
