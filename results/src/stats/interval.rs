//! What a confidence interval is, and from how many trials on there is one.

/// The fewest values of which tables and charts show a 95 % interval of the median: of five not even the smallest to the
/// largest is one (see [`super::values_for_interval`]).
pub const FEWEST_FOR_INTERVAL: usize = 6;

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// Its confidence, as 0.95.
    pub level: f64,
}

impl Interval {
    /// Whether `value` lies within, the bounds included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}
