//! The embedded emulator's data thread: both directions, one thread, one clock.
//!
//! It takes packets from the two ports, asks the link core what becomes of them, and gives each to
//! the other side at the instant computed for it. It never waits for the ledger, allocates nothing
//! a packet, and computes no time from another packet's lateness.
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
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl::set_timerslack;
use nix::sys::time::TimeSpec;
use samepath_model::link::{Conditions, Direction, Link};
use samepath_model::record::{DirectionReport, Lateness};

use super::mail::{Letter, Mailbox};
use super::{Port, passthrough};
use crate::capture::{Capture, CaptureReport};
use crate::control::Snapshot;
use crate::ledger::{Entry, LedgerError, Spool};
use crate::link::{Nanos, Pipe, Released};
use crate::sys::{monotonic, thread_cpu};

/// Packets taken from one side before the other has its turn.
const BATCH: usize = 64;
/// The longest spin before a release.
const SPIN: Nanos = 30_000;
/// The share of its time that the thread may spin, as a divisor: more would starve the endpoints of
/// a small machine.
const SPIN_SHARE: Nanos = 5;
/// Real-time priority: above everything ordinary, below the kernel's own threads.
const PRIORITY: libc::c_int = 10;
/// Buffers made beforehand.
const POOL: usize = 1024;
/// Lateness beyond this is counted as this.
const MAX_LATENESS: u64 = 10_000_000_000;

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
    pub(super) mail: Mailbox,
}

/// A running emulator.
#[derive(Debug)]
pub(crate) struct Emulator {
    thread: JoinHandle<Result<Account, EmulatorError>>,
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
    /// Starts the data thread between the ports of client and server.
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub(crate) fn start(link: &Link, seed: u64, ports: [Port; 2], books: Books) -> Result<Emulator, EmulatorError> {
        let pipes = Direction::BOTH.map(|direction| Pipe::new(link, direction, seed));
        let pool = Pool::new(usize::from(link.mtu));
        let lateness = Histogram::new_with_bounds(1, MAX_LATENESS, 3).expect("the bounds are sound");
        Emulator::spawn(move |orders, waked| DataThread { pipes, ports, books, pool, lateness, orders, waked }.run())
    }

    /// Starts a thread that carries packets, super-packets among them, between ports that have the
    /// header of virtio-net.
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub(crate) fn pass_through(ports: [Port; 2]) -> Result<Emulator, EmulatorError> {
        Emulator::spawn(move |orders, waked| passthrough::run(ports, &orders, &waked))
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
        Ok(Emulator { thread, orders, wake })
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

    fn post(&self, letter: Letter) {
        self.orders.mail.leave(letter);
        self.wake();
    }

    /// Whether the data thread still runs; it ends early only when a device fails.
    pub(crate) fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Takes the link down: what is still under way is dropped.
    ///
    /// # Errors
    /// Where the data thread failed, now or before.
    pub(crate) fn stop(self) -> Result<Account, EmulatorError> {
        self.orders.stop.store(true, Ordering::Release);
        self.wake();
        self.thread.join().map_err(|_| EmulatorError::Panicked)?
    }

    fn wake(&self) {
        // A full pipe wakes it just as well.
        let _ = nix::unistd::write(&self.wake, &[1]);
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

/// Whether a link does anything to its packets.
pub(crate) fn is_shaped(link: &Link) -> bool {
    let transparent = |conditions: &Conditions| *conditions == Conditions::transparent();
    !(transparent(&link.up) && transparent(&link.down))
}

/// A packet's buffer, of the size of the largest packet.
#[derive(Debug, Clone)]
struct Buffer {
    bytes: Box<[u8]>,
    length: usize,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

/// Buffers that are not in use.
#[derive(Debug)]
struct Pool {
    free: Vec<Buffer>,
    size: usize,
}

impl Pool {
    fn new(mtu: usize) -> Pool {
        // Room to notice a packet larger than the MTU, which would void the trial.
        let size = mtu + 64;
        Pool { free: (0..POOL).map(|_| Pool::make(size)).collect(), size }
    }

    fn make(size: usize) -> Buffer {
        Buffer { bytes: vec![0; size].into_boxed_slice(), length: 0 }
    }

    #[inline]
    fn take(&mut self) -> Buffer {
        self.free.pop().unwrap_or_else(|| Pool::make(self.size))
    }

    #[inline]
    fn give(&mut self, buffer: Buffer) {
        self.free.push(buffer);
    }
}

/// All that the data thread owns.
struct DataThread {
    pipes: [Pipe<Buffer>; 2],
    /// Client's, server's: the port at which a direction's packets come in has its index.
    ports: [Port; 2],
    books: Books,
    pool: Pool,
    lateness: Histogram<u64>,
    orders: Arc<Orders>,
    waked: OwnedFd,
}

impl DataThread {
    fn run(mut self) -> Result<Account, EmulatorError> {
        // Timers of a thread under SCHED_FIFO have no slack; this is for where it is not permitted.
        let _ = set_timerslack(1);
        let realtime = become_realtime();
        let started = monotonic();
        let spun = self.carry(realtime, started)?;
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
                    wait(&self.ports, &self.waked, Some(due - now - if may_spin { SPIN } else { 0 }))?;
                }
                None => wait(&self.ports, &self.waked, None)?,
            }
        }
    }

    /// Does what a letter asks for. Nobody may be left to hear the answer.
    fn answer(&mut self, letter: Letter) {
        match letter {
            Letter::Change { link, answer } => {
                let now = monotonic();
                self.pipes.iter_mut().for_each(|pipe| pipe.set_conditions(&link, now));
                if let Some(capture) = &mut self.books.capture {
                    capture.note(&format!("the link from here on: {link}"));
                }
                let _ = answer.send(Ok(now));
            }
            Letter::Snapshot { answer } => {
                let [up, down] = self.pipes.each_ref().map(Pipe::report);
                let _ = answer.send(Snapshot {
                    up,
                    down,
                    inside: self.pipes.each_ref().map(Pipe::in_flight),
                    lateness: lateness_of(&self.lateness),
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
        for taken in 0..BATCH {
            let mut buffer = self.pool.take();
            let length = self.ports[port].take(&mut buffer.bytes).map_err(|source| failed(port, source))?;
            let Some(length) = length else {
                self.pool.give(buffer);
                return Ok(taken > 0);
            };
            buffer.length = length;
            let now = monotonic();
            let (pipe, books) = (&mut self.pipes[port], &mut self.books);
            let inside = pipe.in_flight();
            if let Some(capture) = &mut books.capture {
                capture.offered(direction, pipe.offered(), buffer.as_ref(), now);
            }
            let returned = pipe.offer(buffer, now, |entry| books.append(entry));
            if let Some(capture) = &mut books.capture {
                capture.inside(pipe.in_flight() - inside);
            }
            if let Some(buffer) = returned {
                self.pool.give(buffer);
            }
            self.release_due(now)?;
        }
        Ok(true)
    }

    /// Gives every packet that is due to the host it is for.
    #[inline]
    fn release_due(&mut self, now: Nanos) -> Result<(), EmulatorError> {
        for direction in Direction::BOTH {
            let pipe = &mut self.pipes[direction.index()];
            let port = direction.opposite().index();
            while let Some(Released { packet, due, entry }) = pipe.release(now) {
                // Read anew for each: giving the one before to its host took microseconds.
                let leaves = monotonic();
                let given = self.ports[port].give(packet.as_ref()).map_err(|source| failed(port, source))?;
                self.lateness.saturating_record(leaves.saturating_sub(due));
                let entry = if given { pipe.left(entry, leaves) } else { pipe.refused(entry) };
                self.books.append(entry);
                self.pool.give(packet);
            }
        }
        Ok(())
    }

    /// Empties the pipes, closes the ledger, and gives account.
    fn settle(mut self, realtime: bool, started: Nanos, spun: Nanos) -> Result<Account, EmulatorError> {
        let (cpu, wall) = (thread_cpu(), monotonic() - started);
        let books = &mut self.books;
        for pipe in &mut self.pipes {
            pipe.drain().for_each(|(_, entry)| books.append(entry));
        }
        let capture = self.books.capture.take().map(Capture::finish);
        let ledger_lost = match self.books.ledger.take() {
            Some(ledger) => ledger.finish()?.lost,
            None => 0,
        };
        let lateness = lateness_of(&self.lateness);
        Ok(Account {
            directions: self.pipes.each_ref().map(Pipe::report),
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

fn lateness_of(histogram: &Histogram<u64>) -> Lateness {
    Lateness {
        count: histogram.len(),
        p50_ns: histogram.value_at_quantile(0.5),
        p99_ns: histogram.value_at_quantile(0.99),
        max_ns: histogram.max(),
    }
}

/// Sleeps until a packet comes, an order comes, or the time is over.
pub(super) fn wait(ports: &[Port; 2], waked: &OwnedFd, time: Option<Nanos>) -> Result<(), EmulatorError> {
    let mut fds = [&ports[0].as_fd(), &ports[1].as_fd(), &waked.as_fd()].map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
    let timeout = time.map(|nanos| TimeSpec::new((nanos / 1_000_000_000) as _, (nanos % 1_000_000_000) as _));
    match ppoll(&mut fds, timeout, None) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(EmulatorError::Thread(errno.into())),
    }
    if fds[2].any().unwrap_or(false) {
        let mut drained = [0u8; 64];
        let _ = nix::unistd::read(waked, &mut drained);
    }
    Ok(())
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
