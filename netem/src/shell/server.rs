//! The server command at a link's server end: its start, and its end.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::control::Call;
use super::environment::tell_addresses;
use super::plan::LinkPlan;
use super::reaper::Reaper;
use crate::endpoint::enter_before_exec;
use crate::limits;
use crate::path::LivePath;
use crate::tell;

pub(super) fn start_server(text: &str, plan: &LinkPlan, path: &LivePath, call: &Call) -> io::Result<Pid> {
    let mut command = Command::new("/bin/sh");
    // The terminal's input is the command's alone, and so are its signals.
    // Standard output is the command's alone: what the server says goes where people read.
    command.arg("-c").arg(text).stdin(Stdio::null()).stdout(std::io::stderr()).process_group(0);
    tell_addresses(&mut command, plan, path, call);
    limits::restore_before_exec(&mut command);
    enter_before_exec(&mut command, &path.namespaces.server);
    Ok(Pid::from_raw(command.spawn()?.id() as i32))
}

/// The server command, as it runs.
pub(super) struct Server {
    pub(super) pid: Pid,
    /// It is known to have ended.
    pub(super) ended: bool,
    /// That has been said.
    pub(super) told: bool,
}

impl Server {
    /// Says, once, that it has ended with an error: whatever the client says then is no news of the link. With no
    /// error it may have left somebody behind who serves, or have served its only client.
    pub(super) fn look_after(&mut self, reaper: &Reaper) {
        let Some(status) = reaper.status_of(self.pid).filter(|_| !self.ended) else { return };
        self.ended = true;
        self.told = !status.success();
        match (status.code(), status.signal().and_then(|signal| Signal::try_from(signal).ok())) {
            (Some(0), _) => {}
            (Some(code), _) => tell!("link: the server command has ended with status {code}; nobody may be serving"),
            (None, Some(signal)) => tell!("link: the server command was ended by {signal}; nobody may be serving"),
            (None, None) => tell!("link: the server command has ended ({status}); nobody may be serving"),
        }
    }
}
