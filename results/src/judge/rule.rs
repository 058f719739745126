//! The decision: a bound, held against what was found.

use samepath_model::experiment::Bound;
use statrs::distribution::{Binomial, DiscreteCDF};

use super::effect::Effect;
use super::verdict::{Reason, Verdict};
use crate::stats;

/// The verdict on a single figure, which has no uncertainty but that of its bound; one that is no number was not
/// measured.
pub fn of_value(bound: Bound<f64>, value: f64) -> Verdict {
    match value.is_nan() {
        true => Verdict::inconclusive(Reason::NotMeasured { missing: 0 }),
        false => bound.holds(value).into(),
    }
}

/// The same of a time that a machine may have made longer, which was late by so much; both in one unit. What is outside
/// the bound by no more than that is inconclusive.
pub fn of_time(bound: Bound<f64>, value: f64, late: f64) -> Verdict {
    match of_value(bound, value) {
        Verdict::Fail if bound.outside(value) <= late => Verdict::inconclusive(Reason::MachineLate),
        verdict => verdict,
    }
}

/// The verdict on every value: each has to be within the bound.
pub fn of_each(bound: Bound<f64>, values: &[f64]) -> Verdict {
    if values.is_empty() {
        return Verdict::inconclusive(Reason::NotMeasured { missing: 0 });
    }
    values.iter().all(|&value| bound.holds(value)).into()
}

/// The verdict on the median of independent values, with this confidence, and the interval that it rests on; `None` of
/// no values.
pub fn of_median(bound: Bound<f64>, values: &[f64], confidence: f64) -> Option<(Effect, Verdict)> {
    let found = Effect::of_median(values, confidence)?;
    let Some((low, high)) = found.interval() else {
        let needed = stats::values_for_interval(confidence);
        return Some((found, Verdict::inconclusive(Reason::TooFewSeeds { n: values.len(), needed })));
    };
    let (least, most) = bound.range();
    let verdict = if bound.holds(low) && bound.holds(high) {
        Verdict::Pass
    } else if high < least || most < low {
        Verdict::Fail
    } else {
        Verdict::inconclusive(Reason::BoundInInterval { seeds: settling(bound, values, confidence) })
    };
    Some((found, verdict))
}

/// The verdict on a percentile of independent values (above 0, below 100); `None` of no values.
///
/// It is a test of the share of values that are outside the bound, by the binomial distribution. The percentile is within the
/// bound where so few outside would be too rare if they were the share that it leaves out, or more: with none outside it takes
/// 11 values for p75, 59 for p95 and 299 for p99 at 95 %. It is outside where so many would be too rare if they were that
/// share, or less.
pub fn of_percentile(bound: Bound<f64>, values: &[f64], percentile: f64, confidence: f64) -> Option<Verdict> {
    // Of an upper bound the percentile itself; of a lower one as many on the other side.
    let left_out = 1.0 - percentile / 100.0;
    let n = values.len();
    let outside = values.iter().filter(|&&value| !bound.holds(value)).count();
    let settles = |n: usize, outside: usize| {
        let of = Binomial::new(left_out, n as u64).ok()?;
        // A hair wider, so that 0.05 is 0.05 whatever its last bit says.
        let chance = 1.0 - confidence + 1e-12;
        let at_least = if outside == 0 { 1.0 } else { of.sf(outside as u64 - 1) };
        match (of.cdf(outside as u64) <= chance, at_least < chance - 2e-12) {
            (true, _) => Some(Verdict::Pass),
            (_, true) => Some(Verdict::Fail),
            _ => None,
        }
    };
    if n == 0 {
        return None;
    }
    let needed = usize::try_from(stats::runs_for_quantile(percentile / 100.0, confidence)).unwrap_or(usize::MAX);
    Some(settles(n, outside).unwrap_or_else(|| match outside {
        0 => Verdict::inconclusive(Reason::TooFewSeeds { n, needed }),
        _ => {
            let share = outside as f64 / n as f64;
            let seeds =
                (n + 1..=MOST_SEEDS).find(|&more| settles(more, (share * more as f64).round() as usize).is_some());
            Verdict::inconclusive(Reason::BoundInInterval { seeds })
        }
    }))
}

/// More seeds than this are beyond anybody's patience.
const MOST_SEEDS: usize = 1000;

/// With how many values the interval would no longer contain the bound, if the same shares of them lie to either side.
fn settling(bound: Bound<f64>, values: &[f64], confidence: f64) -> Option<usize> {
    let (least, most) = bound.range();
    let share = |count: usize| count as f64 / values.len() as f64;
    let above = share(values.iter().filter(|&&value| value > most && !bound.holds(value)).count());
    let below = share(values.iter().filter(|&&value| value < least && !bound.holds(value)).count());
    // Of so many values the interval leaves out those of a side as long as they are fewer than its rank.
    let leaves_out = |n: usize, share: f64| {
        stats::sign_rank(n, confidence).is_some_and(|rank| (share * n as f64).ceil() < rank as f64)
    };
    let settles = |n: usize| {
        let within = leaves_out(n, above) && leaves_out(n, below);
        within || leaves_out(n, 1.0 - above) || leaves_out(n, 1.0 - below)
    };
    (values.len() + 1..=MOST_SEEDS).find(|&n| settles(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIX: [f64; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

    fn verdict(bound: Bound<f64>, values: &[f64]) -> Verdict {
        of_median(bound, values, 0.95).unwrap().1
    }

    #[test]
    fn six_seeds_settle_and_five_never_do() {
        assert_eq!(verdict(Bound::AtMost(6.0), &SIX), Verdict::Pass);
        assert_eq!(verdict(Bound::AtMost(0.9), &SIX), Verdict::Fail);
        assert_eq!(verdict(Bound::Between(1.0, 6.0), &SIX), Verdict::Pass);
        assert_eq!(verdict(Bound::About { value: 10.0, tolerance: 3.0 }, &SIX), Verdict::Fail);
        let too_few = Verdict::inconclusive(Reason::TooFewSeeds { n: 5, needed: 6 });
        assert_eq!(verdict(Bound::AtMost(1000.0), &SIX[..5]), too_few);
        assert_eq!(of_median(Bound::AtMost(1.0), &[], 0.95), None);
    }

    #[test]
    fn an_undecided_bound_tells_the_seeds_needed() {
        // One in six above: at 15 three are, and the fourth smallest is the bound.
        let seeds = |bound| match verdict(bound, &SIX) {
            Verdict::Inconclusive { reason: Reason::BoundInInterval { seeds } } => seeds,
            other => panic!("{other:?}"),
        };
        let many = seeds(Bound::AtMost(5.5)).unwrap();
        assert!((9..20).contains(&many), "{many}");
        assert_eq!(seeds(Bound::AtMost(3.5)), None, "as many above as below");
        assert_eq!(seeds(Bound::AtLeast(1.5)), Some(many));
        assert!(seeds(Bound::Between(1.5, 5.5)).unwrap() >= many);
    }

    #[test]
    fn a_percentile_takes_its_number_of_values() {
        let of = |n: usize, outside: usize, percentile: f64| {
            let values: Vec<f64> = (0..n).map(|i| if i < outside { 2.0 } else { 0.0 }).collect();
            of_percentile(Bound::AtMost(1.0), &values, percentile, 0.95).unwrap()
        };
        for (percentile, needed) in [(75.0, 11), (95.0, 59), (99.0, 299)] {
            assert_eq!(of(needed, 0, percentile), Verdict::Pass);
            let n = needed - 1;
            assert_eq!(of(n, 0, percentile), Verdict::inconclusive(Reason::TooFewSeeds { n, needed }));
        }
        // By the binomial distribution: of 12 with a quarter left out, six or more are outside once in 18, seven in 70.
        assert!(of(12, 6, 75.0).is_inconclusive());
        assert_eq!(of(12, 7, 75.0), Verdict::Fail);
        // One of one is no proof; one of a hundred would come 1 % of the time once in 1.6.
        assert!(of(1, 1, 75.0).is_inconclusive() && of(1, 1, 95.0).is_inconclusive());
        assert_eq!(of_percentile(Bound::AtMost(1.0), &[], 75.0, 0.95), None);
    }

    /// As late as the machine was, a time proves nothing against theory; later, it does.
    #[test]
    fn lateness_of_the_machine_is_allowed_for() {
        let verdict = |found: f64| of_time(Bound::About { value: 50.0, tolerance: 5.0 }, found, 3.0);
        assert_eq!(verdict(55.0), Verdict::Pass);
        assert_eq!(verdict(57.9), Verdict::inconclusive(Reason::MachineLate));
        assert_eq!(verdict(58.1), Verdict::Fail);
        assert_eq!(verdict(f64::NAN), Verdict::inconclusive(Reason::NotMeasured { missing: 0 }));
    }

    #[test]
    fn each_value_has_to_hold() {
        assert_eq!(of_each(Bound::AtMost(6.0), &SIX), Verdict::Pass);
        assert_eq!(of_each(Bound::AtMost(5.0), &SIX), Verdict::Fail);
        assert!(of_each(Bound::AtMost(5.0), &[]).is_inconclusive());
    }
}
