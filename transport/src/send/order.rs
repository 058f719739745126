//! Whose turn it is, where several streams have something to send.

use std::collections::VecDeque;

use samepath_model::Order;

/// Priority of the QUIC stream that goes `n`-th: higher goes first, and quinn lets streams of one
/// priority take turns.
pub(super) fn priority(order: Order, n: usize) -> i32 {
    match order {
        Order::RoundRobin => 0,
        Order::Sequential => i32::try_from(n).map_or(i32::MIN, |n| -n),
    }
}

/// Puts one behind those of the same or a higher priority.
pub(super) fn enter<T>(waiting: &mut VecDeque<T>, one: T, priority: impl Fn(&T) -> i32) {
    let own = priority(&one);
    let at = waiting.iter().rposition(|other| priority(other) >= own).map_or(0, |last| last + 1);
    waiting.insert(at, one);
}

/// Streams that have something to send, each with the priority of its first message, in the order of their turns.
#[derive(Debug, Default)]
pub(super) struct Turns(VecDeque<(usize, i32)>);

impl Turns {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A stream that has something to send gets a turn.
    pub(super) fn enter(&mut self, place: usize, priority: i32) {
        enter(&mut self.0, (place, priority), |(_, priority)| *priority);
    }

    /// A stream has nothing to send any more.
    pub(super) fn leave(&mut self, place: usize) {
        self.0.retain(|(other, _)| *other != place);
    }

    /// Takes the stream whose turn it is.
    pub(super) fn next(&mut self, order: Order) -> Option<(usize, i32)> {
        match order {
            Order::RoundRobin => self.0.pop_front(),
            Order::Sequential => {
                let highest = self.0.front()?.1;
                let first = self.0.iter().enumerate().take_while(|(_, (_, priority))| *priority == highest);
                let (lowest, _) = first.min_by_key(|(_, (place, _))| *place)?;
                self.0.remove(lowest)
            }
        }
    }

    /// Gives back a turn that was not used.
    pub(super) fn put_back(&mut self, place: usize, priority: i32) {
        self.0.push_front((place, priority));
    }
}

/// Gives a transfer that is not done its next turn.
pub(super) fn again<T>(order: Order, turns: &mut VecDeque<T>, turn: T) {
    match order {
        Order::RoundRobin => turns.push_back(turn),
        Order::Sequential => turns.push_front(turn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which four streams of three turns each are served.
    fn served(order: Order) -> Vec<usize> {
        let mut turns: VecDeque<(usize, u32)> = (0..4).map(|stream| (stream, 3)).collect();
        let mut served = Vec::new();
        while let Some((stream, left)) = turns.pop_front() {
            served.push(stream);
            if left > 1 {
                again(order, &mut turns, (stream, left - 1));
            }
        }
        served
    }

    #[test]
    fn transfers_take_turns_or_follow_each_other() {
        assert_eq!(served(Order::RoundRobin), [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(served(Order::Sequential), [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
    }

    fn turns(waiting: &[(usize, i32)]) -> Turns {
        let mut turns = Turns::default();
        waiting.iter().for_each(|(place, priority)| turns.enter(*place, *priority));
        turns
    }

    #[test]
    fn waiting_messages_are_served_by_turn_or_stream() {
        let waiting = [(2, 0), (0, 0), (3, 0)];
        assert_eq!(turns(&waiting).next(Order::RoundRobin), Some((2, 0)));
        let mut left = turns(&waiting);
        assert_eq!(left.next(Order::Sequential), Some((0, 0)));
        assert_eq!(left.0, [(2, 0), (3, 0)]);
        assert_eq!(Turns::default().next(Order::Sequential), None);
    }

    #[test]
    fn a_higher_priority_goes_first_in_either_order() {
        let waiting = [(2, 0), (7, 5), (0, 0), (4, 5)];
        assert_eq!(turns(&waiting).0, [(7, 5), (4, 5), (2, 0), (0, 0)]);
        assert_eq!(turns(&waiting).next(Order::Sequential), Some((4, 5)));
    }

    #[test]
    fn a_stream_that_goes_first_has_the_higher_priority() {
        assert_eq!(priority(Order::RoundRobin, 0), priority(Order::RoundRobin, 7));
        assert!(priority(Order::Sequential, 0) > priority(Order::Sequential, 1));
        assert!(priority(Order::Sequential, 1) > priority(Order::Sequential, usize::MAX));
    }
}
