//! What this process may have of the system at once.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The soft limit on open files with which this process was started.
static STARTED_WITH: OnceLock<u64> = OnceLock::new();

/// Lets this process, and those that it starts, have as many files open as the hard limit permits: the usual soft one
/// of 1024 is for programs that use `select`. Gives back how many that are.
pub fn raise_open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    STARTED_WITH.get_or_init(|| soft);
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

/// Gives a command's process the soft limit back with which this one was started, before it becomes the program,
/// which may be one that uses `select`.
#[allow(unsafe_code)] // what runs between fork and exec
pub(crate) fn restore_before_exec(command: &mut Command) {
    let Some(&soft) = STARTED_WITH.get() else { return };
    // SAFETY: getrlimit and setrlimit are system calls alone, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
            setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard).map_err(io::Error::from)
        });
    }
}
