//! The embedded emulator: a thread between the two ends' ports, and what the harness holds of it.
//!
//! The thread carries packets by the link's conditions ([`data_thread`]); where there are none and nobody counts,
//! it passes on what the hosts hand over ([`passthrough`]) until it is given some.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use samepath_model::link::Link;

mod account;
mod command;
mod data_thread;
mod error;
mod passthrough;
mod sleeper;

pub(crate) use account::{Account, Work};
use command::{Command, Epoch, Words};
pub(crate) use command::{Probing, Task};
use data_thread::DataThread;
pub(crate) use data_thread::SPIN;
pub use error::EmulatorError;
use passthrough::Passed;
use sleeper::Sleeper;

use super::Port;
use super::books::Books;
use super::buffer::Pool;
use super::joining::Joining;
use super::worker::Worker;
use crate::control::Snapshot;
use crate::link::nat::Client;
use crate::link::{Nanos, Onset};

/// A running emulator.
#[derive(Debug)]
pub(crate) struct Emulator {
    worker: Worker<Command, Result<Account, EmulatorError>>,
    epoch: Arc<Epoch>,
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
        let Task { link, seed, onset, farther, client } = task;
        let (link, farther) = (link.clone(), farther.to_vec());
        // Here, since the heap of a new thread grows by a page a call.
        let pool = Pool::new(usize::from(link.mtu));
        Emulator::spawn(move |words, sleeper| {
            let task = Task { link: &link, seed, onset, farther: &farther, client };
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
        Emulator::spawn(move |words, sleeper| match passthrough::run(ports, &words.queue, sleeper)? {
            Passed::Stopped(account) => Ok(account),
            Passed::UntilConditions { ports, sleeper, directions } => {
                let pool = Pool::new(usize::from(link.mtu));
                let task = Task { link: &link, seed, onset: Onset::AtOnce, farther: &[], client };
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
        let worker = Worker::spawn("link", move |queue, waked| {
            work(Words { queue, epoch: of_thread }, Sleeper::new(waked).map_err(EmulatorError::Thread)?)
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
        self.worker.ask(|answer| Command::Change { link: Box::new(link.clone()), answer })
    }

    /// How it stands; `None` where the data thread does not answer.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        self.worker.ask(|answer| Command::Snapshot { answer })
    }

    /// Makes way for probes, or with `None` for the trial again; tells whether the data thread did.
    pub(crate) fn probe(&self, probes: Option<&Probing>) -> bool {
        self.worker.ask(|answer| Command::Probe { probes: probes.cloned().map(Box::new), answer }).is_some()
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
