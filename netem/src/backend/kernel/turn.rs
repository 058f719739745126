//! From one chain of queueing disciplines to another while packets are inside.
//!
//! The kernel changes a discipline in place and leaves what it holds; but it cannot make one of
//! another kind of it, and what it takes away it empties. So what stands at the end of a chain and
//! is not wanted any more is opened wide in place of being taken away. Only a queue of one kind that
//! gives way to a queue of another is emptied.

use crate::link::distribution;
use crate::netlink::qdisc::{Codel, Netem, NetemSlot, Qdisc, Tbf};

/// How to get from one chain to another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Transition {
    /// What then stands there.
    pub(super) chain: Vec<Qdisc>,
    /// From which discipline on the old chain is taken away first.
    pub(super) taken_from: Option<usize>,
    /// Whether a queue is taken away, or another put in its place.
    pub(super) empties: bool,
}

impl Transition {
    /// From what stands there to what is wanted.
    pub(super) fn between(current: &[Qdisc], wanted: &[Qdisc]) -> Transition {
        let common = std::iter::zip(current, wanted).take_while(|(one, other)| one.kind() == other.kind()).count();
        let over = std::iter::zip(current, wanted).map(|(before, after)| match (before, after) {
            (Qdisc::Netem(before), Qdisc::Netem(after)) => Qdisc::Netem(Box::new(over((**after).clone(), before))),
            (_, after) => after.clone(),
        });
        let mut chain: Vec<Qdisc> = over.take(common).collect();
        let (old, new) = (&current[common..], &wanted[common..]);
        // A bucket at the end of a chain has a queue of its own, which another below it takes the place of.
        let ends_in_queue = matches!(chain.last(), Some(Qdisc::Tbf(_)));
        if new.is_empty() && !ends_in_queue {
            chain.extend(old.iter().map(open));
            return Transition { chain, taken_from: None, empties: false };
        }
        chain.extend_from_slice(new);
        let taken_from = (!old.is_empty()).then_some(common);
        Transition { chain, taken_from, empties: taken_from.is_some() || (ends_in_queue && !new.is_empty()) }
    }
}

/// This netem where there was another. Two of its tables can be replaced, but not taken away.
fn over(mut netem: Netem, before: &Netem) -> Netem {
    if netem.distribution.is_empty() && !before.distribution.is_empty() {
        netem.distribution = uniform();
    }
    let had_table = before.slot.as_ref().is_some_and(|slot| !slot.distribution.is_empty());
    if had_table && netem.slot.as_ref().is_none_or(|slot| slot.distribution.is_empty()) {
        let slot = netem.slot.unwrap_or_default();
        let (middle, spread) = (slot.min_delay.midpoint(slot.max_delay), (slot.max_delay - slot.min_delay) / 2);
        // A spread of nothing and a pause of nothing say that there are no slots.
        let dist_jitter = if slot.max_delay > 0 { spread.max(1) } else { 0 };
        netem.slot = Some(NetemSlot { dist_delay: middle, dist_jitter, distribution: uniform(), ..slot });
    }
    netem
}

/// The table of the distribution that has none.
fn uniform() -> Vec<i16> {
    let scale = distribution::SCALE as i16;
    (-scale..scale).collect()
}

/// The same with nothing that holds a packet back.
fn open(qdisc: &Qdisc) -> Qdisc {
    match qdisc {
        Qdisc::Netem(before) => {
            let open = Netem { limit: Netem::UNLIMITED, seed: before.seed, ..Netem::default() };
            Qdisc::Netem(Box::new(over(open, before)))
        }
        Qdisc::Tbf(_) => Qdisc::Tbf(Tbf { bytes_per_second: 1 << 37, burst: 1 << 20, limit: 1 << 30 }),
        Qdisc::Codel(_) => Qdisc::Codel(Codel {
            limit: 1 << 20,
            target: Codel::NEVER,
            interval: Codel::NEVER,
            ecn: false,
            mark_from: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::kernel::plan::adjustable_hops;
    use samepath_model::link::{Direction, LinkSpec};

    fn first_hop(text: &str) -> Vec<Qdisc> {
        let link = toml::from_str::<LinkSpec>(text).unwrap().resolve().unwrap();
        adjustable_hops(&link, Direction::Up, 7).unwrap().first
    }

    const PLAIN: &str = "delay = '9ms'";
    const PACKETS: &str = "rate = '8Mbit'\nqueue = '30p'";
    const BYTES: &str = "rate = '8Mbit'\nqueue = '90kB'";
    const CODEL: &str = "rate = '8Mbit'\nqueue = '30p'\naqm = 'codel'";

    fn kinds(chain: &[Qdisc]) -> Vec<&'static str> {
        chain.iter().map(Qdisc::kind).collect()
    }

    #[test]
    fn only_a_queue_of_another_kind_is_emptied() {
        let all = [PLAIN, PACKETS, BYTES, CODEL];
        for before in all {
            for after in all {
                let between = Transition::between(&first_hop(before), &first_hop(after));
                let queues = [(BYTES, CODEL), (CODEL, BYTES)];
                assert_eq!(between.empties, queues.contains(&(before, after)), "{before} to {after}");
                assert_eq!(between.taken_from, ((before, after) == (CODEL, BYTES)).then_some(2), "{before} to {after}");
            }
        }
    }

    #[test]
    fn what_is_not_wanted_any_more_lets_all_through() {
        let Transition { chain, .. } = Transition::between(&first_hop(CODEL), &first_hop(PACKETS));
        assert_eq!(kinds(&chain), ["netem", "tbf", "codel"]);
        let [Qdisc::Netem(netem), Qdisc::Tbf(bucket), Qdisc::Codel(codel)] = chain.as_slice() else { panic!() };
        assert_eq!((netem.limit, netem.rate.unwrap().bytes_per_second), (30, 1_000_000));
        assert!(bucket.bytes_per_second > 100_000_000_000 && codel.target == Codel::NEVER);
        // And is wanted again.
        let again = Transition::between(&chain, &first_hop(CODEL));
        assert_eq!((again.chain, again.empties), (first_hop(CODEL), false));
    }

    #[test]
    fn a_table_gives_way_to_that_of_no_table() {
        let netem = |distribution: Vec<i16>, slot: Option<NetemSlot>| Netem { distribution, slot, ..Netem::default() };
        let table = vec![-9, 0, 9];
        let slot = NetemSlot { dist_delay: 5, dist_jitter: 3, distribution: table.clone(), ..NetemSlot::default() };
        let before = netem(table.clone(), Some(slot));
        let after = over(netem(Vec::new(), None), &before);
        assert_eq!((after.distribution.len(), after.distribution.iter().map(|&x| i64::from(x)).sum()), (16_384, -8192));
        let off = after.slot.unwrap();
        assert_eq!((off.min_delay, off.max_delay, off.dist_jitter), (0, 0, 0), "no slots");
        let even = NetemSlot { min_delay: 1_000, max_delay: 3_000, ..NetemSlot::default() };
        let slot = over(netem(Vec::new(), Some(even)), &before).slot.unwrap();
        assert_eq!((slot.dist_delay, slot.dist_jitter), (2_000, 1_000));
        let kept = over(netem(table.clone(), None), &Netem::default());
        assert_eq!(kept.distribution, table);
        assert_eq!(over(Netem::default(), &Netem::default()), Netem::default(), "and none where there was none");
    }
}
