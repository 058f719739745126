//! One end of a session: it runs the workload's driver, sends what that releases, and receives what the peer sends.
//!
//! It is given its connections as they come up ([`Connection`]), works on its own, says how far it has come
//! ([`Phase`]), and at the end hands over its records ([`SessionReport`]). What is sent is `send`'s, what is received
//! `receive`'s; the driver is told by the clock here, and by `receive` of what was delivered.

use std::sync::Arc;

use samepath_model::book::Entry;
use samepath_model::record::{End, SERIES_BIN_NANOS};
use samepath_model::workload::{Event, Release};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::book::{self, Book};
use crate::compressed::Arrived;
use crate::connection::{Connection, Dialer};
use crate::plan::Plan;
use crate::probe::Usage;
use crate::queue::{Queue, Queues};
use crate::report::{Phase, SessionReport};
use crate::shared::Shared;
use crate::tasks::{Kind, Tasks};
use crate::{TransportError, clock, coding, exchange, payload, receive, send};

/// One end at work. Dropping it ends it.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
    peer_sent: watch::Sender<Option<u64>>,
    peer_warm: watch::Sender<bool>,
    started: Usage,
    /// `None` once it has failed.
    work: Option<JoinHandle<Result<(), TransportError>>>,
    sampler: JoinHandle<std::io::Result<()>>,
}

impl Session {
    /// Starts this end, which will get its connections from `connections` and the start of the schedule from `epoch`. A
    /// client makes those that are made as messages are released by `dialer`; a server writes what it records into `book`.
    pub fn start(
        plan: Plan,
        end: End,
        connections: mpsc::Receiver<Connection>,
        epoch: watch::Receiver<Option<u64>>,
        dialer: Option<Dialer>,
        mut book: Option<Book>,
    ) -> Session {
        payload::make_ready();
        let (phase_sender, phase) = watch::channel(Phase::Waiting);
        let (peer_sent, peer) = watch::channel(None);
        let (peer_warm, peer_is_warm) = watch::channel(false);
        let (mut shared, queues) = Shared::new(plan, end, phase_sender, epoch, peer, peer_is_warm);
        let (records, recorded) = mpsc::unbounded_channel();
        if let Some(book) = &mut book {
            shared.give_book(book.take_found(), records);
        }
        let book = book.map(|book| (book, recorded));
        let coders = Coders::of(&mut shared);
        let shared = Arc::new(shared);
        let work = tokio::spawn(run(shared.clone(), connections, queues, dialer, book, coders));
        let sampler = tokio::spawn(tick(shared.clone()));
        Session { shared, phase, peer_sent, peer_warm, started: Usage::now(), work: Some(work), sampler }
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until it has come so far. Cancel-safe.
    ///
    /// # Errors
    /// When it failed, and can come no further.
    pub async fn reach(&mut self, phase: Phase) -> Result<(), TransportError> {
        loop {
            if *self.phase.borrow_and_update() >= phase {
                return Ok(());
            }
            let Some(work) = &mut self.work else {
                return Err(TransportError::Control("this end has failed before".into()));
            };
            tokio::select! {
                biased;
                changed = self.phase.changed() => if changed.is_err() {
                    return Err(TransportError::Control("an end stopped without a word".into()));
                },
                // It works until the session is over, so this is a failure.
                ended = work => {
                    self.work = None;
                    return match ended {
                        Ok(Ok(())) => Err(TransportError::Control("an end stopped too early".into())),
                        Ok(Err(error)) => Err(error.seen_at(self.shared.end)),
                        Err(error) => Err(TransportError::Control(format!("an end broke down: {error}"))),
                    };
                }
            }
        }
    }

    /// Tells it that the peer has the whole warm-up of this end.
    pub fn peer_warm(&self) {
        self.peer_warm.send_replace(true);
    }

    /// Tells it that the peer sends nothing more, and how many messages it has sent, so that lost datagrams are not
    /// waited for for ever.
    pub fn peer_sent(&self, messages: u64) {
        self.peer_sent.send_replace(Some(messages));
    }

    /// Messages that this end has sent.
    pub fn sent(&self) -> u64 {
        self.shared.messages_sent()
    }

    /// Messages delivered so far, of those that there may be; for a word to people.
    pub fn delivered(&self) -> Option<(u64, u64)> {
        self.shared.delivered()
    }

    /// Whether nothing moves that should: hardly anything has come to an end that receives, and nothing for `silence`
    /// nanoseconds; at one that only sends, a connection's timer has run out several times in a row.
    pub fn is_stuck(&self, silence: u64) -> bool {
        self.shared.is_stuck(silence)
    }

    /// Ends it and hands over its records.
    pub fn finish(self) -> SessionReport {
        self.end();
        self.shared.report(self.started.elapsed())
    }
}

impl Session {
    fn end(&self) {
        self.work.iter().for_each(JoinHandle::abort);
        self.sampler.abort();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

/// What an end's coders are given.
#[derive(Debug, Default)]
struct Coders {
    /// What is to be compressed, and where it goes then.
    released: Option<(mpsc::UnboundedReceiver<Release>, Queues)>,
    /// What is to be decompressed.
    arrived: Option<mpsc::UnboundedReceiver<Arrived>>,
}

impl Coders {
    fn of(shared: &mut Shared) -> Coders {
        let mut coders = Coders::default();
        if shared.compresses() {
            let (coder, released) = mpsc::unbounded_channel();
            coders.released = shared.give_coder(coder).map(|queues| (released, queues));
        }
        if shared.decompresses() {
            let (decompressor, arrived) = mpsc::unbounded_channel();
            shared.give_decompressor(decompressor);
            coders.arrived = Some(arrived);
        }
        coders
    }
}

/// Works on the connections as they come.
async fn run(
    shared: Arc<Shared>,
    mut connections: mpsc::Receiver<Connection>,
    mut queues: Vec<Option<Queue>>,
    dialer: Option<Dialer>,
    book: Option<(Book, mpsc::UnboundedReceiver<Entry>)>,
    coders: Coders,
) -> Result<(), TransportError> {
    let plan = &shared.plan;
    let (mut helpers, mut workers) = (Tasks::default(), Tasks::default());
    if plan.is_cold() {
        // Bins are counted from the epoch, which is announced before the first connection is made.
        shared.count_from(shared.epoch().await)?;
    }
    helpers.spawn(Kind::Helper, follow_clock(shared.clone()));
    helpers.spawn(Kind::Helper, receive::await_end(shared.clone()));
    if let Some((book, recorded)) = book {
        helpers.spawn(Kind::Writer, book::keep(shared.clone(), book, recorded));
    }
    if let Some((released, queues)) = coders.released {
        helpers.spawn(Kind::Writer, coding::compress_each(shared.clone(), released, queues));
    }
    if let Some(arrived) = coders.arrived {
        helpers.spawn(Kind::Helper, coding::decompress_each(shared.clone(), arrived));
    }
    for _ in 0..plan.connections() {
        let connection = next_connection(&mut connections, &mut helpers, &mut workers).await?;
        bind(&shared, connection, &mut queues, &mut workers).await?;
    }
    if plan.connects_as_released() || plan.outlives_its_server() {
        helpers.spawn(Kind::Helper, exchange::await_stragglers(shared.clone()));
    }
    let mut next = if plan.connects_as_released() {
        let queue = queues.first_mut().and_then(Option::take);
        match (shared.end, dialer, queue, connections) {
            (End::Client, Some(dialer), Some(queue), _) => {
                // Its connections come and go.
                workers.spawn(Kind::Reader, std::future::pending());
                workers.spawn(Kind::Writer, exchange::request_each(shared.clone(), dialer, queue));
            }
            (End::Server, _, Some(queue), connections) => {
                workers.spawn(Kind::Reader, exchange::answer_each(shared.clone(), connections));
                workers.spawn(Kind::Writer, exchange::route_answers(shared.clone(), queue));
            }
            _ => return Err(TransportError::Control("there is nothing to make connections by".into())),
        }
        None
    } else {
        // Where a client's session outlives its server, one that comes now leads to the next.
        (shared.end == End::Client && plan.outlives_its_server()).then_some(connections)
    };
    shared.reached(Phase::Bound);
    if !plan.is_cold() {
        helpers.spawn(Kind::Helper, send::settle(shared.clone()));
    }
    // There may be nothing to warm up with.
    receive::look(&shared)?;
    let mut is_broken = false;
    loop {
        if !is_broken && workers.left(Kind::Writer) + helpers.left(Kind::Writer) == 0 {
            shared.handed_over()?;
        }
        // Connections end when the session does, not before.
        if !is_broken && shared.receives() && workers.left(Kind::Reader) == 0 {
            return Err(TransportError::Control("every connection is gone".into()));
        }
        let worked = tokio::select! {
            ended = helpers.next_ended() => {
                ended?;
                continue;
            }
            ended = workers.next_ended() => ended,
            Some(connection) = connection_of(&mut next) => {
                workers = Tasks::default();
                is_broken = false;
                bind(&shared, connection, &mut shared.renew_queues(), &mut workers).await
            }
        };
        match worked {
            Err(error) if next.is_some() && error.is_of_a_connection() => {
                // The server is gone: until the next is there, what is released is lost, and the driver's to notice.
                workers = Tasks::default();
                is_broken = true;
            }
            worked => worked?,
        }
    }
}

/// The next connection that comes; none ever, where none may.
async fn connection_of(connections: &mut Option<mpsc::Receiver<Connection>>) -> Option<Connection> {
    match connections {
        Some(connections) => connections.recv().await,
        None => None,
    }
}

/// The next connection of an end that misses one.
async fn next_connection(
    connections: &mut mpsc::Receiver<Connection>,
    helpers: &mut Tasks,
    workers: &mut Tasks,
) -> Result<Connection, TransportError> {
    loop {
        tokio::select! {
            connection = connections.recv() => return connection.ok_or_else(|| {
                TransportError::Control("the session ended before its connections were up".into())
            }),
            ended = helpers.next_ended() => ended?,
            ended = workers.next_ended() => ended?,
        }
    }
}

/// Starts what writes and reads a connection.
async fn bind(
    shared: &Arc<Shared>,
    connection: Connection,
    queues: &mut [Option<Queue>],
    workers: &mut Tasks,
) -> Result<(), TransportError> {
    let plan = &shared.plan;
    shared.watch(&connection)?;
    let place = shared.place(&connection)?;
    if shared.sends()
        && let Some(setting) = connection.sender_setting(plan)
    {
        shared.note(setting);
    }
    let number = connection.number();
    let (sending, receiving) = connection.split(plan, shared.sends(), shared.receives());
    if let Some(service) = sending {
        send::start(shared, service, place, number, queues, workers).await?;
    }
    if let Some(service) = receiving {
        receive::start(shared, service, workers);
    }
    Ok(())
}

/// Tells the driver when the schedule starts, and whenever it wants to be woken.
async fn follow_clock(shared: Arc<Shared>) -> Result<(), TransportError> {
    let epoch = shared.epoch().await;
    shared.count_from(epoch)?;
    let mut timer = clock::Timer::new()?;
    timer.until(epoch).await?;
    let mut wake = shared.drive_by_clock(Event::Start);
    while !shared.is_done() {
        let Some(at) = wake else {
            shared.rewound.notified().await;
            wake = shared.wake();
            continue;
        };
        tokio::select! {
            biased;
            waited = timer.until(at) => {
                waited?;
                wake = shared.drive_by_clock(Event::Timer);
            }
            () = shared.rewound.notified() => wake = shared.wake(),
        }
    }
    Ok(())
}

/// Samples the connections of an end that sends at every tick, and notes how late each tick was served.
/// Ticks stand at fixed distances from the epoch, so that lateness does not accumulate.
async fn tick(shared: Arc<Shared>) -> std::io::Result<()> {
    const TICK: u64 = SERIES_BIN_NANOS as u64;
    // The first message is released at the epoch itself.
    const BEFORE: u64 = 1_000_000;
    let samples = shared.sends();
    let epoch = shared.epoch().await;
    let mut timer = clock::Timer::new()?;
    if samples && !shared.plan.is_cold() {
        timer.until(epoch.saturating_sub(BEFORE)).await?;
        shared.note_start();
    }
    let mut next = epoch.max(clock::now());
    loop {
        timer.until(next).await?;
        let late = clock::now().saturating_sub(next);
        shared.late(late);
        shared.limit_windows();
        if samples {
            shared.sample();
        }
        if shared.plan.connects_as_released() {
            shared.exchanges.sample_sockets();
        }
        // Of several ticks that were missed together, one speaks for all.
        next += TICK * (late / TICK + 1);
    }
}
