//! What is set on a transport, alike for every arm wherever it can be made alike.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

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

/// What is set on both ends of a trial. The defaults make the arms as alike as they can be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tuning {
    /// The congestion controller of TCP and QUIC.
    pub controller: Controller,
    /// Receive window: QUIC's stream and connection windows, and, if set, `SO_RCVBUF` for TCP.
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
    /// `TCP_NODELAY`.
    pub no_delay: bool,
    /// `TCP_NOTSENT_LOWAT` for message workloads, so that data waits in the application and is
    /// counted as sender hold instead of hiding in the socket buffer.
    pub notsent_lowat: Option<ByteCount>,
}

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
            no_delay: true,
            notsent_lowat: Some(ByteCount::new(16_384)),
        }
    }
}
