//! Drivers: what an end does as a workload goes on, without sockets and without a clock.
//!
//! An end tells its driver what happened and what time it is; the driver says what is to be done. So a driver is
//! tested in virtual time, and the same one decides over every transport. What it does follows from spec, seed and
//! events alone.

use std::fmt::Debug;

use super::message::{MessageId, Release};
use crate::book::Entry;
use crate::units::Duration;

/// What happened at this end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The schedule starts. It comes first, and once.
    Start,
    /// The time has come that was last asked for by [`Action::WakeAt`].
    Timer,
    /// A message from the peer was delivered whole. It may be told twice.
    Delivered(MessageId),
    /// A message of this end will not be delivered, as its sender knows.
    Failed(MessageId),
    /// A message of this end was cancelled: nothing more of it is sent, and it will not be delivered.
    Cancelled(MessageId),
    /// An entry is in the book, and synced where that is asked for: by [`Action::Record`], or, right after the start, by a
    /// server that was killed.
    Recorded(Entry),
    /// The peer releases nothing more, and all that it sent was delivered or is lost.
    PeerFinished,
}

/// What is to be done at this end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A message is handed to the transport.
    Send(Release),
    /// A message is given up. One that waits is withdrawn; one of which some was sent is ended where it has a stream of
    /// its own that can be reset (RFC 9000, section 3.1), and else goes on.
    Cancel(MessageId),
    /// An entry is to be written into the book. [`Event::Recorded`] follows.
    Record(Entry),
    /// An [`Event::Timer`] is wanted at this time from the start of the schedule. It takes the place of the one
    /// before.
    WakeAt(Duration),
    /// This end releases nothing more, whatever happens.
    Done,
}

/// The behaviour of one end in one workload.
pub trait Driver: Debug + Send {
    /// Adds to `actions` what is to be done upon an event, at `now` from the start of the schedule.
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>);
}

/// What a driver does last of all upon an event: it waits until `next`, or has nothing more to do, which is noted.
pub(super) fn wake_or_end(next: Option<Duration>, is_done: &mut bool, actions: &mut Vec<Action>) {
    match next {
        Some(at) => actions.push(Action::WakeAt(at)),
        None => {
            *is_done = true;
            actions.push(Action::Done);
        }
    }
}

/// The driver of an end that only receives: it has nothing to do.
#[derive(Debug)]
pub(super) struct Receiver;

impl Driver for Receiver {
    fn on(&mut self, event: Event, _now: Duration, actions: &mut Vec<Action>) {
        if event == Event::Start {
            actions.push(Action::Done);
        }
    }
}

/// What this driver releases by the clock alone, in order.
pub fn clocked(mut driver: Box<dyn Driver>) -> Vec<Release> {
    let (mut releases, mut actions) = (Vec::new(), Vec::new());
    let mut next = Some((Event::Start, Duration::ZERO));
    while let Some((event, now)) = next.take() {
        driver.on(event, now, &mut actions);
        for action in actions.drain(..) {
            match action {
                Action::Send(release) => releases.push(release),
                Action::WakeAt(at) => next = Some((Event::Timer, at)),
                Action::Done => return releases,
                Action::Cancel(_) | Action::Record(_) => {}
            }
        }
    }
    releases
}
