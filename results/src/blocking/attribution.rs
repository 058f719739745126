//! From packets to stretches of bytes: when each byte of an ordering domain reached the receiving host.

use samepath_model::arm::AttributedBy;
use samepath_model::attribution::{LayoutRecord, ObservationRecord};
use samepath_model::link::Direction;
use samepath_model::record::{End, Instant};
use samepath_model::workload::StreamId;

use super::packets::{NEVER, Packet, Run, Tags, tcp_runs};

/// An ordering domain's name as a number, so that names can be sorted and found fast.
pub(super) fn domain_key(direction: Direction, port: u16, domain: u64) -> u128 {
    (direction.index() as u128) << 80 | u128::from(port) << 64 | u128::from(domain)
}

/// Where a run of a message's bytes lies; as [`LayoutRecord`], with the domain by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) domain: u32,
    pub(super) direction: Direction,
    pub(super) stream: StreamId,
    pub(super) seq: Option<u32>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) unit_end: u64,
}

/// Neighbouring bytes of a domain that the same packets carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) start: u64,
    pub(super) end: u64,
    /// When the earliest delivered copy reached the receiving host; [`NEVER`] where none did.
    pub(super) at: Instant,
    /// The packet of that copy; of the first one where none arrived.
    pub(super) by: u32,
    /// The packet of the copy that first came to the link.
    pub(super) first: u32,
}

/// The bytes of a trial on their way: domains, what lies in them, and what carried it.
#[derive(Debug, Clone)]
pub(super) struct Attribution {
    /// The names of the domains, in order.
    domains: Vec<u128>,
    /// By domain and offset.
    pub(super) places: Vec<Place>,
    /// By domain and offset of the first byte.
    pub(super) runs: Vec<Run>,
    /// In the order in which they came.
    pub(super) packets: Vec<Packet>,
}

impl Attribution {
    /// Lays out the domains and puts the packets' bytes into them. The packets are in order.
    pub(super) fn of<E>(
        by: AttributedBy,
        layout: &[LayoutRecord],
        packets: Vec<Packet>,
        observations: impl IntoIterator<Item = Result<ObservationRecord, E>>,
    ) -> Result<Attribution, E> {
        let mut domains: Vec<u128> =
            layout.iter().map(|record| domain_key(record.direction, record.port, record.domain)).collect();
        domains.sort_unstable();
        domains.dedup();
        let find = |key: u128| domains.binary_search(&key).ok().map(|place| place as u32);
        let mut places: Vec<Place> = layout
            .iter()
            .filter(|record| record.end > record.start)
            .map(|record| Place {
                domain: find(domain_key(record.direction, record.port, record.domain)).unwrap_or(u32::MAX),
                direction: record.direction,
                stream: record.stream,
                seq: record.seq,
                start: record.start,
                end: record.end,
                unit_end: record.unit_end.max(record.end),
            })
            .collect();
        places.sort_unstable_by_key(|place| (place.domain, place.start));

        let mut runs = match by {
            AttributedBy::SequenceNumbers | AttributedBy::TlsRecords => {
                // A connection that carried no message has a domain of nobody's interest.
                tcp_runs(&packets, |direction, port| find(domain_key(direction, port, 0)))
            }
            AttributedBy::Observations => {
                let tags = Tags::of(&packets);
                let mut runs = Vec::with_capacity(packets.len());
                for observation in observations {
                    let observation = observation?;
                    let sender = match observation.direction {
                        Direction::Up => End::Client,
                        Direction::Down => End::Server,
                    };
                    let (Some(domain), true) = (observation.domain, observation.end == sender) else { continue };
                    let domain = find(domain_key(observation.direction, observation.port, domain));
                    for packet in tags.with(observation.tag) {
                        if packets[packet as usize].direction != observation.direction {
                            continue;
                        }
                        if let Some(domain) = domain
                            && observation.end_offset > observation.start
                        {
                            runs.push(Run { domain, packet, start: observation.start, end: observation.end_offset });
                        }
                    }
                }
                runs
            }
        };
        runs.sort_unstable_by_key(|run| (run.domain, run.start, run.packet));
        Ok(Attribution { domains, places, runs, packets })
    }

    /// A domain's identifier within its connection: of QUIC, the stream's ID.
    pub(super) fn identifier(&self, domain: u32) -> u64 {
        self.domains.get(domain as usize).map_or(0, |key| *key as u64)
    }

    /// The runs of a domain.
    pub(super) fn runs_of(&self, domain: u32) -> &[Run] {
        of_domain(&self.runs, domain, |run| run.domain)
    }

    /// The layout of a domain.
    pub(super) fn places_of(&self, domain: u32) -> &[Place] {
        of_domain(&self.places, domain, |place| place.domain)
    }

    /// Every stretch of a domain, in order; bytes that no packet carried are in none.
    pub(super) fn stretches(&self, domain: u32) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        sweep(self.runs_of(domain), &self.packets, &mut stretches);
        stretches
    }
}

/// The part of a list in order of domains that belongs to one of them.
pub(super) fn of_domain<T>(all: &[T], domain: u32, of: impl Fn(&T) -> u32) -> &[T] {
    let from = all.partition_point(|one| of(one) < domain);
    let to = from + all[from..].partition_point(|one| of(one) == domain);
    &all[from..to]
}

/// Cuts runs, sorted by their start, into stretches (a sweep over their ends: what overlaps are
/// retransmissions, so few are open at a time).
pub(super) fn sweep(runs: &[Run], packets: &[Packet], stretches: &mut Vec<Stretch>) {
    let mut open: Vec<(u64, u32)> = Vec::new();
    let mut next = 0;
    let mut at = 0;
    loop {
        if open.is_empty() {
            let Some(run) = runs.get(next) else { return };
            at = run.start;
        }
        while let Some(run) = runs.get(next).filter(|run| run.start <= at) {
            open.push((run.end, run.packet));
            next += 1;
        }
        let ends = open.iter().map(|&(end, _)| end).min().unwrap_or(at);
        let end = runs.get(next).map_or(ends, |run| ends.min(run.start));
        stretches.push(stretch(at, end, open.iter().map(|&(_, packet)| packet), packets));
        at = end;
        open.retain(|&(end, _)| end > at);
    }
}

fn stretch(start: u64, end: u64, copies: impl Iterator<Item = u32>, packets: &[Packet]) -> Stretch {
    let mut stretch = Stretch { start, end, at: NEVER, by: u32::MAX, first: u32::MAX };
    for copy in copies {
        stretch.first = stretch.first.min(copy);
        let at = packets[copy as usize].delivered();
        if (at, copy) < (stretch.at, stretch.by) {
            (stretch.at, stretch.by) = (at, copy);
        }
    }
    stretch
}
