//! Where the sender's messages lie: its notes for the attribution of packets to messages.
//!
//! The records and their meaning are [`samepath_model::attribution`]'s. A byte stream's position is
//! counted as frames are made; under TLS it is a position of the plaintext until the records' places
//! are known ([`seal`]).

use std::ops::Range;

use samepath_model::attribution::{LayoutRecord, ObservationRecord, datagram_domain};
use samepath_model::link::Direction;
use samepath_model::record::End;
use samepath_model::workload::StreamId;

use crate::frame::{HEADER_LEN, Header, Kind};
use crate::tls::records::{HEADER, Record};

/// One ordered byte stream, and how far it is written.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    direction: Direction,
    port: u16,
    domain: u64,
    at: u64,
    /// The last run, in the log that it was entered into.
    last: Option<usize>,
}

impl Place {
    /// A stream of which `at` bytes were written before the first frame.
    pub(crate) const fn new(direction: Direction, port: u16, domain: u64, at: u64) -> Place {
        Place { direction, port, domain, at, last: None }
    }

    /// The same connection's stream with this identifier, from its start.
    pub(crate) const fn stream(&self, domain: u64) -> Place {
        Place::new(self.direction, self.port, domain, 0)
    }

    /// Enters the next bytes of the stream as those of a message, or as nobody's.
    pub(crate) fn enter(&mut self, bytes: u64, stream: StreamId, seq: Option<u32>, log: &mut Vec<LayoutRecord>) {
        let (start, end) = (self.at, self.at + bytes);
        self.at = end;
        if let Some(last) = self.last.and_then(|last| log.get_mut(last))
            && (last.stream, last.seq) == (stream, seq)
        {
            (last.end, last.unit_end) = (end, end);
            return;
        }
        self.last = Some(log.len());
        let Place { direction, port, domain, .. } = *self;
        log.push(LayoutRecord { direction, port, domain, start, end, unit_start: start, unit_end: end, stream, seq });
    }

    /// A message of `size` bytes in datagrams: the whole of its own domain.
    pub(crate) fn datagram_message(&self, stream: StreamId, seq: u32, size: u64, capacity: u64) -> LayoutRecord {
        let end = size + HEADER_LEN as u64 * size.div_ceil(capacity.max(1));
        let Place { direction, port, .. } = *self;
        let domain = datagram_domain(stream, seq);
        LayoutRecord { direction, port, domain, start: 0, end, unit_start: 0, unit_end: end, stream, seq: Some(seq) }
    }

    /// What the sender sees in the `number`-th datagram that it hands to the socket.
    pub(crate) fn datagram(&self, header: &Header, capacity: u64, number: u64, at: u64) -> ObservationRecord {
        let (domain, run) = datagram_run(header, capacity);
        ObservationRecord {
            end: match self.direction {
                Direction::Up => End::Client,
                Direction::Down => End::Server,
            },
            direction: self.direction,
            at: at.cast_signed(),
            port: self.port,
            number,
            tag: header.encode(),
            domain: Some(domain),
            start: run.start,
            end_offset: run.end,
        }
    }
}

/// The bytes that a datagram holds of its message, the headers of it and of those before it counted,
/// and the message's domain. `capacity` is the payload of every datagram of a message but the last.
pub(crate) fn datagram_run(header: &Header, capacity: u64) -> (u64, Range<u64>) {
    const HEAD: u64 = HEADER_LEN as u64;
    // A bulk transfer is one message; its datagrams' numbers hold the time.
    let seq = if header.kind == Kind::Timed { 0 } else { header.seq };
    let start = header.offset + HEAD * (header.offset / capacity.max(1));
    (datagram_domain(header.stream, seq), start..start + HEAD + u64::from(header.len))
}

/// Turns runs of plaintext, in order and without gaps, into runs of ciphertext, each in one record.
/// What lies in no record was never written to the socket.
pub(crate) fn seal(runs: &[LayoutRecord], records: &[Record]) -> Vec<LayoutRecord> {
    let mut sealed = Vec::with_capacity(runs.len().max(records.len()));
    let mut runs = runs.iter().copied();
    let mut run = runs.next();
    let mut plain_start = 0;
    for record in records {
        let plain_end = plain_start + record.plaintext();
        while let Some(one) = run.filter(|run| run.start < plain_end) {
            let to_cipher = |plain: u64| record.start + HEADER + (plain - plain_start);
            let (from, to) = (one.start.max(plain_start), one.end.min(plain_end));
            if from < to {
                let (start, end) = (to_cipher(from), to_cipher(to));
                sealed.push(LayoutRecord { start, end, unit_start: record.start, unit_end: record.end, ..one });
            }
            if one.end > plain_end {
                break;
            }
            run = runs.next();
        }
        plain_start = plain_end;
    }
    sealed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn neighbours_of_one_message_are_one_run() {
        let mut log = Vec::new();
        let mut one = Place::new(Direction::Down, 4000, 3, 32);
        let mut other = one.stream(7);
        for (seq, bytes) in [(0, 116), (0, 116), (1, 50), (0, 60)] {
            one.enter(bytes, 5, Some(seq), &mut log);
            other.enter(10, 5, Some(0), &mut log);
        }
        let runs: Vec<_> = log.iter().map(|r| (r.domain, r.start, r.end, r.seq)).collect();
        let expected = [(3, 32, 264, Some(0)), (7, 0, 40, Some(0)), (3, 264, 314, Some(1)), (3, 314, 374, Some(0))];
        assert_eq!(runs, expected);
    }

    #[test]
    fn datagrams_of_a_message_lie_end_to_end() {
        let place = Place::new(Direction::Up, 4000, 0, 0);
        let message = place.datagram_message(2, 9, 3000, 1456);
        let header = |offset, len| Header { kind: Kind::Data, stream: 2, len, seq: 9, offset };
        let mut at = 0;
        for (offset, len) in [(0, 1456), (1456, 1456), (2912, 88)] {
            let (domain, run) = datagram_run(&header(offset, len), 1456);
            assert_eq!((domain, run.start), (message.domain, at));
            at = run.end;
        }
        assert_eq!((message.start, message.end), (0, at));
    }

    proptest! {
        /// Every byte of plaintext has its own byte of ciphertext, where the record says.
        #[test]
        fn sealing_loses_no_byte(
            runs in proptest::collection::vec(1u64..300, 1..20),
            records in proptest::collection::vec(1u64..500, 1..20),
            first in 0u64..1000,
        ) {
            let mut place = Place::new(Direction::Down, 1, 0, 0);
            let mut plain = Vec::new();
            for (seq, bytes) in runs.iter().enumerate() {
                place.enter(*bytes, 0, Some(seq as u32), &mut plain);
            }
            let mut at = first;
            let records: Vec<_> = records.iter().map(|size| {
                let record = Record { start: at, end: at + size + 22 };
                at = record.end;
                record
            }).collect();
            let sealed = seal(&plain, &records);
            // Byte by byte, the slow way.
            let bytes_of = |runs: &[LayoutRecord]| -> Vec<(u64, Option<u32>)> {
                runs.iter().flat_map(|r| (r.start..r.end).map(|at| (at, r.seq))).collect()
            };
            let places: Vec<u64> =
                records.iter().flat_map(|r| r.start + HEADER..r.end - 17).collect();
            let expected: Vec<_> =
                bytes_of(&plain).iter().zip(&places).map(|(&(_, seq), &at)| (at, seq)).collect();
            prop_assert_eq!(bytes_of(&sealed), expected);
            for run in &sealed {
                let unit = Record { start: run.unit_start, end: run.unit_end };
                prop_assert!(records.contains(&unit));
                prop_assert!(run.unit_start < run.start && run.end < run.unit_end);
            }
        }
    }
}
