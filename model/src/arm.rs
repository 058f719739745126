//! Arms: a transport, and how the workload's streams lie on it.

use std::fmt;
use std::str::FromStr;

use crate::units::serde_as_text;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

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

    /// The mapping that the bare transport name stands for.
    pub const fn default_mapping(self) -> Mapping {
        match self {
            Transport::Tcp | Transport::Tls => Mapping::Shared,
            Transport::Quic => Mapping::PerStream,
            Transport::Udp => Mapping::Datagram,
        }
    }

    /// The mappings that are built for this transport.
    pub const fn mappings(self) -> &'static [Mapping] {
        match self {
            Transport::Tcp | Transport::Tls => &[Mapping::Shared, Mapping::PerStream],
            Transport::Quic => &[Mapping::PerStream, Mapping::Shared, Mapping::PerMessage],
            Transport::Udp => &[Mapping::Datagram],
        }
    }

    /// The name as typed: `tcp`, `tls`, `udp`, `quic`.
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Udp => "udp",
            Transport::Quic => "quic",
        }
    }

    /// Whether what was sent arrives whole and in order, or the connection fails.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }
}

impl fmt::Display for Transport {
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
    /// A QUIC stream for each message.
    PerMessage,
    /// Each message in unreliable datagrams of its own.
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

/// A transport with its mapping, written `tcp`, `tcp/per-stream`, `quic/shared`, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arm {
    /// What carries the bytes.
    pub transport: Transport,
    /// How the streams lie on it.
    pub mapping: Mapping,
}

impl Arm {
    /// Every arm that is built, in the order in which charts show them.
    pub fn all() -> impl Iterator<Item = Arm> {
        Transport::ALL
            .into_iter()
            .flat_map(|transport| transport.mappings().iter().map(move |&mapping| Arm { transport, mapping }))
    }

    /// The smallest MTU over which it can run, where it has one of its own: QUIC's datagrams have 1200 bytes of payload
    /// at least (RFC 9000, section 14), beside the headers of IPv6 and UDP.
    pub const fn least_mtu(self) -> u16 {
        match self.transport {
            Transport::Quic => 1248,
            Transport::Tcp | Transport::Tls | Transport::Udp => 0,
        }
    }

    /// Connections of the transport that carry so many streams.
    pub const fn connections(self, streams: u16) -> u16 {
        match (self.transport, self.mapping) {
            (Transport::Tcp | Transport::Tls, Mapping::PerStream) => streams,
            _ => 1,
        }
    }

    /// The transport with its default mapping.
    pub const fn default_of(transport: Transport) -> Arm {
        Arm { transport, mapping: transport.default_mapping() }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mapping == self.transport.default_mapping() {
            f.pad(self.transport.name())
        } else {
            f.pad(&format!("{}/{}", self.transport, self.mapping))
        }
    }
}

/// An arm that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no arm `{input}`; choose from: {}", known_arms())]
pub struct ArmError {
    input: String,
}

fn known_arms() -> String {
    Arm::all().map(|arm| arm.to_string()).collect::<Vec<_>>().join(", ")
}

impl FromStr for Arm {
    type Err = ArmError;

    fn from_str(text: &str) -> Result<Self, ArmError> {
        // The default mapping may be spelled out: `tcp/shared` is `tcp`.
        Arm::all()
            .find(|arm| arm.to_string() == text || format!("{}/{}", arm.transport, arm.mapping) == text)
            .ok_or_else(|| ArmError { input: text.to_owned() })
    }
}

serde_as_text!(Arm);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for arm in Arm::all() {
            assert_eq!(arm.to_string().parse(), Ok(arm));
        }
        assert_eq!("tcp/shared".parse(), Ok(Arm::default_of(Transport::Tcp)));
        assert_eq!(Arm::all().count(), 8);
    }

    #[test]
    fn an_unknown_arm_names_the_known_ones() {
        let message = "sctp".parse::<Arm>().unwrap_err().to_string();
        assert!(message.contains("sctp") && message.contains("quic/per-message"), "{message}");
    }
}
