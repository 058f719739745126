//! Admission of unauthenticated connections: a bounded pool of slots for each listener.
//!
//! Invariant: an unauthenticated connection holds a slot for a short, fixed time (on the TCP and TLS listeners, and in a
//! handshake of QUIC, anew while an open session still misses that connection; after it, for several times as long as the
//! handshake took), and never keeps one from a client for want
//! of a slot, because an older connection gives way to a new one:
//!
//! - an address has so many slots of a listener (an IPv6 network of 64 bits counts as one address); where it
//!   has them all, the oldest of its own connections gives way to its next;
//! - a listener has several times as many; where all are taken, the oldest connection of the address that has the
//!   most gives way.
//!
//! So one peer, however many connections it opens, meets only itself and who shares its address; and those
//! too get in unless it opens more connections than its slots within the time of their handshake. It does not
//! hold against one with many addresses that is as fast as that, nor against one that fills the network or
//! the processor: that is a firewall's work.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use samepath_model::shortage;
use samepath_transport::tcp;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use crate::log::Log;

/// Slots for connections of one address, beside those that open sessions wait for.
const OF_ONE: usize = 64;

/// Slots of a listener, likewise. The listeners' slots together are fewer than the 1024 descriptors that a process commonly
/// may have.
const OF_ALL: usize = 192;

/// The slots of one listener.
pub(crate) struct Pool {
    /// What connections of this listener are called.
    name: &'static str,
    patience: Duration,
    log: Arc<Log>,
    waiting: Mutex<Waiting>,
}

/// Connections that wait, the oldest first.
#[derive(Default)]
struct Waiting {
    next: u64,
    slots: BTreeMap<u64, Occupant>,
}

struct Occupant {
    source: IpAddr,
    /// Dropped where it has to give way.
    _stay: oneshot::Sender<()>,
}

/// A slot of the pool; it is free again when this is dropped.
pub(crate) struct Slot {
    pool: Arc<Pool>,
    number: u64,
    from: SocketAddr,
    patience: Duration,
    until: Instant,
    gone: oneshot::Receiver<()>,
}

/// Why a connection could not stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Left {
    /// Its time was over.
    #[error("nothing was proven within {} s", .0.as_secs_f64())]
    Late(Duration),
    /// Another one has its slot.
    #[error("too many connections wait that have proven nothing; try again")]
    GaveWay,
}

impl Pool {
    pub(crate) fn new(name: &'static str, patience: Duration, log: Arc<Log>) -> Arc<Pool> {
        Arc::new(Pool { name, patience, log, waiting: Mutex::default() })
    }

    /// Gives a connection a slot, at the cost of another one where there is none. `expected` is how many
    /// connections the open sessions still miss at this listener, each of which has a slot besides.
    pub(crate) fn enter(self: &Arc<Self>, from: SocketAddr, expected: usize) -> Slot {
        let from = tcp::canonical(from);
        let (stay, gone) = oneshot::channel();
        let (number, left) = self.lock().enter(source(from.ip()), stay, OF_ONE + expected, OF_ALL + 2 * expected);
        if let Some(left) = left {
            self.log.unauthenticated(self.name, || {
                format!("a {} of {left} that had proven nothing gave way to one of {}", self.name, from.ip())
            });
        }
        Slot { pool: self.clone(), number, from, patience: self.patience, until: Instant::now() + self.patience, gone }
    }

    /// Out of descriptors, most likely: says so, and waits for sessions to give some back.
    pub(crate) async fn cannot_accept(&self, error: &io::Error) {
        self.log.unauthenticated(self.name, || format!("cannot accept a {}: {}", self.name, shortage::told(error)));
        sleep(Duration::from_millis(100)).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no panic while held")
    }
}

impl Waiting {
    /// Its number, and whose connection gave way to it.
    fn enter(
        &mut self,
        source: IpAddr,
        stay: oneshot::Sender<()>,
        of_one: usize,
        of_all: usize,
    ) -> (u64, Option<IpAddr>) {
        let mut held: HashMap<IpAddr, usize> = HashMap::new();
        for occupant in self.slots.values() {
            *held.entry(occupant.source).or_default() += 1;
        }
        let from = if held.get(&source).is_some_and(|count| *count >= of_one) {
            Some(source)
        } else if self.slots.len() >= of_all {
            // Of several, the one whose oldest connection is the oldest.
            let most = held.values().max().copied();
            self.slots.values().map(|occupant| occupant.source).find(|source| held.get(source).copied() == most)
        } else {
            None
        };
        let oldest = from.and_then(|from| {
            self.slots.iter().find(|(_, occupant)| occupant.source == from).map(|(number, _)| *number)
        });
        let left = oldest.and_then(|number| self.slots.remove(&number)).map(|occupant| occupant.source);
        let number = self.next;
        self.next += 1;
        self.slots.insert(number, Occupant { source, _stay: stay });
        (number, left)
    }
}

impl Slot {
    /// Goes on with proving, until it is done, the slot's time is over, or it has to give way. The time begins anew
    /// as long as `is_missed`: as long as an open session may be waiting for this very connection.
    pub(crate) async fn prove<T>(
        &mut self,
        work: impl Future<Output = T>,
        is_missed: impl Fn() -> bool,
    ) -> Result<T, Left> {
        let patience = self.patience;
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = timeout_at(self.until, &mut work) => match done {
                    Ok(done) => return Ok(done),
                    Err(_) if is_missed() => self.until += patience,
                    Err(_) => return Err(Left::Late(patience)),
                },
                // Nothing is ever sent: the other end is dropped.
                _ = &mut self.gone => return Err(Left::GaveWay),
            }
        }
    }

    /// Has its time begin anew, as a part of the proof is done, and last for `least` at the least.
    pub(crate) fn renew(&mut self, least: Duration) {
        self.patience = self.pool.patience.max(least);
        self.until = Instant::now() + self.patience;
    }

    /// Says why it could not stay, where that is not said yet.
    pub(crate) fn left(&self, left: Left) {
        match left {
            Left::Late(_) => self.failed(&left),
            // Said when another one came for its slot.
            Left::GaveWay => {}
        }
    }

    /// Says that nothing came of this connection.
    pub(crate) fn failed(&self, why: &dyn std::fmt::Display) {
        self.pool.log.unauthenticated(self.pool.name, || format!("{}: {}: {why}", self.from, self.pool.name));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pool.lock().slots.remove(&self.number);
    }
}

/// What counts as one address: of IPv6 a whole network of 64 bits, as that is what one host commonly has.
fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Enters connections of these addresses, in this order; whose gave way to each.
    fn enter(waiting: &mut Waiting, addresses: &[u8], of_one: usize, of_all: usize) -> Vec<Option<u8>> {
        let last = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(_) => unreachable!("they are IPv4"),
        };
        let mut enter = |n: u8| waiting.enter([10, 0, 0, n].into(), oneshot::channel().0, of_one, of_all).1.map(last);
        addresses.iter().map(|n| enter(*n)).collect()
    }

    fn left(waiting: &Waiting, n: u8) -> Vec<u64> {
        let of = |occupant: &Occupant| occupant.source == IpAddr::from([10, 0, 0, n]);
        waiting.slots.iter().filter(|(_, occupant)| of(occupant)).map(|(number, _)| *number).collect()
    }

    #[test]
    fn one_address_meets_only_itself() {
        let mut waiting = Waiting::default();
        // A client, then a peer that opens a thousand.
        assert_eq!(enter(&mut waiting, &[1], 4, 12), [None]);
        let gone = enter(&mut waiting, &[2; 1000], 4, 12);
        assert_eq!((gone[..4].to_vec(), gone[4..].to_vec()), (vec![None; 4], vec![Some(2); 996]));
        assert_eq!(left(&waiting, 1), [0]);
        assert_eq!(left(&waiting, 2), [997, 998, 999, 1000], "the oldest went");
    }

    #[test]
    fn the_address_with_most_connections_gives_way() {
        let mut waiting = Waiting::default();
        assert_eq!(enter(&mut waiting, &[1, 2, 2, 3, 3, 3, 4], 3, 7), [None; 7]);
        assert_eq!(enter(&mut waiting, &[5, 1, 6], 3, 7), [Some(3), Some(2), Some(1)]);
        assert_eq!(waiting.slots.len(), 7);
    }

    #[tokio::test]
    async fn slot_ends_with_its_time_or_eviction() {
        let log = Arc::new(Log::new(|_| {}));
        let from = |n: u16| SocketAddr::from(([10, 0, 0, 1], n));
        let pool = Pool::new("connection", Duration::ZERO, log.clone());
        let late = pool.enter(from(0), 0).prove(std::future::pending::<()>(), || false).await;
        assert_eq!(late, Err(Left::Late(Duration::ZERO)));
        assert!(pool.lock().slots.is_empty(), "it is given back");

        let pool = Pool::new("connection", Duration::from_secs(3600), log);
        let mut first = pool.enter(from(0), 0);
        assert_eq!(first.prove(std::future::ready(7), || false).await, Ok(7));
        let others: Vec<Slot> = (1..=OF_ONE).map(|n| pool.enter(from(n as u16), 0)).collect();
        assert_eq!(first.prove(std::future::pending::<()>(), || false).await, Err(Left::GaveWay));
        drop(first);
        assert_eq!(pool.lock().slots.len(), others.len());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let ip = |text: &str| source(text.parse().unwrap());
        assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff:1"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
        assert_eq!(ip("::ffff:192.0.2.1"), ip("192.0.2.1"));
        // Two neighbours of IPv4 are not one network of IPv6, however a socket of both families writes them.
        assert_ne!(ip("::ffff:192.0.2.1"), ip("::ffff:192.0.2.2"));
        assert_ne!(ip("192.0.2.1"), ip("192.0.2.2"));
    }
}
