//! Draws of a workload: each follows from the seed and from what it is drawn for, in whatever order they are asked.

use super::message::MessageId;

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014): every bit of the result depends on every bit of `value`.
const fn scatter(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 64 random bits for a message.
pub(super) fn bits(seed: u64, id: MessageId) -> u64 {
    let name = (id.direction.index() as u64) << 48 | u64::from(id.stream) << 32 | u64::from(id.seq);
    scatter(seed ^ scatter(name))
}

/// A number between 0 and 1, neither included, from random bits.
pub(super) fn unit(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}
