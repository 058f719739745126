//! What became of the conversations of `chat`, from the records of its messages.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::record::{Instant, MessageRecord};
use crate::workload::{Chat, StreamId};

/// The conversations of a trial, or of a session between two machines. Keep-alives are counted, and in no other figure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversations {
    /// Messages that were released, both ways.
    pub released: u32,
    /// From release to delivery, of those that were delivered, in nanoseconds.
    pub delays: Vec<i64>,
    /// Messages that were delivered after a later one of their conversation and direction.
    pub out_of_order: u32,
    /// The longest time from a delivery to the next of the same conversation and direction, in nanoseconds; `None` where
    /// there were no two.
    pub largest_gap: Option<i64>,
    /// Keep-alives that were released, both ways.
    pub keep_alives: u32,
}

impl Conversations {
    /// Those on these streams.
    pub fn of(chat: &Chat, streams: Range<StreamId>, messages: &[MessageRecord]) -> Conversations {
        let mut all = Conversations::default();
        let mut deliveries: BTreeMap<_, Vec<(Instant, u32)>> = BTreeMap::new();
        for message in messages.iter().filter(|message| streams.contains(&message.stream)) {
            if chat.is_keep_alive(message.seq) {
                all.keep_alives += 1;
                continue;
            }
            all.released += 1;
            let Some(delivered) = message.delivered else { continue };
            all.delays.push(delivered - message.released);
            deliveries.entry((message.direction, message.stream)).or_default().push((delivered, message.seq));
        }
        for one_way in deliveries.values_mut() {
            one_way.sort_unstable();
            let gap = one_way.windows(2).map(|pair| pair[1].0 - pair[0].0).max();
            all.largest_gap = all.largest_gap.max(gap);
            let mut newest = 0;
            for &(_, seq) in one_way.iter() {
                all.out_of_order += u32::from(seq < newest);
                newest = newest.max(seq);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Direction;
    use crate::units::Duration;

    fn message(direction: Direction, stream: StreamId, seq: u32, delivered: Option<Instant>) -> MessageRecord {
        MessageRecord {
            flow: 0,
            direction,
            stream,
            seq,
            size: 200,
            released: 0,
            released_by: None,
            deadline: None,
            attempt: 1,
            cancelled: None,
            sent: Some(0),
            delivered,
            received: 200,
            coded: None,
        }
    }

    #[test]
    fn order_and_gaps_are_of_one_conversation_and_direction() {
        let second = Some(Duration::from_secs(1));
        let chat = Chat { conversations: 2, duration: second, keep_alive: second, ..Chat::default() };
        let keep_alive = (0..).find(|seq| chat.is_keep_alive(*seq)).unwrap();
        let (up, down) = (Direction::Up, Direction::Down);
        let messages = [
            // 1 and 2 come after 3; 4 is lost.
            message(up, 0, 0, Some(10)),
            message(up, 0, 1, Some(50)),
            message(up, 0, 2, Some(60)),
            message(up, 0, 3, Some(40)),
            message(up, 0, 4, None),
            message(up, 0, keep_alive, Some(500)),
            // In order, and two in one read.
            message(down, 0, 0, Some(5)),
            message(down, 0, 1, Some(90)),
            message(down, 0, 2, Some(90)),
            message(up, 1, 0, Some(7)),
            // Another workload's.
            message(up, 2, 1, Some(900)),
        ];
        let all = Conversations::of(&chat, 0..2, &messages);
        assert_eq!((all.released, all.delays.len(), all.keep_alives), (9, 8, 1));
        assert_eq!((all.out_of_order, all.largest_gap), (2, Some(85)));
        assert_eq!(Conversations::of(&chat, 0..2, &messages[9..]).largest_gap, None);
    }
}
