//! Scores of what one lost packet holds up.

use std::collections::BTreeMap;

use samepath_model::record::DropCause;
use samepath_model::{Arm, Direction, Mapping, Order, Transport, Workload};
use samepath_results::Run;
use samepath_results::blocking::{self, BLOCKED};

use super::{Finding, done, flow, median, near, within};

/// T4a. A message is lost; the next one, Δ later, tells the sender after one round trip R: the copy is
/// R + Δ late. In one order its followers wait for it: the k-th R + Δ − kΔ. With a stream for each
/// message they do not wait at all. Scored on the wire: until all that the transport had to wait for had
/// reached the receiving host.
pub(crate) fn one_lost_packet(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for record in done(run) {
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
        let analysis = blocking::of_trial(run, &record.trial)?;
        let complete = |place: usize, released: i64| Some((analysis.account(place)?.complete - released) as f64 / 1e6);
        let messages = analysis.messages.iter().enumerate();
        let mut delays: Vec<f64> =
            messages.map(|(place, m)| complete(place, m.released).unwrap_or(f64::INFINITY)).collect();
        let base = median(&delays);
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

/// T5. With a message every 1.25 round trips exactly one follower arrives before the copy of a lost message
/// does. In one order it waits: so does, of the messages that lost nothing, the share p of those whose
/// predecessor was lost. Where every stream has an order of its own, none waits for another's loss, ever.
pub(crate) fn innocent_messages(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let mut arms: BTreeMap<Arm, (u64, u64, f64)> = BTreeMap::new();
    for record in done(run) {
        let analysis = blocking::of_trial(run, &record.trial)?;
        let per_stream = record.trial.arm.mapping != Mapping::Shared;
        let (innocent, blocked, loss) = arms.entry(record.trial.arm).or_default();
        *loss = record.trial.link.up.loss.rate();
        for (_, _, account) in analysis.accounts().filter(|(_, _, account)| account.innocent) {
            *innocent += 1;
            // Not one nanosecond, where the transport has no order across streams.
            let waited = if per_stream { account.parts.cross > 0 } else { account.parts.blocked() > BLOCKED };
            *blocked += u64::from(waited);
        }
    }
    Ok(arms
        .into_iter()
        .map(|(arm, (innocent, blocked, p))| {
            let (n, p) = (innocent as f64, if arm.mapping == Mapping::Shared { p } else { 0.0 });
            let half = 2.576 * (n * p * (1.0 - p)).sqrt() + if p > 0.0 { 0.5 } else { 0.0 };
            near(format!("{arm}: blocked, of {innocent} innocent"), n * p, half, blocked as f64, "messages")
        })
        .collect())
}

/// T10. A burst of B lost packets stalls every stream of a TCP connection, whatever their order. On QUIC it stalls
/// the streams whose bytes were lost: in turns each packet is another stream's, so min(B, N); in sequence the
/// burst lies in one stream, or in two at a boundary.
pub(crate) fn streams_stalled(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for record in done(run) {
        let arm = record.trial.arm;
        let burst = record.trial.link.up.drops.len();
        let order = record.trial.tuning.order;
        let what = |of: &str| format!("{arm}, {order}, {burst} lost: {of}");
        let dropped = flow(run, record, Direction::Up)?.iter().filter(|p| p.dropped == Some(DropCause::Script)).count();
        findings.push(near(what("packets dropped"), burst as f64, 0.0, dropped as f64, ""));
        let analysis = blocking::of_trial(run, &record.trial)?;
        let stalled = analysis.stalls().into_iter().filter(|(_, time)| *time > BLOCKED).count() as f64;
        let streams = f64::from(record.trial.workload.streams());
        findings.push(match (arm.transport, order) {
            (Transport::Quic, Order::Sequential) => within(what("streams stalled"), 1.0, 2.0, stalled, ""),
            (Transport::Quic, Order::RoundRobin) => {
                near(what("streams stalled"), streams.min(burst as f64), 0.0, stalled, "")
            }
            _ => near(what("streams stalled"), streams, 0.0, stalled, ""),
        });
    }
    Ok(findings)
}
