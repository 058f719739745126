//! A comparison of what was expected with what was found, and what is made of it.

use samepath_model::experiment::Bound;
use samepath_results::judge::{Reason, Verdict, rule};
use serde::Serialize;

/// One comparison.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    /// What is compared.
    pub(crate) what: String,
    /// What theory says, with its tolerance.
    pub(crate) expected: String,
    /// What was measured.
    pub(crate) found: String,
    /// Whether they agree.
    #[serde(flatten)]
    pub(crate) judgement: Judgement,
}

/// What is made of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Judgement {
    /// The judge's verdict.
    Judged(Verdict),
    /// Theory has no figure: what was found is only said.
    Told(Told),
}

/// Said, and not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename = "told")]
pub(crate) struct Told {}

/// Nothing was measured.
pub(crate) const UNMEASURED: Verdict = Verdict::inconclusive(Reason::NotMeasured { missing: 0 });

impl Finding {
    /// Of a figure, with the bound that it is held against, and its unit.
    pub(crate) fn of(what: String, bound: Bound<f64>, found: f64, unit: &str) -> Finding {
        Finding::new(what, bound, found, unit, rule::of_value(bound, found))
    }

    /// Of a time in milliseconds, which settles nothing where it is off by no more than the machine was late.
    pub(crate) fn of_time(what: String, bound: Bound<f64>, found: f64, late: f64) -> Finding {
        let mut finding = Finding::new(what, bound, found, "ms", rule::of_time(bound, found, late));
        if finding.is_for(Reason::MachineLate) {
            finding.found += &format!("; the machine was late by {} ms", short(late));
        }
        finding
    }

    fn new(what: String, bound: Bound<f64>, found: f64, unit: &str, verdict: Verdict) -> Finding {
        let Ok(expected) = bound.try_map(|figure| Ok::<_, std::convert::Infallible>(short(*figure)));
        Finding {
            what,
            expected: format!("{expected} {unit}"),
            found: format!("{} {unit}", short(found)),
            judgement: Judgement::Judged(verdict),
        }
    }

    /// What is said and not judged: `beside` is what to hold it against.
    pub(crate) fn told(what: String, beside: String, found: String) -> Finding {
        Finding { what, expected: beside, found, judgement: Judgement::Told(Told {}) }
    }

    /// The judge's verdict, where there is one.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        match self.judgement {
            Judgement::Judged(verdict) => Some(verdict),
            Judgement::Told(_) => None,
        }
    }

    /// Whether it is inconclusive for this reason.
    pub(crate) fn is_for(&self, reason: Reason) -> bool {
        self.verdict() == Some(Verdict::inconclusive(reason))
    }

    /// As printed.
    pub(crate) fn line(&self) -> String {
        let Finding { what, expected, found, .. } = self;
        match self.verdict() {
            Some(Verdict::Pass) => format!("pass  {what:<46} expected {expected:<22} found {found}"),
            Some(Verdict::Fail) => format!("FAIL  {what:<46} expected {expected:<22} found {found}"),
            Some(Verdict::Inconclusive { .. }) => {
                format!("????  {what:<46} expected {expected:<22} inconclusive: {found}")
            }
            None => format!("note  {what:<46} {expected:<31} found {found}"),
        }
    }
}

impl From<Verdict> for Judgement {
    fn from(verdict: Verdict) -> Judgement {
        Judgement::Judged(verdict)
    }
}

impl From<bool> for Judgement {
    fn from(agrees: bool) -> Judgement {
        Verdict::from(agrees).into()
    }
}

/// At most three decimals, without trailing zeros.
pub(crate) fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_measured_never_passes() {
        let finding = |found| Finding::of("x".into(), Bound::About { value: 1.0, tolerance: 10.0 }, found, "ms");
        assert_eq!(finding(f64::NAN).verdict(), Some(UNMEASURED));
        assert_eq!(finding(f64::INFINITY).verdict(), Some(Verdict::Fail));
        assert_eq!(finding(11.0).verdict(), Some(Verdict::Pass));
    }

    #[test]
    fn a_finding_is_printed_and_recorded_with_its_verdict() {
        let late = Finding::of_time("wait".into(), Bound::About { value: 50.0, tolerance: 5.0 }, 57.9, 3.0);
        assert!(late.line().contains("expected 50 ± 5 ms") && late.line().ends_with("late by 3 ms"), "{}", late.line());
        let json = |finding: &Finding| serde_json::to_value(finding).unwrap();
        assert_eq!(json(&late)["verdict"], "inconclusive");
        assert_eq!(json(&late)["reason"]["kind"], "machine-late");
        let told = Finding::told("rate".into(), "10".into(), "9".into());
        assert_eq!((json(&told)["verdict"].as_str(), told.verdict()), (Some("told"), None));
    }
}
