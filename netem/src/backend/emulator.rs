//! The embedded emulator: a thread between the two ends' ports, and what the harness holds of it.
//!
//! The thread carries packets by the link's conditions ([`data_thread`]); where there are none and nobody counts,
//! it passes on what the hosts hand over ([`passthrough`]) until it is given some.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;

use samepath_model::link::Link;
use samepath_model::record::{DirectionReport, Lateness};

mod data_thread;
mod passthrough;
mod sleeper;

use data_thread::DataThread;
pub(crate) use data_thread::SPIN;
use passthrough::Passed;
use sleeper::Sleeper;

use super::Port;
use super::books::Books;
use super::buffer::Pool;
use super::joining::Joining;
use super::worker::{Orders, Worker};
use crate::capture::CaptureReport;
use crate::control::Snapshot;
use crate::ledger::{Cut, LedgerError};
use crate::link::nat::Client;
use crate::link::{Nanos, Onset};

/// A data thread that failed.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// A device failed.
    #[error("the link's {side} device failed: {cause}")]
    Port {
        /// Whose device.
        side: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The thread could not be started, or waited for.
    #[error("the link's data thread: {}", samepath_model::shortage::told_of_start(.0))]
    Thread(io::Error),
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The thread panicked.
    #[error("the link's data thread panicked; this is a fault of the program")]
    Panicked,
}

impl EmulatorError {
    /// Of the port with this index.
    fn of_port(port: usize, cause: io::Error) -> EmulatorError {
        EmulatorError::Port { side: ["client", "server"][port], cause }
    }
}

/// What an emulator is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) link: &'a Link,
    /// Decides all draws.
    pub(crate) seed: u64,
    /// When they begin.
    pub(crate) onset: Onset,
    /// Whose addresses a NAT changes.
    pub(crate) client: Client,
}

/// A running emulator.
#[derive(Debug)]
pub(crate) struct Emulator {
    worker: Worker<Letter, Result<Account, EmulatorError>>,
    epoch: Arc<Epoch>,
}

/// Start of the schedule (CLOCK_MONOTONIC); 0 while it is not known.
#[derive(Debug, Default)]
struct Epoch(AtomicU64);

/// What is wanted of the data thread. Each is answered once; a thread that has ended answers none.
#[derive(Debug)]
enum Letter {
    /// From now on these conditions hold. The answer is the instant of the change.
    Change { link: Box<Link>, answer: Sender<Nanos> },
    /// Probes come: sets the pipes aside and takes new ones for them; with `None`, the other way round. The answer
    /// comes when it is done.
    Probe { probes: Option<Box<Probing>>, answer: Sender<()> },
    /// How things stand.
    Snapshot { answer: Sender<Snapshot> },
}

/// Probes that make their way across the link.
#[derive(Debug, Clone)]
pub(crate) struct Probing {
    /// The conditions that they meet.
    pub(crate) link: Link,
    /// The UDP ports of the client's end and of the server's, which nothing else has.
    pub(crate) ports: [u16; 2],
}

/// What the data thread says of its work.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) directions: [DirectionReport; 2],
    pub(crate) lateness: Lateness,
    /// Packets the kernel dropped before the emulator could take them.
    pub(crate) port_drops: u64,
    pub(crate) realtime: bool,
    pub(crate) work: Work,
    /// Entries the ledger lost because its writer could not keep up.
    pub(crate) ledger_lost: u64,
    /// What is missing at the ledger's end.
    pub(crate) ledger_cut: Option<Cut>,
    /// What came of the capture, if there was one.
    pub(crate) capture: Option<CaptureReport>,
}

/// How busy the thread was from the first packet that it could have taken to the last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    /// CPU time.
    pub(crate) cpu: Nanos,
    /// That part of it in which it only waited.
    pub(crate) spun: Nanos,
    /// Wall-clock time.
    pub(crate) wall: Nanos,
}

impl Emulator {
    /// Starts the data thread between the ports of client and server. Ports of packet sockets cannot take
    /// joined neighbours.
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub(crate) fn start(
        task: Task<'_>,
        ports: [Port; 2],
        books: Books,
        joining: Joining,
    ) -> Result<Emulator, EmulatorError> {
        let Task { link, seed, onset, client } = task;
        let link = link.clone();
        // Here, since the heap of a new thread grows by a page a call.
        let pool = Pool::new(usize::from(link.mtu));
        Emulator::spawn(move |words, sleeper| {
            let task = Task { link: &link, seed, onset, client };
            DataThread::new(task, ports, books, joining, pool, words, sleeper).run()
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
        client: Client,
    ) -> Result<Emulator, EmulatorError> {
        let link = link.clone();
        Emulator::spawn(move |words, sleeper| match passthrough::run(ports, &words.orders, sleeper)? {
            Passed::Stopped(account) => Ok(account),
            Passed::UntilConditions { ports, sleeper, directions } => {
                let pool = Pool::new(usize::from(link.mtu));
                let task = Task { link: &link, seed, onset: Onset::AtOnce, client };
                let mut thread = DataThread::new(task, ports, Books::default(), joining, pool, words, sleeper);
                thread.earlier = directions;
                thread.run()
            }
        })
    }

    fn spawn(
        work: impl FnOnce(Words, Sleeper) -> Result<Account, EmulatorError> + Send + 'static,
    ) -> Result<Emulator, EmulatorError> {
        let epoch = Arc::new(Epoch::default());
        let of_thread = epoch.clone();
        let worker = Worker::spawn("link", move |orders, waked| {
            work(Words { orders, epoch: of_thread }, Sleeper::new(waked).map_err(EmulatorError::Thread)?)
        });
        Ok(Emulator { worker: worker.map_err(EmulatorError::Thread)?, epoch })
    }

    /// Tells the link when the schedule starts.
    pub(crate) fn set_epoch(&self, epoch: Nanos) {
        self.epoch.0.store(epoch.max(1), Ordering::Release);
        self.worker.wake();
    }

    /// Puts these conditions in force, both directions at one instant, which is given back; `None` where the data
    /// thread does not answer.
    pub(crate) fn change(&self, link: &Link) -> Option<Nanos> {
        self.worker.ask(|answer| Letter::Change { link: Box::new(link.clone()), answer })
    }

    /// How it stands; `None` where the data thread does not answer.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        self.worker.ask(|answer| Letter::Snapshot { answer })
    }

    /// Makes way for probes, or with `None` for the trial again; tells whether the data thread did.
    pub(crate) fn probe(&self, probes: Option<&Probing>) -> bool {
        self.worker.ask(|answer| Letter::Probe { probes: probes.cloned().map(Box::new), answer }).is_some()
    }

    /// Whether the data thread still runs; it ends early only when a device fails.
    pub(crate) fn is_running(&self) -> bool {
        self.worker.is_running()
    }

    /// Takes the link down: what is still under way is dropped.
    ///
    /// # Errors
    /// Where the data thread failed, now or before.
    pub(crate) fn stop(self) -> Result<Account, EmulatorError> {
        self.worker.stop().unwrap_or(Err(EmulatorError::Panicked))
    }
}

/// Words from the harness to the data thread.
#[derive(Debug)]
struct Words {
    orders: Arc<Orders<Letter>>,
    epoch: Arc<Epoch>,
}

impl Epoch {
    #[inline]
    fn get(&self) -> Nanos {
        self.0.load(Ordering::Acquire)
    }
}
