//! A worker thread and its handle, with a queue of commands to it.
//!
//! The thread reads one flag a turn; it takes a lock only when there is a command.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::unistd::{pipe2, read, write};

/// How long a thread that is busy may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// A running thread that takes commands of kind `L` and gives back a `T`. It ends when this is dropped, at the latest.
#[derive(Debug)]
pub(super) struct Worker<L, T> {
    /// There until it is ended.
    thread: Option<JoinHandle<T>>,
    queue: Arc<CommandQueue<L>>,
    /// Written to, it wakes the thread.
    wake: OwnedFd,
}

/// Commands to the thread, and whether it is to stop.
#[derive(Debug)]
pub(super) struct CommandQueue<L> {
    stop: AtomicBool,
    full: AtomicBool,
    commands: Mutex<Vec<L>>,
}

impl<L: Send + 'static, T: Send + 'static> Worker<L, T> {
    /// Starts the thread on its work, with its queue, and the descriptor that is readable when there are commands: see
    /// [`drain`].
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(super) fn spawn(
        name: &str,
        work: impl FnOnce(Arc<CommandQueue<L>>, OwnedFd) -> T + Send + 'static,
    ) -> io::Result<Worker<L, T>> {
        let (waked, wake) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let queue = Arc::new(CommandQueue {
            stop: AtomicBool::new(false),
            full: AtomicBool::new(false),
            commands: Mutex::new(Vec::new()),
        });
        let of_thread = queue.clone();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || work(of_thread, waked))?;
        Ok(Worker { thread: Some(thread), queue, wake })
    }
}

impl<L, T> Worker<L, T> {
    /// Wakes the thread.
    pub(super) fn wake(&self) {
        // A full pipe wakes it just as well.
        let _ = write(&self.wake, &[1]);
    }

    /// Leaves a command for the thread.
    pub(super) fn post(&self, command: L) {
        self.queue.put(command);
        self.wake();
    }

    /// Leaves a command that is answered once; `None` where the thread does not, or not in time.
    pub(super) fn ask<A>(&self, command: impl FnOnce(Sender<A>) -> L) -> Option<A> {
        let (answer, answered) = mpsc::channel();
        self.post(command(answer));
        answered.recv_timeout(ANSWER_LIMIT).ok()
    }

    /// Whether the thread still works.
    pub(super) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends the thread, and gives back what it does; `None` where it panicked.
    pub(super) fn stop(mut self) -> Option<T> {
        self.end()
    }

    fn end(&mut self) -> Option<T> {
        let thread = self.thread.take()?;
        self.queue.stop.store(true, Ordering::Release);
        self.wake();
        thread.join().ok()
    }
}

impl<L, T> Drop for Worker<L, T> {
    /// Whoever wants nothing of it leaves no thread behind either.
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl<L> CommandQueue<L> {
    /// Whether it is time to end.
    #[inline]
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The commands that have come since the last call.
    #[inline]
    pub(super) fn take(&self) -> Vec<L> {
        if !self.full.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.full.store(false, Ordering::Release);
        std::mem::take(&mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Leaves a command, or puts one back.
    pub(super) fn put(&self, command: L) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.full.store(true, Ordering::Release);
    }
}

/// Makes the descriptor that wakes a thread quiet again.
pub(super) fn drain(waked: &OwnedFd) {
    let _ = read(waked, &mut [0u8; 64]);
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    /// Adds what it is sent, and answers with the sum.
    fn adder() -> Worker<(u32, Option<Sender<u32>>), u32> {
        let work = |queue: Arc<CommandQueue<(u32, Option<Sender<u32>>)>>, waked: OwnedFd| {
            let mut sum = 0;
            while !queue.is_stopped() {
                for (number, answer) in queue.take() {
                    assert_ne!(number, 13, "nobody sends this number");
                    sum += number;
                    answer.into_iter().for_each(|answer| answer.send(sum).expect("it is waited for"));
                }
                let readable = PollFd::new(std::os::fd::AsFd::as_fd(&waked), PollFlags::POLLIN);
                poll(&mut [readable], PollTimeout::NONE).expect("it is a pipe");
                drain(&waked);
            }
            sum
        };
        Worker::spawn("adder", work).expect("a thread")
    }

    #[test]
    fn commands_are_answered_in_order_until_the_end() {
        let worker = adder();
        worker.post((1, None));
        worker.post((2, None));
        assert_eq!(worker.ask(|answer| (3, Some(answer))), Some(6));
        assert!(worker.is_running());
        assert_eq!(worker.stop(), Some(6));
    }

    #[test]
    fn who_panics_answers_nothing_and_comes_to_nothing() {
        let worker = adder();
        assert_eq!(worker.ask(|answer| (13, Some(answer))), None);
        assert_eq!(worker.stop(), None);
    }

    #[test]
    fn nothing_is_left_of_one_that_is_dropped() {
        let queue = Arc::downgrade(&adder().queue);
        assert!(queue.upgrade().is_none(), "the thread, which shares them, has ended");
    }
}
