//! `samepath list`: what there is to choose from.

use std::fmt::Write;

use samepath_model::profile::PROFILES;
use samepath_model::{Arm, LinkSpec, Workload};
use serde_json::json;

use crate::builtin;
use crate::cli::ListArgs;
use crate::exit::{Exit, Mistake};
use crate::output;

/// Columns of the lists of parameters.
const WIDTH: usize = 100;

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
            "workloads": Workload::kinds().iter()
                .map(|kind| json!({ "name": kind.name, "about": kind.about, "parameters": kind.parameters }))
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
    for kind in Workload::kinds() {
        let (first, rest) = kind.about.split_at(1);
        let mut lines = vec![format!("  {:<24} {}{rest}", kind.name, first.to_lowercase())];
        let mut line = format!("  {:<24} parameters:", "");
        for (place, parameter) in kind.parameters.iter().enumerate() {
            let comma = if place + 1 < kind.parameters.len() { "," } else { "" };
            if line.len() + parameter.len() + 2 > WIDTH {
                lines.push(std::mem::replace(&mut line, format!("  {:<24}  ", "")));
            }
            line += &format!(" {parameter}{comma}");
        }
        lines.push(line);
        writeln!(out, "{}", lines.join("\n"))?;
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
