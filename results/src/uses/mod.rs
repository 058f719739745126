//! The table of uses: what people do, over which arm, on which link, and whether what they need is met.
//!
//! A row is a use, a column an arm, a block a set of conditions. A cell has the figure that decides, and **meets**, **fails** or
//! **cannot tell** by the [judge](crate::judge). Where arithmetic alone says that no arm can meet a need ([`floor`]), it says so of
//! every arm, and needs no trial for it.
//!
//! Start with [`of`]; [`render`] has it as text.

mod because;
mod definition;
mod floor;
mod judged;
mod samples;
#[cfg(test)]
mod tests;
mod text;

pub use definition::{Answered, Block, Met, Row, Told, Use, UseCell, Uses};
pub(crate) use judged::of;
pub use text::render;
