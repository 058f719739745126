//! Scores of the emulated link itself: what is asked of it, and that nothing but what it drops is lost.

use samepath_model::experiment::Bound;
use samepath_model::record::{DropCause, PacketRecord, TrialRecord};
use samepath_model::{Arm, Direction};
use samepath_results::{Run, stats};

use super::backoff::waited_for_timer;
use super::{Finding, done, flow, near};

/// E1. The delay of a packet in the link beyond its time in the queue is the delay asked for; a
/// backlogged link delivers at its rate; losses lie inside the 99 % interval of the binomial
/// distribution; Gilbert–Elliott loses p/(p+r) in bursts of 1/r. All read from the ledger, and the
/// ledger's deliveries compared with what the receiving application counted.
pub(crate) fn link_meets_its_conditions(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for record in done(run) {
        let direction = record.trial.workload.direction();
        let packets: Vec<PacketRecord> = flow(run, record, direction)?;
        let link = record.trial.link.direction(direction);
        match record.trial.part.as_str() {
            "delay" => {
                let mut extra: Vec<f64> = packets
                    .iter()
                    .filter_map(|p| Some((p.left? - p.arrived) as f64 / 1e6 - p.queued as f64 / 1e6))
                    .collect();
                extra.sort_by(f64::total_cmp);
                let wanted = link.delay.as_millis_f64();
                let late = record.link.as_ref().map_or((0, 0), |link| (link.lateness.p50_ns, link.lateness.p99_ns));
                for (name, at, late) in [("median", 0.5, late.0), ("99th percentile", 0.99, late.1)] {
                    let found = stats::nearest_rank(&extra, at).unwrap_or(f64::NAN);
                    findings.push(delay(format!("one-way delay, {name}"), wanted, found, late));
                }
            }
            "rate" => {
                // From the first to the last departure while backlogged, less the first packet, whose
                // transmission began before.
                let left: Vec<(i64, u64)> = packets.iter().filter_map(|p| Some((p.left?, u64::from(p.size)))).collect();
                let bytes: u64 = left.iter().skip(1).map(|(_, size)| size).sum();
                let nanos = left.last().map_or(0, |l| l.0) - left.first().map_or(0, |f| f.0);
                let found = bytes as f64 * 8e3 / nanos as f64;
                let wanted = link.rate.map_or(f64::NAN, |r| r.bits_per_second() as f64 / 1e6);
                findings.push(near("rate of a backlogged link".into(), wanted, wanted * 0.005, found, "Mbit/s"));
            }
            "loss" => {
                let (n, p) = (packets.len() as f64, link.loss.rate());
                let lost = lost(&packets).iter().filter(|lost| **lost).count() as f64;
                // Normal approximation of the binomial, exact enough at n·p = 1000: z = 2.576 for 99 %.
                let margin = 2.576 * (n * p * (1.0 - p)).sqrt() + 0.5;
                findings.push(near(format!("packets lost of {n}"), n * p, margin, lost, "packets"));
            }
            "bursts" => {
                let pattern = lost(&packets);
                let (n, count) = (pattern.len() as f64, pattern.iter().filter(|lost| **lost).count() as f64);
                let bursts = pattern.windows(2).filter(|w| !w[0] && w[1]).count() as f64;
                let samepath_model::link::Loss::GilbertElliott(model) = link.loss else { continue };
                // Losses come in geometric bursts of mean 1/r: the count's variance is that of the
                // binomial, times (2 − r)/r for the bursts' length and spread.
                let (p, r) = (model.stationary_loss(), model.r.fraction());
                let margin = 2.576 * (n * p * (1.0 - p) * (2.0 - r) / r).sqrt() / n * 100.0;
                findings.push(near("Gilbert–Elliott loss".into(), p * 100.0, margin, count / n * 100.0, "%"));
                let burst_margin = 2.576 * (1.0 - r).sqrt() / r / bursts.sqrt();
                findings.push(near("mean burst".into(), 1.0 / r, burst_margin, count / bursts, "packets"));
            }
            _ => {}
        }
        let delivered = packets.iter().filter(|p| p.left.is_some() && p.payload > 0).count() as u64;
        let receiver = match direction {
            Direction::Up => &record.server,
            Direction::Down => &record.client,
        };
        let read = receiver.as_ref().and_then(|end| end.datagrams_received);
        findings.push(Finding {
            what: format!("{}: datagrams in the ledger and read", record.trial.part),
            expected: format!("{delivered}"),
            found: read.map_or("none".into(), |n| n.to_string()),
            // The ledger also has the datagrams by which the session is opened and answered.
            judgement: read.is_some_and(|n| n <= delivered && delivered - n <= 16).into(),
        });
    }
    Ok(findings)
}

/// How near a quantile of the link's delay is to the delay asked for, in milliseconds, the link having been late by
/// `late` nanoseconds at that quantile: what the machine did late is no error of the emulation, and proves none.
fn delay(what: String, wanted: f64, found: f64, late: u64) -> Finding {
    const TOLERANCE: f64 = 0.3;
    Finding::of_time(what, Bound::About { value: wanted, tolerance: TOLERANCE }, found, late as f64 / 1e6)
}

/// P2. Every trial is complete (its payload is verified as it is read; that a link was late, which
/// makes a trial void, is no excuse here; that TCP's own timer backed off beyond the time limit is one,
/// where the ledger proves it), and the connections at 30 % loss that came to their end took less than
/// 300 s together.
pub(crate) fn everything_arrives(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let records = run.trials();
    let mut findings = Vec::new();
    let mut groups: Vec<(String, Arm)> = records.iter().map(|r| (r.trial.part.clone(), r.trial.arm)).collect();
    groups.sort();
    groups.dedup();
    for (part, arm) in groups {
        let of_group: Vec<&TrialRecord> =
            records.iter().filter(|r| r.trial.part == part && r.trial.arm == arm).collect();
        let whole = of_group.iter().filter(|r| r.summary.as_ref().is_some_and(|s| s.delivered == s.messages)).count();
        let mut backed_off = 0;
        for record in of_group.iter().filter(|record| record.evidence.is_some()) {
            backed_off += usize::from(waited_for_timer(run, record)?.is_some());
        }
        findings.push(Finding {
            what: format!("{part}: {arm}: delivered"),
            expected: format!("{} files", of_group.len()),
            found: match backed_off {
                0 => format!("{whole} files"),
                n => format!("{whole} files, and {n} for which the transport's timer had backed off"),
            },
            judgement: (whole + backed_off == of_group.len()).into(),
        });
        if part == "handshake-loss" {
            let seconds: f64 = of_group.iter().filter_map(|r| r.summary.as_ref()?.completion_ms).sum::<f64>() / 1000.0;
            findings.push(Finding {
                what: format!("{part}: {arm}: time, one after the other"),
                expected: "below 300 s".into(),
                found: format!("{seconds:.1} s"),
                judgement: (seconds < 300.0).into(),
            });
        }
    }
    Ok(findings)
}

/// Which packets the loss rule took.
fn lost(packets: &[PacketRecord]) -> Vec<bool> {
    packets.iter().map(|packet| packet.dropped == Some(DropCause::Loss)).collect()
}

#[cfg(test)]
mod tests {
    use samepath_results::judge::{Reason, Verdict};

    use super::*;
    use crate::validate::finding::UNMEASURED;

    /// A delay is judged beyond what the link was late by at that quantile, and a wrong one disagrees all the same.
    #[test]
    fn a_late_machine_neither_proves_nor_disproves_a_delay() {
        let verdict = |found, late| delay("x".into(), 10.0, found, late).verdict().unwrap();
        assert_eq!(verdict(10.29, 0), Verdict::Pass);
        assert_eq!(verdict(10.329, 329_000), Verdict::inconclusive(Reason::MachineLate));
        assert_eq!(verdict(10.329, 20_000), Verdict::Fail);
        assert_eq!(verdict(11.0, 329_000), Verdict::Fail);
        assert_eq!(verdict(f64::NAN, 329_000), UNMEASURED);
    }
}
