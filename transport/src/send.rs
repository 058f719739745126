//! The sending part of an end: hands what its driver releases to the transport, whatever the mapping.
//!
//! A released message goes to its writer's queue at once, whether or not the connection can take it; its delay counts
//! from the release.
//!
//! Here is who writes on which connection. What writes is in `stream` (an ordered byte stream: `messages` for latency,
//! `transfers` for throughput, by `framing`), `per_message` (a QUIC stream each) and `datagrams`; whose turn it is, in
//! `order`.

mod datagrams;
mod framing;
mod messages;
mod order;
mod per_message;
mod stream;
mod transfers;
mod warmup;
mod writer;

use std::sync::Arc;

use samepath_model::Order;
use samepath_model::arm::OrderingDomain;
use samepath_model::record::Setting;
use samepath_model::workload::{Class, StreamId};

use datagrams::{send_messages, send_transfers};
use order::priority;
use per_message::write_each_on_its_own;
pub(crate) use per_message::write_message;
use stream::{StreamWriter, write_one_after_the_other};
use warmup::warm_up;
pub(crate) use writer::ByteWriter;

use crate::attribution::Place;
use crate::connection::{SendStream, Service};
use crate::queue::{DATAGRAM_TRANSFERS, FIRST, Queue, queue_of};
use crate::report::Phase;
use crate::shared::Shared;
use crate::tasks::{Kind, Tasks};
use crate::{TransportError, clock};

/// How often a sender looks whether its warm-up is acknowledged, of which no transport tells.
const LOOK_NANOS: u64 = 500_000;

/// Waits until this end has the peer's whole warm-up, and the peer has this end's, and has acknowledged all of it.
pub(crate) async fn settle(shared: Arc<Shared>) -> Result<(), TransportError> {
    if shared.sends() {
        let mut peer_warm = shared.peer_warm.clone();
        if peer_warm.wait_for(|warm| *warm).await.is_err() {
            return Ok(());
        }
        let mut timer = clock::Timer::new()?;
        while shared.unacknowledged()? > 0 {
            timer.until(clock::now() + LOOK_NANOS).await?;
        }
        shared.open_windows(false);
    }
    let mut phase = shared.phase.subscribe();
    if phase.wait_for(|phase| *phase >= Phase::Heard).await.is_ok() {
        shared.reached(Phase::Warm);
    }
    Ok(())
}

/// Starts what writes on one connection, the `number`-th of the session.
pub(crate) async fn start(
    shared: &Arc<Shared>,
    service: Service<SendStream>,
    place: Option<Place>,
    number: u16,
    queues: &mut [Option<Queue>],
    tasks: &mut Tasks,
) -> Result<(), TransportError> {
    let plan = &shared.plan;
    let (order, all) = (plan.tuning.order, plan.streams_of(number));
    if all.len() > 1 {
        shared.note(Setting::new("stream-order", Some(order.to_string()), order.to_string()));
    }
    let mut queue = |n: u16| queues.get_mut(usize::from(n)).and_then(Option::take);
    // Of messages that have no queue for their stream.
    let of_messages = FIRST + plan.server_of_connection(number);
    let is_transfer = |stream: u16| shared.outgoing.class(stream) == Some(Class::Throughput);
    match service {
        Service::Stream(stream) => {
            if let Some(queue) = queue(number) {
                let writer = StreamWriter::new(shared, ByteWriter { stream, place }, all, 0, queue);
                tasks.spawn(Kind::Writer, writer.run());
            }
        }
        Service::Streams(streams) => {
            let has_own = |n: u16| plan.arm.ordering != OrderingDomain::Message || is_transfer(n);
            let mut in_order = Vec::new();
            let width = if plan.arm.ordering == OrderingDomain::Connection { all.len() } else { 1 };
            for its in all.clone().step_by(width).filter(|n| has_own(*n)).map(|n| n..n + width as StreamId) {
                let Some(queue) = queue(queue_of(plan, &shared.outgoing, its.start)) else { continue };
                let stream = streams.open().await?;
                let base = priority(order, its.start.into());
                stream.set_priority(base)?;
                let in_sequence = order == Order::Sequential && is_transfer(its.start);
                let writer = ByteWriter::one_of_many(stream, place.as_ref());
                let writer = StreamWriter::new(shared, writer, its, base, queue);
                if in_sequence {
                    in_order.push(writer);
                } else {
                    tasks.spawn(Kind::Writer, writer.run());
                }
            }
            if !in_order.is_empty() {
                tasks.spawn(Kind::Writer, write_one_after_the_other(in_order));
            }
            if plan.arm.ordering == OrderingDomain::Message
                && let Some(queue) = queue(of_messages)
            {
                tasks.spawn(Kind::Writer, write_each_on_its_own(shared.clone(), streams, all, place, queue));
            }
        }
        Service::Datagrams(datagrams) => {
            if let Some(streams) = datagrams.streams() {
                let (shared, all, place) = (shared.clone(), all.clone(), place.clone());
                tasks.spawn(Kind::Helper, async move { warm_up(&shared, &streams, all, place.as_ref()).await });
            }
            if all.clone().any(|stream| !is_transfer(stream))
                && let Some(queue) = queue(of_messages)
            {
                tasks.spawn(Kind::Writer, send_messages(shared.clone(), datagrams.clone(), place.clone(), queue));
            }
            if all.into_iter().any(is_transfer)
                && let Some(queue) = queue(DATAGRAM_TRANSFERS)
            {
                tasks.spawn(Kind::Writer, send_transfers(shared.clone(), datagrams, place, queue));
            }
        }
    }
    Ok(())
}
