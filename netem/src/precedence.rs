//! Precedence of a trial over whatever else runs on the machine: its processes run when their time has come.
//!
//! Three things make a process late that the link's real-time scheduling does not cover, since the ends of a trial are
//! ordinary programs: an ordinary neighbour has an equal claim to the processor (nice values), the kernel divides the
//! processor by sessions before it does by processes (autogroups, sched(7)), and a processor that idles takes its time to
//! wake, a virtual one above all (CPU latency QoS, `/dev/cpu_dma_latency`). What is not permitted is done without, and
//! the record says so.

use std::fs::{self, File};
use std::io::{self, Write};

use samepath_model::record::Precedence;

use crate::sys;

/// The least nice value there is.
pub(crate) const LEAST_NICE: i32 = -20;
/// Nice value of the calling process's session (sched(7)).
const AUTOGROUP: &str = "/proc/self/autogroup";
/// The longest time that a processor may take to wake is what was last written, for as long as the file stays open
/// (the kernel's Documentation/power/pm_qos_interface.rst).
pub(crate) const CPU_LATENCY: &str = "/dev/cpu_dma_latency";

/// The precedence of the calling process and those that it starts, for as long as this is held.
pub(crate) struct Held {
    /// What was permitted.
    pub(crate) granted: Precedence,
    _latency: Option<File>,
}

/// Takes whatever the machine permits. The calling process should lead a session of its own: the others of its session
/// would be preferred as well.
pub(crate) fn take() -> Held {
    let latency = limit_cpu_latency().ok();
    // Refused to whoever lacks CAP_SYS_NICE and has no RLIMIT_NICE for it.
    sys::set_nice(LEAST_NICE);
    let _ = fs::write(AUTOGROUP, LEAST_NICE.to_string());
    let granted =
        Precedence { nice: sys::nice(), autogroup_nice: autogroup_nice(), cpu_latency_qos: latency.is_some() };
    Held { granted, _latency: latency }
}

/// Forbids idle states that take time to leave, until the file is closed.
///
/// # Errors
/// Where the file is not there, or not this user's to write.
pub(crate) fn limit_cpu_latency() -> io::Result<File> {
    let mut file = File::options().write(true).open(CPU_LATENCY)?;
    file.write_all(&0i32.to_ne_bytes())?;
    Ok(file)
}

/// Nice value of this process's autogroup; `None` where the kernel makes none.
fn autogroup_nice() -> Option<i32> {
    // /autogroup-25 nice 0
    fs::read_to_string(AUTOGROUP).ok()?.rsplit(' ').next()?.trim().parse().ok()
}
