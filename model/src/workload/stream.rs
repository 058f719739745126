//! Logical streams, in which a workload's messages are in order.

use crate::units::ByteCount;

/// The number of a stream within a workload, from 0.
pub type StreamId = u16;

/// The largest number of streams a workload may have.
pub const MAX_STREAMS: u16 = 4096;

/// The part of `all` that falls to `stream`: even, the first streams taking the remainder.
pub fn share(all: ByteCount, streams: u16, stream: StreamId) -> ByteCount {
    let (n, all) = (u64::from(streams), all.bytes());
    ByteCount::new(all / n + u64::from(u64::from(stream) < all % n))
}
