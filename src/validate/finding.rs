//! A comparison of what was expected with what was found, and what is made of it.

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
    pub(crate) verdict: Verdict,
}

/// What a comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// They agree.
    Pass,
    /// They do not.
    Fail,
    /// Nothing was measured.
    Unmeasured,
    /// Too little was measured, as the machine voided the trials, or it was itself as late as what was found.
    Inconclusive,
    /// Theory has no figure: what was found is only said.
    Told,
}

impl Verdict {
    /// Of a comparison with this figure; where it is no number, nothing was measured.
    pub(crate) fn of(agree: bool, found: f64) -> Verdict {
        if found.is_nan() { Verdict::Unmeasured } else { agree.into() }
    }
}

impl From<bool> for Verdict {
    fn from(agree: bool) -> Verdict {
        if agree { Verdict::Pass } else { Verdict::Fail }
    }
}

impl Finding {
    /// As printed.
    pub(crate) fn line(&self) -> String {
        let Finding { what, expected, found, verdict } = self;
        match verdict {
            Verdict::Pass => format!("pass  {what:<46} expected {expected:<22} found {found}"),
            Verdict::Fail => format!("FAIL  {what:<46} expected {expected:<22} found {found}"),
            Verdict::Unmeasured | Verdict::Inconclusive => {
                format!("????  {what:<46} expected {expected:<22} inconclusive: {found}")
            }
            Verdict::Told => format!("note  {what:<46} {expected:<31} found {found}"),
        }
    }
}
