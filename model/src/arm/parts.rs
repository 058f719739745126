//! The parts of an arm's name, and what else tells one arm from another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What frames the messages above the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Application {
    /// The lab's own header of 16 bytes before each frame.
    Raw,
}

impl Application {
    /// The name as typed.
    pub const fn name(self) -> &'static str {
        match self {
            Application::Raw => "raw",
        }
    }
}

impl fmt::Display for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What carries the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP (RFC 9293).
    Tcp,
    /// TLS 1.3 over TCP (RFC 8446).
    Tls,
    /// UDP (RFC 768): unreliable datagrams.
    Udp,
    /// QUIC (RFC 9000).
    Quic,
}

impl Transport {
    /// Every transport, in the order in which charts show them.
    pub const ALL: [Transport; 4] = [Transport::Tcp, Transport::Tls, Transport::Quic, Transport::Udp];

    /// The name as typed: `tcp`, `tls`, `udp`, `quic`.
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Udp => "udp",
            Transport::Quic => "quic",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Who implements the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stack {
    /// The kernel.
    Kernel,
    /// rustls, over the kernel's TCP.
    Rustls,
    /// quinn, over the kernel's UDP.
    Quinn,
}

impl Stack {
    /// The name as typed and as shown.
    pub const fn name(self) -> &'static str {
        match self {
            Stack::Kernel => "kernel",
            Stack::Rustls => "rustls",
            Stack::Quinn => "quinn",
        }
    }

    /// Whether congestion and flow control run in the process, where the lab sets them, and not in the kernel.
    pub const fn is_in_process(self) -> bool {
        match self {
            Stack::Kernel | Stack::Rustls => false,
            Stack::Quinn => true,
        }
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How the workload's streams lie on the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mapping {
    /// All streams on one ordered byte stream.
    Shared,
    /// One connection, or one QUIC stream, for each stream.
    PerStream,
    /// A QUIC stream for each message, or a connection for each request and its response.
    PerMessage,
    /// Each message in unreliable datagrams of its own: of UDP, or of QUIC (RFC 9221).
    Datagram,
}

impl Mapping {
    /// The name as typed.
    pub const fn name(self) -> &'static str {
        match self {
            Mapping::Shared => "shared",
            Mapping::PerStream => "per-stream",
            Mapping::PerMessage => "per-message",
            Mapping::Datagram => "datagram",
        }
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What shares one order of delivery: a byte of it waits for every byte before, and for none of another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderingDomain {
    /// All that a connection carries, whichever stream it is of.
    Connection,
    /// Each stream of the workload.
    Stream,
    /// Each message.
    Message,
    /// Nothing: what arrives is delivered.
    Nothing,
}

/// How many connections of the transport carry a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Connections {
    /// One.
    One,
    /// One for each stream of the workload.
    PerStream,
    /// One for each message of the client, made as it is released, on which its answer comes back.
    PerMessage,
}

/// What says which packet carried which bytes of the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttributedBy {
    /// The sequence numbers of TCP, which the ledger has.
    SequenceNumbers,
    /// The same, of bytes that the receiver can read only as whole records of TLS.
    TlsRecords,
    /// What the sender observed of each packet.
    Observations,
}

/// What IP's header says that a packet carries (IANA, Assigned Internet Protocol Numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IpProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl IpProtocol {
    /// The number in the header.
    pub const fn number(self) -> u8 {
        match self {
            IpProtocol::Tcp => 6,
            IpProtocol::Udp => 17,
        }
    }
}
