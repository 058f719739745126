//! The receiver's half: reads every lane at once, verifies every byte, notes when each message was
//! whole.
//!
//! One task a byte stream: streams read one after the other would block each other in the
//! application, which is the very thing to be measured.

use std::collections::HashMap;
use std::sync::Arc;

use samepath_model::record::{Metric, SERIES_BIN_NANOS};
use samepath_model::units::ByteCount;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::frame::{Decoder, FrameError, HEADER_LEN, Header, Kind, Piece};
use crate::half::{Phase, Shared};
use crate::lane::{ByteReader, Lane};
use crate::payload::{Payload, WARMUP_SEQ};
use crate::plan::Plan;
use crate::udp::Datagrams;
use crate::{TransportError, clock};

/// What the receiver noted of each message, and of the whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Received {
    /// When each message was whole, in the order of [`Plan::index`]; 0 where it never was.
    pub at: Vec<u64>,
    /// Bytes of each message that arrived.
    pub bytes: Vec<u64>,
    /// When the first payload byte of the workload was read.
    pub first_byte: Option<u64>,
    /// Datagrams that arrived a second time.
    pub duplicates: u64,
    /// Interarrival jitter (RFC 3550, section 6.4.1) of bulk datagrams, in nanoseconds.
    pub jitter_ns: Option<u64>,
}

/// The receiver's books.
#[derive(Debug)]
pub(crate) struct Sink {
    plan: Plan,
    payload: Payload,
    slots: Vec<Slot>,
    missing: u64,
    warmup_left: u64,
    /// Bytes in each bin after the epoch.
    bins: Vec<u64>,
    epoch: Option<u64>,
    first_byte: Option<u64>,
    bytes: u64,
    datagrams: u64,
    duplicates: u64,
    last_arrival: u64,
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
    pub(crate) fn new(plan: &Plan) -> Sink {
        let mut slots = vec![Slot { size: None, received: 0, delivered: 0 }; plan.message_count()];
        for message in plan.workload.schedule() {
            let index = plan.index(message.stream, message.seq).expect("it is of the schedule");
            slots[index].size = message.size.map(ByteCount::bytes);
        }
        Sink {
            payload: Payload::new(plan.seed),
            missing: slots.len() as u64,
            warmup_left: plan.warmup(),
            slots,
            plan: plan.clone(),
            bins: Vec::new(),
            epoch: None,
            first_byte: None,
            bytes: 0,
            datagrams: 0,
            duplicates: 0,
            last_arrival: 0,
            parts: HashMap::new(),
            jitter: Jitter::default(),
        }
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.slots.len() as u64 - self.missing
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
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

    /// Bytes of an ordered byte stream.
    fn ordered(&mut self, piece: &Piece<'_>, now: u64) -> Result<(), TransportError> {
        let Header { kind, stream, seq, .. } = piece.header;
        let unexpected = TransportError::Unexpected { stream, seq, offset: piece.offset };
        let len = piece.bytes.len() as u64;
        match kind {
            Kind::Warmup => {
                self.verify(&piece.header, WARMUP_SEQ, piece.offset, piece.bytes)?;
                self.warmup_left = self.warmup_left.checked_sub(len).ok_or(unexpected)?;
                return Ok(());
            }
            Kind::Timed => return Err(unexpected),
            Kind::Data | Kind::End => {}
        }
        if self.plan.cut_off().zip(self.epoch).is_some_and(|(duration, epoch)| now >= epoch + duration) {
            return Ok(());
        }
        let Some(index) = self.plan.index(stream, seq) else { return Err(unexpected) };
        let slot = &mut self.slots[index];
        if slot.delivered != 0 || piece.offset != slot.received {
            return Err(unexpected);
        }
        if kind == Kind::End {
            if slot.size.is_some() {
                return Err(unexpected);
            }
            slot.size = Some(slot.received);
        }
        slot.received += len;
        let whole = match slot.size {
            Some(size) if slot.received > size => return Err(unexpected),
            Some(size) => slot.received == size,
            None => false,
        };
        self.verify(&piece.header, seq, piece.offset, piece.bytes)?;
        if len > 0 {
            self.count(len, now);
        }
        if whole {
            self.slots[index].delivered = now;
            self.missing -= 1;
        }
        Ok(())
    }

    /// A datagram: one frame, whole. What is no frame of the playing is an error, because the
    /// socket is connected to the peer alone.
    fn datagram(&mut self, datagram: &[u8], room: u64, now: u64) -> Result<(), TransportError> {
        let (head, bytes) = datagram.split_first_chunk::<HEADER_LEN>().ok_or(SHORT)?;
        let header = Header::decode(head)?;
        let Header { kind, stream, seq, offset, .. } = header;
        let unexpected = TransportError::Unexpected { stream, seq, offset };
        let message = match kind {
            Kind::Data => seq,
            Kind::Timed => 0,
            Kind::Warmup | Kind::End => return Err(unexpected),
        };
        let Some(index) = self.plan.index(stream, message) else { return Err(unexpected) };
        let len = bytes.len() as u64;
        let size = self.slots[index].size;
        // The sender cuts every message in the same places.
        if bytes.len() != header.len as usize
            || offset % room != 0
            || size.map_or(len != room, |size| offset >= size || len != (size - offset).min(room))
        {
            return Err(unexpected);
        }
        self.verify(&header, message, offset, bytes)?;
        self.datagrams += 1;
        self.last_arrival = now;
        if kind == Kind::Timed {
            self.jitter.arrived(seq, now);
        }
        let is_new = match size {
            Some(size) if size <= room => self.slots[index].delivered == 0,
            Some(_) if self.slots[index].delivered != 0 => false,
            _ => self.parts.entry(index).or_default().insert(offset / room),
        };
        if !is_new {
            self.duplicates += 1;
            return Ok(());
        }
        self.count(len, now);
        let slot = &mut self.slots[index];
        slot.received += len;
        if Some(slot.received) == slot.size {
            slot.delivered = now;
            self.missing -= 1;
            self.parts.remove(&index);
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.missing == 0
    }
}

const SHORT: TransportError = TransportError::Frame(FrameError::SHORT);

/// The datagrams of a message that have arrived: all below a floor, and a window above it. A
/// datagram that comes more than a window late counts as one that came before.
#[derive(Debug, Default)]
struct Parts {
    floor: u64,
    window: std::collections::VecDeque<u64>,
}

impl Parts {
    /// Datagrams in the window: more than any queue of a link holds.
    const WORDS: usize = 1 << 12;

    /// Whether this one is new.
    fn insert(&mut self, part: u64) -> bool {
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
struct Jitter {
    last: Option<u32>,
    smoothed_us: f64,
    count: u64,
}

impl Jitter {
    /// A datagram sent at `sent_us` (the low bits of the sender's clock) arrived.
    fn arrived(&mut self, sent_us: u32, now: u64) {
        let transit = ((now / 1000) as u32).wrapping_sub(sent_us);
        if let Some(last) = self.last.replace(transit) {
            let change = f64::from(transit.wrapping_sub(last).cast_signed().unsigned_abs());
            self.smoothed_us += (change - self.smoothed_us) / 16.0;
        }
        self.count += 1;
    }

    fn nanos(&self) -> Option<u64> {
        (self.count > 1).then_some((self.smoothed_us * 1000.0) as u64)
    }
}

impl Shared {
    /// Lets `work` enter what arrived, then looks how far that brought us.
    fn enter<T>(&self, work: impl FnOnce(&mut Sink) -> Result<T, TransportError>) -> Result<T, TransportError> {
        let mut guard = self.sink.lock().expect("no panic while held");
        // The books were closed: what still comes is nobody's.
        let Some(sink) = guard.as_mut() else { return Err(TransportError::Control("the session is over".into())) };
        let done = work(sink)?;
        let (is_done, is_warm) = (sink.is_done(), sink.warmup_left == 0);
        drop(guard);
        if is_done {
            self.reached(Phase::Finished);
        } else if is_warm && *self.phase.borrow() == Phase::Bound {
            self.reached(Phase::Warm);
        }
        Ok(done)
    }
}

/// Receives the workload over the lanes as they come.
pub(crate) async fn run(shared: Arc<Shared>, mut lanes: mpsc::Receiver<Lane>) -> Result<(), TransportError> {
    let mut tasks: Tasks = JoinSet::new();
    let mut missing = shared.plan.connections();
    if shared.plan.is_cold() {
        // Bins are counted from the epoch, which is announced before the first connection is made.
        let epoch = shared.epoch().await;
        shared.enter(|sink| {
            sink.epoch = Some(epoch);
            Ok(())
        })?;
    } else {
        let shared = shared.clone();
        tasks.spawn(async move {
            let epoch = shared.epoch().await;
            shared.enter(|sink| {
                sink.epoch = Some(epoch);
                Ok(())
            })
        });
    }
    loop {
        tokio::select! {
            lane = lanes.recv(), if missing > 0 => {
                let Some(lane) = lane else {
                    return Err(TransportError::Control("the session ended before its connections were up".into()));
                };
                missing -= 1;
                shared.watch(&lane)?;
                start(&shared, lane, &mut tasks);
                if missing == 0 {
                    shared.reached(Phase::Bound);
                    // There may be nothing to warm up with.
                    shared.enter(|_| Ok(()))?;
                }
            }
            Some(ended) = tasks.join_next() => ended.map_err(std::io::Error::other)??,
            else => return Err(TransportError::Control("every connection is gone".into())),
        }
    }
}

type Tasks = JoinSet<Result<(), TransportError>>;

fn start(shared: &Arc<Shared>, lane: Lane, tasks: &mut Tasks) {
    let shared = shared.clone();
    match lane {
        Lane::Tcp(_, stream) => tasks.spawn(read(shared, ByteReader::Tcp(stream))),
        Lane::Tls(_, stream) => tasks.spawn(read(shared, ByteReader::Tls(stream))),
        Lane::Quic(connection, _) => tasks.spawn(accept(shared, connection)),
        Lane::Udp(datagrams) => tasks.spawn(receive(shared, datagrams)),
    };
}

/// Accepts the sender's streams, each read by a task of its own.
async fn accept(shared: Arc<Shared>, connection: quinn::Connection) -> Result<(), TransportError> {
    let mut readers: Tasks = JoinSet::new();
    loop {
        tokio::select! {
            stream = connection.accept_uni() => match stream {
                Ok(stream) => {
                    readers.spawn(read(shared.clone(), ByteReader::Quic(stream)));
                }
                Err(error) => return Err(std::io::Error::from(error).into()),
            },
            Some(ended) = readers.join_next() => ended.map_err(std::io::Error::other)??,
        }
    }
}

async fn read(shared: Arc<Shared>, mut reader: ByteReader) -> Result<(), TransportError> {
    let mut scratch = reader.scratch();
    let mut decoder = Decoder::default();
    let is_quic = matches!(reader, ByteReader::Quic(_));
    while reader.read(&mut scratch).await? {
        let now = clock::now();
        shared.enter(|sink| {
            for mut bytes in scratch.pieces() {
                while let Some(piece) = decoder.next(&mut bytes)? {
                    sink.ordered(&piece, now)?;
                }
            }
            Ok(())
        })?;
    }
    // QUIC streams end one by one, each after its last frame. A TCP connection stays open until the
    // session is over: one that ends before everything is here was lost.
    let missing = shared.enter(|sink| Ok(sink.missing))?;
    if missing > 0 && !(is_quic && decoder.is_between_frames()) {
        return Err(TransportError::Closed { missing });
    }
    Ok(())
}

/// How long a receiver waits for stragglers, round trips apart.
const GRACE_NANOS: u64 = 500_000_000;

async fn receive(shared: Arc<Shared>, lane: Datagrams) -> Result<(), TransportError> {
    let mut room = lane.room();
    let payload = (shared.plan.datagram(lane.is_ipv6()) - HEADER_LEN) as u64;
    let grace = GRACE_NANOS + 2 * shared.plan.rtt.as_nanos();
    let mut peer_finished = shared.peer_finished.clone();
    let mut timer = clock::Timer::new()?;
    // When the sender said that it was done.
    let mut told: Option<u64> = None;
    loop {
        tokio::select! {
            biased;
            received = lane.receive(&mut room) => {
                received?;
                let now = clock::now();
                shared.enter(|sink| {
                    room.datagrams().filter(|d| !lane.is_preface(d)).try_for_each(|d| sink.datagram(d, payload, now))
                })?;
            }
            finished = async { peer_finished.wait_for(|finished| *finished).await.is_ok() }, if told.is_none() => {
                if finished {
                    told = Some(clock::now());
                } else {
                    return Ok(());
                }
            }
            waited = async {
                let last = shared.enter(|sink| Ok(sink.last_arrival))?;
                timer.until(last.max(told.unwrap_or_default()) + grace).await.map_err(TransportError::from)
            }, if told.is_some() => {
                waited?;
                shared.reached(Phase::Finished);
                told = None;
                // Nothing more is waited for.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use samepath_model::arm::{Arm, Transport};
    use samepath_model::tuning::Tuning;
    use samepath_model::units::Duration;
    use samepath_model::workload::{Bulk, Messages, StreamId, Workload};

    fn sink(transport: Transport, workload: Workload) -> Sink {
        Sink::new(&Plan {
            arm: Arm::default_of(transport),
            workload,
            tuning: Tuning::default(),
            seed: 5,
            mtu: 1500,
            rtt: Duration::ZERO,
            rate: None,
            time_limit: Duration::from_secs(10),
            mapping: false,
        })
    }

    fn messages(size: u64) -> Workload {
        let size = ByteCount::new(size);
        Workload::Messages(Messages {
            streams: 2,
            size,
            count: Some(3),
            warmup: ByteCount::ZERO,
            ..Messages::default()
        })
    }

    fn frame(kind: Kind, stream: StreamId, seq: u32, offset: u64, len: usize) -> Vec<u8> {
        let message = if kind == Kind::Timed { 0 } else { seq };
        let mut bytes = Header { kind, stream, len: len as u32, seq, offset }.encode().to_vec();
        Payload::new(5).append(stream, message, offset, len, &mut bytes);
        bytes
    }

    const ROOM: u64 = 1456;

    #[test]
    fn datagrams_make_messages_in_any_order_and_twice_counts_once() {
        let mut sink = sink(Transport::Udp, messages(3000));
        let parts = [(1456, 1456), (0, 1456), (0, 1456), (2912, 88), (1456, 1456)];
        for (n, (offset, len)) in parts.into_iter().enumerate() {
            sink.datagram(&frame(Kind::Data, 1, 2, offset, len), ROOM, 100 + n as u64).unwrap();
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
        let error = sink.datagram(&bad, ROOM, 1).unwrap_err();
        assert!(matches!(error, TransportError::Mismatch { stream: 0, seq: 0, offset: 484 }), "{error}");
        for (stream, seq, offset, len) in [(2, 0, 0, 1000), (0, 3, 0, 1000), (0, 0, 1, 999), (0, 0, 0, 999)] {
            assert!(sink.datagram(&frame(Kind::Data, stream, seq, offset, len), ROOM, 1).is_err());
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

    #[test]
    fn jitter_is_zero_for_a_steady_stream_and_grows_with_its_unrest() {
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

        #[test]
        fn garbage_datagrams_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bulk = Workload::Bulk(Bulk { duration: Some(Duration::from_secs(1)), ..Bulk::default() });
            let _ = sink(Transport::Udp, bulk).datagram(&bytes, ROOM, 1);
        }
    }
}
