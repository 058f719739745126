//! QUIC's packets, whichever stack sends them: their frames, the flow-control credit that these move,
//! their words in event logs, and who observes them at an end.

pub(crate) mod credit;
mod frames;
mod observer;
pub(crate) mod protection;
pub(crate) mod schema;

pub use frames::{Frame, Frames, Malformed};
pub(crate) use observer::Observer;
