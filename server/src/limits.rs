//! Limits of a server: what its clients may ask of it, and for how long.

use samepath_model::Duration;
use samepath_model::units::ByteCount;

/// What clients may ask of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sessions at once.
    pub sessions: usize,
    /// Longest time limit that a client may set itself.
    pub duration: Duration,
    /// Memory for the books of all sessions together.
    pub memory: ByteCount,
    /// How long a connection may take to prove itself; over QUIC, where only an expected client can begin, six times as
    /// long, as lost packets are sent again after 1, 3, 7, 15 and 31 s (RFC 9002, section 6.2). On the TCP and TLS listeners,
    /// and in a handshake of QUIC, the time begins anew while an open session still misses a connection there.
    pub proof: Duration,
    /// How long a session may outlive its client's time limit, whatever the client does: the reports have to be
    /// fetched.
    pub slack: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            sessions: 64,
            duration: Duration::from_secs(3600),
            memory: ByteCount::new(1 << 30),
            proof: Duration::from_secs(10),
            slack: Duration::from_secs(30),
        }
    }
}
