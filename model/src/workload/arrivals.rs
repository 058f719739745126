//! How what an open loop releases follows each other.

use serde::{Deserialize, Serialize};

use super::draw;
use crate::units::Duration;

/// How the operations of an open loop follow each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// At equal distances.
    #[default]
    Even,
    /// As a Poisson process: at distances that are drawn from an exponential distribution, by the seed.
    Poisson,
}

impl Arrivals {
    /// When the one of this number is released, of so many a second: `before` is when the one before it was, `bits` are
    /// random.
    pub(super) fn release(self, number: u32, before: Duration, per_second: f64, bits: u64) -> Duration {
        match self {
            // From the start, so that rounding does not add up.
            Arrivals::Even => Duration::from_nanos((f64::from(number) / per_second * 1e9) as u64),
            Arrivals::Poisson => before + gap(per_second, bits),
        }
    }
}

/// The time between two events of a Poisson process of this rate.
pub(super) fn gap(per_second: f64, bits: u64) -> Duration {
    Duration::from_nanos((-libm::log(draw::unit(bits)) / per_second * 1e9) as u64)
}
