//! The last yards of a packet's way to its host, where each is to come alone and many leave together.
//!
//! A write to a TUN device is one packet to the host. Here neighbours that leave together are written in one call,
//! to a veth device that cannot segment: the kernel cuts them into the packets that they are
//! (`validate_xmit_skb` of `net/core/dev.c`), and a rule on the veth pair's other device, in the host's namespace,
//! has each come in at the TUN device like any other (`netlink::redirect`).

use std::io::{self, IoSlice};
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::uio::writev;

use super::packet::{check, set_option};
use super::segment::{MOST, VirtioHeader};

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// Send buffer asked for, so that a burst of releases is not refused.
const SEND_BUFFER: libc::c_int = 8 << 20;

/// A packet socket that sends to one host, and hears nothing.
#[derive(Debug)]
pub(crate) struct Wire {
    fd: OwnedFd,
    /// Ethernet headers of what it sends: IPv4, IPv6.
    ethernet: [[u8; ETHERNET]; 2],
}

impl Wire {
    /// Opens a socket on the device `name` of the calling thread's network namespace, to send to the Ethernet
    /// address `destination`.
    ///
    /// # Errors
    /// Where the kernel refuses.
    #[allow(unsafe_code)] // a socket of a kind that nix does not type
    pub(crate) fn open(name: &str, destination: [u8; 6]) -> io::Result<Wire> {
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // Protocol 0: it hears nothing.
        // SAFETY: socket() takes three integers.
        let fd = check(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
        // SAFETY: the kernel has just given us this descriptor, and nobody else holds it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        set_option(&fd, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1i32)?;
        let _ = set_option(&fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &SEND_BUFFER)
            .or_else(|_| set_option(&fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &SEND_BUFFER));
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: 0,
            sll_ifindex: if_nametoindex(name)? as i32,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let length = size_of::<libc::sockaddr_ll>() as u32;
        // SAFETY: the address is a whole sockaddr_ll, and its size is given.
        check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) })?;
        let ethernet = [libc::ETH_P_IP, libc::ETH_P_IPV6].map(|protocol| {
            let mut header = [0; ETHERNET];
            header[..6].copy_from_slice(&destination);
            header[12..].copy_from_slice(&(protocol as u16).to_be_bytes());
            header
        });
        Ok(Wire { fd, ethernet })
    }

    /// Gives packets in one call: the first with its headers, of the others what lies behind theirs. `false`
    /// where the kernel took none.
    #[inline]
    pub(super) fn give<'a>(
        &mut self,
        header: VirtioHeader,
        first: &'a [u8],
        others: impl Iterator<Item = &'a [u8]>,
    ) -> io::Result<bool> {
        let is_v6 = first.first().is_some_and(|byte| byte >> 4 == 6);
        // To the kernel the packet begins with its Ethernet header here.
        let header = header.moved(ETHERNET as u16).bytes();
        let mut slices = [IoSlice::new(&[]); MOST + 2];
        slices[0] = IoSlice::new(&header);
        slices[1] = IoSlice::new(&self.ethernet[usize::from(is_v6)]);
        slices[2] = IoSlice::new(first);
        let mut used = 3;
        for other in others {
            slices[used] = IoSlice::new(other);
            used += 1;
        }
        match writev(&self.fd, &slices[..used]) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS | Errno::ENOMEM | Errno::EINVAL | Errno::EMSGSIZE) => {
                Ok(false)
            }
            Err(errno) => Err(errno.into()),
        }
    }
}
