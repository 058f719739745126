//! The backend of a running link, with the mode of its emulator: the name that records and status have.

use std::fmt;

/// What carries a running link's packets, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActiveBackend {
    /// The emulator between TUN devices, each packet by itself.
    TunExact,
    /// The emulator between TUN devices, neighbours that leave together joined.
    TunFast,
    /// TUN devices, between which super-packets are passed on whole.
    TunWhole,
    /// The emulator between packet sockets.
    Packet,
    /// The kernel's netem.
    Netem,
    /// A bare pair of devices, on which nothing is counted.
    None,
}

impl fmt::Display for ActiveBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ActiveBackend::TunExact => "embedded-tun",
            ActiveBackend::TunFast => "embedded-tun, fast",
            ActiveBackend::TunWhole => "embedded-tun, super-packets",
            ActiveBackend::Packet => "embedded-packet",
            ActiveBackend::Netem => "netem",
            ActiveBackend::None => "none",
        })
    }
}
