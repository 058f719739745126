//! The connections of an end that serve one exchange each, and where answers go.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use samepath_model::record::Sockets;
use samepath_model::workload::{MessageId, Release};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::connection::Probe;

/// The connections that are open at an end, each for one exchange.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    under_way: AtomicUsize,
    retransmissions: AtomicU64,
    failed: Mutex<BTreeMap<String, u64>>,
    sockets: Mutex<Sockets>,
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

    /// Notes that a connection could not be made, or broke, by an error of this name.
    pub(crate) fn note_failure(&self, error: String) {
        *self.failed.lock().expect("no panic while held").entry(error).or_default() += 1;
    }

    /// How often each error was noted.
    pub(crate) fn failures(&self) -> BTreeMap<String, u64> {
        self.failed.lock().expect("no panic while held").clone()
    }

    /// Has the kernel count this network namespace's sockets.
    pub(crate) fn sample_sockets(&self) {
        let counts = ["/proc/net/sockstat", "/proc/net/sockstat6"].map(|file| std::fs::read_to_string(file).ok());
        let (mut in_use, mut time_wait) = (0, 0);
        for line in counts.iter().flatten().flat_map(|text| text.lines()).filter(|line| line.starts_with("TCP")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let of = |name: &str| words.windows(2).find(|pair| pair[0] == name).and_then(|pair| pair[1].parse().ok());
            in_use += of("inuse").unwrap_or(0);
            time_wait += of("tw").unwrap_or(0);
        }
        let mut most = self.sockets.lock().expect("no panic while held");
        *most = Sockets {
            in_use: most.in_use.max(in_use),
            time_wait: most.time_wait.max(time_wait),
            ports: most.ports.max(in_use + time_wait),
        };
    }

    /// The most sockets that were counted.
    pub(crate) fn sockets(&self) -> Sockets {
        *self.sockets.lock().expect("no panic while held")
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
