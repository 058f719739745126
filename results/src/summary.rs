//! One trial's figures, from its records alone.
//!
//! A figure that the records do not hold is `None`. Every rate says over which time it is counted,
//! so that no byte delivered outside that time enters it.

use samepath_model::book::Entry;
use samepath_model::experiment::Trial;
use samepath_model::link::Direction;
use samepath_model::record::Percentiles;
use samepath_model::record::{
    DirectionReport, DropCause, EndReport, LinkReport, MessageRecord, Metric, NameLookup, PlayReport, SERIES_BIN_NANOS,
    SeriesPoint, Summary,
};
use samepath_model::workload::Workload;

use crate::{metric, score};

/// What a summary needs besides messages and series.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reports<'a> {
    /// What the client says of itself.
    pub client: Option<&'a EndReport>,
    /// What the server says of itself.
    pub server: Option<&'a EndReport>,
    /// What the link says of itself.
    pub link: Option<&'a LinkReport>,
    /// See [`PlayReport::name_lookup`].
    pub name_lookup: Option<NameLookup>,
    /// See [`PlayReport::handshake_ns`], in milliseconds.
    pub handshake_ms: Option<f64>,
    /// See [`PlayReport::first_byte_ns`], in milliseconds.
    pub first_byte_ms: Option<f64>,
}

/// The figures of a trial, from what its ends and its link reported.
pub fn summarise(trial: &Trial, play: &PlayReport, link: Option<&LinkReport>) -> Summary {
    let reports = Reports {
        client: Some(&play.client),
        server: Some(&play.server),
        link,
        name_lookup: play.name_lookup,
        handshake_ms: play.handshake_ns.map(millis),
        first_byte_ms: play.first_byte_ns.map(millis),
    };
    from_records(trial, &play.messages, &play.series, reports)
}

/// The figures of a trial, from its records.
pub fn from_records(
    trial: &Trial,
    messages: &[MessageRecord],
    series: &[SeriesPoint],
    reports: Reports<'_>,
) -> Summary {
    let scored = trial.workload.scored_streams();
    let of_scored = messages.iter().filter(|message| scored.contains(&message.stream));
    let mut delays: Vec<i64> = of_scored.filter_map(|m| Some(m.delivered? - m.released)).collect();
    let delivered = messages.iter().filter(|message| message.delivered.is_some()).count();
    let received: u64 = messages.iter().map(|m| m.received).sum();
    let all_delivered = !messages.is_empty() && delivered == messages.len();
    let last_delivery = messages.iter().filter_map(|m| m.delivered).max();
    let sender = match trial.workload.direction() {
        Direction::Up => reports.client,
        Direction::Down => reports.server,
    };
    let carried = carried(trial, [reports.client, reports.server], received);
    let counted = reports.link.filter(|link| link.counts_packets());
    Summary {
        messages: messages.len() as u64,
        delivered: delivered as u64,
        received_bytes: received,
        offered_bytes: messages.iter().map(|m| m.size).sum(),
        goodput_bits_per_second: goodput(&trial.workload, received, last_delivery, all_delivered, series),
        completion_ms: last_delivery.filter(|_| all_delivered).map(|ns| ns as f64 / 1e6),
        delay_ms: Percentiles::of_nanos(&mut delays),
        name_lookup: reports.name_lookup,
        handshake_ms: reports.handshake_ms,
        // Needs the ledger, too: see `crate::handshake`.
        handshake: None,
        first_byte_ms: reports.first_byte_ms,
        score: (score::of_workload(&trial.workload).of_messages)(trial, messages)
            .into_iter()
            .map(|(of, value)| (of.name.to_owned(), value))
            .collect(),
        wire_bytes: counted.map(|link| link.up.bytes + link.down.bytes),
        packets_dropped: counted.map(|link| lost(&link.up) + lost(&link.down)),
        retransmissions: retransmissions(reports),
        start: sender.and_then(|end| end.start),
        client_cpu_s_per_gb: cpu_s_per_gb(reports.client, carried),
        server_cpu_s_per_gb: cpu_s_per_gb(reports.server, carried),
        // Needs the ledger and the layout, which are not at hand here: see `crate::blocking`.
        blocking: None,
        // Needs the other flows: see `crate::flows`.
        link_share: None,
    }
}

/// Adds what stands in the book of the server that was paid.
pub fn note_book(summary: &mut Summary, trial: &Trial, messages: &[MessageRecord], book: &[Entry]) {
    let figures = metric::payment::of_book(trial, messages, book);
    summary.score.extend(figures.into_iter().map(|(of, value)| (of.name.to_owned(), value)));
}

/// What both ends sent again, each as a sender.
fn retransmissions(reports: Reports<'_>) -> Option<u64> {
    let of_ends = [reports.client, reports.server].into_iter().flatten().filter_map(|end| end.retransmissions);
    of_ends.reduce(|client, server| client + server)
}

/// Payload bytes that CPU time and wire bytes were spent on: those received, and the warm-up before them, which no
/// message counts. `None` where nothing was received.
pub(crate) fn carried(trial: &Trial, ends: [Option<&EndReport>; 2], received: u64) -> Option<u64> {
    let by_ends: u64 = ends.into_iter().flatten().map(|end| end.bytes_received).sum();
    let received = if by_ends > 0 { by_ends } else { received };
    let ways = Direction::BOTH.into_iter().filter(|way| trial.workload.carries(*way)).count() as u64;
    (received > 0).then(|| received + ways * trial.workload.warmup(trial.arm).bytes())
}

/// CPU seconds of an end per gigabyte (10⁹ bytes) of payload carried.
fn cpu_s_per_gb(end: Option<&EndReport>, carried: Option<u64>) -> Option<f64> {
    let seconds = end.map(|end| (end.cpu_user_ns + end.cpu_system_ns) as f64 / 1e9)?;
    Some(seconds / (carried? as f64 / 1e9))
}

/// Packets that the path lost in one direction.
fn lost(direction: &DirectionReport) -> u64 {
    let still_under_way = DropCause::LinkDown.name();
    direction.dropped.iter().filter(|(cause, _)| *cause != still_under_way).map(|(_, packets)| packets).sum()
}

/// Payload per second, in bits.
///
/// - `bulk` for a duration: the bytes read within it; what was still under way at its end, and was
///   read later, is left out.
/// - `bulk` of so many bytes: all bytes over the time to the last of them.
/// - `messages`: all bytes over the schedule, or over the time to the last delivery if that is later.
fn goodput(
    workload: &Workload,
    received: u64,
    last_delivery: Option<i64>,
    all_delivered: bool,
    series: &[SeriesPoint],
) -> Option<f64> {
    let nominal = workload.nominal_duration().map(|d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
    // Where a message stayed incomplete, its last bytes are seen in the series alone.
    let last_read = if all_delivered { last_delivery } else { last_delivery.max(end_of_last_bin(series)) };
    let (bytes, nanos) = match (workload, nominal) {
        (Workload::Bulk(_), Some(duration)) => match read_until(series, duration) {
            Some(bytes) => (bytes, duration),
            None => (received as f64, duration.max(last_delivery.unwrap_or(0))),
        },
        (_, duration) => (received as f64, last_read.max(duration)?),
    };
    (nanos > 0).then(|| bytes * 8.0 / (nanos as f64 / 1e9))
}

/// Bytes read from the epoch until `end`; of a bin that straddles it, the share that lies before.
/// `None` where the series were not recorded.
fn read_until(series: &[SeriesPoint], end: i64) -> Option<f64> {
    let mut bins = delivered_bins(series).peekable();
    bins.peek()?;
    let share = |at: i64| ((end - at) as f64 / SERIES_BIN_NANOS as f64).clamp(0.0, 1.0);
    Some(bins.filter(|point| point.at >= 0).map(|point| point.value * share(point.at)).sum())
}

fn end_of_last_bin(series: &[SeriesPoint]) -> Option<i64> {
    delivered_bins(series).filter(|point| point.value > 0.0).map(|point| point.at + SERIES_BIN_NANOS).max()
}

fn delivered_bins(series: &[SeriesPoint]) -> impl Iterator<Item = &SeriesPoint> {
    series.iter().filter(|point| point.metric == Metric::DeliveredBytes)
}

fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use samepath_model::record::End;

    use super::*;
    use crate::fixture;

    fn trial(part: &str, arm: &str, loss: Option<&str>) -> Trial {
        let experiment = fixture::experiment();
        let trials = experiment.trials();
        let fits =
            |t: &&Trial| t.part == part && t.arm.to_string() == arm && t.axes.get("loss").map(String::as_str) == loss;
        trials.iter().find(fits).unwrap().clone()
    }

    #[test]
    fn messages_by_hand() {
        let trial = trial("messages", "tcp", Some("1%"));
        let play = fixture::play(&trial, 1.0);
        let summary = summarise(&trial, &play, Some(&fixture::link()));
        let jitter = 1.01;
        let delay = summary.delay_ms.unwrap();
        assert_eq!((summary.messages, summary.delivered), (100, 100));
        assert!((delay.p50 - 30.0 * jitter).abs() < 1e-6 && (delay.p90 - 30.0 * jitter).abs() < 1e-6);
        // One message in ten waits for another RTT.
        assert!((delay.p95 - 90.0 * jitter).abs() < 1e-6 && (delay.max - 90.0 * jitter).abs() < 1e-6);
        assert_eq!((summary.received_bytes, summary.offered_bytes), (100_000, 100_000));
        assert_eq!(summary.wire_bytes, Some(152_000));
        assert_eq!(summary.packets_dropped, Some(2));
        assert_eq!(summary.retransmissions, Some(3));
        assert_eq!(summary.handshake_ms, Some(60.1));
        // 2 ms of CPU for 100 kB of messages and 1 MB of warm-up.
        assert!((summary.client_cpu_s_per_gb.unwrap() - 2e-3 / 1.1e-3).abs() < 1e-9, "{summary:?}");
        // The schedule of 25 × 40 ms is over; the last to arrive was released at 970 ms and hit.
        let last = 970.0 + 90.0 * jitter;
        assert!((summary.completion_ms.unwrap() - last).abs() < 1e-6, "{summary:?}");
        assert!((summary.goodput_bits_per_second.unwrap() - 800_000.0 / (last / 1e3)).abs() < 1.0);
    }

    #[test]
    fn what_was_lost_is_missing_and_not_zero() {
        let trial = trial("messages", "udp", Some("1%"));
        let summary = summarise(&trial, &fixture::play(&trial, 1.0), None);
        assert_eq!((summary.messages, summary.delivered, summary.received_bytes), (100, 90, 90_000));
        assert_eq!(summary.completion_ms, None);
        assert_eq!((summary.handshake_ms, summary.wire_bytes, summary.retransmissions), (None, None, None));
        assert!(summary.delay_ms.is_some_and(|d| d.max < 31.0));

        let nothing = from_records(&trial, &[], &[], Reports::default());
        assert_eq!((nothing.delay_ms, nothing.completion_ms, nothing.client_cpu_s_per_gb), (None, None, None));
    }

    #[test]
    fn what_nothing_counted_is_missing() {
        let trial = trial("messages", "tcp", Some("1%"));
        let bare = LinkReport { backend: "none".into(), ..fixture::link() };
        let summary = summarise(&trial, &fixture::play(&trial, 1.0), Some(&bare));
        assert_eq!((summary.wire_bytes, summary.packets_dropped), (None, None));
    }

    #[test]
    fn udp_has_no_warm_up_to_divide_by() {
        let trial = trial("messages", "udp", Some("0%"));
        let summary = summarise(&trial, &fixture::play(&trial, 1.0), None);
        // 2 ms of CPU for 100 kB are 20 s for 1 GB.
        assert!((summary.client_cpu_s_per_gb.unwrap() - 20.0).abs() < 1e-9, "{summary:?}");
    }

    #[test]
    fn bulk_is_counted_over_its_own_time() {
        let mut trial = trial("bulk", "tcp", None);
        let mut play = fixture::play(&trial, 1.0);
        let summary = summarise(&trial, &play, None);
        assert!((summary.goodput_bits_per_second.unwrap() - 8e6 / 0.505).abs() < 1.0, "{summary:?}");

        // For a duration: a bin that reaches beyond its end counts by half, one after it not at all.
        let Workload::Bulk(bulk) = &mut trial.workload else { unreachable!("the part is bulk") };
        (bulk.bytes, bulk.duration) = (None, Some(samepath_model::Duration::from_millis(95)));
        let bin =
            |at: i64| SeriesPoint { flow: 0, at, end: End::Client, metric: Metric::DeliveredBytes, value: 1000.0 };
        play.series = (-1..20).map(|i| bin(i * SERIES_BIN_NANOS)).collect();
        let summary = summarise(&trial, &play, None);
        assert!((summary.goodput_bits_per_second.unwrap() - 9_500.0 * 8.0 / 0.095).abs() < 1e-3, "{summary:?}");
        // Without series there is no telling when bytes came: the time to the last of them.
        play.series.clear();
        let summary = summarise(&trial, &play, None);
        assert!((summary.goodput_bits_per_second.unwrap() - 8e6 / 0.505).abs() < 1.0, "{summary:?}");
    }

    #[test]
    fn an_incomplete_transfer_is_counted_to_its_last_byte() {
        let trial = trial("bulk", "tcp", None);
        let mut play = fixture::play(&trial, 1.0);
        play.messages[0].delivered = None;
        play.messages[0].received = 500_000;
        let summary = summarise(&trial, &play, None);
        // The series end at 500 ms.
        assert!((summary.goodput_bits_per_second.unwrap() - 8e6).abs() < 1.0, "{summary:?}");
    }
}
