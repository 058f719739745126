//! Describing a sample: mean, median, empirical distribution.

use samepath_model::percentiles::nearest_rank;

/// The arithmetic mean; `None` of an empty sample.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The median, the mean of the middle two where their number is even; `None` of an empty sample.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if below.len() == middle && (below.len() * 2) == values.len() {
        let lower = values[..middle].iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(lower + (upper - lower) / 2.0)
    } else {
        Some(upper)
    }
}

/// Sample standard deviation over mean, as a fraction; `None` of fewer than two values or a mean of 0.
pub fn coefficient_of_variation(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    if values.len() < 2 || mean == 0.0 {
        return None;
    }
    let sum: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((sum / (values.len() - 1) as f64).sqrt() / mean.abs())
}

/// An empirical cumulative distribution function.
#[derive(Debug, Clone, PartialEq)]
pub struct Ecdf {
    sorted: Vec<f64>,
}

impl Ecdf {
    /// Of these values; those that are not numbers are left out.
    pub fn new(values: impl IntoIterator<Item = f64>) -> Ecdf {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        Ecdf { sorted }
    }

    /// Size of the sample.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether the sample is empty.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The values in ascending order.
    pub fn sorted(&self) -> &[f64] {
        &self.sorted
    }

    /// The share of the sample at or below `x`; 0 of an empty sample.
    pub fn at(&self, x: f64) -> f64 {
        if self.sorted.is_empty() {
            return 0.0;
        }
        self.sorted.partition_point(|&value| value <= x) as f64 / self.sorted.len() as f64
    }

    /// The `q` quantile by nearest rank.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        nearest_rank(&self.sorted, q)
    }

    /// The steps: each distinct value, and the share at or below it.
    pub fn steps(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let n = self.sorted.len() as f64;
        self.sorted.iter().enumerate().filter_map(move |(i, &value)| {
            let last = self.sorted.get(i + 1).is_none_or(|&next| next > value);
            last.then_some((value, (i + 1) as f64 / n))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nearest_rank_as_the_textbook_has_it() {
        // The worked example of the method: 15, 20, 35, 40, 50 at 5, 30, 40, 50 and 100 percent.
        let sample = [15, 20, 35, 40, 50];
        let seen: Vec<_> = [0.05, 0.3, 0.4, 0.5, 1.0].iter().map(|&q| nearest_rank(&sample, q).unwrap()).collect();
        assert_eq!(seen, [15, 20, 20, 35, 50]);
        assert_eq!(nearest_rank(&(1..=20).collect::<Vec<_>>(), 0.95), Some(19));
        assert_eq!(nearest_rank::<i64>(&[], 0.5), None);
    }

    #[test]
    fn the_median_of_an_even_sample_is_between() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[]), None);
        // numpy: std(ddof=1)/mean of 2, 4, 4, 4, 5, 5, 7, 9 = 2.138089935299395 / 5
        let cv = coefficient_of_variation(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert!((cv - 2.138_089_935_299_395 / 5.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn nearest_rank_is_a_member_of_the_sample(mut sample in prop::collection::vec(-1_000i64..1_000, 1..200), q in 0.0f64..=1.0) {
            sample.sort_unstable();
            let value = nearest_rank(&sample, q).unwrap();
            let at_or_below = sample.iter().filter(|&&v| v <= value).count() as f64;
            let below = sample.iter().filter(|&&v| v < value).count() as f64;
            prop_assert!(at_or_below + 1e-6 >= q * sample.len() as f64);
            prop_assert!(below <= q * sample.len() as f64 + 1e-6);
        }

        #[test]
        fn the_ecdf_rises_from_nothing_to_one(sample in prop::collection::vec(-1e6f64..1e6, 1..200)) {
            let ecdf = Ecdf::new(sample.iter().copied());
            let steps: Vec<_> = ecdf.steps().collect();
            prop_assert!(steps.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1));
            prop_assert_eq!(steps.last().unwrap().1, 1.0);
            prop_assert_eq!(ecdf.at(f64::NEG_INFINITY), 0.0);
            for (value, share) in steps {
                prop_assert_eq!(ecdf.at(value), share);
                prop_assert_eq!(ecdf.quantile(share), Some(value));
            }
        }

        #[test]
        fn the_median_halves_the_sample(sample in prop::collection::vec(-1e6f64..1e6, 1..100)) {
            let m = median(&sample).unwrap();
            let below = sample.iter().filter(|&&v| v < m).count();
            let above = sample.iter().filter(|&&v| v > m).count();
            prop_assert!(below * 2 <= sample.len() && above * 2 <= sample.len());
        }
    }
}
