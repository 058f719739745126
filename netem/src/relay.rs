//! Ports of the host, carried to the server end of a link.
//!
//! ```text
//! client end ═ the link ═ server end: listening sockets ─┐
//!                                                        │ this thread, of the link's process
//!       the place where the link was started: loopback ──┘
//! ```
//!
//! The thread is started before the process leaves for namespaces of its own, and stays in the network namespace in
//! which it was started: its connections to services are made there, while the sockets that it is given belong to
//! the server's end. So no privilege is needed, and nothing of it outlives the process.
//!
//! What it does to measurements: the TCP connection across the link is the relay's, with the settings of the server
//! end's namespace and no delay of small segments; the service's own settings (controller, pacing, buffers) end at the
//! loopback. It holds little back: up to [`stream::UNSENT`] bytes that TCP has not sent, and one chunk. Datagrams
//! are carried one for one, without their ECN marks.
//!
//! Start with [`Relay`].

mod datagram;
mod loopback;
mod stream;

use std::fmt;
use std::io;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use samepath_model::shortage;
use serde::{Deserialize, Serialize};

use crate::nest::Addresses;
use crate::sockets::{Protocol, Service, port_of};
use crate::tell;
use datagram::Datagrams;
use loopback::Complaints;
use stream::{Pair, Progress};

/// How long no connection is taken where there is no room for one.
const FULL_BACKOFF: Duration = Duration::from_millis(100);

/// A service of the host, and where it is reached: written `8765`, `8765:80` or `udp:4433`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPort {
    /// The service, on the loopback of the place where the link is started.
    pub service: Service,
    /// The port at the server end.
    pub at: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.at)
    }
}

impl HostPort {
    /// What is taken at the server end.
    pub(crate) fn taken(&self) -> Service {
        Service { port: self.at, ..self.service }
    }
}

impl std::str::FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<HostPort, String> {
        let wrong = || {
            format!(
                "`{text}` is no port of the host: write PORT, or PORT:PORT with the one at the server end, and `udp:` \
                 before it for UDP, as 8765, 8765:80 or udp:4433"
            )
        };
        let (protocol, ports) = match text.split_once(':') {
            Some(("tcp", ports)) => (Protocol::Tcp, ports),
            Some(("udp", ports)) => (Protocol::Udp, ports),
            _ => (Protocol::Tcp, text),
        };
        let (port, at) = ports.split_once(':').unwrap_or((ports, ports));
        let (port, at) = port_of(port).zip(port_of(at)).ok_or_else(wrong)?;
        Ok(HostPort { service: Service { protocol, port }, at })
    }
}

/// Refuses ports that cannot be carried together.
///
/// # Errors
/// Names the one that is taken twice at the server end.
pub fn check(ports: &[HostPort]) -> Result<(), String> {
    for (n, port) in ports.iter().enumerate() {
        if ports[..n].iter().any(|other| other.taken() == port.taken()) {
            return Err(format!(
                "{} at the server end is given twice; give each service a port of its own there, as {}:{}",
                port.taken(),
                port.service.port,
                port.at.checked_add(1).unwrap_or(1024),
            ));
        }
    }
    Ok(())
}

/// A socket at the server end, and whose it is.
enum Door {
    Stream(TcpListener, HostPort),
    Datagrams(Datagrams),
}

/// The sockets at the server end. To be called in its namespace.
fn doors(ports: &[HostPort], addresses: &[IpAddr]) -> Result<Vec<Door>, String> {
    let mut doors = Vec::new();
    for port in ports {
        for &address in addresses {
            let place = (address, port.at);
            let door = match port.service.protocol {
                Protocol::Tcp => TcpListener::bind(place).and_then(|listener| {
                    listener.set_nonblocking(true)?;
                    Ok(Door::Stream(listener, *port))
                }),
                Protocol::Udp => {
                    UdpSocket::bind(place).and_then(|socket| Datagrams::new(socket, port.service)).map(Door::Datagrams)
                }
            };
            doors.push(door.map_err(|error| {
                let error = shortage::told(&error);
                format!(
                    "cannot carry the host's port {}: cannot listen at {address}, port {}: {error}",
                    port.service, port.at
                )
            })?);
        }
    }
    Ok(doors)
}

/// A relay, from before the namespaces are made. Dropping it ends it.
pub(crate) struct Relay {
    ports: Vec<HostPort>,
    to_thread: Option<mpsc::Sender<Vec<Door>>>,
    /// Closed, it ends the thread.
    alive: Option<io::PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts its thread in the calling thread's network namespace.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub(crate) fn from_here(ports: Vec<HostPort>) -> io::Result<Relay> {
        let (to_thread, from_link) = mpsc::channel();
        let (ended, alive) = io::pipe()?;
        let work = move || {
            if let Ok(doors) = from_link.recv() {
                carry(doors, &ended);
            }
        };
        let thread = std::thread::Builder::new().name("host ports".into()).spawn(work)?;
        Ok(Relay { ports, to_thread: Some(to_thread), alive: Some(alive), thread: Some(thread) })
    }

    /// Takes connections at these addresses; to be called in the namespace of the server's end.
    ///
    /// # Errors
    /// Says which port cannot be taken, and why.
    pub(crate) fn listen(&mut self, addresses: Addresses, ipv6: bool) -> Result<(), String> {
        let v6 = ipv6.then_some(IpAddr::V6(addresses.server6));
        let addresses: Vec<IpAddr> = std::iter::once(IpAddr::V4(addresses.server)).chain(v6).collect();
        let doors = doors(&self.ports, &addresses)?;
        if let Some(to_thread) = self.to_thread.take() {
            // It waits for nothing else.
            let _ = to_thread.send(doors);
        }
        Ok(())
    }

    /// What it takes at the server's end.
    pub(crate) fn taken(&self) -> impl Iterator<Item = Service> {
        self.ports.iter().map(HostPort::taken)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.to_thread = None;
        self.alive = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread does, until nobody holds the other end of `ended`.
fn carry(mut doors: Vec<Door>, ended: &io::PipeReader) {
    let mut pairs: Vec<Pair> = Vec::new();
    let mut complaints = Complaints::default();
    let mut chunk = vec![0; stream::CHUNK];
    let mut full_until: Option<Instant> = None;
    loop {
        let now = Instant::now();
        full_until = full_until.filter(|until| *until > now);
        let mut polled = vec![PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        for door in &doors {
            match door {
                Door::Stream(listener, _) => polled.push(asked(listener.as_fd(), full_until.is_none())),
                Door::Datagrams(datagrams) => polled.extend(datagrams.polled()),
            }
        }
        polled.extend(pairs.iter().flat_map(|pair| pair.polled(ended.as_fd())));
        let next = doors.iter().filter_map(|door| match door {
            Door::Datagrams(datagrams) => datagrams.next(),
            Door::Stream(..) => None,
        });
        let next = next.chain(full_until).min();
        // Rounded up: a poll that returns early would only be called again.
        let timeout = next.map_or(PollTimeout::NONE, |next| {
            let millis = next.saturating_duration_since(now).as_millis() as i32 + 1;
            PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
        });
        if poll(&mut polled, timeout).is_err_and(|errno| errno != nix::errno::Errno::EINTR) {
            return;
        }
        let events: Vec<PollFlags> =
            polled.iter().map(|polled| polled.revents().unwrap_or(PollFlags::empty())).collect();
        let mut events = events.into_iter();
        if events.next().is_some_and(|ended| !ended.is_empty()) {
            return;
        }
        let mut new = Vec::new();
        for door in &mut doors {
            match door {
                Door::Stream(listener, port) => {
                    if events.next().is_some_and(|ready| !ready.is_empty())
                        && let Err(error) = stream::accept(listener, port.service, &mut new, &mut complaints)
                    {
                        if full_until.is_none() {
                            tell!("link: cannot take a connection to port {}: {}", port.at, shortage::told(&error));
                        }
                        full_until = Some(Instant::now() + FULL_BACKOFF);
                    }
                }
                Door::Datagrams(datagrams) => datagrams.carry(&mut events, &mut complaints),
            }
        }
        pairs.retain_mut(|pair| {
            let ready = [(); 2].map(|()| events.next().unwrap_or(PollFlags::empty()));
            matches!(pair.carry(ready, &mut chunk, &mut complaints), Progress::GoesOn)
        });
        pairs.append(&mut new);
    }
}

/// What is asked of a descriptor that may have to wait.
fn asked(fd: BorrowedFd<'_>, wanted: bool) -> PollFd<'_> {
    PollFd::new(fd, if wanted { PollFlags::POLLIN } else { PollFlags::empty() })
}
