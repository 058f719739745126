//! What the judge says, and why where it cannot say.

use std::fmt;

use serde::Serialize;

/// Whether what was found is as expected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// It is.
    Pass,
    /// It is not.
    Fail,
    /// What was measured does not settle it.
    Inconclusive {
        /// Why.
        reason: Reason,
    },
}

/// Why a verdict is inconclusive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reason {
    /// So few seeds have no interval of this confidence, whatever their values.
    TooFewSeeds {
        /// Seeds there are.
        n: usize,
        /// Seeds it takes.
        needed: usize,
    },
    /// A percentile, or a share as small, is of fewer samples than show it.
    TooFewSamples {
        /// Samples there are, all trials together.
        samples: usize,
        /// Samples it takes.
        needed: usize,
    },
    /// The interval contains the bound.
    BoundInInterval {
        /// About how many seeds settle it, if further ones fall on the sides of the bound as these did; `None` where they
        /// lie on both alike.
        seeds: Option<usize>,
    },
    /// Trials are void, and without them too little is left.
    TrialsVoid {
        /// How many.
        void: usize,
    },
    /// Trials failed, and without them too little is left.
    TrialsFailed {
        /// How many.
        failed: usize,
    },
    /// Trials that count do not have the metric: it was not measured, or does not apply.
    NotMeasured {
        /// How many.
        missing: usize,
    },
    /// A value of the other cell is 0, so that there is no ratio to it.
    NoRatio,
    /// Trials have not been run.
    NotRun {
        /// How many; none where flags have taken the cell out of the experiment.
        pending: usize,
    },
    /// What was found lies outside the bound by no more than the machine was late.
    MachineLate,
}

impl Verdict {
    /// Inconclusive, for this reason.
    pub const fn inconclusive(reason: Reason) -> Verdict {
        Verdict::Inconclusive { reason }
    }

    /// Whether it is neither passed nor failed.
    pub const fn is_inconclusive(self) -> bool {
        matches!(self, Verdict::Inconclusive { .. })
    }

    /// One word.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Inconclusive { .. } => "inconclusive",
        }
    }
}

impl From<bool> for Verdict {
    fn from(agrees: bool) -> Verdict {
        if agrees { Verdict::Pass } else { Verdict::Fail }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trials = |n: usize| if n == 1 { "1 trial".to_owned() } else { format!("{n} trials") };
        match *self {
            Reason::TooFewSeeds { n, needed } => {
                write!(f, "too few seeds: {n}, and it takes {needed} (--repeat {needed})")
            }
            Reason::TooFewSamples { samples, needed } => {
                write!(f, "too few samples: {samples}, and it takes {needed}")
            }
            Reason::BoundInInterval { seeds: Some(seeds) } => {
                write!(f, "the interval contains the bound; about {seeds} seeds settle it if they fall as these did")
            }
            Reason::BoundInInterval { seeds: None } => {
                f.write_str("the interval contains the bound, and the seeds lie on both sides of it so evenly that more hardly settle it")
            }
            Reason::TrialsVoid { void } => write!(f, "{} void", are(&trials(void), void)),
            Reason::TrialsFailed { failed } => write!(f, "{} failed", trials(failed)),
            Reason::NotMeasured { missing: 0 } => f.write_str("not measured"),
            Reason::NotMeasured { missing } => write!(f, "not measured in {}", trials(missing)),
            Reason::NoRatio => f.write_str("a value of the other cell is 0: expect a difference (`difference-from`)"),
            Reason::NotRun { pending: 0 } => f.write_str("no such trial was to be run: flags left the cell out"),
            Reason::NotRun { pending } => write!(f, "{} not run yet", are(&trials(pending), pending)),
            Reason::MachineLate => f.write_str("off by no more than the machine was late"),
        }
    }
}

fn are(trials: &str, n: usize) -> String {
    format!("{trials} {}", if n == 1 { "is" } else { "are" })
}
