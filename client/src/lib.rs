//! Runs a workload against a Samepath server and reports what it saw.
//!
//! Start with [`play()`], which is one session from the first connection to the report. `cli` is
//! what people and the harness call; `summary` and `json` show a report to them.
//!
//! Invariant: nothing here knows how a transport works.

mod cli;
mod json;
mod play;
mod renewable;
mod score;
mod summary;

pub use cli::{ClientArgs, main};
pub use play::{Loss, Played, Target, play, play_agreed};
pub use score::{Figure, Score};
