//! `samepath validate`: the lab checks itself against theory.
//!
//! Each check is an experiment like any other, run by the same harness, and a function that scores
//! its records. The expected figures come from the protocols' own rules, not from earlier runs.

mod checks;
mod score;

use anyhow::Context;
use samepath_model::Experiment;
use samepath_results::Run;
use serde::Serialize;

use crate::cli::ValidateArgs;
use crate::exit::{Exit, Mistake};
use crate::harness::{self, Finish};
use checks::{CHECKS, Check};

/// One comparison of what was expected with what was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    /// What is compared.
    pub(crate) what: String,
    /// What theory says, with its tolerance.
    pub(crate) expected: String,
    /// What was measured.
    pub(crate) found: String,
    /// Whether they agree.
    pub(crate) pass: bool,
}

/// Makes the checks that were asked for, and fails if one does.
pub(crate) fn validate(args: &ValidateArgs) -> anyhow::Result<Exit> {
    let checks = choose(&args.checks)?;
    if args.list {
        for check in checks {
            println!("{:<4} {}", check.id, check.title);
        }
        return Ok(Exit::Done);
    }
    let scratch = tempfile::tempdir().context("cannot make a directory for the checks' runs")?;
    let base = args.keep.as_deref().unwrap_or(scratch.path());
    let mut results = Vec::new();
    for check in checks {
        if !args.harness.json {
            println!("{:<4} {}", check.id, check.title);
        }
        let dir = base.join(check.id);
        let experiment = Experiment::parse(check.experiment).context("a built-in check is broken")?;
        let run = Run::create(&dir, &experiment, harness::manifest(&experiment, &args.harness))?;
        let trials = harness::order(experiment.trials()?);
        let (run, finish) = harness::carry_out(run, trials, &args.harness)?;
        if finish != Finish::Complete {
            eprintln!("interrupted");
            return Ok(Exit::Interrupted);
        }
        run.seal()?;
        let mut findings = score::every_trial_counts(&run)?;
        findings.extend((check.score)(&run)?);
        if !args.harness.json {
            for finding in &findings {
                let mark = if finding.pass { "pass" } else { "FAIL" };
                println!("     {mark}  {:<46} expected {:<22} found {}", finding.what, finding.expected, finding.found);
            }
        }
        results.push((check, findings));
    }
    let passed = results.iter().flat_map(|(_, findings)| findings).filter(|finding| finding.pass).count();
    let all: usize = results.iter().map(|(_, findings)| findings.len()).sum();
    if args.harness.json {
        let document: Vec<_> = results
            .iter()
            .map(|(check, findings)| serde_json::json!({ "check": check.id, "title": check.title, "findings": findings }))
            .collect();
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        println!("{passed} of {all} comparisons agree with theory");
    }
    Ok(if passed == all { Exit::Done } else { Exit::Failed })
}

fn choose(names: &[String]) -> anyhow::Result<Vec<&'static Check>> {
    if names.is_empty() {
        return Ok(CHECKS.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            CHECKS.iter().find(|check| check.id.eq_ignore_ascii_case(name)).ok_or_else(|| {
                let known: Vec<&str> = CHECKS.iter().map(|check| check.id).collect();
                Mistake(format!("there is no check `{name}`; choose from: {}", known.join(", "))).into()
            })
        })
        .collect()
}
