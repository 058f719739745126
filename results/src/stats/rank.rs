//! Tests on ranks, which assume nothing of the distribution, and their correction for many.
//!
//! Small samples are exact, ties included: the distribution of the rank sum over all assignments
//! is counted, with ranks doubled so that the mid-ranks of ties are whole numbers.

use statrs::distribution::{ContinuousCDF, Normal};

/// Above this many values the normal approximation is used, with tie and continuity corrections.
const EXACT_UP_TO: usize = 60;

/// What a rank test says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankTest {
    /// Wilcoxon: the sum of the ranks of positive differences (W⁺). Mann–Whitney: U of the first sample.
    pub statistic: f64,
    /// Two-sided p-value.
    pub p: f64,
    /// Values that entered: the differences that are not 0; or both samples.
    pub n: usize,
    /// Whether p is exact.
    pub exact: bool,
}

/// Wilcoxon's signed-rank test that paired differences are symmetric about 0 (Wilcoxon 1945);
/// differences of 0 are left out. `None` where no difference is left.
pub fn wilcoxon_signed_rank(differences: &[f64]) -> Option<RankTest> {
    let differences: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0 && !d.is_nan()).collect();
    let n = differences.len();
    if n == 0 {
        return None;
    }
    let doubled = doubled_ranks(&differences.iter().map(|d| d.abs()).collect::<Vec<_>>());
    let plus: usize = doubled.iter().zip(&differences).filter(|(_, d)| **d > 0.0).map(|(rank, _)| rank).sum();
    let total: usize = doubled.iter().sum();
    let exact = n <= EXACT_UP_TO;
    let p = if exact {
        // How many of the 2ⁿ signings give each sum.
        let mut ways = vec![0.0f64; total + 1];
        ways[0] = 1.0;
        for &rank in &doubled {
            for sum in (rank..=total).rev() {
                ways[sum] += ways[sum - rank];
            }
        }
        two_sided(&ways, plus)
    } else {
        let (mean, variance) =
            (total as f64 / 4.0, doubled.iter().map(|&r| (r as f64 / 2.0).powi(2)).sum::<f64>() / 4.0);
        normal_p(plus as f64 / 2.0, mean, variance)
    };
    Some(RankTest { statistic: plus as f64 / 2.0, p, n, exact })
}

/// The Mann–Whitney U test that two independent samples come from one distribution (Mann & Whitney
/// 1947). `None` where a sample is empty.
pub fn mann_whitney(a: &[f64], b: &[f64]) -> Option<RankTest> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    let (n, n_a, n_b) = (all.len(), a.len(), b.len());
    let doubled = doubled_ranks(&all);
    let sum: usize = doubled[..n_a].iter().sum();
    let smallest = n_a * (n_a + 1);
    let exact = n <= EXACT_UP_TO;
    let p = if exact {
        // How many choices of n_a ranks give each sum.
        let total: usize = doubled.iter().sum();
        let mut ways = vec![vec![0.0f64; total + 1]; n_a + 1];
        ways[0][0] = 1.0;
        for &rank in &doubled {
            for chosen in (1..=n_a).rev() {
                let (fewer, more) = ways.split_at_mut(chosen);
                for sum in rank..=total {
                    more[0][sum] += fewer[chosen - 1][sum - rank];
                }
            }
        }
        two_sided(&ways[n_a], sum)
    } else {
        let (size, cross) = (n as f64, (n_a * n_b) as f64);
        let ties: f64 = tie_sizes(&all).map(|t| t.powi(3) - t).sum();
        let variance = cross / 12.0 * (size + 1.0 - ties / (size * (size - 1.0)));
        normal_p((sum - smallest) as f64 / 2.0, cross / 2.0, variance)
    };
    Some(RankTest { statistic: (sum - smallest) as f64 / 2.0, p, n, exact })
}

/// p-values adjusted for their number (Holm, Scand. J. Statist. 6, 1979), in the order given: those
/// at or below α may be called significant with the chance of any false call at most α.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0.0f64;
    for (place, &index) in order.iter().enumerate() {
        largest = largest.max((p[index] * (p.len() - place) as f64).min(1.0));
        adjusted[index] = largest;
    }
    adjusted
}

/// Twice the mid-ranks, in the order given.
fn doubled_ranks(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let end = start + order[start..].iter().take_while(|&&i| values[i] == values[order[start]]).count();
        for &index in &order[start..end] {
            // The ranks start+1 ..= end have the mean (start + 1 + end) / 2.
            ranks[index] = start + 1 + end;
        }
        start = end;
    }
    ranks
}

/// How many values share each value.
fn tie_sizes(values: &[f64]) -> impl Iterator<Item = f64> + use<> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.chunk_by(|a, b| a == b).map(|tied| tied.len() as f64).collect::<Vec<_>>().into_iter()
}

/// Twice the smaller tail of a distribution given by counts, both tails including the value seen.
fn two_sided(ways: &[f64], seen: usize) -> f64 {
    let all: f64 = ways.iter().sum();
    let (low, high): (f64, f64) = (ways[..=seen].iter().sum(), ways[seen..].iter().sum());
    (2.0 * low.min(high) / all).min(1.0)
}

fn normal_p(seen: f64, mean: f64, variance: f64) -> f64 {
    if variance <= 0.0 {
        return 1.0;
    }
    let z = ((seen - mean).abs() - 0.5).max(0.0) / variance.sqrt();
    (2.0 * Normal::standard().sf(z)).min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn signed_ranks_agree_with_scipy() {
        // scipy 1.17: wilcoxon(d, mode="exact"). The first sample is Darwin's maize.
        let maize = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75].map(f64::from);
        let test = wilcoxon_signed_rank(&maize).unwrap();
        // The statistic there is the smaller of W⁺ and W⁻.
        assert!(close(120.0 - test.statistic, 24.0) && close(test.p, 0.041_259_765_625) && test.exact, "{test:?}");
        let test = wilcoxon_signed_rank(&[1.5, -0.5, 2.5, 3.5, -1.0, 4.25]).unwrap();
        assert!(close(test.p, 0.156_25), "{test:?}");
        // With ties: all 2⁷ signings counted one by one.
        let test = wilcoxon_signed_rank(&[1.0, 1.0, -1.0, 2.0, 2.0, 3.0, -3.0, 0.0]).unwrap();
        assert!(close(test.statistic, 19.5) && close(test.p, 0.468_75) && test.n == 7, "{test:?}");
        // A large sample: wilcoxon(d, mode="approx", correction=True).
        let large: Vec<f64> = (0..80).map(|i| f64::from((i * 37) % 101) - 40.3 + 0.01 * f64::from(i)).collect();
        let test = wilcoxon_signed_rank(&large).unwrap();
        assert!((test.p - 0.006_034_985_988_217).abs() < 1e-9 && !test.exact, "{test:?}");
        assert_eq!(wilcoxon_signed_rank(&[0.0, 0.0]), None);
    }

    #[test]
    fn two_samples_agree_with_scipy() {
        // scipy 1.17: mannwhitneyu(…, method="exact"), the example of its manual.
        let test = mann_whitney(&[19.0, 22.0, 16.0, 29.0, 24.0], &[20.0, 11.0, 17.0, 12.0]).unwrap();
        assert!(close(test.statistic, 17.0) && close(test.p, 1.0 / 9.0) && test.exact, "{test:?}");
        // With ties: permutation_test over all assignments.
        let test = mann_whitney(&[1.0, 2.0, 2.0, 3.0, 5.0], &[2.0, 4.0, 4.0, 6.0]).unwrap();
        assert!(close(test.statistic, 5.0) && close(test.p, 0.269_841_269_841_269_8), "{test:?}");
        // Large samples: method="asymptotic".
        let a: Vec<f64> = (0..70).map(|i| f64::from(i * 37 % 101) + 0.5 * f64::from(i)).collect();
        let b: Vec<f64> = (0..65).map(|i| f64::from(i * 53 % 97) + 0.7 * f64::from(i)).collect();
        let test = mann_whitney(&a, &b).unwrap();
        assert!(close(test.statistic, 2198.0) && (test.p - 0.736_205_143_114_471).abs() < 1e-9, "{test:?}");
    }

    #[test]
    fn holm_as_in_the_paper_of_its_steps() {
        // 0.01 × 4, then max(0.02 × 3, …), max(0.03 × 2, …), and 0.5.
        let adjusted = holm(&[0.02, 0.01, 0.5, 0.03]);
        for (seen, expected) in adjusted.iter().zip([0.06, 0.04, 0.5, 0.06]) {
            assert!(close(*seen, expected), "{adjusted:?}");
        }
        assert!(holm(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn p_values_are_symmetric_and_bounded(d in prop::collection::vec(-10i32..10, 1..20)) {
            let d: Vec<f64> = d.into_iter().map(f64::from).collect();
            let mirrored: Vec<f64> = d.iter().map(|v| -v).collect();
            match (wilcoxon_signed_rank(&d), wilcoxon_signed_rank(&mirrored)) {
                (Some(a), Some(b)) => {
                    prop_assert!(close(a.p, b.p) && a.p <= 1.0);
                    prop_assert!(a.p + 1e-12 >= 2.0 * 0.5f64.powi(a.n as i32));
                }
                (None, None) => prop_assert!(d.iter().all(|v| *v == 0.0)),
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn samples_may_be_swapped(a in prop::collection::vec(-10i32..10, 1..15), b in prop::collection::vec(-10i32..10, 1..15)) {
            let [a, b] = [a, b].map(|v| v.into_iter().map(f64::from).collect::<Vec<_>>());
            let (one, other) = (mann_whitney(&a, &b).unwrap(), mann_whitney(&b, &a).unwrap());
            prop_assert!(close(one.p, other.p) && one.p <= 1.0 && one.p > 0.0);
            prop_assert!(close(one.statistic + other.statistic, (a.len() * b.len()) as f64));
        }

        #[test]
        fn holm_lowers_no_p_and_keeps_their_order(p in prop::collection::vec(0.0f64..=1.0, 1..20)) {
            let adjusted = holm(&p);
            for (i, a) in adjusted.iter().enumerate() {
                prop_assert!(*a >= p[i] && *a <= 1.0);
                prop_assert!(p.iter().enumerate().all(|(j, q)| *q < p[i] || adjusted[j] >= *a));
            }
        }
    }
}
