//! The clock of a session, CLOCK_MONOTONIC, and a timer on it.
//!
//! Every time is CLOCK_MONOTONIC in nanoseconds, so that processes of one host, whatever their
//! network namespace, need no translation between them.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn now() -> u64 {
    let time =
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC is there on every Linux");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// A timer with the kernel's own resolution.
///
/// The runtime's timer wheel turns in whole milliseconds, too coarse for a schedule that is to be
/// kept within a tenth of one; a timerfd wakes the runtime as a socket does.
#[derive(Debug)]
pub struct Timer {
    fd: AsyncFd<Fd>,
}

#[derive(Debug)]
struct Fd(TimerFd);

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Timer {
    /// A timer that is not set. Call it inside a runtime.
    ///
    /// # Errors
    /// When the process has no file descriptors left.
    #[allow(unsafe_code, reason = "the runtime takes any descriptor, as long as it stays open")]
    pub fn new() -> io::Result<Timer> {
        let fd = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        // SAFETY: `Fd` owns its descriptor, always returns the same one, and neither closes nor
        // replaces it while the runtime holds it.
        let fd = unsafe { AsyncFd::register(Fd(fd)) }?;
        Ok(Timer { fd })
    }

    /// Waits until the clock shows `at`; returns at once where it already does.
    ///
    /// # Errors
    /// When the kernel refuses the timer, which it never does for valid times.
    pub async fn until(&mut self, at: u64) -> io::Result<()> {
        if at <= now() {
            return Ok(());
        }
        let at = TimeSpec::new((at / 1_000_000_000) as i64, (at % 1_000_000_000) as i64);
        self.fd.get_ref().0.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        loop {
            let mut ready = self.fd.readable().await?;
            let mut count = [0u8; 8];
            match nix::unistd::read(self.fd.get_ref().0.as_fd(), &mut count) {
                // Readiness left over from an earlier setting.
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Ok(_) => {
                    ready.clear_ready();
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_timer_is_never_early() {
        let mut timer = Timer::new().unwrap();
        for step in [300_000, 50_000, 2_000_000] {
            let at = now() + step;
            timer.until(at).await.unwrap();
            assert!(now() >= at);
        }
        timer.until(0).await.unwrap();
    }
}
