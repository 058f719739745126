//! The sender's half: hands the schedule's bytes to the transport, whatever the mapping.
//!
//! Open loop: a message goes to its lane's queue at its release time, whether or not the lane can
//! take it; the delay counts from the release.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use samepath_model::Order;
use samepath_model::arm::Mapping;
use samepath_model::carriage::{LayoutRecord, SightRecord};
use samepath_model::record::Setting;
use samepath_model::units::ByteCount;
use samepath_model::workload::{Message, StreamId, Workload, share};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;

use crate::carriage::{self, Place};
use crate::frame::{HEADER_LEN, Header, Kind, MAX_PAYLOAD};
use crate::half::{AbortOnDrop, Phase, Shared};
use crate::lane::{ByteWriter, Lane, To};
use crate::payload::WARMUP_SEQ;
use crate::plan::Plan;
use crate::tls::Tap;
use crate::udp::Datagrams;
use crate::{TransportError, clock};

/// What a turn of the round-robin carries where messages compete.
const MESSAGE_CHUNK: u64 = 16 << 10;

/// What is handed to the transport at once of the messages that wait: a TLS record's worth.
const MESSAGE_WRITE: u64 = 16 << 10;

/// What a turn of the round-robin carries where bulk transfers compete.
const BULK_CHUNK: u64 = 64 << 10;

/// Frames handed over together where they are that short, so that a system call is worth its while.
const BULK_FRAMES: usize = 4;

/// Payload of the first frame of a bulk transfer, which is handed over by itself, whatever the
/// transport. A TLS record cannot be read before its last byte, and a full one of 16 KiB does not
/// fit the initial window: the first byte would wait a round trip for the record's end.
const FIRST_FRAME: u64 = 1024;

/// A frame whose payload is shorter than this is copied behind its header: one buffer, one record.
const COPY_BELOW: usize = 16 << 10;

/// Priority of the QUIC stream that goes `n`-th: higher goes first, and quinn lets streams of one
/// priority take turns.
fn priority(order: Order, n: usize) -> i32 {
    match order {
        Order::RoundRobin => 0,
        Order::Sequential => i32::try_from(n).map_or(i32::MIN, |n| -n),
    }
}

/// Takes the place whose turn it is.
fn next_turn(order: Order, turns: &mut VecDeque<usize>) -> Option<usize> {
    match order {
        Order::RoundRobin => turns.pop_front(),
        Order::Sequential => {
            let (lowest, _) = turns.iter().enumerate().min_by_key(|(_, place)| **place)?;
            turns.remove(lowest)
        }
    }
}

/// Gives a transfer that is not done its next turn.
fn again<T>(order: Order, turns: &mut VecDeque<T>, turn: T) {
    match order {
        Order::RoundRobin => turns.push_back(turn),
        Order::Sequential => turns.push_front(turn),
    }
}

/// What the sender noted of each message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// When the last byte of each message was handed over, in the order of [`Plan::index`];
    /// 0 where it was not.
    pub at: Vec<u64>,
    /// Bytes of each message that were handed over.
    pub bytes: Vec<u64>,
}

/// The sender's books.
#[derive(Debug, Default)]
pub(crate) struct SendLog {
    sent: Sent,
    bytes: u64,
    datagrams: u64,
    /// Where the messages lie; under TLS in the plaintext.
    layout: Vec<LayoutRecord>,
    sights: Vec<SightRecord>,
}

impl SendLog {
    pub(crate) fn new(plan: &Plan) -> SendLog {
        let n = plan.message_count();
        SendLog { sent: Sent { at: vec![0; n], bytes: vec![0; n] }, ..SendLog::default() }
    }

    fn wrote(&mut self, index: usize, bytes: u64) {
        self.sent.bytes[index] += bytes;
        self.bytes += bytes;
    }

    fn finished(&mut self, index: usize, at: u64) {
        self.sent.at[index] = at;
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) const fn datagrams(&self) -> u64 {
        self.datagrams
    }

    /// Where the messages lie in what was written to the sockets; `taps` are those of TLS.
    pub(crate) fn layout(&mut self, taps: Vec<(u16, Tap)>) -> Vec<LayoutRecord> {
        let layout = std::mem::take(&mut self.layout);
        if taps.is_empty() {
            return layout;
        }
        let mut by_port: HashMap<u16, Vec<LayoutRecord>> = HashMap::new();
        for run in layout {
            by_port.entry(run.port).or_default().push(run);
        }
        let of = |port: u16| by_port.get(&port).map_or(&[][..], Vec::as_slice);
        taps.iter().flat_map(|(port, tap)| carriage::seal(of(*port), &tap.take())).collect()
    }

    /// What the sender of datagrams saw in them.
    pub(crate) fn take_sights(&mut self) -> Vec<SightRecord> {
        std::mem::take(&mut self.sights)
    }

    pub(crate) fn into_report(self) -> Sent {
        self.sent
    }
}

impl Shared {
    fn log(&self) -> std::sync::MutexGuard<'_, SendLog> {
        self.sent.lock().expect("no panic while held")
    }

    /// The frame of these bytes, in as few chunks as is cheap, noted as the writer's next.
    fn frame(&self, header: Header, writer: &mut ByteWriter, to: &mut Vec<Bytes>) {
        let Header { kind, stream, seq, offset, .. } = header;
        let len = header.len as usize;
        if let Some(place) = &mut writer.place {
            let message = (kind != Kind::Warmup).then_some(seq);
            place.enter((HEADER_LEN + len) as u64, stream, message, &mut self.log().layout);
        }
        let header = header.encode();
        if len == 0 {
            to.push(Bytes::copy_from_slice(&header));
        } else if len <= COPY_BELOW {
            let mut whole = Vec::with_capacity(HEADER_LEN + len);
            whole.extend_from_slice(&header);
            self.payload.append(stream, seq, offset, len, &mut whole);
            to.push(whole.into());
        } else {
            to.push(Bytes::copy_from_slice(&header));
            to.push(self.payload.slice(stream, seq, offset, len));
        }
    }
}

/// Sends the workload over the lanes as they come.
pub(crate) async fn run(shared: Arc<Shared>, mut lanes: mpsc::Receiver<Lane>) -> Result<(), TransportError> {
    let plan = &shared.plan;
    let mut tasks = JoinSet::new();
    let mut queues = match plan.workload {
        Workload::Bulk(_) => Vec::new(),
        Workload::Messages(_) => {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..plan.writers()).map(|_| mpsc::unbounded_channel()).unzip();
            tasks.spawn(release(shared.clone(), senders));
            receivers.into_iter().map(Some).collect()
        }
    };
    let mut missing = plan.connections();
    while missing > 0 || !tasks.is_empty() {
        tokio::select! {
            lane = lanes.recv(), if missing > 0 => {
                let Some(lane) = lane else {
                    return Err(TransportError::Control("the session ended before its connections were up".into()));
                };
                missing -= 1;
                shared.watch(&lane)?;
                start(&shared, lane, &mut queues, &mut tasks).await?;
                if missing == 0 {
                    shared.reached(Phase::Bound);
                }
            }
            Some(ended) = tasks.join_next() => ended.map_err(std::io::Error::other)??,
        }
    }
    shared.reached(Phase::Finished);
    // Connections end when the session does, not before: the receiver may still be reading.
    std::future::pending().await
}

type Queue = UnboundedReceiver<Message>;
type Tasks = JoinSet<Result<(), TransportError>>;

/// Starts what writes on one lane.
async fn start(
    shared: &Arc<Shared>,
    lane: Lane,
    queues: &mut [Option<Queue>],
    tasks: &mut Tasks,
) -> Result<(), TransportError> {
    let plan = &shared.plan;
    let order = plan.tuning.order;
    if plan.workload.streams() > 1 {
        shared.note(Setting {
            name: "stream-order".into(),
            asked: Some(order.to_string()),
            effective: order.to_string(),
        });
    }
    let mut queue_of = |writer: u16| queues.get_mut(usize::from(writer)).and_then(Option::take);
    let place = shared.place(&lane)?;
    match lane {
        Lane::Tcp(n, stream) => {
            write(shared, ByteWriter::new(To::Tcp(stream), place), n, queue_of(n), tasks);
        }
        Lane::Tls(n, stream) => {
            let record = plan.tls_record();
            shared.note(Setting {
                name: "tls.record-size".into(),
                asked: plan.tuning.tls_record_size.map(|size| size.bytes().to_string()),
                effective: record.unwrap_or(1 << 14).to_string(),
            });
            let to = To::Tls(stream, record.unwrap_or(usize::MAX));
            write(shared, ByteWriter::new(to, place), n, queue_of(n), tasks);
        }
        Lane::Quic(connection, _) => match (plan.arm.mapping, queue_of(0)) {
            (Mapping::PerMessage, Some(queue)) => {
                tasks.spawn(write_each_on_its_own(shared.clone(), connection, place, queue));
            }
            (mapping, mut first) => {
                // A bulk transfer has one message a stream.
                let writers = if mapping == Mapping::Shared { 1 } else { plan.workload.streams() };
                let mut in_order = Vec::new();
                for n in 0..writers {
                    let stream = connection.open_uni().await.map_err(std::io::Error::from)?;
                    stream.set_priority(priority(order, n.into())).map_err(std::io::Error::from)?;
                    let writer = quic_writer(stream, &connection, place.as_ref());
                    let queue = if n == 0 { first.take() } else { queue_of(n) };
                    match (order, &plan.workload) {
                        (Order::Sequential, Workload::Bulk(_)) => in_order.push((writer, plan.streams_of(n))),
                        _ => write(shared, writer, n, queue, tasks),
                    }
                }
                if !in_order.is_empty() {
                    tasks.spawn(write_one_after_the_other(shared.clone(), in_order));
                }
            }
        },
        Lane::Udp(datagrams) => {
            // The socket is read for repeated prefaces, whose answer was lost.
            let listener = datagrams.clone();
            let answering = tokio::spawn(async move {
                let mut room = listener.room();
                while listener.receive(&mut room).await.is_ok() {
                    room.datagrams().for_each(|datagram| {
                        listener.is_preface(datagram);
                    });
                }
            });
            let guard = AbortOnDrop(answering.abort_handle());
            match queue_of(0) {
                Some(queue) => tasks.spawn(send_messages(shared.clone(), datagrams, place, queue, guard)),
                None => tasks.spawn(send_bulk(shared.clone(), datagrams, place, guard)),
            };
        }
    }
    Ok(())
}

/// A QUIC stream, from its start; `place` is that of its connection.
fn quic_writer(stream: quinn::SendStream, connection: &quinn::Connection, place: Option<&Place>) -> ByteWriter {
    let place = place.map(|place| place.stream(quinn::VarInt::from(stream.id()).into_inner()));
    ByteWriter::new(To::Quic(stream, connection.clone()), place)
}

fn write(shared: &Arc<Shared>, writer: ByteWriter, n: u16, queue: Option<Queue>, tasks: &mut Tasks) {
    let per_stream = shared.plan.arm.mapping != Mapping::Shared;
    let streams = if per_stream { n..n + 1 } else { 0..shared.plan.workload.streams() };
    match queue {
        Some(queue) => tasks.spawn(write_messages(shared.clone(), writer, streams, queue)),
        None => tasks.spawn(write_bulk(shared.clone(), writer, streams)),
    };
}

/// Puts each message into its lane's queue at its time.
async fn release(shared: Arc<Shared>, queues: Vec<UnboundedSender<Message>>) -> Result<(), TransportError> {
    let epoch = shared.epoch().await;
    let mut timer = clock::Timer::new()?;
    for message in shared.plan.workload.schedule() {
        timer.until(epoch + message.release.as_nanos()).await?;
        let writer = if queues.len() == 1 { 0 } else { usize::from(message.stream) };
        // It fails only where the lane failed, which says so itself.
        let _ = queues[writer].send(message);
    }
    Ok(())
}

/// Writes the warm-up's share of these streams.
async fn write_warmup(
    shared: &Shared,
    writer: &mut ByteWriter,
    streams: std::ops::Range<StreamId>,
) -> Result<(), TransportError> {
    let (all, n) = (ByteCount::new(shared.plan.warmup()), shared.plan.workload.streams());
    let mut chunks = Vec::new();
    for stream in streams {
        let total = share(all, n, stream).bytes();
        let mut offset = 0;
        while offset < total {
            let len = (total - offset).min(MESSAGE_CHUNK);
            let header = Header { kind: Kind::Warmup, stream, len: len as u32, seq: WARMUP_SEQ, offset };
            shared.frame(header, writer, &mut chunks);
            writer.write_all(&mut chunks).await?;
            chunks.clear();
            offset += len;
        }
    }
    Ok(())
}

/// Messages of several streams on one ordered byte stream: the streams in the order that is set, each
/// stream in its own. What waits together is handed over together, as a server does that answers several
/// requests at once: one system call, and under TLS records that hold several messages.
async fn write_messages(
    shared: Arc<Shared>,
    mut writer: ByteWriter,
    streams: std::ops::Range<StreamId>,
    mut queue: Queue,
) -> Result<(), TransportError> {
    write_warmup(&shared, &mut writer, streams.clone()).await?;
    let order = shared.plan.tuning.order;
    let first = streams.start;
    let mut waiting: Vec<VecDeque<Message>> = streams.map(|_| VecDeque::new()).collect();
    let mut offsets = vec![0u64; waiting.len()];
    // The streams that have something to send, in the order of their turns.
    let mut turns: VecDeque<usize> = VecDeque::new();
    let mut chunks = Vec::new();
    let mut written: Vec<(usize, u64, bool)> = Vec::new();
    loop {
        let released = if turns.is_empty() { queue.recv().await } else { queue.try_recv().ok() };
        if let Some(message) = released {
            let place = usize::from(message.stream - first);
            if waiting[place].is_empty() {
                turns.push_back(place);
            }
            waiting[place].push_back(message);
            continue;
        }
        if turns.is_empty() {
            break;
        }
        let mut room = MESSAGE_WRITE;
        while let Some(place) = next_turn(order, &mut turns) {
            let Some(message) = waiting[place].front().copied() else { continue };
            let size = message.size.map_or(0, ByteCount::bytes);
            let offset = offsets[place];
            let len = (size - offset).min(MESSAGE_CHUNK);
            if !written.is_empty() && HEADER_LEN as u64 + len > room {
                // The first in the next call; in sequence its number alone decides.
                turns.push_front(place);
                break;
            }
            room = room.saturating_sub(HEADER_LEN as u64 + len);
            let (stream, seq) = (message.stream, message.seq);
            let header = Header { kind: Kind::Data, stream, len: len as u32, seq, offset };
            shared.frame(header, &mut writer, &mut chunks);
            let index = shared.plan.index(stream, seq).expect("it is of the schedule");
            let last = offset + len == size;
            written.push((index, len, last));
            if last {
                offsets[place] = 0;
                waiting[place].pop_front();
            } else {
                offsets[place] += len;
            }
            if !waiting[place].is_empty() {
                turns.push_back(place);
            }
        }
        writer.write_all(&mut chunks).await?;
        chunks.clear();
        let at = clock::now();
        let mut log = shared.log();
        for (index, len, last) in written.drain(..) {
            log.wrote(index, len);
            if last {
                log.finished(index, at);
            }
        }
    }
    writer.finish();
    Ok(())
}

/// A QUIC stream for each message, opened in the order of release.
async fn write_each_on_its_own(
    shared: Arc<Shared>,
    connection: quinn::Connection,
    place: Option<Place>,
    mut queue: Queue,
) -> Result<(), TransportError> {
    if shared.plan.warmup() > 0 {
        let stream = connection.open_uni().await.map_err(std::io::Error::from)?;
        let mut writer = quic_writer(stream, &connection, place.as_ref());
        write_warmup(&shared, &mut writer, 0..shared.plan.workload.streams()).await?;
        writer.finish();
    }
    let mut tasks = JoinSet::new();
    let (mut open, mut released) = (true, 0);
    while open || !tasks.is_empty() {
        tokio::select! {
            biased;
            Some(ended) = tasks.join_next() => {
                let ended: Result<Result<(), TransportError>, _> = ended;
                ended.map_err(std::io::Error::other)??;
            }
            message = queue.recv(), if open => match message {
                None => open = false,
                Some(message) => {
                    let stream = connection.open_uni().await.map_err(std::io::Error::from)?;
                    let turn = priority(shared.plan.tuning.order, released);
                    stream.set_priority(turn).map_err(std::io::Error::from)?;
                    released += 1;
                    let mut writer = quic_writer(stream, &connection, place.as_ref());
                    let shared = shared.clone();
                    tasks.spawn(async move {
                        let mut chunks = Vec::new();
                        let size = message.size.map_or(0, ByteCount::bytes);
                        let index = shared.plan.index(message.stream, message.seq).expect("it is of the schedule");
                        let mut offset = 0;
                        while offset < size {
                            let len = (size - offset).min(MESSAGE_CHUNK);
                            let (stream, seq) = (message.stream, message.seq);
                            let header = Header { kind: Kind::Data, stream, len: len as u32, seq, offset };
                            shared.frame(header, &mut writer, &mut chunks);
                            writer.write_all(&mut chunks).await?;
                            chunks.clear();
                            offset += len;
                            shared.log().wrote(index, len);
                        }
                        writer.finish();
                        shared.log().finished(index, clock::now());
                        Ok(())
                    });
                }
            }
        }
    }
    Ok(())
}

/// When a bulk transfer bounded by time is over; `None` for one bounded by bytes.
struct Deadline<'a> {
    shared: &'a Shared,
    duration: Option<u64>,
    /// Stands in for the epoch until that is known.
    began: u64,
}

impl<'a> Deadline<'a> {
    fn new(shared: &'a Shared) -> Self {
        let duration = match &shared.plan.workload {
            Workload::Bulk(bulk) => bulk.duration.map(|d| d.as_nanos()),
            Workload::Messages(_) => None,
        };
        Deadline { shared, duration, began: clock::now() }
    }

    fn is_over(&self) -> bool {
        self.duration.is_some_and(|d| clock::now() >= self.shared.epoch.borrow().unwrap_or(self.began) + d)
    }
}

/// One large message a stream, each on a QUIC stream of its own: a stream is begun when all of the one
/// before it is written, so that the window they share is not filled by those whose turn it is not.
async fn write_one_after_the_other(
    shared: Arc<Shared>,
    writers: Vec<(ByteWriter, std::ops::Range<StreamId>)>,
) -> Result<(), TransportError> {
    for (writer, streams) in writers {
        write_bulk(shared.clone(), writer, streams).await?;
    }
    Ok(())
}

/// One large message a stream on one ordered byte stream, in the order that is set.
async fn write_bulk(
    shared: Arc<Shared>,
    mut writer: ByteWriter,
    streams: std::ops::Range<StreamId>,
) -> Result<(), TransportError> {
    let deadline = Deadline::new(&shared);
    let schedule: Vec<Message> = shared.plan.workload.schedule().collect();
    // Stream, size, and how much of it is written.
    let mut turns: VecDeque<(StreamId, Option<u64>, u64)> =
        streams.map(|stream| (stream, schedule[usize::from(stream)].size.map(ByteCount::bytes), 0)).collect();
    let mut chunks = Vec::new();
    let mut written: Vec<(StreamId, u64, bool)> = Vec::new();
    let mut is_first = true;
    let send_window = crate::quic::send_window(&shared.plan);
    while !turns.is_empty() {
        let over = deadline.is_over();
        let order = shared.plan.tuning.order;
        let (frames, most) = match turns.len() {
            _ if is_first => (1, FIRST_FRAME),
            _ if order == Order::Sequential && !over => (1, MAX_PAYLOAD as u64),
            1 => (1, MAX_PAYLOAD as u64),
            _ => (BULK_FRAMES, BULK_CHUNK),
        };
        let most = most.min(writer.bound_backlog(send_window, shared.plan.rate.is_some()));
        is_first = false;
        while written.len() < frames {
            let Some((stream, size, offset)) = turns.pop_front() else { break };
            if over {
                let header = Header { kind: Kind::End, stream, len: 0, seq: 0, offset };
                shared.frame(header, &mut writer, &mut chunks);
                written.push((stream, 0, true));
                continue;
            }
            let len = size.map_or(most, |size| (size - offset).min(most));
            let header = Header { kind: Kind::Data, stream, len: len as u32, seq: 0, offset };
            shared.frame(header, &mut writer, &mut chunks);
            let last = size == Some(offset + len);
            written.push((stream, len, last));
            if !last {
                again(order, &mut turns, (stream, size, offset + len));
            }
        }
        {
            // Streams of one QUIC connection share its send window, which quinn gives to whoever
            // asks first; in turns, each gets its share.
            let _turn = if writer.shares_window() { Some(shared.turn.lock().await) } else { None };
            writer.write_all(&mut chunks).await?;
        }
        chunks.clear();
        let at = clock::now();
        let mut log = shared.log();
        for (stream, len, last) in written.drain(..) {
            log.wrote(usize::from(stream), len);
            if last {
                log.finished(usize::from(stream), at);
            }
        }
    }
    writer.finish();
    Ok(())
}

/// Messages in datagrams of their own.
async fn send_messages(
    shared: Arc<Shared>,
    lane: Datagrams,
    place: Option<Place>,
    mut queue: Queue,
    _answering: AbortOnDrop,
) -> Result<(), TransportError> {
    let size = shared.plan.datagram(lane.is_ipv6());
    let room = (size - HEADER_LEN) as u64;
    let batch = if shared.plan.offload() { lane.max_batch(size) } else { 1 };
    let mut buffer = Vec::with_capacity(batch * size);
    while let Some(message) = queue.recv().await {
        let total = message.size.map_or(0, ByteCount::bytes);
        let index = shared.plan.index(message.stream, message.seq).expect("it is of the schedule");
        if let Some(place) = &place {
            let whole = place.datagram_message(message.stream, message.seq, total, room);
            shared.log().layout.push(whole);
        }
        let mut offset = 0;
        while offset < total {
            buffer.clear();
            let (start, mut count) = (offset, 0);
            while offset < total && count < batch {
                let len = (total - offset).min(room) as usize;
                let header =
                    Header { kind: Kind::Data, stream: message.stream, len: len as u32, seq: message.seq, offset };
                buffer.extend_from_slice(&header.encode());
                if let Some(place) = &place {
                    let mut log = shared.log();
                    let number = log.datagrams + count as u64;
                    log.sights.push(place.datagram(&header, room, number, clock::now()));
                }
                shared.payload.append(message.stream, message.seq, offset, len, &mut buffer);
                offset += len as u64;
                count += 1;
            }
            lane.send(&buffer, size).await?;
            let mut log = shared.log();
            log.wrote(index, offset - start);
            log.datagrams += count as u64;
        }
        shared.log().finished(index, clock::now());
    }
    Ok(())
}

/// The largest burst of a paced sender, in time: it wakes no more often than this.
const PACE_NANOS: u64 = 50_000;

/// One large message a stream in datagrams, paced, in the order that is set.
async fn send_bulk(
    shared: Arc<Shared>,
    lane: Datagrams,
    place: Option<Place>,
    _answering: AbortOnDrop,
) -> Result<(), TransportError> {
    let deadline = Deadline::new(&shared);
    let size = shared.plan.datagram(lane.is_ipv6());
    let room = (size - HEADER_LEN) as u64;
    let rate = shared.plan.udp_rate(lane.is_ipv6());
    let batch = if shared.plan.offload() { lane.max_batch(size) } else { 1 };
    let mut timer = clock::Timer::new()?;
    let mut turns: VecDeque<(StreamId, Option<u64>, u64)> =
        shared.plan.workload.schedule().map(|m| (m.stream, m.size.map(ByteCount::bytes), 0)).collect();
    let began = clock::now();
    let mut offered = 0u64;
    let mut buffer = Vec::with_capacity(batch * size);
    let mut batches = 0u32;
    while !turns.is_empty() && !deadline.is_over() {
        // The datagrams due by now; their times are computed from the start, so that lateness does
        // not accumulate.
        let due = match rate {
            None => batch,
            Some(rate) => {
                let next = began + rate.time_for(offered).as_nanos();
                let now = clock::now();
                if next > now {
                    timer.until(next.max(now + PACE_NANOS.min(next - now))).await?;
                }
                let allowed = rate.bytes_in(samepath_model::units::Duration::from_nanos(clock::now() - began)).bytes();
                usize::try_from(allowed.saturating_sub(offered) / size as u64 + 1).unwrap_or(1).min(batch)
            }
        };
        fill(&shared, &mut turns, due, room, place.as_ref(), &mut buffer);
        lane.send(&buffer, size).await?;
        offered += buffer.len() as u64;
        batches += 1;
        if batches.is_multiple_of(16) {
            // A socket that never blocks would starve the control connection.
            tokio::task::yield_now().await;
        }
    }
    let at = clock::now();
    let mut log = shared.log();
    for (stream, _, _) in turns {
        log.finished(usize::from(stream), at);
    }
    if let Some(place) = &place {
        for stream in 0..shared.plan.workload.streams() {
            let whole = place.datagram_message(stream, 0, log.sent.bytes[usize::from(stream)], room);
            log.layout.push(whole);
        }
    }
    Ok(())
}

/// Puts the next datagrams of a bulk transfer, at most `due`, into the buffer, and notes them.
fn fill(
    shared: &Shared,
    turns: &mut VecDeque<(StreamId, Option<u64>, u64)>,
    due: usize,
    room: u64,
    place: Option<&Place>,
    buffer: &mut Vec<u8>,
) {
    buffer.clear();
    let at = clock::now();
    let mut log = shared.log();
    for _ in 0..due {
        let Some((stream, total, offset)) = turns.pop_front() else { break };
        let len = total.map_or(room, |total| (total - offset).min(room));
        // The low bits of the clock, for the receiver's jitter.
        let header = Header { kind: Kind::Timed, stream, len: len as u32, seq: (at / 1000) as u32, offset };
        buffer.extend_from_slice(&header.encode());
        shared.payload.append(stream, 0, offset, len as usize, buffer);
        if let Some(place) = place {
            let sight = place.datagram(&header, room, log.datagrams, at);
            log.sights.push(sight);
        }
        log.datagrams += 1;
        log.wrote(usize::from(stream), len);
        if total == Some(offset + len) {
            log.finished(usize::from(stream), at);
        } else {
            again(shared.plan.tuning.order, turns, (stream, total, offset + len));
        }
        if len < room {
            // Only the last datagram of a batch may be shorter than the others.
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which four streams of three turns each are served.
    fn served(order: Order) -> Vec<usize> {
        let mut turns: VecDeque<(usize, u32)> = (0..4).map(|stream| (stream, 3)).collect();
        let mut served = Vec::new();
        while let Some((stream, left)) = turns.pop_front() {
            served.push(stream);
            if left > 1 {
                again(order, &mut turns, (stream, left - 1));
            }
        }
        served
    }

    #[test]
    fn transfers_take_turns_or_follow_each_other() {
        assert_eq!(served(Order::RoundRobin), [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(served(Order::Sequential), [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
    }

    #[test]
    fn messages_that_wait_are_served_by_turn_or_by_stream() {
        let waiting = VecDeque::from([2, 0, 3]);
        assert_eq!(next_turn(Order::RoundRobin, &mut waiting.clone()), Some(2));
        let mut left = waiting;
        assert_eq!(next_turn(Order::Sequential, &mut left), Some(0));
        assert_eq!(left, [2, 3]);
        assert_eq!(next_turn(Order::Sequential, &mut VecDeque::new()), None);
    }

    #[test]
    fn a_stream_that_goes_first_has_the_higher_priority() {
        assert_eq!(priority(Order::RoundRobin, 0), priority(Order::RoundRobin, 7));
        assert!(priority(Order::Sequential, 0) > priority(Order::Sequential, 1));
        assert!(priority(Order::Sequential, 1) > priority(Order::Sequential, usize::MAX));
    }
}
