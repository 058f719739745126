//! Ports of a trial's servers, by which its flows are told apart in the ledger.

use std::ops::Range;

use samepath_model::flow::{FlowId, MAX_FLOWS};
use samepath_model::link::Direction;
use samepath_model::record::PacketRecord;
use samepath_model::workload::MOST_SERVERS;

/// The first port of the server of the flow under test.
const FIRST: u16 = 4433;
/// The ports of a server: control and QUIC, TCP and UDP, TLS.
const OF_SERVER: u16 = 3;
/// The ports of a flow, whose workload may need several servers.
const OF_FLOW: u16 = OF_SERVER * MOST_SERVERS;
/// IP protocol numbers of TCP and UDP.
const TRANSPORTS: [u8; 2] = [6, 17];

/// The first port of a flow's first server.
pub(super) fn port_of(flow: FlowId) -> u16 {
    FIRST + OF_FLOW * u16::from(flow)
}

/// The ports of one of a flow's servers.
pub(super) fn ports_of(flow: FlowId, server: u16) -> Range<u16> {
    let first = port_of(flow) + OF_SERVER * server;
    first..first + OF_SERVER
}

/// The flow of a packet that crossed a trial's link; `None` of what serves the network.
fn flow_of(packet: &PacketRecord) -> Option<FlowId> {
    let port = match packet.direction {
        Direction::Up => packet.destination_port,
        Direction::Down => packet.source_port,
    };
    let flow = port.checked_sub(FIRST)? / OF_FLOW;
    let is_flow = TRANSPORTS.contains(&packet.protocol) && usize::from(flow) < MAX_FLOWS;
    FlowId::try_from(flow).ok().filter(|_| is_flow)
}

/// A line of a trial's ledger with the flow that its ports tell.
#[must_use]
pub fn with_flow(packet: PacketRecord) -> PacketRecord {
    PacketRecord { flow: flow_of(&packet), ..packet }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::entry::Entry;
    use crate::link::packet::PacketInfo;

    #[test]
    fn each_server_port_tells_its_flow() {
        let flow = |direction, protocol, source_port, destination_port| {
            let info = PacketInfo { protocol, source_port, destination_port, ..PacketInfo::default() };
            with_flow(Entry::new(direction, 0, 0, &info).finish_left(1).record(0)).flow
        };
        for id in 0..16 {
            let all: Vec<u16> = (0..MOST_SERVERS).flat_map(|server| ports_of(id, server)).collect();
            assert_eq!(all, (port_of(id)..port_of(id + 1)).collect::<Vec<_>>(), "each has its own");
            for port in all {
                assert_eq!(flow(Direction::Up, 6, 40_000, port), Some(id));
                assert_eq!(flow(Direction::Down, 17, port, 40_000), Some(id));
            }
        }
        assert_eq!(flow(Direction::Up, 17, port_of(0), 40_000), None, "the client's port tells nothing");
        assert_eq!(flow(Direction::Down, 17, FIRST - 1, 40_000), None);
        assert_eq!(flow(Direction::Down, 17, port_of(16), 40_000), None);
        assert_eq!(flow(Direction::Down, 1, port_of(0), 0), None);
    }
}
