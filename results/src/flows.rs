//! Flows of one trial beside each other: what each put on the link, and how they shared it.

use samepath_model::experiment::Trial;
use samepath_model::flow::FlowId;
use samepath_model::record::{
    DropCause, LinkShare, Metric, PacketRecord, PlayReport, SERIES_BIN_NANOS, SeriesPoint, Summary,
};
use samepath_model::units::Duration;
use samepath_model::workload::{Bulk, Workload};

/// Counts what each flow of a trial offered to the link and lost on it, as its packets pass by.
#[derive(Debug)]
pub struct FlowCounts(Vec<Count>);

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    bytes: u64,
    dropped: u64,
}

impl FlowCounts {
    /// For the flows of this trial.
    pub fn new(trial: &Trial) -> FlowCounts {
        FlowCounts(vec![Count::default(); 1 + trial.competing.len()])
    }

    /// A packet of the trial, in any order.
    pub fn see(&mut self, packet: &PacketRecord) {
        let Some(count) = packet.flow.and_then(|flow| self.0.get_mut(usize::from(flow))) else { return };
        // The link's own copies were not offered to it.
        count.bytes += if packet.duplicate { 0 } else { u64::from(packet.size) };
        count.dropped += u64::from(packet.dropped.is_some_and(DropCause::is_loss));
    }

    /// Puts a flow's counts in the place of those of the whole link.
    pub fn put(&self, flow: FlowId, summary: &mut Summary) {
        if let Some(count) = self.0.get(usize::from(flow)) {
            (summary.wire_bytes, summary.packets_dropped) = (Some(count.bytes), Some(count.dropped));
        }
    }
}

/// How the `bulk` flows of a trial that are under congestion control shared its link while all of them were sending, each
/// with its place among all flows; their reports count from the epoch of the trial ([`PlayReport::of_flow`]). None where
/// there are no two of them in the direction of the flow under test that were ever sending together.
pub fn shares(trial: &Trial, reports: &[PlayReport]) -> Vec<(usize, LinkShare)> {
    let mut all = Vec::with_capacity(reports.len());
    for ((place, report), flow) in reports.iter().enumerate().zip(trial.flows()) {
        let plan = trial.of_flow(flow);
        let Workload::Bulk(bulk) = &plan.workload else { continue };
        if !plan.arm.is_congestion_controlled || bulk.direction != trial.workload.direction() {
            continue;
        }
        let start = nanos(trial.start_of(flow));
        // A flow whose server is killed sends no more.
        let killed = trial.restarts.iter().filter(|restart| restart.flow == flow).map(|restart| nanos(restart.at));
        let Some(end) = end_of(bulk, start, report).into_iter().chain(killed).min() else { continue };
        all.push((place, start, end));
    }
    let from = all.iter().map(|flow| flow.1).max().unwrap_or(0);
    let until = all.iter().map(|flow| flow.2).min().unwrap_or(0);
    let read = |place: usize| read_between(&reports[place].series, from, until);
    let payload: Vec<(usize, f64)> = all.iter().map(|flow| (flow.0, read(flow.0))).collect();
    let sum: f64 = payload.iter().map(|(_, bytes)| bytes).sum();
    if payload.len() < 2 || until <= from || sum <= 0.0 {
        return Vec::new();
    }
    let squares: f64 = payload.iter().map(|(_, bytes)| bytes * bytes).sum();
    let jain_index = sum * sum / (payload.len() as f64 * squares);
    let ms = |at: i64| at as f64 / 1e6;
    let share = |bytes: f64| LinkShare { from_ms: ms(from), until_ms: ms(until), share: bytes / sum, jain_index };
    payload.into_iter().map(|(place, bytes)| (place, share(bytes))).collect()
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// When a flow that starts at `start` has sent all: its time is over, or its last byte was read.
fn end_of(bulk: &Bulk, start: i64, report: &PlayReport) -> Option<i64> {
    if let Some(duration) = bulk.duration {
        return Some(start.saturating_add(nanos(duration)));
    }
    let delivered: Option<Vec<i64>> = report.messages.iter().map(|message| message.delivered).collect();
    // Of datagrams some may never come.
    delivered
        .and_then(|all| all.into_iter().max())
        .or_else(|| bins(&report.series).map(|point| point.at + SERIES_BIN_NANOS).max())
}

/// Bytes that were read from one instant to another; of a bin that straddles either, the share that lies between.
fn read_between(series: &[SeriesPoint], from: i64, until: i64) -> f64 {
    let share = |at: i64| {
        let within = until.min(at + SERIES_BIN_NANOS) - from.max(at);
        within.max(0) as f64 / SERIES_BIN_NANOS as f64
    };
    bins(series).map(|point| point.value * share(point.at)).sum()
}

fn bins(series: &[SeriesPoint]) -> impl Iterator<Item = &SeriesPoint> {
    series.iter().filter(|point| point.metric == Metric::DeliveredBytes)
}

#[cfg(test)]
mod tests {
    use samepath_model::Experiment;
    use samepath_model::record::End;
    use samepath_model::restart::Restart;

    use super::*;
    use crate::fixture;

    /// tcp for four seconds, and quic for two from the first on.
    fn trial(competitor: &str) -> Trial {
        let text = format!(
            "schema = 1\nname = 'two'\n[[part]]\nname = 'bulk'\narms = ['tcp']\n\
             workload = {{ kind = 'bulk', duration = '4s' }}\n\
             [[part.competing-flow]]\narm = 'quic'\nstart = '1s'\nworkload = {competitor}\n"
        );
        Experiment::parse(&text).unwrap().trials()[0].clone()
    }

    /// A report of a flow that got so many bytes in each bin from `from_s` until `until_s`.
    fn report(trial: &Trial, flow: FlowId, [from_s, until_s]: [i64; 2], bytes: f64) -> PlayReport {
        let bin = |i: i64| SeriesPoint {
            flow,
            at: i * SERIES_BIN_NANOS,
            end: End::Client,
            metric: Metric::DeliveredBytes,
            value: bytes,
        };
        let series = (from_s * 100..until_s * 100).map(bin).collect();
        PlayReport { series, ..fixture::play(&trial.of_flow(flow), 1.0) }
    }

    #[test]
    fn shares_count_while_all_are_sending() {
        let trial = trial("{ kind = 'bulk', duration = '2s' }");
        let reports = [report(&trial, 0, [0, 4], 3000.0), report(&trial, 1, [1, 3], 1000.0)];
        let [(0, first), (1, second)] = shares(&trial, &reports)[..] else { panic!("two shares") };
        assert_eq!((first.from_ms, first.until_ms), (1000.0, 3000.0));
        assert_eq!((first.share, second.share), (0.75, 0.25));
        // (3 + 1)² / (2 × (3² + 1²))
        assert!([first, second].iter().all(|share| (share.jain_index - 0.8).abs() < 1e-12));
        // From when a server is killed its flow sends no more.
        let restart = Restart { flow: 1, at: Duration::from_secs(2), downtime: Duration::from_secs(1) };
        let killed = Trial { restarts: vec![restart], ..trial };
        assert_eq!(shares(&killed, &reports)[0].1.until_ms, 2000.0);
    }

    #[test]
    fn there_is_no_share_where_no_two_meet() {
        let bulk = trial("{ kind = 'bulk', duration = '2s' }");
        let alone = [report(&bulk, 0, [0, 4], 1.0)];
        assert_eq!(shares(&bulk, &alone), []);
        let nothing = [report(&bulk, 0, [0, 4], 0.0), report(&bulk, 1, [1, 3], 0.0)];
        assert_eq!(shares(&bulk, &nothing), []);
        let mut udp = trial("{ kind = 'bulk', duration = '2s' }");
        udp.competing[0].arm = "udp".parse().unwrap();
        let others = ["{ kind = 'messages', count = 5 }", "{ kind = 'bulk', duration = '2s', direction = 'up' }"];
        for trial in others.map(trial).into_iter().chain([udp]) {
            let reports = [report(&trial, 0, [0, 4], 1.0), report(&trial, 1, [1, 3], 1.0)];
            assert_eq!(shares(&trial, &reports), [], "{:?}", trial.competing);
        }
    }

    #[test]
    fn bins_that_straddle_a_bound_count_in_part() {
        let trial = trial("{ kind = 'bulk', duration = '2s' }");
        let series = report(&trial, 0, [0, 4], 1000.0).series;
        assert!((read_between(&series, 5_000_000, 25_000_000) - 2000.0).abs() < 1e-9);
        assert!(read_between(&series, 25_000_000, 5_000_000).abs() < 1e-9);
    }

    #[test]
    fn each_flow_counts_its_own_packets() {
        let trial = trial("{ kind = 'bulk', duration = '2s' }");
        let mut counts = FlowCounts::new(&trial);
        let whole = fixture::packets(2).last().unwrap();
        let packet = |flow, dropped, duplicate| PacketRecord { flow, dropped, duplicate, ..whole.clone() };
        for (flow, dropped, duplicate) in [
            (Some(0), None, false),
            (Some(1), None, false),
            (Some(1), None, true),
            (Some(1), Some(DropCause::Overflow), false),
            (Some(1), Some(DropCause::LinkDown), false),
            (None, Some(DropCause::Loss), false),
        ] {
            counts.see(&packet(flow, dropped, duplicate));
        }
        let of = |flow| {
            let mut summary = Summary::default();
            counts.put(flow, &mut summary);
            (summary.wire_bytes.unwrap() / u64::from(whole.size), summary.packets_dropped.unwrap())
        };
        assert_eq!((of(0), of(1)), ((1, 0), (3, 1)));
    }
}
