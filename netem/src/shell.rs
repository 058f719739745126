//! Any program at the client end of a link: the engine of `samepath link`.
//!
//! The command runs in the client's namespace with our terminal, a server command of the user's in
//! the server's. When the command ends, everything that either of them started ends.

mod attempt;
mod command;
mod control;
mod environment;
mod error;
mod plan;
mod prompt;
mod ready;
mod reaper;
mod server;
mod words;

use std::io;

use nix::unistd::{getpgrp, tcgetpgrp};
use samepath_model::{Tolerance, shortage};
use serde::{Deserialize, Serialize};

use crate::capture::CaptureReport;
use crate::control::{ControlError, Runtime};
use crate::ledger::Cut;
use crate::link::Nanos;
use crate::namespace::{OnTerminate, contain};
use crate::nest::Outer;
use crate::path::{Around, Keep, LivePath, PathError};
use crate::relay::Relay;
use crate::sockets::Service;
use crate::sys::monotonic;
use crate::tell;
use crate::{limits, procfs};
pub use attempt::attempt;
use command::run_command;
use control::{Call, Life};
use error::Failure;
pub use error::LinkError;
pub use plan::LinkPlan;
use plan::load;
pub use ready::Ready;
use reaper::Reaper;
use server::{Server, start_server};
use words::{summarise, tell_ends, with_remedy};

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The command's exit status as a shell would say it: 128 and the signal's number where one ended
    /// it, 127 where it does not exist, 126 where it cannot be run.
    pub status: i32,
    /// What came of the capture, if there was one.
    pub capture: Option<CaptureReport>,
    /// What is missing at the ledger's end, where that comes before the link's.
    pub ledger_cut: Option<Cut>,
    /// The link's later conditions in words, each with the instant from which on (CLOCK_MONOTONIC).
    pub changes: Vec<(Nanos, String)>,
}

/// What the contained process hands back.
#[derive(Debug, Serialize, Deserialize)]
enum Handed {
    Ended(Ended),
    Failed(Failure),
}

/// Runs the command across the link.
///
/// The calling process must have one thread. SIGTERM, SIGHUP, and SIGINT and SIGQUIT that
/// a process sent, are passed on to the command; SIGUSR1 prints how the link stands.
///
/// # Errors
/// Where the link cannot be set up, with the remedy.
pub fn run(plan: LinkPlan) -> Result<Ended, LinkError> {
    // What the namespaces give other numbers, or none: the process, its user, the terminal's groups.
    let outside = Outside {
        pid: std::process::id(),
        runtime: Runtime::find(),
        leads_terminal: tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp()),
    };
    limits::raise_open_files();
    let bytes = contain(OnTerminate::Forward, || {
        let result = match conduct(&plan, outside) {
            Ok(ended) => Handed::Ended(ended),
            Err(error) => Handed::Failed(error),
        };
        serde_json::to_vec(&result).expect("a status always has a text form")
    })?;
    match serde_json::from_slice(&bytes)? {
        Handed::Ended(ended) => Ok(ended),
        Handed::Failed(error) => Err(error.into()),
    }
}

/// What is to be known of this process before it has namespaces.
struct Outside {
    pid: u32,
    /// Where others look for the link.
    runtime: Result<Runtime, ControlError>,
    /// Whether it is in the terminal's foreground.
    leads_terminal: bool,
}

/// What the first process of the PID namespace does.
fn conduct(plan: &LinkPlan, outside: Outside) -> Result<Ended, Failure> {
    let Outside { pid, runtime, leads_terminal } = outside;
    let call = Call::of(plan, pid, runtime)?;
    let outer = Outer::find();
    // Before this thread leaves for namespaces of its own.
    let mut relay = (!plan.host_ports.is_empty())
        .then(|| Relay::from_here(plan.host_ports.clone()))
        .transpose()
        .map_err(|error| {
            let error = shortage::told_of_start(&error);
            format!("cannot start the thread that carries the host's ports: {error}")
        })?;
    // Tools such as `ps` show the processes of this namespace, then, and no others. Where it is not permitted /proc
    // stays as it is.
    let _ = procfs::mount_own();
    let keep = Keep { ledger: plan.ledger.as_deref(), capture: plan.capture.as_deref() };
    let mut link = plan.link.clone();
    load(&mut link, &plan.inputs)?;
    let up = |around| LivePath::up(&link, plan.seed, plan.backend, plan.mode, keep, around);
    let path = match outer {
        None => up(Around::Nothing),
        Some(outer) => match up(Around::Link(&outer)) {
            Err(PathError::Nest(reason)) => {
                tell!("link: it stands apart from the link around it, and packets cross this one alone: {reason}");
                up(Around::Nothing)
            }
            joined => joined,
        },
    };
    let path = path?;
    if let Some(not_granted) = path.not_granted() {
        tell!("link: {}", with_remedy(not_granted));
    }
    let controller = path.begin_with(plan.controller.as_deref()).map_err(|said| Failure { said, lack: true })?;
    if !plan.quiet {
        tell_ends(plan, &path, &controller);
    }
    if let Some(relay) = &mut relay {
        let (addresses, ipv6) = (path.addresses, path.ipv6);
        path.namespaces.server.run(|| relay.listen(addresses, ipv6)).map_err(|error| error.to_string())??;
    }
    let mut life = Life::new(plan, &path, &call, controller);
    let mut reaper = Reaper::new().map_err(|error| format!("cannot wait for processes: {error}"))?;

    let mut server = match &plan.server_command {
        None => None,
        Some(text) => {
            let pid = start_server(text, plan, &path, &call)
                .map_err(|error| format!("cannot run the server command: {}", shortage::told_of_start(&error)))?;
            let mut server = Server { pid, ended: false, told: false };
            let ours: Vec<Service> = relay.iter().flat_map(Relay::taken).collect();
            let late = ready::await_server(&plan.ready, plan.ready_limit, &path, &mut reaper, pid, &ours)?;
            server.look_after(&reaper);
            if let Some(late) = late.filter(|_| !server.told) {
                tell!("link: {late}");
            }
            Some(server)
        }
    };
    let status = match reaper.asked_to_end {
        Some(signal) => 128 + signal as i32,
        None => {
            path.set_epoch(monotonic()).map_err(|error| error.to_string())?;
            run_command(plan, leads_terminal, &mut reaper, server.as_mut(), &mut life)?
        }
    };
    let changes = std::mem::take(&mut life.changes);
    let controller = std::mem::take(&mut life.controller);
    drop(life);
    // Nobody is to wait for an answer that will not come.
    drop(call);
    reaper.end(server.map(|server| server.pid)).map_err(|error| format!("cannot end what is left: {error}"))?;
    drop(relay);
    let report = path.down(&Tolerance::default()).map_err(|error| error.to_string())?;
    if !plan.quiet {
        summarise(&report, &controller);
    }
    Ok(Ended { status, capture: report.capture, ledger_cut: report.ledger_cut, changes })
}
