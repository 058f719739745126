//! Messages in datagrams, for latency and for throughput: nothing is sent again, and what is due goes in one call.

use std::collections::VecDeque;
use std::sync::Arc;

use samepath_model::units::{ByteCount, Duration};
use samepath_model::workload::{MessageId, Release};
use tokio::sync::mpsc::error::TryRecvError;

use super::order::{again, enter};
use super::transfers::Transfer;
use crate::attribution::Place;
use crate::connection::Datagrams;
use crate::frame::{HEADER_LEN, Header, Kind};
use crate::queue::{Queue, Work};
use crate::shared::Shared;
use crate::{TransportError, clock};

/// Puts a message that was released into `backlog`, those of a higher priority first, or takes away one that was
/// withdrawn.
fn accept(shared: &Shared, work: Work, backlog: &mut VecDeque<Release>) {
    match work {
        Work::Send(release) => enter(backlog, release, |waiting| waiting.priority),
        Work::Cancel(id) => {
            if let Some(at) = backlog.iter().position(|release| release.id == id) {
                backlog.remove(at);
                shared.withdraw(id);
            }
        }
    }
}

/// Messages in datagrams of their own.
pub(super) async fn send_messages(
    shared: Arc<Shared>,
    socket: Datagrams,
    place: Option<Place>,
    mut queue: Queue,
) -> Result<(), TransportError> {
    let size = shared.plan.datagram(socket.is_ipv6());
    let batch = if shared.plan.offload() { socket.max_batch(size) } else { 1 };
    let mut buffer = Vec::with_capacity(batch * size);
    let mut backlog = VecDeque::new();
    while let Some(work) = queue.recv().await {
        accept(&shared, work, &mut backlog);
        while let Some(message) = backlog.pop_front() {
            send_message(&shared, &socket, place.as_ref(), &message, batch, &mut buffer).await?;
            // What was released in the meantime.
            while let Ok(work) = queue.try_recv() {
                accept(&shared, work, &mut backlog);
            }
        }
    }
    Ok(())
}

/// One message, a batch of datagrams at a time.
async fn send_message(
    shared: &Shared,
    socket: &Datagrams,
    place: Option<&Place>,
    message: &Release,
    batch: usize,
    buffer: &mut Vec<u8>,
) -> Result<(), TransportError> {
    let size = shared.plan.datagram(socket.is_ipv6());
    let capacity = (size - HEADER_LEN) as u64;
    let total = message.length.bytes().map_or(0, ByteCount::bytes);
    let (index, MessageId { stream, seq, .. }) = (shared.index(message.id), message.id);
    if let Some(place) = place {
        let whole = place.datagram_message(stream, seq, total, capacity);
        shared.log().layout.push(whole);
    }
    let mut offset = 0;
    while offset < total {
        buffer.clear();
        let (start, mut count) = (offset, 0);
        while offset < total && count < batch {
            let len = (total - offset).min(capacity) as usize;
            let header = Header { kind: Kind::Data, stream, len: len as u32, seq, offset };
            buffer.extend_from_slice(&header.encode());
            if let Some(place) = place.filter(|_| socket.are_packets()) {
                let mut log = shared.log();
                let number = log.datagrams + count as u64;
                log.observations.push(place.datagram(&header, capacity, number, clock::now()));
            }
            shared.payload.append(stream, seq, offset, len, buffer);
            offset += len as u64;
            count += 1;
        }
        // Before they are sent, so that no other sender on this socket takes the same numbers.
        shared.log().datagrams += count as u64;
        socket.send(buffer, size).await?;
        let mut log = shared.log();
        log.wrote(index, offset - start);
        log.writes += 1;
    }
    shared.log().finished(index, clock::now());
    Ok(())
}

/// The largest burst of a paced sender, in time: it wakes no more often than this.
const PACE_NANOS: u64 = 50_000;

/// Messages written for throughput in datagrams, paced, in the order that is set.
pub(super) async fn send_transfers(
    shared: Arc<Shared>,
    socket: Datagrams,
    place: Option<Place>,
    mut queue: Queue,
) -> Result<(), TransportError> {
    let size = shared.plan.datagram(socket.is_ipv6());
    let capacity = (size - HEADER_LEN) as u64;
    let rate = shared.plan.udp_rate(socket.is_ipv6());
    let batch = if shared.plan.offload() { socket.max_batch(size) } else { 1 };
    let noted = place.as_ref().filter(|_| socket.are_packets());
    let mut timer = clock::Timer::new()?;
    let mut turns: VecDeque<Transfer> = VecDeque::new();
    let mut began = clock::now();
    let mut offered = 0u64;
    let mut buffer = Vec::with_capacity(batch * size);
    let mut batches = 0u32;
    let mut is_open = true;
    while is_open || !turns.is_empty() {
        let is_idle = turns.is_empty();
        let work = match is_idle {
            true => queue.recv().await.ok_or(TryRecvError::Disconnected),
            false if is_open => queue.try_recv(),
            false => Err(TryRecvError::Empty),
        };
        match work {
            Ok(Work::Send(release)) => {
                turns.push_back(Transfer::new(&shared, &release));
                if is_idle {
                    (began, offered) = (clock::now(), 0);
                }
                continue;
            }
            Ok(Work::Cancel(id)) => {
                if let Some(at) = turns.iter().position(|transfer| transfer.id == id && transfer.offset == 0) {
                    turns.remove(at);
                    shared.withdraw(id);
                }
                continue;
            }
            Err(TryRecvError::Disconnected) => is_open = false,
            Err(TryRecvError::Empty) => {}
        }
        // Those that are bounded by time end together, or nearly so.
        if turns.front().is_some_and(Transfer::is_over) {
            let (over, rest) = std::mem::take(&mut turns).into_iter().partition(Transfer::is_over);
            turns = rest;
            end(&shared, &over, place.as_ref(), capacity);
            continue;
        }
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
        let done = fill(&shared, &mut turns, due, capacity, noted, &mut buffer);
        socket.send(&buffer, size).await?;
        if let Some(done) = done {
            end(&shared, &[done].into(), place.as_ref(), capacity);
        }
        shared.log().writes += 1;
        offered += buffer.len() as u64;
        batches += 1;
        if batches.is_multiple_of(16) {
            // A socket that never blocks would starve the control connection.
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// Notes that these are over, and where they lie.
fn end(shared: &Shared, over: &VecDeque<Transfer>, place: Option<&Place>, capacity: u64) {
    let at = clock::now();
    let mut log = shared.log();
    for transfer in over {
        if transfer.size.is_none() {
            log.finished(transfer.index, at);
        }
        if let Some(place) = place {
            let MessageId { stream, seq, .. } = transfer.id;
            let whole = place.datagram_message(stream, seq, log.sent.bytes[transfer.index], capacity);
            log.layout.push(whole);
        }
    }
}

/// Puts the next datagrams of the transfers, at most `due`, into the buffer, and notes them where they are packets, at
/// their `place`. Returns the transfer that is over with them, where one is: its last datagram is the buffer's.
fn fill(
    shared: &Shared,
    turns: &mut VecDeque<Transfer>,
    due: usize,
    capacity: u64,
    place: Option<&Place>,
    buffer: &mut Vec<u8>,
) -> Option<Transfer> {
    buffer.clear();
    let at = clock::now();
    let mut log = shared.log();
    for _ in 0..due {
        let Some(transfer) = turns.pop_front() else { break };
        let Transfer { id: MessageId { stream, seq, .. }, index, size, offset, .. } = transfer;
        let len = size.map_or(capacity, |size| (size - offset).min(capacity));
        // The low bits of the clock, for the receiver's jitter; a transfer is the first message of its stream.
        let header = Header { kind: Kind::Timed, stream, len: len as u32, seq: (at / 1000) as u32, offset };
        buffer.extend_from_slice(&header.encode());
        shared.payload.append(stream, seq, offset, len as usize, buffer);
        if let Some(place) = place {
            let observation = place.datagram(&header, capacity, log.datagrams, at);
            log.observations.push(observation);
        }
        log.datagrams += 1;
        log.wrote(index, len);
        if size == Some(offset + len) {
            log.finished(index, at);
            return Some(transfer);
        }
        again(shared.plan.tuning.order, turns, Transfer { offset: offset + len, ..transfer });
    }
    None
}
