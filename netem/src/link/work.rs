//! The unit of a bottleneck's work: bits × 10⁹, of which a rate of so many bits a second does as many each nanosecond.

/// Bits a byte × nanoseconds a second: a packet of `n` bytes takes `n` × this ÷ rate nanoseconds.
pub(super) const BIT_NANOS: u64 = 8 * 1_000_000_000;
