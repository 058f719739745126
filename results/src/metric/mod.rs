//! Metrics: the figures of a trial, a row each, for tables, comparisons and charts.
//!
//! A row says what a metric is called, in which unit it counts, which way it improves, and how it is read from a
//! trial's record. Code names a metric by its row, as [`DELAY_P95`]; [`ALL`] has them in the order of the tables.

pub(crate) mod chat;
pub(crate) mod compression;
pub(crate) mod connect;
mod definition;
pub(crate) mod fan_out;
pub(crate) mod frames;
pub(crate) mod game_state;
pub(crate) mod page;
pub(crate) mod payment;
pub(crate) mod query;
pub(crate) mod rpc;
pub(crate) mod video_on_demand;
pub(crate) mod voice;
pub(crate) mod writes;

use samepath_model::blocking::Blocking;
use samepath_model::record::{Percentiles, Summary, TrialRecord};
use samepath_model::start::StartState;

use Better::{Higher, Lower};
pub(crate) use definition::PLAIN;
pub use definition::{Better, Metric, Unit};

/// Makes each row a constant, and [`ALL`] of all of them.
macro_rules! metrics {
    ($($(#[$doc:meta])* $row:ident = $metric:expr;)*) => {
        $($(#[$doc])* pub const $row: Metric = $metric;)*

        /// Those of every workload.
        const COMMON: &[&Metric] = &[$(&$row),*];
    };
}

/// Every metric, in the order of the tables.
pub const ALL: &[&Metric] = &joined::<{ count(LISTS) }>(LISTS);

/// Those of every workload, and of each that has its own.
const LISTS: &[&[&Metric]] = &[
    COMMON,
    rpc::METRICS,
    compression::METRICS,
    fan_out::METRICS,
    voice::METRICS,
    frames::METRICS,
    page::METRICS,
    video_on_demand::METRICS,
    game_state::METRICS,
    query::METRICS,
    payment::METRICS,
    chat::METRICS,
    connect::METRICS,
    writes::METRICS,
];

const fn count(lists: &[&[&Metric]]) -> usize {
    let (mut n, mut list) = (0, 0);
    while list < lists.len() {
        n += lists[list].len();
        list += 1;
    }
    n
}

/// One list after the other.
const fn joined<const N: usize>(lists: &[&[&'static Metric]]) -> [&'static Metric; N] {
    let mut all = [lists[0][0]; N];
    let (mut at, mut list) = (0, 0);
    while list < lists.len() {
        let mut n = 0;
        while n < lists[list].len() {
            all[at] = lists[list][n];
            (at, n) = (at + 1, n + 1);
        }
        list += 1;
    }
    all
}

metrics! {
    /// Messages that the schedule released.
    MESSAGES = Metric {
        name: "messages", label: "messages", unit: Unit::Count,
        of: |t| Some(summary(t)?.messages as f64), ..PLAIN
    };
    /// Messages delivered whole.
    DELIVERED = Metric {
        name: "delivered", label: "delivered", unit: Unit::Count,
        of: |t| Some(summary(t)?.delivered as f64), ..PLAIN
    };
    /// Payload bytes received.
    RECEIVED_BYTES = Metric {
        name: "received_bytes", label: "received", unit: Unit::Bytes,
        of: |t| Some(summary(t)?.received_bytes as f64), ..PLAIN
    };
    /// Payload bytes offered.
    OFFERED_BYTES = Metric {
        name: "offered_bytes", label: "offered", unit: Unit::Bytes,
        of: |t| Some(summary(t)?.offered_bytes as f64), ..PLAIN
    };
    /// Share of the offered payload bytes that were received, in percent.
    DELIVERED_SHARE = Metric {
        name: "delivered_percent", label: "delivered share", unit: Unit::Percent, better: Some(Higher),
        of: |t| delivered_percent(summary(t)?),
        head: Some("delivered\n%"), changes: ("more", "less"), is_share_of_all: true,
    };
    /// Payload received per second.
    GOODPUT = Metric {
        name: "goodput_mbit_per_s", label: "goodput", unit: Unit::MbitPerSecond, better: Some(Higher),
        of: |t| summary(t)?.goodput_bits_per_second.map(|bits| bits / 1e6), ..PLAIN
    };
    /// The flow's part of the payload of all `bulk` flows under congestion control of its trial while all of them were
    /// sending, in percent.
    LINK_SHARE = Metric {
        name: "link_share_percent", label: "share of the link", unit: Unit::Percent,
        of: |t| summary(t)?.link_share.map(|link| 100.0 * link.share), head: Some("share of\nthe link %"), ..PLAIN
    };
    /// Jain's fairness index of those parts.
    JAIN_INDEX = Metric {
        name: "jain_index", label: "Jain's index", unit: Unit::Index,
        of: |t| summary(t)?.link_share.map(|link| link.jain_index), head: Some("Jain's\nindex"), ..PLAIN
    };
    /// From the epoch until the last message was delivered.
    COMPLETION = Metric {
        name: "completion_ms", label: "completion", unit: Unit::Millis, better: Some(Lower),
        of: |t| summary(t)?.completion_ms, ..PLAIN
    };
    /// Median of the message delay.
    DELAY_P50 = Metric {
        name: "delay_p50_ms", label: "delay p50", unit: Unit::Millis, better: Some(Lower),
        of: |t| delay(t, |d| d.p50), ..PLAIN
    };
    /// 90th percentile of the message delay.
    DELAY_P90 = Metric {
        name: "delay_p90_ms", label: "delay p90", unit: Unit::Millis, better: Some(Lower),
        of: |t| delay(t, |d| d.p90), ..PLAIN
    };
    /// 95th percentile of the message delay.
    DELAY_P95 = Metric {
        name: "delay_p95_ms", label: "delay p95", unit: Unit::Millis, better: Some(Lower),
        of: |t| delay(t, |d| d.p95), ..PLAIN
    };
    /// 99th percentile of the message delay.
    DELAY_P99 = Metric {
        name: "delay_p99_ms", label: "delay p99", unit: Unit::Millis, better: Some(Lower),
        of: |t| delay(t, |d| d.p99), ..PLAIN
    };
    /// Largest message delay.
    DELAY_MAX = Metric {
        name: "delay_max_ms", label: "delay max", unit: Unit::Millis, better: Some(Lower),
        of: |t| delay(t, |d| d.max), ..PLAIN
    };
    /// From the start of connecting until the handshake was done.
    HANDSHAKE = Metric {
        name: "handshake_ms", label: "handshake", unit: Unit::Millis, better: Some(Lower),
        of: |t| summary(t)?.handshake_ms, ..PLAIN
    };
    /// The same, in round-trip times of the link.
    HANDSHAKE_RTTS = Metric {
        name: "handshake_rtts", label: "handshake", unit: Unit::RoundTrips, better: Some(Lower),
        of: |t| round_trips(t, summary(t)?.handshake_ms), ..PLAIN
    };
    /// Of it, the time in which no packet was on the link, nor a lost one waited for: the ends' own.
    HANDSHAKE_ENDS = Metric {
        name: "handshake_ends_ms", label: "handshake: ends", unit: Unit::Millis, better: Some(Lower),
        of: |t| summary(t)?.handshake.map(|parts| parts.ends_ms), ..PLAIN
    };
    /// From the start of connecting, or of the lookup before it, until the first payload byte was read.
    FIRST_BYTE = Metric {
        name: "first_byte_ms", label: "first byte", unit: Unit::Millis, better: Some(Lower),
        of: |t| summary(t)?.first_byte_ms, ..PLAIN
    };
    /// The same, in round-trip times of the link.
    FIRST_BYTE_RTTS = Metric {
        name: "first_byte_rtts", label: "first byte", unit: Unit::RoundTrips, better: Some(Lower),
        of: |t| round_trips(t, summary(t)?.first_byte_ms), ..PLAIN
    };
    /// Bytes of IP packets offered to the link, both directions.
    WIRE_BYTES = Metric {
        name: "wire_bytes", label: "wire", unit: Unit::Bytes,
        of: |t| summary(t)?.wire_bytes.map(|n| n as f64), ..PLAIN
    };
    /// Packets that the link dropped, both directions.
    PACKETS_DROPPED = Metric {
        name: "packets_dropped", label: "dropped", unit: Unit::Count,
        of: |t| summary(t)?.packets_dropped.map(|n| n as f64), ..PLAIN
    };
    /// Segments retransmitted (TCP) or packets declared lost (QUIC), by the sender.
    RETRANSMISSIONS = Metric {
        name: "retransmissions", label: "retransmissions", unit: Unit::Count,
        of: |t| summary(t)?.retransmissions.map(|n| n as f64),
        head: Some("retrans-\nmissions"), ..PLAIN
    };
    /// Connections of the sender as its schedule started.
    START_CONNECTIONS = Metric {
        name: "start_connections", label: "connections", unit: Unit::Count,
        of: |t| start(t, |start| f64::from(start.connections)), ..PLAIN
    };
    /// The sum of their congestion windows then.
    START_WINDOW = Metric {
        name: "start_window_bytes", label: "window at the start", unit: Unit::Bytes,
        of: |t| start(t, |start| start.window as f64), ..PLAIN
    };
    /// The longest of their smoothed round-trip times then.
    START_RTT = Metric {
        name: "start_srtt_ms", label: "smoothed RTT at the start", unit: Unit::Millis,
        of: |t| start(t, |start| start.srtt_us as f64 / 1e3), ..PLAIN
    };
    /// Payload bytes of warm-up that they had carried by then.
    START_WARMUP = Metric {
        name: "start_warmup_bytes", label: "warm-up", unit: Unit::Bytes,
        of: |t| start(t, |start| start.warmup as f64), ..PLAIN
    };
    /// Packets or segments that they had declared lost or retransmitted by then.
    START_LOSSES = Metric {
        name: "start_losses", label: "lost before the start", unit: Unit::Count,
        of: |t| start(t, |start| start.losses as f64), ..PLAIN
    };
    /// CPU seconds of the client per gigabyte (10⁹) of payload, the warm-up included.
    CLIENT_CPU = Metric {
        name: "client_cpu_s_per_gb", label: "client CPU", unit: Unit::SecondsPerGigabyte, better: Some(Lower),
        of: |t| summary(t)?.client_cpu_s_per_gb, ..PLAIN
    };
    /// CPU seconds of the server per gigabyte (10⁹) of payload, the warm-up included.
    SERVER_CPU = Metric {
        name: "server_cpu_s_per_gb", label: "server CPU", unit: Unit::SecondsPerGigabyte, better: Some(Lower),
        of: |t| summary(t)?.server_cpu_s_per_gb, ..PLAIN
    };
    /// Share of the intact messages (the first copy of every byte arrived) that were blocked for over a
    /// millisecond, in percent.
    INTACT_BLOCKED = Metric {
        name: "intact_blocked_percent", label: "intact blocked", unit: Unit::Percent, better: Some(Lower),
        of: |t| blocking(t, |b| 100.0 * b.intact_blocked as f64 / b.intact as f64),
        head: Some("intact\nblocked %"), ..PLAIN
    };
    /// Mean of the blocked time: what a message waited for bytes other than its own.
    BLOCKED_MEAN = Metric {
        name: "blocked_mean_ms", label: "blocked mean", unit: Unit::Millis, better: Some(Lower),
        of: |t| blocking(t, |b| b.blocked_mean_ms), ..PLAIN
    };
    /// Median of the blocked time.
    BLOCKED_P50 = Metric {
        name: "blocked_p50_ms", label: "blocked p50", unit: Unit::Millis, better: Some(Lower),
        of: |t| blocking(t, |b| b.blocked_ms.p50), ..PLAIN
    };
    /// 95th percentile of the blocked time.
    BLOCKED_P95 = Metric {
        name: "blocked_p95_ms", label: "blocked p95", unit: Unit::Millis, better: Some(Lower),
        of: |t| blocking(t, |b| b.blocked_ms.p95), ..PLAIN
    };
    /// 99th percentile of the blocked time.
    BLOCKED_P99 = Metric {
        name: "blocked_p99_ms", label: "blocked p99", unit: Unit::Millis, better: Some(Lower),
        of: |t| blocking(t, |b| b.blocked_ms.p99), ..PLAIN
    };
    /// Largest blocked time.
    BLOCKED_MAX = Metric {
        name: "blocked_max_ms", label: "blocked max", unit: Unit::Millis, better: Some(Lower),
        of: |t| blocking(t, |b| b.blocked_ms.max), ..PLAIN
    };
    /// Time in which a stream held bytes that it could not deliver, mean over the streams.
    STALL_MEAN = Metric {
        name: "stall_mean_ms", label: "stall a stream", unit: Unit::Millis, better: Some(Lower),
        of: |t| blocking(t, |b| b.stall_mean_ms), ..PLAIN
    };
    /// Its median over the streams.
    STALL_P50 = Metric {
        name: "stall_p50_ms", label: "stall p50", unit: Unit::Millis, better: Some(Lower),
        of: |t| summary(t)?.blocking.as_ref()?.stall_ms.map(|stall| stall.p50), ..PLAIN
    };
    /// Its 95th percentile over the streams.
    STALL_P95 = Metric {
        name: "stall_p95_ms", label: "stall p95", unit: Unit::Millis, better: Some(Lower),
        of: |t| summary(t)?.blocking.as_ref()?.stall_ms.map(|stall| stall.p95), ..PLAIN
    };
    /// The same of the stream that stalled longest.
    STALL_MAX = Metric {
        name: "stall_max_ms", label: "longest stall", unit: Unit::Millis, better: Some(Lower),
        of: |t| blocking(t, |b| b.stall_max_ms), ..PLAIN
    };
    /// Bytes held back times how long.
    BUFFERED = Metric {
        name: "buffered_byte_seconds", label: "held back", unit: Unit::ByteSeconds, better: Some(Lower),
        of: |t| blocking(t, |b| b.buffered_byte_seconds), ..PLAIN
    };
    /// Share of the delay of the slowest hundredth of messages that was sender hold, in percent.
    TAIL_HOLD = Metric {
        name: "tail_sender_hold_percent", label: "tail: hold", unit: Unit::Percent,
        of: |t| blocking(t, |b| 100.0 * b.of_slowest.hold / b.of_slowest.total()), ..PLAIN
    };
    /// The same, on the link: propagation and queue.
    TAIL_NETWORK = Metric {
        name: "tail_network_percent", label: "tail: network", unit: Unit::Percent,
        of: |t| blocking(t, |b| 100.0 * (b.of_slowest.queue + b.of_slowest.propagation) / b.of_slowest.total()),
        ..PLAIN
    };
    /// The same, waiting for its own lost bytes.
    TAIL_OWN_LOSS = Metric {
        name: "tail_own_loss_percent", label: "tail: own loss", unit: Unit::Percent,
        of: |t| blocking(t, |b| 100.0 * b.of_slowest.own_loss / b.of_slowest.total()), ..PLAIN
    };
    /// The same, blocked.
    TAIL_BLOCKED = Metric {
        name: "tail_blocked_percent", label: "tail: blocked", unit: Unit::Percent,
        of: |t| blocking(t, |b| 100.0 * b.of_slowest.blocked() / b.of_slowest.total()), ..PLAIN
    };
    /// The same, in the receiving host.
    TAIL_STACK = Metric {
        name: "tail_host_stack_percent", label: "tail: stack", unit: Unit::Percent,
        of: |t| blocking(t, |b| 100.0 * b.of_slowest.stack / b.of_slowest.total()), ..PLAIN
    };
}

fn summary(record: &TrialRecord) -> Option<&Summary> {
    record.summary.as_ref()
}

fn delivered_percent(summary: &Summary) -> Option<f64> {
    (summary.offered_bytes > 0).then(|| 100.0 * summary.received_bytes as f64 / summary.offered_bytes as f64)
}

fn delay(record: &TrialRecord, figure: fn(&Percentiles) -> f64) -> Option<f64> {
    summary(record)?.delay_ms.as_ref().map(figure)
}

/// A time in round trips of the link: one without delay has no round-trip time to count in.
fn round_trips(record: &TrialRecord, ms: Option<f64>) -> Option<f64> {
    let rtt = record.trial.link.rtt().as_millis_f64();
    ms.filter(|_| rtt > 0.0).map(|ms| ms / rtt)
}

fn start(record: &TrialRecord, figure: fn(&StartState) -> f64) -> Option<f64> {
    summary(record)?.start.as_ref().map(figure)
}

/// A figure of blocking; a share of nothing is no share.
fn blocking(record: &TrialRecord, figure: fn(&Blocking) -> f64) -> Option<f64> {
    summary(record)?.blocking.as_ref().map(figure).filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_a_column() {
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        let keys: std::collections::BTreeSet<_> = ALL.iter().map(|metric| metric.key()).collect();
        assert_eq!(keys.len(), ALL.len());
        assert!(names.iter().all(|n| n.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')));
    }
}
