//! A report for people, and the figures that it shares with the JSON form.

use std::fmt::Write;

use samepath_model::fanned::Fanned;
use samepath_model::link::Direction;
use samepath_model::operations::Operations;
use samepath_model::record::{CoderReport, End, MessageRecord, Metric, NameLookup, Percentiles, SERIES_BIN_NANOS};
use samepath_model::workload::{Class, Workload};
use samepath_transport::Plan;

use crate::play::Played;
use crate::score::Figure;

/// Figures that need all of a report's messages.
pub(crate) struct Figures {
    /// Payload bytes handed to the transport.
    pub(crate) sent: u64,
    /// Payload bytes received.
    pub(crate) received: u64,
    /// Seconds over which the payload came: the workload's duration, or until the last delivery.
    pub(crate) seconds: f64,
    /// Seconds over which it was sent.
    pub(crate) sent_seconds: f64,
    /// Messages delivered whole.
    pub(crate) delivered: u64,
    /// Delays, release to delivery.
    pub(crate) delay_ms: Option<Percentiles>,
    /// What became of operations, where the workload has such.
    pub(crate) operations: Option<OperationFigures>,
}

/// What became of operations.
#[derive(serde::Serialize)]
pub(crate) struct OperationFigures {
    /// How many were released.
    pub(crate) released: u32,
    /// How many were answered in time.
    pub(crate) answered: usize,
    /// How many were refused.
    pub(crate) refused: u32,
    /// The latencies of those that were answered.
    pub(crate) latency_ms: Option<Percentiles>,
}

impl OperationFigures {
    fn of(workload: &Workload, messages: &[MessageRecord]) -> Option<OperationFigures> {
        let (released, mut latencies, refused) = match workload.scored() {
            Workload::Rpc(rpc) => {
                let all = Operations::of(rpc, workload.scored_streams(), messages);
                (all.released, all.latencies, all.refused)
            }
            Workload::FanOut(fan_out) => {
                let all = Fanned::of(fan_out, messages);
                (all.released, all.whole.iter().map(|whole| whole.latency).collect(), all.refused)
            }
            _ => return None,
        };
        let (answered, latency_ms) = (latencies.len(), Percentiles::of_nanos(&mut latencies));
        Some(OperationFigures { released, answered, refused, latency_ms })
    }
}

impl Figures {
    pub(crate) fn of(plan: &Plan, played: &Played) -> Figures {
        let messages = &played.report.messages;
        let nominal = plan.workload.nominal_duration().map(|d| d.as_secs_f64());
        let last = |times: &mut dyn Iterator<Item = i64>| times.max().map_or(0.0, |ns| ns as f64 / 1e9);
        let last_bin = played.report.series.iter().filter(|p| p.metric == Metric::DeliveredBytes && p.value > 0.0);
        let last_bin = last_bin.map(|p| p.at + SERIES_BIN_NANOS).max().unwrap_or(0);
        let end = last(&mut messages.iter().filter_map(|m| m.delivered)).max(if nominal.is_none() {
            // What was delivered in part counts until its last byte.
            if messages.iter().all(|m| m.delivered.is_some()) { 0.0 } else { last_bin as f64 / 1e9 }
        } else {
            0.0
        });
        let sent_end = last(&mut messages.iter().filter_map(|m| m.sent));
        let mut delays: Vec<i64> = messages.iter().filter_map(|m| Some(m.delivered? - m.released)).collect();
        Figures {
            sent: messages.iter().map(|m| if m.sent.is_some() { m.size } else { 0 }).sum::<u64>().max(
                // A message that was cut short was sent in part.
                played.report.client.bytes_sent.max(played.report.server.bytes_sent),
            ),
            received: messages.iter().map(|m| m.received).sum(),
            seconds: end.max(nominal.unwrap_or(0.0)),
            sent_seconds: sent_end.max(nominal.unwrap_or(0.0)),
            delivered: messages.iter().filter(|m| m.delivered.is_some()).count() as u64,
            delay_ms: Percentiles::of_nanos(&mut delays),
            operations: OperationFigures::of(&plan.workload, messages),
        }
    }
}

/// Percentiles as people read them.
fn told(p: &Percentiles) -> String {
    format!("p50 {:.3}  p90 {:.3}  p95 {:.3}  p99 {:.3}  max {:.3} ms", p.p50, p.p90, p.p95, p.p99, p.max)
}

/// Bits per second, or `None` where there is no time to divide by.
pub(crate) fn rate(bytes: u64, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| bytes as f64 * 8.0 / seconds)
}

/// Payload bytes received in each second of the session: start, end, bytes.
pub(crate) fn intervals(played: &Played) -> Vec<(f64, f64, u64)> {
    const SECOND: i64 = 1_000_000_000;
    let mut all: Vec<(f64, f64, u64)> = Vec::new();
    for point in played.report.series.iter().filter(|p| p.metric == Metric::DeliveredBytes && p.at >= 0) {
        let second = usize::try_from(point.at / SECOND).unwrap_or(0);
        while all.len() <= second {
            let start = all.len() as f64;
            all.push((start, start, 0));
        }
        let interval = &mut all[second];
        interval.1 = interval.1.max((point.at + SERIES_BIN_NANOS) as f64 / 1e9);
        interval.2 += point.value as u64;
    }
    all
}

fn human_rate(bits_per_second: f64) -> String {
    match bits_per_second {
        r if r >= 1e9 => format!("{:.2} Gbit/s", r / 1e9),
        r if r >= 1e6 => format!("{:.2} Mbit/s", r / 1e6),
        r => format!("{:.1} kbit/s", r / 1e3),
    }
}

fn human_bytes(bytes: u64) -> String {
    match bytes as f64 {
        b if b >= 1e9 => format!("{:.2} GB", b / 1e9),
        b if b >= 1e6 => format!("{:.2} MB", b / 1e6),
        b if b >= 1e3 => format!("{:.1} kB", b / 1e3),
        b => format!("{b} B"),
    }
}

/// The report as text.
pub(crate) fn text(plan: &Plan, played: &Played, score: &[Figure]) -> String {
    let (report, figures) = (&played.report, Figures::of(plan, played));
    let mut out = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<14}{value}");
    };
    line("arm", plan.arm.to_string());
    line("workload", plan.workload.to_string());
    let ms = |ns: u64| format!("{:.3} ms", ns as f64 / 1e6);
    if let Some(NameLookup { took_ns, tries, answered }) = report.name_lookup {
        let outcome = if answered { "answered" } else { "given up" };
        line("name lookup", format!("{outcome} after {}, queries: {tries}", ms(took_ns)));
    }
    if let Some(ns) = report.handshake_ns {
        line("handshake", ms(ns));
    }
    if let Some(ns) = report.first_byte_ns {
        let since = if report.name_lookup.is_some() { "the lookup" } else { "connecting" };
        line("first byte", format!("{} after the start of {since}", ms(ns)));
    }
    let share = |part: u64, all: u64| if all == 0 { 0.0 } else { part as f64 * 100.0 / all as f64 };
    if let Some(rate) = rate(figures.received, figures.seconds) {
        let text = format!(
            "{} in {:.3} s = {}, every byte verified",
            human_bytes(figures.received),
            figures.seconds,
            human_rate(rate)
        );
        line("received", text);
    }
    if plan.workload.has(Class::Latency) {
        let all = report.messages.len() as u64;
        line("delivered", format!("{} of {all} messages ({:.2} %)", figures.delivered, share(figures.delivered, all)));
    }
    if let (true, Some(p)) = (plan.workload.has(Class::Latency), figures.delay_ms) {
        line("delay", told(&p));
        if !played.same_clock {
            line("clock error", format!("± {} in every one-way figure", ms(report.clock_error_ns)));
        }
    }
    if let Some(OperationFigures { released, answered, refused, latency_ms }) = &figures.operations {
        let refused = if *refused == 0 { String::new() } else { format!(", {refused} refused") };
        line("operations", format!("{answered} of {released} answered{refused}"));
        if let Some(p) = latency_ms {
            line("latency", told(p));
        }
    }
    if let Some(done) = report.server.compression.filter(|done| done.coded_bytes > 0) {
        let ratio = done.content_bytes as f64 / done.coded_bytes as f64;
        let cpu = |coder: Option<CoderReport>| ms(coder.map_or(0, |coder| coder.cpu_ns));
        let text = format!(
            "{} to {} ({ratio:.2} : 1) by {} of CPU time at the server, {} at the client",
            human_bytes(done.content_bytes),
            human_bytes(done.coded_bytes),
            cpu(Some(done)),
            cpu(report.client.decompression)
        );
        line("compressed", text);
    }
    // Of operations the lines above say it.
    for (n, (_, words, _)) in score.iter().filter(|_| figures.operations.is_none()).enumerate() {
        line(if n == 0 { "score" } else { "" }, words.clone());
    }
    let (sender, receiver) = match plan.workload.direction() {
        Direction::Up => (&report.client, &report.server),
        Direction::Down => (&report.server, &report.client),
    };
    if let (Some(sent), Some(received)) = (sender.datagrams_sent, receiver.datagrams_received) {
        let distinct = received.saturating_sub(played.duplicates);
        let lost = sent.saturating_sub(distinct);
        line("datagrams", format!("{sent} offered, {distinct} received, {lost} lost ({:.3} %)", share(lost, sent)));
        if let Some(rate) = rate(figures.sent, figures.sent_seconds) {
            line("offered", format!("{} = {}", human_bytes(figures.sent), human_rate(rate)));
        }
        if let Some(ns) = played.jitter_ns {
            line("jitter", ms(ns));
        }
    }
    if let Some(n) = sender.retransmissions {
        line("retransmitted", format!("{n} packets"));
    }
    for (name, end) in [("client CPU", End::Client), ("server CPU", End::Server)] {
        line(name, format!("{:.0} %", cpu_percent(played, end)));
    }
    if !report.complete && plan.arm.is_reliable {
        line("incomplete", "not everything that was released was delivered in time".into());
    }
    out
}

/// CPU time of an end in percent of one core.
pub(crate) fn cpu_percent(played: &Played, end: End) -> f64 {
    let end = match end {
        End::Client => &played.report.client,
        End::Server => &played.report.server,
    };
    if end.wall_ns == 0 { 0.0 } else { (end.cpu_user_ns + end.cpu_system_ns) as f64 * 100.0 / end.wall_ns as f64 }
}
