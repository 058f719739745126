//! What goes with a connection of quinn, at either end.

use std::sync::Arc;

use quinn::ConnectionId;
use samepath_model::record::{End, Setting};
use sha2::{Digest, Sha256};

use super::flight::Flight;
use super::observe::Observer;
use super::qlog::log_directory;
use crate::Plan;
use crate::credentials::Secret;

/// What lies below a QUIC connection.
#[derive(Debug)]
pub struct Below {
    /// Effective settings of the socket.
    pub settings: Vec<Setting>,
    /// The port from which the client connects.
    pub client_port: u16,
    /// Who notes its packets, where they are mapped to messages.
    pub observer: Option<Arc<Observer>>,
    /// Its bytes in flight.
    pub flight: Flight,
}

/// The connection ID of a session's first packet: visible to all, so a hash of the secret.
pub(super) fn first_id(secret: &Secret) -> ConnectionId {
    ConnectionId::new(&Sha256::digest([b"quic ", &secret[..]].concat())[..20])
}

/// Who notes a connection's packets at this end, if they are to be mapped to messages, or logged.
pub(super) fn observer(plan: &Plan, end: End, client_port: u16, ipv6: bool) -> Option<Arc<Observer>> {
    let room = plan.datagram(ipv6) - crate::frame::HEADER_LEN;
    let logs = log_directory().is_some();
    (plan.mapping || logs).then(|| Observer::new(end, client_port, room as u64, plan.mapping, logs))
}
