//! The asynchronous runtime of an end: one thread.

use std::fs::File;
use std::io;

use tokio::runtime::{Builder, Runtime};

/// Descriptors that the runtime opens: its epoll instance and what wakes it, a pair of sockets for signals, and copies.
const DESCRIPTORS: usize = 8;

/// Makes a runtime with I/O and timers.
///
/// # Errors
/// Where the process cannot open as many files as it needs: it would panic for want of its signals' sockets.
pub fn start() -> io::Result<Runtime> {
    let opened: Vec<File> = (0..DESCRIPTORS).map(|_| File::open("/dev/null")).collect::<io::Result<_>>()?;
    drop(opened);
    Builder::new_current_thread().enable_all().build()
}
