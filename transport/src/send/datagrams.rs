//! Messages and bulk transfers in datagrams: nothing is sent again, and what is due goes in one call.

use std::collections::VecDeque;
use std::sync::Arc;

use samepath_model::units::{ByteCount, Duration};
use samepath_model::workload::StreamId;

use super::bulk::Deadline;
use super::order::again;
use super::release::Queue;
use crate::attribution::Place;
use crate::frame::{HEADER_LEN, Header, Kind};
use crate::session::Shared;
use crate::tasks::AbortOnDrop;
use crate::udp::Datagrams;
use crate::{TransportError, clock};

/// Messages in datagrams of their own.
pub(super) async fn send_messages(
    shared: Arc<Shared>,
    socket: Datagrams,
    place: Option<Place>,
    mut queue: Queue,
    _answering: AbortOnDrop,
) -> Result<(), TransportError> {
    let size = shared.plan.datagram(socket.is_ipv6());
    let capacity = (size - HEADER_LEN) as u64;
    let batch = if shared.plan.offload() { socket.max_batch(size) } else { 1 };
    let mut buffer = Vec::with_capacity(batch * size);
    while let Some(message) = queue.recv().await {
        let total = message.size.map_or(0, ByteCount::bytes);
        let index = shared.plan.index(message.stream, message.seq).expect("it is of the schedule");
        if let Some(place) = &place {
            let whole = place.datagram_message(message.stream, message.seq, total, capacity);
            shared.log().layout.push(whole);
        }
        let mut offset = 0;
        while offset < total {
            buffer.clear();
            let (start, mut count) = (offset, 0);
            while offset < total && count < batch {
                let len = (total - offset).min(capacity) as usize;
                let header =
                    Header { kind: Kind::Data, stream: message.stream, len: len as u32, seq: message.seq, offset };
                buffer.extend_from_slice(&header.encode());
                if let Some(place) = &place {
                    let mut log = shared.log();
                    let number = log.datagrams + count as u64;
                    log.observations.push(place.datagram(&header, capacity, number, clock::now()));
                }
                shared.payload.append(message.stream, message.seq, offset, len, &mut buffer);
                offset += len as u64;
                count += 1;
            }
            socket.send(&buffer, size).await?;
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
pub(super) async fn send_bulk(
    shared: Arc<Shared>,
    socket: Datagrams,
    place: Option<Place>,
    _answering: AbortOnDrop,
) -> Result<(), TransportError> {
    let deadline = Deadline::new(&shared);
    let size = shared.plan.datagram(socket.is_ipv6());
    let capacity = (size - HEADER_LEN) as u64;
    let rate = shared.plan.udp_rate(socket.is_ipv6());
    let batch = if shared.plan.offload() { socket.max_batch(size) } else { 1 };
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
                let allowed = rate.bytes_in(Duration::from_nanos(clock::now() - began)).bytes();
                usize::try_from(allowed.saturating_sub(offered) / size as u64 + 1).unwrap_or(1).min(batch)
            }
        };
        fill(&shared, &mut turns, due, capacity, place.as_ref(), &mut buffer);
        socket.send(&buffer, size).await?;
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
            let whole = place.datagram_message(stream, 0, log.sent.bytes[usize::from(stream)], capacity);
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
    capacity: u64,
    place: Option<&Place>,
    buffer: &mut Vec<u8>,
) {
    buffer.clear();
    let at = clock::now();
    let mut log = shared.log();
    for _ in 0..due {
        let Some((stream, total, offset)) = turns.pop_front() else { break };
        let len = total.map_or(capacity, |total| (total - offset).min(capacity));
        // The low bits of the clock, for the receiver's jitter.
        let header = Header { kind: Kind::Timed, stream, len: len as u32, seq: (at / 1000) as u32, offset };
        buffer.extend_from_slice(&header.encode());
        shared.payload.append(stream, 0, offset, len as usize, buffer);
        if let Some(place) = place {
            let observation = place.datagram(&header, capacity, log.datagrams, at);
            log.observations.push(observation);
        }
        log.datagrams += 1;
        log.wrote(usize::from(stream), len);
        if total == Some(offset + len) {
            log.finished(usize::from(stream), at);
        } else {
            again(shared.plan.tuning.order, turns, (stream, total, offset + len));
        }
        if len < capacity {
            // Only the last datagram of a batch may be shorter than the others.
            break;
        }
    }
}
