//! Estimates with an interval that holds its level: of a median, and of one sample's ratio to another.

use serde::Serialize;

use crate::stats;

/// A figure, and the interval in which it lies with some confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Effect {
    /// The figure: a median.
    pub value: f64,
    /// Lower end of its interval; `None` where so few values have none.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

impl Effect {
    /// The median of independent values, or of what pairs came to; `None` of none.
    pub fn of_median(values: &[f64], confidence: f64) -> Option<Effect> {
        let value = stats::median(values)?;
        Some(Effect::new(value, stats::median_interval(values, confidence)))
    }

    /// How many times a value of `a` one of `b` is, the two being independent samples; `None` where one is empty, or a
    /// value is not above 0.
    pub fn of_ratio(a: &[f64], b: &[f64], confidence: f64) -> Option<Effect> {
        if a.iter().chain(b).any(|&value| value.is_nan() || value <= 0.0) {
            return None;
        }
        let (value, interval) = stats::shift(a, b, |a, b| b / a, confidence)?;
        Some(Effect::new(value, interval))
    }

    fn new(value: f64, interval: Option<stats::Interval>) -> Effect {
        Effect { value, low: interval.map(|i| i.low), high: interval.map(|i| i.high) }
    }

    /// The interval's ends, where there is one.
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.low.zip(self.high)
    }

    /// Whether the interval leaves a value out, so that the figure is another with its confidence.
    pub fn excludes(&self, value: f64) -> bool {
        self.interval().is_some_and(|(low, high)| value < low || high < value)
    }
}
