//! Reaching a host that has several addresses, as RFC 8305 ("Happy Eyeballs") says: the families take turns, a further
//! address is tried beside the earlier ones where they have not answered in a quarter of a second, or at once where
//! they have failed, and the first that answers is taken.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::tcp;

/// The recommended delay between two attempts (RFC 8305, section 5).
pub const STAGGER: Duration = Duration::from_millis(250);

/// The most payload in a segment of such a connection: what every path of IPv6 takes (RFC 8200, section 5). No figure
/// hangs on it, and it must get through where larger packets are lost without a word, too.
const SEGMENT: u32 = 1220;

/// How long an address may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// What is said of one that did not.
const SILENT: &str = "no answer within 10 s";

/// The order in which addresses are tried: that of the resolver (RFC 6724), but the families take turns, beginning
/// with that of the first (RFC 8305, section 4). None is tried twice.
pub fn in_turns(resolved: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut distinct: Vec<SocketAddr> = Vec::new();
    for address in resolved {
        if !distinct.contains(&address) {
            distinct.push(address);
        }
    }
    let Some(first) = distinct.first().map(SocketAddr::is_ipv6) else { return distinct };
    let (mut of_first, mut of_other): (VecDeque<_>, VecDeque<_>) =
        distinct.into_iter().partition(|address| address.is_ipv6() == first);
    let mut all = Vec::new();
    while !of_first.is_empty() || !of_other.is_empty() {
        all.extend(of_first.pop_front());
        all.extend(of_other.pop_front());
    }
    all
}

/// Connects by TCP to the first of these addresses that answers.
///
/// # Errors
/// Where none did: each with its cause, in the order in which they were given.
pub async fn tcp(addresses: &[SocketAddr]) -> Result<(SocketAddr, TcpStream), Vec<(SocketAddr, io::Error)>> {
    let begun = Instant::now();
    let mut race = Race::new(addresses);
    let mut under_way = JoinSet::new();
    loop {
        while let Some(address) = race.start(begun.elapsed()) {
            under_way.spawn(async move {
                let connected = async { tcp::socket(address, Some(SEGMENT))?.connect(address).await };
                let answered = timeout(ANSWER_LIMIT, connected).await;
                (address, answered.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, SILENT))))
            });
        }
        let next = race.next();
        tokio::select! {
            Some(ended) = under_way.join_next() => match ended {
                Ok((address, Ok(stream))) => return Ok((address, stream)),
                Ok((address, Err(cause))) => race.failed(address, cause, begun.elapsed()),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
            () = sleep_until(begun + next.unwrap_or_default()), if next.is_some() => {}
            else => return Err(race.lost()),
        }
    }
}

/// Which attempt begins when; times count from the beginning.
#[derive(Debug)]
struct Race {
    addresses: Vec<SocketAddr>,
    /// How many of them have been tried.
    tried: usize,
    /// When the next may be.
    next: Duration,
    failed: Vec<(SocketAddr, io::Error)>,
}

impl Race {
    fn new(addresses: &[SocketAddr]) -> Race {
        Race { addresses: addresses.to_vec(), tried: 0, next: Duration::ZERO, failed: Vec::new() }
    }

    /// The address to be tried now, if its time has come.
    fn start(&mut self, now: Duration) -> Option<SocketAddr> {
        let address = *self.addresses.get(self.tried).filter(|_| now >= self.next)?;
        self.tried += 1;
        self.next = now + STAGGER;
        Some(address)
    }

    /// When the next is to be tried; `None` where none is left.
    fn next(&self) -> Option<Duration> {
        (self.tried < self.addresses.len()).then_some(self.next)
    }

    /// An attempt came to nothing: the next need not wait.
    fn failed(&mut self, address: SocketAddr, cause: io::Error, now: Duration) {
        self.failed.push((address, cause));
        self.next = self.next.min(now);
    }

    /// Why none came off.
    fn lost(mut self) -> Vec<(SocketAddr, io::Error)> {
        let addresses = std::mem::take(&mut self.addresses);
        self.failed.sort_by_key(|(of, _)| addresses.iter().position(|address| address == of));
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(all: &[&str]) -> Vec<SocketAddr> {
        all.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_none_is_tried_twice() {
        let resolved =
            addresses(&["[::1]:1", "[::2]:1", "[::1]:1", "[::3]:1", "10.0.0.1:1", "10.0.0.1:1", "10.0.0.2:1"]);
        let order = addresses(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "[::3]:1"]);
        assert_eq!(in_turns(resolved), order);
        let order = addresses(&["10.0.0.1:1", "[::1]:1"]);
        assert_eq!(in_turns(order.clone()), order, "the resolver's first goes first");
        assert_eq!(in_turns([]), []);
    }

    #[test]
    fn failure_tries_the_next_at_once_silence_later() {
        let all = addresses(&["[::1]:1", "10.0.0.1:1", "10.0.0.2:1"]);
        let ms = Duration::from_millis;
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let mut race = Race::new(&all);
        assert_eq!(race.next(), Some(ms(0)));
        assert_eq!(race.start(ms(0)), Some(all[0]));
        // It is refused after 10 ms.
        assert_eq!((race.start(ms(9)), race.next()), (None, Some(ms(250))));
        race.failed(all[0], refused(), ms(10));
        assert_eq!(race.next(), Some(ms(10)));
        assert_eq!(race.start(ms(10)), Some(all[1]));
        // The second is silent.
        assert_eq!((race.start(ms(259)), race.next()), (None, Some(ms(260))));
        assert_eq!(race.start(ms(260)), Some(all[2]));
        assert_eq!((race.start(ms(900)), race.next()), (None, None));
        race.failed(all[2], refused(), ms(900));
        race.failed(all[1], io::ErrorKind::TimedOut.into(), ms(10_010));
        let lost: Vec<SocketAddr> = race.lost().into_iter().map(|(address, _)| address).collect();
        assert_eq!(lost, all, "each is told, in its place");
    }

    #[tokio::test]
    async fn the_listening_address_is_found() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let gone = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap().local_addr().unwrap();
        let (address, stream) = tcp(&[gone, there]).await.unwrap();
        assert_eq!((address, stream.peer_addr().unwrap()), (there, there));
        let failed = tcp(&[gone]).await.unwrap_err();
        assert_eq!((failed.len(), failed[0].0, failed[0].1.kind()), (1, gone, io::ErrorKind::ConnectionRefused));
        assert!(tcp(&[]).await.unwrap_err().is_empty());
    }
}
