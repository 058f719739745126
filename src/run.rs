//! `samepath run`: from a question to charts.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Context;
use samepath_model::experiment::{ExperimentError, Statistic};
use samepath_model::record::{Outcome, TrialRecord};
use samepath_model::{Experiment, ExperimentSpec, Trial};
use samepath_netem::tell;
use samepath_results::judge::{Judged, Reason, Verdict};
use samepath_results::{Analysis, Run, compare, report, stats, table, uses, verdicts};

use crate::builtin;
use crate::cli::RunArgs;
use crate::exit::{Exit, Mistake};
use crate::harness::{self, Finish};
use crate::junit::{JunitFile, Suite};
use crate::output;
use crate::shard::Shard;

/// Runs an experiment and draws its report.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    let experiment = amended(args)?.resolve().map_err(|error| blame(args, &error))?;
    let part = Shard::resolve(args.shard).map_err(mistake)?;
    let trials = harness::order(shard(experiment.trials().to_vec(), part)?);
    if args.dry_run {
        return show(&experiment, &trials);
    }
    let junit = JunitFile::asked_of(args.verdicts.junit.as_deref(), !experiment.expected().is_empty())?;
    warn_of_few_seeds(&experiment);
    harness::check(&args.harness, &trials)?;
    let mut manifest = harness::manifest(&experiment, &args.harness);
    if let Some(part) = part {
        part.note(&mut manifest);
    }
    let dir = args.out.clone().unwrap_or_else(|| default_directory(&experiment));
    let run = Run::create(&dir, &experiment, manifest)?;
    drop(experiment); // What it has read is in the run's directory.
    let (run, finish) = harness::carry_out(run, trials, &args.harness)?;
    conclude(&run, finish, &Told { json: args.harness.json, junit, earlier: None })
}

/// What a run's end is told by, beside its report.
#[derive(Default)]
pub(crate) struct Told<'a> {
    /// Whether machine-readable results alone are printed.
    pub(crate) json: bool,
    /// The file that gets the verdicts.
    pub(crate) junit: Option<JunitFile>,
    /// A run to compare with.
    pub(crate) earlier: Option<&'a Run>,
}

/// Prints the table, the verdicts on what was expected, and what changed since an earlier run where there is one, draws
/// the report and prints its path, and decides the exit status. What was measured is printed though the report cannot be
/// drawn.
pub(crate) fn conclude(run: &Run, finish: Finish, told: &Told<'_>) -> anyhow::Result<Exit> {
    let &Told { json, ref junit, earlier } = told;
    let records = run.trials();
    let dir = run.dir().display();
    let analysis = Analysis::of(run);
    let mut written = Ok(());
    if !json && !records.is_empty() {
        let (table, verdicts) = (table::render(&analysis), verdicts::render(&analysis));
        written = output::print(format_args!("{table}{}{verdicts}", uses::render(analysis.uses())));
    }
    let comparison = earlier.map(|earlier| compare::compare(&Analysis::of(earlier), &analysis));
    if let (false, Some(comparison)) = (json, &comparison) {
        written = written.and_then(|()| output::print(comparison.render()));
    }
    let drawn = seal_and_draw(&analysis);
    let page = drawn.as_ref().ok().and_then(Option::as_ref);
    if json {
        let mut document = serde_json::json!({
            "run": run.dir(), "report": page, "trials": records, "earlier_attempts": run.earlier_attempts(),
            "expectations": analysis.judged(), "uses": analysis.uses(),
        });
        if let Some(comparison) = &comparison {
            document["comparison"] = serde_json::to_value(comparison)?;
        }
        written = output::json(&document);
    } else if let Some(page) = page {
        written = written.and_then(|()| output::line(format_args!("report: {}", page.display())));
    }
    warn_of_voids(records);
    if let Some(junit) = junit {
        let suite = Suite::of(&run.experiment().spec().name, analysis.judged());
        junit.write(&[suite], &format!("samepath report {dir} --junit FILE"))?;
    }
    if let Finish::Interrupted { left, again } = finish {
        let again = if again == 0 { String::new() } else { format!(" and {again} to be run again") };
        tell!("interrupted with {left} trials to go{again}; go on with: samepath resume {dir}");
        drawn?;
        return Exit::Interrupted.after(written);
    }
    drawn?;
    let trials = if records.iter().all(|record| record.outcome.is_done()) { Exit::Done } else { Exit::Partly };
    trials.and(of_verdicts(run, analysis.judged())).after(written)
}

/// What the verdicts come to. That a shard has not run the trials of the others is as it has to be: they are judged when
/// all are joined.
fn of_verdicts(run: &Run, judged: &[Judged]) -> Exit {
    let is_for_later = |one: &Judged| {
        matches!(one.verdict, Verdict::Inconclusive { reason: Reason::NotRun { pending: 1.. } })
            && Shard::of_run(run.manifest()).is_some()
    };
    Exit::of_verdicts(judged.iter().filter(|one| !is_for_later(one)))
}

/// Says before a run which of its expectations so many seeds cannot settle.
fn warn_of_few_seeds(experiment: &Experiment) {
    let seeds = experiment.spec().seeds().len();
    for expected in experiment.expected() {
        let Statistic::Median { confidence } = expected.statistic else { continue };
        let needed = stats::values_for_interval(confidence);
        if seeds < needed {
            tell!(
                "expectation {} will be inconclusive: at a confidence of {confidence} a median takes {needed} seeds, and \
                 there are {seeds} (--repeat {needed}); or expect it of every trial: each = true",
                expected.place + 1
            );
        }
    }
}

/// Says what it means where many trials are void, and where nothing was measured at all.
fn warn_of_voids(records: &[TrialRecord]) {
    let voids = records.iter().filter(|record| matches!(record.outcome, Outcome::Void { .. }));
    let (by_machine, other): (Vec<_>, Vec<_>) = voids.partition(|record| record.outcome.is_voided_by_the_machine());
    let (void, all) = (by_machine.len() + other.len(), records.len());
    if !records.is_empty() && !records.iter().any(|record| record.outcome.is_done()) {
        tell!("no trial counts: of {all} trials {void} are void and {} failed. This run has no result.", all - void);
    }
    if by_machine.len() * 10 > all {
        tell!(
            "{} of {all} trials are void: this machine was too busy for them. Close what else runs on it, or run \
             fewer at a time (--jobs 1); `samepath doctor` says what would make it more exact.",
            by_machine.len()
        );
    }
}

/// Writes the checksums of what was recorded, and draws the report where there is something to draw.
fn seal_and_draw(analysis: &Analysis<'_>) -> anyhow::Result<Option<PathBuf>> {
    let run = analysis.run();
    let done = || -> anyhow::Result<Option<PathBuf>> {
        run.seal()?;
        Ok(if run.trials().is_empty() { None } else { Some(report::draw(analysis)?) })
    };
    done().with_context(|| {
        format!(
            "the trials are recorded, but the report is not drawn; when the cause is mended, draw it with: samepath \
             report {}",
            run.dir().display()
        )
    })
}

/// What the experiment's file says, with the flags' changes.
fn amended(args: &RunArgs) -> anyhow::Result<ExperimentSpec> {
    let mut experiment = builtin::load(&args.experiment)?.into_spec();
    let (flags, inputs) = args.link.read()?;
    experiment.override_link(&flags);
    experiment.inputs.extend(inputs);
    for set in &args.set {
        let flag = || format!("--set {}={}", set.axis, set.values.join(","));
        experiment.set_axis(&set.axis, &set.values).map_err(|error| mistake(format!("{}: {error}", flag())))?;
    }
    experiment.refuse_idle(&flags).map_err(|error| blame(args, &error))?;
    experiment.read_files(&builtin::read_file).map_err(|error| blame(args, &error))?;
    if !args.arms.is_empty() {
        for part in &mut experiment.parts {
            part.arms.clone_from(&args.arms);
        }
    }
    if let Some(mode) = args.mode {
        experiment.parts.iter_mut().for_each(|part| part.mode = mode);
    }
    if args.repeat.is_some() || args.seed.is_some() || args.quick {
        experiment.parts.iter_mut().for_each(|part| part.repeat = None);
    }
    if let Some(repeat) = args.repeat {
        (experiment.repeat, experiment.seeds) = (Some(repeat), Vec::new());
    }
    if let Some(seed) = args.seed {
        (experiment.repeat, experiment.seeds) = (None, vec![seed]);
    }
    if args.quick {
        experiment.seeds = experiment.seeds().into_iter().take(1).collect();
        experiment.repeat = None;
        for values in experiment.parts.iter_mut().flat_map(|part| part.axes.values_mut()) {
            if values.len() > 2 {
                values.drain(1..values.len() - 1);
            }
        }
    }
    Ok(experiment)
}

/// The mistake with the flag that made it: the experiment itself was sound when it was read.
fn blame(args: &RunArgs, error: &ExperimentError) -> anyhow::Error {
    match flag_of(args, error) {
        Some(flag) => mistake(format!("{flag}: {error}")),
        None => mistake(error),
    }
}

fn flag_of(args: &RunArgs, error: &ExperimentError) -> Option<String> {
    let at = error.at()?;
    match at.keys()[..] {
        ["part", "axes", axis, ..] => {
            let set = args.set.iter().rfind(|set| set.axis == axis)?;
            Some(format!("--set {axis}={}", set.values.join(",")))
        }
        ["part", "axes"] if !args.set.is_empty() => Some("--set".into()),
        ["part", "arms", ..] if !args.arms.is_empty() => Some("--arm".into()),
        ["part", "link", ..] => args.link.blamed(&error.to_string()),
        _ => None,
    }
}

fn mistake(error: impl std::fmt::Display) -> anyhow::Error {
    Mistake(error.to_string()).into()
}

/// The trials of this machine's shard.
fn shard(trials: Vec<Trial>, shard: Option<Shard>) -> anyhow::Result<Vec<Trial>> {
    let Some(shard) = shard else { return Ok(trials) };
    let taken = shard.take(&trials);
    if taken.is_empty() {
        return Err(mistake(format!("shard {shard} has no trials; use fewer shards")));
    }
    tell!("shard {shard}: {} trials", taken.len());
    Ok(taken)
}

/// A directory for a run that was given none.
pub(crate) fn default_directory(experiment: &Experiment) -> PathBuf {
    let name = samepath_results::manifest::directory_name(&experiment.spec().name, SystemTime::now());
    let base = PathBuf::from("results/runs").join(&name);
    // Two runs in one second must not meet in one directory.
    (1..)
        .map(|n| if n == 1 { base.clone() } else { base.with_file_name(format!("{name}-{n}")) })
        .find(|path| !path.exists())
        .unwrap_or(base)
}

fn show(experiment: &Experiment, trials: &[Trial]) -> anyhow::Result<Exit> {
    output::print(experiment.spec().to_toml())?;
    output::line(format_args!("\n# {} trials, in the order in which they would be run:", trials.len()))?;
    for trial in trials {
        let beside: String = trial.competing.iter().map(|flow| format!(", beside {flow}")).collect();
        output::line(format_args!("# {}: {} over {}{beside}; {}", trial.id, trial.workload, trial.arm, trial.link))?;
    }
    Ok(Exit::Done)
}

/// The directory as a run, with the remedy where it is none.
pub(crate) fn open(dir: &std::path::Path) -> anyhow::Result<Run> {
    Run::open(dir).with_context(|| format!("cannot read the run in {}", dir.display()))
}
