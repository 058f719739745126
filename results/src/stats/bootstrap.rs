//! Confidence intervals by resampling: the bias-corrected and accelerated bootstrap (BCa).
//!
//! Source: Efron, "Better Bootstrap Confidence Intervals", JASA 82 (1987); Efron & Tibshirani,
//! "An Introduction to the Bootstrap" (1993), chapter 14.

use statrs::distribution::{ContinuousCDF, Normal};

use super::describe::{mean, nearest_rank};

/// Resamples of an interval.
pub const RESAMPLES: usize = 10_000;

/// The seed where the caller has no reason for another: the same records give the same intervals.
pub const BOOTSTRAP_SEED: u64 = 0x5a3e_9a7b;

/// The smallest sample of which tables and charts show an interval. With fewer values a bootstrap
/// has so few distinct resamples that its interval is too narrow to be called 95 %.
pub const MIN_BOOTSTRAP: usize = 5;

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

    /// The interval of a monotonically rising function of the value.
    pub fn map(self, f: impl Fn(f64) -> f64) -> Interval {
        Interval { low: f(self.low), high: f(self.high), level: self.level }
    }
}

/// BCa interval of a statistic of one sample, from [`RESAMPLES`] resamples.
///
/// `None` with fewer than two values, or where the statistic has no value. Where every resample has
/// the same value, the interval is that point.
pub fn bca(sample: &[f64], statistic: impl Fn(&[f64]) -> Option<f64>, level: f64, seed: u64) -> Option<Interval> {
    bca_of_groups(&[sample], |groups| statistic(&groups[0]), level, seed)
}

/// BCa interval of a statistic of several independent samples, each resampled within itself.
///
/// `None` where a sample has fewer than two values, or where the statistic has no value.
pub fn bca_of_groups(
    groups: &[&[f64]],
    statistic: impl Fn(&[Vec<f64>]) -> Option<f64>,
    level: f64,
    seed: u64,
) -> Option<Interval> {
    if groups.iter().any(|group| group.len() < 2) {
        return None;
    }
    let owned: Vec<Vec<f64>> = groups.iter().map(|group| group.to_vec()).collect();
    let observed = statistic(&owned)?;
    let mut resampled = resample(groups, &statistic, seed)?;
    resampled.sort_unstable_by(f64::total_cmp);
    if resampled.first() == resampled.last() {
        return Some(Interval { low: observed, high: observed, level });
    }

    // Bias: where the observed value lies among the resampled ones; ties count half.
    let below = resampled.partition_point(|&value| value < observed);
    let ties = resampled.partition_point(|&value| value <= observed) - below;
    let n = resampled.len() as f64;
    let share = ((below as f64 + ties as f64 / 2.0) / n).clamp(0.5 / n, 1.0 - 0.5 / n);
    let normal = Normal::standard();
    let bias = normal.inverse_cdf(share);

    let acceleration = acceleration(&owned, &statistic)?;
    let bound = |tail: f64| {
        let z = bias + normal.inverse_cdf(tail);
        let adjusted = bias + z / (1.0 - acceleration * z);
        nearest_rank(&resampled, normal.cdf(adjusted))
    };
    let (a, b) = (bound((1.0 - level) / 2.0)?, bound((1.0 + level) / 2.0)?);
    Some(Interval { low: a.min(b), high: a.max(b), level })
}

/// The mean log-ratio `ln(b / a)` of pairs, and its interval, both as ratios: the geometric mean of
/// `b / a`. Pairs with a value that is not above 0 have no ratio and make it `None`.
pub fn paired_log_ratio(pairs: &[(f64, f64)], level: f64, seed: u64) -> Option<(f64, Option<Interval>)> {
    let logs = pairs.iter().map(|&(a, b)| (a > 0.0 && b > 0.0).then(|| (b / a).ln())).collect::<Option<Vec<f64>>>()?;
    let interval = bca(&logs, mean, level, seed).map(|interval| interval.map(f64::exp));
    Some((mean(&logs)?.exp(), interval))
}

fn resample(groups: &[&[f64]], statistic: impl Fn(&[Vec<f64>]) -> Option<f64>, seed: u64) -> Option<Vec<f64>> {
    let mut draws = SplitMix64(seed);
    let mut drawn: Vec<Vec<f64>> = groups.iter().map(|group| group.to_vec()).collect();
    (0..RESAMPLES)
        .map(|_| {
            for (drawn, group) in drawn.iter_mut().zip(groups) {
                for value in drawn.iter_mut() {
                    *value = group[draws.below(group.len())];
                }
            }
            statistic(&drawn)
        })
        .collect()
}

/// The acceleration, from the skewness of the jackknife values (Efron & Tibshirani, 14.15); over
/// several samples, of all their values together, each group about its own mean.
fn acceleration(groups: &[Vec<f64>], statistic: impl Fn(&[Vec<f64>]) -> Option<f64>) -> Option<f64> {
    let (mut squares, mut cubes) = (0.0, 0.0);
    for which in 0..groups.len() {
        let n = groups[which].len();
        let mut without = groups.to_vec();
        let mut values = Vec::with_capacity(n);
        for left_out in 0..n {
            without[which] = groups[which].clone();
            without[which].remove(left_out);
            values.push(statistic(&without)?);
        }
        let centre = mean(&values)?;
        for value in values {
            // Influence of the value left out: (n − 1)(centre − value) / n.
            let influence = (n - 1) as f64 * (centre - value) / n as f64;
            squares += influence.powi(2);
            cubes += influence.powi(3);
        }
    }
    Some(if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 })
}

/// A small generator of good quality (Steele, Lea & Flood, "Fast Splittable Pseudorandom Number
/// Generators", OOPSLA 2014): its sequence is part of the results, so it is ours and never changes.
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, by multiplication (Lemire 2019); its bias of n/2⁶⁴ is beyond notice.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::describe::median;
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // First outputs of splitmix64 from seed 1234567 (Vigna's reference implementation).
        let mut draws = SplitMix64(1_234_567);
        let seen: Vec<u64> = (0..3).map(|_| draws.next()).collect();
        assert_eq!(seen, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn intervals_agree_with_scipy() {
        // scipy 1.17: stats.bootstrap(…, n_resamples=200000, method="BCa"). The tolerances allow for the
        // resampling of 10,000; the first sample is the treated mice of Efron & Tibshirani, table 2.1.
        let mice = [94.0, 197.0, 16.0, 38.0, 99.0, 141.0, 23.0];
        let skewed = [2.1, 3.4, 1.9, 8.8, 2.2, 2.7, 3.1, 15.2, 2.6, 4.0, 3.3, 2.9];
        let spatial = [
            48.0, 36.0, 20.0, 29.0, 42.0, 42.0, 20.0, 42.0, 22.0, 41.0, 45.0, 14.0, 6.0, 0.0, 33.0, 28.0, 34.0, 4.0,
            32.0, 24.0, 47.0, 41.0, 24.0, 26.0, 30.0, 41.0,
        ];
        let variance = |sample: &[f64]| {
            let centre = mean(sample)?;
            mean(&sample.iter().map(|v| (v - centre).powi(2)).collect::<Vec<_>>())
        };
        let check = |interval: Interval, low: f64, high: f64, tolerance: f64| {
            let near = (interval.low - low).abs() <= tolerance && (interval.high - high).abs() <= tolerance;
            assert!(near, "{interval:?} against {low}..{high}");
        };
        check(bca(&mice, mean, 0.95, 1).unwrap(), 46.43, 138.86, 1.5);
        check(bca(&skewed, mean, 0.95, 1).unwrap(), 2.9, 7.933, 0.25);
        check(bca(&skewed, median, 0.95, 1).unwrap(), 2.4, 3.7, 0.1);
        // The same book prints (115.8, 259.6) for this interval (table 14.2).
        check(bca(&spatial, variance, 0.9, 1).unwrap(), 115.41, 260.88, 3.0);
    }

    #[test]
    fn pairs_without_a_ratio_have_none() {
        assert_eq!(paired_log_ratio(&[(1.0, 2.0), (0.0, 1.0)], 0.95, 1), None);
        let (ratio, interval) = paired_log_ratio(&[(1.0, 2.0), (2.0, 4.0), (5.0, 10.0)], 0.95, 1).unwrap();
        assert!((ratio - 2.0).abs() < 1e-12);
        assert!(interval.unwrap().contains(ratio));
        assert_eq!(paired_log_ratio(&[(1.0, 2.0)], 0.95, 1).unwrap().1, None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn intervals_are_deterministic_and_within_the_sample(sample in prop::collection::vec(0.1f64..1e3, 2..30), seed: u64) {
            let interval = bca(&sample, median, 0.95, seed).unwrap();
            prop_assert_eq!(Some(interval), bca(&sample, median, 0.95, seed));
            let min = sample.iter().copied().fold(f64::INFINITY, f64::min);
            let max = sample.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(min <= interval.low && interval.low <= interval.high && interval.high <= max);
        }

        #[test]
        fn a_wider_level_gives_a_wider_interval(sample in prop::collection::vec(0.1f64..1e3, 3..30)) {
            let (wide, narrow) = (bca(&sample, mean, 0.99, 7).unwrap(), bca(&sample, mean, 0.8, 7).unwrap());
            prop_assert!(wide.low <= narrow.low && narrow.high <= wide.high);
        }

        #[test]
        fn a_ratio_scales_with_its_pairs(pairs in prop::collection::vec((0.1f64..1e3, 0.1f64..1e3), 3..20)) {
            let scaled: Vec<_> = pairs.iter().map(|&(a, b)| (a, 3.0 * b)).collect();
            let (one, three) = (paired_log_ratio(&pairs, 0.95, 1).unwrap(), paired_log_ratio(&scaled, 0.95, 1).unwrap());
            prop_assert!((three.0 / one.0 - 3.0).abs() < 1e-9);
        }
    }
}
