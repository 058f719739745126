//! The trial harness: one trial from set-up to evidence, in processes that nothing outlives.
//!
//! ```text
//! run ── supervise ──► __trial (one thread: namespaces) ──► first process of a PID namespace
//!                                                              ├─ link: data thread, ledger writer
//!                                                              ├─ a server for each flow, in its namespace
//!                                                              └─ a client for each flow, in its namespace
//! ```
//!
//! [`supervise`] is called from the run, which may have many threads; it starts the program anew
//! with a plan, and takes the evidence from files in the trial's scratch directory. [`main`] is what
//! the new process does. Whoever of them dies, the kernel ends all below it.

mod child;
mod ends;
mod error;
mod files;
mod pair;
mod parent;
mod plan;
mod ports;
mod server;
mod settings;

pub use crate::backend::Backend;
pub use child::main;
pub use error::{Remains, TrialError};
pub use files::Leavings;
pub use parent::{Evidence, supervise};
pub use plan::TrialPlan;
pub use ports::with_flow;
