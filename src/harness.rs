//! Carries out trials: their order, how many at a time, and what becomes of each.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use samepath_model::flow::{UNDER_TEST, book_of};
use samepath_model::record::{
    FlowRecord, LinkReport, Outcome, PacketRecord, PlayReport, RECORD_SCHEMA, Summary, TrialRecord,
};
use samepath_model::{Direction, Experiment, FlowId, Link, Trial};
use samepath_netem::backend::kernel;
use samepath_netem::ledger::{self, LedgerError};
use samepath_netem::trial::{self, Backend, Evidence, TrialError, TrialPlan};
use samepath_netem::{limits, tell};
use samepath_results::blocking::{self, AnalyseError, Analysis, Opening};
use samepath_results::flows::{self, FlowCounts};
use samepath_results::handshake::Handshake;
use samepath_results::store::{self, Recorder};
use samepath_results::{Manifest, Run, RunHandle, TrialWriter, summary};

use crate::attempts::{self, Attempt};
use crate::cli::HarnessArgs;
use crate::exit::{Mistake, SAID_BY, UNSUPPORTED, Unsupported};
use crate::failed;
use crate::progress::Progress;

/// A packet of a ledger, or why it cannot be read.
type LedgerLine = Result<PacketRecord, LedgerError>;

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
        /// Trials that the machine voided and that were to be run again.
        again: usize,
    },
}

/// The order in which trials are run: seed by seed, and within a seed at random, so that what
/// drifts on the machine does not fall on one arm. The same trials give the same order.
pub(crate) fn order(mut trials: Vec<Trial>) -> Vec<Trial> {
    trials.sort_by_cached_key(place);
    trials
}

/// What a trial's place in that order goes by.
fn place(trial: &Trial) -> (u64, u64) {
    let mut hasher = DefaultHasher::new();
    (trial.seed, &trial.id).hash(&mut hasher);
    (trial.seed, hasher.finish())
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
    check_distances(backend, trials)?;
    check_open_files(trials, limits::raise_open_files())?;
    attempt(backend)
}

/// Makes sure that a process may have as many files open as an end of each of these trials needs.
fn check_open_files(trials: &[Trial], permitted: u64) -> anyhow::Result<()> {
    /// What an end has open beside the connections of its workload, and to spare.
    const BESIDE: u64 = 40;
    let flows = trials.iter().flat_map(|trial| {
        let competing = trial.competing.iter().map(|flow| (flow.arm, &flow.workload));
        std::iter::once((trial.arm, &trial.workload)).chain(competing)
    });
    // Each flow has ends of its own.
    let all = flows.map(|(arm, workload)| (workload.connections(arm), arm));
    let Some((connections, arm)) = all.max_by_key(|(connections, _)| *connections) else { return Ok(()) };
    let needed = u64::from(connections) + BESIDE;
    if needed <= permitted {
        return Ok(());
    }
    let problem = format!(
        "{} opens {} connections, for which each end needs some {needed} open files, and a process may have {permitted} \
         here: raise the hard limit to {needed} or more (`ulimit -Hn`; as root `prlimit --nofile=`, `LimitNOFILE=` of a \
         systemd unit, `--ulimit nofile=` of a container), or use fewer streams or `{}`",
        arm, connections, arm.transport,
    );
    Err(Unsupported(problem).into())
}

/// Makes sure that no server of these trials stands farther away than the backend can have it.
fn check_distances(backend: Backend, trials: &[Trial]) -> anyhow::Result<()> {
    let flows = trials.iter().flat_map(|trial| {
        let competing = trial.competing.iter().map(|flow| (flow.name.clone(), &flow.workload));
        std::iter::once((trial.arm.to_string(), &trial.workload)).chain(competing)
    });
    let far = flows
        .map(|(name, workload)| (name, workload.farthest()))
        .find(|(_, far)| *far != samepath_model::Duration::ZERO);
    if let Some((name, far)) = far.filter(|_| backend.has_one_delay()) {
        let mistake = format!(
            "services of `{name}` stand up to {far} farther away (`extra-rtts`), and the backend `{}` has one delay for all; \
             leave that out, or use the embedded link (`--backend auto`)",
            backend.name()
        );
        return Err(Mistake(mistake).into());
    }
    let mut competing = trials.iter().flat_map(|trial| &trial.competing);
    match competing.find(|flow| flow.extra_rtt != samepath_model::Duration::ZERO) {
        Some(flow) if backend.has_one_delay() => {
            let mistake = format!(
                "the server of `{}` stands {} farther away (`extra-rtt`), and the backend `{}` has one delay for all; \
                 leave that out, or use the embedded link (`--backend auto`)",
                flow.name,
                flow.extra_rtt,
                backend.name()
            );
            Err(Mistake(mistake).into())
        }
        _ => Ok(()),
    }
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
    let said = String::from_utf8_lossy(&tried.stderr);
    if tried.status.success() {
        // What is not as it has to be is told before the first trial, and not by each alone.
        said.lines().for_each(|line| tell!("{line}"));
        return Ok(());
    }
    let said = said.trim().trim_start_matches(SAID_BY).to_owned();
    Err(if tried.status.code() == Some(UNSUPPORTED.into()) { Unsupported(said).into() } else { anyhow!(said) })
}

/// Runs these trials into the run directory, and at the end again what the machine voided, now or as the run was left.
/// An error is one of the run as a whole (the disk is full, say); a trial that fails is a record.
pub(crate) fn carry_out(run: Run, trials: Vec<Trial>, args: &HarnessArgs) -> anyhow::Result<(Run, Finish)> {
    let mut due = attempts::due(&run, args.retries);
    let mut run = run.record();
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let workers = Workers { program, args, stop: stop_on_signals()? };
    let made = workers.make(&mut run, trials.into_iter().map(Attempt::first).collect())?;
    due.extend(made.due);
    let (left, mut unmade) = (made.left, 0);
    while left + unmade == 0 && !due.is_empty() && !workers.is_stopped() {
        tell!("voided by this machine and run again: {} trials", due.len());
        let bounds = due.iter().map(|attempt| attempt.trial.tolerance.steal);
        attempts::wait_for_calm(bounds.min_by(|a, b| a.fraction().total_cmp(&b.fraction())), &workers.stop);
        due.sort_by_cached_key(|attempt| place(&attempt.trial));
        let made = workers.make(&mut run, due)?;
        (due, unmade) = (made.due, made.left);
    }
    let again = unmade + due.len();
    let finish = if left + again == 0 { Finish::Complete } else { Finish::Interrupted { left, again } };
    Ok((run.close()?, finish))
}

/// What makes the attempts, several at a time.
struct Workers<'a> {
    program: PathBuf,
    args: &'a HarnessArgs,
    stop: Arc<AtomicBool>,
}

/// What came of attempts.
struct Made {
    /// Those that have no record: the user stopped them.
    left: usize,
    /// Those that are due after them.
    due: Vec<Attempt>,
}

impl Workers<'_> {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn make(&self, run: &mut Recorder, attempts: Vec<Attempt>) -> anyhow::Result<Made> {
        let jobs = self.jobs(&attempts);
        let progress = Progress::new(&attempts, jobs, self.args.json);
        let mut made = Made { left: attempts.len(), due: Vec::new() };
        let waiting = Mutex::new(VecDeque::from(attempts));
        let (to_main, from_workers) = mpsc::channel();
        let result = std::thread::scope(|scope| {
            for _ in 0..jobs {
                let (to_main, waiting, progress, handle) = (to_main.clone(), &waiting, &progress, run.handle());
                scope.spawn(move || {
                    while !self.is_stopped() {
                        let next = waiting.lock().expect("no worker panics while it holds the queue").pop_front();
                        let Some(attempt) = next else { break };
                        progress.begin(&attempt);
                        if to_main.send(one(&handle, attempt, self)).is_err() {
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
                    made.left -= 1;
                    made.due.extend(Attempt::after(&record, self.args.retries));
                    progress.end(&record);
                    Ok(())
                });
                if let Err(error) = kept {
                    // The workers end their trials; what they still send is not recorded.
                    self.stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
            Ok(())
        });
        progress.finish();
        result.with_context(|| {
            format!("the run stopped; when the cause is mended, go on with: samepath resume {}", run.dir().display())
        })?;
        Ok(made)
    }

    /// How many at a time; of what is run again half as many each time, since it may have been too much for the machine.
    fn jobs(&self, attempts: &[Attempt]) -> usize {
        let jobs = self.args.jobs.map_or_else(|| jobs_for(attempts), usize::from);
        let number = attempts.iter().map(|attempt| attempt.number).max().unwrap_or(1);
        (jobs >> (number - 1).min(usize::BITS - 1)).clamp(1, attempts.len().max(1))
    }
}

/// One attempt at a trial, from its plan to its record; `None` if it was interrupted.
fn one(run: &RunHandle, attempt: Attempt, workers: &Workers<'_>) -> anyhow::Result<Option<TrialRecord>> {
    let started = Instant::now();
    let started_unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64());
    let Attempt { trial, number } = attempt;
    let Workers { program, args, stop } = workers;
    let writer = run.begin_attempt(&trial.id, number)?;
    let plan = TrialPlan {
        trial,
        program: program.clone(),
        scratch: writer.scratch().to_owned(),
        inputs: run.inputs(),
        books: writer.dir().to_owned(),
        backend: args.backend,
        keep_ledger: true,
        capture: args.capture.then(|| writer.dir().join(CAPTURE)),
    };
    let result = trial::supervise(&plan, stop);
    let mut record = TrialRecord {
        competing: Vec::new(),
        restarts: Vec::new(),
        session_failures: Vec::new(),
        schema: RECORD_SCHEMA,
        trial: plan.trial,
        attempt: number,
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
            disk_has_space(writer.scratch())?;
            record.outcome = match &error {
                TrialError::Exhausted { reason, .. } => Outcome::Void { reasons: vec![reason.clone()] },
                error => Outcome::Failed { step: error.step().to_owned(), error: error.to_string() },
            };
            failed::keep(writer, error, &mut record)?;
        }
    }
    record.wall_ms = started.elapsed().as_secs_f64() * 1000.0;
    Ok(Some(record))
}

/// A full disk fails every trial alike: that is the trouble of the run, which must stop, and not of
/// the trial.
fn disk_has_space(dir: &Path) -> anyhow::Result<()> {
    let path = dir.join("space");
    std::fs::write(&path, [0; 1 << 16]).with_context(|| format!("cannot write in {}", dir.display()))
}

/// Syncs what others wrote into the trial's directory: the capture, the keys and the qlogs.
fn sync_files(dir: &Path) -> anyhow::Result<()> {
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
    let Evidence { play, competing, link, ledger, capture, set_up, tear_down, restarts, mut void } = evidence;
    if let Some(complaint) = capture.and_then(|capture| capture.complaint()) {
        // The trial's figures do not depend on it, so it is told and the trial is kept.
        tell!("{}: {complaint}", record.trial.id);
    }
    sync_files(writer.dir())?;
    let trial = &record.trial;
    let mut flows = Vec::with_capacity(competing.len());
    let mut reports = vec![play];
    for (flow, report) in trial.flows().skip(1).zip(competing) {
        let mut record = flow_record(trial, flow, &report, &link);
        note_book(&mut record.summary, &trial.of_flow(flow), &report, &writer.dir().join(book_of(flow)))?;
        flows.push(record);
        reports.push(report.of_flow(flow, trial.start_of(flow).as_nanos()));
    }
    let play = &reports[0];
    writer.set_epoch(play.epoch_ns);
    writer.write_messages(reports.iter().flat_map(|report| report.messages.iter().cloned()))?;
    writer.write_series(reports.iter().flat_map(|report| report.series.iter().copied()))?;
    if trial.attribution {
        writer.write_layout(play.layout.iter().copied())?;
        writer.write_observations(play.observations.iter().copied())?;
    }
    let mut figures = summary::summarise(trial, play, Some(&link));
    note_book(&mut figures, trial, play, &writer.dir().join(book_of(UNDER_TEST)))?;
    let mut handshake = play.handshake_ns.map(|took| Handshake::new(play.connecting, took));
    if let Some(spool) = &ledger {
        let mut counts = FlowCounts::new(trial);
        let seen = |packet: &Result<PacketRecord, _>| {
            if let Ok(packet) = packet {
                handshake.iter_mut().for_each(|handshake| handshake.see(packet));
                counts.see(packet);
            }
        };
        writer.write_ledger(read_ledger(spool, play.epoch_ns)?.inspect(seen))?;
        if !flows.is_empty() {
            let summaries = std::iter::once(&mut figures).chain(flows.iter_mut().map(|flow| &mut flow.summary));
            trial.flows().zip(summaries).for_each(|(flow, summary)| counts.put(flow, summary));
        }
    }
    for (place, share) in flows::shares(trial, &reports) {
        let competing = place.checked_sub(1).map(|place| &mut flows[place].summary);
        competing.unwrap_or(&mut figures).link_share = Some(share);
    }
    figures.handshake = handshake.and_then(Handshake::parts);
    if let Some(spool) = &ledger
        && let Some(analysis) = follow(trial, play, spool)?
    {
        figures.blocking = analysis.figures();
        void.extend(analysis.faults());
        void.extend(analysis.limits());
    }
    writer.finish()?;
    record.restarts = restarts;
    record.session_failures = reports.iter_mut().filter_map(|report| report.failure.take()).collect();
    let play = reports.swap_remove(0);
    record.summary = Some(figures);
    record.competing = flows;
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

/// Adds what stands in the book of a flow's server, where its workload has one.
fn note_book(figures: &mut Summary, trial: &Trial, play: &PlayReport, book: &Path) -> anyhow::Result<()> {
    if trial.workload.book().is_some() {
        summary::note_book(figures, trial, &play.messages, &store::read_book(book)?);
    }
    Ok(())
}

/// What a competing flow came to, by its report.
fn flow_record(trial: &Trial, flow: FlowId, report: &PlayReport, link: &LinkReport) -> FlowRecord {
    FlowRecord {
        name: trial.competing(flow).map(|flow| flow.name.clone()).unwrap_or_default(),
        summary: summary::summarise(&trial.of_flow(flow), report, Some(link)),
        client: report.client.clone(),
        server: report.server.clone(),
    }
}

/// The ledger of a trial, each line with its flow.
fn read_ledger(spool: &Path, epoch: u64) -> Result<impl Iterator<Item = LedgerLine> + use<>, LedgerError> {
    Ok(ledger::read(spool, epoch)?.map(|packet| packet.map(trial::with_flow)))
}

/// What each message waited for; `None` where the trial's packets are not attributed to its messages.
fn follow(trial: &Trial, play: &PlayReport, spool: &Path) -> anyhow::Result<Option<Analysis>> {
    let ledger = read_ledger(spool, play.epoch_ns)?;
    let observations = play.observations.iter().copied().map(Ok);
    match blocking::analyse(trial, play.messages.clone(), &play.layout, ledger, observations) {
        Ok(analysis) => {
            let opening = Opening::of(trial.workload.is_cold(), play.name_lookup, play.handshake_ns);
            Ok(Some(analysis.told_by(&play.series, opening)))
        }
        Err(AnalyseError::Unattributed(_)) => Ok(None),
        Err(AnalyseError::Source(error)) => Err(error.into()),
    }
}

/// How many trials at a time this machine surely keeps apart: those that together ask for no more
/// than 100 Mbit/s, two a core. A link without a rate takes all the machine can give: one alone.
fn jobs_for(attempts: &[Attempt]) -> usize {
    const TOGETHER: u64 = 100_000_000;
    let rate = |trial: &Trial| {
        Direction::BOTH.iter().map(|&d| trial.link.direction(d).rate.map_or(u64::MAX, |r| r.bits_per_second())).max()
    };
    let fastest = attempts.iter().filter_map(|attempt| rate(&attempt.trial)).max().unwrap_or(u64::MAX);
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
