//! Where connections wait that have proven nothing yet: one room behind each door.
//!
//! Invariant: who waits holds a place for a short, fixed time (at the TCP and TLS doors, and in a handshake of QUIC, anew
//! while an open session still misses that connection), and never keeps one from a client for want of room, because
//! somebody gives way to whoever comes:
//!
//! - an address has so many places at a door (an IPv6 network of 64 bits counts as one address); where it
//!   has them all, the oldest of its own connections gives way to its next;
//! - a door has several times as many; where all are taken, the oldest connection of the address that has the
//!   most gives way.
//!
//! So one peer, however many connections it opens, meets only itself and who shares its address; and those
//! too get in unless it opens more connections than its places within the time of their handshake. It does not
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

/// Places for connections of one address, beside those that open sessions wait for.
const OF_ONE: usize = 64;

/// Places at a door, likewise. The doors' places together are fewer than the 1024 descriptors that a process commonly
/// may have.
const OF_ALL: usize = 192;

/// The room behind one door.
pub(crate) struct Room {
    /// What connections at this door are called.
    name: &'static str,
    patience: Duration,
    log: Arc<Log>,
    waiting: Mutex<Waiting>,
}

/// Connections that wait, the oldest first.
#[derive(Default)]
struct Waiting {
    next: u64,
    places: BTreeMap<u64, Seat>,
}

struct Seat {
    source: IpAddr,
    /// Dropped where it has to give way.
    _stay: oneshot::Sender<()>,
}

/// A place in the room; it is free again when this is dropped.
pub(crate) struct Place {
    room: Arc<Room>,
    number: u64,
    from: SocketAddr,
    until: Instant,
    gone: oneshot::Receiver<()>,
}

/// Why a connection could not stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Left {
    /// Its time was over.
    #[error("nothing was proven within {} s", .0.as_secs_f64())]
    Late(Duration),
    /// Another one has its place.
    #[error("too many connections wait that have proven nothing; try again")]
    GaveWay,
}

impl Room {
    pub(crate) fn new(name: &'static str, patience: Duration, log: Arc<Log>) -> Arc<Room> {
        Arc::new(Room { name, patience, log, waiting: Mutex::default() })
    }

    /// Gives a connection a place, at the cost of another one where there is none. `expected` is how many
    /// connections the open sessions still miss at this door, each of which has a place besides.
    pub(crate) fn enter(self: &Arc<Self>, from: SocketAddr, expected: usize) -> Place {
        let from = tcp::canonical(from);
        let (stay, gone) = oneshot::channel();
        let (number, left) = self.lock().enter(source(from.ip()), stay, OF_ONE + expected, OF_ALL + 2 * expected);
        if let Some(left) = left {
            self.log.unauthenticated(self.name, || {
                format!("a {} of {left} that had proven nothing gave way to one of {}", self.name, from.ip())
            });
        }
        Place { room: self.clone(), number, from, until: Instant::now() + self.patience, gone }
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
        for seat in self.places.values() {
            *held.entry(seat.source).or_default() += 1;
        }
        let from = if held.get(&source).is_some_and(|count| *count >= of_one) {
            Some(source)
        } else if self.places.len() >= of_all {
            // Of several, the one whose oldest connection is the oldest.
            let most = held.values().max().copied();
            self.places.values().map(|seat| seat.source).find(|source| held.get(source).copied() == most)
        } else {
            None
        };
        let oldest =
            from.and_then(|from| self.places.iter().find(|(_, seat)| seat.source == from).map(|(number, _)| *number));
        let left = oldest.and_then(|number| self.places.remove(&number)).map(|seat| seat.source);
        let number = self.next;
        self.next += 1;
        self.places.insert(number, Seat { source, _stay: stay });
        (number, left)
    }
}

impl Place {
    /// Goes on with proving, until it is done, the place's time is over, or it has to give way. The time begins anew
    /// as long as `is_missed`: as long as an open session may be waiting for this very connection.
    pub(crate) async fn prove<T>(
        &mut self,
        work: impl Future<Output = T>,
        is_missed: impl Fn() -> bool,
    ) -> Result<T, Left> {
        let patience = self.room.patience;
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

    /// Has its time begin anew, as a part of the proof is done.
    pub(crate) fn renew(&mut self) {
        self.until = Instant::now() + self.room.patience;
    }

    /// Says why it could not stay, where that is not said yet.
    pub(crate) fn left(&self, left: Left) {
        match left {
            Left::Late(_) => self.failed(&left),
            // Said when another one came for its place.
            Left::GaveWay => {}
        }
    }

    /// Says that nothing came of this connection.
    pub(crate) fn failed(&self, why: &dyn std::fmt::Display) {
        self.room.log.unauthenticated(self.room.name, || format!("{}: {}: {why}", self.from, self.room.name));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.lock().places.remove(&self.number);
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
        let of = |seat: &Seat| seat.source == IpAddr::from([10, 0, 0, n]);
        waiting.places.iter().filter(|(_, seat)| of(seat)).map(|(number, _)| *number).collect()
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
    fn of_many_addresses_the_one_with_the_most_gives_way() {
        let mut waiting = Waiting::default();
        assert_eq!(enter(&mut waiting, &[1, 2, 2, 3, 3, 3, 4], 3, 7), [None; 7]);
        assert_eq!(enter(&mut waiting, &[5, 1, 6], 3, 7), [Some(3), Some(2), Some(1)]);
        assert_eq!(waiting.places.len(), 7);
    }

    #[tokio::test]
    async fn a_place_ends_with_its_time_or_its_room() {
        let log = Arc::new(Log::new(|_| {}));
        let from = |n: u16| SocketAddr::from(([10, 0, 0, 1], n));
        let room = Room::new("connection", Duration::ZERO, log.clone());
        let late = room.enter(from(0), 0).prove(std::future::pending::<()>(), || false).await;
        assert_eq!(late, Err(Left::Late(Duration::ZERO)));
        assert!(room.lock().places.is_empty(), "it is given back");

        let room = Room::new("connection", Duration::from_secs(3600), log);
        let mut first = room.enter(from(0), 0);
        assert_eq!(first.prove(std::future::ready(7), || false).await, Ok(7));
        let others: Vec<Place> = (1..=OF_ONE).map(|n| room.enter(from(n as u16), 0)).collect();
        assert_eq!(first.prove(std::future::pending::<()>(), || false).await, Err(Left::GaveWay));
        drop(first);
        assert_eq!(room.lock().places.len(), others.len());
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
