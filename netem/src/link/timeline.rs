//! Conditions that change at set times.

use samepath_model::link::{Direction, Link};
use samepath_model::units::Duration;

use super::instant::Nanos;

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

    /// That time has come: the conditions from then on.
    pub(super) fn step(&mut self) -> Option<Link> {
        self.step_to(self.next?)
    }

    /// That time and perhaps others up to `now` have come, and nothing was inside to notice: passes over what leaves
    /// no trace, the steps of ramps and what has come again since. Gives the time to which it went, too.
    pub(super) fn skip(&mut self, now: Nanos) -> Option<(Nanos, Link)> {
        let (epoch, next) = (self.epoch?, self.next?);
        let since = Duration::from_nanos(now.checked_sub(epoch)?);
        let beginnings = Direction::BOTH.iter().flat_map(|&of| self.link.direction(of).latest_beginnings(since));
        let to = beginnings.filter(|at| *at >= next).min().unwrap_or(since);
        Some((epoch + to.as_nanos(), self.step_to(to)?))
    }

    /// All up to `now` have come; `None` where that is none.
    pub(super) fn catch_up(&mut self, now: Nanos) -> Option<Link> {
        self.next().filter(|at| *at <= now)?;
        self.step_to(Duration::from_nanos(now - self.epoch?))
    }

    fn step_to(&mut self, since: Duration) -> Option<Link> {
        self.next = after(&self.link, Some(since));
        Some(self.link.at(since))
    }
}

/// The next change after `since`. The other direction's delay counts too: a buffer may be a share of the round
/// trip's.
fn after(link: &Link, since: Option<Duration>) -> Option<Duration> {
    Direction::BOTH.iter().filter_map(|&direction| link.direction(direction).next_change(since)).min()
}
