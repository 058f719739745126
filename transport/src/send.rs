//! The sender's half: hands the schedule's bytes to the transport, whatever the mapping.
//!
//! Open loop: a message goes to its writer's queue at its release time, whether or not the connection can
//! take it; the delay counts from the release.
//!
//! Here is who writes on which connection; when each message is released, in `release`. What writes is in
//! `messages` and `bulk` (ordered byte streams, by `framing`) and `datagrams`; whose turn it is, in `order`.

mod bulk;
mod datagrams;
mod framing;
mod messages;
mod order;
mod release;
mod writer;

use std::sync::Arc;

use samepath_model::Order;
use samepath_model::arm::Mapping;
use samepath_model::record::Setting;
use samepath_model::workload::Workload;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use bulk::{write_bulk, write_one_after_the_other};
use datagrams::{send_bulk, send_messages};
use messages::{write_each_on_its_own, write_messages};
use order::priority;
use release::{Queue, release};
use writer::ByteWriter;

use crate::connection::{Connection, Service};
use crate::report::Phase;
use crate::session::Shared;
use crate::tasks::{AbortOnDrop, Tasks, next_connection};
use crate::{TransportError, clock};

/// Sends the workload over the connections as they come.
pub(crate) async fn run(
    shared: Arc<Shared>,
    mut connections: mpsc::Receiver<Connection>,
) -> Result<(), TransportError> {
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
    for _ in 0..plan.connections() {
        let connection = next_connection(&mut connections, &mut tasks).await?;
        shared.watch(&connection)?;
        start(&shared, connection, &mut queues, &mut tasks).await?;
    }
    shared.reached(Phase::Bound);
    if !plan.is_cold() {
        tasks.spawn(settle(shared.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(std::io::Error::other)??;
    }
    shared.reached(Phase::Finished);
    // Connections end when the session does, not before: the receiver may still be reading.
    std::future::pending().await
}

/// How often a sender looks whether its warm-up is acknowledged, of which no transport tells.
const LOOK_NANOS: u64 = 500_000;

/// Waits until the receiver has the whole warm-up, and has acknowledged all of it.
async fn settle(shared: Arc<Shared>) -> Result<(), TransportError> {
    let mut peer_warm = shared.peer_warm.clone();
    if peer_warm.wait_for(|warm| *warm).await.is_err() {
        return Ok(());
    }
    let mut timer = clock::Timer::new()?;
    while shared.unacknowledged()? > 0 {
        timer.until(clock::now() + LOOK_NANOS).await?;
    }
    shared.open_windows(false);
    shared.reached(Phase::Warm);
    Ok(())
}

/// Starts what writes on one connection.
async fn start(
    shared: &Arc<Shared>,
    connection: Connection,
    queues: &mut [Option<Queue>],
    tasks: &mut Tasks,
) -> Result<(), TransportError> {
    let plan = &shared.plan;
    let order = plan.tuning.order;
    if plan.workload.streams() > 1 {
        shared.note(Setting::new("stream-order", Some(order.to_string()), order.to_string()));
    }
    let mut queue_of = |writer: u16| queues.get_mut(usize::from(writer)).and_then(Option::take);
    let place = shared.place(&connection)?;
    if let Some(setting) = connection.sender_setting(plan) {
        shared.note(setting);
    }
    let number = connection.number();
    match connection.into_sender(plan) {
        Service::Stream(stream) => {
            write(shared, ByteWriter { stream, place }, number, queue_of(number), tasks);
        }
        Service::Streams(streams) => match (plan.arm.mapping, queue_of(0)) {
            (Mapping::PerMessage, Some(queue)) => {
                tasks.spawn(write_each_on_its_own(shared.clone(), streams, place, queue));
            }
            (mapping, mut first) => {
                // A bulk transfer has one message a stream.
                let writers = if mapping == Mapping::Shared { 1 } else { plan.workload.streams() };
                let mut in_order = Vec::new();
                for n in 0..writers {
                    let stream = streams.open().await?;
                    stream.set_priority(priority(order, n.into()))?;
                    let writer = ByteWriter::one_of_many(stream, place.as_ref());
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
        Service::Datagrams(datagrams) => {
            // The socket is read for repeated prefaces, whose answer was lost.
            let listener = datagrams.clone();
            let answering = tokio::spawn(async move {
                let mut buffers = listener.receive_buffers();
                while listener.receive(&mut buffers).await.is_ok() {
                    buffers.datagrams().for_each(|datagram| {
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

fn write(shared: &Arc<Shared>, writer: ByteWriter, n: u16, queue: Option<Queue>, tasks: &mut Tasks) {
    let per_stream = shared.plan.arm.mapping != Mapping::Shared;
    let streams = if per_stream { n..n + 1 } else { 0..shared.plan.workload.streams() };
    match queue {
        Some(queue) => tasks.spawn(write_messages(shared.clone(), writer, streams, queue)),
        None => tasks.spawn(write_bulk(shared.clone(), writer, streams)),
    };
}
