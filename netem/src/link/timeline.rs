//! Conditions that change at set times.

use samepath_model::link::{Direction, Link};
use samepath_model::units::Duration;

use super::Nanos;

/// What becomes of a link's conditions, and when. Times count from the schedule's start; before it
/// nothing changes.
#[derive(Debug)]
pub(super) struct Timeline {
    link: Link,
    times: Vec<Duration>,
    epoch: Option<Nanos>,
    /// How many of the times have passed.
    passed: usize,
}

impl Timeline {
    /// `None` where nothing changes.
    pub(super) fn new(link: &Link) -> Option<Box<Timeline>> {
        // The other direction's delay counts too: a buffer may be a share of the round trip's.
        let mut times: Vec<Duration> = Direction::BOTH.iter().flat_map(|&d| link.direction(d).change_times()).collect();
        if times.is_empty() {
            return None;
        }
        times.sort_unstable();
        times.dedup();
        Some(Box::new(Timeline { link: link.clone(), times, epoch: None, passed: 0 }))
    }

    /// A schedule starts at `epoch`. Gives back the conditions from which it starts.
    pub(super) fn restart(&mut self, epoch: Nanos) -> &Link {
        (self.epoch, self.passed) = (Some(epoch), 0);
        &self.link
    }

    /// When the conditions change next.
    pub(super) fn next(&self) -> Option<Nanos> {
        Some(self.epoch? + self.times.get(self.passed)?.as_nanos())
    }

    /// That time has come: the conditions from then on.
    pub(super) fn step(&mut self) -> Link {
        let since = self.times[self.passed];
        self.passed += 1;
        self.link.at(since)
    }

    /// That time and all up to `now` have come.
    pub(super) fn catch_up(&mut self, now: Nanos) -> Option<Link> {
        let mut link = None;
        while self.next().is_some_and(|at| at <= now) {
            link = Some(self.step());
        }
        link
    }
}
