//! The delay line: packets on their way, the earliest due first.
//!
//! Where nothing can overtake, due times come in order and a plain queue does; with jitter or
//! reordering a heap sorts them. Ties leave in order of arrival.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::instant::Nanos;

/// Packets, each with its due time.
#[derive(Debug)]
pub enum DelayLine<T> {
    /// Due times never decrease.
    Ordered(VecDeque<(Nanos, T)>),
    /// Due times in any order.
    Sorted(Sorted<T>),
}

/// A heap of small handles over a slab, so that sorting does not move the packets about.
#[derive(Debug)]
pub struct Sorted<T> {
    heap: BinaryHeap<Reverse<(Nanos, u64, usize)>>,
    slab: Vec<Option<T>>,
    free: Vec<usize>,
    pushed: u64,
}

impl<T> DelayLine<T> {
    /// `may_reorder`: whether a packet may be due before one that was pushed earlier.
    pub fn new(may_reorder: bool) -> Self {
        if may_reorder {
            DelayLine::Sorted(Sorted { heap: BinaryHeap::new(), slab: Vec::new(), free: Vec::new(), pushed: 0 })
        } else {
            DelayLine::Ordered(VecDeque::new())
        }
    }

    /// From now on a packet may be due before one that was pushed earlier.
    pub fn allow_disorder(&mut self) {
        if let DelayLine::Ordered(queue) = self {
            let queue = std::mem::take(queue);
            *self = DelayLine::new(true);
            for (due, item) in queue {
                self.push(due, item);
            }
        }
    }

    /// From now on nothing that is pushed overtakes what is inside, which leaves in the order in which it is due.
    pub fn forbid_disorder(&mut self) {
        if let DelayLine::Sorted(_) = self {
            let inside = self.take_all();
            *self = DelayLine::Ordered(inside.into());
        }
    }

    /// Takes everything out, the earliest due first.
    pub fn take_all(&mut self) -> Vec<(Nanos, T)> {
        std::iter::from_fn(|| self.pop_due(Nanos::MAX)).collect()
    }

    /// Adds an item due at `due`. Where nothing may overtake, one that would (because the delay was
    /// made shorter meanwhile) is due with the last before it.
    pub fn push(&mut self, due: Nanos, item: T) {
        match self {
            DelayLine::Ordered(queue) => {
                let due = queue.back().map_or(due, |(last, _)| due.max(*last));
                queue.push_back((due, item));
            }
            DelayLine::Sorted(sorted) => {
                let slot = match sorted.free.pop() {
                    Some(slot) => {
                        sorted.slab[slot] = Some(item);
                        slot
                    }
                    None => {
                        sorted.slab.push(Some(item));
                        sorted.slab.len() - 1
                    }
                };
                sorted.heap.push(Reverse((due, sorted.pushed, slot)));
                sorted.pushed += 1;
            }
        }
    }

    /// When the next item is due.
    pub fn next_due(&self) -> Option<Nanos> {
        match self {
            DelayLine::Ordered(queue) => queue.front().map(|(due, _)| *due),
            DelayLine::Sorted(sorted) => sorted.heap.peek().map(|Reverse((due, ..))| *due),
        }
    }

    /// The next item, if it is due at `now`, with its due time.
    pub fn pop_due(&mut self, now: Nanos) -> Option<(Nanos, T)> {
        if self.next_due()? > now {
            return None;
        }
        match self {
            DelayLine::Ordered(queue) => queue.pop_front(),
            DelayLine::Sorted(sorted) => {
                let Reverse((due, _, slot)) = sorted.heap.pop()?;
                sorted.free.push(slot);
                sorted.slab[slot].take().map(|item| (due, item))
            }
        }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        match self {
            DelayLine::Ordered(queue) => queue.len(),
            DelayLine::Sorted(sorted) => sorted.heap.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sorted_line_is_a_stable_sort(dues in proptest::collection::vec(0u64..50, 0..200)) {
            let mut line = DelayLine::new(true);
            for (index, due) in dues.iter().enumerate() {
                line.push(*due, index);
            }
            let out: Vec<(Nanos, usize)> = std::iter::from_fn(|| line.pop_due(Nanos::MAX)).collect();
            let mut expected: Vec<(Nanos, usize)> = dues.into_iter().enumerate().map(|(i, due)| (due, i)).collect();
            expected.sort();
            prop_assert_eq!(out, expected);
            prop_assert!(line.is_empty());
        }

        #[test]
        fn nothing_leaves_before_it_is_due(dues in proptest::collection::vec(0u64..50, 1..50), now in 0u64..60) {
            let mut line = DelayLine::new(true);
            for due in &dues {
                line.push(*due, ());
            }
            let out: Vec<Nanos> = std::iter::from_fn(|| line.pop_due(now)).map(|(due, ())| due).collect();
            prop_assert!(out.iter().all(|due| *due <= now));
            prop_assert_eq!(out.len(), dues.iter().filter(|due| **due <= now).count());
        }
    }
}
