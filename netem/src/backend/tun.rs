//! A TUN device: what a read gives and a write takes is an IP packet, a super-packet of up to 64 KiB
//! maybe, with the header of virtio-net before it.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::uio::writev;
use nix::unistd::{read, write};

use super::buffer::Sum;
use super::segment::{MOST, VirtioHeader};
use super::wire::Wire;
use crate::device;

/// One end's TUN device.
#[derive(Debug)]
pub struct TunPort {
    fd: OwnedFd,
    /// Where packets are given to the host, if not by the device itself.
    wire: Option<Wire>,
    /// Whether the wire is left alone.
    whole: bool,
}

impl TunPort {
    /// Makes the device `name` in the calling thread's network namespace, with which it goes.
    ///
    /// # Errors
    /// Where `/dev/net/tun` cannot be opened, or the kernel refuses.
    pub fn make(name: &str) -> io::Result<TunPort> {
        Ok(TunPort { fd: device::make_tun(name)?, wire: None, whole: false })
    }

    /// From now on packets are given to the host by this wire, which cuts.
    pub(crate) fn deliver_by(&mut self, wire: Wire) {
        self.wire = Some(wire);
    }

    /// Says whether the host is to get neighbours that leave together as one packet, from now on.
    pub(super) fn give_whole_runs(&mut self, whole: bool) {
        self.whole = whole;
    }

    /// Whether neighbours that are given joined reach the host as the single packets that they are.
    #[inline]
    pub(super) fn cuts(&self) -> bool {
        self.wire.is_some() && !self.whole
    }

    #[inline]
    pub(super) fn take(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        unless_blocked(read(&self.fd, into))
    }

    /// Gives one packet of the wire, whose checksum may still be to be made: it has crossed no wire where
    /// it could have been damaged.
    #[inline]
    pub(super) fn give(&mut self, packet: &[u8], sum: Option<Sum>) -> io::Result<bool> {
        let header = VirtioHeader::of_one(sum);
        if let Some(wire) = self.wire.as_mut().filter(|_| !self.whole) {
            return wire.give(header, packet, std::iter::empty());
        }
        let header = header.bytes();
        given(writev(&self.fd, &[IoSlice::new(&header), IoSlice::new(packet)]))
    }

    /// Gives packets in one call: the first with its headers, of the others what lies behind theirs. The host
    /// gets them as one, where no wire [cuts](Self::cuts) them.
    #[inline]
    pub(super) fn give_joined<'a>(
        &mut self,
        header: VirtioHeader,
        first: &'a [u8],
        others: impl Iterator<Item = &'a [u8]>,
    ) -> io::Result<bool> {
        if let Some(wire) = self.wire.as_mut().filter(|_| !self.whole) {
            return wire.give(header, first, others);
        }
        let header = header.bytes();
        let mut slices = [IoSlice::new(&[]); MOST + 1];
        (slices[0], slices[1]) = (IoSlice::new(&header), IoSlice::new(first));
        let mut used = 2;
        for other in others {
            slices[used] = IoSlice::new(other);
            used += 1;
        }
        given(writev(&self.fd, &slices[..used]))
    }

    /// Gives what another TUN device gave, header and all.
    #[inline]
    pub(super) fn give_whole(&mut self, packet: &[u8]) -> io::Result<bool> {
        given(write(&self.fd, packet))
    }
}

/// What a nonblocking read came to.
fn unless_blocked(result: nix::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether the host took a packet.
fn given(result: nix::Result<usize>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        // A flipped bit may leave something that the device does not take for an IP packet.
        Err(Errno::EAGAIN | Errno::EINTR | Errno::EINVAL | Errno::ENOMEM | Errno::ENOBUFS) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

impl AsFd for TunPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
