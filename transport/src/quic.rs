//! QUIC's packets, whichever stack sends them: their frames, and the flow-control credit that these move.

pub(crate) mod credit;
mod frames;

pub use frames::{Frame, Frames, Malformed};
