//! Which conditions let neighbours that leave together reach their host as one packet.

use samepath_model::link::{Conditions, Direction, Link};

/// Whether neighbours that leave together are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joining {
    /// In exact mode.
    Never,
    /// In fast mode.
    Always,
    /// Where no condition needs single packets, as the conditions are.
    WhereNothingShows,
}

impl Joining {
    /// Whether it is done under these conditions.
    pub(crate) fn under(self, link: &Link) -> bool {
        match self {
            Joining::Never => false,
            Joining::Always => true,
            Joining::WhereNothingShows => !needs_single_packets(link),
        }
    }
}

/// Whether some condition shows only where packets reach the receiving host one at a time: all of them, but
/// those that drop packets, and a delay that is the same for all.
fn needs_single_packets(link: &Link) -> bool {
    !link.rebind.is_empty()
        || Direction::BOTH.iter().any(|&direction| {
            let conditions = link.direction(direction).clone();
            let plain = Conditions::transparent();
            let others = Conditions {
                delay: plain.delay,
                loss: plain.loss,
                drops: Vec::new(),
                outages: Vec::new(),
                ..conditions
            };
            others != plain
        })
}
