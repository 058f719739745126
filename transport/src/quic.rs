//! QUIC's packets, whichever stack sends them: their frames, the flow-control credit that these move, and
//! their words in event logs.

pub(crate) mod credit;
mod frames;
pub(crate) mod schema;

pub use frames::{Frame, Frames, Malformed};
