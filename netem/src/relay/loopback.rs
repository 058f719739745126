//! The host's loopback, at which services are reached, and what is said of those that are not.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use samepath_model::shortage;

use crate::sockets::{Protocol, Service};
use crate::tell;

/// Where a service may be reached, in the order in which it is tried.
pub(super) const LOOPBACKS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// A service that could not be reached is told of once.
#[derive(Default)]
pub(super) struct Complaints(Vec<Service>);

impl Complaints {
    pub(super) fn unreachable(&mut self, service: Service, error: &io::Error) {
        if self.0.contains(&service) {
            return;
        }
        self.0.push(service);
        let [v4, v6] = LOOPBACKS;
        let consequence = match service.protocol {
            Protocol::Tcp => "connections to it are reset",
            Protocol::Udp => "datagrams to it are lost",
        };
        tell!(
            "link: no service is reached at the host's port {service}, on {v4} and {v6} ({}); {consequence}",
            shortage::told(error)
        );
    }
}
