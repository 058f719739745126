//! The child's side of a trial: link up, server, client, link down, in namespaces of its own.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use samepath_model::link::{Checksum, Link};
use samepath_model::record::{Calibration, LinkReport};
use samepath_model::{Mode, Trial, VoidKind, VoidReason, Workload};

use super::ends::{await_ready, log_of, start_client, start_of, start_server};
use super::error::{Remains, TrialError};
use super::files::{Files, Order, Verdict, write_json, write_whole};
use super::plan::TrialPlan;
use crate::calibrate;
use crate::endpoint::Endpoint;
use crate::ledger::Cut;
use crate::limits;
use crate::link::{Nanos, Onset};
use crate::namespace::{OnTerminate, contain};
use crate::path::{Around, Keep, LivePath};
use crate::sys::{self, monotonic};

/// How long the server may take to end when asked.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// How many of the server's last words are kept for a trial that fails.
const LOG_LINES: usize = 4;

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
                    "the ledger lacks {missing} packets at its end: {problem}; free space in the run's directory"
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

/// A secret of 128 bits, in hexadecimal.
fn random_token() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut bytes)?;
    Ok(samepath_model::hex(&bytes))
}
