//! The end that is paid: it records each payment, and confirms it once that is recorded.
//!
//! With a key a payment that comes again is known: it is confirmed again, and not recorded. Without one every attempt is a
//! payment.

use std::collections::{BTreeMap, BTreeSet};

use super::draw;
use super::driver::{Action, Driver, Event};
use super::message::{MessageId, Release};
use super::stream::StreamId;
use super::table::Table;
use crate::book::Entry;
use crate::units::Duration;

/// Whose payment, and which: without a key, its attempt too.
type Key = (StreamId, u32, u32);

/// The driver of the end that is paid.
#[derive(Debug)]
pub(super) struct Payee {
    table: Table,
    first: StreamId,
    /// Messages of a payment at most.
    attempts: u32,
    /// Whether payments have a key.
    has_keys: bool,
    known: BTreeSet<Key>,
    /// What is being recorded, and the requests that wait for it.
    waiting: BTreeMap<Key, Vec<MessageId>>,
    /// Every request that came.
    requests: BTreeSet<MessageId>,
    is_last: bool,
    is_done: bool,
}

impl Payee {
    /// Sends the answers of `table`, whose streams from `first` on are the users'.
    pub(super) fn new(table: Table, first: StreamId, attempts: u32, has_keys: bool) -> Payee {
        Payee {
            table,
            first,
            attempts,
            has_keys,
            known: BTreeSet::new(),
            waiting: BTreeMap::new(),
            requests: BTreeSet::new(),
            is_last: false,
            is_done: false,
        }
    }

    fn key(&self, entry: &Entry) -> Key {
        (entry.user, entry.payment, if self.has_keys { 0 } else { entry.attempt })
    }

    /// A request is here.
    fn come(&mut self, request: MessageId, now: Duration, actions: &mut Vec<Action>) {
        // It may be told twice.
        if !self.requests.insert(request) {
            return;
        }
        let entry = entry_of(&self.table, self.first, self.attempts, request);
        let key = self.key(&entry);
        if self.known.contains(&key) {
            self.confirm(request, now, actions);
        } else if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.push(request);
        } else {
            self.waiting.insert(key, vec![request]);
            actions.push(Action::Record(entry));
        }
    }

    fn confirm(&self, request: MessageId, now: Duration, actions: &mut Vec<Action>) {
        let id = MessageId { direction: self.table.direction(), ..request };
        let length = self.table.length(id.stream, id.seq).expect("every request has its answer");
        actions.push(Action::Send(Release { by: Some(request), ..Release::by_the_clock(id, length, now) }));
    }
}

/// What a request is recorded as.
fn entry_of(table: &Table, first: StreamId, attempts: u32, request: MessageId) -> Entry {
    let (payment, attempt) = (request.seq / attempts, request.seq % attempts + 1);
    // All attempts are at the same amount.
    let of_all = MessageId { seq: payment * attempts, ..request };
    let amount = 1 + draw::bits(table.seed() ^ AMOUNT, of_all) % 10_000;
    Entry { user: request.stream - first, payment, attempt, amount }
}

/// Sets the draws of amounts apart from those of sizes.
const AMOUNT: u64 = 0x616d_6f75_6e74_2e21;

impl Driver for Payee {
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        match event {
            Event::Delivered(request) => self.come(request, now, actions),
            Event::Recorded(entry) => {
                let key = self.key(&entry);
                self.known.insert(key);
                for request in self.waiting.remove(&key).unwrap_or_default() {
                    self.confirm(request, now, actions);
                }
            }
            Event::PeerFinished => self.is_last = true,
            Event::Start | Event::Timer | Event::Failed(_) | Event::Cancelled(_) => {}
        }
        if self.is_last && self.waiting.is_empty() && !self.is_done {
            self.is_done = true;
            actions.push(Action::Done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Payment, Workload};
    use super::*;
    use crate::link::Direction;

    #[test]
    fn an_entry_says_which_payment_and_attempt_it_is() {
        let payment = Payment { users: 2, count: Some(2_000), attempts: 3, ..Payment::default() };
        let table = Workload::Payment(payment).table(Direction::Down, 4);
        let entry = |seq| entry_of(&table, 0, 3, MessageId { direction: Direction::Up, stream: 1, seq });
        for seq in 0..3_000 {
            let Entry { user, payment, attempt, amount } = entry(seq);
            assert_eq!((user, payment, attempt), (1, seq / 3, seq % 3 + 1));
            assert_eq!(amount, entry(seq / 3 * 3).amount, "one amount for all attempts");
        }
        let of_seed = |seed| {
            entry_of(
                &Table::new(Direction::Down, seed),
                0,
                3,
                MessageId { direction: Direction::Up, stream: 1, seq: 0 },
            )
        };
        let of_seeds: BTreeSet<u64> = (0..64).map(|bit| of_seed(1 << bit).amount).collect();
        assert!(of_seeds.len() > 60, "each seed has amounts of its own: {of_seeds:?}");
        let amounts: Vec<u64> = (0..1_000).map(|payment| entry(3 * payment).amount).collect();
        assert!(amounts.iter().all(|amount| (1..=10_000).contains(amount)), "{amounts:?}");
        // Even ones: a mean of 5,000.5, and a standard deviation of 2,887.
        let mean = amounts.iter().sum::<u64>() as f64 / 1e3;
        assert!((mean - 5_000.5).abs() < 3.9 * 2_887.0 / 1_000f64.sqrt(), "{mean}");
    }
}
