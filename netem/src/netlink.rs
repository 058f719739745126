//! Just enough rtnetlink (RFC 3549, `linux/rtnetlink.h`) to make devices, give them addresses and
//! routes, and put queueing disciplines on them ([`qdisc`]).
//!
//! Synchronous, one request and its acknowledgement at a time, in the network namespace of the
//! thread that opened the socket. The asynchronous crates for it need a runtime, and with it
//! threads, in a process that must still have one.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

pub(crate) mod qdisc;
mod redirect;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Length of `struct ifinfomsg`.
const LINK_HEADER: usize = 16;
/// Offset of `rtm_type` in `struct rtmsg`.
const ROUTE_TYPE: usize = 7;
/// `VETH_INFO_PEER` of `linux/veth.h`.
const VETH_INFO_PEER: u16 = 1;
/// `IFLA_INET6_ADDR_GEN_MODE` of `linux/if_link.h`.
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
/// `IF_OPER_UP` of `linux/if.h`.
const OPERATIONAL: u8 = 6;
/// `IN6_ADDR_GEN_MODE_NONE`: no link-local address, and so no router solicitation.
const ADDR_GEN_MODE_NONE: u8 = 1;

/// A netlink socket in one network namespace.
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    /// As long as the longest datagram of a list.
    received: Vec<u8>,
}

/// One end of a veth pair that is to be made.
pub(crate) struct VethEnd<'a> {
    /// The device's name.
    pub(crate) name: &'a str,
    /// The namespace it is born in.
    pub(crate) namespace: BorrowedFd<'a>,
    /// Its Ethernet address.
    pub(crate) address: [u8; 6],
}

impl Netlink {
    /// A socket in the calling thread's network namespace.
    pub(crate) fn open() -> io::Result<Netlink> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
        Ok(Netlink { socket, sequence: 0, received: vec![0; 1 << 16] })
    }

    /// Makes a veth pair, each end in its namespace.
    pub(crate) fn make_veth(&mut self, ends: [&VethEnd<'_>; 2], mtu: u16) -> io::Result<()> {
        let end = |message: &mut Message, end: &VethEnd<'_>| {
            message.link_header(0, 0, 0);
            message.text(libc::IFLA_IFNAME, end.name);
            message.attribute(libc::IFLA_ADDRESS, &end.address);
            message.attribute(libc::IFLA_MTU, &u32::from(mtu).to_ne_bytes());
            message.attribute(libc::IFLA_NET_NS_FD, &(end.namespace.as_raw_fd() as u32).to_ne_bytes());
        };
        let mut message = Message::default();
        end(&mut message, ends[0]);
        message.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_KIND, "veth");
            info.nest(libc::IFLA_INFO_DATA, |data| data.nest(VETH_INFO_PEER, |peer| end(peer, ends[1])));
        });
        self.request(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &message)
    }

    /// Gives a device its MTU and transmit queue, keeps it quiet, and sets it up.
    ///
    /// Quiet: no ARP or neighbour discovery, no link-local address, no multicast, so that no packet
    /// crosses the link but those of its users.
    pub(crate) fn set_up(&mut self, index: u32, mtu: u16, queue: u32) -> io::Result<()> {
        let mut quiet = Message::default();
        quiet.link_header(index, 0, 0);
        quiet.nest(libc::IFLA_AF_SPEC, |families| {
            families.nest(libc::AF_INET6 as u16, |v6| v6.attribute(IFLA_INET6_ADDR_GEN_MODE, &[ADDR_GEN_MODE_NONE]));
        });
        // Fails where IPv6 is switched off, and then there is nothing to keep quiet.
        let _ = self.request(libc::RTM_SETLINK, 0, &quiet);

        // Before it is up: a device that is gets stopped for it.
        let mut sizes = Message::default();
        sizes.link_header(index, 0, 0);
        sizes.attribute(libc::IFLA_MTU, &u32::from(mtu).to_ne_bytes());
        sizes.attribute(libc::IFLA_TXQLEN, &queue.to_ne_bytes());
        self.request(libc::RTM_NEWLINK, 0, &sizes)?;

        let mut message = Message::default();
        let flags = (libc::IFF_UP | libc::IFF_NOARP) as u32;
        message.link_header(index, flags, flags | libc::IFF_MULTICAST as u32);
        self.request(libc::RTM_NEWLINK, 0, &message)
    }

    /// Forbids a device to merge received packets into larger ones: none may be larger than nothing.
    /// Kernels that do not know the limit (before 5.19) take no notice.
    pub(crate) fn forbid_merging(&mut self, index: u32) -> io::Result<()> {
        /// `IFLA_GRO_MAX_SIZE` and `IFLA_GRO_IPV4_MAX_SIZE` of `linux/if_link.h`.
        const LIMITS: [u16; 2] = [58, 64];
        let mut message = Message::default();
        message.link_header(index, 0, 0);
        LIMITS.iter().for_each(|&limit| message.attribute(limit, &1u32.to_ne_bytes()));
        self.request(libc::RTM_NEWLINK, 0, &message)
    }

    /// Sets a device up and changes nothing else: for the loopback.
    pub(crate) fn set_up_plain(&mut self, index: u32) -> io::Result<()> {
        let mut message = Message::default();
        message.link_header(index, libc::IFF_UP as u32, libc::IFF_UP as u32);
        self.request(libc::RTM_NEWLINK, 0, &message)
    }

    /// Whether a device has a carrier, and the kernel has taken notice and sends what it is given.
    pub(crate) fn is_operational(&mut self, index: u32) -> io::Result<bool> {
        let mut message = Message::default();
        message.link_header(index, 0, 0);
        self.send(libc::RTM_GETLINK, 0, &message)?;
        self.receive(|answer| {
            Some(match answer.acknowledgement() {
                Some(refused) => refused.map(|()| false),
                None => {
                    let attributes = answer.body.get(LINK_HEADER..).unwrap_or_default();
                    Ok(self::attributes(attributes).any(|one| one == (libc::IFLA_OPERSTATE, &[OPERATIONAL])))
                }
            })
        })
    }

    /// Whether packets to this IPv6 address end in this namespace, which is so once the kernel has its route.
    pub(crate) fn is_local(&mut self, address: Ipv6Addr) -> io::Result<bool> {
        let mut message = Message::default();
        // struct rtmsg: family, lengths of destination and source, TOS, table, protocol, scope, type, flags.
        message.0.extend_from_slice(&[libc::AF_INET6 as u8, 128, 0, 0, 0, 0, 0, 0]);
        message.0.extend_from_slice(&0u32.to_ne_bytes());
        message.attribute(libc::RTA_DST, &address.octets());
        self.send(libc::RTM_GETROUTE, 0, &message)?;
        self.receive(|answer| {
            Some(match answer.acknowledgement() {
                // No route at all.
                Some(Err(error)) if error.raw_os_error() == Some(libc::ENETUNREACH) => Ok(false),
                Some(refused) => refused.map(|()| false),
                None => Ok(answer.body.get(ROUTE_TYPE) == Some(&libc::RTN_LOCAL)),
            })
        })
    }

    /// Takes a device away, and a pair's other end with it.
    pub(crate) fn remove_device(&mut self, index: u32) -> io::Result<()> {
        let mut message = Message::default();
        message.link_header(index, 0, 0);
        self.request(libc::RTM_DELLINK, 0, &message)
    }

    /// Adds an address that may be used at once, and the route to its prefix with it.
    pub(crate) fn add_address(&mut self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        let (family, octets) = match address {
            IpAddr::V4(v4) => (libc::AF_INET, v4.octets().to_vec()),
            IpAddr::V6(v6) => (libc::AF_INET6, v6.octets().to_vec()),
        };
        let mut message = Message::default();
        message.0.extend_from_slice(&[family as u8, prefix, 0, libc::RT_SCOPE_UNIVERSE]);
        message.0.extend_from_slice(&index.to_ne_bytes());
        message.attribute(libc::IFA_LOCAL, &octets);
        message.attribute(libc::IFA_ADDRESS, &octets);
        // No duplicate-address detection: nobody else is there, and it would take a second.
        message.attribute(libc::IFA_FLAGS, &libc::IFA_F_NODAD.to_ne_bytes());
        self.request(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &message)
    }

    /// Adds a route to a network, by the length of its prefix, that is reached over the device directly.
    pub(crate) fn add_route(&mut self, index: u32, address: IpAddr, bits: u8) -> io::Result<()> {
        let (family, scope, octets) = match address {
            IpAddr::V4(v4) => (libc::AF_INET, libc::RT_SCOPE_LINK, v4.octets().to_vec()),
            IpAddr::V6(v6) => (libc::AF_INET6, libc::RT_SCOPE_UNIVERSE, v6.octets().to_vec()),
        };
        let mut message = Message::default();
        // struct rtmsg: family, lengths of destination and source, TOS, table, protocol, scope, type, flags.
        let (table, protocol) = (libc::RT_TABLE_MAIN, libc::RTPROT_STATIC);
        message.0.extend_from_slice(&[family as u8, bits, 0, 0, table, protocol, scope, libc::RTN_UNICAST]);
        message.0.extend_from_slice(&0u32.to_ne_bytes());
        message.attribute(libc::RTA_DST, &octets);
        message.attribute(libc::RTA_OIF, &index.to_ne_bytes());
        self.request(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &message)
    }

    /// Swallows every packet of this IP protocol and family that the namespace would send or forward; or
    /// lets them pass again.
    pub(crate) fn swallow(&mut self, family: libc::c_int, protocol: u8, on: bool) -> io::Result<()> {
        /// `FR_ACT_BLACKHOLE`, `FRA_PRIORITY` and `FRA_IP_PROTO` of `linux/fib_rules.h`.
        const BLACKHOLE: u8 = 6;
        const PRIORITY: u16 = 6;
        const IP_PROTOCOL: u16 = 22;
        let mut message = Message::default();
        // struct fib_rule_hdr: family, lengths of destination and source, TOS, table, two reserved, action, flags.
        message.0.extend_from_slice(&[family as u8, 0, 0, 0, 0, 0, 0, BLACKHOLE, 0, 0, 0, 0]);
        message.attribute(PRIORITY, &1u32.to_ne_bytes());
        message.attribute(IP_PROTOCOL, &[protocol]);
        match on {
            true => self.request(libc::RTM_NEWRULE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &message),
            false => self.request(libc::RTM_DELRULE, 0, &message),
        }
    }

    /// Sends a request and waits for its acknowledgement.
    fn request(&mut self, kind: u16, flags: libc::c_int, message: &Message) -> io::Result<()> {
        self.send(kind, flags | libc::NLM_F_ACK, message)?;
        self.receive(|answer| answer.acknowledgement())
    }

    /// Asks for a list, and gives the body of each of its messages to `each`.
    fn dump(&mut self, kind: u16, message: &Message, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        self.send(kind, libc::NLM_F_DUMP, message)?;
        self.receive(|answer| {
            if answer.kind == libc::NLMSG_DONE as u16 {
                return Some(Ok(()));
            }
            let refused = answer.acknowledgement();
            if refused.is_none() {
                each(answer.body);
            }
            refused
        })
    }

    /// Receives answers to the last request until `take` makes something of one.
    fn receive<T>(&mut self, mut take: impl FnMut(Answer<'_>) -> Option<io::Result<T>>) -> io::Result<T> {
        loop {
            let n = recv(self.socket.as_raw_fd(), &mut self.received, MsgFlags::empty())?;
            let mut own = answers(&self.received[..n]).filter(|answer| answer.sequence == self.sequence);
            if let Some(taken) = own.find_map(&mut take) {
                return taken;
            }
        }
    }

    fn send(&mut self, kind: u16, flags: libc::c_int, message: &Message) -> io::Result<()> {
        self.sequence += 1;
        let length = HEADER + message.0.len();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&(length as u32).to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&((flags | libc::NLM_F_REQUEST) as u16).to_ne_bytes());
        bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(&message.0);
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        Ok(())
    }
}

/// One message from the kernel.
struct Answer<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

impl Answer<'_> {
    /// What it says of the request, if that is what it is for.
    fn acknowledgement(&self) -> Option<io::Result<()>> {
        if self.kind != libc::NLMSG_ERROR as u16 {
            return None;
        }
        let code = self.body.first_chunk().map(|code| i32::from_ne_bytes(*code))?;
        Some(if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) })
    }
}

/// The messages of one datagram.
fn answers(mut bytes: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    std::iter::from_fn(move || {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let word = |at: usize| u32::from_ne_bytes(std::array::from_fn(|i| header[at + i]));
        let length = word(0) as usize;
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Answer { kind: u16::from_ne_bytes([header[4], header[5]]), sequence: word(8), body })
    })
}

/// The attributes of a message's body behind its fixed header: kind without flags, value.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const FLAGS: u16 = (libc::NLA_F_NESTED | libc::NLA_F_NET_BYTEORDER) as u16;
    std::iter::from_fn(move || {
        let head: &[u8; 4] = bytes.first_chunk()?;
        let (length, kind) = (u16::from_ne_bytes([head[0], head[1]]), u16::from_ne_bytes([head[2], head[3]]));
        let value = bytes.get(4..usize::from(length))?;
        bytes = bytes.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
        Some((kind & !FLAGS, value))
    })
}

/// The body of a request: a fixed header, then attributes, each padded to four bytes.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// `struct ifinfomsg`.
    fn link_header(&mut self, index: u32, flags: u32, change: u32) {
        self.0.extend_from_slice(&[libc::AF_UNSPEC as u8, 0, 0, 0]);
        self.0.extend_from_slice(&index.to_ne_bytes());
        self.0.extend_from_slice(&flags.to_ne_bytes());
        self.0.extend_from_slice(&change.to_ne_bytes());
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.0.extend_from_slice(&((4 + value.len()) as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes);
    }

    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        fill(&mut inner);
        self.attribute(kind | libc::NLA_F_NESTED as u16, &inner.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested() {
        let mut message = Message::default();
        message.text(3, "ab");
        assert_eq!(message.0, [&7u16.to_ne_bytes()[..], &3u16.to_ne_bytes()[..], b"ab\0\0"].concat());
        let mut outer = Message::default();
        outer.nest(18, |inner| inner.attribute(1, &[9]));
        let nested = (18 | libc::NLA_F_NESTED as u16).to_ne_bytes();
        assert_eq!(
            outer.0,
            [&12u16.to_ne_bytes()[..], &nested, &5u16.to_ne_bytes(), &1u16.to_ne_bytes(), &[9, 0, 0, 0]].concat()
        );
    }
}
