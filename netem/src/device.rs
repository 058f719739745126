//! Network devices: TUN, veth, their addresses, and their offloads off.
//!
//! Every function but those that make pairs works in the network namespace of the calling thread. Addresses come from the
//! ranges set aside for benchmarking: 198.18.0.0/15 (RFC 2544) and 2001:2::/48 (RFC 5180).

use std::fmt;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::namespace::{Namespace, NamespaceError};
use crate::netlink::{Netlink, VethEnd};
use crate::sys;

/// A device that could not be made or set up.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The kernel refused a step.
    #[error("cannot {step}: {cause}{}", step.remedy(cause))]
    Refused {
        /// What was tried.
        step: DeviceStep,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The device's namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
}

impl DeviceError {
    /// Names the step that an error stopped.
    pub(crate) fn at(step: DeviceStep) -> impl Fn(io::Error) -> DeviceError + Copy {
        move |cause| DeviceError::Refused { step, cause }
    }

    /// Whether it is something that this machine does not permit or does not have.
    pub fn is_lack(&self) -> bool {
        match self {
            // Whatever the reason: there is no such device without the module, or the access.
            DeviceError::Refused { step, cause } => !step.remedy(cause).is_empty(),
            DeviceError::Namespace(error) => error.is_lack(),
        }
    }
}

/// What was to be done with a device, as it is told after "cannot".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceStep {
    /// A TUN device was to be made.
    MakeTun,
    /// A veth pair was to be made.
    MakeVeth,
    /// Another step, in words. There is no remedy of its own for it.
    Other(&'static str),
}

impl DeviceStep {
    /// The remedy where the kernel refuses it for this reason; empty where there is none.
    fn remedy(self, cause: &io::Error) -> &'static str {
        match self {
            DeviceStep::MakeTun => {
                "; choose `--backend packet`, or give access to /dev/net/tun (load the module `tun`)"
            }
            DeviceStep::MakeVeth if cause.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                "; the kernel has no veth devices: load the module `veth`"
            }
            DeviceStep::MakeVeth | DeviceStep::Other(_) => "",
        }
    }
}

impl fmt::Display for DeviceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceStep::MakeTun => "make a TUN device",
            DeviceStep::MakeVeth => "make a veth pair",
            DeviceStep::Other(words) => words,
        })
    }
}

/// The client's address on the link.
pub const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The server's address on the link.
pub const SERVER_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// The client's address on the link.
pub const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1);
/// The server's address on the link.
pub const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 2);
/// The client's address beside the link, for control.
pub const CLIENT_CONTROL: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 1);
/// The server's address beside the link, for control.
pub const SERVER_CONTROL: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 2);

/// The device of the link, at both ends.
pub const LINK_DEVICE: &str = "link0";
/// Where packets of the link come in that the kernel has cut, at both ends; they go on to [`LINK_DEVICE`].
pub const DELIVERY_DEVICE: &str = "link0in";
/// The middle's device that leads to the client's end.
pub(crate) const CLIENT_SIDE: &str = "client0";
/// The middle's device that leads to the server's end.
pub(crate) const SERVER_SIDE: &str = "server0";
/// The device beside the link, at both ends.
pub const CONTROL_DEVICE: &str = "ctl0";

/// Packets that wait in the device for the emulator to read them. A TUN device drops silently when
/// they are more.
pub const DEVICE_QUEUE: u32 = 10_000;

/// Opens the device node of TUN.
///
/// # Errors
/// Where there is none, or it is not permitted.
pub(crate) fn open_tun_node() -> io::Result<File> {
    File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open("/dev/net/tun")
}

/// `struct ifreq` with the member that TUNSETIFF uses.
#[repr(C)]
struct TunRequest {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; 22],
}

/// What the kernel need not do before it hands a packet over (`linux/if_tun.h`): sum, and segment TCP;
/// and, from kernel 6.2 on, segment UDP.
const SUPER_TCP: libc::c_ulong = 0x01 | 0x02 | 0x04;
/// See [`SUPER_TCP`].
const SUPER_UDP: libc::c_ulong = 0x20 | 0x40;

/// Makes the TUN device `name`; reads and writes of the descriptor are IP packets, each with the header of
/// virtio-net before it. Those that a network card would segment come whole.
///
/// The device is persistent (TUNSETPERSIST): closing the descriptor only detaches it, where it would otherwise wait
/// some ten milliseconds until the kernel has unregistered the device. It goes with its network namespace, which must
/// therefore be one that goes with its last user.
///
/// # Errors
/// Where the kernel refuses.
#[allow(unsafe_code)] // ioctl
pub(crate) fn make_tun(name: &str) -> io::Result<OwnedFd> {
    let node = open_tun_node()?;
    let flags = (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as _;
    let mut request = TunRequest { name: device_name(name), flags, rest: [0; 22] };
    // SAFETY: TUNSETIFF takes a pointer to a `struct ifreq`, of whose size and layout TunRequest is.
    unsafe { sys::ioctl(node.as_fd(), libc::TUNSETIFF as _, &mut request)? };
    set_offloads(&node, SUPER_TCP | SUPER_UDP).or_else(|_| set_offloads(&node, SUPER_TCP))?;
    // One that goes as it is closed serves as well, only later.
    let _ = by_value(&node, libc::TUNSETPERSIST as _, 1);
    Ok(node.into())
}

fn set_offloads(node: &File, offloads: libc::c_ulong) -> io::Result<()> {
    by_value(node, libc::TUNSETOFFLOAD as _, offloads)
}

/// One of TUN's requests that take a number: TUNSETOFFLOAD, TUNSETPERSIST.
#[allow(unsafe_code)] // ioctl
fn by_value(node: &File, request: libc::c_ulong, value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the requests that are made here take their argument by value.
    if unsafe { libc::ioctl(node.as_raw_fd(), request as _, value) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn device_name(name: &str) -> [u8; libc::IFNAMSIZ] {
    let mut bytes = [0; libc::IFNAMSIZ];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// Gives a device its MTU and addresses and sets it up. IPv6 addresses are left out where the
/// kernel has no IPv6; tells whether they are there.
///
/// # Errors
/// Where the kernel refuses.
pub(crate) fn configure(name: &str, mtu: u16, addresses: &[(IpAddr, u8)]) -> io::Result<bool> {
    let index = if_nametoindex(name)?;
    let mut netlink = Netlink::open()?;
    netlink.set_up(index, mtu, DEVICE_QUEUE)?;
    let mut ipv6 = true;
    for &(address, prefix) in addresses {
        match netlink.add_address(index, address, prefix) {
            Err(_) if address.is_ipv6() => ipv6 = false,
            other => other?,
        }
    }
    Ok(ipv6)
}

/// A veth pair with its offloads off at both ends.
pub(crate) fn make_veth(
    one: (&Namespace, &str),
    other: (&Namespace, &str),
    address: [u8; 6],
    mtu: u16,
) -> Result<(), DeviceError> {
    make_veth_with(one, other, address, mtu, switch_offloads_off)
}

/// A veth pair, each end of which is treated by `treat`.
pub(crate) fn make_veth_with(
    one: (&Namespace, &str),
    other: (&Namespace, &str),
    address: [u8; 6],
    mtu: u16,
    treat: fn(&str) -> io::Result<()>,
) -> Result<(), DeviceError> {
    let end = |(namespace, name)| VethEnd { name, namespace: Namespace::as_fd(namespace), address };
    Netlink::open()
        .and_then(|mut netlink| netlink.make_veth([&end(one), &end(other)], mtu))
        .map_err(DeviceError::at(DeviceStep::MakeVeth))?;
    for (namespace, name) in [one, other] {
        namespace.run(|| treat(name))?.map_err(DeviceError::at(DeviceStep::Other("switch a device's offloads off")))?;
    }
    Ok(())
}

/// How long the kernel may take to notice what has changed with a device.
const NOTICE_LIMIT: Duration = Duration::from_secs(5);

/// Waits until a device of a pair that was set up before its peer sends what it is given. The kernel begins to when
/// its link watch comes round to the device (`net/core/link_watch.c`, `dev_activate`), some time after the peer is
/// up; until then it drops every packet without a word.
///
/// # Errors
/// Where the kernel refuses, or takes no notice of the carrier.
pub(crate) fn await_carrier(name: &str) -> io::Result<()> {
    let index = if_nametoindex(name)?;
    // Kernels from 6.8 on make up for the watch when they are asked; others are asked again.
    await_kernel(|netlink| netlink.is_operational(index), || format!("`{name}` gets no carrier from its peer"))
}

/// Waits until packets to an IPv6 address of the namespace reach it. The kernel adds the route that leads there in a
/// work of its own (`net/ipv6/addrconf.c`, `addrconf_dad_work`), some time after the address and the carrier are
/// there; until then it drops every such packet.
///
/// # Errors
/// Where the kernel refuses to tell, or never adds the route.
pub(crate) fn await_address(address: Ipv6Addr) -> io::Result<()> {
    await_kernel(|netlink| netlink.is_local(address), || format!("the kernel adds no route to its own {address}"))
}

/// Asks the kernel again and again until it says yes.
fn await_kernel(mut holds: impl FnMut(&mut Netlink) -> io::Result<bool>, lack: impl Fn() -> String) -> io::Result<()> {
    let mut netlink = Netlink::open()?;
    let begun = Instant::now();
    while !holds(&mut netlink)? {
        if begun.elapsed() > NOTICE_LIMIT {
            return Err(io::Error::new(io::ErrorKind::TimedOut, lack()));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// Of `linux/ethtool.h`.
const ETHTOOL_GFEATURES: u32 = 0x3a;
/// Of `linux/ethtool.h`.
const ETHTOOL_SFEATURES: u32 = 0x3b;
/// Number of 32-bit words in the kernel's feature masks, at most.
const FEATURE_WORDS: usize = 4;

/// `struct ethtool_gfeatures` of `linux/ethtool.h`.
#[repr(C)]
struct GetFeatures {
    command: u32,
    words: u32,
    /// available, requested, active, never changed
    features: [[u32; 4]; FEATURE_WORDS],
}

/// `struct ethtool_sfeatures` of `linux/ethtool.h`.
#[repr(C)]
struct SetFeatures {
    command: u32,
    words: u32,
    /// valid, requested
    features: [[u32; 2]; FEATURE_WORDS],
}

/// `struct ifreq` with the member that SIOCETHTOOL uses.
#[repr(C)]
struct EthtoolRequest<T> {
    name: [u8; libc::IFNAMSIZ],
    data: *mut T,
    rest: [u8; 16],
}

/// The bit of `NETIF_F_GRO` in the kernel's feature masks (`linux/netdev_features.h`).
const FEATURE_GRO: u32 = 1 << 14;

/// `NETIF_F_SG`, `…_IP_CSUM`, `…_HW_CSUM` and `…_IPV6_CSUM`: packets in pieces, and checksums left to the device.
const FEATURES_OF_SINGLE_PACKETS: u32 = 1 | 1 << 1 | 1 << 3 | 1 << 4;

/// Switches every offload of a device off that can be: segmentation, receive merging, checksums.
/// Otherwise what crosses it are super-packets of up to 64 KiB, and one loss takes all of it.
///
/// # Errors
/// Where the kernel refuses.
pub(crate) fn switch_offloads_off(name: &str) -> io::Result<()> {
    set_features(name, Features::default())
}

/// The same for a device that is to cut super-packets at no greater cost than it must: its packets may lie in
/// pieces, so that cutting copies nothing, and have their checksums still to be made.
///
/// # Errors
/// Where the kernel refuses.
pub(crate) fn switch_segmentation_off(name: &str) -> io::Result<()> {
    set_features(name, Features { kept: FEATURES_OF_SINGLE_PACKETS, ..Features::default() })
}

/// The same for a veth device that is to keep the order of packets sent to it from several CPUs: it
/// has one receive queue for all of them only where it may merge what it receives. So that is left on,
/// with a largest size of nothing, so that nothing is merged.
///
/// # Errors
/// Where the kernel refuses.
pub(crate) fn switch_offloads_off_in_order(name: &str) -> io::Result<()> {
    Netlink::open()?.forbid_merging(if_nametoindex(name)?)?;
    set_features(name, Features { on: FEATURE_GRO, ..Features::default() })
}

/// What is not simply switched off.
#[derive(Default)]
struct Features {
    /// Left as they are, of the first 32, where all these are.
    kept: u32,
    /// Switched on.
    on: u32,
}

#[allow(unsafe_code)] // ioctl
fn set_features(name: &str, features: Features) -> io::Result<()> {
    let control = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut get = GetFeatures { command: ETHTOOL_GFEATURES, words: FEATURE_WORDS as u32, features: [[0; 4]; 4] };
    let mut request = EthtoolRequest { name: device_name(name), data: &raw mut get, rest: [0; 16] };
    // SAFETY: SIOCETHTOOL takes a `struct ifreq` whose data points to the command's structure; the
    // kernel writes at most `words` blocks, for which there is room.
    unsafe { sys::ioctl(control.as_fd(), libc::SIOCETHTOOL as _, &mut request)? };
    let words = get.words; // how many the kernel has, which is how many it wants back
    if words as usize > FEATURE_WORDS {
        return Err(io::Error::other(format!("the kernel has {words} words of device features, more than are known")));
    }
    let mut set = SetFeatures { command: ETHTOOL_SFEATURES, words, features: [[0; 2]; FEATURE_WORDS] };
    for (word, of) in set.features.iter_mut().zip(&get.features).take(words as usize) {
        *word = [of[0] & of[2], 0]; // what is available and active: off
    }
    set.features[0][0] &= !features.kept;
    set.features[0][0] |= features.on;
    set.features[0][1] |= features.on;
    let mut request = EthtoolRequest { name: device_name(name), data: &raw mut set, rest: [0; 16] };
    // SAFETY: as above; the kernel reads `words` blocks.
    unsafe { sys::ioctl(control.as_fd(), libc::SIOCETHTOOL as _, &mut request) }
}
