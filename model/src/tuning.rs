//! What is set on a transport, alike for every arm wherever it can be made alike.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::arm::{Arm, Connections};
use crate::units::{ByteCount, serde_as_text};

/// A congestion controller that both the kernel's TCP and quinn implement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Controller {
    /// CUBIC (RFC 9438): the default of both stacks.
    #[default]
    Cubic,
    /// NewReno (RFC 5681, RFC 6582): `reno` in the kernel, NewReno in quinn.
    Reno,
    /// BBR: version 1 in the kernel; quinn's is experimental, and reports must say so.
    Bbr,
}

impl Controller {
    /// Every controller.
    pub const ALL: [Controller; 3] = [Controller::Cubic, Controller::Reno, Controller::Bbr];

    /// The kernel's name, which is also the one typed.
    pub const fn name(self) -> &'static str {
        match self {
            Controller::Cubic => "cubic",
            Controller::Reno => "reno",
            Controller::Bbr => "bbr",
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A controller that is not offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no congestion controller `{0}` here; choose cubic, reno or bbr")]
pub struct ControllerError(String);

impl FromStr for Controller {
    type Err = ControllerError;

    fn from_str(text: &str) -> Result<Self, ControllerError> {
        Controller::ALL.into_iter().find(|c| c.name() == text).ok_or_else(|| ControllerError(text.to_owned()))
    }
}

serde_as_text!(Controller);

/// Whose turn it is where several streams have something to send on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Order {
    /// The streams take turns, as with `incremental` responses (RFC 9218, section 4.2).
    #[default]
    RoundRobin,
    /// The lowest stream that has something to send goes first: one after the other, as RFC 9218,
    /// section 10, recommends for responses that are of no use until they are whole. With a QUIC
    /// stream for each message the streams follow each other in the order of release.
    Sequential,
}

impl Order {
    /// Every order.
    pub const ALL: [Order; 2] = [Order::RoundRobin, Order::Sequential];

    /// As typed.
    pub const fn name(self) -> &'static str {
        match self {
            Order::RoundRobin => "round-robin",
            Order::Sequential => "sequential",
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An order that is not offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no order `{0}` of streams; choose round-robin or sequential")]
pub struct OrderError(String);

impl FromStr for Order {
    type Err = OrderError;

    fn from_str(text: &str) -> Result<Self, OrderError> {
        Order::ALL.into_iter().find(|o| o.name() == text).ok_or_else(|| OrderError(text.to_owned()))
    }
}

serde_as_text!(Order);

/// The most that a TLS record holds (RFC 8446, section 5.1).
const MOST_TLS_RECORD: u64 = 1 << 14;

/// The least that is of use: below it most of a record is its own overhead.
const LEAST_TLS_RECORD: u64 = 64;

/// Files that a client has open before its first data connection, and some to spare.
const LEAST_OPEN_FILES: u32 = 40;

/// What is set on both ends of a trial. The defaults make the arms as alike as they can be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tuning {
    /// The congestion controller of TCP and QUIC.
    pub controller: Controller,
    /// Receive window: QUIC's stream and connection windows, and, if set, TCP's advertised
    /// window.
    /// Absent: large enough never to limit (QUIC), and the kernel's autotuning (TCP).
    pub receive_window: Option<ByteCount>,
    /// Initial congestion window in segments of 1448 bytes (RFC 6928: 10). TCP's is the kernel's
    /// own and cannot be set on a socket; it is recorded.
    pub initial_window: u32,
    /// UDP payload of a QUIC packet: 1472 fills an IPv4 packet of 1500 bytes, as TCP's MSS does.
    /// Absent: derived from the path's MTU.
    pub quic_mtu: Option<u16>,
    /// Path MTU discovery by QUIC (off for parity with TCP's fixed segment).
    pub quic_mtu_discovery: bool,
    /// QUIC segmentation offload (GSO): many packets in one system call. Absent: on for `bulk`,
    /// off for `messages`, where the timing of single packets is the subject.
    pub quic_gso: Option<bool>,
    /// Round-robin between QUIC streams (`false`: one after the other).
    pub quic_send_fairness: bool,
    /// Whose turn it is where several streams share a connection.
    pub order: Order,
    /// The most plaintext in one TLS record of `tls`. A record can only be read once its last byte
    /// has arrived. Absent: as much as is handed over at once, up to 16 KiB.
    pub tls_record_size: Option<ByteCount>,
    /// `TCP_NODELAY`.
    pub no_delay: bool,
    /// `TCP_NOTSENT_LOWAT` for message workloads, so that data waits in the application and is
    /// counted as sender hold instead of hiding in the socket buffer.
    pub notsent_lowat: Option<ByteCount>,
    /// Ports from which the client's host makes connections (`net.ipv4.ip_local_port_range`), as `32768-33767`. Absent:
    /// the kernel's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_ports: Option<PortRange>,
    /// Whether a new connection of the client's host may take a port that is in TIME-WAIT (`net.ipv4.tcp_tw_reuse`): 0
    /// never, 1 after a second, 2 (the kernel's default) on loopback alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_wait_reuse: Option<u8>,
    /// Files, connections among them, that the client's process may have open. Absent: as many as the system permits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u32>,
}

/// A range of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// As the kernel writes it: `32768 33767`.
    pub fn as_sysctl(self) -> String {
        format!("{} {}", self.first, self.last)
    }

    /// How many ports it has.
    pub const fn count(self) -> u32 {
        self.last as u32 - self.first as u32 + 1
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Text that is no range of ports, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no range of ports: write the first and the last, from 1024 to 65535, as 32768-33767")]
pub struct PortRangeError(String);

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let range = text.split_once('-').and_then(|(first, last)| {
            let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            (1024..=last).contains(&first).then_some(PortRange { first, last })
        });
        range.ok_or_else(|| PortRangeError(text.to_owned()))
    }
}

serde_as_text!(PortRange);

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            controller: Controller::Cubic,
            receive_window: None,
            initial_window: 10,
            quic_mtu: None,
            quic_mtu_discovery: false,
            quic_gso: None,
            quic_send_fairness: true,
            order: Order::RoundRobin,
            tls_record_size: None,
            no_delay: true,
            notsent_lowat: Some(ByteCount::new(16_384)),
            local_ports: None,
            time_wait_reuse: None,
            open_files: None,
        }
    }
}

/// A tuning that an arm cannot take, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TuningError(String);

impl Tuning {
    /// Refuses what this arm cannot be set to.
    ///
    /// # Errors
    /// Says which value is wrong and what to write instead.
    pub fn check(&self, arm: Arm) -> Result<(), TuningError> {
        let fail = |text: String| Err(TuningError(text));
        if self.quic_mtu.is_some_and(|mtu| mtu < 1200) {
            return fail("`quic-mtu` must be at least 1200 (RFC 9000, section 14)".into());
        }
        if self.initial_window == 0 || self.initial_window > 10_000 {
            return fail("`initial-window` must lie between 1 and 10000 segments".into());
        }
        if self.tls_record_size.is_some_and(|s| !(LEAST_TLS_RECORD..=MOST_TLS_RECORD).contains(&s.bytes())) {
            return fail(format!(
                "`tls-record-size` must lie between {LEAST_TLS_RECORD}B and {MOST_TLS_RECORD}B (RFC 8446, section 5.1)"
            ));
        }
        if self.time_wait_reuse.is_some_and(|reuse| reuse > 2) {
            return fail("`time-wait-reuse` is 0, 1 or 2 (`net.ipv4.tcp_tw_reuse`)".into());
        }
        if self.open_files.is_some_and(|files| files < LEAST_OPEN_FILES) {
            return fail(format!(
                "`open-files` must be at least {LEAST_OPEN_FILES}: the client has some open of its own"
            ));
        }
        if self.order == Order::Sequential && arm.connections == Connections::PerStream {
            return fail(format!(
                "`order` is sequential, but the streams of `{arm}` have connections of their own, which share the \
                 path as their congestion controllers do; leave the arm out, or use `{}`",
                arm.transport
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_tuning_is_refused_with_a_remedy() {
        let arm = |text: &str| text.parse::<Arm>().unwrap();
        let sequential = Tuning { order: Order::Sequential, ..Tuning::default() };
        for fine in ["tcp", "tls", "quic", "quic/shared", "quic/per-message", "udp"] {
            assert_eq!(sequential.check(arm(fine)), Ok(()), "{fine}");
        }
        let refused = sequential.check(arm("tls/per-stream")).unwrap_err().to_string();
        assert!(refused.contains("`tls/per-stream`") && refused.contains("leave the arm out"), "{refused}");
        for (size, fits) in [(63, false), (64, true), (16_384, true), (16_385, false)] {
            let tuning = Tuning { tls_record_size: Some(ByteCount::new(size)), ..Tuning::default() };
            assert_eq!(tuning.check(arm("tls")).is_ok(), fits, "{size}");
        }
    }

    #[test]
    fn records_without_the_newer_settings_have_the_defaults() {
        let old: Tuning = toml::from_str("controller = 'reno'").unwrap();
        assert_eq!((old.order, old.tls_record_size), (Order::RoundRobin, None));
        assert!("random".parse::<Order>().unwrap_err().to_string().contains("sequential"));
    }
}
