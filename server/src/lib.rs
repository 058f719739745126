//! Answers Samepath clients: many at once, safe to expose.
//!
//! Start with [`Server`]. One control port takes sessions (`session`); four data ports take the
//! connections that belong to them (`doors`). Nothing here decides what is measured.
//!
//! Invariant: no byte from the network makes it panic, hold unbounded memory, or send a datagram
//! to an address that has not shown a session's secret.

mod cli;
mod doors;
mod journal;
mod room;
mod serve;
mod session;

pub use cli::{ServerArgs, main};
pub use serve::{Limits, Ready, Server, ServerConfig, Shutdown};
