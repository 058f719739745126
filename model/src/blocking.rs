//! What head-of-line blocking did to the messages of a trial: the figures of its summary.
//!
//! Computed from the attribution of packets to messages ([`crate::attribution`]) and the ledger; never inferred from delays.

use serde::{Deserialize, Serialize};

use crate::percentiles::Percentiles;

/// Head-of-line blocking in one trial, over the messages that were delivered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocking {
    /// Messages that were delivered and whose bytes could be followed.
    pub messages: u64,
    /// Of these, the intact: the first copy of every byte reached the receiving host.
    pub intact: u64,
    /// Intact messages that were blocked for more than a millisecond.
    pub intact_blocked: u64,
    /// Mean blocked time in milliseconds.
    pub blocked_mean_ms: f64,
    /// Percentiles of the blocked time.
    pub blocked_ms: Percentiles,
    /// Time in which at least one byte of a stream had arrived and could not be delivered: mean over
    /// the streams, in milliseconds.
    pub stall_mean_ms: f64,
    /// The same of the stream that stalled longest.
    pub stall_max_ms: f64,
    /// The same of each stream, by its number.
    pub stall_of_stream_ms: Vec<f64>,
    /// Its percentiles over the streams.
    pub stall_ms: Option<Percentiles>,
    /// Bytes that had arrived and could not be delivered, times how long, in byte-seconds.
    pub buffered_byte_seconds: f64,
    /// Mean parts of the delay, over all messages.
    #[serde(rename = "all_ms")]
    pub all: DelayParts,
    /// Mean parts over the intact messages.
    #[serde(rename = "intact_ms")]
    pub of_intact: DelayParts,
    /// Mean parts over the slowest hundredth of the messages, at least one.
    #[serde(rename = "slowest_ms")]
    pub of_slowest: DelayParts,
    /// What the hold was made of: means over all messages; `None` where the sender told nothing.
    #[serde(rename = "sender_hold_ms", skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldParts>,
}

/// The parts into which a message's hold at its sender falls, in milliseconds, by what held it; they add up to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldParts {
    /// The application, or the send path above the transport: before the message was handed over.
    pub application: f64,
    /// The lookup of the server's name, before the first connection.
    #[serde(rename = "name_lookup")]
    pub lookup: f64,
    /// The set-up of its connection, where that begins the session, or each message of the client has one of its own.
    #[serde(rename = "connection_setup")]
    pub setup: f64,
    /// The number of QUIC streams that may be open at once.
    #[serde(rename = "stream_limit")]
    pub streams: f64,
    /// The connection's flow control; of TCP, the receiver's window.
    #[serde(rename = "connection_flow_control")]
    pub connection: f64,
    /// The QUIC stream's flow control.
    #[serde(rename = "stream_flow_control")]
    pub stream: f64,
    /// The transport's send buffer.
    #[serde(rename = "send_buffer")]
    pub buffer: f64,
    /// The congestion window.
    #[serde(rename = "congestion_window")]
    pub window: f64,
    /// Nothing that a transport tells: pacing, or the sender's own time.
    pub unknown: f64,
}

impl HoldParts {
    /// The names, as in files.
    pub const NAMES: [&'static str; 9] = [
        "application",
        "name_lookup",
        "connection_setup",
        "stream_limit",
        "connection_flow_control",
        "stream_flow_control",
        "send_buffer",
        "congestion_window",
        "unknown",
    ];

    /// What each is called for people, in the order of [`HoldParts::NAMES`].
    pub const WORDS: [&'static str; 9] = [
        "application",
        "lookup of the name",
        "set-up of its connection",
        "number of streams",
        "flow control of the connection",
        "flow control of the stream",
        "send buffer",
        "congestion window",
        "pacing or the sender's own time (not told apart)",
    ];

    /// The values, in the order of [`HoldParts::NAMES`].
    pub const fn values(&self) -> [f64; 9] {
        [
            self.application,
            self.lookup,
            self.setup,
            self.streams,
            self.connection,
            self.stream,
            self.buffer,
            self.window,
            self.unknown,
        ]
    }
}

/// The parts into which a delay falls, in milliseconds; they add up to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelayParts {
    /// From the release until the last byte first came to the link: the application, the transport's
    /// windows, its pacing.
    #[serde(rename = "sender_hold")]
    pub hold: f64,
    /// On the link: waiting for the bottleneck, and being transmitted by it.
    pub queue: f64,
    /// On the link: the rest.
    pub propagation: f64,
    /// Waiting for a further copy of bytes of its own whose first copy was lost or late.
    pub own_loss: f64,
    /// Blocked by earlier bytes of its own stream.
    #[serde(rename = "blocked_own_stream")]
    pub intra: f64,
    /// Blocked by bytes of other streams.
    #[serde(rename = "blocked_other_streams")]
    pub cross: f64,
    /// Blocked by the rest of the TLS record that its last byte lies in.
    #[serde(rename = "blocked_tls_record")]
    pub record: f64,
    /// From the arrival of all that was needed until the application had the message.
    #[serde(rename = "host_stack")]
    pub stack: f64,
}

impl DelayParts {
    /// The names, in the order in which the parts follow each other in time.
    pub const NAMES: [&'static str; 8] = [
        "sender_hold",
        "queue",
        "propagation",
        "own_loss",
        "blocked_own_stream",
        "blocked_other_streams",
        "blocked_tls_record",
        "host_stack",
    ];

    /// The values, in the order of [`DelayParts::NAMES`].
    pub const fn values(&self) -> [f64; 8] {
        [self.hold, self.queue, self.propagation, self.own_loss, self.intra, self.cross, self.record, self.stack]
    }

    /// Blocked in all: by its own stream, by others, by the TLS record.
    pub fn blocked(&self) -> f64 {
        self.intra + self.cross + self.record
    }

    /// The whole delay.
    pub fn total(&self) -> f64 {
        self.values().iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_those_in_files() {
        let keys = |value: serde_json::Value| {
            value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<String>>()
        };
        let parts = serde_json::to_value(DelayParts::default()).expect("it has a text form");
        assert_eq!(keys(parts), DelayParts::NAMES.map(String::from).into());
        let held = serde_json::to_value(HoldParts::default()).expect("it has a text form");
        assert_eq!(keys(held), HoldParts::NAMES.map(String::from).into());
    }
}
