//! Head-of-line blocking as ground truth: which message waited for which packet, and for how long.
//!
//! The ledger says what became of every packet; the layout and the ends' observations say whose bytes it
//! held ([`samepath_model::attribution`]). So for each byte it is known when it reached the receiving
//! host, for each message what it waited for, and nothing is inferred from a delay.
//!
//! Start with [`analyse`]. `packets` and `attribution` follow the bytes, `counterfactual` says when they would
//! have come had nothing been lost, `parts` takes each message's delay apart, `figures` sums up a trial,
//! `story` tells of one message, `critical_path` of a chain of them; `recorded` takes a trial from the files of its run.

mod analysis;
mod attribution;
mod counterfactual;
mod critical_path;
mod figures;
mod hold;
mod packets;
mod parts;
mod recorded;
mod story;
#[cfg(test)]
pub(crate) mod tests;

pub use analysis::{AnalyseError, Analysis, Unattributed, analyse};
pub use critical_path::{CriticalPath, Step, Total};
pub use hold::{Held, Opening};
pub use packets::{Fate, NEVER, Packet};
pub use parts::{Account, BLOCKED, Fault, Parts};
pub use recorded::of_trial;
pub use story::{Copy, Loss, Missing, Story, Waiting};
