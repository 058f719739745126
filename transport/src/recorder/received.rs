//! The receiver's records: every byte verified, counted once, and each message noted when it is whole.

use std::collections::HashMap;

use samepath_model::record::{CoderReport, Metric, SERIES_BIN_NANOS};
use samepath_model::units::ByteCount;
use samepath_model::workload::{Length, MessageId, StreamId, Table};
use serde::{Deserialize, Serialize};

use super::arrivals::{Jitter, Parts};
use crate::TransportError;
use crate::codec::most_coded;
use crate::compressed::Arrived;
use crate::frame::{FrameError, HEADER_LEN, Header, Kind, Piece};
use crate::payload::{Payload, WARMUP_SEQ};
use crate::plan::Plan;

/// What the receiver noted of each message, and of the whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Received {
    /// When each message was whole, by its place in the table; 0 where it never was.
    pub at: Vec<u64>,
    /// Bytes of each message that arrived, likewise.
    pub bytes: Vec<u64>,
    /// When the first payload byte of the workload was read.
    pub first_byte: Option<u64>,
    /// Datagrams that arrived a second time.
    pub duplicates: u64,
    /// Interarrival jitter (RFC 3550, section 6.4.1) of bulk datagrams, in nanoseconds.
    pub jitter_ns: Option<u64>,
    /// The messages that were decompressed: their place in the table, and the nanoseconds of CPU time that it took.
    pub decompressed: Vec<(usize, u64)>,
}

/// The receiver's records.
#[derive(Debug)]
pub(crate) struct Sink {
    plan: Plan,
    table: Table,
    payload: Payload,
    slots: Vec<Slot>,
    /// Messages that were delivered and of which the driver was not told yet.
    pub(crate) fresh: Vec<MessageId>,
    /// What has come of compressed messages that are not whole; `None` where there are none.
    coded: Option<HashMap<usize, Vec<u8>>>,
    /// Compressed messages that are whole, to be decompressed.
    pub(crate) arrived: Vec<Arrived>,
    decompressed: Vec<(usize, u64)>,
    decompression: CoderReport,
    delivered: u64,
    /// Messages of which nothing more is to come: those delivered, those that the time has cut off, and those given up.
    over: u64,
    /// Messages that the peer has sent, once it sends no more.
    peer_sent: Option<u64>,
    pub(crate) warmup_left: u64,
    /// Bytes in each bin after the epoch.
    bins: Vec<u64>,
    pub(crate) epoch: Option<u64>,
    first_byte: Option<u64>,
    bytes: u64,
    datagrams: u64,
    /// Calls in which payload was read.
    pub(crate) reads: u64,
    duplicates: u64,
    pub(crate) last_arrival: u64,
    /// Which datagrams of unfinished messages have arrived.
    parts: HashMap<usize, Parts>,
    jitter: Jitter,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    size: Option<u64>,
    received: u64,
    delivered: u64,
}

impl Sink {
    pub(crate) fn new(plan: &Plan, table: Table) -> Sink {
        let slot = |(stream, seq, length): (StreamId, u32, Length)| {
            // Where a compressed message ends, its last frame says.
            let is_open = table.content(stream, seq).coding().is_some();
            Slot { size: length.bytes().map(ByteCount::bytes).filter(|_| !is_open), received: 0, delivered: 0 }
        };
        Sink {
            payload: Payload::new(plan.seed, &table),
            slots: table.messages().map(slot).collect(),
            coded: table.has_compressed().then(HashMap::new),
            arrived: Vec::new(),
            decompressed: Vec::new(),
            decompression: CoderReport::default(),
            fresh: Vec::new(),
            delivered: 0,
            over: 0,
            peer_sent: None,
            warmup_left: if table.is_empty() { 0 } else { plan.warmup() },
            table,
            plan: plan.clone(),
            bins: Vec::new(),
            epoch: None,
            first_byte: None,
            bytes: 0,
            datagrams: 0,
            reads: 0,
            duplicates: 0,
            last_arrival: 0,
            parts: HashMap::new(),
            jitter: Jitter::default(),
        }
    }

    pub(crate) const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Messages that there may be.
    pub(crate) const fn expected(&self) -> u64 {
        self.slots.len() as u64
    }

    /// The peer sends nothing more, and has sent so many messages.
    pub(crate) const fn end_after(&mut self, sent: u64) {
        self.peer_sent = Some(sent);
    }

    /// The sender has given up the message on a stream of its own, of which this one was read in part or whole, or none.
    pub(crate) fn given_up(&mut self, message: Option<(StreamId, u32)>) -> Result<(), TransportError> {
        let slot = message.and_then(|(stream, seq)| self.table.index(stream, seq)).map(|index| self.slots[index]);
        self.over += u64::from(slot.is_none_or(|slot| slot.delivered == 0));
        Ok(())
    }

    /// Whether nothing more is to come: all that the peer has sent was delivered, or all that there may be.
    pub(crate) fn is_over(&self) -> bool {
        self.peer_sent.is_some_and(|sent| self.over >= sent) || self.over == self.expected()
    }

    fn is_whole(&mut self, stream: StreamId, seq: u32, index: usize, now: u64) {
        self.slots[index].delivered = now;
        self.delivered += 1;
        self.over += 1;
        self.fresh.push(MessageId { direction: self.table.direction(), stream, seq });
    }

    /// Whether the time of a message that has no other end is over. A reliable transport has more under way then, in
    /// buffers whose size is no figure of merit: that is left out.
    fn is_cut_off(&self, stream: StreamId, seq: u32, now: u64) -> bool {
        let end = match self.table.length(stream, seq) {
            Some(Length::Until(end)) => self.epoch.map(|epoch| epoch + end.as_nanos()),
            _ => None,
        };
        end.is_some_and(|end| now >= end)
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When payload came last; 0 where none has.
    pub(crate) const fn last_arrival(&self) -> u64 {
        self.last_arrival
    }

    pub(crate) const fn datagrams(&self) -> u64 {
        self.datagrams
    }

    /// Delivered bytes in each bin up to the last one that has any, empty ones included, so that a stall shows as
    /// zeros. Bins after the last payload are not there: how long sending goes on, the workload says.
    pub(crate) fn series(&self) -> impl Iterator<Item = (u64, Metric, f64)> {
        let epoch = self.epoch.unwrap_or_default();
        let at = move |bin: usize| epoch + bin as u64 * SERIES_BIN_NANOS as u64;
        self.bins.iter().enumerate().map(move |(bin, bytes)| (at(bin), Metric::DeliveredBytes, *bytes as f64))
    }

    pub(crate) fn into_report(self) -> Received {
        Received {
            at: self.slots.iter().map(|slot| slot.delivered).collect(),
            bytes: self.slots.iter().map(|slot| slot.received).collect(),
            first_byte: self.first_byte,
            duplicates: self.duplicates,
            jitter_ns: self.jitter.nanos(),
            decompressed: self.decompressed,
        }
    }

    /// Longest a workload can go on, which bounds the bins.
    fn max_bins(&self) -> usize {
        (self.plan.time_limit.as_nanos() / SERIES_BIN_NANOS as u64 + 1) as usize
    }

    fn count(&mut self, bytes: u64, now: u64) {
        self.first_byte.get_or_insert(now);
        self.bytes += bytes;
        let Some(after) = self.epoch.and_then(|epoch| now.checked_sub(epoch)) else { return };
        let bin = (after / SERIES_BIN_NANOS as u64) as usize;
        if bin >= self.bins.len() && bin < self.max_bins() {
            self.bins.resize(bin + 1, 0);
        }
        if let Some(sum) = self.bins.get_mut(bin) {
            *sum += bytes;
        }
    }

    fn verify(&self, header: &Header, seq: u32, offset: u64, bytes: &[u8]) -> Result<(), TransportError> {
        match self.payload.mismatch(header.stream, seq, offset, bytes) {
            None => Ok(()),
            Some(offset) => Err(TransportError::Mismatch { stream: header.stream, seq, offset }),
        }
    }

    /// What was decompressed of all; `None` where nothing is compressed.
    pub(crate) fn decompression(&self) -> Option<CoderReport> {
        self.coded.as_ref().map(|_| self.decompression)
    }

    /// A compressed message was decompressed, and every byte of it compared.
    pub(crate) fn decompressed(&mut self, arrived: &Arrived, cpu_ns: u64, now: u64) {
        let &Arrived { stream, seq, content, ref coded } = arrived;
        let index = self.table.index(stream, seq).expect("a message of the table has arrived");
        self.decompressed.push((index, cpu_ns));
        self.decompression = self.decompression.and(content, coded.len() as u64, cpu_ns);
        self.is_whole(stream, seq, index, now);
    }

    /// Bytes of a compressed message, which are compared once it is whole.
    fn keep(&mut self, piece: &Piece<'_>, index: usize, whole: bool) -> Result<(), TransportError> {
        let Header { stream, seq, .. } = piece.header;
        let content = self.table.length(stream, seq).and_then(Length::bytes).map_or(0, ByteCount::bytes);
        let kept = self.coded.get_or_insert_default().entry(index).or_default();
        kept.extend_from_slice(piece.bytes);
        if kept.len() as u64 > most_coded(content) {
            return Err(TransportError::Unexpected { stream, seq, offset: piece.offset });
        }
        if whole {
            let coded = self.coded.as_mut().and_then(|coded| coded.remove(&index)).unwrap_or_default();
            self.arrived.push(Arrived { stream, seq, content, coded });
        }
        Ok(())
    }

    /// Bytes of an ordered byte stream; whether they are the last of a message.
    pub(crate) fn ordered(&mut self, piece: &Piece<'_>, now: u64) -> Result<bool, TransportError> {
        let Header { kind, stream, seq, .. } = piece.header;
        let unexpected = TransportError::Unexpected { stream, seq, offset: piece.offset };
        let len = piece.bytes.len() as u64;
        match kind {
            Kind::Warmup => {
                self.verify(&piece.header, WARMUP_SEQ, piece.offset, piece.bytes)?;
                self.warmup_left = self.warmup_left.checked_sub(len).ok_or(unexpected)?;
                return Ok(false);
            }
            Kind::Timed => return Err(unexpected),
            Kind::Data | Kind::End => {}
        }
        let Some(index) = self.table.index(stream, seq) else { return Err(unexpected) };
        if self.slots[index].size.is_none() && self.is_cut_off(stream, seq, now) {
            self.over += u64::from(kind == Kind::End);
            return Ok(kind == Kind::End);
        }
        let is_coded = self.coded.is_some() && self.table.content(stream, seq).coding().is_some();
        let slot = &mut self.slots[index];
        if slot.delivered != 0 || piece.offset != slot.received || is_coded && slot.size == Some(slot.received) {
            return Err(unexpected);
        }
        if kind == Kind::End {
            // It may be cut on its way: each of its pieces says the same.
            let end = piece.header.offset + u64::from(piece.header.len);
            if slot.size.is_some_and(|size| !is_coded || size != end) {
                return Err(unexpected);
            }
            slot.size = Some(end);
        }
        slot.received += len;
        let whole = match slot.size {
            Some(size) if slot.received > size => return Err(unexpected),
            Some(size) => slot.received == size,
            None => false,
        };
        if is_coded {
            self.keep(piece, index, whole)?;
        } else {
            self.verify(&piece.header, seq, piece.offset, piece.bytes)?;
        }
        if len > 0 {
            self.count(len, now);
        }
        if whole && !is_coded {
            self.is_whole(stream, seq, index, now);
        }
        Ok(whole)
    }

    /// A datagram: one frame, whole. What is no frame of the session is an error, because the
    /// socket is connected to the peer alone.
    pub(crate) fn datagram(&mut self, datagram: &[u8], capacity: u64, now: u64) -> Result<(), TransportError> {
        let (head, bytes) = datagram.split_first_chunk::<HEADER_LEN>().ok_or(SHORT)?;
        let header = Header::decode(head)?;
        let Header { kind, stream, seq, offset, .. } = header;
        let unexpected = TransportError::Unexpected { stream, seq, offset };
        let message = match kind {
            Kind::Data => seq,
            Kind::Timed => 0,
            Kind::Warmup | Kind::End => return Err(unexpected),
        };
        let Some(index) = self.table.index(stream, message) else { return Err(unexpected) };
        let len = bytes.len() as u64;
        let size = self.slots[index].size;
        // The sender cuts every message in the same places.
        if bytes.len() != header.len as usize
            || offset % capacity != 0
            || size.map_or(len != capacity, |size| offset >= size || len != (size - offset).min(capacity))
        {
            return Err(unexpected);
        }
        self.verify(&header, message, offset, bytes)?;
        self.datagrams += 1;
        self.reads += 1;
        self.last_arrival = now;
        if kind == Kind::Timed {
            self.jitter.arrived(seq, now);
        }
        let is_new = match size {
            Some(size) if size <= capacity => self.slots[index].delivered == 0,
            Some(_) if self.slots[index].delivered != 0 => false,
            _ => self.parts.entry(index).or_default().insert(offset / capacity),
        };
        if !is_new {
            self.duplicates += 1;
            return Ok(());
        }
        self.count(len, now);
        let slot = &mut self.slots[index];
        slot.received += len;
        if Some(slot.received) == slot.size {
            self.is_whole(stream, message, index, now);
            self.parts.remove(&index);
        }
        Ok(())
    }
}

const SHORT: TransportError = TransportError::Frame(FrameError::SHORT);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use samepath_model::arm::{Arm, Transport};
    use samepath_model::link::Direction;
    use samepath_model::tuning::Tuning;
    use samepath_model::units::Duration;
    use samepath_model::workload::{Bulk, Compression, Messages, Rpc, Size, StreamId, Workload};

    fn sink(transport: Transport, workload: Workload) -> Sink {
        let plan = Plan {
            arm: Arm::default_of(transport),
            workload,
            tuning: Tuning::default(),
            seed: 5,
            mtu: 1500,
            rtt: Duration::ZERO,
            rate: None,
            time_limit: Duration::from_secs(10),
            attribution: false,
        };
        Sink::new(&plan, plan.table(Direction::Down))
    }

    fn messages(size: u64) -> Workload {
        let size = ByteCount::new(size);
        Workload::Messages(Messages {
            streams: 2,
            size,
            count: Some(3),
            warmup: Some(ByteCount::ZERO),
            ..Messages::default()
        })
    }

    fn frame(kind: Kind, stream: StreamId, seq: u32, offset: u64, len: usize) -> Vec<u8> {
        let message = if kind == Kind::Timed { 0 } else { seq };
        let mut bytes = Header { kind, stream, len: len as u32, seq, offset }.encode().to_vec();
        Payload::new(5, &Table::new(Direction::Down, 5)).append(stream, message, offset, len, &mut bytes);
        bytes
    }

    const CAPACITY: u64 = 1456;

    #[test]
    fn datagrams_make_messages_in_any_order() {
        let mut sink = sink(Transport::Udp, messages(3000));
        let parts = [(1456, 1456), (0, 1456), (0, 1456), (2912, 88), (1456, 1456)];
        for (n, (offset, len)) in parts.into_iter().enumerate() {
            sink.datagram(&frame(Kind::Data, 1, 2, offset, len), CAPACITY, 100 + n as u64).unwrap();
        }
        let report = sink.into_report();
        let index = 2 * 2 + 1;
        assert_eq!((report.at[index], report.bytes[index], report.duplicates), (103, 3000, 2));
        assert_eq!(report.bytes.iter().sum::<u64>(), 3000);
    }

    #[test]
    fn wrong_bytes_and_wrong_places_are_errors() {
        let mut sink = sink(Transport::Udp, messages(1000));
        let mut bad = frame(Kind::Data, 0, 0, 0, 1000);
        bad[500] ^= 1;
        let error = sink.datagram(&bad, CAPACITY, 1).unwrap_err();
        assert!(matches!(error, TransportError::Mismatch { stream: 0, seq: 0, offset: 484 }), "{error}");
        for (stream, seq, offset, len) in [(2, 0, 0, 1000), (0, 3, 0, 1000), (0, 0, 1, 999), (0, 0, 0, 999)] {
            assert!(sink.datagram(&frame(Kind::Data, stream, seq, offset, len), CAPACITY, 1).is_err());
        }
        assert_eq!(sink.bytes(), 0);
    }

    #[test]
    fn an_ordered_stream_keeps_its_order() {
        let mut sink = sink(Transport::Tcp, messages(1000));
        let bytes = frame(Kind::Data, 0, 0, 500, 500);
        let header = Header::decode(bytes.first_chunk().unwrap()).unwrap();
        let piece = Piece { header, offset: 500, bytes: &bytes[HEADER_LEN..] };
        assert!(matches!(sink.ordered(&piece, 1), Err(TransportError::Unexpected { offset: 500, .. })));
    }

    /// The sink of responses of 5 kB that are compressed.
    fn compressed() -> Sink {
        let response = Size::Fixed(ByteCount::new(5_000));
        let compression = Some(Compression::Gzip);
        let rpc = Rpc { outstanding: Some(1), count: Some(3), response, compression, ..Rpc::default() };
        sink(Transport::Tcp, Workload::Rpc(Rpc { cold: true, ..rpc }))
    }

    /// What `sink` says of a frame of message 0 whose bytes come in pieces, `cut` at a time.
    fn read(sink: &mut Sink, kind: Kind, offset: u64, bytes: &[u8], cut: usize) -> Result<bool, TransportError> {
        let header = Header { kind, stream: 0, len: bytes.len() as u32, seq: 0, offset };
        let mut whole = false;
        for (n, piece) in bytes.chunks(cut).enumerate() {
            whole |= sink.ordered(&Piece { header, offset: offset + (n * cut) as u64, bytes: piece }, 7)?;
        }
        Ok(whole)
    }

    #[test]
    fn a_compressed_message_ends_with_its_last_frame() {
        let coded: Vec<u8> = (0..1500).map(|n| n as u8).collect();
        let mut sink = compressed();
        assert!(!read(&mut sink, Kind::Data, 0, &coded[..1000], 300).unwrap());
        assert!(sink.arrived.is_empty());
        assert!(read(&mut sink, Kind::End, 1000, &coded[1000..], 300).unwrap());
        let arrived = sink.arrived.pop().unwrap();
        assert_eq!((&arrived.coded, arrived.content, sink.bytes()), (&coded, 5_000, 1_500));
        assert!(sink.fresh.is_empty(), "it is delivered when it is decompressed");
        sink.decompressed(&arrived, 9, 11);
        assert_eq!((sink.fresh.len(), sink.decompression().unwrap().cpu_ns), (1, 9));
        let report = sink.into_report();
        assert_eq!((report.at[0], report.bytes[0], report.decompressed), (11, 1_500, vec![(0, 9)]));
    }

    #[test]
    fn frames_beyond_a_compressed_message_are_errors() {
        let bytes = [1; 6_000];
        let mut whole = compressed();
        read(&mut whole, Kind::End, 0, &bytes[..1_000], 400).unwrap();
        for (kind, offset) in [(Kind::Data, 1_000), (Kind::End, 1_000), (Kind::Data, 0), (Kind::End, 0)] {
            assert!(read(&mut whole, kind, offset, &bytes[..10], 10).is_err(), "{kind:?} at {offset}");
        }
        assert!(read(&mut compressed(), Kind::Data, 0, &bytes, 6_000).is_err(), "longer than a coder makes 5 kB");
        assert!(read(&mut compressed(), Kind::Data, 10, &bytes, 6_000).is_err(), "its beginning is missing");
        let mut random = sink(Transport::Tcp, messages(1_000));
        assert!(read(&mut random, Kind::End, 0, &bytes[..1_000], 1_000).is_err(), "its length is known");
    }

    proptest! {
        #[test]
        fn garbage_datagrams_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bulk = Workload::Bulk(Bulk { duration: Some(Duration::from_secs(1)), ..Bulk::default() });
            let _ = sink(Transport::Udp, bulk).datagram(&bytes, CAPACITY, 1);
        }
    }
}
