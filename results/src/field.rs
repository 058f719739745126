//! The figures of a trial by name: one list for tables, comparisons and charts.

use samepath_model::blocking::Blocking;
use samepath_model::record::TrialRecord;

/// A figure that a trial's record holds, with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// Messages that the schedule released.
    Messages,
    /// Messages delivered whole.
    Delivered,
    /// Payload bytes received.
    ReceivedBytes,
    /// Payload bytes offered.
    OfferedBytes,
    /// Share of the offered payload bytes that were received, in percent.
    DeliveredShare,
    /// Payload received per second.
    Goodput,
    /// From the epoch until the last message was delivered.
    Completion,
    /// Median of the message delay.
    DelayP50,
    /// 90th percentile of the message delay.
    DelayP90,
    /// 95th percentile of the message delay.
    DelayP95,
    /// 99th percentile of the message delay.
    DelayP99,
    /// Largest message delay.
    DelayMax,
    /// From the start of connecting until the handshake was done.
    Handshake,
    /// The same, in round-trip times of the link.
    HandshakeRtts,
    /// Of it, the time in which no packet was on the link, nor a lost one waited for: the ends' own.
    HandshakeEnds,
    /// From the start of connecting until the first payload byte was read.
    FirstByte,
    /// The same, in round-trip times of the link.
    FirstByteRtts,
    /// Bytes of IP packets offered to the link, both directions.
    WireBytes,
    /// Packets that the link dropped, both directions.
    PacketsDropped,
    /// Segments retransmitted (TCP) or packets declared lost (QUIC), by the sender.
    Retransmissions,
    /// Connections of the sender as its schedule started.
    StartConnections,
    /// The sum of their congestion windows then.
    StartWindow,
    /// The longest of their smoothed round-trip times then.
    StartRtt,
    /// Payload bytes of warm-up that they had carried by then.
    StartWarmup,
    /// Packets or segments that they had declared lost or retransmitted by then.
    StartLosses,
    /// CPU seconds of the client per gigabyte (10⁹) of payload, the warm-up included.
    ClientCpu,
    /// CPU seconds of the server per gigabyte (10⁹) of payload, the warm-up included.
    ServerCpu,
    /// Share of the innocent messages (the first copy of every byte arrived) that were blocked for over a
    /// millisecond, in percent.
    InnocentBlocked,
    /// Mean of the blocked time: what a message waited for bytes other than its own.
    BlockedMean,
    /// Median of the blocked time.
    BlockedP50,
    /// 95th percentile of the blocked time.
    BlockedP95,
    /// 99th percentile of the blocked time.
    BlockedP99,
    /// Largest blocked time.
    BlockedMax,
    /// Time in which a stream held bytes that it could not deliver, mean over the streams.
    StallMean,
    /// Its median over the streams.
    StallP50,
    /// Its 95th percentile over the streams.
    StallP95,
    /// The same of the stream that stalled longest.
    StallMax,
    /// Bytes held back times how long.
    Buffered,
    /// Share of the delay of the slowest hundredth of messages that was sender hold, in percent.
    TailHold,
    /// The same, on the link: propagation and queue.
    TailNetwork,
    /// The same, waiting for its own lost bytes.
    TailOwnLoss,
    /// The same, blocked.
    TailBlocked,
    /// The same, in the receiving host.
    TailStack,
}

/// Which way a figure improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

impl Field {
    /// Every figure, in the order of the tables.
    pub const ALL: [Field; 43] = [
        Field::Messages,
        Field::Delivered,
        Field::ReceivedBytes,
        Field::OfferedBytes,
        Field::DeliveredShare,
        Field::Goodput,
        Field::Completion,
        Field::DelayP50,
        Field::DelayP90,
        Field::DelayP95,
        Field::DelayP99,
        Field::DelayMax,
        Field::Handshake,
        Field::HandshakeRtts,
        Field::HandshakeEnds,
        Field::FirstByte,
        Field::FirstByteRtts,
        Field::WireBytes,
        Field::PacketsDropped,
        Field::Retransmissions,
        Field::StartConnections,
        Field::StartWindow,
        Field::StartRtt,
        Field::StartWarmup,
        Field::StartLosses,
        Field::ClientCpu,
        Field::ServerCpu,
        Field::InnocentBlocked,
        Field::BlockedMean,
        Field::BlockedP50,
        Field::BlockedP95,
        Field::BlockedP99,
        Field::BlockedMax,
        Field::StallMean,
        Field::StallP50,
        Field::StallP95,
        Field::StallMax,
        Field::Buffered,
        Field::TailHold,
        Field::TailNetwork,
        Field::TailOwnLoss,
        Field::TailBlocked,
        Field::TailStack,
    ];

    /// The name in files, its unit included.
    pub const fn name(self) -> &'static str {
        match self {
            Field::Messages => "messages",
            Field::Delivered => "delivered",
            Field::ReceivedBytes => "received_bytes",
            Field::OfferedBytes => "offered_bytes",
            Field::DeliveredShare => "delivered_percent",
            Field::Goodput => "goodput_mbit_per_s",
            Field::Completion => "completion_ms",
            Field::DelayP50 => "delay_p50_ms",
            Field::DelayP90 => "delay_p90_ms",
            Field::DelayP95 => "delay_p95_ms",
            Field::DelayP99 => "delay_p99_ms",
            Field::DelayMax => "delay_max_ms",
            Field::Handshake => "handshake_ms",
            Field::HandshakeRtts => "handshake_rtts",
            Field::HandshakeEnds => "handshake_ends_ms",
            Field::FirstByte => "first_byte_ms",
            Field::FirstByteRtts => "first_byte_rtts",
            Field::WireBytes => "wire_bytes",
            Field::PacketsDropped => "packets_dropped",
            Field::Retransmissions => "retransmissions",
            Field::StartConnections => "start_connections",
            Field::StartWindow => "start_window_bytes",
            Field::StartRtt => "start_srtt_ms",
            Field::StartWarmup => "start_warmup_bytes",
            Field::StartLosses => "start_losses",
            Field::ClientCpu => "client_cpu_s_per_gb",
            Field::ServerCpu => "server_cpu_s_per_gb",
            Field::InnocentBlocked => "innocent_blocked_percent",
            Field::BlockedMean => "blocked_mean_ms",
            Field::BlockedP50 => "blocked_p50_ms",
            Field::BlockedP95 => "blocked_p95_ms",
            Field::BlockedP99 => "blocked_p99_ms",
            Field::BlockedMax => "blocked_max_ms",
            Field::StallMean => "stall_mean_ms",
            Field::StallP50 => "stall_p50_ms",
            Field::StallP95 => "stall_p95_ms",
            Field::StallMax => "stall_max_ms",
            Field::Buffered => "buffered_byte_seconds",
            Field::TailHold => "tail_hold_percent",
            Field::TailNetwork => "tail_network_percent",
            Field::TailOwnLoss => "tail_own_loss_percent",
            Field::TailBlocked => "tail_blocked_percent",
            Field::TailStack => "tail_stack_percent",
        }
    }

    /// The name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Field::Messages => "messages",
            Field::Delivered => "delivered",
            Field::ReceivedBytes => "received",
            Field::OfferedBytes => "offered",
            Field::DeliveredShare => "delivered share",
            Field::Goodput => "goodput",
            Field::Completion => "completion",
            Field::DelayP50 => "delay p50",
            Field::DelayP90 => "delay p90",
            Field::DelayP95 => "delay p95",
            Field::DelayP99 => "delay p99",
            Field::DelayMax => "delay max",
            Field::Handshake | Field::HandshakeRtts => "handshake",
            Field::HandshakeEnds => "handshake: ends",
            Field::FirstByte | Field::FirstByteRtts => "first byte",
            Field::WireBytes => "wire",
            Field::PacketsDropped => "dropped",
            Field::Retransmissions => "retransmissions",
            Field::StartConnections => "connections",
            Field::StartWindow => "window at the start",
            Field::StartRtt => "smoothed RTT at the start",
            Field::StartWarmup => "warm-up",
            Field::StartLosses => "lost before the start",
            Field::ClientCpu => "client CPU",
            Field::ServerCpu => "server CPU",
            Field::InnocentBlocked => "innocent blocked",
            Field::BlockedMean => "blocked mean",
            Field::BlockedP50 => "blocked p50",
            Field::BlockedP95 => "blocked p95",
            Field::BlockedP99 => "blocked p99",
            Field::BlockedMax => "blocked max",
            Field::StallMean => "stall a stream",
            Field::StallP50 => "stall p50",
            Field::StallP95 => "stall p95",
            Field::StallMax => "longest stall",
            Field::Buffered => "held back",
            Field::TailHold => "tail: hold",
            Field::TailNetwork => "tail: network",
            Field::TailOwnLoss => "tail: own loss",
            Field::TailBlocked => "tail: blocked",
            Field::TailStack => "tail: stack",
        }
    }

    /// The unit for people; empty for a count.
    pub const fn unit(self) -> &'static str {
        match self {
            Field::Messages
            | Field::Delivered
            | Field::PacketsDropped
            | Field::Retransmissions
            | Field::StartConnections
            | Field::StartLosses => "",
            Field::ReceivedBytes | Field::OfferedBytes | Field::WireBytes | Field::StartWindow | Field::StartWarmup => {
                "B"
            }
            Field::DeliveredShare
            | Field::InnocentBlocked
            | Field::TailHold
            | Field::TailNetwork
            | Field::TailOwnLoss
            | Field::TailBlocked
            | Field::TailStack => "%",
            Field::Buffered => "B·s",
            Field::Goodput => "Mbit/s",
            Field::Completion
            | Field::DelayP50
            | Field::DelayP90
            | Field::DelayP95
            | Field::DelayP99
            | Field::DelayMax
            | Field::Handshake
            | Field::HandshakeEnds
            | Field::FirstByte
            | Field::StartRtt
            | Field::BlockedMean
            | Field::BlockedP50
            | Field::BlockedP95
            | Field::BlockedP99
            | Field::BlockedMax
            | Field::StallMean
            | Field::StallP50
            | Field::StallP95
            | Field::StallMax => "ms",
            Field::HandshakeRtts | Field::FirstByteRtts => "RTT",
            Field::ClientCpu | Field::ServerCpu => "s/GB",
        }
    }

    /// Which way it improves; `None` for what only describes the trial.
    pub const fn better(self) -> Option<Better> {
        match self {
            Field::Goodput | Field::DeliveredShare => Some(Better::Higher),
            Field::Completion
            | Field::DelayP50
            | Field::DelayP90
            | Field::DelayP95
            | Field::DelayP99
            | Field::DelayMax
            | Field::Handshake
            | Field::HandshakeEnds
            | Field::HandshakeRtts
            | Field::FirstByte
            | Field::FirstByteRtts
            | Field::ClientCpu
            | Field::ServerCpu
            | Field::InnocentBlocked
            | Field::BlockedMean
            | Field::BlockedP50
            | Field::BlockedP95
            | Field::BlockedP99
            | Field::BlockedMax
            | Field::StallMean
            | Field::StallP50
            | Field::StallP95
            | Field::StallMax
            | Field::Buffered => Some(Better::Lower),
            Field::Messages
            | Field::Delivered
            | Field::ReceivedBytes
            | Field::OfferedBytes
            | Field::WireBytes
            | Field::PacketsDropped
            | Field::Retransmissions
            | Field::StartConnections
            | Field::StartWindow
            | Field::StartRtt
            | Field::StartWarmup
            | Field::StartLosses
            | Field::TailHold
            | Field::TailNetwork
            | Field::TailOwnLoss
            | Field::TailBlocked
            | Field::TailStack => None,
        }
    }

    /// The value in a trial's record; `None` where it was not measured or does not apply.
    pub fn of(self, record: &TrialRecord) -> Option<f64> {
        let summary = record.summary.as_ref()?;
        // A link without delay has no round-trip time to count in.
        let rtts = |ms: Option<f64>| {
            let rtt = record.trial.link.rtt().as_millis_f64();
            ms.filter(|_| rtt > 0.0).map(|ms| ms / rtt)
        };
        // A share of nothing is no share.
        let of_blocking =
            |figure: fn(&Blocking) -> f64| summary.blocking.as_ref().map(figure).filter(|value| value.is_finite());
        match self {
            Field::Messages => Some(summary.messages as f64),
            Field::Delivered => Some(summary.delivered as f64),
            Field::ReceivedBytes => Some(summary.received_bytes as f64),
            Field::OfferedBytes => Some(summary.offered_bytes as f64),
            Field::DeliveredShare => (summary.offered_bytes > 0)
                .then(|| 100.0 * summary.received_bytes as f64 / summary.offered_bytes as f64),
            Field::Goodput => summary.goodput_bits_per_second.map(|bits| bits / 1e6),
            Field::Completion => summary.completion_ms,
            Field::DelayP50 => summary.delay_ms.map(|d| d.p50),
            Field::DelayP90 => summary.delay_ms.map(|d| d.p90),
            Field::DelayP95 => summary.delay_ms.map(|d| d.p95),
            Field::DelayP99 => summary.delay_ms.map(|d| d.p99),
            Field::DelayMax => summary.delay_ms.map(|d| d.max),
            Field::Handshake => summary.handshake_ms,
            Field::HandshakeRtts => rtts(summary.handshake_ms),
            Field::HandshakeEnds => summary.handshake.map(|parts| parts.ends_ms),
            Field::FirstByte => summary.first_byte_ms,
            Field::FirstByteRtts => rtts(summary.first_byte_ms),
            Field::WireBytes => summary.wire_bytes.map(|n| n as f64),
            Field::PacketsDropped => summary.packets_dropped.map(|n| n as f64),
            Field::Retransmissions => summary.retransmissions.map(|n| n as f64),
            Field::StartConnections => summary.start.map(|start| f64::from(start.connections)),
            Field::StartWindow => summary.start.map(|start| start.window as f64),
            Field::StartRtt => summary.start.map(|start| start.srtt_us as f64 / 1e3),
            Field::StartWarmup => summary.start.map(|start| start.warmup as f64),
            Field::StartLosses => summary.start.map(|start| start.losses as f64),
            Field::ClientCpu => summary.client_cpu_s_per_gb,
            Field::ServerCpu => summary.server_cpu_s_per_gb,
            Field::InnocentBlocked => of_blocking(|b| 100.0 * b.innocent_blocked as f64 / b.innocent as f64),
            Field::BlockedMean => of_blocking(|b| b.blocked_mean_ms),
            Field::BlockedP50 => of_blocking(|b| b.blocked_ms.p50),
            Field::BlockedP95 => of_blocking(|b| b.blocked_ms.p95),
            Field::BlockedP99 => of_blocking(|b| b.blocked_ms.p99),
            Field::BlockedMax => of_blocking(|b| b.blocked_ms.max),
            Field::StallMean => of_blocking(|b| b.stall_mean_ms),
            Field::StallP50 => summary.blocking.as_ref()?.stall_ms.map(|stall| stall.p50),
            Field::StallP95 => summary.blocking.as_ref()?.stall_ms.map(|stall| stall.p95),
            Field::StallMax => of_blocking(|b| b.stall_max_ms),
            Field::Buffered => of_blocking(|b| b.buffered_byte_seconds),
            Field::TailHold => of_blocking(|b| 100.0 * b.of_slowest.hold / b.of_slowest.total()),
            Field::TailNetwork => {
                of_blocking(|b| 100.0 * (b.of_slowest.queue + b.of_slowest.propagation) / b.of_slowest.total())
            }
            Field::TailOwnLoss => of_blocking(|b| 100.0 * b.of_slowest.own_loss / b.of_slowest.total()),
            Field::TailBlocked => of_blocking(|b| 100.0 * b.of_slowest.blocked() / b.of_slowest.total()),
            Field::TailStack => of_blocking(|b| 100.0 * b.of_slowest.stack / b.of_slowest.total()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_a_column() {
        let mut names: Vec<_> = Field::ALL.iter().map(|f| f.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Field::ALL.len());
        assert!(names.iter().all(|n| n.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')));
    }
}
