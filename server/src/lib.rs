//! Answers Samepath clients, many at once.
//!
//! Start with [`Server`]. One control port takes sessions (`session`); four data ports take the
//! connections that belong to them (`listeners`). Nothing here decides what is measured.
//!
//! Invariant: no byte from the network makes it panic, hold unbounded memory, or send a datagram
//! to an address from which nothing came that only a session's secret makes.
//!
//! **What an unauthenticated peer can do.** It holds one slot of a bounded pool for a fixed time, and nothing
//! else. No single one keeps a client out that way: `pool` has the rule, and says against what it does not hold (many
//! addresses that are fast together; a flood of the network or the processor). Log lines about them are bounded
//! (`log`). Who has the token is trusted with what [`Limits`] allow, each session for its time and no longer; it can
//! take all of it.

mod cli;
mod limits;
mod listeners;
mod log;
mod pool;
mod serve;
mod session;
mod shutdown;

pub use cli::{ServerArgs, main};
pub use limits::Limits;
pub use serve::{Ready, Server, ServerConfig};
pub use shutdown::Shutdown;
