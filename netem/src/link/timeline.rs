//! Conditions that change at set times.

use samepath_model::link::{Direction, Link};
use samepath_model::units::Duration;

use super::Nanos;

/// What becomes of a link's conditions, and when. Times count from the schedule's start; before it
/// nothing changes.
#[derive(Debug)]
pub(super) struct Timeline {
    link: Link,
    epoch: Option<Nanos>,
    /// The time of the next change.
    next: Option<Duration>,
}

impl Timeline {
    /// `None` where nothing changes.
    pub(super) fn new(link: &Link) -> Option<Box<Timeline>> {
        let next = after(link, None);
        next.is_some().then(|| Box::new(Timeline { link: link.clone(), epoch: None, next }))
    }

    /// A schedule starts at `epoch`. Gives back the conditions from which it starts.
    pub(super) fn restart(&mut self, epoch: Nanos) -> &Link {
        (self.epoch, self.next) = (Some(epoch), after(&self.link, None));
        &self.link
    }

    /// When the conditions change next.
    pub(super) fn next(&self) -> Option<Nanos> {
        Some(self.epoch? + self.next?.as_nanos())
    }

    /// When this direction, which has stopped, goes on: with the next change that says so.
    pub(super) fn resumes(&self, direction: Direction) -> Option<Nanos> {
        /// Nobody writes more changes than this that leave it stopped.
        const MOST: usize = 2_000;
        let conditions = self.link.direction(direction);
        let mut times = std::iter::successors(self.next, |since| conditions.next_change(Some(*since))).take(MOST);
        Some(self.epoch? + times.find(|since| !conditions.at(*since).stopped)?.as_nanos())
    }

    /// That time has come: the conditions from then on; `None` where they change no more.
    pub(super) fn step(&mut self) -> Option<Link> {
        let since = self.next?;
        self.next = after(&self.link, Some(since));
        Some(self.link.at(since))
    }

    /// That time and all up to `now` have come, with nothing to notice those before the last.
    pub(super) fn catch_up(&mut self, now: Nanos) -> Option<Link> {
        self.next().filter(|at| *at <= now)?;
        let since = Duration::from_nanos(now - self.epoch?);
        self.next = after(&self.link, Some(since));
        Some(self.link.at(since))
    }
}

/// The next change after `since`. The other direction's delay counts too: a buffer may be a share of the round
/// trip's.
fn after(link: &Link, since: Option<Duration>) -> Option<Duration> {
    Direction::BOTH.iter().filter_map(|&direction| link.direction(direction).next_change(since)).min()
}
