//! The judge: whether what was measured is as it was expected, and how sure that is.
//!
//! An [`Expectation`] is a metric, a cell (alone, or in its ratio to another or its difference from it), a bound, and how
//! sure the verdict has to be. Its [`Verdict`] is pass, fail, or inconclusive with the [`Reason`]: what the trials do not
//! settle is never passed, and never failed.
//!
//! The trial is the unit. A bound on the median is judged by an interval from order statistics ([`median_interval`]),
//! which holds its level at any number of seeds, whatever their distribution; 95 % take 6 seeds at least. It passes where
//! the whole interval lies within the bound, fails where the whole of it lies outside, and is inconclusive in between.
//! Pairs of cells are compared seed by seed, by the median of the pairs' ratios or differences. Each expectation is judged
//! at its own confidence: of a hundred whose truth lies at their bound some five are judged wrongly at 95 %.
//!
//! Start with [`judge()`]; [`rule`] has the decision.
//!
//! [`median_interval`]: crate::stats::median_interval

mod effect;
mod expectation;
mod judged;
mod reading;
pub mod rule;
#[cfg(test)]
mod tests;
mod verdict;

pub use effect::Effect;
pub use expectation::Expectation;
pub use judged::{Found, Judged, judge};
pub use reading::{Needed, expectations, needs};
pub use verdict::{Reason, Verdict};
