//! Backends: what carries the link's packets between the two namespaces.
//!
//! The embedded backend moves whole IP packets through the link core in user space. It takes them
//! from a TUN device at each end, or, where there is no `/dev/net/tun`, from packet sockets behind a
//! veth pair at each end. [`kernel`] is the kernel's own netem on a router between them. `None` joins the two ends by a bare veth pair and emulates nothing.

mod active;
pub(crate) mod books;
mod buffer;
mod closing;
pub mod emulator;
pub(crate) mod joining;
pub mod kernel;
pub(crate) mod lateness;
pub mod packet;
mod segment;
pub mod tun;
pub(crate) mod wire;
mod worker;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use serde::{Deserialize, Serialize};

pub use active::ActiveBackend;
use buffer::Sum;
use packet::PacketPort;
use segment::VirtioHeader;
use tun::TunPort;

/// What carries the link's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// TUN where it can be opened, else packet sockets.
    #[default]
    Auto,
    /// The emulator between two TUN devices.
    Tun,
    /// The emulator between packet sockets on veth pairs.
    Packet,
    /// The kernel's own netem, on a router between the ends.
    Netem,
    /// A bare veth pair, unshaped, offloads off, no ledger: for comparison.
    None,
}

/// A backend that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no backend `{name}`; choose from: {}", Backend::ALL.map(Backend::name).join(", "))]
pub struct BackendError {
    name: String,
}

impl std::str::FromStr for Backend {
    type Err = BackendError;

    fn from_str(text: &str) -> Result<Self, BackendError> {
        let named = Backend::ALL.into_iter().find(|backend| backend.name() == text);
        named.ok_or_else(|| BackendError { name: text.to_owned() })
    }
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl Backend {
    /// Every one, in the order in which they are offered.
    pub const ALL: [Backend; 5] = [Backend::Auto, Backend::Tun, Backend::Packet, Backend::Netem, Backend::None];

    /// What it is, in a line for people.
    pub const fn about(self) -> &'static str {
        match self {
            Backend::Auto => "The embedded emulator, on TUN devices where they can be opened, else on packet sockets",
            Backend::Tun => "The embedded emulator, on TUN devices",
            Backend::Packet => "The embedded emulator, on packet sockets",
            Backend::Netem => {
                "The kernel's own netem, on a router between the ends; needs sch_netem (see `samepath doctor`)"
            }
            Backend::None => "No emulation: a bare virtual cable between the ends",
        }
    }

    /// Whether every server is equally far away: nothing here delays packets of one flow and not those of another.
    pub const fn has_one_delay(self) -> bool {
        matches!(self, Backend::Netem | Backend::None)
    }

    /// The name as typed.
    pub const fn name(self) -> &'static str {
        match self {
            Backend::Auto => "auto",
            Backend::Tun => "tun",
            Backend::Packet => "packet",
            Backend::Netem => "netem",
            Backend::None => "none",
        }
    }
}

/// The emulator's side of one end of the link: where packets of that end come in and go out.
#[derive(Debug)]
pub(crate) enum Port {
    /// A TUN device.
    Tun(TunPort),
    /// A packet socket.
    Packet(PacketPort),
}

impl Port {
    /// Takes one packet from this end's host, without waiting; `None` where there is none. A TUN device's
    /// may be a super-packet, and has the header of virtio-net before it.
    #[inline]
    pub(crate) fn take(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Port::Tun(port) => port.take(into),
            Port::Packet(port) => port.take(into),
        }
    }

    /// Gives one packet of the wire to this end's host, without waiting; `false` where the host refused it.
    #[inline]
    pub(crate) fn give(&mut self, packet: &[u8], sum: Option<Sum>) -> io::Result<bool> {
        match self {
            Port::Tun(port) => port.give(packet, sum),
            Port::Packet(port) => port.give(packet),
        }
    }

    /// Says whether the host is to get neighbours that leave together as one packet, from now on.
    pub(crate) fn give_whole_runs(&mut self, whole: bool) {
        if let Port::Tun(port) = self {
            port.give_whole_runs(whole);
        }
    }

    /// Whether neighbours that are given joined reach the host as the single packets that they are.
    pub(crate) fn cuts(&self) -> bool {
        match self {
            Port::Tun(port) => port.cuts(),
            Port::Packet(_) => false,
        }
    }

    /// Gives neighbours in one call: [`TunPort::give_joined`]. Packet sockets never join.
    #[inline]
    pub(crate) fn give_joined<'a>(
        &mut self,
        header: VirtioHeader,
        first: &'a [u8],
        others: impl Iterator<Item = &'a [u8]>,
    ) -> io::Result<bool> {
        match self {
            Port::Tun(port) => port.give_joined(header, first, others),
            Port::Packet(_) => Err(io::Error::other("packet sockets take no super-packets")),
        }
    }

    /// Gives what [`Port::take`] of the same kind of port took.
    #[inline]
    pub(crate) fn give_whole(&mut self, packet: &[u8]) -> io::Result<bool> {
        match self {
            Port::Tun(port) => port.give_whole(packet),
            Port::Packet(port) => port.give(packet),
        }
    }

    /// Packets that the kernel dropped on their way from this end's host to the emulator.
    pub(crate) fn drops(&self) -> u64 {
        match self {
            Port::Tun(_) => 0, // counted by the device itself
            Port::Packet(port) => port.drops(),
        }
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Port::Tun(port) => port.as_fd(),
            Port::Packet(port) => port.as_fd(),
        }
    }
}
