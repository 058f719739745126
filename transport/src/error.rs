//! What can go wrong between two ends.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use samepath_model::record::End;
use samepath_model::shortage;
use samepath_model::workload::{Codec, StreamId};

use crate::ending::Ending;
use crate::frame::FrameError;
use crate::plan::PlanError;

/// A session, or the connections it needs, that failed; with the remedy where there is one.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Nobody answers at the address.
    #[error(
        "cannot reach {address}: {cause}; {}",
        shortage::remedy(cause).unwrap_or("is `samepath server` running there, and does a firewall let the port through?")
    )]
    Unreachable {
        /// Where to.
        address: SocketAddr,
        /// What the kernel said.
        cause: io::Error,
    },
    /// None of a host's addresses led to a server.
    #[error("none of the host's {} addresses leads to a samepath server: {}", tried.len(), list(tried))]
    NoneOf {
        /// Why not, of each that was tried.
        tried: Vec<TransportError>,
    },
    /// Something answers, but does not speak our protocol.
    #[error("{address} answers, but is not a samepath server ({detail}); check address and port")]
    NotSamepath {
        /// Where to.
        address: SocketAddr,
        /// How it showed.
        detail: String,
    },
    /// Something takes connections, but ends them before it has said anything.
    #[error(
        "{address} hung up without a word: a samepath server does so where too many connections wait that have proven nothing (its log says so; try again); else something else listens there: check address and port"
    )]
    HungUp {
        /// Where to.
        address: SocketAddr,
    },
    /// The other end speaks another version of the protocol.
    #[error(
        "the other end speaks version {theirs} of the protocol, this one version {ours}; use the same samepath at both ends"
    )]
    Version {
        /// This program's.
        ours: u32,
        /// The peer's.
        theirs: u32,
    },
    /// The certificate is not the pinned one.
    #[error(
        "the server's certificate is {seen}, not {pinned}: either the server was restarted (it makes a new certificate at every start; copy the fingerprint it prints) or someone sits between"
    )]
    Fingerprint {
        /// What was asked for.
        pinned: String,
        /// What was presented.
        seen: String,
    },
    /// The server could not prove that it knows the token.
    #[error(
        "the server did not prove that it knows the token; check --token (or SAMEPATH_TOKEN), and that nobody sits between"
    )]
    ServerProof,
    /// The server said no.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// The other end failed.
    #[error("the other end reports: {0}")]
    Peer(String),
    /// The other end went away within the session.
    #[error(
        "the other end ended the session without a word: it was killed, or the way to it broke; see what it printed"
    )]
    Gone,
    /// The control connection broke or made no sense.
    #[error("control connection: {0}")]
    Control(String),
    /// A data connection could not be made, or broke.
    #[error("{transport} connection to {address}: {detail}")]
    Connection {
        /// Which transport.
        transport: &'static str,
        /// The peer.
        address: SocketAddr,
        /// What happened.
        detail: String,
        /// The system's error, where it was one.
        errno: Option<i32>,
    },
    /// A connection ended before its time.
    #[error("{0}")]
    Ended(Ending),
    /// Both ends have something to say of the failure.
    #[error("{ours}; the server reports: {theirs}")]
    Both {
        /// This end, the client.
        ours: Box<TransportError>,
        /// The server's reason.
        theirs: String,
    },
    /// A data connection ended before everything was delivered.
    #[error(
        "the other end closed a connection (its stream of bytes ended) while {missing} messages were still missing"
    )]
    Closed {
        /// How many.
        missing: u64,
    },
    /// Bytes arrived that were not sent.
    #[error(
        "payload mismatch in stream {stream}, message {seq}, at byte {offset}: what arrived is not what was sent; the trial does not count"
    )]
    Mismatch {
        /// The stream.
        stream: StreamId,
        /// The message.
        seq: u32,
        /// Where in the message.
        offset: u64,
    },
    /// A message that its coding does not make anything of.
    #[error(
        "stream {stream}, message {seq} is no {coding} of what was sent ({cause}): what arrived is not what was sent; the trial does not count"
    )]
    Undecodable {
        /// Its coding.
        coding: Codec,
        /// The stream.
        stream: StreamId,
        /// The message.
        seq: u32,
        /// What the decoder said.
        cause: io::Error,
    },
    /// Bytes that are no frame, or not one of this workload.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that does not belong to the workload, or comes out of order on an ordered stream.
    #[error("the peer sent bytes {offset}.. of stream {stream}, message {seq}, which the schedule does not have there")]
    Unexpected {
        /// The stream.
        stream: StreamId,
        /// The message.
        seq: u32,
        /// Where in the message.
        offset: u64,
    },
    /// A datagram is larger than the path lets through.
    #[error(
        "a datagram of {size} bytes does not fit the path: give a smaller `datagram`, or the path's true `mtu` ({cause})"
    )]
    TooLarge {
        /// UDP payload.
        size: usize,
        /// What the kernel said.
        cause: io::Error,
    },
    /// Something took longer than it may.
    #[error("{0}")]
    Timeout(String),
    /// The plan makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// TLS could not be set up.
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    /// A server takes three ports in a row, and there are not so many.
    #[error("port {port} has not {more} more above it, which TCP, UDP and TLS take; give at most {last} with --listen")]
    NoPortsAbove {
        /// The one that was given.
        port: u16,
        /// How many more it takes.
        more: u16,
        /// The last that can be.
        last: u16,
    },
    /// The book cannot be read or written.
    #[error(
        "the book {} cannot be kept, and without it no payment is confirmed: {cause}; free space there, or name another file",
        path.display()
    )]
    Book {
        /// Its file.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// A setting the host refuses.
    #[error("{what}: {cause}")]
    Host {
        /// What was tried, and the remedy.
        what: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// A socket failed.
    #[error("{}", shortage::told(cause))]
    Io {
        /// What the kernel said.
        cause: io::Error,
    },
}

/// Each on a line of its own.
fn list(all: &[TransportError]) -> String {
    all.iter().map(|error| format!("\n  {error}")).collect()
}

impl TransportError {
    /// Whether it is a connection that could not be made, or broke, and no more than that.
    pub(crate) const fn is_of_a_connection(&self) -> bool {
        matches!(
            self,
            TransportError::Connection { .. }
                | TransportError::Ended(_)
                | TransportError::Closed { .. }
                | TransportError::Io { .. }
        )
    }

    /// The name of the system's error, as `ECONNREFUSED`, or what else it was, in a word.
    pub(crate) fn kind(&self) -> String {
        let errno = match self {
            TransportError::Connection { errno, .. } => *errno,
            TransportError::Io { cause } => cause.raw_os_error(),
            _ => None,
        };
        let named = errno.map(nix::errno::Errno::from_raw).filter(|errno| *errno != nix::errno::Errno::UnknownErrno);
        named.map_or_else(|| "ended".to_owned(), |errno| format!("{errno:?}"))
    }

    /// Says which end tells it, so that whoever ended a connection has a name.
    #[must_use]
    pub fn seen_at(self, end: End) -> TransportError {
        match self {
            TransportError::Ended(ending) => {
                TransportError::Ended(Ending { seen_at: ending.seen_at.or(Some(end)), ..ending })
            }
            other => other,
        }
    }
}

/// Where the error says how a connection ended, its whole cause is taken over.
impl From<io::Error> for TransportError {
    fn from(cause: io::Error) -> TransportError {
        Ending::of(&cause).map_or(TransportError::Io { cause }, TransportError::Ended)
    }
}

impl From<rustls::Error> for TransportError {
    fn from(error: rustls::Error) -> TransportError {
        TransportError::Tls(error)
    }
}
