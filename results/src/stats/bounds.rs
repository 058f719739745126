//! What a number of trials can prove.

use statrs::distribution::{Beta, ContinuousCDF};

use super::interval::Interval;

/// Exact interval of a probability, from `successes` in `n` (Clopper & Pearson, Biometrika 26,
/// 1934): it covers at least `level`, whatever the probability. `None` where `successes > n` or `n`
/// is 0.
pub fn clopper_pearson(successes: u64, n: u64, level: f64) -> Option<Interval> {
    if successes > n || n == 0 {
        return None;
    }
    let tail = (1.0 - level) / 2.0;
    let (k, rest) = (successes as f64, (n - successes) as f64);
    let low = if successes == 0 { 0.0 } else { Beta::new(k, rest + 1.0).ok()?.inverse_cdf(tail) };
    let high = if successes == n { 1.0 } else { Beta::new(k + 1.0, rest).ok()?.inverse_cdf(1.0 - tail) };
    Some(Interval { low, high, level })
}

/// Half the width of the band that holds the whole true distribution with probability 1 − `alpha`,
/// for an ECDF of `n` independent values (Dvoretzky–Kiefer–Wolfowitz, with Massart's constant,
/// 1990): √(ln(2/α) / 2n), no more than 1.
pub fn dkw_epsilon(n: usize, alpha: f64) -> f64 {
    ((2.0 / alpha).ln() / (2.0 * n as f64)).sqrt().min(1.0)
}

/// Trials needed so that their largest value bounds the quantile `q` from above with this
/// confidence: the smallest n with qⁿ ≤ 1 − confidence.
pub fn runs_for_quantile(q: f64, confidence: f64) -> u64 {
    // The quotient of logarithms may be a hair above a whole number that satisfies it.
    ((1.0 - confidence).ln() / q.ln() - 1e-9).ceil().max(1.0) as u64
}

/// The highest quantile that the largest of `n` trials bounds from above with this confidence.
pub fn provable_quantile(n: usize, confidence: f64) -> f64 {
    if n == 0 { 0.0 } else { (1.0 - confidence).powf(1.0 / n as f64) }
}

/// The smallest two-sided p-value that a sign test or a Wilcoxon signed-rank test of `n` pairs can
/// give: 2/2ⁿ, where all pairs agree.
pub fn smallest_two_sided_p(pairs: usize) -> f64 {
    (2.0 * 0.5f64.powi(i32::try_from(pairs).unwrap_or(i32::MAX))).min(1.0)
}

/// The fewest pairs of which a sign test or a Wilcoxon signed-rank test can give a two-sided p-value
/// of no more than `alpha`.
pub fn pairs_for_p(alpha: f64) -> usize {
    (1..1024).find(|&pairs| smallest_two_sided_p(pairs) <= alpha).unwrap_or(1024)
}

/// In words: what `n` paired seeds can and cannot prove, at 5 % and with 95 % confidence.
pub fn what_seeds_prove(n: usize) -> String {
    if n == 0 {
        return "No trial counts, so nothing is shown.".into();
    }
    let seeds = if n == 1 { "1 seed".to_owned() } else { format!("{n} seeds") };
    let p = smallest_two_sided_p(n);
    let mut text = if n == 1 {
        format!("{seeds}: a single observation an arm; it says nothing of how it would vary")
    } else if p > 0.05 {
        format!(
            "{seeds}: the smallest two-sided p-value that a paired test can give is {}, so no difference between \
             arms can be called significant at 5 % ({} seeds could)",
            short(p),
            pairs_for_p(0.05)
        )
    } else {
        format!(
            "{seeds}: a single comparison, planned beforehand, can be significant at 5 % (smallest possible p: {}); \
             of several, correct for their number",
            short(p)
        )
    };
    let provable = [0.99, 0.95, 0.9, 0.5].into_iter().find(|&q| runs_for_quantile(q, 0.95) <= n as u64);
    text += &match provable {
        Some(q) if q > 0.5 => {
            format!(
                ". The largest of {n} trials bounds the {:.0}th percentile of trials with 95 % confidence",
                q * 100.0
            )
        }
        Some(_) => format!(
            ". The largest of {n} trials bounds the median trial with 95 % confidence; the 90th percentile needs {}",
            runs_for_quantile(0.9, 0.95)
        ),
        None => format!(
            ". The largest of {n} bounds not even the median trial with 95 % confidence: that needs {} seeds, \
             the 90th percentile {}",
            runs_for_quantile(0.5, 0.95),
            runs_for_quantile(0.9, 0.95)
        ),
    };
    text + "."
}

/// Two significant digits, or a power of ten where it is tiny.
fn short(p: f64) -> String {
    if p >= 0.001 {
        let text = format!("{p:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        format!("{p:.0e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn exact_binomial_intervals_as_scipy_has_them() {
        // scipy 1.17: binomtest(k, n).proportion_ci(level, "exact")
        for (k, n, level, low, high) in [
            (10, 100, 0.95, 0.049_004_689_221_485_95, 0.176_222_597_740_175_32),
            (0, 20, 0.95, 0.0, 0.168_433_470_983_085_48),
            (20, 20, 0.95, 0.831_566_529_016_914_5, 1.0),
            (1000, 100_000, 0.99, 0.009_207_866_727_419_006, 0.010_839_143_987_606_268),
        ] {
            let interval = clopper_pearson(k, n, level).unwrap();
            assert!(close(interval.low, low) && close(interval.high, high), "{k}/{n}: {interval:?}");
        }
        assert_eq!(clopper_pearson(2, 1, 0.95), None);
        assert_eq!(clopper_pearson(0, 0, 0.95), None);
    }

    #[test]
    fn runs_for_the_usual_quantiles() {
        let needed: Vec<_> = [0.5, 0.9, 0.95, 0.99].iter().map(|&q| runs_for_quantile(q, 0.95)).collect();
        assert_eq!(needed, [5, 29, 59, 299]);
        for n in 1..400 {
            let q = provable_quantile(n, 0.95);
            assert_eq!(runs_for_quantile(q, 0.95), n as u64);
        }
    }

    #[test]
    fn few_pairs_prove_little() {
        assert_eq!(smallest_two_sided_p(3), 0.25);
        assert!(smallest_two_sided_p(5) > 0.05 && smallest_two_sided_p(6) < 0.05);
        assert_eq!(smallest_two_sided_p(0), 1.0);
        assert_eq!(pairs_for_p(0.05), 6);
        assert!(what_seeds_prove(3).contains("0.25") && what_seeds_prove(3).contains("needs 5 seeds"));
        assert!(what_seeds_prove(30).contains("90th percentile of trials"));
        assert!(close(dkw_epsilon(30, 0.05), 0.247_954_278_517_698_25));
        assert_eq!(dkw_epsilon(1, 0.05), 1.0);
    }
}
