//! The critical path of a chain of messages, each released by the delivery of the one before: a dialogue, or a page and
//! what it names.
//!
//! Nothing that lies beside the path makes the last message come sooner. Its parts are those of each message's delay,
//! and what the ends waited between a delivery and the release that it caused (service, a queue of requests, thought);
//! they add up, to the nanosecond, to the time from the release of the first message to the delivery of the last.

use samepath_model::record::MessageRecord;

use super::analysis::Analysis;
use super::hold::Held;
use super::parts::Parts;

/// A message of a critical path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// The message.
    pub message: &'a MessageRecord,
    /// From the delivery that released it until its intended release; 0 of the first.
    pub waited: i64,
    /// From its intended release to its delivery.
    pub delay: i64,
    /// The parts of that; `None` where its packets are not known.
    pub parts: Option<Parts>,
    /// What of it held the message at its sender; `None` where that told nothing.
    pub held: Option<Held>,
}

/// A chain of messages, first to last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CriticalPath<'a> {
    /// Its messages.
    pub steps: Vec<Step<'a>>,
}

/// What a critical path is made of, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// Of all messages whose parts are known, the sum of each part.
    pub parts: Parts,
    /// What of that held them at their senders, of those that told, the sum of each part.
    pub held: Held,
    /// The delays of the others.
    pub unknown: i64,
    /// What the ends waited between a delivery and the next release.
    pub waited: i64,
}

impl Total {
    /// From the release of the first message to the delivery of the last.
    pub fn time(&self) -> i64 {
        self.parts.total() + self.unknown + self.waited
    }
}

impl CriticalPath<'_> {
    /// What it is made of.
    pub fn total(&self) -> Total {
        let mut total = Total::default();
        for step in &self.steps {
            total.waited += step.waited;
            total.held = step.held.iter().fold(total.held, Held::plus);
            match &step.parts {
                Some(parts) => total.parts = total.parts.plus(parts),
                None => total.unknown += step.delay,
            }
        }
        total
    }
}

impl Analysis {
    /// The critical path that ends with the message at this place and begins with the last one before it that
    /// `is_first`, or that the clock released. `None` where a message of it was not delivered, or is not known.
    pub fn critical_path(&self, last: usize, is_first: impl Fn(&MessageRecord) -> bool) -> Option<CriticalPath<'_>> {
        let mut steps = Vec::new();
        let mut at = Some(last);
        while let Some(place) = at {
            let message = self.messages.get(place)?;
            let delay = message.delivered? - message.released;
            let parts = self.account(place).map(|account| account.parts);
            at = match message.released_by {
                Some(by) if !is_first(message) => Some(self.find(by)?),
                _ => None,
            };
            let waited = match at {
                Some(before) => message.released - self.messages[before].delivered?,
                None => 0,
            };
            steps.push(Step { message, waited, delay, parts, held: self.held(place).copied() });
        }
        steps.reverse();
        Some(CriticalPath { steps })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use samepath_model::Direction;
    use samepath_model::record::DropCause;
    use samepath_model::workload::MessageId;

    use super::super::hold::Opening;
    use super::super::tests::Made;

    const MS: i64 = 1_000_000;

    /// A chain of messages on streams of their own, each released so long after the delivery of the one before; every
    /// third loses its packet once.
    fn chain(arm: &str, waits: &[i64]) -> Made {
        let mut made = Made::new(arm);
        let (mut released, mut by) = (0, None);
        for (n, wait) in waits.iter().enumerate() {
            released += if n == 0 { 0 } else { *wait };
            let (stream, domain) = (n as u16, n as u64 * 4 + 1);
            made.lay(domain, 0, 100, stream, Some(0));
            let mut sent = released + 1_000;
            if n % 3 == 2 {
                made.carry(sent, &[(domain, 0, 100)], Some(DropCause::Loss));
                sent += 70 * MS;
            }
            made.carry(sent, &[(domain, 0, 100)], None);
            let arrived = made.ledger.last().unwrap().left.unwrap() + 5_000;
            made.message(stream, 0, released, Some(arrived));
            made.messages.last_mut().unwrap().released_by = by;
            by = Some(MessageId { direction: Direction::Down, stream, seq: 0 });
            released = arrived;
        }
        made
    }

    proptest! {
        #[test]
        fn the_parts_add_up_to_the_nanosecond(waits in proptest::collection::vec(0i64..50_000_000, 1..12)) {
            let made = chain("quic", &waits);
            let end = made.messages.last().unwrap().delivered.unwrap();
            let analysis = made.analyse();
            let path = analysis.critical_path(waits.len() - 1, |_| false).unwrap();
            prop_assert_eq!(path.steps.len(), waits.len());
            let total = path.total();
            prop_assert_eq!((total.time(), total.unknown), (end, 0));
            prop_assert_eq!(total.waited, waits[1..].iter().sum::<i64>());
            let lost = waits.len() as i64 / 3;
            prop_assert_eq!(total.parts.own_loss, lost * 70 * MS);
            // Of a cold session the first message waited for all of its beginning, 5 ns, and no other one did.
            let opening = Opening { looked_up: 3, up: 5 };
            let analysis = analysis.told_by(&[], opening);
            let total = analysis.critical_path(waits.len() - 1, |_| false).unwrap().total();
            prop_assert_eq!((total.held.lookup, total.held.setup), (3, 2));
            prop_assert_eq!(total.held.values().iter().sum::<i64>(), total.parts.hold);
        }
    }

    #[test]
    fn it_begins_where_it_is_told_to() {
        let made = chain("quic", &[0, 5, 7, 9]);
        let second = made.messages[1].clone();
        let analysis = made.analyse();
        let path = analysis.critical_path(3, |message| message.stream == 1).unwrap();
        let streams: Vec<_> = path.steps.iter().map(|step| (step.message.stream, step.waited)).collect();
        assert_eq!(streams, [(1, 0), (2, 7), (3, 9)]);
        assert_eq!(path.total().time(), analysis.messages[3].delivered.unwrap() - second.released);
        assert_eq!(analysis.critical_path(4, |_| false), None);
    }
}
