//! A handshake's time, told apart: on the network, and at the ends.
//!
//! The ledger says when a packet was on the link. **Network** is the time in which at least one packet was under way that
//! arrived; **recovery** is the time in which none was, after one that was dropped, until the next came to the link: a
//! timer's; **ends** is all the rest, in which it was at one end or the other to go on: their CPU time, and whatever kept
//! them from running. On a link of 0.3 ms the rest is most of a handshake with keys, and no property of the path.

use samepath_model::flow::UNDER_TEST;
use samepath_model::record::{HandshakeParts, Instant, PacketRecord};

/// Looks on as a trial's packets pass by.
#[derive(Debug)]
pub struct Handshake {
    from: Instant,
    to: Instant,
    /// When each packet came to the link and left it; one that was dropped left at once.
    spans: Vec<(Instant, Instant, bool)>,
}

impl Handshake {
    /// Of the handshake that began at `from` and took so many nanoseconds.
    pub fn new(from: Instant, took_ns: u64) -> Handshake {
        Handshake { from, to: from.saturating_add_unsigned(took_ns), spans: Vec::new() }
    }

    /// A packet of the trial, in any order; those of competing flows are no part of it.
    pub fn see(&mut self, packet: &PacketRecord) {
        /// TCP and UDP; what else crosses a link serves the network.
        const TRANSPORTS: [u8; 2] = [6, 17];
        if !TRANSPORTS.contains(&packet.protocol) || !packet.is_of(UNDER_TEST) || packet.arrived >= self.to {
            return;
        }
        let left = packet.left.unwrap_or(packet.arrived);
        if left >= self.from {
            let clip = |at: Instant| at.clamp(self.from, self.to);
            self.spans.push((clip(packet.arrived), clip(left), packet.left.is_none()));
        }
    }

    /// The parts, which add up to the handshake; `None` where no packet of it was seen.
    pub fn parts(mut self) -> Option<HandshakeParts> {
        if self.spans.is_empty() {
            return None;
        }
        self.spans.sort_unstable();
        let (mut network, mut recovery) = (0, 0);
        // Up to where it is accounted for, and whether a dropped packet was the last thing that was seen.
        let (mut at, mut is_dropped) = (self.from, false);
        for &(arrived, left, dropped) in &self.spans {
            if arrived > at {
                if is_dropped {
                    recovery += arrived - at;
                }
                at = arrived;
                is_dropped = false;
            }
            if left > at {
                network += left - at;
                at = left;
                is_dropped = false;
            } else if dropped && arrived == at {
                is_dropped = true;
            }
        }
        if is_dropped {
            recovery += self.to - at;
        }
        let ms = |ns: i64| ns as f64 / 1e6;
        let ends = self.to - self.from - network - recovery;
        Some(HandshakeParts { network_ms: ms(network), recovery_ms: ms(recovery), ends_ms: ms(ends) })
    }
}

#[cfg(test)]
mod tests {
    use samepath_model::link::Direction;
    use samepath_model::record::DropCause;

    use super::*;

    const MS: i64 = 1_000_000;

    fn packet(arrived: i64, left: Option<i64>) -> PacketRecord {
        PacketRecord {
            flow: None,
            direction: Direction::Up,
            number: 0,
            duplicate: false,
            arrived: arrived * MS,
            size: 100,
            protocol: 17,
            source_port: 1,
            destination_port: 2,
            payload: 72,
            tcp_seq: None,
            tcp_flags: 0,
            tag: None,
            queued: 0,
            corrupted: false,
            congestion_marked: false,
            bypassed: false,
            left: left.map(|at| at * MS),
            dropped: left.is_none().then_some(DropCause::Loss),
        }
    }

    fn parts(took_ms: u64, packets: &[PacketRecord]) -> Option<(f64, f64, f64)> {
        let mut handshake = Handshake::new(-100 * MS, took_ms * MS as u64);
        packets.iter().for_each(|packet| handshake.see(packet));
        handshake.parts().map(|parts| (parts.network_ms, parts.recovery_ms, parts.ends_ms))
    }

    #[test]
    fn time_without_packets_is_the_ends() {
        // Two ways of 30 ms; 1 ms of the client before, 2 of the server between, 3 of the client after.
        let there_and_back = [packet(-99, Some(-69)), packet(-67, Some(-37)), packet(-66, Some(-36))];
        assert_eq!(parts(67, &there_and_back), Some((61.0, 0.0, 6.0)));
        // What came before it, and what came after, is no part of it; nor is one that serves the network.
        let mut others = there_and_back.to_vec();
        others.extend([packet(-200, Some(-150)), packet(-20, Some(10))]);
        others.push(PacketRecord { protocol: 58, ..packet(-100, Some(-90)) });
        others.push(PacketRecord { flow: Some(1), ..packet(-68, Some(-30)) });
        assert_eq!(parts(67, &others), Some((61.0, 0.0, 6.0)));
        // One that is still under way as it ends, counts until then.
        assert_eq!(parts(20, &there_and_back), Some((19.0, 0.0, 1.0)));
        assert_eq!(parts(67, &[]), None);
    }

    #[test]
    fn the_wait_for_a_timer_is_neither() {
        let lost = [packet(-99, None), packet(-50, Some(-40)), packet(-38, Some(-28))];
        assert_eq!(parts(75, &lost), Some((20.0, 49.0, 6.0)));
        // A loss while others are under way costs nothing by itself.
        let covered = [packet(-99, Some(-69)), packet(-98, None), packet(-67, Some(-37))];
        assert_eq!(parts(65, &covered), Some((60.0, 0.0, 5.0)));
    }
}
