//! Reaping of a link's processes, as the first process of its PID namespace, and the signals that are passed on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use crate::control::Listener;
use crate::namespace::is_from_a_process;
use crate::sys::wait_readable;

/// How long the server command may take to end by itself once the command has ended.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How long what is left may take to end when asked.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// Collects the exit status of children and of orphans: the process is the first of its PID namespace (pid_namespaces(7)).
pub(super) struct Reaper {
    signals: SignalFd,
    ended: Vec<(Pid, ExitStatus)>,
    /// A signal came that the command is to get.
    pub(super) asked_to_end: Option<Signal>,
    /// SIGUSR1 came.
    pub(super) asked_for_status: bool,
}

impl Reaper {
    /// The signals were blocked before the first thread was started, so that all come here.
    pub(super) fn new() -> nix::Result<Reaper> {
        let signals = SigSet::thread_get_mask()?;
        let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Reaper { signals, ended: Vec::new(), asked_to_end: None, asked_for_status: false })
    }

    /// Waits for signals, or somebody who would talk with the link, at most until `deadline`, and
    /// collects whoever has ended.
    pub(super) fn wait(&mut self, deadline: Instant, listener: Option<&Listener>) -> io::Result<()> {
        let fds: Vec<BorrowedFd<'_>> =
            std::iter::once(self.signals.as_fd()).chain(listener.map(Listener::as_fd)).collect();
        wait_readable(&fds, deadline)?;
        while let Some(info) = self.signals.read_signal()? {
            // From the terminal, SIGINT and SIGQUIT have come to the command too.
            match Signal::try_from(info.ssi_signo as i32) {
                Ok(signal @ (Signal::SIGTERM | Signal::SIGHUP)) => self.asked_to_end = Some(signal),
                Ok(signal @ (Signal::SIGINT | Signal::SIGQUIT)) if is_from_a_process(&info) => {
                    self.asked_to_end = Some(signal);
                }
                Ok(Signal::SIGUSR1) => self.asked_for_status = true,
                _ => {}
            }
        }
        self.collect();
        Ok(())
    }

    /// Collects whoever has ended; `false` where nobody is left.
    #[allow(unsafe_code)] // nix's waitpid fails on real-time signals that it has no name for
    pub(super) fn collect(&mut self) -> bool {
        loop {
            let mut status = 0;
            // SAFETY: the status is valid for writes.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
            match pid {
                0 => return true,
                -1 if Errno::last() == Errno::EINTR => {}
                -1 => return false,
                pid => self.ended.push((Pid::from_raw(pid), ExitStatus::from_raw(status))),
            }
        }
    }

    pub(super) fn status_of(&self, pid: Pid) -> Option<ExitStatus> {
        self.ended.iter().find(|(ended, _)| *ended == pid).map(|(_, status)| *status)
    }

    /// Ends everybody: the server command gets a moment to end by itself, then all are asked, then
    /// killed.
    pub(super) fn end(&mut self, server: Option<Pid>) -> io::Result<()> {
        if let Some(server) = server {
            let deadline = Instant::now() + LAST_WORDS;
            while self.status_of(server).is_none() && Instant::now() < deadline && self.collect() {
                self.wait(deadline, None)?;
            }
        }
        for (signal, patience) in [(Signal::SIGTERM, STOP_LIMIT), (Signal::SIGKILL, STOP_LIMIT)] {
            if !self.collect() {
                return Ok(());
            }
            // Everybody in the namespace but this process, which is its first.
            let _ = kill(Pid::from_raw(-1), signal);
            let deadline = Instant::now() + patience;
            while self.collect() && Instant::now() < deadline {
                self.wait(deadline, None)?;
            }
        }
        Ok(())
    }
}
