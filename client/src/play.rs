//! The client's session, from the control connection to the report.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use samepath_model::Transport;
use samepath_model::attribution::ObservationRecord;
use samepath_model::flow::UNDER_TEST;
use samepath_model::link::Direction;
use samepath_model::record::{Coded, End, MessageRecord, NameLookup, PlayReport, SeriesPoint, SessionFailure};
use samepath_model::units::ByteCount;
use samepath_model::workload::Length;
use samepath_transport::connection::{Access, Dialer, Endpoint};
use samepath_transport::control::{self, Answer, ClientControl, ClockOffset, Request};
use samepath_transport::credentials::Preface;
use samepath_transport::identity::Pin;
use samepath_transport::lookup::Lookup;
use samepath_transport::report::Released;
use samepath_transport::{Connection, Phase, Plan, Session, SessionReport, TransportError, clock, dial, reach};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::renewable::{Again, Received, RenewableControl};

/// How far ahead the start of a cold workload is announced, so that whoever listens is ready for
/// the first packet.
const COLD_NOTICE_NANOS: u64 = 5_000_000;

/// How far ahead the start of a schedule is announced, round trips of the control connection apart.
const NOTICE_NANOS: u64 = 50_000_000;

/// A schedule starts at a multiple of this of CLOCK_MONOTONIC, and [`PHASE_NANOS`], and so in step with the kernel's
/// tick, by which TCP's timers expire (CONFIG_HZ: 100, 250, 300 or 1000 ticks a second). At any other phase two arms would
/// send a packet again up to a tick apart, and meet other random losses from there on. From a tick of 1 ms on the timer
/// wheel rounds up what is more than 64 ticks ahead, the shortest retransmission timeout among it, to eight
/// (kernel/time/timer.c).
const TICKS_NANOS: u64 = 40_000_000;

/// How long after such an instant: half a millisecond off every tick of 1, 2 and 4 ms, so that what is released and
/// delivered at whole milliseconds from there meets no tick, whose work would make the ends late on a busy machine.
const PHASE_NANOS: u64 = 2_500_000;

/// How long after its last release a schedule may take to be delivered.
const DRAIN_NANOS: u64 = 10_000_000_000;

/// How long nothing may move before a word is said of the path.
const SILENCE_NANOS: u64 = 3_000_000_000;

/// How often it is looked whether anything moves.
const LOOK: Duration = Duration::from_millis(500);

/// After how long it is tried again to connect to a server that has taken the place of another.
const DIAL_AGAIN: Duration = Duration::from_millis(100);

/// How long the server may take to say what it knows of a connection that broke.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The server to play against.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where its control connections may go, in order of preference.
    pub control: Vec<SocketAddr>,
    /// Where its data connections may go instead of to the address that the control connection reached; the ports are
    /// the server's to say.
    pub data: Option<Vec<SocketAddr>>,
    /// The shared secret.
    pub token: String,
    /// Which certificate is accepted.
    pub pin: Pin,
}

/// The outcome of a session.
#[derive(Debug, Clone)]
pub struct Played {
    /// The records.
    pub report: PlayReport,
    /// Interarrival jitter of bulk datagrams at their receiver, in nanoseconds.
    pub jitter_ns: Option<u64>,
    /// Datagrams that arrived a second time.
    pub duplicates: u64,
    /// Whether both ends shared one clock.
    pub same_clock: bool,
    /// Where the data connections went; the port is the control connection's.
    pub server: SocketAddr,
}

/// Plays the workload. `announce` is told the start of the schedule (CLOCK_MONOTONIC,
/// nanoseconds) as soon as it is decided, which is before that instant.
///
/// # Errors
/// When the server cannot be reached or refuses, a connection fails, a byte is not what it must
/// be, or a reliable transport does not deliver a bulk transfer within the time limit.
pub async fn play(target: &Target, plan: &Plan, announce: impl FnOnce(u64)) -> Result<Played, TransportError> {
    let alone = async |earliest| {
        announce(earliest);
        Ok(earliest)
    };
    play_agreed(target, plan, Loss::IsAnError, alone).await
}

/// What it means that a session breaks once its schedule has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The session has failed.
    IsAnError,
    /// It is an outcome, which the report tells: the server is killed on purpose. What the server had noted is lost.
    IsAnOutcome,
}

/// Plays the workload as one of several flows that start by one schedule. `agree` is given the earliest start of this
/// flow's schedule (CLOCK_MONOTONIC, nanoseconds) once the flow is ready for it, and gives back when it is to be: then or
/// later.
///
/// # Errors
/// As [`play`], unless a loss is an outcome; and where nothing is agreed on.
pub async fn play_agreed(
    target: &Target,
    plan: &Plan,
    loss: Loss,
    agree: impl AsyncFnOnce(u64) -> Result<u64, TransportError>,
) -> Result<Played, TransportError> {
    plan.check()?;
    let began = clock::now();
    let mut control = control::connect(&target.control, target.pin, &target.token, plan).await?;
    let data = data_address(target, &control).await?;
    let offset = control.clock_offset().await?;
    let (connections_in, connections) = mpsc::channel(64);
    let (epoch_in, epoch) = watch::channel(None);
    let (access_in, access) = watch::channel(access(data, plan.arm.transport, &control)?);
    let dialer = Dialer { access, plan: plan.clone() };
    let server = with_port(data, control.address.port());
    // It stands at the server's end.
    let resolver = control.ports(Transport::Udp)?.first().copied().unwrap_or_default();
    let mut session = BothEnds {
        session: Session::start(plan.clone(), End::Client, connections, epoch, Some(dialer), None),
        control: RenewableControl::new(control, offset),
        access: access_in,
        ours: Phase::Waiting,
        theirs: Phase::Waiting,
        looking_up: JoinSet::new(),
        name_lookup: None,
        connectors: JoinSet::new(),
        plan: plan.clone(),
        connections: connections_in,
        connect_from: began,
        handshake_ns: None,
        endpoints: Vec::new(),
        sends: plan.sends(End::Client),
        transport: plan.arm.transport,
        is_cold: plan.is_cold(),
        connecting_since: None,
        suspicion: None,
        data_failed: false,
    };
    // A little is kept back for the reports.
    let limit = began + plan.time_limit.as_nanos() / 20 * 19;

    let epoch;
    if plan.is_cold() {
        // The set-up of the connections is part of the workload.
        epoch = agree(in_step(clock::now() + COLD_NOTICE_NANOS)).await?;
        epoch_in.send_replace(Some(epoch));
        session.control.send(&Request::Start { epoch_ns: offset.to_server(epoch) }).await?;
        clock::Timer::new()?.until(epoch).await?;
        match Lookup::of(plan) {
            None => session.begin_to_connect(epoch),
            Some(lookup) => session.look_up(lookup, with_port(data, resolver), epoch),
        }
    } else {
        session.begin_to_connect(clock::now());
        if !session.advance(limit, BothEnds::is_warm).await? {
            return Err(session.too_late(plan));
        }
        epoch = agree(in_step(clock::now() + NOTICE_NANOS + offset.rtt_ns)).await?;
        session.control.send(&Request::Start { epoch_ns: offset.to_server(epoch) }).await?;
        epoch_in.send_replace(Some(epoch));
    }

    let outlives = plan.outlives_its_server();
    if outlives {
        let (addresses, token) = (target.control.clone(), target.token.clone());
        session.control.outlive(Again { addresses, token, plan: plan.clone(), epoch });
    }
    let end = drain_end(plan, epoch).map_or(limit, |end| end.min(limit));
    let finished = match (session.advance(end, BothEnds::is_finished).await, loss) {
        (Err(error), Loss::IsAnOutcome) if !outlives => Err(session.what_was_seen(error, end).await?),
        (finished, _) => Ok(finished?),
    };
    if matches!(finished, Ok(false)) && plan.arm.is_reliable && drain_end(plan, epoch).is_none() {
        return Err(session.too_late(plan));
    }
    let BothEnds { session, control, name_lookup, connect_from, handshake_ns, endpoints, .. } = session;
    let offset = control.offset;
    let (gone, theirs) = match &finished {
        Ok(_) => (clock::now(), control.collect().await?),
        Err(seen) => (seen.at, None),
    };
    let theirs = theirs.unwrap_or_else(|| lost_report(plan, gone.saturating_sub(epoch)));
    let ours = session.finish();
    drop(endpoints);
    let set_up = SetUp { server, name_lookup, from: connect_from, handshake_ns };
    let mut played = merge(plan, epoch, set_up, offset, ours, theirs);
    played.report.failure = finished.err().map(|Seen { at, error }| SessionFailure {
        flow: UNDER_TEST,
        at: at as i64 - epoch as i64,
        error,
    });
    Ok(played)
}

/// Where the data connections go: of several addresses, one that takes TCP, those of the family that the control
/// connection reached first.
async fn data_address(target: &Target, control: &ClientControl) -> Result<SocketAddr, TransportError> {
    let Some(data) = &target.data else { return Ok(control.address) };
    let port = control.ports(Transport::Tcp)?.first().copied().unwrap_or_default();
    let mut candidates: Vec<SocketAddr> = data.iter().map(|to| with_port(*to, port)).collect();
    candidates.sort_by_key(|to| to.is_ipv6() != control.address.is_ipv6());
    if let [only] = candidates[..] {
        return Ok(only);
    }
    let unreachable = |(address, cause)| TransportError::Unreachable { address, cause };
    let reached = reach::tcp(&candidates).await;
    reached
        .map(|(address, _)| address)
        .map_err(|failed| TransportError::NoneOf { tried: failed.into_iter().map(unreachable).collect() })
}

/// The server of this control connection as data connections reach it at `data`, whatever the port there.
fn access(data: SocketAddr, transport: Transport, control: &ClientControl) -> Result<Access, TransportError> {
    let addresses = control.ports(transport)?.into_iter().map(|port| with_port(data, port)).collect();
    Ok(Access { addresses, fingerprint: control.fingerprint, secret: control.secret })
}

/// The same address with another port; of a link-local one, the interface is kept.
const fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// The first instant from this one on that is in step with the kernel's tick.
const fn in_step(instant: u64) -> u64 {
    instant.saturating_sub(PHASE_NANOS).next_multiple_of(TICKS_NANOS) + PHASE_NANOS
}

/// When waiting for what was released is over; `None` where only the time limit ends it.
fn drain_end(plan: &Plan, epoch: u64) -> Option<u64> {
    if let Some(duration) = plan.cut_off() {
        return Some(epoch + duration);
    }
    let sending = plan.workload.nominal_duration()? + plan.workload.patience(plan.rtt);
    Some(epoch + sending.as_nanos() + DRAIN_NANOS)
}

/// What is known of the report that was lost with a server: the messages that its clock had released within so many
/// nanoseconds of the schedule.
fn lost_report(plan: &Plan, until: u64) -> SessionReport {
    let clocked = plan.workload.released_by_the_clock(End::Server, plan.seed);
    let mut lost = SessionReport::default();
    lost.sent.released = clocked.iter().map(Released::from).filter(|released| released.at <= until).collect();
    lost
}

/// What an application saw of a session that broke, and when.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    at: u64,
    error: String,
}

/// A session under way, its own end and what is known of the server's.
struct BothEnds {
    session: Session,
    control: RenewableControl,
    /// What data connections are made by.
    access: watch::Sender<Access>,
    /// How far each end has come.
    ours: Phase,
    theirs: Phase,
    /// The lookup of the server's name, while it is under way, and what became of it.
    looking_up: JoinSet<Result<NameLookup, TransportError>>,
    name_lookup: Option<NameLookup>,
    connectors: JoinSet<Result<Connected, TransportError>>,
    /// What is played, and where connections go.
    plan: Plan,
    connections: mpsc::Sender<Connection>,
    /// When the data connections began to be made.
    connect_from: u64,
    handshake_ns: Option<u64>,
    /// What must outlive the connections.
    endpoints: Vec<Endpoint>,
    sends: bool,
    transport: Transport,
    is_cold: bool,
    /// When the connections began to be made, on a path of which nothing is known.
    connecting_since: Option<u64>,
    /// What may be wrong with the path; said once.
    suspicion: Option<String>,
    /// Whether it was a data connection that failed, not the control connection.
    data_failed: bool,
}

/// A connection that is up.
struct Connected {
    handshake_ns: Option<u64>,
    endpoint: Option<Endpoint>,
}

impl BothEnds {
    /// Looks the server's name up, from this instant on; what is done then follows from what becomes of it.
    fn look_up(&mut self, lookup: Lookup, resolver: SocketAddr, from: u64) {
        self.connect_from = from;
        let secret = self.access.borrow().secret;
        self.looking_up.spawn(lookup.resolve(resolver, secret, from));
    }

    /// Goes on after the lookup of the server's name: without an address nothing is connected.
    fn looked_up(&mut self, lookup: NameLookup) {
        self.name_lookup = Some(lookup);
        self.connect_from += lookup.took_ns;
        if lookup.answered {
            self.begin_to_connect(self.connect_from);
        }
    }

    /// Whether the name was looked up in vain, so that there is no server for the application.
    fn is_unresolved(&self) -> bool {
        self.name_lookup.is_some_and(|lookup| !lookup.answered)
    }

    /// Starts to make every data connection, as of this instant.
    fn begin_to_connect(&mut self, from: u64) {
        self.connect_from = from;
        self.connect(Some(from));
    }

    /// Starts to make every data connection, at once; `from` is when that begins the session, and not with the server
    /// that has taken the place of another: then it is tried until it is done.
    fn connect(&mut self, from: Option<u64>) {
        let access = self.access.borrow().clone();
        self.connecting_since = (self.plan.rtt == samepath_model::Duration::ZERO).then_some(from).flatten();
        for number in 0..self.plan.connections() {
            let (plan, connections, access) = (self.plan.clone(), self.connections.clone(), access.clone());
            self.connectors.spawn(async move {
                let address = access.address(plan.server_of_connection(number))?;
                let preface = Preface { secret: access.secret, number };
                let dialed = loop {
                    match dial(address, &plan, access.fingerprint, preface).await {
                        Err(_) if from.is_none() => tokio::time::sleep(DIAL_AGAIN).await,
                        dialed => break dialed?,
                    }
                };
                // It fails only where the session failed, which says so itself.
                let _ = connections.send(dialed.connection).await;
                Ok(Connected {
                    handshake_ns: dialed.up_at.zip(from).map(|(at, from)| at - from),
                    endpoint: dialed.endpoint,
                })
            });
        }
    }

    /// Each end has the other's warm-up, and every acknowledgement of its own.
    fn is_warm(&self) -> bool {
        self.ours >= Phase::Warm && self.theirs >= Phase::Warm
    }

    /// Our end has come further: the server is told what it waits for.
    async fn tell_ours(&mut self, before: Phase) -> Result<(), TransportError> {
        let has_reached = |phase| before < phase && self.ours >= phase;
        if has_reached(Phase::Heard) {
            self.control.send(&Request::PeerWarm).await?;
        }
        if has_reached(Phase::Sent) {
            self.control.send(&Request::PeerSent { messages: self.session.sent() }).await?;
        }
        Ok(())
    }

    /// Goes on with the server that has taken the place of another: it is told what that was told, and this end's next
    /// connections lead to it.
    async fn go_on(&mut self) -> Result<(), TransportError> {
        self.theirs = Phase::Waiting;
        if let Some(control) = self.control.current() {
            let data = self.access.borrow().address(0)?;
            self.access.send_replace(access(data, self.transport, control)?);
        }
        // Those to the server that is gone.
        self.connectors = JoinSet::new();
        self.connect(None);
        self.tell_ours(Phase::Waiting).await
    }

    /// Both ends have nothing more to do (and every connection has told when it was up, which a
    /// short transfer may overtake), or can do nothing.
    fn is_finished(&self) -> bool {
        let is_over = self.ours == Phase::Finished && self.theirs == Phase::Finished && self.connectors.is_empty();
        is_over || self.is_unresolved()
    }

    /// Lets both ends work until `done`; whether it was before `end`. Where a connection broke, the error has what
    /// the server says of it, too.
    async fn advance(&mut self, end: u64, done: impl Fn(&BothEnds) -> bool) -> Result<bool, TransportError> {
        match self.work(end, done).await {
            Err(ours @ (TransportError::Ended(_) | TransportError::Closed { .. })) => {
                let ours = ours.seen_at(End::Client);
                let theirs = timeout(LAST_WORDS, self.last_words()).await.ok().flatten();
                Err(match theirs.filter(|theirs| *theirs != ours.to_string()) {
                    Some(theirs) => TransportError::Both { ours: Box::new(ours), theirs },
                    None => ours,
                })
            }
            other => other,
        }
    }

    /// What this end sees of its data connections after the session has broken by `error`: where that was the control
    /// connection, which crosses no link, they may still deliver what is under way, and break later, or not before `end`.
    async fn what_was_seen(&mut self, error: TransportError, end: u64) -> Result<Seen, TransportError> {
        let seen = |error: &dyn std::fmt::Display| Seen { at: clock::now(), error: error.to_string() };
        if self.data_failed {
            return Ok(seen(&error));
        }
        let mut timer = clock::Timer::new()?;
        loop {
            tokio::select! {
                Some(looked_up) = self.looking_up.join_next() => {
                    let lookup = looked_up.map_err(std::io::Error::other)??;
                    self.looked_up(lookup);
                    if self.is_unresolved() {
                        return Ok(seen(&"no query for the name of the server was answered"));
                    }
                }
                reached = self.session.reach(Phase::Finished) => return Ok(match reached {
                    Ok(()) => seen(&"everything had arrived, but the server had gone"),
                    Err(error) => seen(&error),
                }),
                waited = timer.until(end) => {
                    waited?;
                    return Ok(seen(&"nothing told that the server had gone: the connection was silent until the end"));
                }
            }
        }
    }

    /// Why the server's end failed, if it did.
    async fn last_words(&mut self) -> Option<String> {
        loop {
            match self.control.receive().await {
                Ok(_) => {}
                Err(TransportError::Peer(reason)) => return Some(reason),
                Err(_) => return None,
            }
        }
    }

    async fn work(&mut self, end: u64, done: impl Fn(&BothEnds) -> bool) -> Result<bool, TransportError> {
        let mut timer = clock::Timer::new()?;
        let mut look = tokio::time::interval(LOOK);
        while !done(self) {
            let next = self.ours.next();
            tokio::select! {
                received = self.control.receive() => match received? {
                    Received::Answer(Answer::Reached(phase)) => {
                        self.theirs = phase;
                        if phase >= Phase::Heard {
                            self.session.peer_warm();
                        }
                    }
                    Received::Answer(Answer::Sent { messages }) => {
                        self.theirs = Phase::Sent;
                        self.session.peer_sent(messages);
                    }
                    Received::Renewed => self.go_on().await?,
                    Received::Answer(other) => {
                        return Err(TransportError::Control(format!("an answer out of turn: {other:?}")));
                    }
                },
                Some(looked_up) = self.looking_up.join_next() => {
                    let lookup = looked_up.map_err(std::io::Error::other)??;
                    self.looked_up(lookup);
                }
                Some(connected) = self.connectors.join_next() => {
                    self.data_failed = !matches!(connected, Ok(Ok(_)));
                    let connected = connected.map_err(std::io::Error::other)??;
                    // Several connections are up when the last of them is.
                    self.handshake_ns = self.handshake_ns.max(connected.handshake_ns);
                    self.endpoints.extend(connected.endpoint);
                }
                reached = self.session.reach(next), if self.ours < Phase::Finished => {
                    self.data_failed = reached.is_err();
                    reached?;
                    let before = std::mem::replace(&mut self.ours, self.session.phase());
                    self.tell_ours(before).await?;
                }
                _ = look.tick(), if self.suspicion.is_none() => {
                    self.suspicion = self.suspect();
                    if let Some(suspicion) = &self.suspicion {
                        // Without a reader it is in the error all the same.
                        let _ = writeln!(std::io::stderr(), "samepath: {suspicion}");
                    }
                }
                waited = timer.until(end) => {
                    waited?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// What may be wrong with a path of which nothing is known, where nothing moves on it.
    fn suspect(&self) -> Option<String> {
        let since = clock::now().saturating_sub(self.connecting_since?);
        if since < SILENCE_NANOS {
            return None;
        }
        let seconds = SILENCE_NANOS / 1_000_000_000;
        let is_up = self.connectors.is_empty();
        if self.transport == Transport::Quic {
            return (!is_up).then(|| {
                format!(
                    "no QUIC handshake after {seconds} s: does a firewall drop UDP on the way, or does the path take no \
                     packets of 1228 bytes, which QUIC must have (RFC 9000, section 14)? If so, no flag helps; try --arm tcp"
                )
            });
        }
        let is_stuck = is_up && (self.sends || self.is_cold || !self.is_warm()) && self.session.is_stuck(SILENCE_NANOS);
        is_stuck.then(|| {
            format!(
                "the connection is up, but nothing moves on it for {seconds} s: a path that drops full-size packets \
                 without a word (a PMTU black hole, RFC 2923) looks like this; if it is one, give --mtu 1280"
            )
        })
    }

    /// What was still missing when the time was over.
    fn too_late(&self, plan: &Plan) -> TransportError {
        let limit = plan.time_limit;
        let state = if !self.looking_up.is_empty() {
            "the server's name was not looked up".to_owned()
        } else if self.ours < Phase::Bound || self.theirs < Phase::Bound {
            "the connections were not up".to_owned()
        } else if !self.is_warm() {
            "the warm-up was not over".to_owned()
        } else {
            match self.session.delivered() {
                Some((delivered, all)) => format!("{delivered} of {all} messages were delivered"),
                None => "not everything was delivered".to_owned(),
            }
        };
        let remedy = match &self.suspicion {
            Some(suspicion) => suspicion.as_str(),
            None => "give it more time, less to send, or a better path",
        };
        TransportError::Timeout(format!("within the time limit of {limit} {state}; {remedy}"))
    }
}

/// How the data connections were made.
struct SetUp {
    /// Where to.
    server: SocketAddr,
    /// See [`PlayReport::name_lookup`].
    name_lookup: Option<NameLookup>,
    /// When it began.
    from: u64,
    /// See [`PlayReport::handshake_ns`].
    handshake_ns: Option<u64>,
}

/// Joins what both ends noted, on the client's clock, counted from the epoch.
fn merge(
    plan: &Plan,
    epoch: u64,
    set_up: SetUp,
    offset: ClockOffset,
    mut ours: SessionReport,
    mut theirs: SessionReport,
) -> Played {
    let at_client = |t: u64| t as i64 - epoch as i64;
    let at_server = |t: u64| at_client(offset.to_client(t));
    let at = |end: End, t: u64| if end == End::Client { at_client(t) } else { at_server(t) };
    let points = |report: &SessionReport, end: End| -> Vec<SeriesPoint> {
        report
            .series
            .iter()
            .map(|&(t, metric, value)| SeriesPoint { flow: 0, at: at(end, t), end, metric, value })
            .collect()
    };
    let mut series = points(&ours, End::Client);
    series.extend(points(&theirs, End::Server));

    let mut messages: Vec<MessageRecord> = Direction::BOTH
        .into_iter()
        .flat_map(|direction| {
            let (sender, receiver) = of(direction, &ours, &theirs);
            messages(plan, direction, sender, receiver, at)
        })
        .collect();
    // Stable: of those that were released at one instant the order is their sender's.
    messages.sort_by_key(|message| message.released);

    let mut layout = std::mem::take(&mut ours.layout);
    layout.append(&mut theirs.layout);
    let mut observations = std::mem::take(&mut ours.observations);
    // What an end saw has its own clock's time so far.
    observations.iter_mut().for_each(|observation| observation.at = at_client(observation.at.cast_unsigned()));
    observations.extend(
        theirs
            .observations
            .drain(..)
            .map(|observation| ObservationRecord { at: at_server(observation.at.cast_unsigned()), ..observation }),
    );

    let direction = plan.workload.direction();
    let received = &of(direction, &ours, &theirs).1.received;
    let first_byte = received.first_byte.map(|t| if direction == Direction::Up { offset.to_client(t) } else { t });
    // A bulk transfer by datagrams for a time has no last message: it is complete if all arrived.
    let is_whole = |m: &MessageRecord| m.delivered.is_some() || (m.size > 0 && m.received == m.size);
    Played {
        jitter_ns: received.jitter_ns,
        duplicates: ours.received.duplicates + theirs.received.duplicates,
        report: PlayReport {
            epoch_ns: epoch,
            clock_error_ns: offset.error_ns,
            name_lookup: set_up.name_lookup,
            handshake_ns: set_up.handshake_ns,
            connecting: at_client(set_up.from),
            first_byte_ns: first_byte.filter(|_| plan.is_cold()).map(|t| t.saturating_sub(epoch)),
            complete: messages.iter().all(is_whole),
            failure: None,
            messages,
            series,
            layout,
            observations,
            client: ours.end,
            server: theirs.end,
        },
        same_clock: offset.error_ns == 0,
        server: set_up.server,
    }
}

/// The reports of the end that sends in this direction, and of the one that receives.
const fn of<'a>(
    direction: Direction,
    client: &'a SessionReport,
    server: &'a SessionReport,
) -> (&'a SessionReport, &'a SessionReport) {
    match direction {
        Direction::Up => (client, server),
        Direction::Down => (server, client),
    }
}

/// The messages that were released in this direction, in order; `at` is when something was that an end has noted.
fn messages(
    plan: &Plan,
    direction: Direction,
    sender: &SessionReport,
    receiver: &SessionReport,
    at: impl Fn(End, u64) -> i64,
) -> Vec<MessageRecord> {
    let table = plan.table(direction);
    let (sending, receiving) = (End::sender(direction), End::receiver(direction));
    let (sent, received) = (&sender.sent, &receiver.received);
    let count = |counts: &[u64], index: usize| counts.get(index).copied().unwrap_or(0);
    let cancelled: HashMap<usize, u64> = sent.cancelled.iter().copied().collect();
    let compressed: HashMap<usize, (u64, u64)> =
        sent.compressed.iter().map(|&(index, coded, cpu)| (index, (coded, cpu))).collect();
    let decompressed: HashMap<usize, u64> = received.decompressed.iter().copied().collect();
    let record = |release: &Released| {
        let Released { stream, seq, at: released, by, deadline, attempt } = *release;
        let index = table.index(stream, seq)?;
        let when = |end: End, t: u64| (t > 0).then(|| at(end, t));
        Some(MessageRecord {
            flow: 0,
            direction,
            stream,
            seq,
            size: match table.length(stream, seq)? {
                Length::Bytes(_) if table.content(stream, seq).coding().is_some() => {
                    compressed.get(&index).map_or(count(&received.bytes, index), |(coded, _)| *coded)
                }
                Length::Bytes(size) => size.bytes(),
                // What was cut off in the transport's buffers was never part of the message.
                Length::Until(_) if plan.arm.is_reliable => count(&received.bytes, index),
                Length::Until(_) => count(&sent.bytes, index),
            },
            released: released as i64,
            released_by: by,
            deadline: deadline.map(|t| t as i64),
            attempt,
            cancelled: cancelled.get(&index).map(|t| at(sending, *t)),
            sent: when(sending, count(&sent.at, index)),
            delivered: when(receiving, count(&received.at, index)),
            received: count(&received.bytes, index),
            coded: compressed.get(&index).map(|&(_, compression_cpu_ns)| Coded {
                content: table.length(stream, seq).and_then(Length::bytes).map_or(0, ByteCount::bytes),
                compression_cpu_ns,
                decompression_cpu_ns: decompressed.get(&index).copied(),
            }),
        })
    };
    let mut records: Vec<MessageRecord> = sent.released.iter().filter_map(record).collect();
    if plan.outlives_its_server() {
        // What servers that were killed had noted is lost; what they sent is here all the same.
        let known: HashSet<usize> = sent.released.iter().filter_map(|one| table.index(one.stream, one.seq)).collect();
        let lost = table.messages().enumerate().filter(|(index, _)| !known.contains(index));
        records.extend(lost.filter_map(|(index, (stream, seq, _))| {
            let delivered = at(receiving, received.at.get(index).copied().filter(|t| *t > 0)?);
            let released = u64::try_from(delivered).unwrap_or_default();
            record(&Released { stream, seq, at: released, by: None, deadline: None, attempt: 1 })
        }));
    }
    records
}
