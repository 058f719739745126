//! What became of the queries of `query`, from the records of its messages.

use std::collections::HashMap;
use std::ops::Range;

use crate::link::Direction;
use crate::record::{Instant, MessageRecord};
use crate::workload::{Query, StreamId};

/// The queries of a trial, or of a session between two machines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queries {
    /// How many were made.
    pub released: u32,
    /// How often they were tried, in all.
    pub tries: u32,
    /// Of each that was answered before it was given up, the first answer.
    pub answers: Vec<Answer>,
}

/// The answer to a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// From the release of the first try until it was delivered, in nanoseconds.
    pub latency: i64,
    /// The number of the try that it answers, from 1.
    pub attempt: u32,
}

impl Queries {
    /// Those whose messages are on these streams.
    pub fn of(query: &Query, streams: Range<StreamId>, messages: &[MessageRecord]) -> Queries {
        let rule = query.rule();
        let own = |way| messages.iter().filter(move |m| m.direction == way).filter(|m| streams.contains(&m.stream));
        let name = |message: &MessageRecord| (message.stream, message.seq / rule.tries);
        let first: HashMap<_, Instant> =
            own(Direction::Up).filter(|m| m.attempt == 1).map(|m| (name(m), m.released)).collect();
        let longest = i64::try_from(rule.longest().as_nanos()).unwrap_or(i64::MAX);
        let mut answers: HashMap<_, Answer> = HashMap::new();
        for message in own(Direction::Down) {
            let (Some(delivered), Some(released)) = (message.delivered, first.get(&name(message))) else { continue };
            let answer = Answer { latency: delivered - released, attempt: message.seq % rule.tries + 1 };
            if answer.latency <= longest {
                let known = answers.entry(name(message)).or_insert(answer);
                *known = [*known, answer].into_iter().min_by_key(|one| (one.latency, one.attempt)).unwrap_or(answer);
            }
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut answers: Vec<Answer> = answers.into_values().collect();
        answers.sort_unstable_by_key(|answer| (answer.latency, answer.attempt));
        Queries { released: count(first.len()), tries: count(own(Direction::Up).count()), answers }
    }

    /// How many were answered by their first tries, so many of them.
    pub fn answered_by(&self, tries: u32) -> u32 {
        self.answers.iter().map(|answer| u32::from(answer.attempt <= tries)).sum()
    }
}
