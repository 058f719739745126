//! `samepath validate`: the lab checks itself against theory.
//!
//! Each check is an experiment like any other, run by the same harness, and a function that scores
//! its records. The expected figures come from the protocols' own rules, not from earlier runs.

mod checks;
mod finding;
mod quick;
mod score;

use anyhow::Context;
use samepath_model::{Experiment, Trial};
use samepath_netem::tell;
use samepath_results::Run;
use samepath_results::judge::{Reason, Verdict};

use crate::cli::ValidateArgs;
use crate::exit::{Exit, Mistake};
use crate::harness::{self, Finish};
use crate::junit::{Case, JunitFile, Suite};
use crate::output;
use checks::{CHECKS, Check};
use finding::{Finding, UNMEASURED};

/// Makes the checks that were asked for, and fails if one does.
pub(crate) fn validate(args: &ValidateArgs) -> anyhow::Result<Exit> {
    let checks = choose(args)?;
    if args.list {
        for check in checks {
            output::line(format_args!("{:<4} {}", check.id, check.title))?;
        }
        return Ok(Exit::Done);
    }
    let junit = JunitFile::asked(args.verdicts.junit.as_deref())?;
    let checks: Vec<(&Check, Experiment, Vec<Trial>)> =
        checks.into_iter().map(|check| planned(check, args.quick)).collect::<anyhow::Result<_>>()?;
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
        let (run, finish) = harness::carry_out(run, trials, &args.harness)?;
        if finish != Finish::Complete {
            tell!("interrupted");
            return Ok(Exit::Interrupted);
        }
        run.seal()?;
        let findings = findings(check, &run)?;
        if !args.harness.json {
            findings.iter().try_for_each(|finding| output::line(format_args!("     {}", finding.line())))?;
        }
        results.push((check, findings));
    }
    if let Some(junit) = junit {
        junit.write(
            &results.iter().map(|(check, findings)| suite(check, findings)).collect::<Vec<_>>(),
            "run it again",
        )?;
    }
    let tally = Tally::of(results.iter().flat_map(|(_, findings)| findings));
    let written = if args.harness.json {
        let document: Vec<_> = results
            .iter()
            .map(|(check, findings)| serde_json::json!({ "check": check.id, "title": check.title, "findings": findings }))
            .collect();
        output::json(&document)
    } else {
        let is_inconclusive =
            |findings: &[Finding]| findings.iter().any(|f| f.verdict().is_some_and(Verdict::is_inconclusive));
        let unsaid = results.iter().filter(|(_, findings)| is_inconclusive(findings)).map(|(check, _)| check.id);
        output::print(tally.say(&unsaid.collect::<Vec<_>>()))
    };
    tally.exit().after(written)
}

/// What a check says of its run. Where every trial counts, nothing is left unmeasured but by a fault; else the machine
/// may have voided what was to be measured.
fn findings(check: &Check, run: &Run) -> anyhow::Result<Vec<Finding>> {
    let mut findings = (check.score)(run)?;
    let verdict = match score::voided_by_the_host(run) {
        0 => Verdict::Fail,
        void => Verdict::inconclusive(Reason::TrialsVoid { void }),
    };
    let unmeasured = findings.iter_mut().filter(|finding| finding.verdict() == Some(UNMEASURED));
    unmeasured.for_each(|finding| finding.judgement = verdict.into());
    findings.splice(0..0, score::every_trial_counts(run)?);
    Ok(findings)
}

/// A check's comparisons that have a verdict.
fn suite(check: &Check, findings: &[Finding]) -> Suite {
    let case = |finding: &Finding| {
        Some(Case {
            class: format!("validate.{}", check.id),
            name: finding.what.clone(),
            found: format!("expected {}, found {}", finding.expected, finding.found),
            verdict: finding.verdict()?,
        })
    };
    Suite { name: format!("{}: {}", check.id, check.title), cases: findings.iter().filter_map(case).collect() }
}

/// How many comparisons said what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
    inconclusive: usize,
}

impl Tally {
    fn of<'a>(findings: impl Iterator<Item = &'a Finding>) -> Tally {
        let mut tally = Tally::default();
        for finding in findings {
            match finding.verdict() {
                Some(Verdict::Pass) => tally.passed += 1,
                Some(Verdict::Fail) => tally.failed += 1,
                Some(Verdict::Inconclusive { .. }) => tally.inconclusive += 1,
                None => {}
            }
        }
        tally
    }

    /// In words; `unsaid` are the checks with comparisons that say nothing.
    fn say(self, unsaid: &[&str]) -> String {
        let Tally { passed, failed, inconclusive } = self;
        let mut text = format!("{passed} of {} comparisons agree with theory\n", passed + failed + inconclusive);
        if failed > 0 {
            text += &format!("{failed} do not\n");
        }
        if inconclusive > 0 {
            text += &format!(
                "{inconclusive} are inconclusive, since this machine voided their trials or was late in them; on a \
                 quieter one: samepath validate {}\n",
                unsaid.join(" ")
            );
        }
        text
    }

    fn exit(self) -> Exit {
        match self {
            Tally { failed: 1.., .. } => Exit::Failed,
            Tally { inconclusive: 1.., .. } => Exit::Partly,
            _ => Exit::Done,
        }
    }
}

/// A check with its experiment, and the trials in their order.
fn planned(check: &'static Check, quick: bool) -> anyhow::Result<(&'static Check, Experiment, Vec<Trial>)> {
    let mut experiment = Experiment::parse(check.experiment).context("a built-in check is broken")?;
    if let Some(quick) = check.quick.filter(|_| quick) {
        experiment = quick.of(experiment).context("a built-in check is broken")?;
    }
    let trials = harness::order(experiment.trials().to_vec());
    Ok((check, experiment, trials))
}

fn choose(args: &ValidateArgs) -> anyhow::Result<Vec<&'static Check>> {
    if args.checks.is_empty() {
        return Ok(CHECKS.iter().filter(|check| !args.quick || check.quick.is_some()).collect());
    }
    let names = args.checks.iter();
    names
        .map(|name| {
            let check = CHECKS.iter().find(|check| check.id.eq_ignore_ascii_case(name)).ok_or_else(|| {
                let known: Vec<&str> = CHECKS.iter().map(|check| check.id).collect();
                Mistake(format!("there is no check `{name}`; choose from: {}", known.join(", ")))
            })?;
            if args.quick && check.quick.is_none() {
                let told = format!("{} has no quick form: a part of it would say nothing; leave out --quick", check.id);
                return Err(Mistake(told).into());
            }
            Ok(check)
        })
        .collect()
}
