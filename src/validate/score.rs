//! What is made of each check's records. The expected figures are derived beside each function.

use samepath_model::record::{DropCause, Outcome, PacketRecord, Summary, TrialRecord};
use samepath_model::{Arm, Direction, Mapping, Transport, Workload};
use samepath_results::Run;

use super::Finding;

/// No trial of a check may fail, and of twenty at most one may be void: a machine that is interrupted
/// now and then says so in single trials, which no score then counts.
pub(crate) fn every_trial_counts(run: &Run) -> Vec<Finding> {
    let records = run.trials();
    let (mut voids, mut failures) = (Vec::new(), Vec::new());
    for record in records {
        match &record.outcome {
            Outcome::Done => {}
            Outcome::Void { reasons } => voids.push(format!("{} void: {}", record.trial.id, reasons.join("; "))),
            Outcome::Failed { step, error } => {
                failures.push(format!("{} failed ({step}): {error}", record.trial.id));
            }
        }
    }
    let allowed = records.len() / 20;
    let pass = failures.is_empty() && voids.len() <= allowed;
    let trouble = [failures, voids].concat();
    vec![Finding {
        what: format!("trials that count, of {}", records.len()),
        expected: format!("at least {}", records.len() - allowed),
        found: if trouble.is_empty() { "all".into() } else { format!("all but: {}", trouble.join("; ")) },
        pass,
    }]
}

/// E1. The delay of a packet in the link beyond its time in the queue is the delay asked for; a
/// backlogged link delivers at its rate; losses lie inside the 99 % interval of the binomial
/// distribution; Gilbert–Elliott loses p/(p+r) in bursts of 1/r. All read from the ledger, and the
/// ledger's deliveries compared with what the receiving application counted.
pub(crate) fn link_keeps_its_promise(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for record in run.trials().iter().filter(|record| record.outcome.is_done()) {
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
                for (name, at) in [("median", 0.5), ("99th percentile", 0.99)] {
                    let found = quantile(&extra, at);
                    findings.push(near(format!("one-way delay, {name}"), wanted, 0.3, found, "ms"));
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
                let half = 2.576 * (n * p * (1.0 - p)).sqrt() + 0.5;
                findings.push(near(format!("packets lost of {n}"), n * p, half, lost, "packets"));
            }
            "bursts" => {
                let pattern = lost(&packets);
                let (n, count) = (pattern.len() as f64, pattern.iter().filter(|lost| **lost).count() as f64);
                let bursts = pattern.windows(2).filter(|w| !w[0] && w[1]).count() as f64;
                let samepath_model::link::Loss::GilbertElliott(model) = link.loss else { continue };
                // Losses come in geometric bursts of mean 1/r: the count's variance is that of the
                // binomial, times (2 − r)/r for the bursts' length and spread.
                let (p, r) = (model.stationary_loss(), model.r.fraction());
                let half = 2.576 * (n * p * (1.0 - p) * (2.0 - r) / r).sqrt() / n * 100.0;
                findings.push(near("Gilbert–Elliott loss".into(), p * 100.0, half, count / n * 100.0, "%"));
                let burst_half = 2.576 * (1.0 - r).sqrt() / r / bursts.sqrt();
                findings.push(near("mean burst".into(), 1.0 / r, burst_half, count / bursts, "packets"));
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
            pass: read.is_some_and(|n| n <= delivered && delivered - n <= 16),
        });
    }
    Ok(findings)
}

/// T1. TCP's handshake takes one round trip, TLS 1.3 one more, QUIC's one in all; the request and its
/// first byte one more. UDP has no handshake. Scored as the slope of time against round-trip time, so
/// that the constant cost of the host's CPU drops out.
pub(crate) fn round_trips(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let records = run.trials();
    let slope_of = |transport: Transport, figure: fn(&Summary) -> Option<f64>| {
        let points: Vec<(f64, f64)> = records
            .iter()
            .filter(|r| r.trial.arm.transport == transport && r.outcome.is_done())
            .filter_map(|r| Some((r.trial.link.rtt().as_millis_f64(), figure(r.summary.as_ref()?)?)))
            .collect();
        slope(&points)
    };
    let expected = [
        (Transport::Tcp, Some(1.0), 2.0),
        (Transport::Tls, Some(2.0), 3.0),
        (Transport::Quic, Some(1.0), 2.0),
        (Transport::Udp, None, 1.0),
    ];
    let mut findings = Vec::new();
    for (transport, handshake, first_byte) in expected {
        if let Some(wanted) = handshake {
            let found = slope_of(transport, |s| s.handshake_ms);
            findings.push(near(format!("{transport}: handshake"), wanted, 0.03, found, "RTT"));
        }
        let found = slope_of(transport, |s| s.first_byte_ms);
        findings.push(near(format!("{transport}: first byte"), first_byte, 0.03, found, "RTT"));
    }
    Ok(findings)
}

/// T4a. A message is lost; the next one, Δ later, tells the sender after one round trip R: the copy is
/// R + Δ late. In one order its followers wait for it: the k-th R + Δ − kΔ. With a stream for each
/// message they do not wait at all.
pub(crate) fn one_lost_packet(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for record in run.trials().iter().filter(|record| record.outcome.is_done()) {
        let Workload::Messages(messages) = &record.trial.workload else { continue };
        let spacing = messages.spacing.as_millis_f64();
        let recovery = record.trial.link.rtt().as_millis_f64() + spacing;
        let arm: Arm = record.trial.arm;
        let what = |part: &str| format!("{arm} seed {}: {part}", record.trial.seed);
        let dropped = flow(run, record, Direction::Up)?.iter().filter(|p| p.dropped == Some(DropCause::Script)).count();
        if dropped != 1 {
            findings.push(near(what("packets dropped by the script"), 1.0, 0.0, dropped as f64, "packet"));
            continue;
        }
        let mut delays: Vec<f64> = run
            .messages(&record.trial.id)?
            .iter()
            .map(|m| m.delivered.map_or(f64::INFINITY, |at| (at - m.released) as f64 / 1e6))
            .collect();
        let base = {
            let mut sorted = delays.clone();
            sorted.sort_by(f64::total_cmp);
            quantile(&sorted, 0.5)
        };
        delays.iter_mut().for_each(|delay| *delay -= base);
        let worst = (0..delays.len()).max_by(|&a, &b| delays[a].total_cmp(&delays[b])).unwrap_or(0);
        findings.push(near(what("the lost message"), recovery, 5.0, delays[worst], "ms late"));
        for follower in 1..=4 {
            let wanted = if arm.mapping == Mapping::PerMessage { 0.0 } else { recovery - spacing * follower as f64 };
            let found = delays.get(worst + follower).copied().unwrap_or(f64::NAN);
            findings.push(near(what(&format!("follower {follower}")), wanted, 5.0, found, "ms late"));
        }
    }
    Ok(findings)
}

/// P1. The interoperability runner's goodput scenario: at least 9.0 of 10 Mbit/s, the rest being
/// headers, slow start and recovery.
pub(crate) fn link_is_filled(run: &Run) -> anyhow::Result<Vec<Finding>> {
    Ok(run
        .trials()
        .iter()
        .filter(|record| record.outcome.is_done())
        .map(|record| {
            let found = record.summary.as_ref().and_then(|s| s.goodput_bits_per_second).unwrap_or(f64::NAN) / 1e6;
            Finding {
                what: format!("{} seed {}: goodput", record.trial.arm, record.trial.seed),
                expected: "at least 9.0 Mbit/s".into(),
                found: format!("{found:.2} Mbit/s"),
                pass: found >= 9.0,
            }
        })
        .collect())
}

/// P2. Every trial is complete (its payload is verified as it is read; that a link was late, which
/// makes a trial void, is no excuse here), and the fifty connections at
/// 30 % loss together took less than 300 s.
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
        findings.push(near(format!("{part}: {arm}: delivered"), of_group.len() as f64, 0.0, whole as f64, "files"));
        if part == "handshake-loss" {
            let seconds: f64 = of_group.iter().filter_map(|r| r.summary.as_ref()?.completion_ms).sum::<f64>() / 1000.0;
            findings.push(Finding {
                what: format!("{part}: {arm}: time, one after the other"),
                expected: "below 300 s".into(),
                found: format!("{seconds:.1} s"),
                pass: seconds < 300.0,
            });
        }
    }
    Ok(findings)
}

/// The packets of the transport under test in one direction, in the order in which they came.
fn flow(run: &Run, record: &TrialRecord, direction: Direction) -> anyhow::Result<Vec<PacketRecord>> {
    let protocol = match record.trial.arm.transport {
        Transport::Tcp | Transport::Tls => 6,
        Transport::Udp | Transport::Quic => 17,
    };
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

/// Which packets the loss rule took.
fn lost(packets: &[PacketRecord]) -> Vec<bool> {
    packets.iter().map(|packet| packet.dropped == Some(DropCause::Loss)).collect()
}

fn near(what: String, wanted: f64, tolerance: f64, found: f64, unit: &str) -> Finding {
    Finding {
        what,
        expected: format!("{} ± {} {unit}", short(wanted), short(tolerance)),
        found: format!("{} {unit}", short(found)),
        pass: (found - wanted).abs() <= tolerance,
    }
}

/// At most three decimals, without trailing zeros.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Nearest-rank quantile of sorted values.
fn quantile(sorted: &[f64], at: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let rank = (at * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Slope of the least-squares line.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let (sxy, sxx) =
        points.iter().fold((0.0, 0.0), |(sxy, sxx), (x, y)| (sxy + (x - mx) * (y - my), sxx + (x - mx).powi(2)));
    sxy / sxx
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_leaves_the_constant_out() {
        assert!((slope(&[(20.0, 45.0), (50.0, 105.0), (100.0, 205.0)]) - 2.0).abs() < 1e-9);
        assert!(slope(&[]).is_nan());
    }

    #[test]
    fn nothing_measured_never_passes() {
        assert!(!near("x".into(), 1.0, 10.0, f64::NAN, "ms").pass);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
