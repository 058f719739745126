//! What is drawn begins with the schedule.
//!
//! Until then the packets of handshake and warm-up meet the same disciplines, which draw nothing. Shortly before the
//! schedule starts each netem is given its whole options in place: it keeps what it holds, and its generator begins at
//! the seed then (`netem_change` in net/sched/sch_netem.c), so that the n-th packet of the schedule has the same fate
//! whatever came before it.

use samepath_model::link::Link;

use super::plan::Hops;
use crate::link::{Nanos, Onset};

/// How long before the schedule's start the kernel is told: some fifty times what it takes on a quiet machine. The start
/// is announced 50 ms and a round trip ahead, and the last acknowledgement of the warm-up is sent within 40 ms.
pub(super) const LEAD: Nanos = 10_000_000;

/// What holds from the schedule's start on.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) hops: [Hops; 2],
    pub(super) link: Link,
}

/// What the packets meet first, what then (if it is another thing), and the link's conditions at first.
pub(super) fn split(hops: [Hops; 2], link: &Link, onset: Onset) -> ([Hops; 2], Option<Awaited>, Link) {
    let undrawn = link.without_draws();
    if onset == Onset::AtOnce || undrawn == *link {
        return (hops, None, link.clone());
    }
    (hops.each_ref().map(Hops::without_draws), Some(Awaited { hops, link: link.clone() }), undrawn)
}

#[cfg(test)]
mod tests {
    use samepath_model::link::{Direction, LinkSpec};

    use super::*;
    use crate::backend::kernel::plan::hops;

    fn split_of(text: &str, onset: Onset) -> ([Hops; 2], Option<Awaited>, Link) {
        let link = toml::from_str::<LinkSpec>(text).unwrap().resolve().unwrap();
        split(Direction::BOTH.map(|direction| hops(&link, direction, 7).unwrap()), &link, onset)
    }

    #[test]
    fn the_same_disciplines_draw_nothing_first() {
        for text in [
            "delay = '9ms'\nloss = '1%'\nloss-key = 'index'",
            "delay = '9ms'\nrate = '8Mbit'\nqueue = '30p'\nduplicate = '1%'\njitter = '1ms'",
            "delay = '9ms'\nrate = '8Mbit'\nqueue = '90kB'\nloss = '1%'\nloss-key = 'index'\ncorrupt = '1%'",
        ] {
            let (first, awaited, undrawn) = split_of(text, Onset::WithSchedule);
            let Awaited { hops: then, link } = awaited.expect("something is drawn");
            assert_eq!(undrawn, link.without_draws(), "{text}");
            for (first, then) in first.iter().zip(&then) {
                let kinds =
                    |hops: &Hops| [&hops.first, &hops.second].map(|c| c.iter().map(|q| q.kind()).collect::<Vec<_>>());
                assert_eq!(kinds(first), kinds(then), "{text}");
                assert_eq!(*first, then.without_draws(), "{text}");
            }
            assert!(split_of(text, Onset::AtOnce).1.is_none());
        }
        assert!(split_of("delay = '9ms'\nrate = '8Mbit'", Onset::WithSchedule).1.is_none(), "nothing is drawn");
    }
}
