//! Retries of an application: when it tries again what was not answered, and how often.
//!
//! A try is waited for; then some time is let pass, and the next is made. Either time may grow from try to try, and may
//! be drawn, so that clients which failed together do not come back together.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::draw;
use super::spec::MAX_DURATION;
use crate::units::Duration;

/// Most tries of a query.
const MOST_TRIES: u32 = 100;

/// A rule by which an application tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all, the first included.
    pub tries: u32,
    /// How long a try is waited for.
    pub timeout: Wait,
    /// What is let pass after a try has failed, before the next.
    pub pause: Wait,
}

/// A time after each try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// After the first.
    pub base: Duration,
    /// How it grows.
    pub backoff: Backoff,
    /// What it does not grow beyond.
    pub cap: Duration,
    /// What of it is drawn.
    pub jitter: Jitter,
}

/// How a time grows from try to try.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backoff {
    /// Not at all.
    Fixed,
    /// It doubles.
    #[default]
    Exponential,
}

/// What of a time is drawn, evenly, by the seed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Jitter {
    /// Nothing.
    #[default]
    None,
    /// Its second half.
    Equal,
    /// All of it.
    Full,
}

impl Wait {
    /// No time at all.
    pub const NONE: Wait = Wait::fixed(Duration::ZERO);

    /// Always the same time.
    pub const fn fixed(base: Duration) -> Wait {
        Wait { base, backoff: Backoff::Fixed, cap: base, jitter: Jitter::None }
    }

    /// A time that doubles up to `cap`.
    pub const fn doubling(base: Duration, cap: Duration) -> Wait {
        Wait { base, backoff: Backoff::Exponential, cap, jitter: Jitter::None }
    }

    /// The longest that it can be after the try of this number, from 1.
    pub fn longest(&self, attempt: u32) -> Duration {
        let doublings = if self.backoff == Backoff::Exponential { attempt.saturating_sub(1).min(63) } else { 0 };
        (self.base * (1 << doublings)).min(self.cap)
    }

    /// What it is after the try of this number; `bits` are random.
    pub fn after(&self, attempt: u32, bits: u64) -> Duration {
        let longest = self.longest(attempt);
        let drawn = |whole: Duration| Duration::from_nanos((whole.as_nanos() as f64 * draw::unit(bits)) as u64);
        match self.jitter {
            Jitter::None => longest,
            Jitter::Equal => longest / 2 + drawn(longest / 2),
            Jitter::Full => drawn(longest),
        }
    }
}

impl Retry {
    /// One try, which is waited for so long.
    pub const fn never(timeout: Duration) -> Retry {
        Retry { tries: 1, timeout: Wait::fixed(timeout), pause: Wait::NONE }
    }

    /// From the try of this number, from 1, until the next one is made, or, of the last, until all is given up; `bits`
    /// are random.
    pub fn until_next(&self, attempt: u32, bits: u64) -> Duration {
        let timeout = self.timeout.after(attempt, bits);
        if attempt < self.tries { timeout + self.pause.after(attempt, bits.rotate_left(32)) } else { timeout }
    }

    /// The longest from the first try until all is given up.
    pub fn longest(&self) -> Duration {
        let timeouts: Duration = (1..=self.tries).map(|attempt| self.timeout.longest(attempt)).sum();
        timeouts + (1..self.tries).map(|attempt| self.pause.longest(attempt)).sum()
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timeout = self.timeout.base;
        match self.tries {
            0 | 1 => write!(f, "one try, given up after {timeout}"),
            n => {
                let grows = if self.timeout.backoff == Backoff::Exponential { ", doubling" } else { "" };
                write!(f, "again after {timeout}{grows}, {n} tries")
            }
        }
    }
}

/// Rules of programs that resolve names, with one server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolver {
    /// One try.
    None,
    /// The GNU C library: resolv.conf(5), `timeout` and `attempts`.
    #[default]
    Glibc,
    /// systemd-resolved: so many tries within 120 s.
    SystemdResolved,
    /// Chromium's own: a second try when the first is not answered, both waited for.
    Chromium,
    /// unbound, of a server that it does not know yet.
    Unbound,
}

impl Resolver {
    /// The rule.
    pub const fn rule(self) -> Retry {
        const SECOND: Duration = Duration::from_secs(1);
        let (tries, timeout) = match self {
            Resolver::None => (1, Wait::fixed(Duration::from_secs(5))),
            Resolver::Glibc => (2, Wait::fixed(Duration::from_secs(5))),
            Resolver::SystemdResolved => (24, Wait::fixed(Duration::from_secs(5))),
            Resolver::Chromium => (2, Wait::doubling(SECOND, Duration::from_secs(5))),
            Resolver::Unbound => (6, Wait::doubling(Duration::from_millis(376), Duration::from_secs(120))),
        };
        Retry { tries, timeout, pause: Wait::NONE }
    }

    /// The rule with another wait for the first try, and another number of tries, where they are given.
    pub fn rule_with(self, timeout: Option<Duration>, tries: Option<u32>) -> Retry {
        let rule = self.rule();
        let base = timeout.unwrap_or(rule.timeout.base);
        let timeout = Wait { base, cap: rule.timeout.cap.max(base), ..rule.timeout };
        Retry { tries: tries.unwrap_or(rule.tries), timeout, ..rule }
    }

    /// Says what is wrong with a rule so made, whose parameters' names begin with `prefix`, and what to write instead.
    pub(super) fn check(self, timeout: Option<Duration>, tries: Option<u32>, prefix: &str) -> Result<(), String> {
        match tries {
            Some(tries) if !(1..=MOST_TRIES).contains(&tries) => {
                return Err(format!("`{prefix}tries` is {tries}; it must lie between 1 and {MOST_TRIES}"));
            }
            Some(tries) if tries > 1 && self == Resolver::None => {
                return Err(format!(
                    "`{prefix}tries` says how often to try, and `{prefix}retry` is `none`; leave one of them out"
                ));
            }
            _ => {}
        }
        if timeout.is_some_and(|timeout| timeout == Duration::ZERO || timeout > Duration::from_secs(3600)) {
            return Err(format!("`{prefix}timeout` must be more than 0s and at most 1h"));
        }
        if self.rule_with(timeout, tries).longest() > MAX_DURATION {
            return Err(format!(
                "a query would be tried for more than 24h; give a shorter `{prefix}timeout` or fewer `{prefix}tries`"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::MessageId;
    use super::*;
    use crate::link::Direction;
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// When tries are made, from the first, and when all is given up.
    fn times(rule: &Retry) -> Vec<u64> {
        let mut at = Duration::ZERO;
        let mut next = |attempt| {
            at += rule.until_next(attempt, 0);
            at.as_nanos() / 1_000_000
        };
        (1..=rule.tries).map(&mut next).collect()
    }

    #[test]
    fn resolvers_try_again_when_they_are_said_to() {
        assert_eq!(times(&Resolver::None.rule()), [5_000]);
        assert_eq!(times(&Resolver::Glibc.rule()), [5_000, 10_000]);
        assert_eq!(times(&Resolver::Chromium.rule()), [1_000, 3_000]);
        assert_eq!(times(&Resolver::Unbound.rule()), [376, 1_128, 2_632, 5_640, 11_656, 23_688]);
        assert_eq!(Resolver::SystemdResolved.rule().longest(), MS(120_000));
        assert_eq!(Resolver::Unbound.rule().longest(), MS(23_688));
    }

    #[test]
    fn a_pause_doubles_up_to_its_cap() {
        let pause = Wait::doubling(MS(50), MS(300));
        assert_eq!([1, 2, 3, 4, 200].map(|n| pause.after(n, 7)), [50, 100, 200, 300, 300].map(MS));
        let rule = Retry { tries: 3, timeout: Wait::fixed(MS(10)), pause };
        assert_eq!(times(&rule), [60, 170, 180]);
        assert_eq!(rule.longest(), MS(180));
    }

    proptest! {
        #[test]
        fn what_is_drawn_stays_within_its_bounds(bits: u64, attempt in 1u32..40, base in 1u64..10_000) {
            let wait = |jitter| Wait { jitter, ..Wait::doubling(MS(base), MS(20_000)) };
            let longest = wait(Jitter::None).after(attempt, bits);
            let (equal, full) = (wait(Jitter::Equal).after(attempt, bits), wait(Jitter::Full).after(attempt, bits));
            prop_assert!(equal >= longest / 2 && equal <= longest && full <= longest);
        }
    }

    /// Most retries that a server gets in 100 ms from 100 clients, whose first requests are made within `spread` from
    /// the start of an outage of 2 s.
    fn peak(jitter: Jitter, spread: Duration, seed: u64) -> usize {
        let (outage, bin) = (MS(2_000), MS(100));
        let pause = Wait { jitter, ..Wait::doubling(MS(500), MS(60_000)) };
        let rule = Retry { tries: 10, timeout: Wait::fixed(MS(500)), pause };
        let mut bins = std::collections::BTreeMap::<u64, usize>::new();
        for client in 0..100 {
            let bits = |seq| draw::bits(seed, MessageId { direction: Direction::Up, stream: client, seq });
            let mut at = Duration::from_nanos((spread.as_nanos() as f64 * draw::unit(bits(0))) as u64);
            for attempt in 1..rule.tries {
                if at >= outage {
                    break;
                }
                at += rule.until_next(attempt, bits(attempt));
                *bins.entry(at.as_nanos() / bin.as_nanos()).or_default() += 1;
            }
        }
        bins.into_values().max().unwrap_or(0)
    }

    /// The median over ten seeds of the peak with jitter, as a part of that without.
    fn peaks(jitter: Jitter, spread: Duration) -> f64 {
        let ratio = |seed| peak(jitter, spread, seed) as f64 / peak(Jitter::None, spread, seed) as f64;
        let mut ratios: Vec<f64> = (1..=10).map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        (ratios[4] + ratios[5]) / 2.0
    }

    #[test]
    fn jitter_parts_clients_that_failed_together() {
        let together = MS(100);
        let (full, equal) = (peaks(Jitter::Full, together), peaks(Jitter::Equal, together));
        assert!(full <= 0.35 && equal < 0.6 && full < equal, "full {full}, equal {equal}");
        // Those that came apart from each other stay so without it.
        let apart = peaks(Jitter::Full, MS(2_000));
        assert!(apart >= 0.8, "full {apart}");
    }
}
