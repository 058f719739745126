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

/// Takes the place whose turn it is.
pub(super) fn next_turn(order: Order, turns: &mut VecDeque<usize>) -> Option<usize> {
    match order {
        Order::RoundRobin => turns.pop_front(),
        Order::Sequential => {
            let (lowest, _) = turns.iter().enumerate().min_by_key(|(_, place)| **place)?;
            turns.remove(lowest)
        }
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

    #[test]
    fn messages_that_wait_are_served_by_turn_or_by_stream() {
        let waiting = VecDeque::from([2, 0, 3]);
        assert_eq!(next_turn(Order::RoundRobin, &mut waiting.clone()), Some(2));
        let mut left = waiting;
        assert_eq!(next_turn(Order::Sequential, &mut left), Some(0));
        assert_eq!(left, [2, 3]);
        assert_eq!(next_turn(Order::Sequential, &mut VecDeque::new()), None);
    }

    #[test]
    fn a_stream_that_goes_first_has_the_higher_priority() {
        assert_eq!(priority(Order::RoundRobin, 0), priority(Order::RoundRobin, 7));
        assert!(priority(Order::Sequential, 0) > priority(Order::Sequential, 1));
        assert!(priority(Order::Sequential, 1) > priority(Order::Sequential, usize::MAX));
    }
}
