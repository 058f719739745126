//! The decision: a bound, held against what was found.

use samepath_model::experiment::Bound;

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
