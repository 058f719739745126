//! Instants of the link, on the clock of the host.

/// An instant: nanoseconds of CLOCK_MONOTONIC.
pub type Nanos = u64;
