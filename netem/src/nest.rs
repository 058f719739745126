//! Links inside links: the far end of a link that is started in another leads on through the other.
//!
//! ```text
//! client ── inner link ── server ═ outer0 ── inner1 ═ client ── outer link ── server
//!                         (a router)                  (of the outer link: a router, too)
//! ```
//!
//! The inner link's server end has a pair of devices to the namespace in which the link was started, which is the
//! client end of the outer one. Both forward packets, without translating addresses: every link has a block of
//! addresses of its own within its outer link's, so each end knows by a few fixed routes which way a packet goes,
//! and nobody needs to be asked. The device's name in the outer namespace, `inner` and the block's number, is given
//! once only; so the kernel keeps several inner links apart. All of it goes with the inner link's namespaces.
//!
//! Start with [`Outer::find`].

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;

use crate::device::{self, LINK_DEVICE};
use crate::namespace::{Namespace, NamespaceError, Namespaces, StepError, cannot};
use crate::netlink::{Netlink, VethEnd};

/// The inner link's device towards the outer one, at its server's end.
const UPLINK: &str = "outer0";
/// The other end's, in the outer link's client's namespace, before the number.
const DOWNLINK: &str = "inner";
/// Ethernet address of both; see the path's own.
const UPLINK_MAC: [u8; 6] = [2, 0, 0, 0, 3, 0];
/// Nobody's packets are cut here: they are as large as the links at both sides let them be.
const UPLINK_MTU: u16 = 65_535;

/// All blocks are in this one, which is no link's own (RFC 2544's range has one half more).
const ALL: Block = Block { base: Ipv4Addr::new(198, 19, 0, 0), bits: 16 };
/// The IPv6 network into which the IPv4 addresses of blocks are written (RFC 5180's range).
const ALL_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 1, 0, 0, 0, 0);
/// How large the blocks are at each depth.
const SIZES: [u8; 5] = [ALL.bits, 21, 25, 28, 30];

/// Addresses that belong to one link and those inside it. Its first two are of the link's own ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    base: Ipv4Addr,
    /// Length of the prefix.
    bits: u8,
}

impl Block {
    /// The blocks for the links inside.
    fn inside(self) -> Option<impl Iterator<Item = (u32, Block)>> {
        let at = SIZES.iter().position(|bits| *bits == self.bits)?;
        let bits = *SIZES.get(at + 1)?;
        // The first has the link's own ends in it.
        let numbers = 1..1u32 << (bits - self.bits);
        Some(numbers.map(move |n| {
            let base = Ipv4Addr::from_bits(self.base.to_bits() + (n << (32 - bits)));
            (n, Block { base, bits })
        }))
    }

    fn v4(self) -> (IpAddr, u8) {
        (IpAddr::V4(self.base), self.bits)
    }

    fn v6(self) -> (IpAddr, u8) {
        (IpAddr::V6(mapped(self.base)), 96 + self.bits)
    }
}

fn mapped(address: Ipv4Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(ALL_V6.to_bits() | u128::from(address.to_bits()))
}

/// The addresses of a link's ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The client's.
    pub client: Ipv4Addr,
    /// The server's.
    pub server: Ipv4Addr,
    /// The client's.
    pub client6: Ipv6Addr,
    /// The server's.
    pub server6: Ipv6Addr,
    /// Lengths of the networks that both are in, IPv4 and IPv6.
    pub(crate) prefixes: (u8, u8),
}

impl Addresses {
    /// Of a link that is in no other.
    pub const OUTERMOST: Addresses = Addresses {
        client: device::CLIENT_V4,
        server: device::SERVER_V4,
        client6: device::CLIENT_V6,
        server6: device::SERVER_V6,
        prefixes: (24, 64),
    };

    fn of(block: Block) -> Addresses {
        let [client, server] = [1, 2].map(|n| Ipv4Addr::from_bits(block.base.to_bits() + n));
        let prefixes = (block.bits, 96 + block.bits);
        Addresses { client, server, client6: mapped(client), server6: mapped(server), prefixes }
    }

    /// The client's networks and those inside its end; all else is beyond the server's, where that leads on.
    pub(crate) fn beyond_client(&self) -> [(IpAddr, u8); 2] {
        let block = match *self == Addresses::OUTERMOST {
            true => ALL,
            false => Block { base: Ipv4Addr::from_bits(self.client.to_bits() - 1), bits: self.prefixes.0 },
        };
        [block.v4(), block.v6()]
    }

    /// The client's addresses, and how many behind the server's are no link's own.
    pub(crate) fn of_client(&self) -> crate::link::nat::Client {
        // The server's is the second of a block; where links inside have theirs, the sizes of blocks say.
        let spare = match *self == Addresses::OUTERMOST {
            true => 250,
            false => SIZES
                .windows(2)
                .find(|sizes| sizes[0] == self.prefixes.0)
                .map_or(0, |sizes| (1u32 << (32 - sizes[1])).min(250).saturating_sub(3)),
        };
        crate::link::nat::Client { v4: self.client, v6: self.client6, spare }
    }

    /// Whether it leads on to another.
    pub(crate) fn leads_on(&self) -> bool {
        *self != Addresses::OUTERMOST
    }
}

/// Every address, IPv4 and IPv6.
pub(crate) const EVERYWHERE: [(IpAddr, u8); 2] =
    [(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0), (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0)];

/// A link inside another that cannot lead through it.
#[derive(Debug, thiserror::Error)]
pub enum NestError {
    /// The outer link's namespace is another user's.
    #[error(
        "the network namespace around it belongs to another user or to a user namespace that was left; start it as \
         the user who started the outer link"
    )]
    NotOurs,
    /// No addresses are left.
    #[error("links can be {depth} deep, and so many in one; end one of them", depth = SIZES.len())]
    Full,
    /// Another step.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The namespaces.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
}

/// The client end of a link in which another is about to be started.
#[derive(Debug)]
pub struct Outer {
    namespace: Namespace,
    block: Block,
}

impl Outer {
    /// Of the calling thread's network namespace, where that is the client end of a link.
    pub fn find() -> Option<Outer> {
        let block = getifaddrs().ok()?.find_map(|found| {
            let address = found.address?.as_sockaddr_in()?.ip();
            let bits = found.netmask?.as_sockaddr_in()?.ip().to_bits().leading_ones() as u8;
            (found.interface_name == LINK_DEVICE).then_some(())?;
            if address == device::CLIENT_V4 {
                return Some(ALL);
            }
            let block = Block { base: Ipv4Addr::from_bits(address.to_bits().wrapping_sub(1)), bits };
            let is_client = SIZES.contains(&bits) && address.to_bits().trailing_zeros() == 0;
            (ALL.base.octets()[..2] == address.octets()[..2] && is_client).then_some(block)
        })?;
        Some(Outer { namespace: Namespace::current().ok()?, block })
    }

    /// Joins the server end of a new link to it: gives the addresses that the new link is to have. That end must be
    /// let [`forward`] once it has all its devices: a router that gets another says so on it.
    ///
    /// # Errors
    /// Where the kernel or the number of links forbids it; then nothing is joined.
    pub(crate) fn join(&self, namespaces: &Namespaces) -> Result<Addresses, NestError> {
        let (number, block) = self.make_pair(&namespaces.server)?;
        let downlink = format!("{DOWNLINK}{number}");
        namespaces
            .server
            .run(|| {
                device::configure(UPLINK, UPLINK_MTU, &[])?;
                add_routes(UPLINK, &EVERYWHERE)
            })?
            .map_err(cannot("lead the link's server end on"))?;
        self.namespace
            .run(|| {
                device::configure(&downlink, UPLINK_MTU, &[])?;
                add_routes(&downlink, &[block.v4(), block.v6()])?;
                forward()
            })?
            .map_err(cannot("lead the outer link's client end on"))?;
        namespaces
            .server
            .run(|| device::await_carrier(UPLINK))?
            .map_err(cannot("wait for the carrier of the device that leads to the outer link"))?;
        Ok(Addresses::of(block))
    }

    /// Makes the pair of devices, with the first number that nobody has.
    fn make_pair(&self, server: &Namespace) -> Result<(u32, Block), NestError> {
        let mut netlink = Netlink::open().map_err(cannot("open a netlink socket"))?;
        for (number, block) in self.block.inside().ok_or(NestError::Full)? {
            let name = format!("{DOWNLINK}{number}");
            let ends = [
                VethEnd { name: UPLINK, namespace: server.as_fd(), address: UPLINK_MAC },
                VethEnd { name: &name, namespace: self.namespace.as_fd(), address: UPLINK_MAC },
            ];
            match netlink.make_veth([&ends[0], &ends[1]], UPLINK_MTU) {
                Ok(()) => return Ok((number, block)),
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Err(NestError::NotOurs),
                Err(cause) => return Err(cannot("make a veth pair to the outer link")(cause).into()),
            }
        }
        Err(NestError::Full)
    }
}

/// Gives a link's number back at once: the kernel takes its time to clear namespaces away.
pub(crate) fn leave(namespaces: &Namespaces) {
    // Where it fails, the device goes with the namespace.
    let _ = namespaces.server.run(|| -> io::Result<()> { Netlink::open()?.remove_device(if_nametoindex(UPLINK)?) });
}

/// Adds routes to networks that are reached over a device of the calling thread's namespace directly. Those of
/// IPv6 are left out where the kernel has none.
///
/// # Errors
/// What the kernel says.
pub(crate) fn add_routes(name: &str, networks: &[(IpAddr, u8)]) -> io::Result<()> {
    let index = if_nametoindex(name)?;
    let mut netlink = Netlink::open()?;
    for &(network, bits) in networks {
        match netlink.add_route(index, network, bits) {
            Err(_) if network.is_ipv6() => {}
            other => other?,
        }
    }
    Ok(())
}

/// Lets the calling thread's namespace forward packets.
///
/// # Errors
/// What the kernel says of IPv4. Where IPv6 fails there is none, and the ends will find that out.
pub(crate) fn forward() -> io::Result<()> {
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    let _ = fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_inner_blocks_and_ends_apart() {
        let mut block = ALL;
        let mut depth = 0;
        while let Some(inside) = block.inside() {
            let blocks: Vec<_> = inside.map(|(_, block)| block).collect();
            let last_of = |block: Block| block.base.to_bits() + ((1u64 << (32 - block.bits)) - 1) as u32;
            let mut free = Addresses::of(block).server.to_bits() + 1;
            for each in &blocks {
                assert!(each.base.to_bits() >= free, "{each:?} overlaps what is before it");
                free = last_of(*each) + 1;
            }
            assert_eq!(free, last_of(block).wrapping_add(1), "all of it can be given");
            depth += 1;
            block = *blocks.last().expect("some");
        }
        assert_eq!(depth, SIZES.len() - 1);
        // The smallest still has two ends that are neither its network's name nor its broadcast.
        let ends = Addresses::of(block);
        assert_eq!((ends.client.to_bits() & 3, ends.server.to_bits() & 3), (1, 2));
    }

    #[test]
    fn the_addresses_of_both_families_correspond() {
        let first = ALL.inside().unwrap().next().unwrap().1;
        let ends = Addresses::of(first);
        assert_eq!((ends.client, ends.server), (Ipv4Addr::new(198, 19, 8, 1), Ipv4Addr::new(198, 19, 8, 2)));
        assert_eq!(ends.server6, "2001:2:0:1::c613:802".parse::<Ipv6Addr>().unwrap());
        assert_eq!(ends.prefixes, (21, 117));
        assert_eq!(ends.beyond_client(), [first.v4(), first.v6()]);
        assert_eq!(Addresses::OUTERMOST.beyond_client()[1], ("2001:2:0:1::c613:0".parse().unwrap(), 112));
        assert!(ends.leads_on() && !Addresses::OUTERMOST.leads_on());
    }
}
