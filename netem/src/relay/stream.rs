//! A TCP connection at the server end, and the one to the service that goes with it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use socket2::{Domain, SockRef, Socket, Type};

use super::loopback::{Complaints, LOOPBACKS};
use crate::sockets::Service;

/// Bytes that are carried at a time.
pub(super) const CHUNK: usize = 64 << 10;
/// Bytes that TCP takes towards the link beyond what it has sent (`TCP_NOTSENT_LOWAT`).
pub(super) const UNSENT: u32 = 128 << 10;
/// Of what the service sends, bytes that wait on the loopback (`SO_RCVBUF`).
const WAITING: usize = 256 << 10;

/// Takes who is waiting at a listening socket.
///
/// # Errors
/// Where there is no room for a connection.
pub(super) fn accept(
    listener: &TcpListener,
    service: Service,
    pairs: &mut Vec<Pair>,
    complaints: &mut Complaints,
) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((near, _)) => match Pair::begin(near, service) {
                Ok(pair) => pairs.push(pair),
                Err(error) => complaints.unreachable(service, &error),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // Who has gone again, or an error of the network that accept(2) passes on.
            Err(error) if !is_shortage(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Whether a pair is to be kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    GoesOn,
    /// Both ways are at their end, or the connection broke.
    Over,
}

/// Bytes on one way.
#[derive(Debug, Default)]
struct Way {
    /// Read, and not yet written.
    pending: Vec<u8>,
    /// No more will come.
    ended: bool,
    /// The other side has been told so.
    shut: bool,
}

impl Way {
    /// Reads where nothing waits to be written, and writes what there is.
    fn carry(&mut self, mut from: &TcpStream, mut to: &TcpStream, chunk: &mut [u8]) -> io::Result<()> {
        if self.pending.is_empty() && !self.ended {
            let read = loop {
                match from.read(chunk) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => break other,
                }
            };
            match read {
                Ok(0) => self.ended = true,
                Ok(n) => {
                    let written = write(&mut to, &chunk[..n])?;
                    self.pending.extend_from_slice(&chunk[written..n]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        } else if !self.pending.is_empty() {
            let written = write(&mut to, &self.pending)?;
            self.pending.drain(..written);
        }
        if self.pending.is_empty() {
            // Idle connections hold no memory.
            self.pending = Vec::new();
            if self.ended && !self.shut {
                self.shut = true;
                to.shutdown(Shutdown::Write)?;
            }
        }
        Ok(())
    }
}

/// As much as goes at once.
fn write(to: &mut &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match to.write(&bytes[written..]) {
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// Two connections, each of which carries on what comes by the other.
#[derive(Debug)]
pub(super) struct Pair {
    service: Service,
    /// At the server end of the link.
    near: TcpStream,
    /// To the service.
    far: TcpStream,
    /// While no service has answered: which of the [`LOOPBACKS`] is tried, and why those before it were no good.
    trying: Option<(usize, Option<io::Error>)>,
    /// From the link to the service, and back.
    ways: [Way; 2],
}

impl Pair {
    fn begin(near: TcpStream, service: Service) -> io::Result<Pair> {
        let begin = || {
            near.set_nonblocking(true)?;
            near.set_nodelay(true)?;
            SockRef::from(&near).set_tcp_notsent_lowat(UNSENT)?;
            dial(service, 0, None)
        };
        match begin() {
            Ok((far, at, before)) => {
                Ok(Pair { service, near, far, trying: Some((at, before)), ways: Default::default() })
            }
            Err(error) => {
                reset(&near);
                Err(error)
            }
        }
    }

    /// What is waited for: of the link's side, and of the service's. `nothing` stands for a side of which nothing more
    /// is to be heard.
    pub(super) fn polled<'a>(&'a self, nothing: BorrowedFd<'a>) -> [PollFd<'a>; 2] {
        if self.trying.is_some() {
            return [
                PollFd::new(self.near.as_fd(), PollFlags::empty()),
                PollFd::new(self.far.as_fd(), PollFlags::POLLOUT),
            ];
        }
        let side = |stream: &'a TcpStream, from: &Way, to: &Way| {
            let mut events = PollFlags::empty();
            events.set(PollFlags::POLLIN, from.pending.is_empty() && !from.ended);
            events.set(PollFlags::POLLOUT, !to.pending.is_empty());
            // The kernel says of such a one, unasked and without end, that it has hung up.
            let is_silent = events.is_empty() && to.shut;
            PollFd::new(if is_silent { nothing } else { stream.as_fd() }, events)
        };
        let [up, down] = &self.ways;
        [side(&self.near, up, down), side(&self.far, down, up)]
    }

    /// Carries on what can be, now that this has been heard of the two sides.
    pub(super) fn carry(&mut self, heard: [PollFlags; 2], chunk: &mut [u8], complaints: &mut Complaints) -> Progress {
        if heard.iter().all(|heard| heard.is_empty()) {
            return Progress::GoesOn;
        }
        self.carry_on(heard, chunk, complaints).unwrap_or_else(|_| {
            // Whichever side broke, the other is told in the same way.
            reset(&self.near);
            reset(&self.far);
            Progress::Over
        })
    }

    fn carry_on(
        &mut self,
        [near, far]: [PollFlags; 2],
        chunk: &mut [u8],
        complaints: &mut Complaints,
    ) -> io::Result<Progress> {
        let broken = PollFlags::POLLERR | PollFlags::POLLHUP;
        if near.intersects(broken)
            && let Some(error) = self.near.take_error()?
        {
            return Err(error);
        }
        if self.trying.is_some() {
            if !far.is_empty() {
                self.hear_answer(complaints)?;
            }
            return Ok(Progress::GoesOn);
        }
        if far.intersects(broken)
            && let Some(error) = self.far.take_error()?
        {
            return Err(error);
        }
        let [up, down] = &mut self.ways;
        up.carry(&self.near, &self.far, chunk)?;
        down.carry(&self.far, &self.near, chunk)?;
        Ok(if self.ways.iter().all(|way| way.shut) { Progress::Over } else { Progress::GoesOn })
    }

    /// Whether a service has answered; else the next address is tried.
    fn hear_answer(&mut self, complaints: &mut Complaints) -> io::Result<()> {
        let Some((at, before)) = self.trying.take() else { return Ok(()) };
        if let Some(error) = self.far.take_error()? {
            if error.kind() == io::ErrorKind::ConnectionReset {
                // It has answered, and broken off at once.
                return Err(error);
            }
            let (far, at, before) = dial(self.service, at + 1, Some(before.unwrap_or(error)))
                .inspect_err(|error| complaints.unreachable(self.service, error))?;
            (self.far, self.trying) = (far, Some((at, before)));
        }
        Ok(())
    }
}

/// Begins to connect to the service, at the first of the [`LOOPBACKS`], from number `from` on, that does not refuse at
/// once. Gives back which it is, and why the first one before it was no good, `before` being what is known of that.
fn dial(
    service: Service,
    from: usize,
    mut before: Option<io::Error>,
) -> io::Result<(TcpStream, usize, Option<io::Error>)> {
    for (at, &address) in LOOPBACKS.iter().enumerate().skip(from) {
        let begin = || {
            let address = SocketAddr::from((address, service.port));
            let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
            socket.set_recv_buffer_size(WAITING)?;
            socket.set_tcp_nodelay(true)?;
            match socket.connect(&address.into()) {
                Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
                _ => Ok(socket.into()),
            }
        };
        match begin() {
            Ok(stream) => return Ok((stream, at, before)),
            Err(error) => before = Some(before.unwrap_or(error)),
        }
    }
    Err(before.unwrap_or_else(|| io::ErrorKind::ConnectionRefused.into()))
}

/// Has the other end of a connection be told, as it is closed, that it broke.
fn reset(stream: &TcpStream) {
    // Where that is refused, the connection ends all the same.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::Protocol;

    /// The two ends of a connection.
    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// Carries until the pair is over, or `until` holds.
    fn carry(pair: &mut Pair, mut until: impl FnMut() -> bool) -> Progress {
        let (nothing, _writer) = io::pipe().unwrap();
        let mut chunk = vec![0; CHUNK];
        let mut complaints = Complaints::default();
        while !until() {
            let mut polled = pair.polled(nothing.as_fd());
            nix::poll::poll(&mut polled, 10u8).unwrap();
            let heard = polled.map(|polled| polled.revents().unwrap());
            if pair.carry(heard, &mut chunk, &mut complaints) == Progress::Over {
                return Progress::Over;
            }
        }
        Progress::GoesOn
    }

    #[test]
    fn both_directions_are_relayed_and_end_separately() {
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = service.local_addr().unwrap().port();
        let (mut client, near) = connection();
        let mut pair = Pair::begin(near, Service { protocol: Protocol::Tcp, port }).unwrap();
        // More than any buffer on the way holds, each way.
        let question: Vec<u8> = (0..20_000_000u32).map(|n| (n % 251) as u8).collect();
        let answer: Vec<u8> = (0..20_000_000u32).map(|n| (n % 241) as u8).collect();
        std::thread::scope(|scope| {
            let serving = scope.spawn(|| {
                let (mut stream, _) = service.accept().unwrap();
                let mut got = Vec::new();
                // The question ends before the answer begins.
                stream.read_to_end(&mut got).unwrap();
                stream.write_all(&answer).unwrap();
                got
            });
            let asking = scope.spawn(|| {
                client.write_all(&question).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                let mut got = Vec::new();
                client.read_to_end(&mut got).unwrap();
                got
            });
            assert_eq!(carry(&mut pair, || false), Progress::Over);
            drop(pair);
            assert!(serving.join().unwrap() == question && asking.join().unwrap() == answer);
        });
    }

    #[test]
    fn who_is_refused_or_broken_off_learns_it() {
        // Nobody listens there.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (mut client, near) = connection();
        let service = Service { protocol: Protocol::Tcp, port };
        if let Ok(mut pair) = Pair::begin(near, service) {
            assert_eq!(carry(&mut pair, || false), Progress::Over);
        }
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        // A service that breaks off in the middle.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let service = Service { protocol: Protocol::Tcp, port: listener.local_addr().unwrap().port() };
        let (mut client, near) = connection();
        let mut pair = Pair::begin(near, service).unwrap();
        let (far, _) = listener.accept().unwrap();
        reset(&far);
        drop(far);
        assert_eq!(carry(&mut pair, || false), Progress::Over);
        drop(pair);
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        // A client that does.
        let (client, near) = connection();
        let mut pair = Pair::begin(near, service).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        reset(&client);
        drop(client);
        assert_eq!(carry(&mut pair, || false), Progress::Over);
        drop(pair);
        assert_eq!(far.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_service_of_either_family_is_found() {
        let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
        let service = Service { protocol: Protocol::Tcp, port: listener.local_addr().unwrap().port() };
        let (mut client, near) = connection();
        let mut pair = Pair::begin(near, service).unwrap();
        client.write_all(b"x").unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut far = None;
        carry(&mut pair, || {
            far = far.take().or_else(|| listener.accept().ok());
            far.is_some()
        });
        assert!(far.is_some());
    }
}
