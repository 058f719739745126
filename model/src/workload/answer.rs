//! The end that answers each request at once, with messages of the request's stream.

use std::collections::BTreeSet;
use std::ops::Range;

use super::driver::{Action, Driver, Event};
use super::message::{MessageId, Release};
use super::table::Table;

/// What is answered to a request.
pub(super) trait Answers: std::fmt::Debug + Send {
    /// The numbers of the messages that answer the request of this number, in order.
    fn to(&self, request: u32) -> Range<u32> {
        request..request + 1
    }

    /// When the message of this number goes among those that wait: higher goes first.
    fn priority(&self, _seq: u32) -> i32 {
        0
    }
}

/// The answer to each request has its number.
#[derive(Debug)]
pub(super) struct OfTheSameNumber;

impl Answers for OfTheSameNumber {}

/// The driver of the end that answers.
#[derive(Debug)]
pub(super) struct Answerer<A> {
    table: Table,
    answers: A,
    /// The requests that have come.
    seen: BTreeSet<MessageId>,
    is_done: bool,
}

impl<A: Answers> Answerer<A> {
    /// Its messages are those of `table`.
    pub(super) const fn new(table: Table, answers: A) -> Answerer<A> {
        Answerer { table, answers, seen: BTreeSet::new(), is_done: false }
    }
}

impl<A: Answers> Driver for Answerer<A> {
    fn on(&mut self, event: Event, now: crate::Duration, actions: &mut Vec<Action>) {
        match event {
            Event::Delivered(request) if !self.is_done && self.seen.insert(request) => {
                for seq in self.answers.to(request.seq) {
                    let id = MessageId { direction: self.table.direction(), stream: request.stream, seq };
                    let length = self.table.length(id.stream, seq).expect("the table has an answer to every request");
                    let priority = self.answers.priority(seq);
                    let release = Release { by: Some(request), priority, ..Release::by_the_clock(id, length, now) };
                    actions.push(Action::Send(release));
                }
            }
            Event::PeerFinished if !self.is_done => {
                self.is_done = true;
                actions.push(Action::Done);
            }
            _ => {}
        }
    }
}
