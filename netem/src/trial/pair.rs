//! One flow's pair of processes at work: what they say, and how they end.

use std::io;
use std::os::fd::BorrowedFd;

use samepath_model::flow::FlowId;
use samepath_model::{Duration, Trial, VoidKind, VoidReason};

use super::ends::earliest_of;
use super::error::TrialError;
use super::server::Server;
use crate::endpoint::Endpoint;
use crate::link::Nanos;

/// The client and the server of a flow.
pub(super) struct Pair {
    pub(super) flow: FlowId,
    /// What the flow is called where something goes wrong with it; `None` where it is the only one.
    name: Option<String>,
    client: Endpoint,
    pub(super) server: Server,
    /// When the client's schedule can start at the earliest, once it is ready for it.
    pub(super) earliest: Option<Nanos>,
    /// Whether the client has ended well.
    pub(super) is_done: bool,
}

impl Pair {
    pub(super) fn new(trial: &Trial, flow: FlowId, client: Endpoint, server: Endpoint) -> Pair {
        let is_only = trial.competing.is_empty();
        let name = (!is_only).then(|| trial.name_of(flow));
        let server = Server::new(trial, flow, server);
        Pair { flow, name, client, server, earliest: None, is_done: false }
    }

    /// Takes in what both have said and whether they have ended; `epoch` is the trial's, where it has begun, and
    /// `oom_kills` is [`crate::sys::oom_kills`] from while they ran.
    ///
    /// # Errors
    /// Where one of them has ended and should not have, with its last words.
    pub(super) fn look(&mut self, epoch: Option<Nanos>, oom_kills: Option<u64>) -> Result<(), TrialError> {
        let fail = |error: io::Error| TrialError::new("client", error);
        for line in self.client.lines().map_err(fail)? {
            self.earliest = self.earliest.or(earliest_of(&line));
        }
        self.server.listen(epoch).map_err(fail)?;
        if self.is_done {
            return Ok(());
        }
        if let Some(status) = self.client.ended().map_err(fail)? {
            if status.success() {
                self.is_done = true;
                return Ok(());
            }
            return Err(match out_of_memory("client", &mut self.client, oom_kills) {
                Some(error) => error,
                None => {
                    let said = self.client.last_words();
                    self.failed("client", self.server.beside(said))
                }
            });
        }
        let Some(server) = self.server.process() else { return Ok(()) };
        if server.ended().map_err(fail)?.is_none() {
            return Ok(());
        }
        Err(match out_of_memory("server", server, oom_kills) {
            Some(error) => error,
            None => {
                let said = server.last_words();
                self.failed("server", format!("it ended while the client still ran: {said}"))
            }
        })
    }

    /// Tells the client when its schedule starts (CLOCK_MONOTONIC).
    pub(super) fn start(&mut self, at: Nanos) {
        // Of a client that is gone by now, its end says more.
        let _ = self.client.tell(&serde_json::json!({ "start_ns": at }).to_string());
    }

    /// The failure of a client that has not finished in its time.
    pub(super) fn too_late(&mut self, limit: Duration) -> TrialError {
        let said = self.client.last_words();
        let said = format!("the client had not finished within the trial's time limit of {limit}: {said}");
        self.failed("client", self.server.beside(said))
    }

    /// What becomes readable when there is something to do; nothing of a flow that is over, whose server is stopped with
    /// the others.
    pub(super) fn watched(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let both = (!self.is_done).then(|| self.client.watched().chain(self.server.watched()));
        both.into_iter().flatten()
    }

    /// A failure, with the flow's name where it is one of several.
    fn failed(&self, step: &str, words: String) -> TrialError {
        match &self.name {
            Some(name) => TrialError::new(step, format!("{name}: {words}")),
            None => TrialError::new(step, words),
        }
    }
}

/// Whether this end ended for want of memory: void, as another machine would have carried the trial.
fn out_of_memory(name: &str, end: &mut Endpoint, oom_kills: Option<u64>) -> Option<TrialError> {
    let how = end.out_of_memory(oom_kills)?;
    let words = format!("memory gave out: the {name} {how}; give the machine more, or a slower or shorter path");
    Some(TrialError::Exhausted { reason: VoidReason::new(VoidKind::Memory, words), remains: Box::default() })
}
