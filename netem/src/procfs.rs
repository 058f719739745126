//! A /proc of our own: with the processes of this PID namespace, and with kernel settings that can be written.
//!
//! In most containers /proc/sys is mounted read-only, or parts of /proc are covered. Another procfs, in a mount
//! namespace that nobody else sees, has neither. The kernel refuses it where it would show the root of a user
//! namespace more than /proc does now (`mount_too_revealing` of `fs/namespace.c`).

use std::io;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::namespace::{StepError, cannot};

/// What stands against a /proc of our own, for whoever reads why.
const REFUSED: &str = "mount a /proc of its own";

/// Mounts it over /proc, in a mount namespace of the calling thread's own and of those that it starts from now on.
/// To be called by the first process of a PID namespace.
///
/// # Errors
/// Where the kernel refuses; then /proc is as it was.
pub(crate) fn mount_own() -> Result<(), StepError> {
    let nothing: Option<&str> = None;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing))
        .and_then(|()| mount(Some("proc"), "/proc", Some("proc"), flags, nothing))
        .map_err(|errno| cannot(REFUSED)(io::Error::from(errno)))
}
