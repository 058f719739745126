//! How the data thread sleeps.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::backend::Port;
use crate::backend::worker::drain;
use crate::link::Nanos;

/// The data thread's way to sleep: until a packet comes, an order comes, or an instant is there.
#[derive(Debug)]
pub(super) struct Sleeper {
    waked: OwnedFd,
    /// Set to the instant itself: what happens between reading the clock and falling asleep costs nothing.
    timer: TimerFd,
}

impl Sleeper {
    pub(super) fn new(waked: OwnedFd) -> io::Result<Sleeper> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Sleeper { waked, timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)? })
    }

    /// Sleeps; with `None`, until something comes.
    pub(super) fn sleep(&self, ports: &[Port; 2], until: Option<Nanos>) -> io::Result<()> {
        if let Some(until) = until {
            let instant = TimeSpec::new((until / 1_000_000_000) as _, (until % 1_000_000_000) as _);
            self.timer.set(Expiration::OneShot(instant), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        }
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [
            readable(ports[0].as_fd()),
            readable(ports[1].as_fd()),
            readable(self.waked.as_fd()),
            readable(self.timer.as_fd()),
        ];
        // Setting the timer anew makes an expiry before forgotten: it need not be read.
        let watched = if until.is_some() { fds.len() } else { 3 };
        match poll(&mut fds[..watched], PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if fds[2].any().unwrap_or(false) {
            drain(&self.waked);
        }
        Ok(())
    }
}
