//! The driver of an end that releases messages at a fixed rate, whatever becomes of them.

use super::driver::{Action, Driver, Event};
use super::message::{MessageId, Release};
use super::stream::StreamId;
use super::table::Table;
use crate::units::Duration;

/// Releases all messages of a stream, so many a second.
#[derive(Debug)]
pub(super) struct Clocked {
    table: Table,
    stream: StreamId,
    per_second: u32,
    next: u32,
}

impl Clocked {
    pub(super) const fn new(table: Table, stream: StreamId, per_second: u32) -> Clocked {
        Clocked { table, stream, per_second, next: 0 }
    }
}

/// When the n-th of so many a second is released: from the start, so that rounding does not add up.
pub(super) fn nth(n: u32, per_second: u32) -> Duration {
    Duration::from_nanos(u64::from(n) * 1_000_000_000 / u64::from(per_second.max(1)))
}

/// How many of so many a second are released within a time.
pub(super) fn within(time: Duration, per_second: u32) -> u32 {
    let all = u128::from(time.as_nanos()) * u128::from(per_second) / 1_000_000_000;
    u32::try_from(all).unwrap_or(u32::MAX)
}

impl Driver for Clocked {
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        if !matches!(event, Event::Start | Event::Timer) {
            return;
        }
        let direction = self.table.direction();
        while let Some(length) = self.table.length(self.stream, self.next) {
            let at = nth(self.next, self.per_second);
            if at > now {
                actions.push(Action::WakeAt(at));
                return;
            }
            let id = MessageId { direction, stream: self.stream, seq: self.next };
            actions.push(Action::Send(Release::by_the_clock(id, length, at)));
            self.next += 1;
        }
        actions.push(Action::Done);
    }
}
