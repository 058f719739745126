//! `samepath validate`: the lab checks itself against theory.
//!
//! Each check is an experiment like any other, run by the same harness, and a function that scores
//! its records. The expected figures come from the protocols' own rules, not from earlier runs.

mod checks;
mod score;

use anyhow::Context;
use samepath_model::{Experiment, Trial};
use samepath_netem::tell;
use samepath_results::Run;
use serde::Serialize;

use crate::cli::ValidateArgs;
use crate::exit::{Exit, Mistake};
use crate::harness::{self, Finish};
use crate::output;
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
    /// Whether they agree; `None` where theory has no figure, and what was found is only said.
    pub(crate) pass: Option<bool>,
}

/// How often trials are repeated that the machine voided: what else ran on it is no fault of the lab's.
const REPEATS: usize = 2;

/// Makes the checks that were asked for, and fails if one does.
pub(crate) fn validate(args: &ValidateArgs) -> anyhow::Result<Exit> {
    let checks = choose(&args.checks)?;
    if args.list {
        for check in checks {
            output::line(format_args!("{:<4} {}", check.id, check.title))?;
        }
        return Ok(Exit::Done);
    }
    let checks: Vec<(&Check, Experiment, Vec<Trial>)> =
        checks.into_iter().map(planned).collect::<anyhow::Result<_>>()?;
    let every: Vec<Trial> = checks.iter().flat_map(|(_, _, trials)| trials).cloned().collect();
    harness::check(&args.harness, &every)?;
    let scratch = tempfile::tempdir().context("cannot make a directory for the checks' runs")?;
    let base = args.keep.as_deref().unwrap_or(scratch.path());
    let mut results = Vec::new();
    for (check, experiment, trials) in checks {
        if !args.harness.json {
            output::line(format_args!("{:<4} {}", check.id, check.title))?;
        }
        let dir = base.join(check.id);
        let run = Run::create(&dir, &experiment, harness::manifest(&experiment, &args.harness))?;
        let Some((run, repeated)) = carry_out(run, trials, args)? else {
            tell!("interrupted");
            return Ok(Exit::Interrupted);
        };
        run.seal()?;
        let mut findings = score::every_trial_counts(&run, repeated)?;
        findings.extend((check.score)(&run)?);
        if !args.harness.json {
            findings.iter().try_for_each(|finding| output::line(format_args!("     {}", finding.line())))?;
        }
        results.push((check, findings));
    }
    let judged: Vec<bool> =
        results.iter().flat_map(|(_, findings)| findings).filter_map(|finding| finding.pass).collect();
    let (passed, all) = (judged.iter().filter(|pass| **pass).count(), judged.len());
    let written = if args.harness.json {
        let document: Vec<_> = results
            .iter()
            .map(|(check, findings)| serde_json::json!({ "check": check.id, "title": check.title, "findings": findings }))
            .collect();
        output::json(&document)
    } else {
        output::line(format_args!("{passed} of {all} comparisons agree with theory"))
    };
    if passed == all { Exit::Done } else { Exit::Failed }.after(written)
}

/// A check with its experiment, and the trials in their order.
fn planned(check: &'static Check) -> anyhow::Result<(&'static Check, Experiment, Vec<Trial>)> {
    let experiment = Experiment::parse(check.experiment).context("a built-in check is broken")?;
    let trials = harness::order(experiment.trials()?);
    Ok((check, experiment, trials))
}

/// Runs the trials, and those again that the machine voided; also says how many were. `None` if the user
/// stopped it.
fn carry_out(run: Run, trials: Vec<Trial>, args: &ValidateArgs) -> anyhow::Result<Option<(Run, usize)>> {
    let (mut run, mut trials, mut repeated) = (run, trials, 0);
    for repeats in 0.. {
        let finish;
        (run, finish) = harness::carry_out(run, trials, &args.harness)?;
        if finish != Finish::Complete {
            return Ok(None);
        }
        trials = harness::order(score::voided_by_the_machine(&run));
        if trials.is_empty() || repeats == REPEATS {
            break;
        }
        tell!("{} of {} trials were void and are repeated", trials.len(), run.trials().len());
        repeated += trials.len();
    }
    Ok(Some((run, repeated)))
}

impl Finding {
    /// As printed.
    fn line(&self) -> String {
        let Finding { what, expected, found, pass } = self;
        match pass {
            Some(true) => format!("pass  {what:<46} expected {expected:<22} found {found}"),
            Some(false) => format!("FAIL  {what:<46} expected {expected:<22} found {found}"),
            None => format!("note  {what:<46} {expected:<31} found {found}"),
        }
    }
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
