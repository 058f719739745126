//! Commands to the data thread: its task, the start of the schedule, new conditions, probes and questions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;

use samepath_model::link::Link;

use crate::backend::worker::CommandQueue;
use crate::control::Snapshot;
use crate::link::nat::Client;
use crate::link::{Farther, Nanos, Onset};

/// What an emulator is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) link: &'a Link,
    /// Decides all draws.
    pub(crate) seed: u64,
    /// When they begin.
    pub(crate) onset: Onset,
    /// Which servers stand farther away than the link is long.
    pub(crate) farther: &'a [Farther],
    /// Whose addresses a NAT changes.
    pub(crate) client: Client,
}

/// Words from the harness to the data thread.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) queue: Arc<CommandQueue<Command>>,
    pub(super) epoch: Arc<Epoch>,
}

/// Start of the schedule (CLOCK_MONOTONIC); 0 while it is not known.
#[derive(Debug, Default)]
pub(super) struct Epoch(pub(super) AtomicU64);

impl Epoch {
    #[inline]
    pub(super) fn get(&self) -> Nanos {
        self.0.load(Ordering::Acquire)
    }
}

/// What is wanted of the data thread. Each is answered once; a thread that has ended answers none.
#[derive(Debug)]
pub(super) enum Command {
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
