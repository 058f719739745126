//! The command at a link's client end: it is run to its end, while the link is watched and talked with.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use samepath_model::shortage;

use super::control::Life;
use super::environment::tell_addresses;
use super::plan::LinkPlan;
use super::prompt;
use super::reaper::Reaper;
use super::server::Server;
use crate::endpoint::{enter_before_exec, take_terminal_before_exec};
use crate::limits;
use crate::tell;

/// Runs the command to its end.
pub(super) fn run_command(
    plan: &LinkPlan,
    leads_terminal: bool,
    reaper: &mut Reaper,
    mut server: Option<&mut Server>,
    life: &mut Life<'_>,
) -> Result<i32, String> {
    let path = life.path;
    let shell = match plan.command.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments);
            prompt::Shell::from(command)
        }
        None => prompt::shell(&life.call.name),
    };
    let prompt::Shell { mut command, startup } = shell;
    let program = command.get_program().to_owned();
    tell_addresses(&mut command, plan, path, life.call);
    // Job control is the shell's alone. Any other command is a part of the job that the user's shell started.
    if leads_terminal && plan.command.is_empty() {
        take_terminal_before_exec(&mut command);
    }
    limits::restore_before_exec(&mut command);
    enter_before_exec(&mut command, &path.namespaces.client);
    let spawned = command.spawn();
    drop(startup);
    let child = match spawned {
        Ok(child) => Pid::from_raw(child.id() as i32),
        Err(error) => {
            let program = program.to_string_lossy();
            return Ok(match error.kind() {
                io::ErrorKind::NotFound => {
                    tell!("cannot run `{program}`: there is no such command; check its name and PATH");
                    127
                }
                _ => {
                    tell!("cannot run `{program}`: {}", shortage::told_of_start(&error));
                    126
                }
            });
        }
    };
    loop {
        let listener = life.call.listener.as_ref();
        reaper.wait(Instant::now() + Duration::from_secs(3600), listener).map_err(|error| error.to_string())?;
        if let Some(listener) = listener {
            listener.serve(|request| life.answer(request));
        }
        if std::mem::take(&mut reaper.asked_for_status) {
            life.print_status();
        }
        if let Some(server) = server.as_mut() {
            server.look_after(reaper);
        }
        if let Some(signal) = reaper.asked_to_end.take() {
            let _ = kill(child, signal);
        }
        if let Some(status) = reaper.status_of(child) {
            return Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
        }
        if !path.is_running() {
            let _ = kill(child, Signal::SIGKILL);
            return Err("the link's data thread ended early".into());
        }
    }
}
