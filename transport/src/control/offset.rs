//! Offset between the clocks of client and server.

/// The offset between two clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockOffset {
    /// The server's clock minus the client's, in nanoseconds.
    pub offset_ns: i64,
    /// Bound of its error: half the best round trip (Cristian 1989).
    pub error_ns: u64,
    /// The best round trip of the control connection.
    pub rtt_ns: u64,
}

impl ClockOffset {
    /// An instant of the client's clock on the server's.
    pub const fn to_server(self, client_ns: u64) -> u64 {
        client_ns.saturating_add_signed(self.offset_ns)
    }

    /// An instant of the server's clock on the client's.
    pub const fn to_client(self, server_ns: u64) -> u64 {
        server_ns.saturating_add_signed(-self.offset_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_translate_both_ways() {
        let offset = ClockOffset { offset_ns: -500, error_ns: 10, rtt_ns: 20 };
        assert_eq!(offset.to_client(offset.to_server(10_000)), 10_000);
        assert_eq!(offset.to_server(10_000), 9_500);
    }
}
