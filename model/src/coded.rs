//! What content codings (RFC 9110, section 8.4.1) made of messages, and the CPU time that it took.

use serde::{Deserialize, Serialize};

/// A message that crossed the wire compressed. Its size is that of what crossed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coded {
    /// Bytes of its content.
    pub content: u64,
    /// CPU time that its sender took to compress it, of the thread that did.
    pub compression_cpu_ns: u64,
    /// CPU time that its receiver took to decompress it, likewise; `None` where it did not come whole.
    pub decompression_cpu_ns: Option<u64>,
}

/// What an end compressed, or decompressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoderReport {
    /// How many messages.
    pub messages: u64,
    /// Bytes of their content.
    pub content_bytes: u64,
    /// Bytes of what crossed the wire in its place.
    pub coded_bytes: u64,
    /// CPU time of the threads that did it, of that work alone. It is in the end's own, too.
    pub cpu_ns: u64,
}

impl CoderReport {
    /// The same and one message more.
    #[must_use]
    pub const fn and(self, content: u64, coded: u64, cpu_ns: u64) -> CoderReport {
        CoderReport {
            messages: self.messages + 1,
            content_bytes: self.content_bytes + content,
            coded_bytes: self.coded_bytes + coded,
            cpu_ns: self.cpu_ns + cpu_ns,
        }
    }
}
