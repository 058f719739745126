//! What became of the payments of `payment`: for their users, from the records of its messages, and in the book.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::book::Entry;
use crate::link::Direction;
use crate::record::MessageRecord;
use crate::workload::{Payment, StreamId};

/// A payment by its user and its number among the user's payments.
type Key = (u16, u32);

/// The payments of a trial, or of a session between two machines. Each is confirmed, refused or unknown to its user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payments {
    /// How many there were.
    pub all: u32,
    /// Attempts at them, in all.
    pub attempts: u32,
    /// Those that were tried, at least once.
    tried: HashSet<Key>,
    /// Those of which the user had a confirmation in time, each with the time from its first attempt until then, in
    /// nanoseconds.
    confirmed: HashMap<Key, i64>,
}

/// What a book has of payments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Payments that stand in it twice or more often.
    pub twice: u32,
    /// Payments that were confirmed and do not stand in it.
    pub missing: u32,
    /// Payments that stand in it and were not confirmed.
    pub unconfirmed: u32,
}

impl Payments {
    /// Those whose messages are on these streams.
    pub fn of(payment: &Payment, streams: Range<StreamId>, messages: &[MessageRecord]) -> Payments {
        let own = |way| messages.iter().filter(move |m| m.direction == way).filter(|m| streams.contains(&m.stream));
        let key = |message: &MessageRecord| (message.stream - streams.start, message.seq / payment.attempts);
        let attempts: HashMap<_, &MessageRecord> = own(Direction::Up).map(|m| ((m.stream, m.seq), m)).collect();
        let first = attempts.values().filter(|message| message.attempt == 1);
        let begun: HashMap<Key, i64> = first.map(|message| (key(message), message.released)).collect();
        let mut confirmed: HashMap<Key, i64> = HashMap::new();
        for answer in own(Direction::Down) {
            let Some((delivered, attempt)) = answer.delivered.zip(attempts.get(&(answer.stream, answer.seq))) else {
                continue;
            };
            // Nobody waits for what comes later.
            if attempt.deadline.is_some_and(|deadline| delivered > deadline) {
                continue;
            }
            let Some(begun) = begun.get(&key(answer)) else { continue };
            let took = delivered - begun;
            confirmed.entry(key(answer)).and_modify(|known| *known = took.min(*known)).or_insert(took);
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Payments {
            all: payment.payments(),
            attempts: count(attempts.len()),
            tried: attempts.values().map(|message| key(message)).collect(),
            confirmed,
        }
    }

    /// How many were confirmed to their users in time.
    pub fn confirmed(&self) -> u32 {
        u32::try_from(self.confirmed.len()).unwrap_or(u32::MAX)
    }

    /// How many were never tried: they were certainly not made.
    pub fn refused(&self) -> u32 {
        self.all.saturating_sub(u32::try_from(self.tried.len()).unwrap_or(u32::MAX))
    }

    /// How many were tried and not confirmed: they may have been made.
    pub fn unknown(&self) -> u32 {
        self.all - self.refused() - self.confirmed()
    }

    /// From the first attempt at each that was confirmed until it was, in nanoseconds.
    pub fn latencies(&self) -> Vec<i64> {
        self.confirmed.values().copied().collect()
    }

    /// What this book has of them.
    pub fn in_book(&self, book: &[Entry]) -> Recorded {
        let mut times: HashMap<Key, u32> = HashMap::new();
        for entry in book {
            *times.entry((entry.user, entry.payment)).or_default() += 1;
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Recorded {
            twice: count(times.values().filter(|times| **times > 1).count()),
            missing: count(self.confirmed.keys().filter(|key| !times.contains_key(*key)).count()),
            unconfirmed: count(times.keys().filter(|key| !self.confirmed.contains_key(*key)).count()),
        }
    }
}
