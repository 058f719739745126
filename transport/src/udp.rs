//! Plain UDP, both ends: sockets, batches of datagrams, and how a client proves its address.
//!
//! The client repeats the session's preface until something comes back. The server's one socket
//! listens for prefaces and never answers from them; for a session it knows, it makes a second
//! socket on the same port, connected to the client, which from then on gets that client's
//! datagrams and no other's. A preface with the query of a name behind it is another matter: it is
//! answered by one datagram, from that one socket.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use samepath_model::record::{End, Setting};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::TransportError;
use crate::credentials::{Preface, Secret};
use crate::plan::MAX_DATAGRAM;
use crate::tcp::{cannot_bind, canonical};

/// What is asked for the buffers of a UDP socket: tens of milliseconds at gigabits.
pub const BUFFER: usize = 8 << 20;

/// A preface that is the server's answer to one.
const ANSWER: u16 = u16::MAX;

/// How often a client repeats its preface.
const REPEAT: Duration = Duration::from_millis(250);

/// Binds a UDP socket with large buffers; `[::]` takes IPv4 too. `shared` lets further sockets of
/// this process have the same port.
///
/// # Errors
/// When the port is taken or not permitted, with the remedy.
pub fn bind(address: SocketAddr, shared: bool) -> Result<std::net::UdpSocket, TransportError> {
    let bind = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_reuse_port(shared)?;
        socket.set_nonblocking(true)?;
        // With the privilege beyond the system's maximum, without it up to that.
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
            socket.set_recv_buffer_size(BUFFER)?;
        }
        if setsockopt(&socket, sockopt::SndBufForce, &BUFFER).is_err() {
            socket.set_send_buffer_size(BUFFER)?;
        }
        socket.bind(&address.into())?;
        Ok(socket)
    };
    bind().map(Into::into).map_err(|cause| cannot_bind("UDP", address, cause))
}

/// A client's UDP socket, connected to a server's port.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn connected(address: SocketAddr) -> Result<std::net::UdpSocket, TransportError> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = bind((any, 0).into(), false)?;
    socket.connect(address)?;
    Ok(socket)
}

/// What the kernel granted.
pub fn settings(socket: &std::net::UdpSocket) -> Vec<Setting> {
    let socket = SockRef::from(socket);
    let read = |name: &str, effective: io::Result<usize>| {
        // The kernel reports twice what it granted, the other half being its bookkeeping.
        effective.ok().map(|n| Setting::new(name, Some(BUFFER.to_string()), (n / 2).to_string()))
    };
    [read("udp.receive-buffer", socket.recv_buffer_size()), read("udp.send-buffer", socket.send_buffer_size())]
        .into_iter()
        .flatten()
        .collect()
}

/// A UDP socket connected to the peer of a session.
#[derive(Debug, Clone)]
pub struct Datagrams {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    io: UdpSocket,
    state: UdpSocketState,
    peer: SocketAddr,
    secret: Secret,
    settings: Vec<Setting>,
}

impl Datagrams {
    fn new(socket: std::net::UdpSocket, peer: SocketAddr, secret: Secret) -> io::Result<Datagrams> {
        let settings = settings(&socket);
        let state = UdpSocketState::new((&socket).into())?;
        let io = UdpSocket::from_std(socket)?;
        Ok(Datagrams { inner: Arc::new(Inner { io, state, peer, secret, settings }) })
    }

    /// The client's end: shows the preface until the server's socket answers, or its payload
    /// comes.
    ///
    /// # Errors
    /// When the socket cannot be made, or nobody listens there.
    pub async fn connect(address: SocketAddr, preface: Preface, limit: Duration) -> Result<Datagrams, TransportError> {
        let datagrams = Datagrams::new(connected(address)?, address, preface.secret)?;
        let failed = |detail: String| TransportError::Connection { transport: "UDP", address, detail, errno: None };
        let preface = preface.encode();
        let end = Instant::now() + limit;
        loop {
            match datagrams.inner.io.send(&preface).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    return Err(failed("nobody listens on that port".into()));
                }
                Err(error) => return Err(failed(error.to_string())),
                Ok(_) => {}
            }
            // Whatever it is, it stays in the socket for the receiver to read.
            match timeout_at((Instant::now() + REPEAT).min(end), datagrams.inner.io.readable()).await {
                Ok(ready) => {
                    ready?;
                    return Ok(datagrams);
                }
                Err(_) if Instant::now() >= end => {
                    return Err(failed("no answer; does a firewall let UDP through?".into()));
                }
                Err(_) => {}
            }
        }
    }

    /// Whether the peer's address is IPv6 (IPv4 in IPv6's clothes is not).
    pub fn is_ipv6(&self) -> bool {
        matches!(self.inner.peer.ip().to_canonical(), IpAddr::V6(_))
    }

    /// The port from which the client sends.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn client_port(&self, end: End) -> io::Result<u16> {
        match end {
            End::Client => self.inner.io.local_addr().map(|address| address.port()),
            End::Server => Ok(self.inner.peer.port()),
        }
    }

    /// Effective settings of the socket.
    pub fn settings(&self) -> &[Setting] {
        &self.inner.settings
    }

    /// The most datagrams that [`Datagrams::send`] takes at once.
    pub fn max_batch(&self, size: usize) -> usize {
        self.inner.state.max_gso_segments().min(MAX_DATAGRAM / size.max(1)).max(1)
    }

    /// Sends datagrams of `size` bytes each, the last of which may be shorter, in one system call.
    ///
    /// # Errors
    /// When a datagram does not fit the path, or the socket failed.
    pub async fn send(&self, contents: &[u8], size: usize) -> Result<(), TransportError> {
        let transmit = Transmit {
            destination: self.inner.peer,
            ecn: None,
            contents,
            segment_size: (contents.len() > size).then_some(size),
            src_ip: None,
        };
        loop {
            let sent = self
                .inner
                .io
                .try_io(Interest::WRITABLE, || self.inner.state.try_send((&self.inner.io).into(), &transmit));
            match sent {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.inner.io.writable().await?,
                Err(cause) if cause.raw_os_error() == Some(libc::EMSGSIZE) => {
                    return Err(TransportError::TooLarge { size, cause });
                }
                // A full queue below the socket: lost, as on any link.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(()),
                // The echo of an earlier datagram that found nobody: as good as lost.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Buffers for [`Datagrams::receive`].
    pub fn receive_buffers(&self) -> ReceiveBuffers {
        // Without coalescing a buffer holds one datagram; many small reads then make up for it.
        ReceiveBuffers { buffers: vec![0; BUFFERS * BUFFER_LEN], meta: [RecvMeta::default(); BUFFERS], count: 0 }
    }

    /// Receives what is there, waiting for at least one datagram. Prefaces are among it: whoever reads asks
    /// [`Datagrams::is_preface`], which answers them.
    ///
    /// # Errors
    /// When the socket failed.
    pub async fn receive(&self, into: &mut ReceiveBuffers) -> io::Result<()> {
        loop {
            self.inner.io.readable().await?;
            let mut slices: [IoSliceMut<'_>; BUFFERS] = {
                let mut rest = into.buffers.chunks_mut(BUFFER_LEN);
                std::array::from_fn(|_| IoSliceMut::new(rest.next().unwrap_or_default()))
            };
            let received = self.inner.io.try_io(Interest::READABLE, || {
                self.inner.state.recv((&self.inner.io).into(), &mut slices, &mut into.meta)
            });
            match received {
                Ok(count) => {
                    into.count = count;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The echo of a datagram that found nobody.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether a datagram is the session's preface rather than payload; answers it where it is a
    /// client's.
    pub fn is_preface(&self, datagram: &[u8]) -> bool {
        match Preface::decode(datagram) {
            Some(preface) if preface.secret == self.inner.secret => {
                if preface.number != ANSWER {
                    self.answer();
                }
                true
            }
            _ => false,
        }
    }

    /// Tells the client that its preface arrived. Lost answers are asked for again.
    fn answer(&self) {
        // Past the runtime, which would not yet call a socket writable that was just made.
        let _ = SockRef::from(&self.inner.io).send(&Preface { secret: self.inner.secret, number: ANSWER }.encode());
    }
}

/// Buffers read at once; each takes a coalesced run of datagrams.
const BUFFERS: usize = 4;
const BUFFER_LEN: usize = 65_536;

/// Received datagrams.
#[derive(Debug)]
pub struct ReceiveBuffers {
    buffers: Vec<u8>,
    meta: [RecvMeta; BUFFERS],
    count: usize,
}

impl ReceiveBuffers {
    /// Each datagram.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.buffers
            .chunks(BUFFER_LEN)
            .zip(&self.meta[..self.count])
            .flat_map(|(buffer, meta)| buffer[..meta.len].chunks(meta.stride.max(1)))
    }
}

/// The server's socket that waits for prefaces.
#[derive(Debug)]
pub struct Server {
    io: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    ready: tokio::sync::Mutex<VecDeque<Hello>>,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// When the port is taken, with the remedy.
    pub fn bind(address: SocketAddr) -> Result<Server, TransportError> {
        // Nobody has the port but us, another server of the same user included; only then may sessions share it.
        let socket = bind(address, false)?;
        SockRef::from(&socket).set_reuse_port(true)?;
        let state = UdpSocketState::new((&socket).into())?;
        let io = UdpSocket::from_std(socket)?;
        let local = io.local_addr()?;
        Ok(Server { io, state, local, ready: tokio::sync::Mutex::default() })
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The next preface, from whomever: only a known secret makes it worth anything. Everything
    /// else that arrives is dropped without an answer.
    ///
    /// # Errors
    /// When the socket failed.
    pub async fn next(&self) -> io::Result<Hello> {
        let mut ready = self.ready.lock().await;
        let mut buffer = vec![0; BUFFER_LEN];
        loop {
            if let Some(hello) = ready.pop_front() {
                return Ok(hello);
            }
            self.io.readable().await?;
            let mut meta = [RecvMeta::default()];
            let received = self.io.try_io(Interest::READABLE, || {
                self.state.recv((&self.io).into(), &mut [IoSliceMut::new(&mut buffer)], &mut meta)
            });
            match received {
                Ok(_) => {
                    for datagram in buffer[..meta[0].len].chunks(meta[0].stride.max(1)) {
                        let Some((preface, behind)) = Preface::split(datagram) else { continue };
                        let (peer, local) = (meta[0].addr, meta[0].dst_ip);
                        match (preface.number, behind) {
                            (Preface::OF_QUERY, query) => {
                                let query = Some(query.to_vec());
                                ready.push_back(Hello { preface, query, peer, local });
                            }
                            (_, []) => ready.push_back(Hello { preface, query: None, peer, local }),
                            _ => {}
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers a query by one datagram, from the address that was asked. Where the socket takes none at the moment, it is
    /// lost, as on any link.
    pub fn answer(&self, hello: &Hello, response: &[u8]) {
        let transmit = Transmit {
            destination: hello.peer,
            ecn: None,
            contents: response,
            segment_size: None,
            src_ip: hello.local,
        };
        let _ = self.io.try_io(Interest::WRITABLE, || self.state.try_send((&self.io).into(), &transmit));
    }

    /// Makes the session's own socket on the same port, connected to the client, and answers.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn connect(&self, hello: &Hello) -> Result<Datagrams, TransportError> {
        let peer = canonical(hello.peer);
        let unspecified = |peer: &SocketAddr| -> IpAddr {
            if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
        };
        // What it addressed is what answers it: of several addresses the kernel would choose by its routes.
        let local = hello.local.map_or_else(|| unspecified(&peer), |ip| ip.to_canonical());
        let mut local = SocketAddr::new(local, self.local.port());
        if let (SocketAddr::V6(local), SocketAddr::V6(peer)) = (&mut local, peer)
            && local.ip().is_unicast_link_local()
        {
            local.set_scope_id(peer.scope_id());
        }
        let socket = bind(local, true)?;
        socket.connect(peer)?;
        let datagrams = Datagrams::new(socket, peer, hello.preface.secret)?;
        datagrams.answer();
        Ok(datagrams)
    }
}

/// A preface that arrived by UDP.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Whose it claims to be.
    pub preface: Preface,
    /// What stands behind the preface of a query.
    pub query: Option<Vec<u8>>,
    /// Where it came from.
    peer: SocketAddr,
    /// Which of our addresses it was sent to.
    local: Option<IpAddr>,
}
