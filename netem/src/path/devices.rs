//! What a path is made of: the devices of its link, the way beside it, and the way on.

use std::fmt;
use std::io;
use std::net::IpAddr;

use nix::net::if_::if_nametoindex;
use samepath_model::BitRate;
use samepath_model::link::{Conditions, Direction, Link};
use samepath_model::record::Setting;

use crate::backend::packet::PacketPort;
use crate::backend::tun::TunPort;
use crate::backend::wire::Wire;
use crate::backend::{Backend, Port};
use crate::device::DeviceStep::{MakeTun, Other};
use crate::device::{
    self, CLIENT_SIDE, CONTROL_DEVICE, DELIVERY_DEVICE, DeviceError, LINK_DEVICE, SERVER_SIDE, make_veth,
    make_veth_with,
};
use crate::namespace::{Namespace, Namespaces};
use crate::nest::{self, Addresses, EVERYWHERE};
use crate::netlink::Netlink;

/// How packets that leave together reach their host.
#[derive(Debug)]
pub(super) enum Delivery {
    /// As single packets, neighbours in one call.
    Together,
    /// Each in a call of its own, because the other way cannot be had.
    Apart(DeviceError),
}

impl Delivery {
    /// As it is recorded of one direction.
    pub(super) fn setting(&self, direction: Direction) -> Setting {
        Setting::new(format!("delivery {direction}"), Some(Delivery::Together.to_string()), self.to_string())
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Delivery::Together => f.write_str("single packets, neighbours in one call"),
            Delivery::Apart(reason) => write!(f, "each in a call of its own ({reason})"),
        }
    }
}

/// What a TUN device takes for a packet, in nanoseconds, the receiving host's stack included. Twice what it took on a
/// machine of 2026: where it is less, only a joined call too many is made ready for.
const CALL_NS: u64 = 8_000;

/// Ethernet addresses, locally administered. Both ends of a pair have the same one: with no address
/// resolution on the devices, every frame is sent to the sender's own.
pub(super) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(super) const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const CONTROL_MAC: [u8; 6] = [2, 0, 0, 0, 1, 0];

/// Prefix length of the control pair's network.
const CONTROL_PREFIX: u8 = 24;

/// Makes the link's devices. Gives back the emulator's ports, if the backend has one, and whether
/// there is IPv6.
pub(super) fn make_devices(
    namespaces: &Namespaces,
    backend: Backend,
    addresses: &Addresses,
    mtu: u16,
) -> Result<(Option<[Port; 2]>, bool), DeviceError> {
    let ends = [(&namespaces.client, CLIENT_MAC), (&namespaces.server, SERVER_MAC)];
    let ports = match backend {
        Backend::Tun => {
            let make = |namespace: &Namespace| -> Result<Port, DeviceError> {
                let port = namespace.run(|| TunPort::make(LINK_DEVICE))?;
                Ok(Port::Tun(port.map_err(DeviceError::at(MakeTun))?))
            };
            Some([make(&namespaces.client)?, make(&namespaces.server)?])
        }
        Backend::Packet => {
            let make = |(namespace, mac): (&Namespace, [u8; 6]), name: &str| -> Result<Port, DeviceError> {
                make_veth((namespace, LINK_DEVICE), (&namespaces.middle, name), mac, mtu)?;
                device::configure(name, mtu, &[]).map_err(DeviceError::at(Other("set a middle device up")))?;
                let port = PacketPort::open(name, mac, mtu).map_err(DeviceError::at(Other("open a packet socket")))?;
                Ok(Port::Packet(port))
            };
            Some([make(ends[0], CLIENT_SIDE)?, make(ends[1], SERVER_SIDE)?])
        }
        Backend::Netem => None, // the router has made them
        Backend::None | Backend::Auto => {
            make_veth((&namespaces.client, LINK_DEVICE), (&namespaces.server, LINK_DEVICE), CLIENT_MAC, mtu)?;
            None
        }
    };
    let (v4, v6) = addresses.prefixes;
    let mut ipv6 = true;
    for (namespace, addresses) in [
        (&namespaces.client, [(IpAddr::V4(addresses.client), v4), (IpAddr::V6(addresses.client6), v6)]),
        (&namespaces.server, [(IpAddr::V4(addresses.server), v4), (IpAddr::V6(addresses.server6), v6)]),
    ] {
        ipv6 &= namespace
            .run(|| device::configure(LINK_DEVICE, mtu, &addresses))?
            .map_err(DeviceError::at(Other("set the link's device up")))?;
    }
    let first_up: &[(&Namespace, &str)] = match backend {
        Backend::Packet => &[(&namespaces.middle, CLIENT_SIDE), (&namespaces.middle, SERVER_SIDE)],
        Backend::None | Backend::Auto => &[(&namespaces.client, LINK_DEVICE)],
        Backend::Tun | Backend::Netem => &[], // has no peer; the router knows its own
    };
    await_carriers(first_up)?;
    Ok((ports, ipv6))
}

/// Tells each end what is beyond the other: from the client's, all that is not inside; from the server's, the links
/// inside the client's end.
pub(super) fn lead_on(namespaces: &Namespaces, addresses: &Addresses) -> Result<(), DeviceError> {
    let failed = DeviceError::at(Other("add a route over the link"));
    if addresses.leads_on() {
        namespaces.client.run(|| nest::add_routes(LINK_DEVICE, &EVERYWHERE))?.map_err(failed)?;
        let failed = DeviceError::at(Other("let the server's end forward packets"));
        namespaces.server.run(nest::forward)?.map_err(failed)?;
    } else {
        let inside = addresses.beyond_client();
        namespaces.server.run(|| nest::add_routes(LINK_DEVICE, &inside))?.map_err(failed)?;
    }
    Ok(())
}

/// Has the kernel cut what is given to a TUN device, where packets of its direction may leave together: the end
/// gets single packets, and the emulator gives those that are due in one call. Where each is due at a time of its own,
/// behind a bottleneck that is slower than a call or with jitter, the device itself is the shorter way. Tells what came
/// of it.
pub(super) fn lay_wires(namespaces: &Namespaces, ports: &mut [Port; 2], link: &Link) -> Vec<(Direction, Delivery)> {
    let ends = [(&namespaces.client, CLIENT_MAC, CLIENT_SIDE), (&namespaces.server, SERVER_MAC, SERVER_SIDE)];
    let mut told = Vec::new();
    for direction in Direction::BOTH {
        let (end, conditions) = (direction.opposite().index(), link.direction(direction));
        let Port::Tun(port) = &mut ports[end] else { continue };
        if !leave_together(conditions, link.mtu) {
            continue;
        }
        let delivery = match lay_wire(namespaces, ends[end], link.mtu) {
            Ok(wire) => {
                port.deliver_by(wire);
                Delivery::Together
            }
            Err(error) => Delivery::Apart(error),
        };
        told.push((direction, delivery));
    }
    told
}

/// Whether packets of a direction are due faster than they can be given one by one.
fn leave_together(conditions: &Conditions, mtu: u16) -> bool {
    let outruns = |rate: &BitRate| u64::from(mtu) * 8_000_000_000 < rate.bits_per_second().saturating_mul(CALL_NS);
    conditions.rate.as_ref().is_none_or(outruns) && conditions.rate_trace.is_none() && conditions.jitter.is_none()
}

/// A way into one end's namespace that ends at its link device.
fn lay_wire(
    namespaces: &Namespaces,
    (namespace, address, name): (&Namespace, [u8; 6], &str),
    mtu: u16,
) -> Result<Wire, DeviceError> {
    make_veth_with((namespace, DELIVERY_DEVICE), (&namespaces.middle, name), address, mtu, |name| {
        device::switch_segmentation_off(name)
    })?;
    device::configure(name, mtu, &[]).map_err(DeviceError::at(Other("set a middle device up")))?;
    let redirect = || -> io::Result<()> {
        let (from, to) = (if_nametoindex(DELIVERY_DEVICE)?, if_nametoindex(LINK_DEVICE)?);
        // First, since a device that is up would be stopped for it.
        Netlink::open()?.redirect_incoming(from, to)?;
        device::configure(DELIVERY_DEVICE, mtu, &[]).map(drop)
    };
    if let Err(cause) = namespace.run(redirect)? {
        // A device that leads nowhere is of no use to anybody.
        let _ = Netlink::open().and_then(|mut netlink| netlink.remove_device(if_nametoindex(name)?));
        return Err(DeviceError::at(Other("redirect packets to the link's device"))(cause));
    }
    await_carriers(&[(&namespaces.middle, name)])?;
    Wire::open(name, address).map_err(DeviceError::at(Other("open a packet socket")))
}

/// The unimpaired pair beside the link.
pub(super) fn make_control(namespaces: &Namespaces) -> Result<(), DeviceError> {
    let (client, server) = (&namespaces.client, &namespaces.server);
    make_veth((client, CONTROL_DEVICE), (server, CONTROL_DEVICE), CONTROL_MAC, 1500)?;
    for (namespace, address) in [(client, device::CLIENT_CONTROL), (server, device::SERVER_CONTROL)] {
        namespace
            .run(|| device::configure(CONTROL_DEVICE, 1500, &[(IpAddr::V4(address), CONTROL_PREFIX)]))?
            .map_err(DeviceError::at(Other("set the control device up")))?;
    }
    await_carriers(&[(client, CONTROL_DEVICE)])
}

/// Waits until each end gets what is sent to its IPv6 address.
pub(super) fn await_addresses(namespaces: &Namespaces, addresses: &Addresses) -> Result<(), DeviceError> {
    for (namespace, address) in [(&namespaces.client, addresses.client6), (&namespaces.server, addresses.server6)] {
        namespace
            .run(|| device::await_address(address))?
            .map_err(DeviceError::at(Other("wait for an end's IPv6 address")))?;
    }
    Ok(())
}

/// Waits for the devices that were set up before their peers: those set up after them send at once.
pub(super) fn await_carriers(first_up: &[(&Namespace, &str)]) -> Result<(), DeviceError> {
    for (namespace, name) in first_up {
        namespace
            .run(|| device::await_carrier(name))?
            .map_err(DeviceError::at(Other("wait for a device's carrier")))?;
    }
    Ok(())
}
