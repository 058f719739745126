//! What is made of each check's records. The expected figures are derived beside each function.

mod backoff;
mod blocking;
mod equal;
mod link;
mod rate;
mod requests;
mod start;

pub(crate) use blocking::{intact_messages, one_lost_packet, streams_stalled};
pub(crate) use equal::{equal_start, same_but_for_encryption};
pub(crate) use link::{everything_arrives, link_meets_its_conditions};
pub(crate) use rate::{
    link_is_filled, objects_in_sequence, parallel_connections, periodic_loss, random_loss, same_controller_same_time,
    window_limits,
};
pub(crate) use requests::requests;
pub(crate) use start::{first_packets_lost, round_trips};

use samepath_model::experiment::Bound;
use samepath_model::record::{Outcome, PacketRecord, TrialRecord};
use samepath_model::void::in_words;
use samepath_model::{Direction, VoidKind};
use samepath_results::judge::{Reason, Verdict};
use samepath_results::{Run, stats};

use super::finding::{Finding, short};

/// No trial of a check may fail, unless its ledger proves that the transport's own timer had backed off beyond the
/// time limit, nor be void for what the lab did. Of twenty at most one may be void for what this machine did, each of
/// its attempts: a machine that is interrupted now and then says so in single trials, which no score then counts.
/// Where more are, the check says nothing.
pub(crate) fn every_trial_counts(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let records = run.trials();
    let is_at_odds = records.iter().any(|record| is_void_for(record, |kind| !is_by_the_host(kind)));
    let (mut voids, mut failures, mut backed_off) = (Vec::new(), Vec::new(), Vec::new());
    for record in records {
        match &record.outcome {
            Outcome::Done => {}
            Outcome::Void { reasons } => voids.push(format!("{} void: {}", record.trial.id, in_words(reasons))),
            Outcome::Failed { step, error } => match backoff::waited_for_timer(run, record)? {
                Some(timer) => backed_off.push(format!("{} waited, as its time ended, for {timer}", record.trial.id)),
                None => failures.push(format!("{} failed ({step}): {error}", record.trial.id)),
            },
        }
    }
    let allowed = records.len() / 20;
    let verdict = match () {
        () if !failures.is_empty() || is_at_odds => Verdict::Fail,
        () if voids.len() > allowed => Verdict::inconclusive(Reason::TrialsVoid { void: voids.len() }),
        () => Verdict::Pass,
    };
    let trouble = [failures, backed_off, voids].concat();
    let again = match run.earlier_attempts().len() {
        0 => String::new(),
        n => format!(", {n} void and run again"),
    };
    Ok(vec![Finding {
        what: format!("trials that count, of {}", records.len()),
        expected: format!("at least {}", records.len() - allowed),
        found: if trouble.is_empty() {
            format!("all{again}")
        } else {
            format!("all but {}{again}: {}", trouble.len(), named(&trouble))
        },
        judgement: verdict.into(),
    }])
}

/// How many trials are void for what this machine did or does not grant: what was not measured then is no failure.
pub(crate) fn voided_by_the_host(run: &Run) -> usize {
    run.trials().iter().filter(|record| is_void_for(record, is_by_the_host)).count()
}

fn is_by_the_host(kind: VoidKind) -> bool {
    kind.is_by_the_machine() || kind == VoidKind::Setting
}

fn is_void_for(record: &TrialRecord, of: impl Fn(VoidKind) -> bool) -> bool {
    matches!(&record.outcome, Outcome::Void { reasons } if reasons.iter().any(|reason| of(reason.kind)))
}

/// The trials that count.
fn done(run: &Run) -> impl Iterator<Item = &TrialRecord> {
    run.trials().iter().filter(|record| record.outcome.is_done())
}

/// The first few, and how many more there are.
fn named(trouble: &[String]) -> String {
    const NAMED: usize = 5;
    let more = trouble.len().saturating_sub(NAMED);
    let first = trouble[..trouble.len() - more].join("; ");
    if more == 0 { first } else { format!("{first}; and {more} more") }
}

/// The packets of the transport under test in one direction, in the order in which they came.
fn flow(run: &Run, record: &TrialRecord, direction: Direction) -> anyhow::Result<Vec<PacketRecord>> {
    let protocol = record.trial.arm.ip_protocol.number();
    let mut packets = Vec::new();
    for packet in run.ledger(&record.trial.id)?.into_iter().flatten() {
        let packet = packet?;
        if packet.direction == direction && packet.protocol == protocol && !packet.duplicate {
            packets.push(packet);
        }
    }
    packets.sort_by_key(|packet| packet.number);
    Ok(packets)
}

fn near(what: String, wanted: f64, tolerance: f64, found: f64, unit: &str) -> Finding {
    Finding::of(what, Bound::About { value: wanted, tolerance }, found, unit)
}

/// A finding of a time in one trial, in milliseconds, which settles nothing where it is off by no more than the link and
/// the ends were late in that trial.
fn near_in(record: &TrialRecord, what: String, wanted: f64, tolerance: f64, found: f64) -> Finding {
    Finding::of_time(what, Bound::About { value: wanted, tolerance }, found, latest(record))
}

/// As [`near_in`], between two bounds.
fn within_in(record: &TrialRecord, what: String, least: f64, most: f64, found: f64) -> Finding {
    Finding::of_time(what, Bound::Between(least, most), found, latest(record))
}

/// The longest times, in milliseconds, by which the link and the ends were late in this trial, added up.
fn latest(record: &TrialRecord) -> f64 {
    let link = record.link.as_ref().map(|link| &link.lateness);
    let ends = [&record.client, &record.server].into_iter().flatten().filter_map(|end| end.wake_lateness.as_ref());
    link.into_iter().chain(ends).map(|lateness| lateness.max_ns as f64 / 1e6).sum()
}

/// A finding of what must lie between two bounds.
fn within(what: String, least: f64, most: f64, found: f64, unit: &str) -> Finding {
    Finding::of(what, Bound::Between(least, most), found, unit)
}

/// The median; of nothing it is no number, which no finding takes for a pass.
fn median(values: &[f64]) -> f64 {
    stats::median(values).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_nothing_there_is_no_median() {
        assert!(median(&[]).is_nan());
    }
}
