//! Letters to the data thread while it runs: questions, and new conditions.
//!
//! The thread looks at one flag a turn; only when there is a letter does it take a lock.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use samepath_model::Link;

use crate::control::Snapshot;
use crate::link::Nanos;

/// What is wanted of the data thread. Each is answered once; a thread that has ended answers none.
#[derive(Debug)]
pub(crate) enum Letter {
    /// From now on these conditions hold. The answer is the instant of the change, or why not.
    Change { link: Box<Link>, answer: Sender<Result<Nanos, &'static str>> },
    /// Probes come: sets the pipes aside and takes new ones with these conditions; with `None`, the other
    /// way round. The answer comes when it is done.
    Probe { link: Option<Box<Link>>, answer: Sender<()> },
    /// How things stand.
    Snapshot { answer: Sender<Snapshot> },
}

/// Where letters wait.
#[derive(Debug)]
pub(crate) struct Mailbox<L> {
    full: AtomicBool,
    letters: Mutex<Vec<L>>,
}

impl<L> Default for Mailbox<L> {
    fn default() -> Mailbox<L> {
        Mailbox { full: AtomicBool::new(false), letters: Mutex::default() }
    }
}

impl<L> Mailbox<L> {
    /// Leaves a letter; wake the thread afterwards.
    pub(crate) fn leave(&self, letter: L) {
        self.letters.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(letter);
        self.full.store(true, Ordering::Release);
    }

    /// The letters that have come since the last call.
    #[inline]
    pub(crate) fn take(&self) -> Vec<L> {
        if !self.full.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.full.store(false, Ordering::Release);
        std::mem::take(&mut *self.letters.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
