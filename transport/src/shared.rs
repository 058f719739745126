//! State of one endpoint of a session, shared by the tasks that send, receive and sample.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use samepath_model::book::{Entry, Keeping};
use samepath_model::record::{End, EndReport, Lateness, Metric, Setting};
use samepath_model::start::StartState;
use samepath_model::workload::{Event, MessageId, Release, Table};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, watch};

use crate::attribution::Place;
use crate::clock;
use crate::compressed::{Arrived, Compressed};
use crate::connection::{Attribution, Connection, Probe};
use crate::drive::Drive;
use crate::exchanges::Exchanges;
use crate::payload::Payload;
use crate::plan::Plan;
use crate::probe::{PathSample, Used};
use crate::queue::{Queue, Queues};
use crate::quic::Observer;
use crate::recorder::{SendLog, Sink};
use crate::report::{Phase, SessionReport};
use crate::tls::Tap;

/// What the tasks of an end share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    /// The messages that this end may send, and their bytes.
    pub(crate) outgoing: Table,
    pub(crate) payload: Payload,
    /// What those of them are that were compressed, and are not sent.
    pub(crate) compressed: Compressed,
    /// To what decompresses what has arrived, where anything is compressed.
    decompressor: Option<UnboundedSender<Arrived>>,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) epoch: watch::Receiver<Option<u64>>,
    /// Messages that the peer has sent, once it sends no more.
    pub(crate) peer_sent: watch::Receiver<Option<u64>>,
    pub(crate) peer_warm: watch::Receiver<bool>,
    drive: Mutex<Drive>,
    /// The driver wants to be woken at another time.
    pub(crate) rewound: Notify,
    /// Whether everything that was released was handed over.
    is_handed_over: AtomicBool,
    sent: Mutex<SendLog>,
    pub(crate) sink: Mutex<Option<Sink>>,
    /// Held by the bulk writer whose turn it is, where several share a connection.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// The connections that serve one exchange each.
    pub(crate) exchanges: Exchanges,
    /// Which end it is.
    pub(crate) end: End,
    observers: Mutex<Vec<Arc<Observer>>>,
    /// Records of TLS, by the client's port.
    taps: Mutex<Vec<(u16, Tap)>>,
    probes: Mutex<Vec<Probe>>,
    settings: Mutex<Vec<Setting>>,
    samples: Mutex<Vec<(u64, Metric, f64)>>,
    lateness: Mutex<Vec<u64>>,
    /// How long each sync of the book took, in nanoseconds.
    syncs: Mutex<Vec<u64>>,
    start: Mutex<Option<StartState>>,
}

impl Shared {
    /// The state of this end, and the queues of its writers.
    pub(crate) fn new(
        plan: Plan,
        end: End,
        phase: watch::Sender<Phase>,
        epoch: watch::Receiver<Option<u64>>,
        peer_sent: watch::Receiver<Option<u64>>,
        peer_warm: watch::Receiver<bool>,
    ) -> (Shared, Vec<Option<Queue>>) {
        let outgoing = plan.table(end.outgoing());
        let incoming = plan.table(end.outgoing().opposite());
        let (queues, receivers) = Queues::new(&plan, &outgoing);
        let driver = plan.workload.driver(end, plan.seed);
        let shared = Shared {
            payload: Payload::new(plan.seed, &outgoing),
            compressed: Compressed::default(),
            decompressor: None,
            sent: Mutex::new(SendLog::new(&outgoing)),
            sink: Mutex::new(Some(Sink::new(&plan, incoming))),
            drive: Mutex::new(Drive::new(driver, queues)),
            rewound: Notify::new(),
            is_handed_over: AtomicBool::new(false),
            outgoing,
            turn: tokio::sync::Mutex::default(),
            exchanges: Exchanges::default(),
            end,
            observers: Mutex::default(),
            taps: Mutex::default(),
            plan,
            phase,
            epoch,
            peer_sent,
            peer_warm,
            probes: Mutex::default(),
            settings: Mutex::default(),
            samples: Mutex::default(),
            lateness: Mutex::default(),
            syncs: Mutex::default(),
            start: Mutex::default(),
        };
        (shared, receivers)
    }

    /// Gives the driver a book, of which this was found.
    pub(crate) fn give_book(&mut self, found: Vec<Entry>, records: UnboundedSender<Entry>) {
        let drive = self.drive.get_mut().expect("no panic while held");
        drive.give_book(found, records);
    }

    /// Whether any of the messages that this end sends is compressed.
    pub(crate) fn compresses(&self) -> bool {
        self.outgoing.has_compressed()
    }

    /// Whether any of those that it receives is.
    pub(crate) fn decompresses(&self) -> bool {
        self.plan.table(self.end.outgoing().opposite()).has_compressed()
    }

    /// Has messages compressed on their way to the queues; returns the queues that they go into then.
    pub(crate) fn give_coder(&mut self, coder: UnboundedSender<Release>) -> Option<Queues> {
        let drive = self.drive.get_mut().expect("no panic while held");
        drive.give_coder(self.outgoing.clone(), coder)
    }

    /// Has compressed messages decompressed once they are whole.
    pub(crate) fn give_decompressor(&mut self, decompressor: UnboundedSender<Arrived>) {
        self.decompressor = Some(decompressor);
    }

    /// Hands a compressed message that is whole to what decompresses it.
    pub(crate) fn decompress(&self, message: Arrived) {
        if let Some(decompressor) = &self.decompressor {
            // It fails only where the decompressor failed, which says so itself.
            let _ = decompressor.send(message);
        }
    }

    /// Queues for the writers of another connection, in place of those that there were.
    pub(crate) fn renew_queues(&self) -> Vec<Option<Queue>> {
        let (queues, receivers) = Queues::new(&self.plan, &self.outgoing);
        self.drive.lock().expect("no panic while held").renew_queues(queues);
        receivers
    }

    /// Place in its table of a message that this end sends.
    pub(crate) fn index(&self, id: MessageId) -> usize {
        self.outgoing.index(id.stream, id.seq).expect("the driver releases messages of the table")
    }

    /// Whether this end sends messages.
    pub(crate) const fn sends(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether this end receives messages.
    pub(crate) fn receives(&self) -> bool {
        self.plan.receives(self.end)
    }

    /// Tells the driver what happened at `now`, and does as it says.
    pub(crate) fn drive(&self, event: Event, now: u64) {
        let mut drive = self.drive.lock().expect("no panic while held");
        let before = drive.wake();
        self.tell(&mut drive, event, now);
        let is_rewound = drive.wake() != before || drive.is_done();
        drop(drive);
        if is_rewound {
            self.rewound.notify_one();
        }
    }

    /// Notes that a message was withdrawn before any of it was sent, and tells the driver.
    pub(crate) fn withdraw(&self, id: MessageId) {
        self.drive.lock().expect("no panic while held").note_withdrawn();
        self.give_up(id);
    }

    /// Notes that nothing more of a message is sent, and tells the driver.
    pub(crate) fn give_up(&self, id: MessageId) {
        let now = clock::now();
        self.log().cancelled(self.index(id), now);
        self.drive(Event::Cancelled(id), now);
    }

    /// Tells the driver that its time has come; when it wants to be woken next.
    pub(crate) fn drive_by_clock(&self, event: Event) -> Option<u64> {
        let mut drive = self.drive.lock().expect("no panic while held");
        drive.take_wake();
        self.tell(&mut drive, event, clock::now());
        drive.wake()
    }

    fn tell(&self, drive: &mut Drive, event: Event, now: u64) {
        let epoch = self.epoch.borrow().unwrap_or(now);
        drive.on(event, now, epoch, &self.sent);
        if drive.is_done() && self.is_handed_over.load(Ordering::Relaxed) {
            self.reached(Phase::Sent);
        }
    }

    /// When the driver wants to be woken next.
    pub(crate) fn wake(&self) -> Option<u64> {
        self.drive.lock().expect("no panic while held").wake()
    }

    /// Whether the driver has nothing more to do.
    pub(crate) fn is_done(&self) -> bool {
        self.drive.lock().expect("no panic while held").is_done()
    }

    /// Messages that were released, those that were withdrawn before any of them was sent left out.
    pub(crate) fn messages_sent(&self) -> u64 {
        self.drive.lock().expect("no panic while held").sent()
    }

    /// Notes that everything that was released was handed over, and whatever may yet be.
    pub(crate) fn note_handed_over(&self) {
        self.is_handed_over.store(true, Ordering::Relaxed);
        if self.is_done() {
            self.reached(Phase::Sent);
        }
    }

    /// The sender's records.
    pub(crate) fn log(&self) -> std::sync::MutexGuard<'_, SendLog> {
        self.sent.lock().expect("no panic while held")
    }

    /// Moves on; never back.
    pub(crate) fn reached(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            if later {
                *now = phase;
            }
            later
        });
    }

    /// The start of the schedule, once it is known.
    pub(crate) async fn epoch(&self) -> u64 {
        let mut epoch = self.epoch.clone();
        let known = epoch.wait_for(Option::is_some).await.ok().and_then(|known| *known);
        match known {
            Some(epoch) => epoch,
            // Nobody is left to tell: the session is over, and with it this task.
            None => std::future::pending().await,
        }
    }

    /// Keeps an eye on a connection, and notes what is in force on it. Of many alike, one speaks
    /// for all.
    pub(crate) fn watch(&self, connection: &Connection) -> std::io::Result<()> {
        let probe = connection.probe()?;
        if let Some(probe) = &probe {
            self.limit_window(probe)?;
        }
        let settings = connection.settings(&self.plan, self.end);
        if let Some(probe) = probe {
            if self.plan.attribution {
                probe.note_full_window();
            }
            self.probes.lock().expect("no panic while held").push(probe);
        }
        self.observe(connection)?;
        self.settle(settings);
        Ok(())
    }

    /// Keeps an eye on a connection that serves one exchange, and is not held beyond it.
    pub(crate) fn watch_exchange(&self, connection: &Connection) -> std::io::Result<()> {
        if let Some(probe) = connection.probe()? {
            self.limit_window(&probe)?;
        }
        self.observe(connection)?;
        self.settle(connection.settings(&self.plan, self.end));
        Ok(())
    }

    /// Notes what its packets are attributed to messages by.
    fn observe(&self, connection: &Connection) -> std::io::Result<()> {
        match connection.attribution() {
            Attribution::Packets(observer) => self.observers.lock().expect("no panic while held").push(observer),
            Attribution::Records(tap) if self.plan.attribution => {
                let port = connection.client_port(self.end)?;
                self.taps.lock().expect("no panic while held").push((port, tap));
            }
            Attribution::Records(tap) => tap.stop(),
            Attribution::Plain => {}
        }
        Ok(())
    }

    /// Notes the settings of a connection; of many alike, the first speaks for all.
    fn settle(&self, settings: Vec<Setting>) {
        let mut known = self.settings.lock().expect("no panic while held");
        if known.is_empty() {
            *known = settings;
        }
    }

    /// Where the sender's bytes on this connection lie, if that is to be noted.
    pub(crate) fn place(&self, connection: &Connection) -> std::io::Result<Option<Place>> {
        if !self.plan.attribution {
            return Ok(None);
        }
        let before = connection.written_before(self.end);
        Ok(Some(Place::new(self.end.outgoing(), connection.client_port(self.end)?, 0, before)))
    }

    /// Notes one more setting that is in force; of many alike, the first speaks for all.
    pub(crate) fn note(&self, setting: Setting) {
        let mut known = self.settings.lock().expect("no panic while held");
        if known.iter().all(|one| one.name != setting.name) {
            known.push(setting);
        }
    }

    /// Says again how large the receive windows may be.
    pub(crate) fn limit_windows(&self) {
        for probe in self.probes.lock().expect("no panic while held").iter() {
            // It was accepted as the connection began.
            let _ = self.limit_window(probe);
        }
    }

    fn limit_window(&self, probe: &Probe) -> std::io::Result<()> {
        self.plan.tuning.receive_window.map_or(Ok(()), |window| probe.limit_receive_window(window))
    }

    /// Says to the congestion controllers whether a warm-up is under way.
    pub(crate) fn open_windows(&self, open: bool) {
        for probe in self.probes.lock().expect("no panic while held").iter() {
            probe.open_window(open);
        }
    }

    /// Bytes that were handed to the transports and are not acknowledged, where the peer has all of them.
    pub(crate) fn unacknowledged(&self) -> std::io::Result<u64> {
        self.probes.lock().expect("no panic while held").iter().map(Probe::unacknowledged).sum()
    }

    /// What all connections say together.
    fn path(&self) -> PathSample {
        PathSample::of(self.probes.lock().expect("no panic while held").iter().map(Probe::sample))
    }

    /// Notes the state from which the schedule starts.
    pub(crate) fn note_start(&self) {
        let sample = self.path();
        *self.start.lock().expect("no panic while held") = sample.as_start(&self.plan);
    }

    /// Notes a change of the sender's state, where packets are attributed to messages.
    pub(crate) fn mark(&self, metric: Metric, value: f64) {
        if self.plan.attribution {
            self.samples.lock().expect("no panic while held").push((clock::now(), metric, value));
        }
    }

    /// Samples the connections.
    pub(crate) fn sample(&self) {
        let at = clock::now();
        let sample = self.path();
        let mut samples = self.samples.lock().expect("no panic while held");
        samples.extend(sample.points().map(|(metric, value)| (at, metric, value)));
    }

    /// Notes how late a tick was served, in nanoseconds.
    pub(crate) fn late(&self, nanos: u64) {
        self.lateness.lock().expect("no panic while held").push(nanos);
    }

    /// Notes how long a sync of the book took, in nanoseconds.
    pub(crate) fn note_sync(&self, nanos: u64) {
        if self.plan.workload.book() == Some(Keeping::Synced) {
            self.syncs.lock().expect("no panic while held").push(nanos);
        }
    }

    /// Messages delivered so far, of those that there may be; `None` where none come to this end.
    pub(crate) fn delivered(&self) -> Option<(u64, u64)> {
        let sink = self.sink.lock().expect("no panic while held");
        sink.as_ref().map(|sink| (sink.delivered(), sink.expected())).filter(|(_, expected)| *expected > 0)
    }

    /// Whether nothing moves that should: hardly anything has come to an end that receives, and nothing for `silence`
    /// nanoseconds; at one that only sends, a connection's timer has run out several times in a row.
    pub(crate) fn is_stuck(&self, silence: u64) -> bool {
        /// What a path that drops full-size packets lets through, as long as a window is small.
        const HARDLY_ANYTHING: u64 = 4096;
        if let Some(sink) = self.sink.lock().expect("no panic while held").as_ref().filter(|_| self.receives()) {
            let since = clock::now().saturating_sub(sink.last_arrival());
            return sink.bytes() < HARDLY_ANYTHING && since > silence;
        }
        self.probes.lock().expect("no panic while held").iter().any(Probe::is_stuck)
    }

    /// The books, which are closed with it; `used` is what the process has used.
    pub(crate) fn report(&self, used: Used) -> SessionReport {
        let path = self.path();
        let mut settings = std::mem::take(&mut *self.settings.lock().expect("no panic while held"));
        let is_udp = !self.plan.arm.is_reliable;
        let mut report = SessionReport {
            series: std::mem::take(&mut self.samples.lock().expect("no panic while held")),
            end: EndReport {
                cpu_user_ns: used.user_ns,
                cpu_system_ns: used.system_ns,
                wall_ns: used.wall_ns,
                wake_lateness: Lateness::of(std::mem::take(&mut self.lateness.lock().expect("no panic while held"))),
                book_sync: Lateness::of(std::mem::take(&mut self.syncs.lock().expect("no panic while held"))),
                ..EndReport::default()
            },
            ..SessionReport::default()
        };
        if let Some(sink) = self.sink.lock().expect("no panic while held").take()
            && self.receives()
        {
            report.end.bytes_received = sink.bytes();
            report.end.reads = sink.reads;
            report.end.datagrams_received = is_udp.then(|| sink.datagrams());
            report.series.extend(sink.series());
            report.end.decompression = sink.decompression();
            report.received = sink.into_report();
        }
        if self.sends() {
            let mut log = std::mem::take(&mut *self.sent.lock().expect("no panic while held"));
            report.end.retransmissions = match self.plan.connects_as_released() {
                true => Some(self.exchanges.retransmissions()),
                false => path.retransmissions,
            };
            report.end.buffer_limited_us = path.buffer_limited_us;
            report.end.start = *self.start.lock().expect("no panic while held");
            report.end.bytes_sent = log.bytes();
            report.end.writes = log.writes;
            report.end.compression = log.compression;
            report.end.datagrams_sent = is_udp.then(|| log.datagrams());
            let taps = std::mem::take(&mut *self.taps.lock().expect("no panic while held"));
            (report.layout, report.observations) = (log.layout(taps), log.take_observations());
            report.sent = log.into_report();
        }
        if self.plan.connects_as_released() {
            report.end.sockets = Some(self.exchanges.sockets());
            report.end.failed_connections = self.exchanges.failures();
        }
        let mut unread = 0;
        for observer in self.observers.lock().expect("no panic while held").drain(..) {
            let (observations, missed) = observer.take();
            report.observations.extend(observations);
            unread += missed;
            report.series.extend(observer.take_credit());
        }
        for probe in self.probes.lock().expect("no panic while held").iter() {
            let full = |(at, is_full)| (at, Metric::WindowFull, if is_full { 1.0 } else { 0.0 });
            report.series.extend(probe.take_full_window().into_iter().map(full));
        }
        if unread > 0 {
            // It shows in the trial's record; the packets have no bytes in the analysis.
            settings.push(Setting::new("attribution.packets-not-read", Some("0".into()), unread.to_string()));
        }
        report.end.settings = settings.into();
        report
    }
}
