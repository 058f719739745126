//! Confidence intervals from order statistics: exact at any number of trials, whatever their distribution.
//!
//! The interval of a median inverts the sign test: of n independent values so many lie below the median as heads fall
//! in n throws of a fair coin, so the chance that it lies outside the d-th smallest to the d-th largest is a sum of
//! binomial probabilities (David & Nagaraja, "Order Statistics", 3rd ed., 2003, section 7.1). It covers at least its
//! level. Bootstrap intervals (BCa) do so only from some twenty values on: of the mean of ten they cover 0.91 where 0.95
//! is asked, and 0.80 with an outlier in ten.
//!
//! That of the shift between two independent samples inverts the Mann–Whitney test (Hodges & Lehmann, "Estimates of
//! Location Based on Rank Tests", Ann. Math. Statist. 34, 1963): it holds its level where the samples differ by a
//! shift, or a factor, alone, and so wherever they do not differ.

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal};

use super::describe::median;
use super::interval::Interval;

/// The interval of the median of independent values, with at least this confidence; `None` with fewer than
/// [`values_for_interval`].
pub fn median_interval(values: &[f64], level: f64) -> Option<Interval> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = sign_rank(values.len(), level)?;
    Some(Interval { low: sorted[rank - 1], high: sorted[values.len() - rank], level })
}

/// The fewest values of which the median has an interval of this confidence: 6 for 95 %.
pub fn values_for_interval(level: f64) -> usize {
    (1..1024).find(|&n| sign_rank(n, level).is_some()).unwrap_or(1024)
}

/// The largest d for which the d-th smallest to the d-th largest of n values are an interval of the median with at
/// least this confidence; `None` where not even the smallest to the largest are.
pub fn sign_rank(n: usize, level: f64) -> Option<usize> {
    let heads = Binomial::new(0.5, n as u64).ok()?;
    let fits = |rank: usize| heads.cdf(rank as u64 - 1) <= tail(level);
    // From the middle of the binomial down, where the rank lies by the normal approximation.
    let start = n.div_ceil(2).max(1);
    let far = (n as f64 / 2.0 - 5.0 * (n as f64).sqrt()).max(0.0) as usize;
    (far.max(1)..=start).rev().find(|&rank| fits(rank))
}

/// By how much, as `of(a, b)` has it, a value of `b` lies beyond one of `a`: the median over all pairs of one each, and
/// its interval. `of` must fall in `a` and rise in `b`, as their difference and the ratio of what is above 0 do. `None`
/// where a sample is empty; no interval where they are too small for one.
pub fn shift(a: &[f64], b: &[f64], of: impl Fn(f64, f64) -> f64, level: f64) -> Option<(f64, Option<Interval>)> {
    let mut shifts: Vec<f64> = a.iter().flat_map(|&a| b.iter().map(move |&b| (a, b))).map(|(a, b)| of(a, b)).collect();
    shifts.sort_unstable_by(f64::total_cmp);
    let interval = rank_sum_rank(a.len(), b.len(), level).map(|rank| Interval {
        low: shifts[rank - 1],
        high: shifts[shifts.len() - rank],
        level,
    });
    Some((median(&shifts)?, interval))
}

/// Above this many values in both samples the normal approximation is used.
const EXACT_UP_TO: usize = 60;

/// As [`sign_rank`], of the shifts between all pairs of two samples.
fn rank_sum_rank(n: usize, m: usize, level: f64) -> Option<usize> {
    if n == 0 || m == 0 {
        return None;
    }
    if n + m > EXACT_UP_TO {
        let (n, m) = (n as f64, m as f64);
        let z = Normal::standard().inverse_cdf(1.0 - tail(level));
        let rank = (n * m / 2.0 - z * (n * m * (n + m + 1.0) / 12.0).sqrt()).floor();
        return (rank >= 1.0).then_some(rank as usize);
    }
    // How many orders of n and m values give each U (Mann & Whitney 1947), one sample growing by one at a time.
    let mut ways = vec![vec![0.0f64; n * m + 1]; m + 1];
    for row in &mut ways {
        row[0] = 1.0;
    }
    for one in 1..=n {
        // The largest of all is of the one sample, and above all of the other, or of the other.
        let fewer = ways.clone();
        for other in 1..=m {
            for u in 0..=one * other {
                let above = if u >= other { fewer[other][u - other] } else { 0.0 };
                ways[other][u] = above + ways[other - 1][u];
            }
        }
    }
    let all: f64 = ways[m].iter().sum();
    let mut below = 0.0;
    let mut rank = 0;
    while below + ways[m][rank] <= tail(level) * all {
        below += ways[m][rank];
        rank += 1;
    }
    (rank > 0).then_some(rank)
}

/// The chance left to each side, a hair wider, so that 0.05 is 0.05 whatever its last bit says.
fn tail(level: f64) -> f64 {
    (1.0 - level) / 2.0 + 1e-12
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rank::{mann_whitney, wilcoxon_signed_rank};
    use super::super::splitmix::SplitMix64;
    use super::*;

    #[test]
    fn an_interval_needs_the_same_trials_everywhere() {
        assert_eq!(values_for_interval(0.95), super::super::FEWEST_FOR_INTERVAL);
    }

    #[test]
    fn ranks_are_those_of_the_binomial() {
        // Conover, "Practical Nonparametric Statistics", table of the sign test: 95 % intervals of the median.
        let ranks: Vec<_> = [5, 6, 8, 9, 11, 12, 15, 17, 20, 30, 50].map(|n| sign_rank(n, 0.95)).to_vec();
        let wanted = [None, Some(1), Some(1), Some(2), Some(2), Some(3), Some(4), Some(5), Some(6), Some(10), Some(18)];
        assert_eq!(ranks, wanted);
        let needed = [0.5, 0.9, 0.95, 0.99].map(values_for_interval);
        assert_eq!(needed, [2, 5, 6, 8]);
        // 0.5 ± 1.96/(2√n), as the normal approximation has it.
        assert!(sign_rank(10_000, 0.95).is_some_and(|rank| rank.abs_diff(4902) <= 1));
    }

    #[test]
    fn rank_sums_are_those_of_the_tables() {
        // Critical values of U, two-sided 5 %: 10 and 10 give 23, so the 24th smallest shift is the bound.
        let ranks = [(3, 3), (4, 4), (5, 5), (6, 8), (8, 6), (10, 10), (20, 20)];
        let found = ranks.map(|(n, m)| rank_sum_rank(n, m, 0.95));
        assert_eq!(found, [None, Some(1), Some(3), Some(9), Some(9), Some(24), Some(128)]);
        // The approximation meets what was counted.
        assert!(rank_sum_rank(30, 31, 0.95).unwrap().abs_diff(rank_sum_rank(30, 30, 0.95).unwrap() * 31 / 30) < 8);
    }

    #[test]
    fn the_median_interval_holds_its_level_at_any_size() {
        // Skewed, with an outlier in ten, as the delays of lossy trials are. Its median is that of the exponential part.
        let mut draws = SplitMix64(1);
        let mut draw = || (draws.next() >> 11) as f64 / (1u64 << 53) as f64;
        for n in [6, 7, 10, 15, 20] {
            let covered = (0..4000).filter(|_| {
                // Nine in ten exponential, one in ten far above all of them.
                let mut value = || if draw() < 0.1 { 100.0 + draw() } else { -(1.0 - draw()).ln() };
                let sample: Vec<f64> = (0..n).map(|_| value()).collect();
                // The median of all: five ninths of the exponential ones lie below it.
                median_interval(&sample, 0.95).unwrap().contains((9.0f64 / 4.0).ln())
            });
            let share = covered.count() as f64 / 4000.0;
            // The exact coverage, less four standard errors of 4000 samples.
            assert!(share >= 0.95 - 4.0 * (0.95f64 * 0.05 / 4000.0).sqrt(), "n = {n}: {share}");
        }
    }

    proptest! {
        #[test]
        fn an_interval_and_its_test_agree(values in prop::collection::vec(-100i32..100, 6..30)) {
            // Where the interval leaves 0 out, so does a sign test, and Wilcoxon's cannot see all signs alike.
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let interval = median_interval(&values, 0.95).unwrap();
            let (below, above) = (values.iter().filter(|v| **v < 0.0).count(), values.iter().filter(|v| **v > 0.0).count());
            let rank = sign_rank(values.len(), 0.95).unwrap();
            prop_assert_eq!(interval.low > 0.0, values.len() - above < rank);
            prop_assert_eq!(interval.high < 0.0, values.len() - below < rank);
            if below == values.len() || above == values.len() {
                prop_assert!(!interval.contains(0.0) && wilcoxon_signed_rank(&values).unwrap().p <= 0.05);
            }
        }

        #[test]
        fn a_shift_is_claimed_only_where_the_test_does(
            a in prop::collection::vec(-1_000_000i32..1_000_000, 4..15),
            b in prop::collection::vec(-1_000_000i32..1_000_000, 4..15),
        ) {
            let [a, b] = [a, b].map(|values| values.into_iter().map(f64::from).collect::<Vec<_>>());
            let (_, interval) = shift(&a, &b, |a, b| b - a, 0.95).unwrap();
            if interval.is_some_and(|interval| !interval.contains(0.0)) {
                prop_assert!(mann_whitney(&a, &b).unwrap().p <= 0.05 + 1e-9);
            }
        }
    }
}
