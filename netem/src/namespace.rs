//! Namespaces: a network of our own, made without root where need be, that nothing outlives.
//!
//! `contain` forks the work into a PID namespace, whose end is the end of every process in it,
//! daemons too; if the caller dies, however suddenly, the kernel ends it. [`Namespace`] is one
//! anonymous network namespace: a descriptor and no name, so that it goes when its last user goes.
//!
//! All of it must happen while the process has one thread: only such a process may enter a user
//! namespace, and only such a one can be forked safely.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getegid, geteuid, getppid, tcgetpgrp, tcsetpgrp};
use samepath_model::shortage;

use crate::netlink::Netlink;

mod refused;

pub use refused::Refused;
use refused::{Kind, refused};

/// A step that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {}", shortage::told_of_start(cause))]
pub struct StepError {
    /// What was tried.
    pub what: &'static str,
    /// What the kernel said.
    pub cause: io::Error,
}

/// Names the step that an error stopped.
pub(crate) fn cannot<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> StepError {
    move |error| StepError { what, cause: error.into() }
}

/// Namespaces that could not be made, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The process has more than one thread.
    #[error(
        "namespaces can only be made while the process has one thread, and it has {0}; this is a fault of the program"
    )]
    Threads(usize),
    /// A namespace was refused.
    #[error("{refused}; {}", .refused.remedy)]
    Refused {
        /// Which, and why.
        refused: Refused,
    },
    /// Something else that namespaces need.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The contained process ended without a result.
    #[error(
        "the process that held the link ended without a result ({0}); it was killed, or it is a fault of the program"
    )]
    Lost(String),
}

impl From<Refused> for NamespaceError {
    fn from(refused: Refused) -> NamespaceError {
        NamespaceError::Refused { refused }
    }
}

impl NamespaceError {
    /// Whether it is something that this machine does not permit or does not have.
    pub fn is_lack(&self) -> bool {
        matches!(self, NamespaceError::Refused { .. })
    }

    /// The error and its remedy, each by itself.
    pub(crate) fn parted(self) -> (String, Option<String>) {
        match self {
            NamespaceError::Refused { refused } => (refused.to_string(), Some(refused.remedy)),
            other => (other.to_string(), None),
        }
    }
}

/// How many threads this process has.
pub(crate) fn thread_count() -> usize {
    fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Whether this process may make namespaces and configure devices as it is.
pub(crate) fn has_admin() -> bool {
    const CAP_NET_ADMIN: u32 = 12;
    const CAP_SYS_ADMIN: u32 = 21;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    [CAP_NET_ADMIN, CAP_SYS_ADMIN].iter().all(|bit| effective & (1 << bit) != 0)
}

/// Makes sure that this process may make namespaces: as root it may, else it becomes the root of a
/// user namespace of its own, in which its own user and group are mapped to 0.
///
/// # Errors
/// Where the machine forbids it, with the remedy.
pub fn gain_admin() -> Result<(), NamespaceError> {
    if has_admin() {
        return Ok(());
    }
    let threads = thread_count();
    if threads != 1 {
        return Err(NamespaceError::Threads(threads));
    }
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(refused(Kind::User))?;
    // An unprivileged process must give up setgroups before it may map its group (user_namespaces(7)).
    for (file, text) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {user} 1")),
        ("/proc/self/gid_map", format!("0 {group} 1")),
    ] {
        fs::write(file, text).map_err(refused(Kind::User))?;
    }
    Ok(())
}

/// What [`contain`]'s outer process does when it is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnTerminate {
    /// It ends everything at once.
    Kill,
    /// It passes the signal on, and waits.
    Forward,
}

/// Runs `inside` as the first process of a PID namespace and gives back the bytes it returns. When
/// this function returns, or its process dies, no process that `inside` started is left.
///
/// The calling process must have one thread. SIGINT and SIGQUIT from the terminal, which sends
/// them to all of its foreground processes, are left to those inside.
///
/// # Errors
/// Where the namespace is refused, or the inner process was killed.
#[allow(unsafe_code)] // fork
pub(crate) fn contain(on_terminate: OnTerminate, inside: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, NamespaceError> {
    let parent = getppid();
    gain_admin()?;
    // Entering a user namespace may clear the signal at the parent's death, which the parent set.
    if let Ok(Some(signal)) = nix::sys::prctl::get_pdeathsig() {
        nix::sys::prctl::set_pdeathsig(signal).map_err(cannot("tie this process to its parent"))?;
        if getppid() != parent {
            return Err(NamespaceError::Lost("its parent has ended".into()));
        }
    }
    let threads = thread_count();
    if threads != 1 {
        return Err(NamespaceError::Threads(threads));
    }
    unshare(CloneFlags::CLONE_NEWPID).map_err(refused(Kind::Pid))?;
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGUSR1] {
        signals.add(signal);
    }
    let before = signals.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK).map_err(cannot("block signals"))?;
    // Looked at before anybody inside can take it.
    let foreground = tcgetpgrp(io::stdin()).ok();
    let (reader, writer) = io::pipe().map_err(cannot("make a pipe"))?;
    // SAFETY: there is one thread, so the child's memory is consistent, locks included.
    match unsafe { fork() }.map_err(cannot("fork"))? {
        ForkResult::Child => {
            drop(reader);
            let status = catch_unwind(AssertUnwindSafe(|| first_process(writer.into(), inside)));
            std::process::exit(i32::from(status.is_err()) * 101);
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let result = attend(child, reader, signals, on_terminate, foreground);
            let _ = before.thread_set_mask();
            result
        }
    }
}

/// What the first process of the PID namespace does.
fn first_process(writer: OwnedFd, inside: impl FnOnce() -> Vec<u8>) {
    if nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).is_err() {
        return;
    }
    // The parent may have died before that. Its number cannot be seen from in here, but then
    // nobody holds the pipe's other end.
    let mut alone = [PollFd::new(writer.as_fd(), PollFlags::empty())];
    if poll(&mut alone, PollTimeout::ZERO).is_ok_and(|n| n > 0) {
        return;
    }
    let result = inside();
    let _ = fs::File::from(writer).write_all(&result);
}

/// What the outer process does: wait, pass signals on, take the result.
fn attend(
    child: Pid,
    mut reader: io::PipeReader,
    signals: SigSet,
    on_terminate: OnTerminate,
    foreground: Option<Pid>,
) -> Result<Vec<u8>, NamespaceError> {
    let signal_fd = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(cannot("wait for signals"))?;
    let mut result = Vec::new();
    let mut open = true;
    while open {
        let mut fds =
            [PollFd::new(reader.as_fd(), PollFlags::POLLIN), PollFd::new(signal_fd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(cannot("wait for the contained process")(errno).into()),
        }
        if fds[0].any().unwrap_or(false) {
            let mut chunk = [0u8; 8192];
            match reader.read(&mut chunk) {
                Ok(0) | Err(_) => open = false,
                Ok(n) => result.extend_from_slice(&chunk[..n]),
            }
        }
        while let Ok(Some(info)) = signal_fd.read_signal() {
            match (Signal::try_from(info.ssi_signo as i32), on_terminate) {
                (Ok(signal @ (Signal::SIGINT | Signal::SIGQUIT)), OnTerminate::Forward) if is_from_a_process(&info) => {
                    let _ = kill(child, signal);
                }
                (Ok(signal @ (Signal::SIGTERM | Signal::SIGHUP | Signal::SIGUSR1)), OnTerminate::Forward) => {
                    let _ = kill(child, signal);
                }
                (Ok(Signal::SIGTERM | Signal::SIGHUP), OnTerminate::Kill) => {
                    let _ = kill(child, Signal::SIGKILL);
                }
                _ => {} // the terminal's signals went to those inside as well; SIGCHLD closes the pipe
            }
        }
    }
    let status = loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            other => break other.map_err(cannot("wait for the contained process"))?,
        }
    };
    // A shell inside has made itself the terminal's foreground group and could not give it back.
    if let Some(group) = foreground
        && tcgetpgrp(io::stdin()).is_ok_and(|now| now != group)
    {
        let _ = give_terminal(group);
    }
    match status {
        WaitStatus::Exited(_, 0) => Ok(result),
        WaitStatus::Exited(_, code) => Err(NamespaceError::Lost(format!("exit status {code}"))),
        WaitStatus::Signaled(_, signal, _) => Err(NamespaceError::Lost(format!("signal {signal}"))),
        other => Err(NamespaceError::Lost(format!("{other:?}"))),
    }
}

/// Whether a process sent the signal, as `kill` does, and not the terminal, which sends SIGINT and
/// SIGQUIT to all of its foreground processes (sigaction(2): codes up to 0 are from processes).
pub(crate) fn is_from_a_process(info: &siginfo) -> bool {
    info.ssi_code <= 0
}

/// Makes `group` the terminal's foreground process group, from the background.
fn give_terminal(group: Pid) -> nix::Result<()> {
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTTOU);
    let before = stop.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
    let result = tcsetpgrp(io::stdin(), group);
    before.thread_set_mask()?;
    result
}

/// One anonymous network namespace. Its loopback is up.
#[derive(Debug)]
pub struct Namespace {
    fd: OwnedFd,
}

impl Namespace {
    /// Makes one, and leaves the calling thread in it.
    ///
    /// # Errors
    /// Where the machine forbids it, with the remedy.
    pub fn make() -> Result<Namespace, NamespaceError> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(refused(Kind::Network))?;
        let namespace = Namespace::current()?;
        Netlink::open()
            .and_then(|mut netlink| netlink.set_up_plain(1)) // the loopback is always the first device
            .map_err(cannot("set the loopback up"))?;
        Ok(namespace)
    }

    /// The one the calling thread is in.
    ///
    /// # Errors
    /// Where /proc is not there.
    pub fn current() -> Result<Namespace, NamespaceError> {
        let fd = fs::File::open("/proc/thread-self/ns/net").map_err(cannot("open /proc/thread-self/ns/net"))?.into();
        Ok(Namespace { fd })
    }

    /// Moves the calling thread into it.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn enter(&self) -> Result<(), NamespaceError> {
        setns(&self.fd, CloneFlags::CLONE_NEWNET).map_err(|errno| cannot("enter a network namespace")(errno).into())
    }

    /// Runs `inside` in it, and comes back to the namespace that the thread was in, which must be
    /// one that this process made.
    ///
    /// # Errors
    /// Where the kernel refuses to enter or to come back.
    pub fn run<T>(&self, inside: impl FnOnce() -> T) -> Result<T, NamespaceError> {
        let home = Namespace::current()?;
        self.enter()?;
        let result = inside();
        home.enter()?;
        Ok(result)
    }

    /// For use in a child between fork and exec.
    pub(crate) fn raw(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The namespaces of a link: one for each end, and one between them in which this process stays.
#[derive(Debug)]
pub struct Namespaces {
    /// The client's.
    pub client: Namespace,
    /// The server's.
    pub server: Namespace,
    /// The one between.
    pub middle: Namespace,
}

impl Namespaces {
    /// Makes all three, and leaves the calling thread in the middle.
    ///
    /// # Errors
    /// Where the machine forbids it, with the remedy.
    pub fn make() -> Result<Namespaces, NamespaceError> {
        gain_admin()?;
        Ok(Namespaces { client: Namespace::make()?, server: Namespace::make()?, middle: Namespace::make()? })
    }
}
