//! `samepath list`: what there is to choose from.

use std::fmt::Write;

use samepath_model::profile::PROFILES;
use samepath_model::{Arm, LinkSpec};
use serde_json::json;

use crate::builtin;
use crate::cli::ListArgs;
use crate::exit::{Exit, Mistake};
use crate::output;

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
    if let Some(name) = &args.show {
        let (_, text) = builtin::EXPERIMENTS
            .iter()
            .find(|(known, _)| known == name)
            .ok_or_else(|| Mistake(format!("there is no built-in experiment `{name}`; see samepath list")))?;
        return Exit::Done.after(output::print(text));
    }
    let experiments: Vec<_> = builtin::EXPERIMENTS
        .iter()
        .map(|(name, _)| builtin::load(name).map(|experiment| (*name, experiment)))
        .collect::<anyhow::Result<_>>()?;
    if args.json {
        let document = json!({
            "experiments": experiments.iter()
                .map(|(name, e)| json!({ "name": name, "question": e.spec().question, "trials": e.trials().len() }))
                .collect::<Vec<_>>(),
            "arms": Arm::all().map(|arm| arm.to_string()).collect::<Vec<_>>(),
            "workloads": WORKLOADS.iter()
                .map(|(name, about, parameters)| json!({ "name": name, "about": about, "parameters": parameters }))
                .collect::<Vec<_>>(),
            "profiles": PROFILES.iter()
                .map(|p| Ok(json!({ "name": p.name, "about": p.about, "conditions": conditions(p.name)? })))
                .collect::<anyhow::Result<Vec<_>>>()?,
        });
        return Exit::Done.after(output::json(&document));
    }
    let mut out = String::new();
    writeln!(out, "Experiments (samepath run NAME; samepath list --show NAME prints the file)")?;
    for (name, experiment) in &experiments {
        writeln!(out, "  {name:<24} {} ({} trials)", experiment.spec().question, experiment.trials().len())?;
    }
    writeln!(out, "\nArms (--arm): a transport and how the workload's streams lie on it")?;
    for arm in Arm::all() {
        writeln!(out, "  {:<24} {}", arm.to_string(), arm.about)?;
    }
    writeln!(out, "\nWorkloads")?;
    for (name, text, parameters) in WORKLOADS {
        writeln!(out, "  {name:<24} {text}\n  {:<24} parameters: {parameters}", "")?;
    }
    writeln!(out, "\nLink profiles (--profile)")?;
    for profile in PROFILES {
        writeln!(out, "  {:<24} {}\n  {:<24} {}", profile.name, profile.about, "", conditions(profile.name)?)?;
    }
    Exit::Done.after(output::print(out))
}

fn conditions(profile: &str) -> anyhow::Result<String> {
    Ok(LinkSpec { profile: Some(profile.to_owned()), ..LinkSpec::default() }.resolve()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_says_of_arms_what_their_rows_say() {
        let readme = include_str!("../README.md");
        for arm in Arm::all() {
            let line = format!("| `{arm}` | {} |", arm.about);
            assert!(readme.lines().any(|said| said == line), "README.md has no line `{line}`");
        }
    }
}
