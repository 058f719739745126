//! The frames of a QUIC packet's plaintext (RFC 9000, section 19), as far as the attribution of packets to
//! messages and the qlogs need them: which stream bytes and which datagram a packet carries, what it
//! acknowledges, which limits it moves or waits at, what it ends.
//!
//! Sans-io. Everything else is stepped over, frame by frame, since a packet's frames can only be
//! found one after the other.

/// A frame, by its section in RFC 9000 where no other source is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// So many PADDING frames in a row (19.1).
    Padding(usize),
    /// PING (19.2).
    Ping,
    /// ACK (19.3).
    Ack(Ack<'a>),
    /// RESET_STREAM (19.4): the stream, the application's error code, and how long the stream is.
    ResetStream(u64, u64, u64),
    /// STOP_SENDING (19.5): the stream and the application's error code.
    StopSending(u64, u64),
    /// CRYPTO (19.6): offset and length.
    Crypto(u64, usize),
    /// Bytes of a stream (19.8).
    Stream {
        /// The stream's ID, its two type bits included.
        id: u64,
        /// Where in the stream they start.
        offset: u64,
        /// The bytes; none in a frame that only ends the stream.
        data: &'a [u8],
        /// Whether they are the stream's last.
        fin: bool,
    },
    /// MAX_DATA (19.9).
    MaxData(u64),
    /// MAX_STREAM_DATA (19.10): the stream and its limit.
    MaxStreamData(u64, u64),
    /// MAX_STREAMS (19.11): whether of bidirectional streams, and how many.
    MaxStreams(bool, u64),
    /// DATA_BLOCKED (19.12): the limit that is reached.
    DataBlocked(u64),
    /// STREAM_DATA_BLOCKED (19.13): the stream and its limit.
    StreamDataBlocked(u64, u64),
    /// STREAMS_BLOCKED (19.14): whether of bidirectional streams, and their limit.
    StreamsBlocked(bool, u64),
    /// NEW_CONNECTION_ID (19.15).
    NewConnectionId {
        /// Its number.
        sequence: u64,
        /// IDs with smaller numbers are to be retired.
        retire_prior_to: u64,
        /// The ID.
        id: &'a [u8],
    },
    /// RETIRE_CONNECTION_ID (19.16): the ID's number.
    RetireConnectionId(u64),
    /// CONNECTION_CLOSE (19.19).
    Close {
        /// Whether the error is the application's, not the transport's.
        by_application: bool,
        /// Its code.
        error: u64,
        /// For people.
        reason: &'a [u8],
    },
    /// A datagram (RFC 9221, section 4).
    Datagram(&'a [u8]),
    /// One that is only stepped over, by its type.
    Other(u64),
}

impl Frame<'_> {
    /// Whether a packet with it must be acknowledged, and so counts as in flight (RFC 9002, section 2).
    pub const fn is_ack_eliciting(&self) -> bool {
        !matches!(self, Frame::Padding(_) | Frame::Ack(_) | Frame::Close { .. })
    }
}

/// What an ACK frame acknowledges (RFC 9000, section 19.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The largest packet number.
    pub largest: u64,
    /// The delay as written, in units of 2^`ack_delay_exponent` microseconds.
    pub delay: u64,
    /// How far the first range goes down from the largest.
    first: u64,
    /// The further ranges, as written.
    further: &'a [u8],
}

impl Ack<'_> {
    /// The ranges of packet numbers, from the largest down: the smallest and the largest of each.
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        let mut smallest = self.largest.saturating_sub(self.first);
        let mut ranges = vec![(smallest, self.largest)];
        let mut further = Frames::of(self.further);
        while let (Some(gap), Some(length)) = (further.varint(), further.varint()) {
            let largest = smallest.saturating_sub(gap.saturating_add(2));
            smallest = largest.saturating_sub(length);
            ranges.push((smallest, largest));
        }
        ranges
    }
}

/// Bytes that are no frames of QUIC version 1 or of the extensions that quinn speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at} of a packet's plaintext: {problem}; this is a bug of samepath, please report it")]
pub struct Malformed {
    /// Where the frame starts that cannot be read.
    at: usize,
    problem: &'static str,
}

/// The frames of a packet's plaintext, in order.
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    plaintext: &'a [u8],
    at: usize,
}

impl<'a> Frames<'a> {
    /// Those of this plaintext.
    pub const fn of(plaintext: &'a [u8]) -> Self {
        Frames { plaintext, at: 0 }
    }

    /// Reads the frame that starts here.
    fn frame(&mut self) -> Option<Frame<'a>> {
        let kind = self.varint()?;
        Some(match kind {
            0x00 => {
                let more = self.plaintext[self.at..].iter().take_while(|byte| **byte == 0).count();
                self.at += more;
                Frame::Padding(1 + more)
            }
            0x01 => Frame::Ping,
            // Largest, delay, count of ranges, the first range, then a gap and a range each; with three
            // counters of ECN marks in the second form.
            0x02 | 0x03 => {
                let (largest, delay, count, first) = (self.varint()?, self.varint()?, self.varint()?, self.varint()?);
                let from = self.at;
                for _ in 0..count {
                    self.varints(2)?;
                }
                let further = &self.plaintext[from..self.at];
                if kind == 0x03 {
                    self.varints(3)?;
                }
                Frame::Ack(Ack { largest, delay, first, further })
            }
            0x04 => Frame::ResetStream(self.varint()?, self.varint()?, self.varint()?),
            0x05 => Frame::StopSending(self.varint()?, self.varint()?),
            // Offset, length, data.
            0x06 => Frame::Crypto(self.varint()?, self.counted()?.len()),
            // Its bits say whether offset and length are there, and whether it is the last.
            0x08..=0x0f => {
                let id = self.varint()?;
                let offset = if kind & 0x04 != 0 { self.varint()? } else { 0 };
                let data = if kind & 0x02 != 0 { self.counted()? } else { self.rest() };
                Frame::Stream { id, offset, data, fin: kind & 0x01 != 0 }
            }
            0x10 => Frame::MaxData(self.varint()?),
            0x11 => Frame::MaxStreamData(self.varint()?, self.varint()?),
            0x12 | 0x13 => Frame::MaxStreams(kind == 0x12, self.varint()?),
            0x14 => Frame::DataBlocked(self.varint()?),
            0x15 => Frame::StreamDataBlocked(self.varint()?, self.varint()?),
            0x16 | 0x17 => Frame::StreamsBlocked(kind == 0x16, self.varint()?),
            // Behind the ID, a reset token.
            0x18 => {
                let (sequence, retire_prior_to, length) = (self.varint()?, self.varint()?, self.take(1)?[0]);
                let id = self.take(usize::from(length))?;
                self.take(16)?;
                Frame::NewConnectionId { sequence, retire_prior_to, id }
            }
            0x19 => Frame::RetireConnectionId(self.varint()?),
            // The transport's form has the type of the frame that caused it, too.
            0x1c | 0x1d => {
                let error = self.varint()?;
                self.varints(if kind == 0x1c { 1 } else { 0 })?;
                Frame::Close { by_application: kind == 0x1d, error, reason: self.counted()? }
            }
            // Without and with a length.
            0x30 => Frame::Datagram(self.rest()),
            0x31 => Frame::Datagram(self.counted()?),
            _ => {
                self.step_over(kind)?;
                Frame::Other(kind)
            }
        })
    }

    /// Steps over the body of a frame of one of the other types; `None` where the type is unknown.
    fn step_over(&mut self, kind: u64) -> Option<()> {
        match kind {
            // HANDSHAKE_DONE; IMMEDIATE_ACK (draft-ietf-quic-ack-frequency).
            0x1e | 0x1f => {}
            // NEW_TOKEN: length, token.
            0x07 => {
                self.counted()?;
            }
            // PATH_CHALLENGE, PATH_RESPONSE.
            0x1a | 0x1b => {
                self.take(8)?;
            }
            // ACK_FREQUENCY (draft-ietf-quic-ack-frequency): four numbers.
            0xaf => self.varints(4)?,
            _ => return None,
        }
        Some(())
    }

    /// A number of one to eight bytes (RFC 9000, section 16).
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let first = *self.plaintext.get(self.at)?;
        let bytes = self.take(1 << (first >> 6))?;
        Some(bytes[1..].iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte)))
    }

    fn varints(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.varint().map(drop))
    }

    /// Bytes behind their length.
    pub(crate) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.varint()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn rest(&mut self) -> &'a [u8] {
        let rest = &self.plaintext[self.at..];
        self.at = self.plaintext.len();
        rest
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let bytes = self.plaintext.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(bytes)
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        if at == self.plaintext.len() {
            return None;
        }
        Some(self.frame().ok_or_else(|| {
            // What follows a frame that cannot be read is not to be found.
            self.at = self.plaintext.len();
            Malformed { at, problem: "a frame of an unknown type, or cut short" }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A frame of every type but those that carry an application's bytes, as RFC 9000 writes it.
    const OTHERS: &[&[u8]] = &[
        &[0x00],
        &[0x01],
        &[0x02, 0x40, 0x64, 0x05, 0x00, 0x03],
        &[0x02, 0x20, 0x00, 0x02, 0x01, 0x00, 0x02, 0x03, 0x04],
        &[0x03, 0x20, 0x00, 0x01, 0x01, 0x00, 0x02, 0x05, 0x06, 0x80, 0x00, 0x00, 0x07],
        &[0x04, 0x03, 0x00, 0x44, 0x00],
        &[0x05, 0x03, 0x07],
        &[0x06, 0x00, 0x03, 0xaa, 0xbb, 0xcc],
        &[0x07, 0x02, 0xaa, 0xbb],
        &[0x10, 0xc0, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00],
        &[0x11, 0x03, 0x41, 0x00],
        &[0x12, 0x10],
        &[0x13, 0x10],
        &[0x14, 0x10],
        &[0x15, 0x03, 0x10],
        &[0x16, 0x10],
        &[0x17, 0x10],
        &[0x18, 0x01, 0x00, 0x04, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        &[0x19, 0x00],
        &[0x1a, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x1b, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x1c, 0x0a, 0x06, 0x02, b'n', b'o'],
        &[0x1d, 0x00, 0x00],
        &[0x1e],
        &[0x1f],
        &[0x40, 0xaf, 0x01, 0x02, 0x44, 0x00, 0x03],
    ];

    #[test]
    fn the_numbers_of_the_rfc_are_read() {
        // RFC 9000, appendix A.1.
        for (bytes, value) in [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ] {
            assert_eq!(Frames::of(bytes).varint(), Some(value));
        }
    }

    #[test]
    fn streams_and_datagrams_are_found_among_all_other_frames() {
        let stream: &[u8] = &[0x0e, 0x07, 0x44, 0x00, 0x03, b'a', b'b', b'c'];
        let datagram: &[u8] = &[0x31, 0x02, b'x', b'y'];
        for before in OTHERS {
            for after in OTHERS {
                let packet = [before, stream, datagram, *after, &[0x09, 0x43, 0xe8, b'z']].concat();
                let found: Vec<_> = Frames::of(&packet).collect::<Result<_, _>>().unwrap();
                let expected = [
                    Frames::of(before).next().unwrap().unwrap(),
                    Frame::Stream { id: 7, offset: 1024, data: b"abc", fin: false },
                    Frame::Datagram(b"xy"),
                    Frames::of(after).next().unwrap().unwrap(),
                    Frame::Stream { id: 1000, offset: 0, data: b"z", fin: true },
                ];
                assert_eq!(found, expected, "{before:x?} {after:x?}");
            }
        }
        assert_eq!(Frames::of(&[0x30, 9, 9]).next(), Some(Ok(Frame::Datagram(&[9, 9]))));
    }

    #[test]
    fn frames_about_streams_are_read_by_field() {
        let of_these = |frame: &&&[u8]| matches!(frame[0], 0x04 | 0x05 | 0x14..=0x19 | 0x1c | 0x1d);
        let all: Vec<_> = OTHERS.iter().filter(of_these).flat_map(|frame| frame.to_vec()).collect();
        let found: Vec<_> = Frames::of(&all).collect::<Result<_, _>>().unwrap();
        let expected = [
            Frame::ResetStream(3, 0, 1024),
            Frame::StopSending(3, 7),
            Frame::DataBlocked(16),
            Frame::StreamDataBlocked(3, 16),
            Frame::StreamsBlocked(true, 16),
            Frame::StreamsBlocked(false, 16),
            Frame::NewConnectionId { sequence: 1, retire_prior_to: 0, id: &[1, 2, 3, 4] },
            Frame::RetireConnectionId(0),
            Frame::Close { by_application: false, error: 10, reason: b"no" },
            Frame::Close { by_application: true, error: 0, reason: b"" },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn truncated_or_unknown_frames_are_an_error() {
        for broken in OTHERS.iter().filter(|frame| frame.len() > 1).map(|frame| &frame[..frame.len() - 1]) {
            let found: Vec<_> = Frames::of(broken).collect();
            assert!(matches!(found[..], [Err(Malformed { at: 0, .. })]), "{broken:x?}: {found:?}");
        }
        let found: Vec<_> = Frames::of(&[0x01, 0x21, 0x08, 0x00]).collect();
        assert!(matches!(found[..], [Ok(Frame::Ping), Err(Malformed { at: 1, .. })]), "{found:?}");
    }

    #[test]
    fn acknowledged_ranges_are_counted_down_as_the_rfc_says() {
        // RFC 9000, section 19.3.1: each range ends two below the gap under the one before it.
        let ack: &[u8] = &[0x02, 0x20, 0x00, 0x02, 0x01, 0x00, 0x02, 0x03, 0x04];
        let Some(Ok(Frame::Ack(ack))) = Frames::of(ack).next() else { panic!("{ack:?}") };
        assert_eq!(ack.ranges(), [(31, 32), (27, 29), (18, 22)]);
        let eliciting = |bytes: &[u8]| Frames::of(bytes).next().unwrap().unwrap().is_ack_eliciting();
        let not: Vec<_> = OTHERS.iter().filter(|frame| !eliciting(frame)).map(|frame| frame[0]).collect();
        assert_eq!(not, [0x00, 0x02, 0x02, 0x03, 0x1c, 0x1d]);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for frame in Frames::of(&bytes).flatten() {
                match frame {
                    Frame::Stream { data, .. } | Frame::Datagram(data) => prop_assert!(data.len() <= bytes.len()),
                    Frame::Ack(ack) => prop_assert!(ack.ranges().len() <= bytes.len()),
                    _ => {}
                }
            }
        }
    }
}
