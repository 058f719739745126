//! A connection of quinn and its streams, and what is noted of it at this end.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use quinn::{ConnectionId, VarInt};
use samepath_model::record::{End, Setting};
use sha2::{Digest, Sha256};

use super::config;
use super::ending::failed;
use super::flight::Flight;
use super::qlog::log_directory;
use crate::credentials::{Preface, Secret};
use crate::frame::HEADER_LEN;
use crate::plan::SEGMENT;
use crate::probe::Sample;
use crate::quic::{Observer, protection};
use crate::tcp::canonical;
use crate::{Plan, TransportError};

/// A QUIC connection, and what it does not know itself.
#[derive(Debug)]
pub struct Connection {
    pub(super) inner: quinn::Connection,
    pub(super) below: Below,
}

/// What lies below a QUIC connection.
#[derive(Debug)]
pub(super) struct Below {
    /// Effective settings of the socket.
    pub(super) settings: Vec<Setting>,
    /// The port from which the client connects.
    pub(super) client_port: u16,
    /// Who notes its packets, where they are attributed to messages.
    pub(super) observer: Option<Arc<Observer>>,
    /// Its bytes in flight.
    pub(super) flight: Flight,
}

impl Connection {
    /// Shows whose connection it is, on its first stream.
    ///
    /// # Errors
    /// When the connection broke.
    pub(crate) async fn show(&self, preface: Preface) -> Result<(), TransportError> {
        let (mut send, _) = self.inner.open_bi().await.map_err(failed)?;
        send.write_all(&preface.encode()).await.map_err(failed)?;
        let _ = send.finish();
        Ok(())
    }

    /// Reads whose connection it is.
    ///
    /// # Errors
    /// When it is not that of the expected session.
    pub(crate) async fn shown(&self, secret: Secret) -> Result<Preface, TransportError> {
        let (_, mut stream) = self.inner.accept_bi().await.map_err(failed)?;
        let preface = Preface::read(&mut stream).await.map_err(failed)?;
        if preface.secret != secret {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "another session's secret").into());
        }
        Ok(preface)
    }

    /// The port from which the client connects.
    pub(crate) const fn client_port(&self) -> u16 {
        self.below.client_port
    }

    /// What was asked, and what is in force.
    pub(crate) fn settings(&self, plan: &Plan, end: End) -> Vec<Setting> {
        config::settings(&self.inner, plan, end, &self.below.settings)
    }

    /// Who notes its packets, where they are attributed to messages, or logged.
    pub(crate) const fn observer(&self) -> Option<&Arc<Observer>> {
        self.below.observer.as_ref()
    }

    /// A handle to ask it by.
    pub(crate) fn probe(&self) -> Probe {
        Probe { connection: self.inner.clone(), flight: self.below.flight.clone() }
    }

    /// Opens a stream to be written.
    pub(crate) async fn open(&self) -> Result<SendStream, TransportError> {
        let stream = self.inner.open_uni().await.map_err(failed)?;
        Ok(SendStream { stream, connection: self.inner.clone() })
    }

    /// The next stream that the peer has opened.
    pub(crate) async fn accept(&self) -> Result<RecvStream, TransportError> {
        Ok(RecvStream(self.inner.accept_uni().await.map_err(failed)?))
    }

    /// Whether the peer's address is IPv6 (IPv4 in IPv6's clothes is not).
    pub(crate) fn is_ipv6(&self) -> bool {
        canonical(self.inner.remote_address()).is_ipv6()
    }

    /// Sends a datagram, waiting until the buffer takes it.
    pub(crate) async fn send_datagram(&self, datagram: Bytes) -> Result<(), TransportError> {
        let size = datagram.len();
        self.inner.send_datagram_wait(datagram).await.map_err(|error| match error {
            quinn::SendDatagramError::ConnectionLost(error) => failed(error),
            error => io::Error::other(format!("a datagram of {size} bytes cannot be sent: {error}")).into(),
        })
    }

    /// Receives the datagrams that are there, waiting for at least one.
    pub(crate) async fn receive_datagrams(&self, into: &mut Vec<Bytes>) -> Result<(), TransportError> {
        /// What is handled in one go.
        const MOST: usize = 64;
        into.clear();
        into.push(self.inner.read_datagram().await.map_err(failed)?);
        while into.len() < MOST {
            let mut next = pin!(self.inner.read_datagram());
            match poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await {
                Poll::Ready(datagram) => into.push(datagram.map_err(failed)?),
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Waits until it has ended, for whatever reason.
    pub async fn closed(&self) {
        self.inner.closed().await;
    }
}

/// A stream to be written.
#[derive(Debug)]
pub(crate) struct SendStream {
    stream: quinn::SendStream,
    connection: quinn::Connection,
}

impl SendStream {
    /// Its ID, type bits included (RFC 9000, section 2.1).
    pub(crate) fn id(&self) -> u64 {
        VarInt::from(self.stream.id()).into_inner()
    }

    /// Higher goes first; streams of one priority take turns.
    pub(crate) fn set_priority(&self, priority: i32) -> Result<(), TransportError> {
        self.stream.set_priority(priority).map_err(failed)
    }

    /// Hands over all of `chunks`, in order, without copying.
    pub(crate) async fn write_all(&mut self, chunks: &mut [Bytes]) -> Result<(), TransportError> {
        self.stream.write_all_chunks(chunks).await.map_err(failed)
    }

    /// Keeps what waits in the transport to what keeps it busy: twice the congestion window, as
    /// the kernel's autotuning does for TCP. quinn would buffer its whole send window, and a
    /// transfer for a time would go on for seconds after it on a slow path.
    ///
    /// On a path of unknown rate (`is_known` false) four bandwidth-delay products as measured are
    /// enough, too: where nothing is ever lost, as within a host, the congestion window grows
    /// without end, and only the socket's buffer with it.
    ///
    /// Returns the longest chunk that should be written: quinn counts a chunk until all of it is
    /// acknowledged, so one as long as the window would stop the sender for a round trip.
    ///
    /// Where `unsent` is given, no more than so much waits to be sent, as `TCP_NOTSENT_LOWAT` has it.
    pub(crate) fn bound_backlog(&self, most: u64, is_known: bool, unsent: Option<u64>) -> u64 {
        const LEAST: u64 = 512 << 10;
        const LEAST_UNKNOWN: u64 = 1 << 20;
        let path = self.connection.stats().path;
        let mut window = path.cwnd.saturating_mul(2).max(LEAST);
        if !is_known {
            let unqueued = path.min_rtt.as_secs_f64() / path.rtt.as_secs_f64().max(1e-9);
            let bdp = path.cwnd as f64 * unqueued.min(1.0);
            window = window.min(((4.0 * bdp) as u64).max(LEAST_UNKNOWN));
        }
        let window = window.min(unsent.map_or(u64::MAX, |unsent| path.cwnd + unsent)).min(most);
        self.connection.set_send_window(window);
        (window / 16).max(1)
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&mut self) {
        // It fails only where the stream is closed already.
        let _ = self.stream.finish();
    }

    /// Ends it without its rest (RFC 9000, section 3.1); whether the peer was not known to have all of it.
    pub(crate) fn reset(&mut self) -> bool {
        self.stream.reset(VarInt::from_u32(0)).is_ok()
    }

    /// Waits until the peer has all of it, or has no use for it.
    pub(crate) async fn acknowledged(&mut self) {
        // Where the connection ends before, nothing of it is waited for any more.
        let _ = self.stream.stopped().await;
    }
}

/// A stream to be read.
#[derive(Debug)]
pub(crate) struct RecvStream(quinn::RecvStream);

impl RecvStream {
    /// Reads what is there into `chunks`, waiting for at least one; how many it is, 0 at the stream's end, `None` where its
    /// sender has given up the rest.
    pub(crate) async fn read_chunks(&mut self, chunks: &mut [Bytes]) -> Result<Option<usize>, TransportError> {
        match self.0.read_chunks(chunks).await {
            Ok(read) => Ok(Some(read.unwrap_or(0))),
            Err(quinn::ReadError::Reset(_)) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

/// A handle by which a connection is asked and told.
#[derive(Debug)]
pub(crate) struct Probe {
    connection: quinn::Connection,
    flight: Flight,
}

impl Probe {
    /// What the connection says of itself; quinn does not say how fast it paces.
    pub(crate) fn sample(&self) -> Sample {
        let path = self.connection.stats().path;
        Sample {
            segment: SEGMENT,
            window: Some(path.cwnd),
            srtt_us: Some(u64::try_from(path.rtt.as_micros()).unwrap_or(u64::MAX)),
            retransmissions: Some(path.lost_packets),
            in_flight: Some(self.flight.bytes()),
            ..Sample::default()
        }
    }

    /// Bytes in flight. What waits in quinn to be sent it does not tell, but nothing does where the peer has all.
    pub(crate) fn unacknowledged(&self) -> u64 {
        self.flight.unacknowledged()
    }

    /// See [`Flight::open`].
    pub(crate) fn open_window(&self, open: bool) {
        self.flight.open(open);
    }

    /// See [`Flight::note_full`].
    pub(crate) fn note_full_window(&self) {
        self.flight.note_full();
    }

    /// See [`Flight::take_full`].
    pub(crate) fn take_full_window(&self) -> Vec<(u64, bool)> {
        self.flight.take_full()
    }
}

/// The connection ID of the first packet of a session's connection of this number: visible to all, so a hash of the
/// secret.
pub(super) fn first_id(secret: &Secret, number: u16) -> ConnectionId {
    ConnectionId::new(&Sha256::digest([b"quic ", &secret[..], &number.to_be_bytes()].concat())[..20])
}

/// Who notes a connection's packets at this end, if they are to be attributed to messages, or logged. `id` is that of the
/// connection's first packet.
pub(super) fn observer(plan: &Plan, end: End, id: &ConnectionId) -> Option<Arc<Observer>> {
    let logs = log_directory().is_some();
    (plan.attribution || logs).then(|| {
        let observer = Observer::new(end, plan.attribution, logs);
        protection::observe_initial(id, &observer);
        observer
    })
}

/// The payload of the datagrams that messages are cut into.
pub(super) fn datagram_capacity(plan: &Plan, ipv6: bool) -> u64 {
    (plan.datagram(ipv6) - HEADER_LEN) as u64
}
