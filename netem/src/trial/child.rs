//! The child's side of a trial: link up, servers, clients, link down, in namespaces of its own.

use std::fs::{self, File};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use samepath_model::flow::FlowId;
use samepath_model::link::{Checksum, Link};
use samepath_model::record::{Calibration, LinkReport, Precedence, RestartRecord};
use samepath_model::tuning::Tuning;
use samepath_model::workload::Class;
use samepath_model::{Mode, Trial, Workload};

use super::ends::{await_ready, start_client, start_server};
use super::error::{Remains, TrialError};
use super::files::{Files, Order, Verdict, of_flow, restarted, write_json, write_whole};
use super::pair::Pair;
use super::plan::TrialPlan;
use super::ports::ports_of;
use crate::calibrate;
use crate::endpoint::Endpoint;
use crate::ledger::Cut;
use crate::limits;
use crate::link::{Farther, Nanos, Onset};
use crate::namespace::{OnTerminate, contain};
use crate::path::{Around, Keep, LivePath};
use crate::precedence;
use crate::sys::{self, monotonic};

/// How long the server may take to end when asked.
const STOP_LIMIT: Duration = Duration::from_secs(2);

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
    // Out here: in a user namespace of its own nobody is permitted any of it.
    let precedence = precedence::take();
    let verdict = contain(OnTerminate::Kill, || {
        let verdict =
            conduct(&plan, precedence.granted).unwrap_or_else(|error| Verdict::failed(&error, Remains::default()));
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

/// The kernel settings that a trial asks for at its clients' end.
fn client_settings(tuning: &Tuning) -> Vec<(&'static str, String)> {
    let ports = tuning.local_ports.map(|ports| ("net.ipv4.ip_local_port_range", ports.as_sysctl()));
    let reuse = tuning.time_wait_reuse.map(|reuse| ("net.ipv4.tcp_tw_reuse", reuse.to_string()));
    ports.into_iter().chain(reuse).collect()
}

/// The trial itself: link up, servers, clients, link down.
fn conduct(plan: &TrialPlan, precedence: Precedence) -> Result<Verdict, TrialError> {
    let files = Files(&plan.scratch);
    let trial = &plan.trial;
    let set_up = |error: &dyn std::fmt::Display| TrialError::new("set-up", error);
    for flow in trial.flows() {
        write_json(&files.trial(flow), &trial.of_flow(flow)).map_err(|error| set_up(&error))?;
    }
    let token = random_token().map_err(|error| set_up(&error))?;

    let ledger = plan.keep_ledger.then(|| files.ledger());
    let keep = Keep { ledger: ledger.as_deref(), capture: plan.capture.as_deref() };
    let mut link = trial.link.clone();
    link.load(|checksum| find(&plan.inputs, checksum)).map_err(|error| set_up(&error))?;
    let farther = farther_of(trial);
    let around = Around::Trial { onset: onset_of(trial), farther: &farther };
    let mut path =
        LivePath::up(&link, trial.seed, plan.backend, mode_of(trial), keep, around).map_err(|error| set_up(&error))?;
    path.set_at_client(&client_settings(&trial.tuning)).map_err(|error| set_up(&error))?;
    // They get ready while the probes are under way, which meet nothing of them.
    let servers: Result<Vec<Endpoint>, TrialError> =
        trial.flows().map(|flow| start_server(plan, &files, &path, &token, flow, &of_flow("server", flow))).collect();
    let before = calibrate::before(&path, &trial.link).map_err(|error| set_up(&error))?;
    let mut epoch = None;
    let mut played = servers.and_then(|servers| play(plan, &files, &path, &token, servers, &mut epoch));
    // Whatever became of the ends, the link gives account, and its ledger is closed.
    let after = match &mut played {
        Ok(played) => end(&path, &trial.link, &mut played.servers)?,
        Err(_) => None,
    };
    let judge = if path.is_emulated() { calibrate::verdict } else { calibrate::verdict_on_loss };
    let report = path.down(&trial.tolerance).map_err(|error| TrialError::new("link", error));
    match played {
        Err(error) => {
            let link = report.ok().map(|report| LinkReport { before, precedence, ..report.link });
            Ok(Verdict::failed(&error, Remains { link, epoch }))
        }
        Ok(Played { clients, restarts, .. }) => {
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
                link: Box::new(LinkReport { before, after, precedence, ..report.link }),
                void,
                capture: report.capture,
                client_started: clients.started,
                client_ended: clients.ended,
                restarts,
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
    let has_messages = workloads(trial).any(|workload| workload.has(Class::Latency));
    if trial.mode == Mode::Auto && has_messages { Mode::Exact } else { trial.mode }
}

/// What its flows send.
fn workloads(trial: &Trial) -> impl Iterator<Item = &Workload> {
    std::iter::once(&trial.workload).chain(trial.competing.iter().map(|flow| &flow.workload))
}

/// When what the link draws begins: a workload that starts cold meets it from the first packet; handshake and warm-up
/// of others do not, so that all arms start equal.
fn onset_of(trial: &Trial) -> Onset {
    if workloads(trial).all(Workload::is_cold) { Onset::AtOnce } else { Onset::WithSchedule }
}

/// Which of its servers stand farther away than the link is long.
fn farther_of(trial: &Trial) -> Vec<Farther> {
    let servers = trial.flows().flat_map(|flow| {
        let workload = trial.competing(flow).map_or(&trial.workload, |competing| &competing.workload);
        (0..workload.servers()).map(move |server| {
            let delay = (trial.extra_rtt(flow, server) / 2).as_nanos();
            Farther { ports: ports_of(flow, server), delay }
        })
    });
    servers.filter(|server| server.delay > 0).collect()
}

/// When the clients ran (CLOCK_MONOTONIC).
struct Span {
    started: Nanos,
    ended: Nanos,
}

/// What is there when every client has ended well.
struct Played {
    clients: Span,
    servers: Vec<Endpoint>,
    restarts: Vec<RestartRecord>,
}

/// The flows, from when their servers are ready to their clients' ends.
fn play(
    plan: &TrialPlan,
    files: &Files<'_>,
    path: &LivePath,
    token: &str,
    mut servers: Vec<Endpoint>,
    epoch: &mut Option<Nanos>,
) -> Result<Played, TrialError> {
    let ready = servers.iter_mut().map(await_ready).collect::<Result<Vec<_>, _>>()?;
    let started = monotonic();
    let mut pairs = Vec::with_capacity(servers.len());
    for ((flow, server), ready) in plan.trial.flows().zip(servers).zip(&ready) {
        let client = start_client(plan, files, path, token, flow, ready)?;
        pairs.push(Pair::new(&plan.trial, flow, client, server));
    }
    let restart = |flow: FlowId, number: usize| start_server(plan, files, path, token, flow, &restarted(number));
    attend(plan, path, &mut pairs, epoch, restart)?;
    let clients = Span { started, ended: monotonic() };
    let (servers, restarts): (Vec<_>, Vec<_>) = pairs.into_iter().map(|pair| pair.server.into_parts()).unzip();
    let servers = servers.into_iter().flatten().collect();
    Ok(Played { clients, servers, restarts: restarts.into_iter().flatten().collect() })
}

/// Ends the servers, and sends the probes after the trial: at the same time, where they meet nothing of it.
fn end(path: &LivePath, link: &Link, servers: &mut [Endpoint]) -> Result<Option<Calibration>, TrialError> {
    let stop = |servers: &mut [Endpoint]| {
        let mut stopped = servers.iter_mut().map(|server| server.stop(STOP_LIMIT).map(drop));
        stopped.try_for_each(|stopped| stopped.map_err(|error| TrialError::new("server", error)))
    };
    if path.keeps_probes_apart() {
        servers.iter().for_each(Endpoint::ask_to_end);
    } else {
        stop(servers)?;
    }
    let after = calibrate::after(path, link).map_err(|error| TrialError::new("link", error))?;
    stop(servers)?;
    Ok(after)
}

/// Has all flows start together, and waits until every client has ended well. Servers are killed when the trial says, and
/// started again by `restart`, which is given the flow and the restart's number.
fn attend(
    plan: &TrialPlan,
    path: &LivePath,
    pairs: &mut [Pair],
    epoch: &mut Option<Nanos>,
    restart: impl Fn(FlowId, usize) -> Result<Endpoint, TrialError>,
) -> Result<(), TrialError> {
    let deadline = Instant::now() + plan.trial.time_limit.std();
    let oom_kills = sys::oom_kills();
    loop {
        pairs.iter_mut().try_for_each(|pair| pair.look(*epoch, oom_kills))?;
        if epoch.is_none() {
            *epoch = start_together(plan, path, pairs)?;
        }
        let mut due = None;
        if let Some(epoch) = *epoch {
            for pair in pairs.iter_mut().filter(|pair| !pair.is_done) {
                let next = pair.server.restart(epoch, |number| restart(pair.flow, number))?;
                due = [due, next].into_iter().flatten().min();
            }
        }
        let Some(working) = pairs.iter().position(|pair| !pair.is_done) else { return Ok(()) };
        if !path.is_running() {
            return Err(TrialError::new("link", "its data thread ended early"));
        }
        if Instant::now() >= deadline {
            return Err(pairs[working].too_late(plan.trial.time_limit));
        }
        let watched: Vec<BorrowedFd<'_>> = pairs.iter().flat_map(Pair::watched).collect();
        let due = due.map(|due| Instant::now() + Duration::from_nanos(due.saturating_sub(monotonic())));
        let until = due.map_or(deadline, |due| due.min(deadline));
        sys::wait_readable(&watched, until).map_err(|error| TrialError::new("client", error))?;
    }
}

/// Once every flow is ready: tells all of them, and the link, when the schedule of the trial starts, which is as soon as
/// the last of them can. The flows' own schedules start so long after it as the trial says.
fn start_together(plan: &TrialPlan, path: &LivePath, pairs: &mut [Pair]) -> Result<Option<Nanos>, TrialError> {
    let Some(ready) = pairs.iter().map(|pair| pair.earliest).collect::<Option<Vec<_>>>() else { return Ok(None) };
    let Some(epoch) = ready.into_iter().max() else { return Ok(None) };
    for pair in pairs {
        pair.start(epoch + plan.trial.start_of(pair.flow).as_nanos());
    }
    path.set_epoch(epoch).map_err(|error| TrialError::new("link", error))?;
    Ok(Some(epoch))
}

/// A secret of 128 bits, in hexadecimal.
fn random_token() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut bytes)?;
    Ok(samepath_model::hex(&bytes))
}
