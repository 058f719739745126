//! The shared vocabulary of Samepath: the words that every other crate speaks.
//!
//! No I/O, no clock, no randomness, no async: only values, their text forms, and the rules that
//! say which of them make sense. Start with [`experiment`], which leads to everything else:
//!
//! | module | what it names |
//! | --- | --- |
//! | [`units`] | quantities with their unit in the type |
//! | [`arm`] | what is compared, each a row of a table; [`tuning`] what is set on them |
//! | [`workload`] | the deterministic schedule of messages |
//! | [`flow`] | one arm that runs one workload, alone on the link or beside others |
//! | [`link`] | the emulated path's conditions |
//! | [`profile`] | named link conditions |
//! | [`experiment`] | a question and the matrix of trials that answers it |
//! | [`attribution`] | which packets carried which bytes of which messages |
//! | [`blocking`] | what head-of-line blocking did to a trial's messages, as figures |
//! | [`emodel`] | the rating of a call by ITU-T G.107 |
//! | [`voice`] | what was heard of a call |
//! | [`frames`] | what a player made of frames |
//! | [`end`] | client or server |
//! | [`mode`] | whether a link hands packets on one at a time |
//! | [`age`] | how old the newest update was that was delivered |
//! | [`fanned`] | what became of operations that need several services |
//! | [`operations`], [`queries`], [`conversations`] | what became of requests and their answers, and of conversations |
//! | [`name_lookup`] | what became of the lookup of a name before the first connection |
//! | [`percentiles`] | percentiles of a time |
//! | [`coded`] | what content codings made of messages |
//! | [`page_load`] | when the objects of a page were there |
//! | [`playback`] | how a film was played |
//! | [`tolerance`] | the bounds of a valid trial |
//! | [`restart`] | when a server's process is killed, and started again |
//! | [`book`], [`payments`] | what a server has recorded of payments, and what became of them |
//! | [`shortage`] | what a system has run out of, and the remedy |
//! | [`spot`] | where in an experiment's file something stands |
//! | [`void`] | why a trial does not count |
//! | [`setting`] | what a setting is to a comparison |
//! | [`start`] | the state from which a schedule starts |
//! | [`record`] | what measuring hands to showing, and nothing else does |

pub mod age;
pub mod arm;
pub mod attribution;
pub mod blocking;
pub mod book;
pub mod coded;
pub mod conversations;
pub mod emodel;
pub mod end;
pub mod experiment;
pub mod fanned;
pub mod flow;
pub mod frames;
mod hex;
pub mod link;
pub mod mode;
pub mod name_lookup;
pub mod operations;
pub mod page_load;
pub mod payments;
pub mod percentiles;
pub mod playback;
pub mod profile;
pub mod queries;
pub mod record;
pub mod restart;
pub mod setting;
pub mod shortage;
pub mod spot;
pub mod start;
pub mod streams;
pub mod tolerance;
pub mod tuning;
pub mod units;
pub mod voice;
pub mod void;
pub mod workload;

pub use arm::{Arm, Mapping, Transport};
pub use experiment::{Experiment, ExperimentSpec, Trial, TrialId};
pub use flow::{Flow, FlowId};
pub use hex::hex;
pub use link::{Conditions, Direction, Link, LinkSpec};
pub use mode::Mode;
pub use tolerance::Tolerance;
pub use tuning::{Controller, Order, Tuning};
pub use units::{BitRate, ByteCount, Duration, Probability};
pub use void::{VoidKind, VoidReason};
pub use workload::Workload;
