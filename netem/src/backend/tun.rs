//! A TUN device: reads and writes are whole IP packets of at most the MTU, since none of the
//! device's offloads is switched on and the kernel segments before it hands over. Only a device made
//! for passing through hands over super-packets.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::{read, write};

use super::unless_blocked;
use crate::device;

/// One end's TUN device.
#[derive(Debug)]
pub struct TunPort {
    fd: OwnedFd,
}

impl TunPort {
    /// Makes the device `name` in the calling thread's network namespace. It goes with the port.
    ///
    /// # Errors
    /// Where `/dev/net/tun` cannot be opened, or the kernel refuses.
    pub fn make(name: &str) -> io::Result<TunPort> {
        Ok(TunPort { fd: device::make_tun(name, false)? })
    }

    /// The same, with super-packets, and the header of virtio-net before every packet.
    ///
    /// # Errors
    /// Where `/dev/net/tun` cannot be opened, or the kernel refuses.
    pub fn make_for_super_packets(name: &str) -> io::Result<TunPort> {
        Ok(TunPort { fd: device::make_tun(name, true)? })
    }

    #[inline]
    pub(super) fn take(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        unless_blocked(read(&self.fd, into))
    }

    #[inline]
    pub(super) fn give(&mut self, packet: &[u8]) -> io::Result<bool> {
        match write(&self.fd, packet) {
            Ok(_) => Ok(true),
            // A flipped bit may leave something that the device does not take for an IP packet.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::EINVAL | Errno::ENOMEM | Errno::ENOBUFS) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for TunPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
