//! Scores of requests and responses: the round trips and the service that they take, and what a full server does.

use samepath_model::experiment::Bound;
use samepath_model::operations::Operations;
use samepath_model::record::TrialRecord;
use samepath_model::workload::{Rpc, Workload};
use samepath_results::Run;

use super::{Finding, done, near, within_in};

/// T12. A request of one packet on a warm connection takes a round trip and the service; k of them in sequence take k
/// times as long, k in one message as long as one. At 1.2 times the capacity the server's backlog fills by the surplus,
/// and from then on the surplus is refused.
pub(crate) fn requests(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for record in done(run) {
        let Workload::Rpc(rpc) = &record.trial.workload else { continue };
        match record.trial.part.as_str() {
            "overload" => findings.extend(above_capacity(run, record, rpc)?),
            _ => findings.push(latency(record, rpc)),
        }
    }
    Ok(findings)
}

/// The median latency of operations, of `calls` round trips, or of one.
fn latency(record: &TrialRecord, rpc: &Rpc) -> Finding {
    let (rtt, calls) = (record.trial.link.rtt().as_millis_f64(), f64::from(rpc.requests()));
    let expected = calls * (rtt + rpc.service.as_millis_f64());
    let bound = match rpc.batched {
        true => Bound::Between(rtt, 1.15 * rtt),
        false => Bound::About { value: expected, tolerance: calls },
    };
    let axes: String = record.trial.axes.iter().map(|(axis, value)| format!(", {axis} {value}")).collect();
    let what = format!("{}: latency{axes}", record.trial.arm);
    Finding::of_time(what, bound, figure(record, "latency_p50_ms"), calls * mostly_late(record))
}

/// When the first request is refused, how many are, and how long those take that have waited longest.
fn above_capacity(run: &Run, record: &TrialRecord, rpc: &Rpc) -> anyhow::Result<Vec<Finding>> {
    let (rate, service) = (rpc.per_second.unwrap_or_default(), rpc.service.as_secs_f64());
    let (workers, backlog) = (f64::from(rpc.workers.unwrap_or_default()), f64::from(rpc.backlog.unwrap_or_default()));
    let (rtt, capacity) = (record.trial.link.rtt().as_millis_f64(), workers / service);
    let surplus = rate - capacity;
    let streams = record.trial.workload.scored_streams();
    let operations = Operations::of(rpc, streams, &run.messages(&record.trial.id)?);
    let first = operations.first_refused.map_or(f64::NAN, |at| at as f64 / 1e6);
    // Until then it takes as many as it has workers and room for, and answers at its capacity; give or take two of the
    // requests that come while one is answered.
    let full = rtt / 2.0 + (workers + backlog - 1.0) / surplus * 1e3;
    let what = |of: &str| format!("{}: {of}", record.trial.arm);
    let lasts = f64::from(rpc.operations()) / rate;
    let longest = rtt + (service + backlog / capacity) * 1e3;
    Ok(vec![
        within_in(record, what("first refused after"), full - 2e3 / surplus, full + 2e3 / surplus, first),
        near(what("refused"), surplus * lasts - workers - backlog, 4.0, f64::from(operations.refused), "requests"),
        within_in(
            record,
            what("longest latency"),
            longest - service * 1e3,
            longest + service * 1e3,
            figure(record, "latency_max_ms"),
        ),
    ])
}

/// A figure of the trial's score; of none it is no number, which no finding takes for a pass.
fn figure(record: &TrialRecord, name: &str) -> f64 {
    record.summary.as_ref().and_then(|summary| summary.score.get(name).copied()).unwrap_or(f64::NAN)
}

/// By how much, in milliseconds, the machine makes the median request late: the link each way and the ends, in their
/// medians.
fn mostly_late(record: &TrialRecord) -> f64 {
    let link = record.link.as_ref().map_or(0, |link| 2 * link.lateness.p50_ns);
    let ends = [&record.client, &record.server].into_iter().flatten().filter_map(|end| end.wake_lateness.as_ref());
    (link + ends.map(|late| late.p50_ns).sum::<u64>()) as f64 / 1e6
}
