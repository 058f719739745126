//! How much, and how sure: percentiles, intervals, tests, and what a number of trials can show.
//!
//! The trial is the unit. Messages within one trial are autocorrelated and are never the sample of
//! a test or an interval here. Everything is deterministic.

mod bounds;
mod describe;
mod interval;
mod order;
mod rank;
#[cfg(test)]
mod splitmix;

pub use bounds::{
    clopper_pearson, dkw_epsilon, pairs_for_p, provable_quantile, runs_for_quantile, smallest_two_sided_p,
    what_seeds_prove,
};
pub use describe::{Ecdf, coefficient_of_variation, mean, median};
pub use interval::{FEWEST_FOR_INTERVAL, Interval};
pub use order::{median_interval, shift, sign_rank, values_for_interval};
pub use rank::{RankTest, holm, mann_whitney, wilcoxon_signed_rank};
pub use samepath_model::percentiles::nearest_rank;
#[cfg(test)]
pub(crate) use splitmix::SplitMix64;
