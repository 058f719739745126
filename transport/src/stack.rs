//! Stacks that speak QUIC, a folder each.

pub mod quinn;
