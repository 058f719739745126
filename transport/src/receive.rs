//! The receiver's half: reads every connection at once, verifies every byte, notes when each message
//! was whole.
//!
//! One task a byte stream: streams read one after the other would block each other in the
//! application, which is the very thing to be measured.
//!
//! Here is who reads what; what is noted of it, [`Sink`] says.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::connection::{Connection, RecvStream, Service, Streams};
use crate::frame::{Decoder, HEADER_LEN};
use crate::recorder::Sink;
use crate::report::Phase;
use crate::session::Shared;
use crate::tasks::{Tasks, next_connection};
use crate::udp::Datagrams;
use crate::{TransportError, clock};

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

/// Receives the workload over the connections as they come.
pub(crate) async fn run(
    shared: Arc<Shared>,
    mut connections: mpsc::Receiver<Connection>,
) -> Result<(), TransportError> {
    let mut tasks: Tasks = JoinSet::new();
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
    for _ in 0..shared.plan.connections() {
        let connection = next_connection(&mut connections, &mut tasks).await?;
        shared.watch(&connection)?;
        start(&shared, connection, &mut tasks);
    }
    shared.reached(Phase::Bound);
    // There may be nothing to warm up with.
    shared.enter(|_| Ok(()))?;
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(std::io::Error::other)??;
    }
    Err(TransportError::Control("every connection is gone".into()))
}

fn start(shared: &Arc<Shared>, connection: Connection, tasks: &mut Tasks) {
    let shared = shared.clone();
    match connection.into_receiver() {
        Service::Stream(stream) => tasks.spawn(read(shared, stream)),
        Service::Streams(streams) => tasks.spawn(accept(shared, streams)),
        Service::Datagrams(datagrams) => tasks.spawn(receive(shared, datagrams)),
    };
}

/// Accepts the sender's streams, each read by a task of its own.
async fn accept(shared: Arc<Shared>, streams: Streams) -> Result<(), TransportError> {
    let mut readers: Tasks = JoinSet::new();
    loop {
        tokio::select! {
            stream = streams.accept() => {
                readers.spawn(read(shared.clone(), stream?));
            }
            Some(ended) = readers.join_next() => ended.map_err(std::io::Error::other)??,
        }
    }
}

async fn read(shared: Arc<Shared>, mut stream: RecvStream) -> Result<(), TransportError> {
    let mut scratch = stream.scratch();
    let mut decoder = Decoder::default();
    while stream.read(&mut scratch).await? {
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
    if missing > 0 && !(stream.ends_alone() && decoder.is_between_frames()) {
        return Err(TransportError::Closed { missing });
    }
    Ok(())
}

/// How long a receiver waits for stragglers, round trips apart.
const GRACE_NANOS: u64 = 500_000_000;

async fn receive(shared: Arc<Shared>, socket: Datagrams) -> Result<(), TransportError> {
    let mut buffers = socket.receive_buffers();
    let payload = (shared.plan.datagram(socket.is_ipv6()) - HEADER_LEN) as u64;
    let grace = GRACE_NANOS + 2 * shared.plan.rtt.as_nanos();
    let mut peer_finished = shared.peer_finished.clone();
    let mut timer = clock::Timer::new()?;
    // When the sender said that it was done.
    let mut told: Option<u64> = None;
    loop {
        tokio::select! {
            biased;
            received = socket.receive(&mut buffers) => {
                received?;
                let now = clock::now();
                shared.enter(|sink| {
                    buffers.datagrams().filter(|d| !socket.is_preface(d)).try_for_each(|d| sink.datagram(d, payload, now))
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
