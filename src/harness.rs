//! Carries out trials: their order, how many at a time, and what becomes of each.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use samepath_model::record::{Outcome, PlayReport, RECORD_SCHEMA, TrialRecord};
use samepath_model::{Direction, Experiment, Link, Trial};
use samepath_netem::backend::kernel;
use samepath_netem::tell;
use samepath_netem::trial::{self, Backend, Evidence, TrialError, TrialPlan};
use samepath_results::blocking::{self, AnalyseError, Analysis};
use samepath_results::{Manifest, Run, RunHandle, TrialWriter, summary};

use crate::cli::HarnessArgs;
use crate::exit::{Mistake, SAID_BY, UNSUPPORTED, Unsupported};
use crate::failed;
use crate::progress::Progress;

/// File of the capture in a trial's directory.
const CAPTURE: &str = "capture.pcapng";

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// Every trial has its record.
    Complete,
    /// The user stopped it.
    Interrupted {
        /// Trials without a record.
        left: usize,
    },
}

/// The order in which trials are run: seed by seed, and within a seed at random, so that what
/// drifts on the machine does not fall on one arm. The same trials give the same order.
pub(crate) fn order(mut trials: Vec<Trial>) -> Vec<Trial> {
    let at_random = |trial: &Trial| {
        let mut hasher = DefaultHasher::new();
        (trial.seed, &trial.id).hash(&mut hasher);
        hasher.finish()
    };
    trials.sort_by_cached_key(|trial| (trial.seed, at_random(trial)));
    trials
}

/// What is to be known of this machine and program as the experiment begins.
pub(crate) fn manifest(experiment: &Experiment, args: &HarnessArgs) -> Manifest {
    let command: Vec<String> = std::env::args().collect();
    Manifest::capture(&command, experiment, Some(args.backend.name()), SystemTime::now())
}

/// Makes sure, before anything is run, that these trials can be carried out as they are asked for.
pub(crate) fn check(args: &HarnessArgs, trials: &[Trial]) -> anyhow::Result<()> {
    if trials.is_empty() {
        return Ok(());
    }
    let backend = args.backend;
    if args.capture && backend == Backend::None {
        let mistake = "a bare cable sees no packets; leave out `--backend none` or `--capture`";
        return Err(Mistake(mistake.into()).into());
    }
    check_backend(backend, trials.iter().map(|trial| &trial.link))?;
    attempt(backend)
}

/// Makes sure, before anything is run, that the backend can do what these links ask for.
pub(crate) fn check_backend<'a>(backend: Backend, mut links: impl Iterator<Item = &'a Link>) -> anyhow::Result<()> {
    if backend == Backend::None
        && let Some(link) = links.find(|link| !link.is_transparent())
    {
        let mistake = format!(
            "a bare cable has no conditions, and these would not be kept: {link}; leave out `--backend none`, or the \
             conditions (in an experiment: `link = {{}}`)"
        );
        return Err(Mistake(mistake).into());
    }
    if backend == Backend::Netem {
        links.try_for_each(kernel::check).map_err(|error| Mistake(error.to_string()))?;
    }
    Ok(())
}

/// Makes sure that this machine permits a link on this backend, and has what it takes. It is tried in a process of
/// its own: it takes namespaces, and this process must stay where it is.
pub(crate) fn attempt(backend: Backend) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = Command::new(program);
    command.args(["__attempt", backend.name()]).stdin(Stdio::null());
    let tried = command.output().context("cannot try whether a link can be brought up")?;
    if tried.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&tried.stderr);
    let said = said.trim().trim_start_matches(SAID_BY).to_owned();
    Err(if tried.status.code() == Some(UNSUPPORTED.into()) { Unsupported(said).into() } else { anyhow!(said) })
}

/// Runs these trials into the run directory. An error is one of the run as a whole (the disk is
/// full, say); a trial that fails is a record.
pub(crate) fn carry_out(run: Run, trials: Vec<Trial>, args: &HarnessArgs) -> anyhow::Result<(Run, Finish)> {
    let mut run = run.record();
    let total = trials.len();
    let jobs = args.jobs.map_or_else(|| jobs_for(&trials), usize::from).min(total.max(1));
    let stop = stop_on_signals()?;
    let progress = Progress::new(&trials, jobs, args.json);
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let waiting = Mutex::new(VecDeque::from(trials));
    let mut recorded = 0;
    let (to_main, from_workers) = mpsc::channel();
    let result = std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (to_main, waiting, stop, progress) = (to_main.clone(), &waiting, &stop, &progress);
            let (handle, program) = (run.handle(), &program);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let Some(trial) = waiting.lock().expect("no worker panics while it holds the queue").pop_front()
                    else {
                        break;
                    };
                    progress.begin(&format!("{} {}", trial.part, trial.id));
                    let record = one(&handle, trial, program, args, stop);
                    if to_main.send(record).is_err() {
                        break;
                    }
                }
            });
        }
        drop(to_main);
        for record in from_workers {
            let kept = record.and_then(|record| {
                let Some(record) = record else { return Ok(()) };
                run.append(&record)?;
                recorded += 1;
                progress.end(&record);
                Ok(())
            });
            if let Err(error) = kept {
                // The workers end their trials; what they still send is not recorded.
                stop.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    });
    progress.finish();
    result.with_context(|| {
        format!("the run stopped; when the cause is mended, go on with: samepath resume {}", run.dir().display())
    })?;
    let finish = if recorded == total { Finish::Complete } else { Finish::Interrupted { left: total - recorded } };
    Ok((run.close()?, finish))
}

/// One trial, from its plan to its record; `None` if it was interrupted.
fn one(
    run: &RunHandle,
    trial: Trial,
    program: &std::path::Path,
    args: &HarnessArgs,
    stop: &AtomicBool,
) -> anyhow::Result<Option<TrialRecord>> {
    let started = Instant::now();
    let started_unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64());
    let writer = run.begin_trial(&trial.id)?;
    let plan = TrialPlan {
        trial,
        program: program.to_owned(),
        scratch: writer.scratch().to_owned(),
        backend: args.backend,
        keep_ledger: true,
        capture: args.capture.then(|| writer.dir().join(CAPTURE)),
    };
    let result = trial::supervise(&plan, stop);
    let mut record = TrialRecord {
        schema: RECORD_SCHEMA,
        trial: plan.trial,
        outcome: Outcome::Done,
        started_unix,
        wall_ms: 0.0,
        set_up_ms: None,
        tear_down_ms: None,
        summary: None,
        link: None,
        client: None,
        server: None,
        epoch_ns: None,
        clock_error_ns: None,
        evidence: None,
    };
    match result {
        Ok(evidence) => keep(writer, evidence, &mut record)?,
        Err(TrialError::Cancelled) => return Ok(None),
        Err(error) => {
            disk_has_room(writer.scratch())?;
            record.outcome = Outcome::Failed { step: error.step().to_owned(), error: error.to_string() };
            failed::keep(writer, error, &mut record)?;
        }
    }
    record.wall_ms = started.elapsed().as_secs_f64() * 1000.0;
    Ok(Some(record))
}

/// A full disk fails every trial alike: that is the trouble of the run, which must stop, and not of
/// the trial.
fn disk_has_room(dir: &std::path::Path) -> anyhow::Result<()> {
    let path = dir.join("room");
    std::fs::write(&path, [0; 1 << 16]).with_context(|| format!("cannot write in {}", dir.display()))
}

/// Syncs what others wrote into the trial's directory: the capture, the keys and the qlogs.
fn sync_files(dir: &std::path::Path) -> anyhow::Result<()> {
    let sync = || {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_file() {
                std::fs::File::open(path)?.sync_all()?;
            }
        }
        std::io::Result::Ok(())
    };
    sync().with_context(|| format!("cannot keep what was captured in {}", dir.display()))
}

/// Turns what was measured into the trial's files and figures.
fn keep(mut writer: TrialWriter, evidence: Evidence, record: &mut TrialRecord) -> anyhow::Result<()> {
    let Evidence { play, link, ledger, capture, set_up, tear_down, mut void, .. } = evidence;
    if let Some(complaint) = capture.and_then(|capture| capture.complaint()) {
        // The trial's figures do not depend on it, so it is told and the trial is kept.
        tell!("{}: {complaint}", record.trial.id);
    }
    sync_files(writer.dir())?;
    writer.set_epoch(play.epoch_ns);
    writer.write_messages(play.messages.iter().cloned())?;
    writer.write_series(play.series.iter().copied())?;
    if record.trial.mapping {
        writer.write_layout(play.layout.iter().copied())?;
        writer.write_sights(play.sights.iter().copied())?;
    }
    if let Some(spool) = &ledger {
        writer.write_ledger(samepath_netem::ledger::read(spool, play.epoch_ns)?)?;
    }
    let mut figures = summary::summarise(&record.trial, &play, Some(&link));
    if let Some(spool) = &ledger
        && let Some(analysis) = follow(&record.trial, &play, spool)?
    {
        figures.blocking = analysis.figures();
        void.extend(analysis.faults());
    }
    writer.finish()?;
    record.summary = Some(figures);
    if !void.is_empty() {
        record.outcome = Outcome::Void { reasons: void };
    }
    record.set_up_ms = Some(set_up.as_secs_f64() * 1000.0);
    record.tear_down_ms = Some(tear_down.as_secs_f64() * 1000.0);
    record.epoch_ns = Some(play.epoch_ns);
    record.clock_error_ns = Some(play.clock_error_ns);
    (record.link, record.client, record.server) = (Some(link), Some(play.client), Some(play.server));
    Ok(())
}

/// What each message waited for; `None` where the trial's packets are not mapped to its messages.
fn follow(trial: &Trial, play: &PlayReport, spool: &std::path::Path) -> anyhow::Result<Option<Analysis>> {
    let ledger = samepath_netem::ledger::read(spool, play.epoch_ns)?;
    let sights = play.sights.iter().copied().map(Ok);
    match blocking::analyse(trial, play.messages.clone(), &play.layout, ledger, sights) {
        Ok(analysis) => Ok(Some(analysis)),
        Err(AnalyseError::Unmapped(_)) => Ok(None),
        Err(AnalyseError::Source(error)) => Err(error.into()),
    }
}

/// How many trials at a time this machine surely keeps apart: those that together ask for no more
/// than 100 Mbit/s, two a core. A link without a rate takes all the machine can give: one alone.
fn jobs_for(trials: &[Trial]) -> usize {
    const TOGETHER: u64 = 100_000_000;
    let rate = |trial: &Trial| {
        Direction::BOTH.iter().map(|&d| trial.link.direction(d).rate.map_or(u64::MAX, |r| r.bits_per_second())).max()
    };
    let fastest = trials.iter().filter_map(rate).max().unwrap_or(u64::MAX);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    usize::try_from(TOGETHER / fastest).unwrap_or(1).clamp(1, 2 * cores)
}

/// A flag that the first Ctrl-C (or SIGTERM) raises; the second ends the program at once.
fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
