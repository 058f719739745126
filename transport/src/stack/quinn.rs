//! QUIC, both ends, by quinn: settings, the client's connection, the server's endpoint.
//!
//! The server must not send a datagram to an address that has shown nothing. A client therefore
//! derives the connection ID of its first packet from the session's secret: the server finds the
//! session, and its settings, by that ID before it answers, ignores every other first packet, and
//! lets nothing at all out of its socket (no version negotiation, no stateless reset) to addresses
//! that were never accepted. Who sees the first packet can repeat it from another address while the session
//! lasts; what the server sends there is at most three times what came (RFC 9000, section 8.1).

mod client;
mod config;
mod connection;
mod ending;
mod expected;
mod flight;
mod parameters;
mod qlog;
mod server;
mod socket;
#[cfg(test)]
mod tests;

pub use client::{Endpoint, connect};
pub use connection::Connection;
pub(crate) use connection::{Probe, RecvStream, SendStream};
pub use server::{Incoming, Server};
