//! Queueing disciplines on the devices of a router: put there, changed in place, taken away, and their counters.

use std::io;

use nix::net::if_::if_nametoindex;

use super::error::KernelError;
use super::plan::Hops;
use crate::device::{CLIENT_SIDE, SERVER_SIDE};
use crate::namespace::{Namespace, Namespaces, cannot};
use crate::netlink::Netlink;
use crate::netlink::qdisc::{Netem, Qdisc, ROOT};

/// Bytes that the kernel counts at a device beyond the IP packet: the Ethernet header.
const LINK_HEADER: u32 = 14;

/// The device between the router's namespaces, in both.
pub(super) const CORE: &str = "core";

/// Puts the queueing disciplines of both directions on the devices of the router's namespaces.
pub(super) fn furnish(near: &Namespace, far: Option<&Namespace>, hops: &[Hops; 2]) -> Result<(), KernelError> {
    for (namespace, name, chain) in places(near, far, Hops::chains(hops)) {
        namespace.run(|| put(name, chain))??;
    }
    Ok(())
}

/// Takes them away, with what they hold.
pub(super) fn clear(near: &Namespace, far: Option<&Namespace>, hops: &[Hops; 2]) -> Result<(), KernelError> {
    for (namespace, name, _) in places(near, far, Hops::chains(hops)).filter(|(.., chain)| !chain.is_empty()) {
        namespace.run(|| take_away(name, 0))??;
    }
    Ok(())
}

/// Where each hop of each direction is: the namespace, its device, and what stands there.
pub(super) fn places<'a, T>(
    near: &'a Namespace,
    far: Option<&'a Namespace>,
    [[up_first, up_second], [down_first, down_second]]: [[T; 2]; 2],
) -> impl Iterator<Item = (&'a Namespace, &'static str, T)> {
    let first = far.map(|far| [(near, CORE, up_first), (far, CORE, down_first)]);
    let second = [(far.unwrap_or(near), SERVER_SIDE, up_second), (near, CLIENT_SIDE, down_second)];
    first.into_iter().flatten().chain(second)
}

/// Packets that the queueing disciplines of each direction dropped.
pub(super) fn queue_drops(far: Option<&Namespace>, namespaces: &Namespaces) -> Result<[u64; 2], KernelError> {
    let near = &namespaces.middle;
    let outer = far.unwrap_or(near);
    let drops = |namespace: &Namespace, name: &str| -> Result<u64, KernelError> {
        let counted = namespace.run(|| root_drops(name))?;
        Ok(counted.map_err(cannot("read the queueing disciplines' counters"))?)
    };
    let (mut up, mut down) = (drops(outer, SERVER_SIDE)?, drops(near, CLIENT_SIDE)?);
    if let Some(far) = far {
        up += drops(near, CORE)?;
        down += drops(far, CORE)?;
    }
    Ok([up, down])
}

/// Puts queueing disciplines on a device, each the child of the one before.
pub(super) fn put(name: &str, chain: &[Qdisc]) -> Result<(), KernelError> {
    let index = if_nametoindex(name).map_err(cannot("find the router's device"))?;
    let mut netlink = Netlink::open().map_err(cannot("open a netlink socket"))?;
    let mut parent = ROOT;
    for (number, qdisc) in (1u32..).zip(chain) {
        netlink.add_qdisc(index, parent, handle(number), qdisc, LINK_HEADER).map_err(|cause| {
            match cause.raw_os_error() {
                Some(libc::ENOENT) => KernelError::Missing { kind: qdisc.kind() },
                _ => KernelError::Refused { kind: qdisc.kind(), cause },
            }
        })?;
        parent = handle(number) | 1;
    }
    Ok(())
}

/// Takes the disciplines of a device away, from the `from`-th of its chain on, with what they hold.
pub(super) fn take_away(name: &str, from: usize) -> Result<(), KernelError> {
    let parent = if from == 0 { ROOT } else { handle(from as u32) | 1 };
    let remove = || Netlink::open()?.remove_qdisc(if_nametoindex(name)?, parent);
    Ok(remove().map_err(cannot("take the router's queueing disciplines away"))?)
}

/// The handle of the discipline of this number in its chain, counted from 1.
const fn handle(number: u32) -> u32 {
    number << 16
}

/// What the root of a device dropped; it counts what its children dropped, too.
fn root_drops(name: &str) -> io::Result<u64> {
    let states = Netlink::open()?.qdisc_states(if_nametoindex(name)?)?;
    Ok(states.iter().find(|state| state.handle == handle(1)).map_or(0, |state| u64::from(state.drops)))
}

/// Puts other options on the disciplines of a device, one for one; what they hold stays.
pub(super) fn amend(name: &str, before: &[Qdisc], after: &[Qdisc]) -> Result<(), KernelError> {
    let index = if_nametoindex(name).map_err(cannot("find the router's device"))?;
    let mut netlink = Netlink::open().map_err(cannot("open a netlink socket"))?;
    let mut parent = ROOT;
    for ((number, before), after) in (1u32..).zip(before).zip(after) {
        if before != after {
            netlink
                .add_qdisc(index, parent, handle(number), after, LINK_HEADER)
                .map_err(|cause| KernelError::Refused { kind: after.kind(), cause })?;
        }
        parent = handle(number) | 1;
    }
    Ok(())
}

/// Whether the kernel has netem, and netem a seed: tried on the loopback of the calling thread's
/// network namespace, which must be one of our own.
///
/// # Errors
/// [`KernelError::Missing`] where it has none, [`KernelError::Seedless`] where it is too old.
pub(crate) fn probe() -> Result<(), KernelError> {
    const SEED: u64 = 0x5eed;
    const LOOPBACK: &str = "lo";
    put(LOOPBACK, &[Qdisc::Netem(Box::new(Netem { seed: Some(SEED), ..Netem::default() }))])?;
    // A kernel that does not know an attribute of netem's takes no notice of it.
    let read = || Netlink::open()?.qdisc_states(if_nametoindex(LOOPBACK)?);
    let states = read().map_err(cannot("read netem's options"))?;
    if states.iter().any(|state| state.seed == Some(SEED)) { Ok(()) } else { Err(KernelError::Seedless) }
}
