//! A flow's server through its restarts: up, killed, and up again.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use samepath_model::flow::FlowId;
use samepath_model::record::RestartRecord;
use samepath_model::restart::Restart;
use samepath_model::{Duration, Trial};

use super::ends::{is_ready, log_of};
use super::error::TrialError;
use crate::endpoint::Endpoint;
use crate::link::Nanos;
use crate::sys::monotonic;

/// How many of the server's last words are kept for a trial that fails.
const LOG_LINES: usize = 4;

/// The server of a flow.
pub(super) struct Server {
    /// Its process; `None` while it is down.
    process: Option<Endpoint>,
    said: VecDeque<String>,
    /// The restarts to come, each with its number in the trial.
    due: VecDeque<(usize, Restart)>,
    /// Those that were begun.
    restarts: Vec<RestartRecord>,
}

impl Server {
    pub(super) fn new(trial: &Trial, flow: FlowId, process: Endpoint) -> Server {
        let all = (1..).zip(trial.restarts.iter().copied());
        let due = all.filter(|(_, restart)| restart.flow == flow).collect();
        Server { process: Some(process), said: VecDeque::new(), due, restarts: Vec::new() }
    }

    /// Takes in what it has said since the last call; `epoch` is the trial's, where it has begun.
    pub(super) fn listen(&mut self, epoch: Option<Nanos>) -> io::Result<()> {
        let Some(process) = &mut self.process else { return Ok(()) };
        for line in process.lines()? {
            if let (Some(restart), Some(epoch), true) = (self.restarts.last_mut(), epoch, is_ready(&line)) {
                restart.ready.get_or_insert(since(epoch));
            }
            // The rest is for people, who want its last words where the trial fails.
            self.said.extend(log_of(&line));
            if self.said.len() > LOG_LINES {
                self.said.pop_front();
            }
        }
        Ok(())
    }

    /// Does what is due by now: kills the process, or has `start` start another, given the restart's number in the trial.
    /// Gives back when something is due next (CLOCK_MONOTONIC).
    ///
    /// # Errors
    /// Where it cannot be started again.
    pub(super) fn restart(
        &mut self,
        epoch: Nanos,
        start: impl Fn(usize) -> Result<Endpoint, TrialError>,
    ) -> Result<Option<Nanos>, TrialError> {
        while let Some(&(number, Restart { flow, at, downtime })) = self.due.front() {
            let due = |after: Duration| Some(epoch + after.as_nanos()).filter(|due| *due > monotonic());
            if self.process.is_some() {
                if let Some(later) = due(at) {
                    return Ok(Some(later));
                }
                self.restarts.push(RestartRecord { flow, killed: since(epoch), ready: None });
                // Dropped, it is killed.
                self.process = None;
            }
            if let Some(later) = due(at + downtime) {
                return Ok(Some(later));
            }
            self.process = Some(start(number)?);
            self.due.pop_front();
        }
        Ok(None)
    }

    /// Its process, while there is one.
    pub(super) fn process(&mut self) -> Option<&mut Endpoint> {
        self.process.as_mut()
    }

    /// What becomes readable when there is something to do.
    pub(super) fn watched(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.process.iter().flat_map(Endpoint::watched)
    }

    /// A client's complaint, with the server's where it has one too.
    pub(super) fn beside(&self, client_said: String) -> String {
        let complaint = self.process.as_ref().map(Endpoint::complaint).unwrap_or_default();
        let said: Vec<&str> = self.said.iter().map(String::as_str).chain(complaint.lines()).collect();
        if said.is_empty() { client_said } else { format!("{client_said}\nthe server said: {}", said.join("\n")) }
    }

    /// Its process, and what became of its restarts.
    pub(super) fn into_parts(self) -> (Option<Endpoint>, Vec<RestartRecord>) {
        (self.process, self.restarts)
    }
}

/// Now, in nanoseconds from the epoch.
fn since(epoch: Nanos) -> i64 {
    monotonic().wrapping_sub(epoch).cast_signed()
}
