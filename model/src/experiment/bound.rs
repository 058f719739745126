//! Bounds of what is expected.

use std::fmt;

/// Where a figure is expected to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound<T> {
    /// No more than this.
    AtMost(T),
    /// No less than this.
    AtLeast(T),
    /// From the first to the second, both included.
    Between(T, T),
    /// No further from `value` than `tolerance`.
    About {
        /// The figure itself.
        value: T,
        /// How far from it is near enough.
        tolerance: T,
    },
}

impl<T> Bound<T> {
    /// The same bound of what `read` makes of its figures.
    ///
    /// # Errors
    /// The first that `read` gives.
    pub fn try_map<U, E>(&self, mut read: impl FnMut(&T) -> Result<U, E>) -> Result<Bound<U>, E> {
        Ok(match self {
            Bound::AtMost(most) => Bound::AtMost(read(most)?),
            Bound::AtLeast(least) => Bound::AtLeast(read(least)?),
            Bound::Between(least, most) => Bound::Between(read(least)?, read(most)?),
            Bound::About { value, tolerance } => Bound::About { value: read(value)?, tolerance: read(tolerance)? },
        })
    }
}

impl Bound<f64> {
    /// The least and the most that are within the bound; infinite where it has none.
    pub fn range(self) -> (f64, f64) {
        match self {
            Bound::AtMost(most) => (f64::NEG_INFINITY, most),
            Bound::AtLeast(least) => (least, f64::INFINITY),
            Bound::Between(least, most) => (least, most),
            Bound::About { value, tolerance } => (value - tolerance, value + tolerance),
        }
    }

    /// By how much a figure is outside the bound; 0 or less where it is within.
    pub fn outside(self, value: f64) -> f64 {
        match self {
            Bound::About { value: wanted, tolerance } => (value - wanted).abs() - tolerance,
            _ => {
                let (least, most) = self.range();
                (value - most).max(least - value)
            }
        }
    }

    /// Whether a figure is within the bound; what is no number never is.
    pub fn holds(self, value: f64) -> bool {
        self.outside(value) <= 0.0
    }
}

impl<T: fmt::Display> fmt::Display for Bound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::AtMost(most) => write!(f, "at most {most}"),
            Bound::AtLeast(least) => write!(f, "at least {least}"),
            Bound::Between(least, most) => write!(f, "{least} to {most}"),
            Bound::About { value, tolerance } => write!(f, "{value} ± {tolerance}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_includes_itself_and_no_nan() {
        for (bound, within, outside) in [
            (Bound::AtMost(5.0), 5.0, 5.1),
            (Bound::AtLeast(5.0), 5.0, 4.9),
            (Bound::Between(1.0, 2.0), 2.0, 2.1),
            (Bound::About { value: 10.0, tolerance: 0.25 }, 10.25, 10.26),
            (Bound::About { value: 1.0, tolerance: 0.0 }, 1.0, 1.0 + 1e-9),
            (Bound::About { value: 1.0, tolerance: 1.0 }, 0.0, f64::INFINITY),
        ] {
            assert!(bound.holds(within) && !bound.holds(outside) && !bound.holds(f64::NAN), "{bound}");
        }
    }

    #[test]
    fn a_bound_is_said_with_its_figures() {
        let read = |bound: Bound<&str>| bound.try_map(|text| text.parse::<f64>()).map(|bound| bound.to_string());
        assert_eq!(read(Bound::About { value: "50", tolerance: "5" }).unwrap(), "50 ± 5");
        assert!(read(Bound::Between("1", "two")).is_err());
    }
}
