//! What became of each packet, as far as it can be seen from outside of the kernel's netem.
//!
//! Taps on the router's two outer devices hear every packet as it arrives from an end, and as it
//! leaves for the other, after the last queueing discipline. A thread matches the two by content:
//! everything in the packet but what a router changes. What this can know, and what not:
//!
//! - A packet that left has its true times. Which of several packets of the same content left is not
//!   known: the one that came first is taken.
//! - A second departure of the same content is the link's own copy; a copy that was dropped is not seen.
//! - A packet with one flipped bit is known by the half that is whole.
//! - A packet that did not leave is lost, or found the buffer full: told apart by the backlog that
//!   the packets which did leave must have made. Time in the queue comes from the same model.
//! - How late a packet left is known where neither jitter nor reordering decides it.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;

use hdrhistogram::Histogram;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};
use samepath_model::link::Direction;
use samepath_model::record::{DirectionReport, DropCause};
use samepath_model::{VoidKind, VoidReason};

use super::account::RouterAccount;
use super::config::{Config, QueueModel, Turn};
use super::error::KernelError;
use crate::backend::books::Books;
use crate::backend::lateness;
use crate::backend::packet::Tap;
use crate::backend::worker::{CommandQueue, Worker, drain};
use crate::capture::Capture;
use crate::control::Snapshot;
use crate::ledger::Spool;
use crate::link::Nanos;
use crate::link::entry::Entry;
use crate::link::packet::{self, PacketInfo};
use crate::sys::{monotonic, thread_cpu};

/// How long the thread rests while packets are about: short against the time the taps' rings hold.
const REST_MILLIS: u16 = 1;
/// What is heard later than this before now is not decided yet: a packet is stamped a moment before
/// it can be read.
const SETTLING: Nanos = 2_000_000;
/// A distance of the clocks that has changed by more was set.
const CLOCK_STEP: u64 = 1_000_000;
/// Two CPUs may stamp a packet's departure this much before its arrival, where nothing delays it.
const SKEW: Nanos = 5_000_000;

/// The thread that watches.
#[derive(Debug)]
pub(super) struct Witness {
    worker: Worker<Command, Result<RouterAccount, KernelError>>,
    watched: Arc<Watched>,
    /// What is heard later than this is not judged yet.
    judged_until: Arc<AtomicU64>,
}

/// What is wanted of the thread.
#[derive(Debug)]
enum Command {
    /// New expected conditions, up and down.
    Turn([Turn; 2]),
    /// How things stand.
    Snapshot {
        /// Where that is told.
        answer: Sender<Snapshot>,
    },
}

/// The time that is watched (CLOCK_MONOTONIC): what is heard outside of it is no part of the trial.
#[derive(Debug)]
struct Watched {
    from: AtomicU64,
    until: AtomicU64,
}

impl Watched {
    fn holds(&self, at: Nanos) -> bool {
        self.from.load(Ordering::Acquire) <= at && at < self.until.load(Ordering::Acquire)
    }
}

impl Witness {
    /// Starts to watch the taps of client's and server's side.
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub(super) fn start(taps: [Tap; 2], history: [Config; 2], books: Books) -> io::Result<Witness> {
        let watched = Arc::new(Watched { from: AtomicU64::new(0), until: AtomicU64::new(Nanos::MAX) });
        let judged_until = Arc::new(AtomicU64::new(Nanos::MAX));
        let watch = Watch {
            taps,
            watched: watched.clone(),
            judged_until: judged_until.clone(),
            waiting: VecDeque::new(),
            stories: history.map(Story::new),
            books,
            missed: 0,
            distance: clock_distance(),
        };
        let worker = Worker::spawn("witness", move |queue, waked| watch.run(&queue, &waked))?;
        Ok(Witness { worker, watched, judged_until })
    }

    pub(super) fn is_running(&self) -> bool {
        self.worker.is_running()
    }

    /// What it has counted; a packet counts as dropped only when it can no more come. `None` where the thread does
    /// not answer.
    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        self.worker.ask(|answer| Command::Snapshot { answer })
    }

    /// Waits with its judgement of what comes from now on, until it is told the expected conditions; gives back the
    /// instant.
    pub(super) fn suspend_judgement(&self) -> Nanos {
        let now = monotonic();
        self.judged_until.store(now, Ordering::Release);
        now
    }

    /// Judges again: by the new expected conditions of each direction, if there are any.
    pub(super) fn judge(&self, turns: Option<[Turn; 2]>) {
        if let Some(turns) = turns {
            self.worker.post(Command::Turn(turns));
        }
        self.judged_until.store(Nanos::MAX, Ordering::Release);
        self.worker.wake();
    }

    /// Takes no notice of what comes and goes from now on.
    pub(super) fn look_away(&self) {
        self.watched.until.store(monotonic(), Ordering::Release);
    }

    /// Watches again, from now on: nothing of what was not watched may be under way.
    pub(super) fn look_again(&self) {
        self.watched.from.store(monotonic(), Ordering::Release);
        self.watched.until.store(Nanos::MAX, Ordering::Release);
    }

    /// Ends the watch; what has not left by now is not waited for.
    ///
    /// # Errors
    /// Where the ledger could not be written.
    pub(super) fn stop(self) -> Result<RouterAccount, KernelError> {
        self.worker.stop().unwrap_or(Err(KernelError::Panicked))
    }
}

/// A packet that a tap heard.
#[derive(Debug)]
struct Event {
    at: Nanos,
    direction: Direction,
    leaves: bool,
    /// Whether it is marked "congestion experienced".
    marked: bool,
    print: Print,
    info: PacketInfo,
    /// The packet, where it is captured and arrives.
    bytes: Box<[u8]>,
}

/// What a packet is known by: everything but what a router may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Print {
    parts: [u64; 2],
}

impl Print {
    fn of(packet: &[u8]) -> Print {
        // TOS (its ECN bits), TTL and checksum of IPv4; traffic class and hop limit of IPv6.
        let mut head = [0u8; 40];
        let length = packet.len().min(head.len());
        head[..length].copy_from_slice(&packet[..length]);
        match head[0] >> 4 {
            4 => [1, 8, 10, 11].into_iter().for_each(|at| head[at] = 0),
            6 => {
                head[0] &= 0xf0;
                head[1] &= 0x0f;
                head[7] = 0;
            }
            _ => {}
        }
        let middle = (packet.len() / 2).max(length);
        let hash = |parts: [&[u8]; 2]| {
            let mut hasher = DefaultHasher::new();
            parts.into_iter().for_each(|part| hasher.write(part));
            hasher.finish()
        };
        Print { parts: [hash([&head[..length], &packet[length..middle]]), hash([&packet[middle..], &[]])] }
    }

    fn shares_one_part(&self, other: &Print) -> bool {
        self.parts[0] == other.parts[0] || self.parts[1] == other.parts[1]
    }
}

/// How far CLOCK_REALTIME is ahead of CLOCK_MONOTONIC, to within the time that reading them takes.
fn clock_distance() -> u64 {
    const TRIES: usize = 5;
    let read = || {
        let before = monotonic();
        let realtime = clock_gettime(ClockId::CLOCK_REALTIME).expect("the clocks of a thread can always be read");
        let after = monotonic();
        let realtime = realtime.tv_sec() as u64 * 1_000_000_000 + realtime.tv_nsec() as u64;
        (after - before, realtime.wrapping_sub(before + (after - before) / 2))
    };
    // The quickest reading is the one that was interrupted least.
    (0..TRIES).map(|_| read()).min().map_or(0, |(_, distance)| distance)
}

/// All that the thread owns.
struct Watch {
    taps: [Tap; 2],
    /// What was heard too late to be decided.
    waiting: VecDeque<Event>,
    stories: [Story; 2],
    books: Books,
    watched: Arc<Watched>,
    judged_until: Arc<AtomicU64>,
    missed: u64,
    /// How far the wall clock, by which the taps stamp, is ahead of the monotonic one.
    distance: u64,
}

impl Watch {
    fn run(mut self, queue: &CommandQueue<Command>, waked: &OwnedFd) -> Result<RouterAccount, KernelError> {
        loop {
            let stopping = queue.is_stopped();
            let now = monotonic();
            // Read before the commands, one of which may say how to judge what comes later.
            let judged_until = self.judged_until.load(Ordering::Acquire).min(now.saturating_sub(SETTLING));
            self.read(queue.take());
            let heard = self.listen();
            self.decide(if stopping { Nanos::MAX } else { judged_until });
            if stopping {
                return self.settle(now);
            }
            let end = now.min(self.watched.until.load(Ordering::Acquire));
            for story in &mut self.stories {
                story.finish_before(judged_until, end, &mut self.books);
            }
            self.wait(waked, heard || !self.waiting.is_empty());
        }
    }

    fn read(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                // Nobody may be left to hear the answer.
                Command::Snapshot { answer } => drop(answer.send(self.snapshot())),
                Command::Turn(turns) => {
                    for (story, turn) in self.stories.iter_mut().zip(turns) {
                        story.queue_model.history.turn(turn);
                    }
                }
            }
        }
    }

    /// Sleeps: for a moment while packets are about, else until one comes.
    fn wait(&self, waked: &OwnedFd, about: bool) {
        let fds = [waked.as_fd(), self.taps[0].as_fd(), self.taps[1].as_fd()];
        let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        // Within the rest only an order or a question wakes it, or every packet would.
        let (fds, time) = if about {
            (&mut fds[..1], PollTimeout::from(REST_MILLIS))
        } else {
            // Packets whose time is over are still to be told of.
            (&mut fds[..], PollTimeout::from(1000u16))
        };
        let _ = poll(fds, time);
        if fds[0].any().unwrap_or(false) {
            drain(waked);
        }
    }

    fn snapshot(&self) -> Snapshot {
        let [up, down] = self.stories.each_ref().map(|story| story.report.clone());
        let inside = |story: &Story| story.open.iter().filter(|open| open.left.is_none()).count() as u64;
        Snapshot {
            up,
            down,
            inside: self.stories.each_ref().map(inside),
            lateness: lateness::report(&self.lateness()),
            ledger_lost: self.books.ledger.as_ref().map_or(0, Spool::lost),
            capture_missing: self.books.capture.as_ref().map_or(0, Capture::missing),
        }
    }

    /// Over both directions.
    fn lateness(&self) -> Histogram<u64> {
        let mut all = lateness::histogram();
        for story in &self.stories {
            all.add(&story.lateness).expect("the histograms have the same bounds");
        }
        all
    }

    /// Takes what the taps have heard; tells whether it was anything.
    fn listen(&mut self) -> bool {
        // The wall clock may be set; but for that its distance is always the same.
        let now = clock_distance();
        if now.abs_diff(self.distance) > CLOCK_STEP {
            self.distance = now;
        }
        let distance = self.distance;
        let captures = self.books.capture.is_some();
        let before = self.waiting.len();
        for (tap, of_end) in self.taps.iter_mut().zip([Direction::Up, Direction::Down]) {
            loop {
                let took = tap.take(|heard, packet| {
                    self.waiting.push_back(Event {
                        at: heard.realtime.wrapping_sub(distance),
                        direction: if heard.outgoing { of_end.opposite() } else { of_end },
                        leaves: heard.outgoing,
                        marked: packet::is_congestion_marked(packet),
                        print: Print::of(packet),
                        info: packet::parse(packet),
                        bytes: if captures && !heard.outgoing { packet.into() } else { Box::default() },
                    });
                });
                if !took {
                    break;
                }
            }
            self.missed += tap.drops();
        }
        self.waiting.len() > before
    }

    /// Tells the stories what was heard up to `until`, in order of time.
    fn decide(&mut self, until: Nanos) {
        self.waiting.make_contiguous().sort_by_key(|event| (event.at, event.leaves));
        while self.waiting.front().is_some_and(|event| event.at <= until) {
            let event = self.waiting.pop_front().expect("there is a first");
            if !self.watched.holds(event.at) {
                continue;
            }
            let story = &mut self.stories[event.direction.index()];
            if event.leaves { story.left(event) } else { story.arrived(event) }
        }
    }

    fn settle(mut self, now: Nanos) -> Result<RouterAccount, KernelError> {
        let end = now.min(self.watched.until.load(Ordering::Acquire));
        for story in &mut self.stories {
            story.finish_before(Nanos::MAX, end, &mut self.books);
        }
        let capture = self.books.capture.take().map(Capture::finish);
        let ledger = self.books.ledger.take().map(Spool::finish).transpose()?;
        let (ledger_lost, ledger_cut) = ledger.map_or((0, None), |ledger| (ledger.lost, ledger.cut));
        let mut doubts = Vec::new();
        if self.missed > 0 {
            let words = format!("the taps at the router missed {} packets, and the ledger with them", self.missed);
            doubts.push(VoidReason::new(VoidKind::LedgerLost, words));
        }
        for story in self.stories.iter().filter(|_| self.missed == 0) {
            if let Some(PacketInfo { size, protocol, .. }) = story.first_unseen {
                let (direction, unseen) = (story.direction, story.unseen);
                let words = format!(
                    "{unseen} packets left the router ({direction}) that were not seen to arrive; the first has \
                     {size} bytes, of protocol {protocol}"
                );
                doubts.push(VoidReason::new(VoidKind::Contradiction, words));
            }
        }
        let lateness = lateness::report(&self.lateness());
        let directions = self.stories.map(|story| story.report);
        Ok(RouterAccount { directions, lateness, cpu: thread_cpu(), ledger_lost, ledger_cut, capture, doubts })
    }
}

/// One direction: the packets whose fate is open, and the counts of the others.
#[derive(Debug)]
struct Story {
    direction: Direction,
    /// In order of arrival; the first has number `first`.
    open: VecDeque<Open>,
    first: u64,
    /// The numbers of open packets of the same content.
    alike: HashMap<[u64; 2], VecDeque<u64>>,
    queue_model: QueueModel,
    report: DirectionReport,
    lateness: Histogram<u64>,
    /// The latest to arrive of those that left, and when the last one left.
    newest: Option<(u64, Nanos)>,
    /// Departures that match no arrival yet.
    early: Vec<Event>,
    /// Departures that match no arrival, and the first of them.
    unseen: u64,
    first_unseen: Option<PacketInfo>,
}

/// A packet whose fate is open.
#[derive(Debug)]
struct Open {
    entry: Entry,
    print: Print,
    /// Whether it came marked.
    marked: bool,
    left: Option<Nanos>,
    copies: Vec<Nanos>,
    /// The packet, where it is captured.
    bytes: Box<[u8]>,
}

impl Story {
    fn new(config: Config) -> Story {
        Story {
            direction: config.direction,
            queue_model: QueueModel::new(config),
            open: VecDeque::new(),
            first: 0,
            alike: HashMap::new(),
            report: DirectionReport::default(),
            lateness: lateness::histogram(),
            newest: None,
            early: Vec::new(),
            unseen: 0,
            first_unseen: None,
        }
    }

    fn arrived(&mut self, event: Event) {
        let number = self.report.packets;
        self.report.packets += 1;
        self.report.bytes += u64::from(event.info.size);
        self.report.largest_packet = self.report.largest_packet.max(event.info.size);
        self.alike.entry(event.print.parts).or_default().push_back(number);
        let entry = Entry::new(self.direction, number, event.at, &event.info);
        let early = self.early.iter().position(|early| early.print == event.print);
        let early = early.map(|at| self.early.swap_remove(at));
        let left = early.as_ref().map(|early| early.at.max(event.at));
        let (print, marked) = (event.print, event.marked);
        self.open.push_back(Open { entry, print, marked, left, copies: Vec::new(), bytes: event.bytes });
        if let Some(early) = early {
            self.note_mark(number, early.marked);
        }
    }

    fn left(&mut self, event: Event) {
        self.report.delivered_packets += 1;
        self.report.delivered_bytes += u64::from(event.info.size);
        let first = self.first;
        if let Some(numbers) = self.alike.get(&event.print.parts) {
            let open = &mut self.open;
            let of = |number: &u64| (number - first) as usize;
            if let Some(number) = numbers.iter().find(|&number| open[of(number)].left.is_none()) {
                let number = *number;
                open[of(&number)].left = Some(event.at);
                let newest = self.newest.map_or(0, |(newest, _)| newest);
                self.newest = Some((newest.max(number), event.at));
                self.note_mark(number, event.marked);
            } else if let Some(number) = numbers.front() {
                open[of(number)].copies.push(event.at);
                self.report.duplicated += 1;
            }
            return;
        }
        let damaged = self.queue_model.history.corrupts().then(|| {
            let size = event.info.size;
            let like = |open: &&mut Open| open.entry.size() == size && open.print.shares_one_part(&event.print);
            self.open.iter_mut().find(|open| open.left.is_none() && like(open))
        });
        match damaged.flatten() {
            Some(open) => {
                open.left = Some(event.at);
                open.entry.set_corrupted();
                self.report.corrupted += 1;
            }
            None => self.early.push(event),
        }
    }

    /// Notes that a packet left with a mark that it did not come with.
    fn note_mark(&mut self, number: u64, marked: bool) {
        let Some(open) = self.open.get_mut((number - self.first) as usize) else { return };
        if marked && !open.marked {
            open.entry.set_marked();
            self.report.marked += 1;
        }
    }

    /// Closes the story of every packet that has left, or should have by `until`; those before which
    /// an open one stands wait for it, since the model goes in order of arrival.
    fn finish_before(&mut self, until: Nanos, now: Nanos, books: &mut Books) {
        for packet in self.early.extract_if(.., |event| event.at.saturating_add(SKEW) <= until) {
            self.unseen += 1;
            self.first_unseen.get_or_insert(packet.info);
        }
        let horizon = self.queue_model.history.horizon();
        while let Some(open) = self.open.front() {
            let arrived = open.entry.arrived();
            if until != Nanos::MAX && (arrived + horizon > until || self.may_wait(arrived, until)) {
                break;
            }
            let open = self.open.pop_front().expect("there is a first");
            if let Some(numbers) = self.alike.get_mut(&open.print.parts) {
                numbers.pop_front();
                if numbers.is_empty() {
                    self.alike.remove(&open.print.parts);
                }
            }
            self.finish(open, now, books);
            self.first += 1;
        }
    }

    /// Whether the first open packet, if it has not left by `now`, may still wait for a slot: none that came later
    /// has left, and it is not long ago that one did.
    fn may_wait(&self, arrived: Nanos, now: Nanos) -> bool {
        let history = &self.queue_model.history;
        let Some(pause) = history.pause() else { return false };
        let last = self.newest.map_or(arrived, |(_, left)| left.max(arrived));
        self.newest.is_none_or(|(newest, _)| self.first > newest) && last + pause + history.horizon() > now
    }

    /// The first packet's story.
    fn finish(&mut self, open: Open, now: Nanos, books: &mut Books) {
        let Open { mut entry, left, copies, bytes, .. } = open;
        let (arrived, size) = (entry.arrived(), entry.size());
        if let Some(capture) = &mut books.capture {
            capture.offered(entry.direction(), entry.number(), &bytes, arrived);
            capture.inside(1 + copies.len() as u64);
        }
        self.queue_model.come_to(arrived);
        match left {
            Some(left) => {
                let departure = self.queue_model.admit(arrived, size);
                entry.set_queued(departure - arrived);
                let due = departure + self.queue_model.history.at(arrived).delay;
                if self.queue_model.is_exact(arrived, departure) {
                    self.lateness.saturating_record(left.saturating_sub(due));
                }
                books.append(entry.finish_left(left));
            }
            None => {
                let departure = self.queue_model.peek(arrived, size);
                entry.set_queued(departure - arrived);
                let cause = self.cause(arrived, departure, size, now);
                *self.report.dropped.entry(cause.name().to_owned()).or_default() += 1;
                books.append(entry.finish_dropped(cause));
            }
        }
        for left in copies {
            self.queue_model.admit(arrived, size);
            books.append(entry.as_duplicate().finish_left(left));
        }
        self.report.max_backlog_bytes = self.queue_model.max_backlog;
    }

    /// Why a packet did not leave by `now`, whose transmission would have ended at `departure`.
    fn cause(&self, arrived: Nanos, departure: Nanos, size: u32, now: Nanos) -> DropCause {
        let (history, config) = (&self.queue_model.history, self.queue_model.history.at(arrived));
        // It may still come, as late as others did.
        let late = self.lateness.max().max(SETTLING);
        let due = departure + config.delay + config.spread;
        if due + late > now || self.may_wait(arrived, now) || history.emptied(arrived, departure) {
            DropCause::LinkDown
        } else if self.queue_model.is_full(arrived, size) {
            DropCause::Overflow
        } else if history.loses(arrived) {
            DropCause::Loss
        } else if config.manages {
            DropCause::Aqm
        } else if config.has_rate() {
            DropCause::Overflow
        } else {
            DropCause::Host
        }
    }
}
