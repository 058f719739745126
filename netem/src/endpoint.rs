//! One end of a trial: a process in its namespace, whose words are read from a pipe.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, getpid, setpgid, tcsetpgrp};

use crate::namespace::Namespace;
use crate::sys;

/// How many of an endpoint's last words are told where it failed.
const LAST_LINES: usize = 12;
/// How many bytes of them are looked at.
const LAST_BYTES: u64 = 8192;
/// More than this on one line is not a line of the protocol.
const MAX_LINE: usize = 1 << 20;

/// A process in a namespace. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    child: Child,
    ended: OwnedFd,
    unread: Vec<u8>,
    /// No more words will come.
    silent: bool,
    stderr: PathBuf,
}

impl Endpoint {
    /// Starts `command` in `namespace`; its stdout is read here, its stderr goes to the file, and its stdin has what it is
    /// [told](Self::tell).
    pub(crate) fn start(mut command: Command, namespace: &Namespace, stderr: PathBuf) -> io::Result<Endpoint> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&stderr)?);
        enter_before_exec(&mut command, namespace);
        be_on_time_after_exec(&mut command);
        let child = command.spawn()?;
        let ended = sys::pidfd(child.id())?;
        let out = child.stdout.as_ref().expect("its stdout was made a pipe");
        fcntl(out, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Endpoint { child, ended, unread: Vec::new(), silent: false, stderr })
    }

    /// The lines that have come in since the last call.
    pub(crate) fn lines(&mut self) -> io::Result<Vec<String>> {
        let out = self.child.stdout.as_mut().expect("its stdout was made a pipe");
        let mut chunk = [0u8; 8192];
        while !self.silent && self.unread.len() <= MAX_LINE {
            match out.read(&mut chunk) {
                Ok(0) => self.silent = true,
                Ok(n) => self.unread.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let whole = self.unread.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        if whole == 0 && self.unread.len() > MAX_LINE {
            return Err(io::Error::other("a line without end on its stdout"));
        }
        let lines = self.unread.drain(..whole).collect::<Vec<u8>>();
        Ok(String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect())
    }

    /// Writes a line to its stdin.
    pub(crate) fn tell(&mut self, line: &str) -> io::Result<()> {
        let stdin = self.child.stdin.as_mut().expect("its stdin was made a pipe");
        stdin.write_all(format!("{line}\n").as_bytes())
    }

    /// What becomes readable when there is something to do: its words while they last, and its end.
    pub(crate) fn watched(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let words = (!self.silent).then(|| self.child.stdout.as_ref().map(AsFd::as_fd)).flatten();
        words.into_iter().chain([self.ended.as_fd()])
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks it to end, and does not wait for it.
    pub(crate) fn ask_to_end(&self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
    }

    /// Asks it to end, and kills it if it has not in time. Gives back how it ended.
    pub(crate) fn stop(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        self.ask_to_end();
        let deadline = Instant::now() + patience;
        sys::wait_readable(&[self.ended.as_fd()], deadline)?;
        if self.child.try_wait()?.is_none() {
            self.child.kill()?;
        }
        self.child.wait()
    }

    /// How it ended, where that was for want of memory; `oom_kills` is [`sys::oom_kills`] from while it ran.
    pub(crate) fn out_of_memory(&mut self, oom_kills: Option<u64>) -> Option<&'static str> {
        let status = self.child.try_wait().ok().flatten()?;
        let was_killed = sys::oom_kills() > oom_kills && oom_kills.is_some();
        out_of_memory(status, was_killed, &self.complaint())
    }

    /// The last lines of its stderr.
    pub(crate) fn complaint(&self) -> String {
        last_lines(&self.stderr)
    }

    /// The last lines of its stderr, or how it ended where it said nothing.
    pub(crate) fn last_words(&mut self) -> String {
        let said = self.complaint();
        let ended = self.child.try_wait().ok().flatten();
        match (said.is_empty(), ended) {
            (false, _) => said,
            (true, Some(status)) => format!("it ended with {status} and said nothing"),
            (true, None) => "it said nothing".into(),
        }
    }
}

/// Whether a process that ended so, and said this last, was out of memory; `was_killed`: the kernel has killed for want
/// of memory since.
fn out_of_memory(status: ExitStatus, was_killed: bool, said: &str) -> Option<&'static str> {
    /// How Rust's standard library begins its last words where an allocation fails; it has no other sign for it.
    const REFUSED: &str = "memory allocation of ";
    match status.signal().map(Signal::try_from) {
        Some(Ok(Signal::SIGKILL)) if was_killed => Some("was killed by the kernel, which had no memory left"),
        Some(Ok(Signal::SIGABRT)) if said.lines().any(|line| line.starts_with(REFUSED)) => {
            Some("was refused the memory that it asked for")
        }
        _ => None,
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of a text file, in lines.
pub(crate) fn last_lines(file: &std::path::Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(file)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LAST_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// Makes a command's process enter a namespace before it becomes the program.
#[allow(unsafe_code)] // what runs between fork and exec
pub(crate) fn enter_before_exec(command: &mut Command, namespace: &Namespace) {
    let fd = namespace.raw();
    // SAFETY: setns and the signal mask's calls are async-signal-safe. The descriptor is that of the
    // namespace, which outlives the spawn that the caller does next.
    unsafe {
        command.pre_exec(move || {
            if libc::setns(fd, libc::CLONE_NEWNET) < 0 {
                return Err(io::Error::last_os_error());
            }
            // Signals are blocked here, to be read from a descriptor; the program wants them as usual.
            SigSet::empty().thread_set_mask().map_err(io::Error::from)
        });
    }
}

/// Makes a command's process one that others keep from running for as short a time as the kernel allows.
#[allow(unsafe_code)] // what runs between fork and exec
fn be_on_time_after_exec(command: &mut Command) {
    // SAFETY: only async-signal-safe calls.
    unsafe {
        command.pre_exec(|| {
            sys::take_short_slices();
            Ok(())
        });
    }
}

/// Gives a command's process a process group of its own before it becomes the program, and that group the
/// terminal's foreground, as shells do with their jobs. To be called before [`enter_before_exec`].
///
/// A shell with job control gives the terminal back, as it ends, to the group in which it was started. The
/// caller's group lies outside of the PID namespace and has no number in it, so dash, which takes the failure
/// to do so for its own, would end with another status than it was asked to.
#[allow(unsafe_code)] // what runs between fork and exec
pub(crate) fn take_terminal_before_exec(command: &mut Command) {
    // SAFETY: setpgid, getpid, tcsetpgrp and the signal mask's calls are async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            // Whoever takes the terminal from the background is stopped by this signal.
            let mut stop = SigSet::empty();
            stop.add(Signal::SIGTTOU);
            stop.thread_block()?;
            setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
            // A shell that does not get it runs as in the background, and says so itself.
            let _ = tcsetpgrp(io::stdin(), getpid());
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_memory_is_told_from_other_ends() {
        let signal = |signal: Signal| ExitStatus::from_raw(signal as i32);
        let refused = "thread 'main' said something\nmemory allocation of 4294967296 bytes failed";
        assert!(out_of_memory(signal(Signal::SIGKILL), true, "").is_some_and(|how| how.contains("killed")));
        assert!(out_of_memory(signal(Signal::SIGABRT), false, refused).is_some_and(|how| how.contains("refused")));
        for (status, was_killed, said) in [
            (signal(Signal::SIGKILL), false, ""),
            (signal(Signal::SIGABRT), true, "thread main has overflowed its stack"),
            (signal(Signal::SIGSEGV), true, refused),
            (ExitStatus::from_raw(1 << 8), true, refused),
            (ExitStatus::from_raw(0), true, ""),
        ] {
            assert_eq!(out_of_memory(status, was_killed, said), None, "{status}, {was_killed}, {said}");
        }
    }
}
