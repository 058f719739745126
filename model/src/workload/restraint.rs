//! What keeps a client from trying again: a budget for its retries, and a circuit breaker.

use crate::units::Duration;

/// A budget: retries are at most a share of what was begun, rounded up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    share: Option<f64>,
    begun: u32,
    retries: u32,
}

impl Budget {
    /// A budget of this share; without one there is no limit.
    pub(super) const fn new(share: Option<f64>) -> Budget {
        Budget { share, begun: 0, retries: 0 }
    }

    /// One more was begun.
    pub(super) const fn begin(&mut self) {
        self.begun += 1;
    }

    /// Takes one retry from the budget; whether there was one left.
    pub(super) fn retry(&mut self) -> bool {
        let most = self.share.map_or(f64::INFINITY, |share| (share * f64::from(self.begun)).ceil());
        let is_left = f64::from(self.retries) < most;
        self.retries += u32::from(is_left);
        is_left
    }
}

/// A circuit breaker: after so many failures in a row nothing is tried for some time; then one attempt is made, and
/// decides whether it closes again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Breaker {
    /// Failures in a row that open it; `None` where it never opens.
    limit: Option<u32>,
    opens_for: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many have failed in a row.
    Closed(u32),
    /// Until this time.
    Open(Duration),
    /// The attempt at this is under way.
    Trying(u32),
}

impl Breaker {
    pub(super) const fn new(limit: Option<u32>, opens_for: Duration) -> Breaker {
        Breaker { limit, opens_for, state: State::Closed(0) }
    }

    /// Whether an attempt at this may be made now. Where it was open for long enough, this is the one that decides.
    pub(super) fn lets_through(&mut self, what: u32, now: Duration) -> bool {
        match self.state {
            State::Closed(_) => true,
            State::Open(until) if now >= until => {
                self.state = State::Trying(what);
                true
            }
            State::Open(_) | State::Trying(_) => false,
        }
    }

    /// An attempt was answered.
    pub(super) const fn succeeded(&mut self) {
        self.state = State::Closed(0);
    }

    /// An attempt at this was not.
    pub(super) fn failed(&mut self, what: u32, now: Duration) {
        let Some(limit) = self.limit else { return };
        let opens = match self.state {
            State::Closed(before) if before + 1 < limit => {
                self.state = State::Closed(before + 1);
                false
            }
            State::Closed(_) => true,
            State::Trying(this) => this == what,
            State::Open(_) => false,
        };
        if opens {
            self.state = State::Open(now + self.opens_for);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn retries_are_a_share_of_what_was_begun() {
        let mut budget = Budget::new(Some(0.1));
        let retries: Vec<bool> = (0..30)
            .map(|_| {
                budget.begin();
                budget.retry()
            })
            .collect();
        let granted: Vec<usize> = (0..30).filter(|n| retries[*n]).collect();
        assert_eq!(granted, [0, 10, 20], "the 1st, the 11th and the 21st");
        let mut unlimited = Budget::new(None);
        assert!((0..1000).all(|_| unlimited.retry()));
        let mut none = Budget::new(Some(0.0));
        none.begin();
        assert!(!none.retry());
    }

    #[test]
    fn a_breaker_opens_and_one_attempt_closes_it() {
        let mut breaker = Breaker::new(Some(3), S(5));
        for (n, opens) in [(0, false), (1, false), (2, true)] {
            assert!(breaker.lets_through(n, S(0)));
            breaker.failed(n, S(1));
            assert_eq!(breaker.state == State::Open(S(6)), opens);
        }
        assert!(!breaker.lets_through(3, S(5)));
        assert!(breaker.lets_through(4, S(6)), "it tries one");
        assert!(!breaker.lets_through(5, S(7)), "and no other meanwhile");
        // What was under way before says nothing of now.
        breaker.failed(2, S(7));
        assert_eq!(breaker.state, State::Trying(4));
        breaker.failed(4, S(8));
        assert!(!breaker.lets_through(6, S(12)) && breaker.lets_through(6, S(13)));
        breaker.succeeded();
        assert!(breaker.lets_through(7, S(13)) && breaker.lets_through(8, S(13)));
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let mut breaker = Breaker::new(Some(2), S(5));
        for n in 0..10 {
            breaker.failed(n, S(1));
            breaker.succeeded();
            assert!(breaker.lets_through(n, S(1)));
        }
    }
}
