//! The receiving part of an end: reads every connection at once, verifies every byte, notes when each message was
//! whole, and tells the driver.
//!
//! One task a byte stream: streams read one after the other would block each other in the
//! application, which is the very thing to be measured.
//!
//! Here is who reads what; what is noted of it, [`Sink`] says.

use std::sync::Arc;

use samepath_model::workload::Event;
use tokio::task::JoinSet;

use crate::connection::{Datagrams, Read, RecvStream, Service, Streams};
use crate::frame::{Decoder, HEADER_LEN};
use crate::recorder::Sink;
use crate::report::Phase;
use crate::shared::Shared;
use crate::tasks::{Kind, Tasks};
use crate::{Plan, TransportError, clock};

impl Shared {
    /// Lets `work` note what arrived by `now`, tells the driver what was delivered, and looks how far that brought us.
    pub(crate) fn enter<T>(
        &self,
        now: u64,
        work: impl FnOnce(&mut Sink) -> Result<T, TransportError>,
    ) -> Result<T, TransportError> {
        let mut guard = self.sink.lock().expect("no panic while held");
        // The report was made: what still comes is nobody's.
        let Some(sink) = guard.as_mut() else { return Err(TransportError::Control("the session is over".into())) };
        let done = work(sink)?;
        for message in sink.arrived.drain(..) {
            self.decompress(message);
        }
        for id in sink.fresh.drain(..) {
            self.drive(Event::Delivered(id), now);
        }
        let (is_warm, is_over) = (sink.warmup_left == 0, sink.is_over());
        drop(guard);
        self.look_on(is_warm, is_over, now);
        Ok(done)
    }

    /// Looks how far this end has come that has the peer's warm-up, or everything that the peer has sent.
    fn look_on(&self, is_warm: bool, is_over: bool, now: u64) {
        let phase = *self.phase.borrow();
        if is_warm && phase == Phase::Bound {
            self.reached(Phase::Heard);
        }
        if is_over && phase < Phase::Finished {
            self.drive(Event::PeerFinished, now);
            if *self.phase.borrow() == Phase::Sent {
                self.reached(Phase::Finished);
            }
        }
    }

    /// Notes that everything that was released was handed over, and looks how far this end has come.
    pub(crate) fn handed_over(&self) -> Result<(), TransportError> {
        self.note_handed_over();
        self.enter(clock::now(), |_| Ok(()))
    }

    /// Counts what arrives from this start of the schedule on.
    pub(crate) fn count_from(&self, epoch: u64) -> Result<(), TransportError> {
        self.enter(clock::now(), |sink| {
            sink.epoch = Some(epoch);
            Ok(())
        })
    }
}

/// Looks how far this end has come.
pub(crate) fn look(shared: &Shared) -> Result<(), TransportError> {
    shared.enter(clock::now(), |_| Ok(()))
}

/// Waits for word that the peer sends nothing more.
pub(crate) async fn await_end(shared: Arc<Shared>) -> Result<(), TransportError> {
    let mut peer_sent = shared.peer_sent.clone();
    let Ok(sent) = peer_sent.wait_for(Option::is_some).await.map(|sent| sent.unwrap_or_default()) else {
        // Nobody is left to tell: the session is over.
        return Ok(());
    };
    shared.enter(clock::now(), |sink| {
        sink.end_after(sent);
        Ok(())
    })
}

/// Starts what reads one connection.
pub(crate) fn start(shared: &Arc<Shared>, service: Service<RecvStream>, tasks: &mut Tasks) {
    let shared = shared.clone();
    match service {
        Service::Stream(stream) => tasks.spawn(Kind::Reader, read(shared, stream)),
        Service::Streams(streams) => tasks.spawn(Kind::Reader, accept(shared, streams)),
        Service::Datagrams(datagrams) => {
            // The warm-up has a stream.
            if let Some(streams) = datagrams.streams() {
                tasks.spawn(Kind::Helper, accept(shared.clone(), streams));
            }
            tasks.spawn(Kind::Reader, receive(shared, datagrams));
        }
    }
}

/// Accepts the sender's streams, each read by a task of its own.
async fn accept(shared: Arc<Shared>, streams: Streams) -> Result<(), TransportError> {
    let mut readers: JoinSet<Result<(), TransportError>> = JoinSet::new();
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
    // The message that was read last.
    let mut last = None;
    loop {
        match stream.read(&mut scratch).await? {
            Read::Bytes => {}
            Read::End => break,
            Read::Reset => return shared.enter(clock::now(), |sink| sink.given_up(last)),
        }
        let now = clock::now();
        shared.enter(now, |sink| {
            sink.reads += u64::from(sink.warmup_left == 0);
            for mut bytes in scratch.pieces() {
                while let Some(piece) = decoder.next(&mut bytes)? {
                    sink.ordered(&piece, now)?;
                    last = Some((piece.header.stream, piece.header.seq));
                }
            }
            Ok(())
        })?;
    }
    // QUIC streams end one by one, each after its last frame. A TCP connection stays open until the
    // session is over: one that ends before everything is here was lost.
    let (is_over, missing) =
        shared.enter(clock::now(), |sink| Ok((sink.is_over(), sink.expected() - sink.delivered())))?;
    if !(is_over || stream.ends_alone() && decoder.is_between_frames()) {
        return Err(TransportError::Closed { missing });
    }
    Ok(())
}

/// How long a receiver waits for what may never come, after the last that came, in nanoseconds.
pub(crate) fn grace(plan: &Plan) -> u64 {
    const BESIDE_ROUND_TRIPS: u64 = 500_000_000;
    BESIDE_ROUND_TRIPS + 2 * plan.rtt.as_nanos()
}

async fn receive(shared: Arc<Shared>, socket: Datagrams) -> Result<(), TransportError> {
    let mut buffers = socket.received();
    let payload = (shared.plan.datagram(socket.is_ipv6()) - HEADER_LEN) as u64;
    let grace = grace(&shared.plan);
    let mut peer_sent = shared.peer_sent.clone();
    let mut timer = clock::Timer::new()?;
    // When the peer said that it sends no more, while it is waited for what may be lost.
    let mut told: Option<u64> = None;
    let mut listens = true;
    loop {
        tokio::select! {
            biased;
            received = socket.receive(&mut buffers) => {
                received?;
                let now = clock::now();
                shared.enter(now, |sink| {
                    let mut datagrams = buffers.datagrams().filter(|d| !socket.is_preface(d));
                    datagrams.try_for_each(|d| sink.datagram(d, payload, now))
                })?;
            }
            finished = async { peer_sent.wait_for(Option::is_some).await.is_ok() }, if listens => {
                listens = false;
                told = finished.then(clock::now);
            }
            waited = async {
                let last = shared.enter(clock::now(), |sink| Ok(sink.last_arrival()))?;
                timer.until(last.max(told.unwrap_or_default()) + grace).await.map_err(TransportError::from)
            }, if told.is_some() => {
                waited?;
                told = None;
                shared.enter(clock::now(), |sink| {
                    // Nothing more is waited for.
                    sink.end_after(0);
                    Ok(())
                })?;
            }
        }
    }
}
