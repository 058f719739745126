//! The embedded emulator's data thread: both directions, one thread, one clock.
//!
//! It takes packets from the two ports, asks the link core what becomes of them, and gives each to
//! the other side at the instant computed for it. It never waits for the ledger, allocates nothing
//! a packet, and computes no time from another packet's lateness.
//!
//! A TUN device hands over super-packets. They are cut into the packets that the wire would see, and the
//! link core decides on each of those: it knows no others, and all of one super-packet came at one
//! instant, which is how a burst at line rate looks. In exact mode each reaches the host that it is for as a
//! packet of its own; in fast mode neighbours that leave together are joined again, which spares the receiving
//! host most of its work.
//!
//! It has real-time scheduling where the host permits it, so that no busy neighbour and no receiver
//! that it has just woken takes its place, and then spins shortly before each release: a wake-up
//! from sleep costs some ten microseconds.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use hdrhistogram::Histogram;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_timerslack;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use samepath_model::link::{Conditions, Direction, Link};
use samepath_model::record::{DirectionReport, Lateness};

use super::Port;
use super::buffer::{Buffer, Pool};
use super::lateness;
use super::mail::{Letter, Mailbox};
use super::passthrough::{self, Passed};
use super::segment::{self, HEADER, LARGEST, Run, Split, VirtioHeader};
use crate::capture::{Capture, CaptureReport};
use crate::control::Snapshot;
use crate::ledger::{Entry, LedgerError, Spool};
use crate::link::{Nanos, Pipe, Released, packet};
use crate::sys::{monotonic, thread_cpu};

/// Packets taken from one side before the other has its turn.
const BATCH: usize = 64;
/// The longest spin before a release.
pub(crate) const SPIN: Nanos = 30_000;
/// The share of its time that the thread may spin, as a divisor: more would starve the endpoints of
/// a small machine.
const SPIN_SHARE: Nanos = 5;
/// Real-time priority: above everything ordinary, below the kernel's own threads.
const PRIORITY: libc::c_int = 10;
/// How long a data thread that is busy may take to answer.
const ANSWER_LIMIT: std::time::Duration = std::time::Duration::from_secs(2);

/// A data thread that failed.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// A device failed.
    #[error("the link's {side} device failed: {source}")]
    Port {
        /// Whose device.
        side: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The thread could not be started, or waited for.
    #[error("the link's data thread: {0}")]
    Thread(io::Error),
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The thread panicked.
    #[error("the link's data thread panicked; this is a fault of the program")]
    Panicked,
}

/// Words from the harness to the data thread.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Start of the schedule; 0 while it is not known.
    epoch: AtomicU64,
    pub(super) stop: AtomicBool,
    /// From whoever watches or adjusts the link.
    pub(super) mail: Mailbox<Letter>,
}

/// A running emulator.
#[derive(Debug)]
pub(crate) struct Emulator {
    /// There until the emulator is stopped.
    thread: Option<JoinHandle<Result<Account, EmulatorError>>>,
    orders: Arc<Orders>,
    /// Closed or written to, it wakes the thread.
    wake: OwnedFd,
}

/// What the data thread says of its work.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) directions: [DirectionReport; 2],
    pub(crate) lateness: Lateness,
    /// Packets the kernel dropped before the emulator could take them.
    pub(crate) port_drops: u64,
    pub(crate) realtime: bool,
    /// CPU time of the thread.
    pub(crate) cpu: Nanos,
    /// That part of it in which it only waited.
    pub(crate) spun: Nanos,
    /// Wall-clock time of the thread.
    pub(crate) wall: Nanos,
    /// Entries the ledger lost because its writer could not keep up.
    pub(crate) ledger_lost: u64,
    /// What came of the capture, if there was one.
    pub(crate) capture: Option<CaptureReport>,
}

impl Emulator {
    /// Starts the data thread between the ports of client and server. Ports of packet sockets cannot take
    /// joined neighbours.
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub(crate) fn start(
        link: &Link,
        seed: u64,
        ports: [Port; 2],
        books: Books,
        joining: Joining,
    ) -> Result<Emulator, EmulatorError> {
        let link = link.clone();
        Emulator::spawn(move |orders, waked| {
            let sleeper = Sleeper::new(waked)?;
            DataThread::new(&link, seed, ports, books, joining, orders, sleeper).run()
        })
    }

    /// Starts a thread that carries packets, super-packets among them, between ports that have the
    /// header of virtio-net, and decides nothing until it is given conditions.
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub(crate) fn pass_through(
        link: &Link,
        seed: u64,
        ports: [Port; 2],
        joining: Joining,
    ) -> Result<Emulator, EmulatorError> {
        let link = link.clone();
        Emulator::spawn(move |orders, waked| match passthrough::run(ports, &orders, waked)? {
            Passed::Stopped(account) => Ok(account),
            Passed::UntilConditions { ports, sleeper, directions } => {
                let thread = DataThread::new(&link, seed, ports, Books::default(), joining, orders, sleeper);
                DataThread { earlier: directions, ..thread }.run()
            }
        })
    }

    fn spawn(
        work: impl FnOnce(Arc<Orders>, OwnedFd) -> Result<Account, EmulatorError> + Send + 'static,
    ) -> Result<Emulator, EmulatorError> {
        let (waked, wake) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK)
            .map_err(|errno| EmulatorError::Thread(errno.into()))?;
        let orders = Arc::new(Orders::default());
        let of_thread = orders.clone();
        let thread = std::thread::Builder::new()
            .name("link".into())
            .spawn(move || work(of_thread, waked))
            .map_err(EmulatorError::Thread)?;
        Ok(Emulator { thread: Some(thread), orders, wake })
    }

    /// Tells the link when the schedule starts.
    pub(crate) fn set_epoch(&self, epoch: Nanos) {
        self.orders.epoch.store(epoch.max(1), Ordering::Release);
        self.wake();
    }

    /// Puts these conditions in force, both directions at one instant, which is given back.
    ///
    /// # Errors
    /// Why they cannot be, in words.
    pub(crate) fn change(&self, link: &Link) -> Result<Nanos, &'static str> {
        let (answer, answered) = std::sync::mpsc::channel();
        self.post(Letter::Change { link: Box::new(link.clone()), answer });
        answered.recv_timeout(ANSWER_LIMIT).unwrap_or(Err("its data thread does not answer"))
    }

    /// How it stands; `None` where the data thread does not answer.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        let (answer, answered) = std::sync::mpsc::channel();
        self.post(Letter::Snapshot { answer });
        answered.recv_timeout(ANSWER_LIMIT).ok()
    }

    /// Makes way for probes under these conditions, or with `None` for the trial again; tells whether the data
    /// thread did.
    pub(crate) fn probe(&self, link: Option<&Link>) -> bool {
        let (answer, answered) = std::sync::mpsc::channel();
        self.post(Letter::Probe { link: link.cloned().map(Box::new), answer });
        answered.recv_timeout(ANSWER_LIMIT).is_ok()
    }

    fn post(&self, letter: Letter) {
        self.orders.mail.leave(letter);
        self.wake();
    }

    /// Whether the data thread still runs; it ends early only when a device fails.
    pub(crate) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Takes the link down: what is still under way is dropped.
    ///
    /// # Errors
    /// Where the data thread failed, now or before.
    pub(crate) fn stop(mut self) -> Result<Account, EmulatorError> {
        self.end().unwrap_or(Err(EmulatorError::Panicked))
    }

    /// Ends the data thread; `None` where that has been done.
    fn end(&mut self) -> Option<Result<Account, EmulatorError>> {
        let thread = self.thread.take()?;
        self.orders.stop.store(true, Ordering::Release);
        self.wake();
        Some(thread.join().unwrap_or(Err(EmulatorError::Panicked)))
    }

    fn wake(&self) {
        // A full pipe wakes it just as well.
        let _ = nix::unistd::write(&self.wake, &[1]);
    }
}

impl Drop for Emulator {
    /// Whoever wants no account leaves no thread behind either.
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// What is kept of the packets.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// The fate of each.
    pub(crate) ledger: Option<Spool>,
    /// Each packet, with its fate.
    pub(crate) capture: Option<Capture>,
}

impl Books {
    #[inline]
    pub(super) fn append(&mut self, entry: Entry) {
        if let Some(ledger) = &mut self.ledger {
            ledger.append(entry);
        }
        if let Some(capture) = &mut self.capture {
            capture.fate(entry);
        }
    }
}

/// Whether neighbours that leave together are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joining {
    /// In exact mode.
    Never,
    /// In fast mode.
    Always,
    /// Where no condition needs single packets, as the conditions are.
    WhereNothingShows,
}

impl Joining {
    /// Whether it is done under these conditions.
    pub(crate) fn under(self, link: &Link) -> bool {
        match self {
            Joining::Never => false,
            Joining::Always => true,
            Joining::WhereNothingShows => !needs_single_packets(link),
        }
    }
}

/// Whether some condition shows only where packets reach the receiving host one at a time: all of them, but
/// those that drop packets, and a delay that is the same for all.
fn needs_single_packets(link: &Link) -> bool {
    Direction::BOTH.iter().any(|&direction| {
        let conditions = link.direction(direction).clone();
        let plain = Conditions::transparent();
        let others =
            Conditions { delay: plain.delay, loss: plain.loss, drops: Vec::new(), outages: Vec::new(), ..conditions };
        others != plain
    })
}

/// Whether a link does anything to its packets.
pub(crate) fn is_shaped(link: &Link) -> bool {
    let transparent = |conditions: &Conditions| *conditions == Conditions::transparent();
    !(transparent(&link.up) && transparent(&link.down))
}

/// All that the data thread owns.
struct DataThread {
    pipes: [Pipe<Buffer>; 2],
    /// The pipes of the trial, while probes are under way: what they do is in no book.
    aside: Option<[Pipe<Buffer>; 2]>,
    /// Client's, server's: the port at which a direction's packets come in has its index.
    ports: [Port; 2],
    books: Books,
    pool: Pool,
    lateness: Histogram<u64>,
    orders: Arc<Orders>,
    sleeper: Sleeper,
    /// Whether hosts get neighbours that leave together as one packet; and when that may be.
    fast: bool,
    joining: Joining,
    run: Run,
    /// The packets of the run; one at most where none are joined.
    together: Vec<Released<Buffer>>,
    /// What a TUN device hands over.
    large: Vec<u8>,
    /// What went by before there were conditions.
    earlier: [DirectionReport; 2],
}

impl DataThread {
    fn new(
        link: &Link,
        seed: u64,
        ports: [Port; 2],
        books: Books,
        joining: Joining,
        orders: Arc<Orders>,
        sleeper: Sleeper,
    ) -> DataThread {
        let mut ports = ports;
        ports.iter_mut().for_each(|port| port.give_whole_runs(joining.under(link)));
        DataThread {
            pipes: Direction::BOTH.map(|direction| Pipe::new(link, direction, seed)),
            aside: None,
            ports,
            books,
            pool: Pool::new(usize::from(link.mtu)),
            lateness: lateness::histogram(),
            orders,
            sleeper,
            fast: joining.under(link),
            joining,
            run: Run::new(),
            together: Vec::with_capacity(segment::MOST),
            large: vec![0; HEADER + LARGEST],
            earlier: Default::default(),
        }
    }

    /// What each direction has carried in all.
    fn reports(&self) -> [DirectionReport; 2] {
        std::array::from_fn(|at| sum(&self.earlier[at], self.pipes[at].report()))
    }

    fn run(mut self) -> Result<Account, EmulatorError> {
        // Timers of a thread under SCHED_FIFO have no slack; this is for where it is not permitted.
        let _ = set_timerslack(1);
        let realtime = become_realtime();
        let started = monotonic();
        let spun = self.carry(realtime, started)?;
        // What is left is paperwork.
        become_ordinary();
        self.settle(realtime, started, spun)
    }

    /// Carries packets until told to stop. Gives back the time spun away.
    fn carry(&mut self, realtime: bool, started: Nanos) -> Result<Nanos, EmulatorError> {
        let mut epoch = 0;
        let mut spun = 0;
        let mut spinning_since = None;
        loop {
            let ordered = self.orders.epoch.load(Ordering::Acquire);
            if ordered != epoch {
                epoch = ordered;
                self.pipes.iter_mut().for_each(|pipe| pipe.set_epoch(epoch));
            }
            if self.orders.stop.load(Ordering::Acquire) {
                return Ok(spun);
            }

            for letter in self.orders.mail.take() {
                self.answer(letter);
            }
            let mut busy = false;
            for direction in Direction::BOTH {
                busy |= self.take_batch(direction)?;
            }
            let now = monotonic();
            self.release_due(now)?;

            if let Some(since) = spinning_since.take() {
                spun += now - since;
            }
            if busy {
                continue;
            }
            let now = monotonic();
            match self.pipes.iter().filter_map(Pipe::next_release).min() {
                Some(due) if due <= now => {}
                Some(due) => {
                    let may_spin = realtime && spun <= (now - started) / SPIN_SHARE;
                    if may_spin && due - now <= SPIN {
                        spinning_since = Some(now);
                        continue;
                    }
                    self.sleeper.sleep(&self.ports, Some(if may_spin { due - SPIN } else { due }))?;
                }
                None => self.sleeper.sleep(&self.ports, None)?,
            }
        }
    }

    /// Does what a letter asks for. Nobody may be left to hear the answer.
    fn answer(&mut self, letter: Letter) {
        match letter {
            Letter::Change { link, answer } => {
                let now = monotonic();
                self.pipes.iter_mut().for_each(|pipe| pipe.set_conditions(&link, now));
                self.fast = self.joining.under(&link);
                self.ports.iter_mut().for_each(|port| port.give_whole_runs(self.fast));
                if let Some(capture) = &mut self.books.capture {
                    capture.note(&format!("the link from here on: {link}"));
                }
                let _ = answer.send(Ok(now));
            }
            Letter::Probe { link, answer } => {
                match link {
                    Some(link) => {
                        let probed = Direction::BOTH.map(|direction| Pipe::new(&link, direction, 0));
                        let pipes = std::mem::replace(&mut self.pipes, probed);
                        self.aside.get_or_insert(pipes);
                    }
                    None => {
                        if let Some(pipes) = self.aside.take() {
                            self.pipes = pipes;
                        }
                    }
                }
                let _ = answer.send(());
            }
            Letter::Snapshot { answer } => {
                let [up, down] = self.reports();
                let _ = answer.send(Snapshot {
                    up,
                    down,
                    inside: self.pipes.each_ref().map(Pipe::in_flight),
                    lateness: lateness::report(&self.lateness),
                    ledger_lost: self.books.ledger.as_ref().map_or(0, Spool::lost),
                    capture_missing: self.books.capture.as_ref().map_or(0, Capture::missing),
                });
            }
        }
    }

    /// Takes what has come in at one side, up to a batch. Tells whether there was anything.
    #[inline]
    fn take_batch(&mut self, direction: Direction) -> Result<bool, EmulatorError> {
        let port = direction.index();
        let mut taken = 0;
        while taken < BATCH {
            let before = taken;
            let now = match self.ports[port] {
                Port::Tun(_) => self.take_large(port, &mut taken)?,
                Port::Packet(_) => self.take_one(port, &mut taken)?,
            };
            if taken == before {
                break;
            }
            self.release_due(now)?;
        }
        Ok(taken > 0)
    }

    /// Takes one packet of the wire.
    #[inline]
    fn take_one(&mut self, port: usize, taken: &mut usize) -> Result<Nanos, EmulatorError> {
        let mut buffer = self.pool.take();
        let length = self.ports[port].take(&mut buffer.bytes).map_err(|source| failed(port, source))?;
        let now = monotonic();
        match length {
            None => self.pool.give(buffer),
            Some(length) => {
                (buffer.length, buffer.sum) = (length, None);
                self.offer(port, buffer, now);
                *taken += 1;
            }
        }
        Ok(now)
    }

    /// Takes what a TUN device hands over, a super-packet maybe, and cuts it.
    #[inline]
    fn take_large(&mut self, port: usize, taken: &mut usize) -> Result<Nanos, EmulatorError> {
        let length = self.ports[port].take(&mut self.large).map_err(|source| failed(port, source))?;
        let now = monotonic();
        let Some(length) = length else { return Ok(now) };
        let large = std::mem::take(&mut self.large);
        if let Some((header, packet)) = large[..length].split_first_chunk::<HEADER>() {
            let header = VirtioHeader::read(header);
            match Split::of(&header, packet) {
                None => {
                    let mut buffer = self.pool.take();
                    // One that is too long to be a packet of the wire is cut short, and its length tells.
                    buffer.length = packet.len().min(buffer.bytes.len());
                    buffer.bytes[..buffer.length].copy_from_slice(&packet[..buffer.length]);
                    buffer.sum = header.sum(buffer.as_ref());
                    self.offer(port, buffer, now);
                    *taken += 1;
                }
                Some(mut split) => loop {
                    let mut buffer = self.pool.take();
                    if !split.next_into(&mut buffer) {
                        self.pool.give(buffer);
                        break;
                    }
                    self.offer(port, buffer, now);
                    *taken += 1;
                },
            }
        }
        self.large = large;
        Ok(now)
    }

    /// Asks the link core what becomes of a packet.
    #[inline]
    fn offer(&mut self, port: usize, mut buffer: Buffer, now: Nanos) {
        let (pipe, books) = (&mut self.pipes[port], &mut self.books);
        if self.aside.is_some() {
            // Probes are UDP. What the kernel still sends of the trial's TCP connections must not stand in
            // their way.
            let is_probe = packet::parse(buffer.as_ref()).protocol == packet::UDP;
            let returned = if is_probe { pipe.offer(buffer, now, |_| ()) } else { Some(buffer) };
            returned.into_iter().for_each(|buffer| self.pool.give(buffer));
            return;
        }
        if let Some(capture) = &mut books.capture {
            // Whoever reads it wants to see whole packets.
            segment::make_sum(&mut buffer);
            capture.offered(Direction::BOTH[port], pipe.offered(), buffer.as_ref(), now);
        }
        let returned = pipe.offer(buffer, now, |entry| books.append(entry));
        if let Some(capture) = &mut books.capture {
            capture.inside(pipe.kept());
        }
        if let Some(buffer) = returned {
            self.pool.give(buffer);
        }
    }

    /// Gives every packet that is due to the host it is for.
    #[inline]
    fn release_due(&mut self, now: Nanos) -> Result<(), EmulatorError> {
        for direction in Direction::BOTH {
            let joins = self.fast || self.ports[direction.opposite().index()].cuts();
            while let Some(mut released) = self.pipes[direction.index()].release(now) {
                if released.entry.is_corrupted() {
                    segment::spoil_sum(&mut released.packet);
                }
                if joins {
                    if !self.leaves_with_run(&released) {
                        self.give_together(direction)?;
                    }
                    self.run.add(&released.packet, self.together.is_empty());
                }
                self.together.push(released);
                if !joins {
                    self.give_together(direction)?;
                }
            }
            self.give_together(direction)?;
        }
        Ok(())
    }

    /// Whether a packet leaves in one with those before it. Behind a bottleneck each leaves at a time of
    /// its own, unless two come out to the same.
    #[inline]
    fn leaves_with_run(&self, next: &Released<Buffer>) -> bool {
        let Some(first) = self.together.first() else { return false };
        (next.due == first.due || next.entry.queued() == 0) && segment::may_follow(&self.run, &next.packet)
    }

    /// Gives the packets of the run to the host they are for, as one.
    #[inline]
    fn give_together(&mut self, direction: Direction) -> Result<(), EmulatorError> {
        let Some(last) = self.together.last() else { return Ok(()) };
        let port = direction.opposite().index();
        let flags = if self.together.len() > 1 { segment::flags_of(&self.run, &last.packet) } else { 0 };
        // Read anew for each: giving the one before to its host took microseconds.
        let leaves = monotonic();
        let given = match self.together.as_mut_slice() {
            [only] => self.ports[port].give(only.packet.as_ref(), only.packet.sum),
            all => {
                let (header, headers) = segment::join(&self.run, &mut all[0].packet, flags);
                let payloads = all[1..].iter().map(|released| &released.packet.as_ref()[headers..]);
                self.ports[port].give_joined(header, all[0].packet.as_ref(), payloads)
            }
        }
        .map_err(|source| failed(port, source))?;
        let pipe = &mut self.pipes[direction.index()];
        for Released { packet, due, entry } in self.together.drain(..) {
            let entry = if given { pipe.left(entry, leaves) } else { pipe.refused(entry) };
            if self.aside.is_none() {
                self.lateness.saturating_record(leaves.saturating_sub(due));
                self.books.append(entry);
            }
            self.pool.give(packet);
        }
        Ok(())
    }

    /// Empties the pipes, closes the ledger, and gives account.
    fn settle(mut self, realtime: bool, started: Nanos, spun: Nanos) -> Result<Account, EmulatorError> {
        let (cpu, wall) = (thread_cpu(), monotonic() - started);
        if let Some(pipes) = self.aside.take() {
            self.pipes = pipes;
        }
        let books = &mut self.books;
        for pipe in &mut self.pipes {
            pipe.drain().for_each(|(_, entry)| books.append(entry));
        }
        let capture = self.books.capture.take().map(Capture::finish);
        let ledger_lost = match self.books.ledger.take() {
            Some(ledger) => ledger.finish()?.lost,
            None => 0,
        };
        let lateness = lateness::report(&self.lateness);
        Ok(Account {
            directions: self.reports(),
            lateness,
            port_drops: self.ports.iter().map(Port::drops).sum(),
            realtime,
            cpu,
            spun,
            wall,
            ledger_lost,
            capture,
        })
    }
}

/// What one direction carried in two stretches of time.
fn sum(earlier: &DirectionReport, mut report: DirectionReport) -> DirectionReport {
    report.packets += earlier.packets;
    report.bytes += earlier.bytes;
    report.delivered_packets += earlier.delivered_packets;
    report.delivered_bytes += earlier.delivered_bytes;
    report.largest_packet = report.largest_packet.max(earlier.largest_packet);
    for (cause, n) in &earlier.dropped {
        *report.dropped.entry(cause.clone()).or_default() += n;
    }
    report
}

/// The data thread's way to sleep: until a packet comes, an order comes, or an instant is there.
#[derive(Debug)]
pub(super) struct Sleeper {
    waked: OwnedFd,
    /// Set to the instant itself: what happens between reading the clock and falling asleep costs nothing.
    timer: TimerFd,
}

impl Sleeper {
    pub(super) fn new(waked: OwnedFd) -> Result<Sleeper, EmulatorError> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map_err(|errno| EmulatorError::Thread(errno.into()))?;
        Ok(Sleeper { waked, timer })
    }

    /// Sleeps; with `None`, until something comes.
    pub(super) fn sleep(&self, ports: &[Port; 2], until: Option<Nanos>) -> Result<(), EmulatorError> {
        let thread = |errno: nix::errno::Errno| EmulatorError::Thread(errno.into());
        if let Some(until) = until {
            let instant = TimeSpec::new((until / 1_000_000_000) as _, (until % 1_000_000_000) as _);
            self.timer.set(Expiration::OneShot(instant), TimerSetTimeFlags::TFD_TIMER_ABSTIME).map_err(thread)?;
        }
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [
            readable(ports[0].as_fd()),
            readable(ports[1].as_fd()),
            readable(self.waked.as_fd()),
            readable(self.timer.as_fd()),
        ];
        // Setting the timer anew makes an expiry before forgotten: it need not be read.
        let watched = if until.is_some() { fds.len() } else { 3 };
        match poll(&mut fds[..watched], PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(thread(errno)),
        }
        if fds[2].any().unwrap_or(false) {
            let mut drained = [0u8; 64];
            let _ = nix::unistd::read(&self.waked, &mut drained);
        }
        Ok(())
    }
}

pub(super) fn failed(port: usize, source: io::Error) -> EmulatorError {
    EmulatorError::Port { side: ["client", "server"][port], source }
}

/// Puts the calling thread under SCHED_FIFO; tells whether that was permitted.
#[allow(unsafe_code)] // not wrapped by nix
pub(crate) fn become_realtime() -> bool {
    // SAFETY: the structure is plain integers, for which zero is a value.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = PRIORITY;
    // SAFETY: the parameters are valid for reads; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameters) == 0 }
}

/// Gives real-time scheduling back.
#[allow(unsafe_code)] // not wrapped by nix
pub(crate) fn become_ordinary() {
    let plain = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters are valid for reads; 0 is the calling thread. Nobody is refused less than they have.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const plain) };
}
