//! The connections of an end that serve one exchange each, and where answers go.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use samepath_model::workload::{MessageId, Release};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::connection::Probe;

/// The connections that are open at an end, each for one exchange.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    under_way: AtomicUsize,
    retransmissions: AtomicU64,
    answers: Mutex<HashMap<MessageId, UnboundedSender<Answer>>>,
}

/// An answer to be written on its request's connection, and whom to tell when it was.
pub(crate) type Answer = (Release, oneshot::Sender<()>);

impl Exchanges {
    /// How many are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Counts what the connection of one that is over has sent again.
    pub(crate) fn count(&self, connection: Option<Probe>) {
        let sample = connection.and_then(|connection| connection.sample());
        let again = sample.and_then(|sample| sample.retransmissions).unwrap_or(0);
        self.retransmissions.fetch_add(again, Ordering::Relaxed);
    }

    /// What the connections of those that are over have sent again.
    pub(crate) fn retransmissions(&self) -> u64 {
        self.retransmissions.load(Ordering::Relaxed)
    }

    /// At the server: who writes the answer to each request.
    pub(crate) fn answers(&self) -> MutexGuard<'_, HashMap<MessageId, UnboundedSender<Answer>>> {
        self.answers.lock().expect("no panic while held")
    }

    /// One more is under way.
    pub(crate) fn enter(&self) -> Entered<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Entered(self)
    }
}

/// An exchange under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Entered<'a>(&'a Exchanges);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
