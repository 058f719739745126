//! Packet sockets on veth pairs: the emulator's way where there is no TUN device.
//!
//! Each end's namespace holds one device of a veth pair, the middle the other, with a packet socket
//! on it. Packets come in through a ring that the kernel shares with us (TPACKET_V2, packet(7) and
//! `Documentation/networking/packet_mmap.rst`): its size is not bound by `rmem_max`, which an
//! unprivileged user cannot raise. The socket strips and makes the Ethernet header itself.

use std::io;
use std::mem::size_of;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::net::if_::if_nametoindex;

/// Packets that the ring holds: a burst of several congestion windows fits. More would cost set-up
/// and tear-down some milliseconds a megabyte.
const FRAMES: usize = 4096;
/// Bytes of a block of the ring; frames do not cross its border.
const BLOCK: usize = 1 << 18;
/// Send buffer asked for, so that a burst of releases is not refused.
const SEND_BUFFER: libc::c_int = 8 << 20;

/// One end's packet socket.
#[derive(Debug)]
pub struct PacketPort {
    fd: OwnedFd,
    ring: Ring,
    next: usize,
    v4: libc::sockaddr_ll,
    v6: libc::sockaddr_ll,
}

/// The shared ring.
#[derive(Debug)]
struct Ring {
    start: NonNull<u8>,
    length: usize,
    frame: usize,
    per_block: usize,
    frames: usize,
}

#[allow(unsafe_code)] // the ring is shared with the kernel alone
// SAFETY: the mapping belongs to this value and is used through `&mut PacketPort` only.
unsafe impl Send for Ring {}

impl PacketPort {
    /// Opens a socket on the device `name` of the calling thread's network namespace. Packets it
    /// sends go to the Ethernet address `destination`.
    ///
    /// # Errors
    /// Where the kernel refuses.
    #[allow(unsafe_code)] // socket options and mmap of a kind that nix does not type
    pub fn open(name: &str, destination: [u8; 6], mtu: u16) -> io::Result<PacketPort> {
        let (fd, ring) = open_with_ring(mtu, true)?;
        let _ = set_option(&fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &SEND_BUFFER)
            .or_else(|_| set_option(&fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &SEND_BUFFER));
        let index = if_nametoindex(name)? as i32;
        let address = |protocol: i32| {
            let mut address = libc::sockaddr_ll {
                sll_family: libc::AF_PACKET as u16,
                sll_protocol: (protocol as u16).to_be(),
                sll_ifindex: index,
                sll_hatype: 0,
                sll_pkttype: 0,
                sll_halen: 6,
                sll_addr: [0; 8],
            };
            address.sll_addr[..6].copy_from_slice(&destination);
            address
        };
        bind(&fd, &address(libc::ETH_P_ALL))?;
        Ok(PacketPort { fd, ring, next: 0, v4: address(libc::ETH_P_IP), v6: address(libc::ETH_P_IPV6) })
    }

    #[inline]
    pub(super) fn take(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(frame) = self.ring.filled(self.next) else { return Ok(None) };
        let length = frame.len().min(into.len());
        into[..length].copy_from_slice(&frame[..length]);
        self.ring.give_back(self.next);
        self.next = (self.next + 1) % self.ring.frames;
        Ok(Some(length))
    }

    #[inline]
    #[allow(unsafe_code)] // nix's sendto converts the address anew for every packet
    pub(super) fn give(&mut self, packet: &[u8]) -> io::Result<bool> {
        let to = if packet.first().is_some_and(|byte| byte >> 4 == 6) { &self.v6 } else { &self.v4 };
        // SAFETY: the packet and the address are valid for reads of the lengths given.
        let sent = unsafe {
            libc::sendto(
                self.fd.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                libc::MSG_DONTWAIT,
                (to as *const libc::sockaddr_ll).cast(),
                size_of::<libc::sockaddr_ll>() as u32,
            )
        };
        if sent >= 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS | libc::ENOMEM | libc::EINVAL | libc::EMSGSIZE) => {
                Ok(false)
            }
            _ => Err(error),
        }
    }

    /// Packets dropped because the ring was full.
    pub(super) fn drops(&self) -> u64 {
        ring_drops(&self.fd)
    }
}

/// Hears every packet that comes in at a device and every one that goes out, after the device's
/// queueing discipline, and touches none.
#[derive(Debug)]
pub(super) struct Tap {
    fd: OwnedFd,
    ring: Ring,
    next: usize,
}

/// What the kernel says of a packet that a tap heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    /// When, on the kernel's CLOCK_REALTIME, in nanoseconds.
    pub(super) realtime: u64,
    /// Whether it went out.
    pub(super) outgoing: bool,
}

impl Tap {
    /// Opens a tap on the device `name` of the calling thread's network namespace.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(super) fn open(name: &str, mtu: u16) -> io::Result<Tap> {
        let (fd, ring) = open_with_ring(mtu, false)?;
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: if_nametoindex(name)? as i32,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        bind(&fd, &address)?;
        Ok(Tap { fd, ring, next: 0 })
    }

    /// Hands the next packet to `each`, if one was heard; tells whether.
    pub(super) fn take(&mut self, each: impl FnOnce(Heard, &[u8])) -> bool {
        let header = self.ring.header(self.next);
        let Some(packet) = self.ring.filled(self.next) else { return false };
        each(heard(header), packet);
        self.ring.give_back(self.next);
        self.next = (self.next + 1) % self.ring.frames;
        true
    }

    /// Packets it missed because the ring was full.
    pub(super) fn drops(&self) -> u64 {
        ring_drops(&self.fd)
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A packet socket that strips the Ethernet header, not yet bound, and its ring.
#[allow(unsafe_code)] // a socket of a kind that nix does not type
fn open_with_ring(mtu: u16, ignore_outgoing: bool) -> io::Result<(OwnedFd, Ring)> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // Protocol 0: nothing is received before the socket is bound to its device.
    // SAFETY: socket() takes three integers.
    let fd = check(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else holds it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    set_option(&fd, libc::SOL_PACKET, libc::PACKET_VERSION, &libc::tpacket_versions::TPACKET_V2)?;
    if ignore_outgoing {
        // Without this, the socket would hear what it sends itself (Linux 4.20).
        set_option(&fd, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1i32)?;
    }
    let ring = Ring::map(&fd, mtu)?;
    Ok((fd, ring))
}

#[allow(unsafe_code)] // an address of a kind that nix does not take here
fn bind(fd: &OwnedFd, address: &libc::sockaddr_ll) -> io::Result<()> {
    let length = size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: the address is a whole sockaddr_ll, and its size is given.
    check(unsafe { libc::bind(fd.as_raw_fd(), (address as *const libc::sockaddr_ll).cast(), length) }).map(|_| ())
}

/// Packets dropped because the ring was full, since it was last asked.
#[allow(unsafe_code)] // a socket option of a kind that nix does not type
fn ring_drops(fd: &OwnedFd) -> u64 {
    let mut statistics = TpacketStats::default();
    let mut length = size_of::<TpacketStats>() as libc::socklen_t;
    // SAFETY: the structure is valid for writes of the length given.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    if result == 0 { u64::from(statistics.drops) } else { 0 }
}

impl AsFd for PacketPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `PACKET_IGNORE_OUTGOING` of `linux/if_packet.h`.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// `struct tpacket_stats` of `linux/if_packet.h`.
#[repr(C)]
#[derive(Default)]
struct TpacketStats {
    packets: u32,
    drops: u32,
}

pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[allow(unsafe_code)] // socket options of kinds that nix does not type
pub(super) fn set_option<T>(fd: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the value is valid for reads of its size.
    check(unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, name, (value as *const T).cast(), size_of::<T>() as libc::socklen_t)
    })
    .map(|_| ())
}

impl Ring {
    fn map(fd: &OwnedFd, mtu: u16) -> io::Result<Ring> {
        // The frame holds the kernel's header, room for an Ethernet header, and the packet.
        let frame = (usize::from(mtu) + 128).next_power_of_two().min(BLOCK);
        let per_block = BLOCK / frame;
        let blocks = FRAMES.div_ceil(per_block).min(16 * FRAMES * 2048 / BLOCK);
        let request = libc::tpacket_req {
            tp_block_size: BLOCK as u32,
            tp_block_nr: blocks as u32,
            tp_frame_size: frame as u32,
            tp_frame_nr: (per_block * blocks) as u32,
        };
        set_option(fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let length = BLOCK * blocks;
        let start = map_shared(fd, length)?;
        Ok(Ring { start, length, frame, per_block, frames: per_block * blocks })
    }

    fn header(&self, number: usize) -> NonNull<libc::tpacket2_hdr> {
        let at = number / self.per_block * BLOCK + number % self.per_block * self.frame;
        assert!(at + self.frame <= self.length, "frame numbers stay below the number of frames");
        offset(self.start, at).cast()
    }

    /// Frame `number`, if the kernel has filled it.
    fn filled(&mut self, number: usize) -> Option<&[u8]> {
        frame_content(self.header(number), self.frame)
    }

    /// Leaves frame `number` to the kernel again.
    fn give_back(&mut self, number: usize) {
        status(self.header(number)).store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }
}

#[allow(unsafe_code)] // mmap
fn map_shared(fd: &OwnedFd, length: usize) -> io::Result<NonNull<u8>> {
    use nix::sys::mman::{MapFlags, ProtFlags, mmap};
    let length = NonZeroUsize::new(length).expect("a ring has at least one block");
    // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing of ours.
    let start = unsafe {
        mmap(
            None,
            length,
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE,
            fd,
            0,
        )?
    };
    Ok(start.cast())
}

#[allow(unsafe_code)] // pointers into the ring
fn offset(start: NonNull<u8>, at: usize) -> NonNull<u8> {
    // SAFETY: the caller has checked that `at` lies within the mapping.
    unsafe { start.add(at) }
}

#[allow(unsafe_code)] // pointers into the ring
fn status<'a>(header: NonNull<libc::tpacket2_hdr>) -> &'a AtomicU32 {
    // SAFETY: the header lies within the mapping, is aligned to the frame's size, and its status
    // word is only ever accessed atomically, by us as by the kernel.
    unsafe { AtomicU32::from_ptr(&raw mut (*header.as_ptr()).tp_status) }
}

#[allow(unsafe_code)] // pointers into the ring
fn frame_content<'a>(header: NonNull<libc::tpacket2_hdr>, frame: usize) -> Option<&'a [u8]> {
    if status(header).load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
        return None;
    }
    // SAFETY: the kernel has finished this frame and does not touch it until its status is given
    // back; the bounds are checked against the frame's size.
    unsafe {
        let head = header.as_ref();
        let (at, length) = (usize::from(head.tp_net), head.tp_snaplen as usize);
        let length = length.min(frame.saturating_sub(at));
        Some(std::slice::from_raw_parts(header.as_ptr().cast::<u8>().add(at), length))
    }
}

/// What the kernel wrote before the packet in a frame that it has filled.
#[allow(unsafe_code)] // pointers into the ring
fn heard(header: NonNull<libc::tpacket2_hdr>) -> Heard {
    // SAFETY: the frame is filled, so the kernel does not touch it; a sockaddr_ll follows the header
    // at the next multiple of TPACKET_ALIGNMENT, within the frame (packet(7)).
    unsafe {
        let head = header.as_ref();
        let at = size_of::<libc::tpacket2_hdr>().next_multiple_of(libc::TPACKET_ALIGNMENT);
        let address: libc::sockaddr_ll =
            header.as_ptr().cast::<u8>().add(at).cast::<libc::sockaddr_ll>().read_unaligned();
        Heard {
            realtime: u64::from(head.tp_sec) * 1_000_000_000 + u64::from(head.tp_nsec),
            outgoing: address.sll_pkttype == libc::PACKET_OUTGOING,
        }
    }
}

impl Drop for Ring {
    #[allow(unsafe_code)] // munmap
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this length, and no reference into it is left.
        let _ = unsafe { nix::sys::mman::munmap(self.start.cast(), self.length) };
    }
}
