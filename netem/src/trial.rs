//! The trial harness: one trial from set-up to evidence, in processes that nothing outlives.
//!
//! ```text
//! run ── supervise ──► __trial (one thread: namespaces) ──► first process of a PID namespace
//!                                                              ├─ link: data thread, ledger writer
//!                                                              ├─ server, in its namespace
//!                                                              └─ client, in its namespace
//! ```
//!
//! [`supervise`] is called from the run, which may have many threads; it starts the program anew
//! with a plan, and takes the evidence from files in the trial's scratch directory. [`main`] is what
//! the new process does. Whoever of them dies, the kernel ends all below it.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use samepath_model::link::{Checksum, Link};
use samepath_model::record::{Calibration, EndReport, LinkReport, PlayReport};
use samepath_model::{Mode, Tolerance, Trial, VoidKind, VoidReason, Workload, shortage};
use serde::{Deserialize, Serialize};

mod settings;

pub use crate::backend::Backend;
use crate::calibrate;
use crate::capture::CaptureReport;
use crate::device;
use crate::endpoint::{Endpoint, last_lines};
use crate::ledger::Cut;
use crate::limits;
use crate::link::{Nanos, Onset};
use crate::namespace::{OnTerminate, contain};
use crate::path::{Around, Keep, LivePath};
use crate::sys::{self, monotonic};

/// File of the keys, beside a capture.
const KEYS: &str = "keys.log";
/// How long the server may take until it is ready.
const READY_LIMIT: Duration = Duration::from_secs(10);
/// How long the server may take to end when asked.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// What a trial may take beyond its time limit, in all: the limits of its other steps.
const GRACE: Duration = Duration::from_secs(20);
/// How many of the server's last words are kept for a trial that fails.
const LOG_LINES: usize = 4;
/// How often a supervisor looks whether it is to stop.
const CANCEL_LATENCY: Duration = Duration::from_millis(50);

/// What is to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrialPlan {
    /// The trial.
    pub trial: Trial,
    /// The program that has the verbs `server`, `client` and `__trial`.
    pub program: PathBuf,
    /// An existing directory, for the trial alone: spools, logs, reports.
    pub scratch: PathBuf,
    /// Where the files lie that the link's conditions name, each under its checksum.
    pub inputs: PathBuf,
    /// What carries the link's packets.
    pub backend: Backend,
    /// Whether the fate of every packet is kept.
    pub keep_ledger: bool,
    /// Where every packet is captured, if it is.
    pub capture: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug)]
pub struct Evidence {
    /// What the ends report.
    pub play: PlayReport,
    /// What the link reports.
    pub link: LinkReport,
    /// The spool of packets' fates, for [`crate::ledger::read`], where it was kept.
    pub ledger: Option<PathBuf>,
    /// What came of the capture, where there was one.
    pub capture: Option<CaptureReport>,
    /// Namespaces, link and server, until the client was started.
    pub set_up: Duration,
    /// From the client's end until everything was gone.
    pub tear_down: Duration,
    /// Broken conditions. Not empty: the trial is void.
    pub void: Vec<VoidReason>,
}

/// A trial that did not get to its end.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// It was stopped from outside.
    #[error("the trial was interrupted")]
    Cancelled,
    /// One of its steps failed.
    #[error("{error}")]
    Step {
        /// What it was doing: `set-up`, `server`, `client`, `records`.
        step: String,
        /// What went wrong, with the endpoint's last words where it was one.
        error: String,
        /// What the link knew by then.
        remains: Box<Remains>,
    },
    /// The machine could not carry it: it is void, not failed.
    #[error("{}", reason.words)]
    Exhausted {
        /// What gave out.
        reason: VoidReason,
        /// What the link knew by then.
        remains: Box<Remains>,
    },
}

/// What the link of a failed trial knew when it was taken down. Its ledger so far, and the last words
/// of both ends, are files of the trial's scratch directory: [`Remains::of`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Remains {
    /// What the link reports; `None` where there was none, or it ended with its process.
    pub link: Option<LinkReport>,
    /// Start of the schedule (CLOCK_MONOTONIC), where the client got so far.
    pub epoch: Option<Nanos>,
}

/// What a failed trial left in its scratch directory.
#[derive(Debug)]
pub struct Leavings {
    /// The spool of packets' fates, for [`crate::ledger::read_so_far`].
    pub ledger: Option<PathBuf>,
    /// The plan, and what the trial's processes said on stderr.
    pub texts: Vec<PathBuf>,
}

impl Remains {
    /// The files that a failed trial left in `scratch`, as far as it got.
    pub fn of(scratch: &Path) -> Leavings {
        let files = Files(scratch);
        let there = |file: &PathBuf| file.exists();
        let said = ["trial", "server", "client"].map(|of| files.stderr(of));
        Leavings {
            ledger: Some(files.ledger()).filter(there),
            texts: std::iter::once(files.order()).chain(said).filter(there).collect(),
        }
    }
}

impl TrialError {
    fn new(step: &str, error: impl std::fmt::Display) -> TrialError {
        TrialError::Step { step: step.to_owned(), error: error.to_string(), remains: Box::default() }
    }

    /// What it was doing: `set-up`, `server`, `client`, `records`; or `interrupted`, `exhausted`.
    pub fn step(&self) -> &str {
        match self {
            TrialError::Cancelled => "interrupted",
            TrialError::Step { step, .. } => step,
            TrialError::Exhausted { .. } => "exhausted",
        }
    }
}

/// The plan as it is handed to the new process.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    plan: TrialPlan,
    /// When the supervisor began (CLOCK_MONOTONIC).
    started: Nanos,
}

/// What the contained process hands back.
#[derive(Debug, Serialize, Deserialize)]
enum Verdict {
    Done {
        link: Box<LinkReport>,
        void: Vec<VoidReason>,
        capture: Option<CaptureReport>,
        /// When the client was started.
        client_started: Nanos,
        /// When it had ended.
        client_ended: Nanos,
    },
    Failed {
        step: String,
        error: String,
        remains: Box<Remains>,
    },
    Exhausted {
        reason: VoidReason,
        remains: Box<Remains>,
    },
}

impl Verdict {
    fn failed(error: &TrialError, remains: Remains) -> Verdict {
        if let TrialError::Exhausted { reason, .. } = error {
            return Verdict::Exhausted { reason: reason.clone(), remains: Box::new(remains) };
        }
        Verdict::Failed { step: error.step().to_owned(), error: error.to_string(), remains: Box::new(remains) }
    }
}

/// The files of a trial's scratch directory.
struct Files<'a>(&'a Path);

impl Files<'_> {
    fn order(&self) -> PathBuf {
        self.0.join("plan.json")
    }
    fn trial(&self) -> PathBuf {
        self.0.join("trial.json")
    }
    fn verdict(&self) -> PathBuf {
        self.0.join("verdict.json")
    }
    fn report(&self) -> PathBuf {
        self.0.join("report.postcard")
    }
    fn ledger(&self) -> PathBuf {
        self.0.join("ledger.spool")
    }
    fn stderr(&self, of: &str) -> PathBuf {
        self.0.join(format!("{of}.stderr"))
    }
}

/// Runs a trial in processes of its own, to its end or its limit, and takes the evidence. Raising
/// `cancel` ends it at once.
///
/// # Errors
/// Says at which step the trial failed, why, and what the endpoint said last.
pub fn supervise(plan: &TrialPlan, cancel: &AtomicBool) -> Result<Evidence, TrialError> {
    let files = Files(&plan.scratch);
    let started = monotonic();
    let set_up = |error: &dyn std::fmt::Display| TrialError::new("set-up", error);
    let order = Order { plan: plan.clone(), started };
    write_json(&files.order(), &order).map_err(|error| set_up(&error))?;
    run_to_end(plan, &files, cancel)?;
    let ended = monotonic();

    let verdict = fs::read(files.verdict()).map_err(|_| {
        let said = last_lines(&files.stderr("trial"));
        let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
        TrialError::new("set-up", format!("the trial's process ended without a verdict: {said}"))
    })?;
    match serde_json::from_slice(&verdict).map_err(|error| TrialError::new("records", error))? {
        Verdict::Failed { step, error, remains } => Err(TrialError::Step { step, error, remains }),
        Verdict::Exhausted { reason, remains } => Err(TrialError::Exhausted { reason, remains }),
        Verdict::Done { link, mut void, capture, client_started, client_ended } => {
            let report = fs::read(files.report()).map_err(|error| {
                TrialError::new("records", format!("the client ended well but left no report: {error}"))
            })?;
            let play: PlayReport = postcard::from_bytes(&report)
                .map_err(|error| TrialError::new("records", format!("the client's report cannot be read: {error}")))?;
            if !plan.trial.link.is_transparent() {
                void.extend(endpoint_verdict("client", &play.client, &plan.trial.tolerance));
                void.extend(endpoint_verdict("server", &play.server, &plan.trial.tolerance));
            }
            let ends = [("client", &play.client), ("server", &play.server)];
            void.extend(settings::verdict(ends, &link.settings, &plan.trial.tolerance));
            let ledger = Some(files.ledger()).filter(|file| plan.keep_ledger && file.exists());
            Ok(Evidence {
                play,
                link: *link,
                ledger,
                capture,
                set_up: Duration::from_nanos(client_started.saturating_sub(started)),
                tear_down: Duration::from_nanos(ended.saturating_sub(client_ended)),
                void,
            })
        }
    }
}

/// Starts the trial's process and waits until it has ended, or ends it.
fn run_to_end(plan: &TrialPlan, files: &Files<'_>, cancel: &AtomicBool) -> Result<(), TrialError> {
    let fail = |error: io::Error| TrialError::new("set-up", format!("the trial's process: {error}"));
    let stderr = File::create(files.stderr("trial")).map_err(fail)?;
    let mut command = Command::new(&plan.program);
    command.arg("__trial").arg(files.order()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    // A group of its own: the terminal's Ctrl-C is for the run, which decides.
    command.process_group(0);
    die_before_exec(&mut command);
    let mut child = command
        .spawn()
        .map_err(|error| TrialError::new("set-up", format!("cannot start `{}`: {error}", plan.program.display())))?;
    let ended = sys::pidfd(child.id()).map_err(fail)?;
    let deadline = Instant::now() + plan.trial.time_limit.std() + GRACE;
    loop {
        let look_again = (Instant::now() + CANCEL_LATENCY).min(deadline);
        let is_over = sys::wait_readable(&[ended.as_fd()], look_again).map_err(fail)?[0];
        if is_over {
            child.wait().map_err(fail)?;
            return Ok(());
        }
        let cancelled = cancel.load(Ordering::Relaxed);
        if cancelled || Instant::now() >= deadline {
            // The kernel ends everything below it.
            let _ = child.kill();
            let _ = child.wait();
            if cancelled {
                return Err(TrialError::Cancelled);
            }
            return Err(TrialError::new(
                "client",
                format!("the trial hung: it was ended {GRACE:?} after its time limit of {}", plan.trial.time_limit),
            ));
        }
    }
}

/// Makes a command's process die with the thread that started it.
#[allow(unsafe_code)] // what runs between fork and exec
fn die_before_exec(command: &mut Command) {
    let parent = std::process::id() as i32;
    // SAFETY: only async-signal-safe calls.
    unsafe {
        command.pre_exec(move || sys::die_with_parent(parent));
    }
}

/// What an endpoint's own account says against the trial.
fn endpoint_verdict(name: &str, end: &EndReport, tolerance: &Tolerance) -> Option<VoidReason> {
    let share = (end.cpu_user_ns + end.cpu_system_ns) as f64 / end.wall_ns.max(1) as f64;
    if end.wall_ns > 0 && share > tolerance.endpoint_cpu.fraction() {
        let (share, bound) = (share * 100.0, tolerance.endpoint_cpu.fraction() * 100.0);
        let words = format!("the {name} was on the CPU for {share:.0} % of the time (bound {bound:.0} %)");
        return Some(VoidReason::new(VoidKind::EndCpu, words));
    }
    // Of fewer than a hundred ticks the 99th percentile is the latest one alone, which proves nothing.
    let late = end
        .wake_lateness
        .as_ref()
        .filter(|late| late.count >= 100 && late.p99_ns > tolerance.wake_lateness.as_nanos())?;
    let (late, bound) = (late.p99_ns as f64 / 1e6, tolerance.wake_lateness.as_nanos() as f64 / 1e6);
    let words = format!(
        "the {name} was kept from running: 1 % of its ticks were late by more than {late:.3} ms (bound {bound:.3} ms)"
    );
    Some(VoidReason::new(VoidKind::EndLate, words))
}

/// The body of the hidden verb `__trial`. The process must have one thread.
pub fn main(plan_file: &Path) -> ExitCode {
    limits::raise_open_files();
    let order: Order = match fs::read(plan_file)
        .map_err(|e| e.to_string())
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()))
    {
        Ok(order) => order,
        Err(error) => {
            crate::tell!("cannot read the trial's plan `{}`: {error}", plan_file.display());
            return ExitCode::from(2);
        }
    };
    let plan = order.plan;
    let verdict = contain(OnTerminate::Kill, || {
        let verdict = conduct(&plan).unwrap_or_else(|error| Verdict::failed(&error, Remains::default()));
        serde_json::to_vec(&verdict).expect("a verdict always has a text form")
    })
    .unwrap_or_else(|error| {
        let failed = Verdict::failed(&TrialError::new("set-up", error), Remains::default());
        serde_json::to_vec(&failed).expect("a verdict always has a text form")
    });
    match write_whole(&Files(&plan.scratch).verdict(), &verdict) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::tell!("cannot write the trial's verdict: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The trial itself: link up, server, client, link down.
fn conduct(plan: &TrialPlan) -> Result<Verdict, TrialError> {
    let files = Files(&plan.scratch);
    let trial = &plan.trial;
    let set_up = |error: &dyn std::fmt::Display| TrialError::new("set-up", error);
    write_json(&files.trial(), trial).map_err(|error| set_up(&error))?;
    let token = random_token().map_err(|error| set_up(&error))?;

    let ledger = plan.keep_ledger.then(|| files.ledger());
    let keep = Keep { ledger: ledger.as_deref(), capture: plan.capture.as_deref() };
    let mut link = trial.link.clone();
    link.load(|checksum| find(&plan.inputs, checksum)).map_err(|error| set_up(&error))?;
    let path = LivePath::up(&link, trial.seed, plan.backend, mode_of(trial), keep, Around::Trial(onset_of(trial)))
        .map_err(|error| set_up(&error))?;
    // It gets ready while the probes are under way, which meet nothing of it.
    let server = start_server(plan, &files, &path, &token);
    let before = calibrate::before(&path, &trial.link).map_err(|error| set_up(&error))?;
    let mut epoch = None;
    let mut played = server.and_then(|server| play(plan, &files, &path, &token, server, &mut epoch));
    // Whatever became of the ends, the link gives account, and its ledger is closed.
    let after = match &mut played {
        Ok(played) => end(&path, &trial.link, &mut played.server)?,
        Err(_) => None,
    };
    let judge = if path.is_emulated() { calibrate::verdict } else { calibrate::verdict_on_loss };
    let report = path.down(&trial.tolerance).map_err(|error| TrialError::new("link", error));
    match played {
        Err(error) => {
            let link = report.ok().map(|report| LinkReport { before, ..report.link });
            Ok(Verdict::failed(&error, Remains { link, epoch }))
        }
        Ok(Played { client, .. }) => {
            let report = report?;
            // What is to be said of the trial follows from its whole ledger.
            if let Some(Cut { missing, problem }) = report.ledger_cut {
                let told = format!(
                    "the ledger lacks {missing} packets at its end: {problem}; make room in the run's directory"
                );
                return Err(TrialError::new("link", told));
            }
            let mut void = report.void;
            for (probes, when) in [(&before, "before"), (&after, "after")] {
                void.extend(probes.iter().flat_map(|probes| judge(probes, when, &trial.tolerance)));
            }
            Ok(Verdict::Done {
                link: Box::new(LinkReport { before, after, ..report.link }),
                void,
                capture: report.capture,
                client_started: client.started,
                client_ended: client.ended,
            })
        }
    }
}

/// A file that conditions name, from where they are kept.
fn find(inputs: &Path, checksum: &Checksum) -> Result<Arc<[u8]>, String> {
    let file = inputs.join(checksum.hex());
    fs::read(&file).map(Into::into).map_err(|error| format!("cannot read `{}`: {error}", file.display()))
}

/// How the link hands packets over. What one lost packet holds up is seen packet by packet, unless
/// the experiment says otherwise.
fn mode_of(trial: &Trial) -> Mode {
    match (trial.mode, &trial.workload) {
        (Mode::Auto, Workload::Messages(_)) => Mode::Exact,
        (mode, _) => mode,
    }
}

/// When what the link draws begins: a workload that starts cold meets it from the first packet; handshake and warm-up
/// of others do not, so that all arms start equal.
fn onset_of(trial: &Trial) -> Onset {
    if trial.workload.is_cold() { Onset::AtOnce } else { Onset::WithSchedule }
}

/// When the client ran (CLOCK_MONOTONIC).
struct Span {
    started: Nanos,
    ended: Nanos,
}

/// What is there when the client has ended well.
struct Played {
    client: Span,
    server: Endpoint,
}

/// Both ends, from when the server is ready to the client's end.
fn play(
    plan: &TrialPlan,
    files: &Files<'_>,
    path: &LivePath,
    token: &str,
    mut server: Endpoint,
    epoch: &mut Option<Nanos>,
) -> Result<Played, TrialError> {
    let ready = await_ready(&mut server)?;
    let started = monotonic();
    let mut client = start_client(plan, files, path, token, &ready)?;
    attend(plan, path, &mut client, &mut server, epoch)?;
    Ok(Played { client: Span { started, ended: monotonic() }, server })
}

/// Ends the server, and sends the probes after the trial: at the same time, where they meet nothing of it.
fn end(path: &LivePath, link: &Link, server: &mut Endpoint) -> Result<Option<Calibration>, TrialError> {
    let stop = |server: &mut Endpoint| server.stop(STOP_LIMIT).map_err(|error| TrialError::new("server", error));
    if path.keeps_probes_apart() {
        server.ask_to_end();
    } else {
        stop(server)?;
    }
    let after = calibrate::after(path, link).map_err(|error| TrialError::new("link", error))?;
    stop(server)?;
    Ok(after)
}

/// The server's first line.
#[derive(Debug, Deserialize)]
struct Ready {
    control: String,
    fingerprint: String,
}

fn start_server(plan: &TrialPlan, files: &Files<'_>, path: &LivePath, token: &str) -> Result<Endpoint, TrialError> {
    let mut command = Command::new(&plan.program);
    command.args(["server", "--listen", "0.0.0.0:4433", "--json"]).env("SAMEPATH_TOKEN", token);
    keep_secrets(&mut command, plan);
    Endpoint::start(command, &path.namespaces.server, files.stderr("server")).map_err(server_start)
}

fn server_start(error: io::Error) -> TrialError {
    TrialError::new("server", format!("cannot start the server: {}", shortage::told_of_start(&error)))
}

/// Waits until the server is ready.
fn await_ready(server: &mut Endpoint) -> Result<Ready, TrialError> {
    let fail = server_start;
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        let lines = server.lines().map_err(fail)?;
        if let Some(line) = lines.iter().find(|line| event_of(line).as_deref() == Some("ready")) {
            let ready = serde_json::from_str(line).map_err(|error| {
                TrialError::new("server", format!("its ready line cannot be read: {error}: {line}"))
            })?;
            return Ok(ready);
        }
        if server.ended().map_err(fail)?.is_some() {
            let said = server.last_words();
            return Err(TrialError::new("server", format!("it ended before it was ready: {said}")));
        }
        if Instant::now() >= deadline {
            let said = server.last_words();
            return Err(TrialError::new("server", format!("it was not ready after {READY_LIMIT:?}: {said}")));
        }
        let watched: Vec<BorrowedFd<'_>> = server.watched().collect();
        sys::wait_readable(&watched, deadline).map_err(fail)?;
    }
}

fn start_client(
    plan: &TrialPlan,
    files: &Files<'_>,
    path: &LivePath,
    token: &str,
    ready: &Ready,
) -> Result<Endpoint, TrialError> {
    let fail = |error: io::Error| {
        TrialError::new("client", format!("cannot start the client: {}", shortage::told_of_start(&error)))
    };
    let port = ready.control.rsplit(':').next().unwrap_or("4433");
    let mut command = Command::new(&plan.program);
    command
        .arg("client")
        .arg(format!("{}:{port}", device::SERVER_CONTROL))
        .arg("--via")
        .arg(device::SERVER_V4.to_string())
        .args(["--fingerprint", &ready.fingerprint])
        .arg("--trial")
        .arg(files.trial())
        .arg("--report")
        .arg(files.report())
        .arg("--json")
        .env("SAMEPATH_TOKEN", token);
    keep_secrets(&mut command, plan);
    Endpoint::start(command, &path.namespaces.client, files.stderr("client")).map_err(fail)
}

/// Has an end write, beside the capture, what is needed to read it: the keys of TLS and QUIC, as
/// Wireshark takes them, and QUIC's own log.
fn keep_secrets(command: &mut Command, plan: &TrialPlan) {
    if let Some(directory) = plan.capture.as_deref().and_then(Path::parent) {
        command.env("SSLKEYLOGFILE", directory.join(KEYS)).env("QLOGDIR", directory);
    }
}

/// Waits until the client has ended well, passing the start of its schedule on to the link.
fn attend(
    plan: &TrialPlan,
    path: &LivePath,
    client: &mut Endpoint,
    server: &mut Endpoint,
    epoch: &mut Option<Nanos>,
) -> Result<(), TrialError> {
    let fail = |error: io::Error| TrialError::new("client", error);
    let deadline = Instant::now() + plan.trial.time_limit.std();
    let oom_kills = sys::oom_kills();
    let mut server_said = VecDeque::new();
    loop {
        for line in client.lines().map_err(fail)? {
            if let Some(start) = start_of(&line) {
                *epoch = Some(start);
                path.set_epoch(start).map_err(|error| TrialError::new("link", error))?;
            }
        }
        // What the server says besides is for people, who want its last words where the trial fails.
        for line in server.lines().map_err(fail)? {
            server_said.extend(log_of(&line));
            if server_said.len() > LOG_LINES {
                server_said.pop_front();
            }
        }
        if let Some(status) = client.ended().map_err(fail)? {
            return if status.success() {
                Ok(())
            } else if let Some(error) = out_of_memory("client", client, oom_kills) {
                Err(error)
            } else {
                let said = client.last_words();
                Err(TrialError::new("client", with_server(said, server, &server_said)))
            };
        }
        if server.ended().map_err(fail)?.is_some() {
            if let Some(error) = out_of_memory("server", server, oom_kills) {
                return Err(error);
            }
            let said = server.last_words();
            return Err(TrialError::new("server", format!("it ended while the client still ran: {said}")));
        }
        if !path.is_running() {
            return Err(TrialError::new("link", "its data thread ended early"));
        }
        if Instant::now() >= deadline {
            let said = client.last_words();
            let limit = plan.trial.time_limit;
            let said = format!("the client had not finished within the trial's time limit of {limit}: {said}");
            return Err(TrialError::new("client", with_server(said, server, &server_said)));
        }
        let watched: Vec<BorrowedFd<'_>> = client.watched().chain(server.watched()).collect();
        sys::wait_readable(&watched, deadline).map_err(fail)?;
    }
}

/// Whether this end ended for want of memory: void, as another machine would have carried the trial.
fn out_of_memory(name: &str, end: &mut Endpoint, oom_kills: Option<u64>) -> Option<TrialError> {
    let how = end.out_of_memory(oom_kills)?;
    let words = format!("memory gave out: the {name} {how}; give the machine more, or a slower or shorter path");
    Some(TrialError::Exhausted { reason: VoidReason::new(VoidKind::Memory, words), remains: Box::default() })
}

/// The client's complaint, with the server's where it has one too.
fn with_server(client_said: String, server: &Endpoint, logged: &VecDeque<String>) -> String {
    let complaint = server.complaint();
    let said: Vec<&str> = logged.iter().map(String::as_str).chain(complaint.lines()).collect();
    if said.is_empty() { client_said } else { format!("{client_said}\nthe server said: {}", said.join("\n")) }
}

/// The text, if the line is one of the server's log.
fn log_of(line: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    (value.get("event")?.as_str()? == "log").then(|| value.get("text")?.as_str().map(str::to_owned))?
}

/// The event's name, if the line is one.
fn event_of(line: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    Some(value.get("event")?.as_str()?.to_owned())
}

/// The instant at which the schedule starts, if the line says it.
fn start_of(line: &str) -> Option<Nanos> {
    #[derive(Deserialize)]
    struct Start {
        event: String,
        epoch_ns: Nanos,
    }
    let start: Start = serde_json::from_str(line).ok()?;
    (start.event == "start").then_some(start.epoch_ns)
}

/// A secret of 128 bits, in hexadecimal.
fn random_token() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut bytes)?;
    Ok(samepath_model::hex(&bytes))
}

fn write_json(file: &Path, value: &impl Serialize) -> Result<(), String> {
    let text = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    write_whole(file, &text).map_err(|error| format!("cannot write `{}`: {error}", file.display()))
}

/// Writes a file that is never seen half-written.
fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = file.with_extension("tmp");
    File::create(&beside)?.write_all(bytes)?;
    fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_events_and_nothing_else() {
        assert_eq!(start_of(r#"{"event":"start","epoch_ns":12345678901234}"#), Some(12_345_678_901_234));
        assert_eq!(start_of(r#"{"event":"result","epoch_ns":1}"#), None);
        assert_eq!(start_of("start"), None);
        assert_eq!(event_of(r#"{"event":"ready","control":"0.0.0.0:4433"}"#).as_deref(), Some("ready"));
        assert_eq!(event_of("ready"), None);
        assert_eq!(log_of(r#"{"event":"log","text":"10.0.0.1:9: begins"}"#).as_deref(), Some("10.0.0.1:9: begins"));
        assert_eq!(log_of(r#"{"event":"ready","text":"no"}"#), None);
    }

    #[test]
    fn an_endpoint_above_its_share_of_cpu_voids_the_trial() {
        let end = |cpu| EndReport { cpu_user_ns: cpu, cpu_system_ns: 0, wall_ns: 1_000, ..EndReport::default() };
        assert_eq!(endpoint_verdict("client", &end(800), &Tolerance::default()), None);
        let reason = endpoint_verdict("client", &end(900), &Tolerance::default()).expect("90 % is above the bound");
        assert_eq!(reason.kind, VoidKind::EndCpu);
        assert!(reason.words.contains("client") && reason.words.contains("90 %"), "{reason}");
        assert_eq!(
            endpoint_verdict("client", &EndReport::default(), &Tolerance::default()),
            None,
            "an end that reports nothing proves nothing"
        );
    }

    #[test]
    fn an_endpoint_that_was_kept_from_running_voids_the_trial() {
        let end = |p99_ns| EndReport {
            wake_lateness: Some(samepath_model::record::Lateness { count: 300, p99_ns, ..Default::default() }),
            ..EndReport::default()
        };
        assert_eq!(endpoint_verdict("server", &end(1_900_000), &Tolerance::default()), None);
        let reason =
            endpoint_verdict("server", &end(2_500_000), &Tolerance::default()).expect("2.5 ms is above the bound");
        assert_eq!(reason.kind, VoidKind::EndLate);
        assert!(reason.words.contains("server") && reason.words.contains("2.500 ms"), "{reason}");
    }
}
