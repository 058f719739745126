//! Which packets of a direction the conditions apply to, with what a filter has to remember: the flows there have been,
//! and the ports of datagrams that come in fragments.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use samepath_model::link::Filter;
use samepath_model::link::filter::{Looks, Rule};

use super::packet::{PacketInfo, TCP, UDP};

/// Datagrams in fragments whose ports are remembered: more than are under way at a time.
const FRAGMENTED: usize = 64;

/// A filter at work in one direction.
#[derive(Debug)]
pub(super) struct Sieve {
    filter: Filter,
    numbers_flows: bool,
    asks_for_ports: bool,
    flows: Flows,
    /// The latest datagrams that came in fragments, and their ports.
    fragmented: VecDeque<(Datagram, [u16; 2])>,
}

/// What the fragments of a datagram have alike (RFC 791, section 3.2; RFC 8200, section 4.5).
type Datagram = (IpAddr, IpAddr, u8, u32);

/// A protocol, and both ends' addresses and ports.
type Flow = (u8, [(IpAddr, u16); 2]);

/// The flows of a direction, by their numbers.
#[derive(Debug, Default)]
struct Flows {
    numbers: HashMap<Flow, u64>,
    /// How many there are of each protocol.
    counts: HashMap<u8, u64>,
}

impl Sieve {
    pub(super) fn new(filter: Filter) -> Sieve {
        Sieve {
            numbers_flows: filter.rule.numbers_flows(),
            asks_for_ports: filter.rule.asks_for_ports(),
            filter,
            flows: Flows::default(),
            fragmented: VecDeque::new(),
        }
    }

    /// The same with another filter: flows keep their numbers.
    pub(super) fn change(&mut self, filter: &Filter) {
        if self.filter != *filter {
            let flows = std::mem::take(&mut self.flows);
            *self = Sieve { flows, ..Sieve::new(filter.clone()) };
        }
    }

    /// Whether the conditions apply to a packet. Call once for every packet, in order of arrival.
    pub(super) fn takes(&mut self, info: &PacketInfo) -> bool {
        let Some((source, destination)) = info.source.zip(info.destination) else {
            return self.filter.rule.holds(&Looks { size: info.size, ..Looks::default() });
        };
        let ports = if self.asks_for_ports { self.ports(info, source, destination) } else { None };
        let flow = ports
            .filter(|_| self.numbers_flows)
            .map(|[from, to]| self.flows.number((info.protocol, [(source, from), (destination, to)])));
        self.holds(info, [source, destination], ports, flow)
    }

    /// The same of a packet that goes no further: nothing is remembered of it.
    pub(super) fn would_take(&self, info: &PacketInfo) -> bool {
        let Some((source, destination)) = info.source.zip(info.destination) else { return false };
        let ports = own_ports(info);
        let flow = ports.and_then(|[from, to]| {
            self.flows.numbers.get(&(info.protocol, [(source, from), (destination, to)])).copied()
        });
        self.holds(info, [source, destination], ports, flow)
    }

    fn holds(&self, info: &PacketInfo, addresses: [IpAddr; 2], ports: Option<[u16; 2]>, flow: Option<u64>) -> bool {
        let rule: &Rule = &self.filter.rule;
        rule.holds(&Looks { size: info.size, protocol: info.protocol, addresses: Some(addresses), ports, flow })
    }

    /// The ports of a packet; of a later fragment, those of its datagram.
    fn ports(&mut self, info: &PacketInfo, source: IpAddr, destination: IpAddr) -> Option<[u16; 2]> {
        let ports = own_ports(info);
        let Some(id) = info.fragment_of else { return ports };
        let datagram = (source, destination, info.protocol, id);
        match ports {
            Some(ports) => {
                if self.fragmented.len() == FRAGMENTED {
                    self.fragmented.pop_front();
                }
                self.fragmented.push_back((datagram, ports));
                Some(ports)
            }
            None => self.fragmented.iter().rev().find(|(known, _)| *known == datagram).map(|(_, ports)| *ports),
        }
    }
}

/// The ports that a packet itself names.
fn own_ports(info: &PacketInfo) -> Option<[u16; 2]> {
    let ports = [info.source_port, info.destination_port];
    (matches!(info.protocol, TCP | UDP) && ports != [0, 0]).then_some(ports)
}

impl Flows {
    fn number(&mut self, flow: Flow) -> u64 {
        let counts = &mut self.counts;
        *self.numbers.entry(flow).or_insert_with(|| {
            let count = counts.entry(flow.0).or_default();
            *count += 1;
            *count
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(protocol: u8, ports: [u16; 2], fragment_of: Option<u32>) -> PacketInfo {
        PacketInfo {
            size: 100,
            protocol,
            source: Some([198, 18, 0, 1].into()),
            destination: Some([198, 18, 0, 2].into()),
            source_port: ports[0],
            destination_port: ports[1],
            fragment_of,
            ..PacketInfo::default()
        }
    }

    fn sieve(text: &str) -> Sieve {
        Sieve::new(text.parse().unwrap())
    }

    #[test]
    fn each_protocol_numbers_its_flows() {
        let mut sieve = sieve("flow 2");
        let mut takes = |protocol, port| sieve.takes(&info(protocol, [port, 443], None));
        assert_eq!([takes(TCP, 10), takes(UDP, 10), takes(TCP, 11), takes(TCP, 10)], [false, false, true, false]);
        assert_eq!([takes(UDP, 12), takes(UDP, 13), takes(UDP, 12), takes(1, 0)], [true, false, true, false]);
        // Another filter finds the same numbers.
        sieve.change(&"flow 3".parse().unwrap());
        assert!(sieve.takes(&info(UDP, [13, 443], None)) && !sieve.takes(&info(UDP, [12, 443], None)));
        assert!(sieve.would_take(&info(UDP, [13, 443], None)) && !sieve.would_take(&info(UDP, [99, 443], None)));
    }

    #[test]
    fn later_fragments_go_with_the_first() {
        let mut sieve = sieve("port 443");
        assert!(!sieve.takes(&info(UDP, [0, 0], Some(7))), "the first has not been seen");
        assert!(sieve.takes(&info(UDP, [10, 443], Some(7))));
        assert!(sieve.takes(&info(UDP, [0, 0], Some(7))));
        assert!(!sieve.takes(&info(UDP, [10, 53], Some(8))) && !sieve.takes(&info(UDP, [0, 0], Some(8))));
        assert!(!sieve.takes(&info(TCP, [0, 0], Some(7))), "another protocol's number");
        // The number comes round: the latest counts.
        assert!(!sieve.takes(&info(UDP, [10, 53], Some(7))) && !sieve.takes(&info(UDP, [0, 0], Some(7))));
        for id in 100..300 {
            sieve.takes(&info(UDP, [10, 443], Some(id)));
        }
        assert_eq!(sieve.fragmented.len(), FRAGMENTED);
    }

    #[test]
    fn what_is_no_ip_packet_has_only_a_size() {
        let nonsense = PacketInfo { size: 100, ..PacketInfo::default() };
        assert!(sieve("less 100").takes(&nonsense) && sieve("all").takes(&nonsense) && !sieve("udp").takes(&nonsense));
    }
}
