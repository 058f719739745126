//! Scores of what one lost packet holds up.

use std::collections::BTreeMap;

use samepath_model::arm::{Arm, OrderingDomain, Transport};
use samepath_model::record::DropCause;
use samepath_model::{Direction, Order, Workload};
use samepath_results::Run;
use samepath_results::blocking::{self, BLOCKED, Parts};

use super::{Finding, done, flow, median, near, near_in, within};

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
        findings.push(near_in(record, what("the lost message, late"), recovery, 5.0, delays[worst]));
        for follower in 1..=4 {
            let wanted =
                if arm.ordering == OrderingDomain::Message { 0.0 } else { recovery - spacing * follower as f64 };
            let found = delays.get(worst + follower).copied().unwrap_or(f64::NAN);
            findings.push(near_in(record, what(&format!("follower {follower}, late")), wanted, 5.0, found));
        }
    }
    Ok(findings)
}

/// T5. With a message every 1.25 round trips exactly one follower arrives before the copy of a lost message
/// does. In one order it waits: so does, of the messages that lost nothing, the share p of those whose
/// predecessor was lost. Where every stream has an order of its own, none waits for another's loss, ever;
/// nor for one of its own stream, whose next message comes when the copy has long been there. And none may
/// wait in the host for another stream: who reads the streams one after the other makes the same p wait
/// there, for a round trip less than the copy takes. What waits there on `tcp`, which has one thing to
/// read, is the machine's doing.
pub(crate) fn intact_messages(run: &Run) -> anyhow::Result<Vec<Finding>> {
    let mut arms: BTreeMap<Arm, Intact> = BTreeMap::new();
    for record in done(run) {
        let analysis = blocking::of_trial(run, &record.trial)?;
        let intact = arms.entry(record.trial.arm).or_default();
        intact.loss = record.trial.link.up.loss.rate();
        let rtt = record.trial.link.rtt().as_nanos().cast_signed();
        for (_, _, account) in analysis.accounts().filter(|(_, _, account)| account.intact) {
            intact.add(record.trial.arm, &account.parts, rtt);
        }
    }
    Ok(of_intact(&arms))
}

/// The intact messages of an arm: those that lost nothing.
#[derive(Debug, Clone, Copy, Default)]
struct Intact {
    n: u64,
    blocked: u64,
    /// Those that waited in the host for over half a round trip.
    in_host: u64,
    /// The chance of a packet's loss.
    loss: f64,
}

impl Intact {
    fn add(&mut self, arm: Arm, parts: &Parts, rtt: i64) {
        // Not one nanosecond, where the transport has no order across streams.
        let bound = if arm.ordering == OrderingDomain::Connection { BLOCKED } else { 0 };
        self.n += 1;
        self.blocked += u64::from(parts.blocked() > bound);
        self.in_host += u64::from(parts.stack > rtt / 2);
    }
}

fn of_intact(arms: &BTreeMap<Arm, Intact>) -> Vec<Finding> {
    let machine = arms.iter().filter(|(arm, _)| **arm == Arm::default_of(Transport::Tcp));
    let machine: f64 = machine.map(|(_, intact)| intact.in_host as f64 / intact.n as f64).sum();
    let mut findings = Vec::new();
    for (arm, intact) in arms {
        let (n, shared) = (intact.n as f64, arm.ordering == OrderingDomain::Connection);
        let p = if shared { intact.loss } else { 0.0 };
        let margin = 2.576 * (n * p * (1.0 - p)).sqrt() + if p > 0.0 { 0.5 } else { 0.0 };
        let what = |of: &str| format!("{arm}: {of}, of {} intact", intact.n);
        findings.push(near(what("blocked"), n * p, margin, intact.blocked as f64, "messages"));
        if !shared {
            // Half as many as one reader after the other would hold up.
            let most = (n * (machine + intact.loss / 2.0)).floor();
            findings.push(within(
                format!("{arm}: kept waiting by the reader"),
                0.0,
                most,
                intact.in_host as f64,
                "messages",
            ));
        }
    }
    findings
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
        let stalled = analysis.stalls().into_iter().filter(|(.., time)| *time > BLOCKED).count() as f64;
        let streams = f64::from(record.trial.workload.streams());
        findings.push(match (arm.ordering, order) {
            (OrderingDomain::Connection, _) => near(what("streams stalled"), streams, 0.0, stalled, ""),
            (_, Order::Sequential) => within(what("streams stalled"), 1.0, 2.0, stalled, ""),
            (_, Order::RoundRobin) => near(what("streams stalled"), streams.min(burst as f64), 0.0, stalled, ""),
        });
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use samepath_results::judge::Verdict;

    use super::*;

    const RTT: i64 = 20_000_000;

    /// What T5 says of 1000 intact messages an arm: every hundredth is `odd` on the arms with streams of their own.
    fn said(odd: Parts) -> Vec<Verdict> {
        let usual = Parts { propagation: RTT / 2, stack: 300_000, ..Parts::default() };
        let waiting = Parts { cross: RTT, ..usual };
        let mut arms: BTreeMap<Arm, Intact> = BTreeMap::new();
        for name in ["tcp", "quic", "quic/per-message"] {
            let arm: Arm = name.parse().unwrap();
            let intact = arms.entry(arm).or_insert(Intact { loss: 0.01, ..Intact::default() });
            for i in 0..1000 {
                let parts = match (i % 100, arm.ordering) {
                    (7, OrderingDomain::Connection) => waiting,
                    (7, _) => odd,
                    _ => usual,
                };
                intact.add(arm, &parts, RTT);
            }
        }
        of_intact(&arms).into_iter().map(|finding| finding.verdict().unwrap()).collect()
    }

    #[test]
    fn intact_message_blocked_on_own_stream_fails() {
        let good = Parts { propagation: RTT / 2, stack: 400_000, ..Parts::default() };
        let (pass, fail) = (Verdict::Pass, Verdict::Fail);
        assert_eq!(said(good), [pass; 5]);
        // One after the other: blocked, then held up, of each arm but tcp.
        assert_eq!(said(Parts { stack: RTT, ..good }), [pass, pass, fail, pass, fail]);
        for blocked in [Parts { intra: 1, ..good }, Parts { cross: 1, ..good }, Parts { record: 1, ..good }] {
            assert_eq!(said(blocked), [pass, fail, pass, fail, pass]);
        }
    }
}
