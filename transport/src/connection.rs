//! Data connections, whatever carries them, and their byte streams: the one file that tells the stacks apart.
//!
//! A stack is a module of its own, and a variant in each enum here; what is above asks only for what a
//! connection offers (`Service`).
//!
//! Invariant: `tcp`, `tls` and `quic/shared` run the very same code above this module.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use rustls::ServerConfig;
use samepath_model::arm::{OrderingDomain, Transport};
use samepath_model::record::{End, Setting};
use samepath_model::units::ByteCount;
use samepath_model::workload::MessageId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::credentials::{Preface, Secret};
use crate::identity::{self, Fingerprint, Identity};
use crate::ports::Ports;
use crate::probe::Sample;
use crate::quic::Observer;
use crate::stack::quinn;
use crate::tls::{DataStream, Tap};
use crate::vectored::write_vectored;
use crate::{Plan, TransportError, clock, tcp, tls, udp};

/// A data connection that belongs to a session.
#[derive(Debug)]
pub enum Connection {
    /// One TCP connection, and its number among those of the session.
    Tcp(u16, TcpStream),
    /// One TLS connection, and its number.
    Tls(u16, Box<DataStream>),
    /// One QUIC connection by quinn, on which streams are opened as the mapping says, and its number.
    Quinn(u16, quinn::Connection),
    /// A UDP socket connected to the peer, and its number.
    Udp(u16, udp::Datagrams),
}

/// What a connection offers to the payload (RFC 8095).
#[derive(Debug)]
pub(crate) enum Service<S> {
    /// One ordered byte stream.
    Stream(S),
    /// Any number of ordered byte streams.
    Streams(Streams),
    /// Datagrams, of which any may be lost.
    Datagrams(Datagrams),
}

/// How a connection's packets are attributed to messages, where sequence numbers alone do not say it.
#[derive(Debug)]
pub(crate) enum Attribution {
    /// By sequence numbers alone, or by what the datagrams say themselves.
    Plain,
    /// By the TLS records that are written.
    Records(Tap),
    /// By the packets as they are sealed and opened.
    Packets(Arc<Observer>),
}

/// The client's end of a connection that is up.
#[derive(Debug)]
pub struct Dialed {
    /// The connection, which has shown whose it is.
    pub connection: Connection,
    /// When its handshake was done: CLOCK_MONOTONIC, nanoseconds; `None` where there is none.
    pub up_at: Option<u64>,
    /// What must outlive it, where anything must.
    pub endpoint: Option<Endpoint>,
}

/// What a client's connection comes from.
#[derive(Debug)]
pub enum Endpoint {
    /// An endpoint of quinn.
    Quinn(quinn::Endpoint),
}

/// Connects to a server's port for the plan's transport, and shows whose connection it is.
///
/// # Errors
/// When the server cannot be reached, a handshake fails, or the connection broke.
pub async fn dial(
    address: SocketAddr,
    plan: &Plan,
    fingerprint: Fingerprint,
    preface: Preface,
) -> Result<Dialed, TransportError> {
    let mut up_at = None;
    let mut up = || up_at = Some(clock::now());
    let mut endpoint = None;
    let connection = match plan.arm.transport {
        Transport::Tcp => {
            let mut stream = tcp::connect(address, plan).await?;
            up();
            preface.write(&mut stream).await?;
            Connection::Tcp(preface.number, stream)
        }
        Transport::Tls => {
            let mut stream = tls::connect(address, plan, fingerprint).await?;
            up();
            preface.write(&mut stream).await?;
            Connection::Tls(preface.number, Box::new(stream))
        }
        Transport::Quic => {
            let (connection, its) = quinn::connect(address, plan, fingerprint, preface).await?;
            up();
            connection.show(preface).await?;
            endpoint = Some(Endpoint::Quinn(its));
            Connection::Quinn(preface.number, connection)
        }
        Transport::Udp => {
            let datagrams = udp::Datagrams::connect(address, preface, plan.time_limit.std()).await?;
            Connection::Udp(preface.number, datagrams)
        }
    };
    Ok(Dialed { connection, up_at, endpoint })
}

/// Makes a client's connections one by one, as they are needed.
#[derive(Debug, Clone)]
pub struct Dialer {
    /// Where it leads to; another server may take the place of one that was killed.
    pub access: watch::Receiver<Access>,
    /// What the session does.
    pub plan: Plan,
}

/// A server as data connections reach it.
#[derive(Debug, Clone)]
pub struct Access {
    /// Its ports for the plan's transport: of several servers, each has one.
    pub addresses: Vec<SocketAddr>,
    /// Its certificate.
    pub fingerprint: Fingerprint,
    /// The session's secret.
    pub secret: Secret,
}

impl Access {
    /// Where the server of this number is.
    ///
    /// # Errors
    /// When there is none.
    pub fn address(&self, server: u16) -> Result<SocketAddr, TransportError> {
        let missing = || TransportError::Control(format!("there is no server of number {server}"));
        self.addresses.get(usize::from(server)).copied().ok_or_else(missing)
    }
}

impl Dialer {
    /// Connects once more, for this message. What shows whose connection it is has to be written first, and goes with what
    /// follows: it would be a packet more, which an application does not have.
    ///
    /// # Errors
    /// As [`dial`].
    pub(crate) async fn dial(&self, message: MessageId) -> Result<(Connection, Bytes), TransportError> {
        let number = self.plan.workload.server_of(message.stream);
        let Access { fingerprint, secret, .. } = *self.access.borrow();
        let address = self.access.borrow().address(number)?;
        let preface = Preface { secret, number };
        let connection = match self.plan.arm.transport {
            Transport::Tcp => Connection::Tcp(number, tcp::connect(address, &self.plan).await?),
            Transport::Tls => Connection::Tls(number, Box::new(tls::connect(address, &self.plan, fingerprint).await?)),
            Transport::Quic | Transport::Udp => unreachable!("its messages share a connection"),
        };
        Ok((connection, Bytes::copy_from_slice(&preface.encode())))
    }
}

/// A server's data ports.
#[derive(Debug)]
pub struct Listeners {
    /// TCP.
    pub tcp: Listener,
    /// TLS over TCP.
    pub tls: Listener,
    /// QUIC, over UDP.
    pub quic: Listener,
    /// Plain UDP, where nothing but a preface ever arrives.
    pub udp: udp::Server,
    /// The sessions whose clients may connect.
    pub admission: Admission,
    /// The ports themselves.
    pub ports: Ports,
}

/// Binds the data ports of the server of this number; 0 lets the kernel choose one.
///
/// # Errors
/// When a port is taken or not permitted, with the remedy.
pub fn listen(
    at: impl Fn(Transport) -> SocketAddr,
    number: u16,
    identity: &Identity,
) -> Result<Listeners, TransportError> {
    let tcp = tcp::listen(at(Transport::Tcp))?;
    let tls = tcp::listen(at(Transport::Tls))?;
    let quic = Arc::new(quinn::Server::bind(at(Transport::Quic), number, identity)?);
    let udp = udp::Server::bind(at(Transport::Udp))?;
    Ok(Listeners {
        ports: Ports::from_iter([
            (Transport::Tcp, tcp.local_addr()?.port()),
            (Transport::Tls, tls.local_addr()?.port()),
            (Transport::Quic, quic.local_addr()?.port()),
            (Transport::Udp, udp.local_addr().port()),
        ]),
        tcp: Listener::Tcp(tcp),
        tls: Listener::Tls(tls, Arc::new(identity.server_config(identity::ALPN_DATA)?)),
        quic: Listener::Quinn(quic.clone()),
        udp,
        admission: Admission { quinn: quic },
    })
}

/// A data port at which connections arrive.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// TLS over TCP.
    Tls(TcpListener, Arc<ServerConfig>),
    /// QUIC by quinn.
    Quinn(Arc<quinn::Server>),
}

impl Listener {
    /// The transport of its connections.
    pub const fn transport(&self) -> Transport {
        match self {
            Listener::Tcp(_) => Transport::Tcp,
            Listener::Tls(..) => Transport::Tls,
            Listener::Quinn(_) => Transport::Quic,
        }
    }

    /// The next connection; `None` once the port is closed.
    ///
    /// # Errors
    /// When none can be taken for the moment: the process has no file descriptors left.
    pub async fn accept(&self) -> io::Result<Option<Incoming>> {
        Ok(match self {
            Listener::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                Some(Incoming::Tcp(stream, from))
            }
            Listener::Tls(listener, config) => {
                let (stream, from) = listener.accept().await?;
                Some(Incoming::Tls(stream, from, config.clone()))
            }
            Listener::Quinn(server) => server.accept().await.map(Incoming::Quinn),
        })
    }
}

/// The sessions whose clients the listeners may let in before these have proven anything.
#[derive(Debug)]
pub struct Admission {
    quinn: Arc<quinn::Server>,
}

impl Admission {
    /// Lets a session's client connect; `same_host` is whether it runs on this host.
    pub fn expect(&self, secret: Secret, plan: &Plan, same_host: bool) {
        match plan.arm.transport {
            Transport::Quic => self.quinn.expect(secret, plan, same_host),
            // Whoever connects shows the secret itself.
            Transport::Tcp | Transport::Tls | Transport::Udp => {}
        }
    }

    /// Lets it connect no longer.
    pub fn forget(&self, secret: &Secret) {
        self.quinn.forget(secret);
    }

    /// Ends every connection that was let in so.
    pub fn close(&self) {
        self.quinn.close();
    }
}

/// A connection that has arrived, and has proven nothing.
#[derive(Debug)]
pub enum Incoming {
    /// TCP, and where it comes from.
    Tcp(TcpStream, SocketAddr),
    /// TCP without its handshake of TLS yet.
    Tls(TcpStream, SocketAddr, Arc<ServerConfig>),
    /// QUIC without its handshake yet.
    Quinn(quinn::Incoming),
}

impl Incoming {
    /// Where it comes from.
    pub fn remote_address(&self) -> SocketAddr {
        match self {
            Incoming::Tcp(_, from) | Incoming::Tls(_, from, _) => *from,
            Incoming::Quinn(incoming) => incoming.remote_address(),
        }
    }

    /// The session that expects it, where its first packet says so.
    pub const fn expected_by(&self) -> Option<Secret> {
        match self {
            Incoming::Tcp(..) | Incoming::Tls(..) => None,
            Incoming::Quinn(incoming) => Some(incoming.secret()),
        }
    }

    /// Completes the handshake, where there is one.
    ///
    /// # Errors
    /// When it fails.
    pub async fn handshake(self) -> Result<Unclaimed, TransportError> {
        Ok(match self {
            Incoming::Tcp(stream, _) => Unclaimed::Tcp(stream),
            // The tickets are off, so nothing follows the handshake that Nagle could hold up.
            Incoming::Tls(stream, _, config) => Unclaimed::Tls(Box::new(tls::accept_data(config, stream).await?)),
            Incoming::Quinn(incoming) => Unclaimed::Quinn(incoming.secret(), incoming.handshake().await?),
        })
    }
}

/// A connection that is up, and has not shown whose it is.
#[derive(Debug)]
pub enum Unclaimed {
    /// TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<DataStream>),
    /// QUIC by quinn, and the session that expects it.
    Quinn(Secret, quinn::Connection),
}

impl Unclaimed {
    /// Reads whose it is.
    ///
    /// # Errors
    /// When it ends, or starts with anything but a preface, or with another session's than the one that expects it.
    pub async fn preface(self) -> Result<(Preface, Connection), TransportError> {
        Ok(match self {
            Unclaimed::Tcp(mut stream) => {
                let preface = Preface::read(&mut stream).await?;
                (preface, Connection::Tcp(preface.number, stream))
            }
            Unclaimed::Tls(mut stream) => {
                let preface = Preface::read(&mut stream).await?;
                (preface, Connection::Tls(preface.number, stream))
            }
            Unclaimed::Quinn(secret, connection) => {
                let preface = connection.shown(secret).await?;
                (preface, Connection::Quinn(preface.number, connection))
            }
        })
    }
}

impl Connection {
    /// Sets what the plan says at the server's end, which knows it only now.
    ///
    /// # Errors
    /// When the kernel refuses, with the remedy.
    pub fn tune(&self, plan: &Plan) -> Result<(), TransportError> {
        match self {
            Connection::Tcp(_, stream) => tcp::tune(&stream.into(), plan),
            Connection::Tls(_, stream) => tcp::tune(&tls::socket(stream).into(), plan),
            // Their settings were known when they were made.
            Connection::Quinn(..) | Connection::Udp(..) => Ok(()),
        }
    }

    /// Its number among those of the session.
    pub(crate) const fn number(&self) -> u16 {
        match self {
            Connection::Tcp(number, _)
            | Connection::Tls(number, _)
            | Connection::Quinn(number, _)
            | Connection::Udp(number, _) => *number,
        }
    }

    /// The port from which the client connects.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn client_port(&self, end: End) -> io::Result<u16> {
        let of_tcp = |stream: &TcpStream| match end {
            End::Client => stream.local_addr(),
            End::Server => stream.peer_addr(),
        };
        match self {
            Connection::Tcp(_, stream) => of_tcp(stream).map(|address| address.port()),
            Connection::Tls(_, stream) => of_tcp(tls::socket(stream)).map(|address| address.port()),
            Connection::Quinn(_, connection) => Ok(connection.client_port()),
            Connection::Udp(_, datagrams) => datagrams.client_port(end),
        }
    }

    /// What was asked, and what is in force on it.
    pub(crate) fn settings(&self, plan: &Plan, end: End) -> Vec<Setting> {
        match self {
            Connection::Tcp(_, stream) => tcp::settings(&stream.into(), plan),
            Connection::Tls(_, stream) => {
                let mut settings = tcp::settings(&tls::socket(stream).into(), plan);
                settings.extend(tls::settings(stream));
                settings
            }
            Connection::Quinn(_, connection) => connection.settings(plan, end),
            Connection::Udp(_, datagrams) => datagrams.settings().to_vec(),
        }
    }

    /// What is in force on it at its sender alone.
    pub(crate) fn sender_setting(&self, plan: &Plan) -> Option<Setting> {
        matches!(self, Connection::Tls(..)).then(|| tls::record_size(plan))
    }

    /// Bytes that this end has written on the byte stream that carries the payload, before the first frame.
    pub(crate) fn written_before(&self, end: End) -> u64 {
        let shows_preface = end == End::Client && matches!(self, Connection::Tcp(..) | Connection::Tls(..));
        if shows_preface { Preface::LEN as u64 } else { 0 }
    }

    /// A handle to ask it by, while others read and write it; `None` where there is nothing to ask.
    pub(crate) fn probe(&self) -> io::Result<Option<Probe>> {
        Ok(match self {
            Connection::Tcp(_, stream) => Some(Probe::Tcp(tcp::watch(stream)?)),
            Connection::Tls(_, stream) => Some(Probe::Tcp(tcp::watch(tls::socket(stream))?)),
            Connection::Quinn(_, connection) => Some(Probe::Quinn(connection.probe())),
            Connection::Udp(..) => None,
        })
    }

    /// By what its packets are attributed to messages.
    pub(crate) fn attribution(&self) -> Attribution {
        match self {
            Connection::Tls(_, stream) => Attribution::Records(stream.get_ref().0.tap()),
            Connection::Quinn(_, connection) => {
                connection.observer().map_or(Attribution::Plain, |observer| Attribution::Packets(observer.clone()))
            }
            Connection::Tcp(..) | Connection::Udp(..) => Attribution::Plain,
        }
    }

    /// What it offers to an end that sends, and to one that receives; both of them may be one.
    pub(crate) fn split(
        self,
        plan: &Plan,
        sends: bool,
        receives: bool,
    ) -> (Option<Service<SendStream>>, Option<Service<RecvStream>>) {
        match self {
            Connection::Tcp(_, stream) => {
                let (reader, writer) = tcp::split(stream);
                let (send, receive) = (SendStream::Tcp(writer), RecvStream::Tcp(reader));
                (sends.then_some(Service::Stream(send)), receives.then_some(Service::Stream(receive)))
            }
            Connection::Tls(_, stream) => {
                let (reader, writer) = tls::split(stream, sends, receives);
                let record = plan.tls_record().unwrap_or(usize::MAX);
                let send = writer.map(|writer| Service::Stream(SendStream::Tls(writer, record)));
                (send, reader.map(|reader| Service::Stream(RecvStream::Tls(reader))))
            }
            Connection::Quinn(_, connection) => {
                let connection = Arc::new(connection);
                if plan.arm.ordering == OrderingDomain::Nothing {
                    let datagrams = || Datagrams::Quinn(connection.clone());
                    let received = receives.then(|| Service::Datagrams(datagrams()));
                    return (sends.then(|| Service::Datagrams(datagrams())), received);
                }
                let streams = || Streams::Quinn(connection.clone());
                (sends.then(|| Service::Streams(streams())), receives.then(|| Service::Streams(streams())))
            }
            // Its socket is read in any case, for repeated prefaces, whose answer was lost.
            Connection::Udp(_, datagrams) => {
                let datagrams = Datagrams::Udp(datagrams);
                (sends.then(|| Service::Datagrams(datagrams.clone())), Some(Service::Datagrams(datagrams)))
            }
        }
    }
}

/// A connection of datagrams.
#[derive(Debug, Clone)]
pub(crate) enum Datagrams {
    Udp(udp::Datagrams),
    Quinn(Arc<quinn::Connection>),
}

/// Where a reader puts datagrams: reused from read to read.
#[derive(Debug)]
pub(crate) enum Received {
    Buffers(Box<udp::ReceiveBuffers>),
    Chunks(Vec<Bytes>),
}

impl Received {
    /// The datagrams of the last read, in order.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let (buffers, chunks) = match self {
            Received::Buffers(buffers) => (Some(buffers.datagrams()), None),
            Received::Chunks(chunks) => (None, Some(chunks.iter().map(|chunk| &chunk[..]))),
        };
        buffers.into_iter().flatten().chain(chunks.into_iter().flatten())
    }
}

impl Datagrams {
    /// Whether the peer's address is IPv6.
    pub(crate) fn is_ipv6(&self) -> bool {
        match self {
            Datagrams::Udp(socket) => socket.is_ipv6(),
            Datagrams::Quinn(connection) => connection.is_ipv6(),
        }
    }

    /// Whether a datagram is itself a packet, in which the ledger finds it.
    pub(crate) const fn are_packets(&self) -> bool {
        matches!(self, Datagrams::Udp(_))
    }

    /// The byte streams beside them, where there are any.
    pub(crate) fn streams(&self) -> Option<Streams> {
        match self {
            Datagrams::Udp(_) => None,
            Datagrams::Quinn(connection) => Some(Streams::Quinn(connection.clone())),
        }
    }

    /// The most that [`Datagrams::send`] takes at once of datagrams of this size.
    pub(crate) fn max_batch(&self, size: usize) -> usize {
        /// Each is copied and handed over by itself.
        const QUIC: usize = 16;
        match self {
            Datagrams::Udp(socket) => socket.max_batch(size),
            Datagrams::Quinn(_) => QUIC,
        }
    }

    /// Sends datagrams of `size` bytes each, the last of which may be shorter.
    pub(crate) async fn send(&self, contents: &[u8], size: usize) -> Result<(), TransportError> {
        match self {
            Datagrams::Udp(socket) => socket.send(contents, size).await,
            Datagrams::Quinn(connection) => {
                for datagram in contents.chunks(size) {
                    connection.send_datagram(Bytes::copy_from_slice(datagram)).await?;
                }
                Ok(())
            }
        }
    }

    /// Where to put what is received.
    pub(crate) fn received(&self) -> Received {
        match self {
            Datagrams::Udp(socket) => Received::Buffers(Box::new(socket.receive_buffers())),
            Datagrams::Quinn(_) => Received::Chunks(Vec::new()),
        }
    }

    /// Receives what is there, waiting for at least one datagram.
    pub(crate) async fn receive(&self, into: &mut Received) -> Result<(), TransportError> {
        match (self, into) {
            (Datagrams::Udp(socket), Received::Buffers(buffers)) => socket.receive(buffers).await?,
            (Datagrams::Quinn(connection), Received::Chunks(chunks)) => connection.receive_datagrams(chunks).await?,
            _ => unreachable!("a reader is used with the buffers it made"),
        }
        Ok(())
    }

    /// Whether a datagram only shows whose connection it is; answers it where that is to be.
    pub(crate) fn is_preface(&self, datagram: &[u8]) -> bool {
        match self {
            Datagrams::Udp(socket) => socket.is_preface(datagram),
            // It was shown on a stream.
            Datagrams::Quinn(_) => false,
        }
    }
}

/// A connection of many byte streams.
#[derive(Debug)]
pub(crate) enum Streams {
    Quinn(Arc<quinn::Connection>),
}

impl Streams {
    /// Opens a stream to be written, waiting for the credit to do so (RFC 9000, section 4.6).
    pub(crate) async fn open(&self) -> Result<SendStream, TransportError> {
        match self {
            Streams::Quinn(connection) => connection.open().await.map(SendStream::Quinn),
        }
    }

    /// The next stream that the peer has opened. Cancel-safe.
    pub(crate) async fn accept(&self) -> Result<RecvStream, TransportError> {
        match self {
            Streams::Quinn(connection) => connection.accept().await.map(RecvStream::Quinn),
        }
    }
}

/// An ordered byte stream, to be written.
#[derive(Debug)]
pub(crate) enum SendStream {
    Tcp(tcp::Writer),
    /// With the most plaintext in a record.
    Tls(tls::Writer, usize),
    Quinn(quinn::SendStream),
}

impl SendStream {
    /// Its identifier on its connection; 0 where it is the connection.
    pub(crate) fn id(&self) -> u64 {
        match self {
            SendStream::Tcp(_) | SendStream::Tls(..) => 0,
            SendStream::Quinn(stream) => stream.id(),
        }
    }

    /// Says when it goes among the streams of its connection: higher goes first, and streams of one priority take
    /// turns.
    pub(crate) fn set_priority(&self, priority: i32) -> Result<(), TransportError> {
        match self {
            SendStream::Tcp(_) | SendStream::Tls(..) => Ok(()),
            SendStream::Quinn(stream) => stream.set_priority(priority),
        }
    }

    /// Hands all of `chunks` to the transport, in order, without copying where it can.
    pub(crate) async fn write_all(&mut self, chunks: &mut [Bytes]) -> Result<(), TransportError> {
        match self {
            SendStream::Tcp(stream) => write_vectored(&mut **stream, chunks, usize::MAX).await?,
            SendStream::Tls(stream, record) => {
                // What rustls is given in one call begins a record of its own. Its own setting of the
                // size is the server's, for all sessions; a session's is known after the handshake.
                write_vectored(stream, chunks, *record).await?;
                // rustls buffers what the socket did not take at once.
                stream.flush().await?;
            }
            SendStream::Quinn(stream) => stream.write_all(chunks).await?,
        }
        Ok(())
    }

    /// Whether other writers of the session draw on the same window of the transport.
    pub(crate) const fn shares_window(&self) -> bool {
        matches!(self, SendStream::Quinn(_))
    }

    /// Keeps what waits in the transport to what keeps it busy, at most to `most`; `is_known` is whether the path's
    /// rate is. Of what it is given no more than `unsent` waits to be sent, where that is told. Returns the longest chunk
    /// that should be written.
    pub(crate) fn bound_backlog(&self, most: u64, is_known: bool, unsent: Option<u64>) -> u64 {
        match self {
            // The kernel's autotuning does.
            SendStream::Tcp(_) | SendStream::Tls(..) => u64::MAX,
            SendStream::Quinn(stream) => stream.bound_backlog(most, is_known, unsent),
        }
    }

    /// Says that nothing more comes, where the transport can say so without ending the connection.
    pub(crate) fn finish(&mut self) {
        if let SendStream::Quinn(stream) = self {
            stream.finish();
        }
    }

    /// Says that nothing more comes, and lets the peer see the end of its connection.
    pub(crate) async fn close(&mut self) -> io::Result<()> {
        match self {
            SendStream::Tcp(stream) => stream.shutdown().await,
            SendStream::Tls(stream, _) => stream.shutdown().await,
            SendStream::Quinn(stream) => {
                stream.finish();
                Ok(())
            }
        }
    }

    /// Ends it without its rest, where the transport can without ending the connection; whether the peer does not have
    /// all of it yet, as far as is known here.
    pub(crate) fn reset(&mut self) -> bool {
        match self {
            SendStream::Tcp(_) | SendStream::Tls(..) => false,
            SendStream::Quinn(stream) => stream.reset(),
        }
    }

    /// Waits until the peer has acknowledged all of it, or has no use for it; where the transport does not say, for ever.
    pub(crate) async fn acknowledged(&mut self) {
        match self {
            SendStream::Tcp(_) | SendStream::Tls(..) => std::future::pending().await,
            SendStream::Quinn(stream) => stream.acknowledged().await,
        }
    }
}

/// An ordered byte stream, to be read.
#[derive(Debug)]
pub(crate) enum RecvStream {
    Tcp(tcp::Reader),
    Tls(tls::Reader),
    Quinn(quinn::RecvStream),
}

/// Where a reader puts what it reads: reused from read to read.
pub(crate) enum Scratch {
    Buffer(Vec<u8>, usize),
    Chunks(Vec<Bytes>, usize),
}

/// What a read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// Bytes, which lie where they were to be put.
    Bytes,
    /// The end of the stream.
    End,
    /// The sender has given the rest of the stream up.
    Reset,
}

/// Large enough to take much at once, small enough to stay in the processor's cache.
const BUFFER: usize = 256 << 10;

impl Scratch {
    /// The pieces of the last read, in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let (buffer, chunks) = match self {
            Scratch::Buffer(buffer, n) => (Some(&buffer[..*n]), None),
            Scratch::Chunks(chunks, n) => (None, Some(&chunks[..*n])),
        };
        buffer.into_iter().chain(chunks.into_iter().flatten().map(|chunk| &chunk[..]))
    }
}

impl RecvStream {
    /// Buffers for this reader.
    pub(crate) fn scratch(&self) -> Scratch {
        match self {
            RecvStream::Tcp(_) | RecvStream::Tls(_) => Scratch::Buffer(vec![0; BUFFER], 0),
            RecvStream::Quinn(_) => Scratch::Chunks(vec![Bytes::new(); 64], 0),
        }
    }

    /// Whether it ends by itself, while its connection goes on.
    pub(crate) const fn ends_alone(&self) -> bool {
        matches!(self, RecvStream::Quinn(_))
    }

    /// Reads what is there, waiting for at least a byte.
    pub(crate) async fn read(&mut self, scratch: &mut Scratch) -> Result<Read, TransportError> {
        match (self, &mut *scratch) {
            (RecvStream::Tcp(stream), Scratch::Buffer(buffer, n)) => *n = stream.read(buffer).await?,
            (RecvStream::Tls(stream), Scratch::Buffer(buffer, n)) => *n = stream.read(buffer).await?,
            (RecvStream::Quinn(stream), Scratch::Chunks(chunks, n)) => match stream.read_chunks(chunks).await? {
                Some(read) => *n = read,
                None => return Ok(Read::Reset),
            },
            _ => unreachable!("a reader is used with the buffers it made"),
        }
        Ok(match scratch {
            Scratch::Buffer(_, 0) | Scratch::Chunks(_, 0) => Read::End,
            Scratch::Buffer(..) | Scratch::Chunks(..) => Read::Bytes,
        })
    }
}

/// A connection that can be asked, and told, while others read and write it.
#[derive(Debug)]
pub(crate) enum Probe {
    Tcp(OwnedFd),
    Quinn(quinn::Probe),
}

impl Probe {
    /// What it says of itself; `None` where it could not be asked.
    pub(crate) fn sample(&self) -> Option<Sample> {
        match self {
            Probe::Tcp(socket) => tcp::sample(socket),
            Probe::Quinn(probe) => Some(probe.sample()),
        }
    }

    /// Whether the peer has closed its connection, and this end has not.
    pub(crate) fn peer_has_closed(&self) -> bool {
        match self {
            Probe::Tcp(socket) => tcp::info(socket).is_ok_and(|info| info.peer_has_closed),
            Probe::Quinn(_) => false,
        }
    }

    /// Bytes that are not acknowledged, where the peer has all of them.
    pub(crate) fn unacknowledged(&self) -> io::Result<u64> {
        match self {
            Probe::Tcp(socket) => tcp::unacknowledged(socket),
            Probe::Quinn(probe) => Ok(probe.unacknowledged()),
        }
    }

    /// Whether TCP sends the same again and again without an acknowledgement; QUIC probes the path itself.
    pub(crate) fn is_stuck(&self) -> bool {
        const IN_A_ROW: u8 = 3;
        match self {
            Probe::Tcp(socket) => tcp::info(socket).is_ok_and(|info| info.timeouts >= IN_A_ROW),
            Probe::Quinn(_) => false,
        }
    }

    /// Says again how large its receive window may be. The kernel forgets it: with a handshake of TLS before the
    /// schedule starts, else with the first full segment.
    pub(crate) fn limit_receive_window(&self, window: ByteCount) -> io::Result<()> {
        match self {
            Probe::Tcp(socket) => tcp::clamp_window(socket, window),
            Probe::Quinn(_) => Ok(()),
        }
    }

    /// Says to its congestion controller whether a warm-up is under way, where that has to be told.
    pub(crate) fn open_window(&self, open: bool) {
        if let Probe::Quinn(probe) = self {
            probe.open_window(open);
        }
    }

    /// From now on it is noted when its congestion window is full, where that shows.
    pub(crate) fn note_full_window(&self) {
        if let Probe::Quinn(probe) = self {
            probe.note_full_window();
        }
    }

    /// When its congestion window was full, and when it was not any more; handed over once.
    pub(crate) fn take_full_window(&self) -> Vec<(u64, bool)> {
        match self {
            Probe::Tcp(_) => Vec::new(),
            Probe::Quinn(probe) => probe.take_full_window(),
        }
    }
}
