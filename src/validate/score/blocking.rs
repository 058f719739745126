//! Scores of what one lost packet holds up.

use samepath_model::record::DropCause;
use samepath_model::{Arm, Direction, Mapping, Workload};
use samepath_results::Run;

use super::{Finding, done, flow, near, quantile};

/// T4a. A message is lost; the next one, Δ later, tells the sender after one round trip R: the copy is
/// R + Δ late. In one order its followers wait for it: the k-th R + Δ − kΔ. With a stream for each
/// message they do not wait at all.
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
