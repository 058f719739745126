//! Several drivers of an end as one.

use std::ops::Range;

use super::driver::{Action, Driver, Event};
use super::stream::StreamId;
use crate::units::Duration;

/// One of several drivers of an end.
#[derive(Debug)]
struct Part {
    streams: Range<StreamId>,
    /// What is added to the priority of its messages.
    priority: i32,
    driver: Box<dyn Driver>,
    wake: Option<Duration>,
    is_done: bool,
}

/// The drivers of an end as one, which is done when all are.
#[derive(Debug)]
pub(super) struct Mixed {
    parts: Vec<Part>,
    /// What a part told to do, while it is passed on.
    told: Vec<Action>,
    is_done: bool,
}

impl Mixed {
    /// Of drivers, each with the streams that are its own.
    pub(super) fn new(parts: impl Iterator<Item = (Range<StreamId>, Box<dyn Driver>)>) -> Mixed {
        let part = |(streams, driver)| Part { streams, priority: 0, driver, wake: None, is_done: false };
        Mixed { parts: parts.map(part).collect(), told: Vec::new(), is_done: false }
    }

    /// The messages of each go before those of whichever follows it.
    #[must_use]
    pub(super) fn in_order(mut self) -> Mixed {
        for (priority, part) in (0..).zip(self.parts.iter_mut().rev()) {
            part.priority = priority;
        }
        self
    }
}

impl Driver for Mixed {
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        for part in &mut self.parts {
            // What is due has its turn at whatever event comes at that instant.
            if part.wake.take_if(|at| *at <= now).is_some() {
                part.driver.on(Event::Timer, now, &mut self.told);
            }
            let is_concerned = match event {
                Event::Start | Event::PeerFinished => true,
                // None of them keeps a book.
                Event::Timer | Event::Recorded(_) => false,
                Event::Delivered(id) | Event::Failed(id) | Event::Cancelled(id) => part.streams.contains(&id.stream),
            };
            if is_concerned {
                part.driver.on(event, now, &mut self.told);
            }
            for action in self.told.drain(..) {
                match action {
                    Action::Send(mut release) => {
                        release.priority += part.priority;
                        actions.push(Action::Send(release));
                    }
                    Action::Cancel(_) | Action::Record(_) => actions.push(action),
                    Action::WakeAt(at) => part.wake = Some(at),
                    Action::Done => part.is_done = true,
                }
            }
        }
        if self.is_done {
            return;
        }
        if self.parts.iter().all(|part| part.is_done) {
            self.is_done = true;
            actions.push(Action::Done);
        } else if let Some(at) = self.parts.iter().filter(|part| !part.is_done).filter_map(|part| part.wake).min() {
            actions.push(Action::WakeAt(at));
        }
    }
}
