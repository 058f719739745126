//! The path between the two ends of a trial.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`link`] | the link core: `(packet, now)` in, decision out; no I/O, no clock |
//! | [`ledger`] | what became of every packet, from the data thread to a file |

pub mod ledger;
pub mod link;
