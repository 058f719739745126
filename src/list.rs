//! `samepath list`: what there is to choose from.

use std::io::Write;

use samepath_model::profile::PROFILES;
use samepath_model::{Arm, LinkSpec};
use serde_json::json;

use crate::builtin;
use crate::cli::ListArgs;
use crate::exit::{Exit, Mistake};

/// Workloads and what their parameters are.
const WORKLOADS: &[(&str, &str, &str)] = &[
    (
        "bulk",
        "a file: as much as the transport takes, from a cold start",
        "direction, streams, bytes or duration, udp-rate, datagram",
    ),
    (
        "messages",
        "small messages released by the clock whatever the transport does: the head-of-line probe",
        "direction, streams, size, spacing, staggered, count or duration, warmup",
    ),
];

/// Prints the lists, or one built-in file.
pub(crate) fn list(args: &ListArgs) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout().lock();
    if let Some(name) = &args.show {
        let (_, text) = builtin::EXPERIMENTS
            .iter()
            .find(|(known, _)| known == name)
            .ok_or_else(|| Mistake(format!("there is no built-in experiment `{name}`; see samepath list")))?;
        out.write_all(text.as_bytes())?;
        return Ok(Exit::Done);
    }
    let experiments: Vec<_> = builtin::EXPERIMENTS
        .iter()
        .map(|(name, _)| builtin::load(name).map(|experiment| (*name, experiment)))
        .collect::<anyhow::Result<_>>()?;
    if args.json {
        let document = json!({
            "experiments": experiments.iter()
                .map(|(name, e)| json!({ "name": name, "question": e.question, "trials": e.trials().map_or(0, |t| t.len()) }))
                .collect::<Vec<_>>(),
            "arms": Arm::all().map(|arm| arm.to_string()).collect::<Vec<_>>(),
            "workloads": WORKLOADS.iter()
                .map(|(name, about, parameters)| json!({ "name": name, "about": about, "parameters": parameters }))
                .collect::<Vec<_>>(),
            "profiles": PROFILES.iter()
                .map(|p| Ok(json!({ "name": p.name, "about": p.about, "conditions": conditions(p.name)? })))
                .collect::<anyhow::Result<Vec<_>>>()?,
        });
        serde_json::to_writer_pretty(&mut out, &document)?;
        writeln!(out)?;
        return Ok(Exit::Done);
    }
    writeln!(out, "Experiments (samepath run NAME; samepath list --show NAME prints the file)")?;
    for (name, experiment) in &experiments {
        writeln!(out, "  {name:<24} {} ({} trials)", experiment.question, experiment.trials()?.len())?;
    }
    writeln!(out, "\nArms (--arm): a transport and how the workload's streams lie on it")?;
    for arm in Arm::all() {
        writeln!(out, "  {:<24} {}", arm.to_string(), about(arm))?;
    }
    writeln!(out, "\nWorkloads")?;
    for (name, text, parameters) in WORKLOADS {
        writeln!(out, "  {name:<24} {text}\n  {:<24} parameters: {parameters}", "")?;
    }
    writeln!(out, "\nLink profiles (--profile)")?;
    for profile in PROFILES {
        writeln!(out, "  {:<24} {}\n  {:<24} {}", profile.name, profile.about, "", conditions(profile.name)?)?;
    }
    Ok(Exit::Done)
}

fn conditions(profile: &str) -> anyhow::Result<String> {
    Ok(LinkSpec { profile: Some(profile.to_owned()), ..LinkSpec::default() }.resolve()?.to_string())
}

fn about(arm: Arm) -> &'static str {
    match arm.to_string().as_str() {
        "tcp" => "all streams framed on one TCP connection",
        "tcp/per-stream" => "a TCP connection for each stream",
        "tls" => "all streams framed on one TLS 1.3 connection",
        "tls/per-stream" => "a TLS 1.3 connection for each stream",
        "quic" => "one QUIC connection, a QUIC stream for each stream",
        "quic/shared" => "one QUIC connection, all streams framed on one QUIC stream: the control for `tls`",
        "quic/per-message" => "one QUIC connection, a QUIC stream for each message",
        "udp" => "datagrams, no retransmission",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arm_is_described() {
        for arm in Arm::all() {
            assert!(!about(arm).is_empty(), "{arm}");
        }
    }
}
