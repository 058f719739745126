//! Any program at the client end of a link: the engine of `samepath link`.
//!
//! The command runs in the client's namespace with our terminal, a server command of the user's in
//! the server's. When the command ends, everything that either of them started ends.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use samepath_model::Link;
use samepath_model::record::{DirectionReport, LinkReport};
use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::capture::CaptureReport;
use crate::device;
use crate::endpoint::enter_before_exec;
use crate::namespace::{NamespaceError, OnTerminate, contain};
use crate::path::{Keep, LivePath, PathReport};
use crate::sys::{monotonic, wait_readable};

/// How long the command waits for the server command to listen.
const LISTEN_LIMIT: Duration = Duration::from_secs(2);
/// How often that is looked at.
const LISTEN_LATENCY: Duration = Duration::from_millis(2);
/// How long the server command may take to end by itself once the command has ended.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How long what is left may take to end when asked.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// What is to be run across which link.
#[derive(Debug, Clone)]
pub struct LinkPlan {
    /// The link.
    pub link: Link,
    /// Decides its weather.
    pub seed: u64,
    /// What carries its packets.
    pub backend: Backend,
    /// Run by `sh -c` at the server's end.
    pub server_command: Option<String>,
    /// The command and its arguments; empty: an interactive shell.
    pub command: Vec<OsString>,
    /// Where the fate of every packet is spooled, for [`crate::ledger::read`].
    pub ledger: Option<PathBuf>,
    /// Where every packet is captured, with its fate.
    pub capture: Option<PathBuf>,
    /// Without the summary at the end.
    pub quiet: bool,
}

/// A link that could not be run.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No namespaces, or they ended before their time.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The path could not be set up, or failed.
    #[error("{0}")]
    Path(String),
    /// The contained process spoke nonsense.
    #[error("the process that held the link gave no sense: {0}; this is a fault of the program")]
    Nonsense(#[from] serde_json::Error),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The command's exit status as a shell would say it: 128 and the signal's number where one ended
    /// it, 127 where it does not exist, 126 where it cannot be run.
    pub status: i32,
    /// What came of the capture, if there was one.
    pub capture: Option<CaptureReport>,
}

/// What the contained process hands back.
#[derive(Debug, Serialize, Deserialize)]
enum Handed {
    Ended(Ended),
    Failed(String),
}

/// Runs the command across the link.
///
/// The calling process must have one thread. SIGTERM and SIGHUP are passed on to the command.
///
/// # Errors
/// Where the link cannot be set up, with the remedy.
pub fn run(plan: LinkPlan) -> Result<Ended, LinkError> {
    let bytes = contain(OnTerminate::Forward, || {
        let result = match conduct(&plan) {
            Ok(ended) => Handed::Ended(ended),
            Err(error) => Handed::Failed(error),
        };
        serde_json::to_vec(&result).expect("a status always has a text form")
    })?;
    match serde_json::from_slice(&bytes)? {
        Handed::Ended(ended) => Ok(ended),
        Handed::Failed(error) => Err(LinkError::Path(error)),
    }
}

/// What the first process of the PID namespace does.
fn conduct(plan: &LinkPlan) -> Result<Ended, String> {
    show_own_processes();
    let keep = Keep { ledger: plan.ledger.as_deref(), capture: plan.capture.as_deref() };
    let path = LivePath::up(&plan.link, plan.seed, plan.backend, keep, false).map_err(|error| error.to_string())?;
    let mut brood = Brood::new().map_err(|error| format!("cannot wait for processes: {error}"))?;

    let server = match &plan.server_command {
        None => None,
        Some(text) => {
            let server = start_server(text, plan, &path).map_err(|e| format!("cannot run the server command: {e}"))?;
            wait_until_listening(&path, &mut brood, server).map_err(|error| error.to_string())?;
            Some(server)
        }
    };
    let status = match brood.asked_to_end {
        Some(signal) => 128 + signal as i32,
        None => {
            path.set_epoch(monotonic());
            run_command(plan, &path, &mut brood)?
        }
    };
    brood.end(server).map_err(|error| format!("cannot end what is left: {error}"))?;
    let report = path.down().map_err(|error| error.to_string())?;
    if !plan.quiet {
        summarise(&report);
    }
    Ok(Ended { status, capture: report.capture })
}

/// Shows the processes of this PID namespace, and no others, in /proc. Where that is not permitted
/// /proc stays as it is, which only tools such as `ps` notice.
fn show_own_processes() {
    let nothing: Option<&str> = None;
    let apart = unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing));
    if apart.is_ok() {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let _ = mount(Some("proc"), "/proc", Some("proc"), flags, nothing);
    }
}

/// The addresses, and what the link is, for scripts and prompts.
fn tell_addresses(command: &mut Command, plan: &LinkPlan, path: &LivePath) {
    command
        .env("SAMEPATH_CLIENT", device::CLIENT_V4.to_string())
        .env("SAMEPATH_SERVER", device::SERVER_V4.to_string())
        .env("SAMEPATH_LINK", plan.link.to_string());
    if path.ipv6 {
        command
            .env("SAMEPATH_CLIENT6", device::CLIENT_V6.to_string())
            .env("SAMEPATH_SERVER6", device::SERVER_V6.to_string());
    }
}

fn start_server(text: &str, plan: &LinkPlan, path: &LivePath) -> io::Result<Pid> {
    let mut command = Command::new("/bin/sh");
    // The terminal's input is the command's alone, and so are its signals.
    // Standard output is the command's alone: what the server says goes where people read.
    command.arg("-c").arg(text).stdin(Stdio::null()).stdout(std::io::stderr()).process_group(0);
    tell_addresses(&mut command, plan, path);
    enter_before_exec(&mut command, &path.namespaces.server);
    Ok(Pid::from_raw(command.spawn()?.id() as i32))
}

/// Waits until something listens at the server's end, or the server command has ended, or the
/// limit has passed.
fn wait_until_listening(path: &LivePath, brood: &mut Brood, server: Pid) -> io::Result<()> {
    let deadline = Instant::now() + LISTEN_LIMIT;
    while Instant::now() < deadline && brood.asked_to_end.is_none() {
        if path.namespaces.server.run(anything_listens).map_err(io::Error::other)? {
            return Ok(());
        }
        brood.wait(Instant::now() + LISTEN_LATENCY)?;
        if brood.status_of(server).is_some() {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether a TCP socket listens or a UDP socket is bound in the calling thread's network namespace.
fn anything_listens() -> bool {
    let rows = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
    const LISTEN: &str = "0A";
    let listens = |file: &str| rows(file).lines().skip(1).any(|row| row.split_whitespace().nth(3) == Some(LISTEN));
    listens("tcp") || listens("tcp6") || ["udp", "udp6"].iter().any(|file| rows(file).lines().count() > 1)
}

/// Runs the command to its end.
fn run_command(plan: &LinkPlan, path: &LivePath, brood: &mut Brood) -> Result<i32, String> {
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let (program, arguments) = plan.command.split_first().unwrap_or((&shell, &[]));
    let mut command = Command::new(program);
    command.args(arguments);
    tell_addresses(&mut command, plan, path);
    enter_before_exec(&mut command, &path.namespaces.client);
    let child = match command.spawn() {
        Ok(child) => Pid::from_raw(child.id() as i32),
        Err(error) => {
            let program = program.to_string_lossy();
            return Ok(match error.kind() {
                io::ErrorKind::NotFound => {
                    eprintln!("cannot run `{program}`: there is no such command; check its name and PATH");
                    127
                }
                _ => {
                    eprintln!("cannot run `{program}`: {error}");
                    126
                }
            });
        }
    };
    loop {
        brood.wait(Instant::now() + Duration::from_secs(3600)).map_err(|error| error.to_string())?;
        if let Some(signal) = brood.asked_to_end.take() {
            let _ = kill(child, signal);
        }
        if let Some(status) = brood.status_of(child) {
            return Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
        }
        if !path.is_running() {
            let _ = kill(child, Signal::SIGKILL);
            return Err("the link's data thread ended early".into());
        }
    }
}

/// The processes below this one, which is the first of its PID namespace: those it started, and
/// those whose parents have ended.
struct Brood {
    signals: SignalFd,
    ended: Vec<(Pid, ExitStatus)>,
    /// SIGTERM or SIGHUP came.
    asked_to_end: Option<Signal>,
}

impl Brood {
    /// The signals were blocked before the first thread was started, so that all come here.
    fn new() -> nix::Result<Brood> {
        let signals = SigSet::thread_get_mask()?;
        let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Brood { signals, ended: Vec::new(), asked_to_end: None })
    }

    /// Waits for signals, at most until `deadline`, and collects whoever has ended.
    fn wait(&mut self, deadline: Instant) -> io::Result<()> {
        use std::os::fd::AsFd;
        wait_readable(&[self.signals.as_fd()], deadline)?;
        while let Some(info) = self.signals.read_signal()? {
            // SIGINT and SIGQUIT come from the terminal, and the command has got them too.
            if let Ok(signal @ (Signal::SIGTERM | Signal::SIGHUP)) = Signal::try_from(info.ssi_signo as i32) {
                self.asked_to_end = Some(signal);
            }
        }
        self.collect();
        Ok(())
    }

    /// Collects whoever has ended; `false` where nobody is left.
    #[allow(unsafe_code)] // nix's waitpid fails on real-time signals that it has no name for
    fn collect(&mut self) -> bool {
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

    fn status_of(&self, pid: Pid) -> Option<ExitStatus> {
        self.ended.iter().find(|(ended, _)| *ended == pid).map(|(_, status)| *status)
    }

    /// Ends everybody: the server command gets a moment to end by itself, then all are asked, then
    /// killed.
    fn end(&mut self, server: Option<Pid>) -> io::Result<()> {
        if let Some(server) = server {
            let deadline = Instant::now() + LAST_WORDS;
            while self.status_of(server).is_none() && Instant::now() < deadline && self.collect() {
                self.wait(deadline)?;
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
                self.wait(deadline)?;
            }
        }
        Ok(())
    }
}

/// What the link did, for people.
fn summarise(report: &PathReport) {
    let LinkReport { backend, up, down, lateness, .. } = &report.link;
    if backend == "none" {
        eprintln!("link: no emulation, so nothing was counted");
    } else {
        eprintln!("link: carried by {backend}");
        for (direction, counts) in [("up", up), ("down", down)] {
            eprintln!("link: {direction:<4} {}", Counts(counts));
        }
        if lateness.count > 0 {
            eprintln!(
                "link: packets left late by {:.3} ms (median), {:.3} ms (p99), {:.3} ms (most)",
                lateness.p50_ns as f64 / 1e6,
                lateness.p99_ns as f64 / 1e6,
                lateness.max_ns as f64 / 1e6
            );
        }
    }
    for reason in &report.void {
        eprintln!("link: do not trust this: {reason}");
    }
}

/// A direction's counters in one line.
struct Counts<'a>(&'a DirectionReport);

impl std::fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = self.0;
        write!(f, "{} packets, {} bytes; delivered {}", counts.packets, counts.bytes, counts.delivered_packets)?;
        let dropped: u64 = counts.dropped.values().sum();
        if dropped > 0 {
            let causes: Vec<String> = counts.dropped.iter().map(|(cause, n)| format!("{cause} {n}")).collect();
            write!(f, ", dropped {dropped} ({})", causes.join(", "))?;
        }
        if counts.duplicated > 0 {
            write!(f, ", duplicated {}", counts.duplicated)?;
        }
        if counts.corrupted > 0 {
            write!(f, ", corrupted {}", counts.corrupted)?;
        }
        Ok(())
    }
}
