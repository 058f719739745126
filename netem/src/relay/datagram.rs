//! A UDP socket at the server end, and a socket to the service for each of its peers, which are carried one datagram
//! for one.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use socket2::SockRef;

use super::loopback::{Complaints, LOOPBACKS};
use crate::sockets::{self, Service};

/// How long a peer that is silent keeps its socket (RFC 4787, section 4.3: at least two minutes).
const SILENCE: Duration = Duration::from_secs(120);
/// Peers at a time; one more takes the place of the one that has been silent for longest.
const PEERS: usize = 1024;
/// Datagrams taken from a socket at a time, so that others get their turn.
const TURN: usize = 64;
/// Bytes that may wait in a socket at either side.
const BUFFER: usize = 4 << 20;
/// The largest datagram.
const LARGEST: usize = 1 << 16;

/// Who sends from the link's side.
#[derive(Debug)]
struct Peer {
    far: UdpSocket,
    last: Instant,
}

/// The socket at the server end with its peers.
pub(super) struct Datagrams {
    near: UdpSocket,
    service: Service,
    peers: HashMap<SocketAddr, Peer>,
    /// What the link's side had no room for; until it has, no answer is taken.
    held: Option<(SocketAddr, Vec<u8>)>,
    buffer: Vec<u8>,
}

impl Datagrams {
    pub(super) fn new(near: UdpSocket, service: Service) -> io::Result<Datagrams> {
        near.set_nonblocking(true)?;
        grow_buffers(&near);
        Ok(Datagrams { near, service, peers: HashMap::new(), held: None, buffer: vec![0; LARGEST] })
    }

    /// What is waited for: of the link's side, and then of each peer's socket, in their order.
    pub(super) fn polled(&self) -> impl Iterator<Item = PollFd<'_>> {
        let mut near = PollFlags::POLLIN;
        near.set(PollFlags::POLLOUT, self.held.is_some());
        let far = if self.held.is_some() { PollFlags::empty() } else { PollFlags::POLLIN };
        let peers = self.peers.values().map(move |peer| PollFd::new(peer.far.as_fd(), far));
        std::iter::once(PollFd::new(self.near.as_fd(), near)).chain(peers)
    }

    /// When a peer has been silent for too long.
    pub(super) fn next(&self) -> Option<Instant> {
        self.peers.values().map(|peer| peer.last + SILENCE).min()
    }

    /// Carries on what has come. `heard` has what was heard of the sockets, in the order of [`polled`](Self::polled).
    pub(super) fn carry(&mut self, heard: &mut impl Iterator<Item = PollFlags>, complaints: &mut Complaints) {
        let near = heard.next().unwrap_or(PollFlags::empty());
        let ready: Vec<SocketAddr> =
            self.peers.keys().zip(heard).filter(|(_, heard)| !heard.is_empty()).map(|(peer, _)| *peer).collect();
        if near.contains(PollFlags::POLLOUT)
            && let Some((peer, datagram)) = self.held.take()
        {
            self.give(peer, &datagram);
        }
        for peer in ready {
            self.answer(peer, complaints);
        }
        if near.intersects(PollFlags::POLLIN | PollFlags::POLLERR) {
            self.take(complaints);
        }
        let now = Instant::now();
        self.peers.retain(|_, peer| peer.last + SILENCE > now);
    }

    /// What peers have sent, on to the service.
    fn take(&mut self, complaints: &mut Complaints) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..TURN {
            match self.near.recv_from(&mut buffer) {
                Ok((n, from)) => {
                    if let Err(error) = self.far_of(from).and_then(|far| send(far, &buffer[..n])) {
                        complaints.unreachable(self.service, &error);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // What came back from a peer that has gone.
                Err(_) => {}
            }
        }
        self.buffer = buffer;
    }

    /// A peer's socket to the service.
    fn far_of(&mut self, peer: SocketAddr) -> io::Result<&UdpSocket> {
        if !self.peers.contains_key(&peer) {
            if self.peers.len() >= PEERS
                && let Some(silent) = self.peers.iter().min_by_key(|(_, peer)| peer.last).map(|(peer, _)| *peer)
            {
                self.peers.remove(&silent);
            }
            let far = dial(self.service)?;
            self.peers.insert(peer, Peer { far, last: Instant::now() });
        }
        let known = self.peers.get_mut(&peer).ok_or(io::ErrorKind::NotFound)?;
        known.last = Instant::now();
        Ok(&known.far)
    }

    /// What the service has sent to a peer, on to it.
    fn answer(&mut self, peer: SocketAddr, complaints: &mut Complaints) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..TURN {
            let Some(known) = self.peers.get_mut(&peer).filter(|_| self.held.is_none()) else { break };
            match known.far.recv(&mut buffer) {
                Ok(n) => {
                    known.last = Instant::now();
                    self.give(peer, &buffer[..n]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    complaints.unreachable(self.service, &error);
                    // The service may be at another address by the next datagram.
                    self.peers.remove(&peer);
                }
            }
        }
        self.buffer = buffer;
    }

    /// Sends towards the link, or holds what it has no room for.
    fn give(&mut self, peer: SocketAddr, datagram: &[u8]) {
        match self.near.send_to(datagram, peer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.held = Some((peer, datagram.to_vec())),
            // A datagram that the link's MTU does not take, or a peer that has gone: lost, as on any path.
            _ => {}
        }
    }
}

/// Sends to the service. A loopback has room, or loses the datagram itself.
fn send(far: &UdpSocket, datagram: &[u8]) -> io::Result<()> {
    match far.send(datagram) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other.map(drop),
    }
}

/// A socket to the service: at the loopback at which one is bound, by the kernel's tables, for UDP does not tell.
fn dial(service: Service) -> io::Result<UdpSocket> {
    let bound = sockets::waiting();
    let [v4, v6] = LOOPBACKS;
    let serves = |addresses: [IpAddr; 2]| {
        bound.iter().any(|waiting| waiting.service == service && addresses.contains(&waiting.address))
    };
    let address = if serves([v4, Ipv4Addr::UNSPECIFIED.into()]) {
        v4
    } else if serves([v6, Ipv6Addr::UNSPECIFIED.into()]) {
        v6
    } else if bound.is_empty() {
        // The tables cannot be read: the service will tell.
        v4
    } else {
        return Err(io::ErrorKind::ConnectionRefused.into());
    };
    let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let far = UdpSocket::bind(any)?;
    far.set_nonblocking(true)?;
    grow_buffers(&far);
    far.connect((address, service.port))?;
    Ok(far)
}

/// As much as the system permits.
fn grow_buffers(socket: &UdpSocket) {
    let socket = SockRef::from(socket);
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
}
