//! Vocabulary of the control connection: what client and server say to each other.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::credentials::Secret;
use crate::identity::random;
use crate::plan::Plan;
use crate::ports::Ports;
use crate::report::Phase;

/// What a client says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Who speaks. Nothing else is said to a server that has proven nothing yet.
    Hello {
        /// HMAC by the token over the TLS session, as client.
        proof: [u8; 32],
    },
    /// Opens a session.
    Open {
        /// What is to be played.
        plan: Box<Plan>,
        /// Hash of the client's boot id: the same one means the same clock.
        host: [u8; 32],
    },
    /// Asks for the server's clock.
    Ping,
    /// The schedule starts at this instant of the server's clock.
    Start {
        /// CLOCK_MONOTONIC of the server, nanoseconds.
        epoch_ns: u64,
    },
    /// The client has the server's whole warm-up.
    PeerWarm,
    /// The client sends nothing more.
    PeerSent {
        /// How many messages it has sent.
        messages: u64,
    },
    /// Asks for the server's report, and so ends the session.
    Collect,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Who answers; said to a client alone that has proven itself.
    Proven {
        /// HMAC by the token over the TLS session, as server.
        proof: [u8; 32],
    },
    /// The session is open.
    Welcome {
        /// To be shown by data connections.
        secret: Secret,
        /// Where they go: the ports of each server that the workload needs.
        ports: Vec<Ports>,
        /// Hash of the server's boot id.
        host: [u8; 32],
    },
    /// No session, and why.
    Refused {
        /// For people.
        reason: String,
    },
    /// The server's clock.
    Pong {
        /// CLOCK_MONOTONIC of the server, nanoseconds.
        now_ns: u64,
    },
    /// How far the server's end has come.
    Reached(Phase),
    /// It sends nothing more.
    Sent {
        /// How many messages it has sent.
        messages: u64,
    },
    /// The server's end failed.
    Failed {
        /// For people.
        reason: String,
    },
}

/// Hash of this boot's id: equal at both ends means one host, and so one CLOCK_MONOTONIC.
pub(super) fn host() -> [u8; 32] {
    match std::fs::read("/proc/sys/kernel/random/boot_id") {
        Ok(id) => Sha256::digest(id).into(),
        // Never equal to anybody's.
        Err(_) => random(),
    }
}
