//! The few system calls that neither `std` nor `nix` wraps, each behind a safe function.
//!
//! Nothing here knows about links or trials. Start with [`monotonic`], the one clock of the lab.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

use crate::link::Nanos;

/// CLOCK_MONOTONIC in nanoseconds: the clock of every time in the lab, one for the whole host.
pub fn monotonic() -> Nanos {
    nanos_of(ClockId::CLOCK_MONOTONIC)
}

/// Sleeps until this instant of CLOCK_MONOTONIC; not at all where it has passed.
pub(crate) fn sleep_until(instant: Nanos) {
    let instant = TimeSpec::new((instant / 1_000_000_000) as _, (instant % 1_000_000_000) as _);
    // Absolute: what happens between reading the clock and falling asleep costs nothing.
    let flags = ClockNanosleepFlags::TIMER_ABSTIME;
    while clock_nanosleep(ClockId::CLOCK_MONOTONIC, flags, &instant) == Err(nix::errno::Errno::EINTR) {}
}

/// CPU time of the calling thread in nanoseconds.
pub(crate) fn thread_cpu() -> Nanos {
    nanos_of(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn nanos_of(clock: ClockId) -> Nanos {
    let time = clock_gettime(clock).expect("the clocks of a thread can always be read");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// Real-time priority of a thread that carries packets: above everything ordinary, below the kernel's own threads.
const PRIORITY: libc::c_int = 10;

/// Puts the calling thread under SCHED_FIFO; tells whether that was permitted.
#[allow(unsafe_code)] // not wrapped by nix
pub(crate) fn become_realtime() -> bool {
    // SAFETY: the structure is plain integers, for which zero is a value.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = PRIORITY;
    // SAFETY: the parameters are valid for reads; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameters) == 0 }
}

/// Puts the calling thread under SCHED_IDLE: it runs where nothing else on the machine wants to.
#[allow(unsafe_code)] // not wrapped by nix
pub(crate) fn become_idle() {
    let plain = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters are valid for reads; 0 is the calling thread. Nobody is refused less than they have.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const plain) };
}

/// Puts the calling thread behind everything that is measured: nice 19, and no real-time policy,
/// which it would inherit from a data thread that already has one.
#[allow(unsafe_code)] // not wrapped by nix
pub(crate) fn take_lowest_priority() {
    let plain = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameter outlives the call; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &plain) };
    // SAFETY: takes numbers alone; on Linux, 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
    // Neither can be refused for asking less than one has; if they were, the writer would only be
    // a little less polite.
}

/// Gives the calling process, and those that it starts, this nice value; not where that is not permitted.
#[allow(unsafe_code)] // not wrapped by nix
pub(crate) fn set_nice(nice: i32) {
    // SAFETY: takes numbers alone; 0 is the calling process.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
}

/// The nice value of the calling process.
#[allow(unsafe_code)] // not wrapped by nix
pub(crate) fn nice() -> i32 {
    // SAFETY: takes numbers alone; 0 is the calling process, which there always is: -1 is a value and no error.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

/// How long a process that has to be on time runs before others have their turn: the least that the kernel takes.
const SLICE: Nanos = 100_000;

/// Asks for short time slices for the calling thread and those that it starts: whoever has a shorter slice than the
/// thread that runs need not wait for the end of that one's, some 3 ms, as it wakes (Linux 6.12, EEVDF; older kernels
/// take no notice). Needs no privilege, and takes no more of the processor's time. Async-signal-safe.
#[allow(unsafe_code)] // not wrapped by nix
pub(crate) fn take_short_slices() {
    // SAFETY: the structure is plain integers, for which zero is a value.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::sched_attr>() as libc::c_uint;
    // SAFETY: the structure is valid for reads and writes, and as large as said; 0 is the calling thread.
    unsafe {
        if libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) == 0
            && attributes.sched_policy == libc::SCHED_OTHER as u32
        {
            attributes.sched_runtime = SLICE;
            libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
        }
    }
}

/// Gives real-time scheduling back.
#[allow(unsafe_code)] // not wrapped by nix
pub(crate) fn become_ordinary() {
    let plain = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters are valid for reads; 0 is the calling thread. Nobody is refused less than they have.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const plain) };
}

/// A descriptor of process `pid` that becomes readable when it ends (Linux 5.3).
///
/// # Errors
/// Where the process is gone, or the kernel older.
#[allow(unsafe_code)] // not wrapped by nix
pub(crate) fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, and nobody else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// An ioctl on a request structure of the caller's.
///
/// # Errors
/// What the kernel says.
///
/// # Safety
/// `request` must take a pointer to a `T` and keep within it.
#[allow(unsafe_code)] // a thin wrapper of an untyped call
pub(crate) unsafe fn ioctl<T>(fd: BorrowedFd<'_>, request: libc::c_ulong, argument: &mut T) -> io::Result<()> {
    // SAFETY: `argument` is valid for reads and writes of a whole `T`; the caller vouches for the request.
    if unsafe { libc::ioctl(fd.as_raw_fd(), request as _, argument as *mut T) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Asks the kernel to kill the calling process when the thread that started it ends, and makes
/// sure that it has not ended already. For use between fork and exec.
///
/// # Errors
/// Where the parent is gone.
#[allow(unsafe_code)] // nix's wrapper allocates nothing either, but its parent check needs getppid anyway
pub(crate) fn die_with_parent(parent: i32) -> io::Result<()> {
    // SAFETY: prctl with integers only; async-signal-safe.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: getppid takes nothing and cannot fail.
    if unsafe { libc::getppid() } != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(())
}

/// Waits until one of `fds` can be read or is at its end, or `deadline` has passed. Tells which.
///
/// # Errors
/// What poll says; interruptions by signals are waited out.
pub(crate) fn wait_readable(fds: &[BorrowedFd<'_>], deadline: Instant) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> = fds.iter().map(|&fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up: a poll that returns early would only be called again.
        let millis = left.saturating_add(Duration::from_micros(999)).as_millis().min(i32::MAX as u128) as i32;
        match poll(&mut polled, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
            Ok(_) => return Ok(polled.iter().map(|p| p.any().unwrap_or(true)).collect()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// How many processes this kernel has killed for want of memory, those of control groups among them; `None` where it
/// does not say (`oom_kill` in /proc/vmstat, since Linux 4.13).
pub(crate) fn oom_kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}
