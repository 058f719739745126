//! What was measured, kept and shown: the run directory, its statistics, its tables, its charts.
//!
//! Only records cross from measuring to showing. Nothing here opens a socket, reads the clock of a
//! trial, or knows how a link is emulated; everything is computed again from the run directory
//! alone, on any machine.
//!
//! Start with [`Run`] (the directory), then [`summary`] (one trial's figures), [`blocking`] (what each
//! message waited for), [`cells`] (trials of one arm under one set of conditions, over the seeds), [`stats`]
//! (how sure one may be), [`judge`] (whether it is as expected) and [`Analysis`] (all of it of one run, computed once).

mod analysis;
mod answer;
pub mod blocking;
pub mod cells;
pub mod chart;
mod columns;
pub mod compare;
mod compression;
pub mod csv;
#[cfg(test)]
mod data_page;
pub mod explain;
#[cfg(test)]
mod fixture;
pub mod flows;
pub mod handshake;
pub mod judge;
pub mod manifest;
mod memo;
pub mod metric;
mod number;
mod part;
mod plain;
pub mod recompute;
pub mod report;
mod score;
mod sentence;
pub mod session;
pub mod stats;
pub mod store;
pub mod summary;
pub mod table;
pub mod uses;
pub mod verdicts;
mod words;

pub use analysis::Analysis;
pub use cells::Cell;
pub use manifest::Manifest;
pub use metric::Metric;
pub use store::{Ledger, Recorder, Run, RunHandle, StoreError, TrialWriter};
