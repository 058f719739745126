//! Servers that stand farther away than the link is long: what lies between, each way, is delay alone.

use std::ops::Range;

use samepath_model::link::Direction;

use super::entry::Entry;
use super::instant::Nanos;

/// Servers that stand farther away, told by their ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farther {
    /// Their ports.
    pub ports: Range<u16>,
    /// The delay beyond the link's, each way.
    pub delay: Nanos,
}

/// The way beyond the link, in one direction.
#[derive(Debug)]
pub(super) struct Beyond {
    servers: Vec<Farther>,
    /// When the latest packet of each of them is due, and that of all others.
    latest: Vec<Nanos>,
    /// Whether packets of one server may not overtake each other.
    pub(super) keeps_order: bool,
}

impl Beyond {
    /// `None` where no server stands farther away.
    pub(super) fn new(servers: &[Farther], keeps_order: bool) -> Option<Box<Beyond>> {
        let latest = vec![0; servers.len() + 1];
        (!servers.is_empty()).then(|| Box::new(Beyond { servers: servers.to_vec(), latest, keeps_order }))
    }

    /// When a packet is due that the link alone would let out at `due`.
    pub(super) fn due(&mut self, due: Nanos, entry: &Entry) -> Nanos {
        let port = match entry.direction() {
            Direction::Up => entry.destination_port(),
            Direction::Down => entry.source_port(),
        };
        let place = self.servers.iter().position(|server| server.ports.contains(&port));
        let due = due + place.map_or(0, |place| self.servers[place].delay);
        let latest = &mut self.latest[place.unwrap_or(self.servers.len())];
        *latest = due.max(*latest);
        if self.keeps_order { *latest } else { due }
    }
}
