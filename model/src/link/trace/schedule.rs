//! Schedule of a rate trace: when how many bytes may pass.

use std::sync::Arc;

use crate::units::{BitRate, Duration};

/// Bytes that an opportunity of a rate trace carries, the four of a TUN device's header among them:
/// mahimahi's unit, which a full packet of 1500 bytes just fills.
pub const OPPORTUNITY: u32 = 1504;

/// When how much may pass, over one period; then again from the start.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// mahimahi's: milliseconds from the start, never falling, each an opportunity to send
    /// [`OPPORTUNITY`] bytes. The last is the period.
    Opportunities(Arc<[u32]>),
    /// Rates that hold, each until the next.
    Steps(Arc<Steps>),
}

/// Rates that hold one after the other.
#[derive(Debug, PartialEq)]
pub struct Steps {
    /// At least one of them has a rate above 0; the first is at 0.
    steps: Vec<Step>,
    period: u64,
    /// Over a period, in [`MICRO`] bits × 10⁹.
    work: u128,
}

/// A rate, and from when on it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Nanoseconds since the start of the period.
    pub from: u64,
    /// Millionths of a bit a second; 0: nothing passes.
    pub rate: u64,
}

/// Millionths of a bit a second in a bit a second: fine enough that a rate with a dozen decimals is kept to less
/// than the nanosecond in which the link counts.
pub const MICRO: u64 = 1_000_000;

impl Steps {
    /// These steps and the period after which they begin again. `None` unless the first is at 0, each begins after
    /// the one before and before the period's end, and some rate is above 0.
    pub fn new(steps: Vec<Step>, period: u64) -> Option<Steps> {
        let rising = steps.windows(2).all(|pair| pair[0].from < pair[1].from);
        let sound = rising && steps.first()?.from == 0 && steps.last()?.from < period;
        let mut all = Steps { steps, period, work: 0 };
        all.work = (0..all.steps.len())
            .map(|index| u128::from(all.steps[index].rate) * u128::from(all.end(index) - all.steps[index].from))
            .sum();
        (sound && all.work > 0).then_some(all)
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Nanoseconds after which they begin again.
    pub const fn period(&self) -> u64 {
        self.period
    }

    /// What passes in a period, in millionths of a bit × 10⁹.
    pub const fn work(&self) -> u128 {
        self.work
    }

    /// When a step ends, counted as it is from the start of the period.
    pub fn end(&self, index: usize) -> u64 {
        self.steps.get(index + 1).map_or(self.period, |next| next.from)
    }

    /// The step that holds at this time since the start of a period, which is less than a period.
    pub fn at(&self, within: u64) -> usize {
        self.steps.partition_point(|step| step.from <= within).saturating_sub(1)
    }
}

impl Schedule {
    /// After which time it begins again.
    pub fn period(&self) -> Duration {
        match self {
            Schedule::Opportunities(all) => Duration::from_millis(all.last().copied().unwrap_or(0).into()),
            Schedule::Steps(steps) => Duration::from_nanos(steps.period),
        }
    }

    /// The mean rate over a period, at least 1 bit/s.
    pub fn mean(&self) -> BitRate {
        let nanos = u128::from(self.period().as_nanos().max(1));
        let bits = match self {
            Schedule::Opportunities(all) => {
                u128::from(all.len() as u64 * u64::from(OPPORTUNITY) * 8) * 1_000_000_000 / nanos
            }
            Schedule::Steps(steps) => steps.work / nanos / u128::from(MICRO),
        };
        BitRate::new(u64::try_from(bits).unwrap_or(u64::MAX).max(1))
    }
}
