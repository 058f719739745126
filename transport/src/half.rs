//! One end's part of a session: the sender's half or the receiver's.
//!
//! A half is given its connections as they come up ([`Connection`]), works on its own, says how far
//! it has come ([`Phase`]), and at the end hands over its books ([`HalfReport`]). It neither knows nor
//! asks whether it runs in the client or the server.

use std::sync::Arc;

use samepath_model::record::SERIES_BIN_NANOS;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::connection::Connection;
use crate::plan::Plan;
use crate::probe::Usage;
use crate::report::{HalfReport, Phase};
use crate::session::Shared;
use crate::{TransportError, clock, receive, send};

/// A half at work. Dropping it ends it.
#[derive(Debug)]
pub struct Half {
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
    peer_finished: watch::Sender<bool>,
    peer_warm: watch::Sender<bool>,
    started: Usage,
    /// `None` once it has failed.
    work: Option<JoinHandle<Result<(), TransportError>>>,
    sampler: JoinHandle<std::io::Result<()>>,
}

impl Half {
    /// Starts the sender's half (`sends`) or the receiver's, which will get its connections from
    /// `connections` and the start of the schedule from `epoch`.
    pub fn start(
        plan: Plan,
        sends: bool,
        connections: mpsc::Receiver<Connection>,
        epoch: watch::Receiver<Option<u64>>,
    ) -> Half {
        let (phase_sender, phase) = watch::channel(Phase::Waiting);
        let (peer_finished, peer) = watch::channel(false);
        let (peer_warm, peer_is_warm) = watch::channel(false);
        let shared = Arc::new(Shared::new(plan, sends, phase_sender, epoch, peer, peer_is_warm));
        let work = if sends {
            tokio::spawn(send::run(shared.clone(), connections))
        } else {
            tokio::spawn(receive::run(shared.clone(), connections))
        };
        let sampler = tokio::spawn(tick(shared.clone(), sends));
        Half { shared, phase, peer_finished, peer_warm, started: Usage::now(), work: Some(work), sampler }
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until it has come so far. Cancel-safe.
    ///
    /// # Errors
    /// When it failed, and can come no further.
    pub async fn reach(&mut self, phase: Phase) -> Result<(), TransportError> {
        loop {
            if *self.phase.borrow_and_update() >= phase {
                return Ok(());
            }
            let Some(work) = &mut self.work else {
                return Err(TransportError::Control("this half has failed before".into()));
            };
            tokio::select! {
                biased;
                changed = self.phase.changed() => if changed.is_err() {
                    return Err(TransportError::Control("a half ended without a word".into()));
                },
                // It works until the session is over, so this is a failure.
                ended = work => {
                    self.work = None;
                    return match ended {
                        Ok(Ok(())) => Err(TransportError::Control("a half ended too early".into())),
                        Ok(Err(error)) => Err(error.seen_at(self.shared.end)),
                        Err(error) => Err(TransportError::Control(format!("a half broke down: {error}"))),
                    };
                }
            }
        }
    }

    /// Tells a sender that the receiver has the whole warm-up.
    pub fn peer_warm(&self) {
        self.peer_warm.send_replace(true);
    }

    /// Tells a receiver that nothing more is sent, so that it need not wait for lost datagrams
    /// for ever.
    pub fn peer_finished(&self) {
        self.peer_finished.send_replace(true);
    }

    /// Messages delivered so far, of those in the schedule; for a word to people.
    pub fn delivered(&self) -> Option<(u64, u64)> {
        self.shared.delivered()
    }

    /// Whether nothing moves that should: as its receiver, hardly anything has come, and nothing for `silence`
    /// nanoseconds; as its sender, a connection's timer has run out several times in a row.
    pub fn is_stuck(&self, silence: u64) -> bool {
        self.shared.is_stuck(silence)
    }

    /// Ends it and hands over its books.
    pub fn finish(self) -> HalfReport {
        self.end();
        self.shared.report(self.started.elapsed())
    }
}

impl Half {
    fn end(&self) {
        self.work.iter().for_each(JoinHandle::abort);
        self.sampler.abort();
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.end();
    }
}

/// Samples a sender's connections at every tick, and at both ends notes how late each tick was served.
/// Ticks stand at fixed distances from the epoch, so that lateness does not accumulate.
async fn tick(shared: Arc<Shared>, samples: bool) -> std::io::Result<()> {
    const TICK: u64 = SERIES_BIN_NANOS as u64;
    // The first message is released at the epoch itself.
    const BEFORE: u64 = 1_000_000;
    let epoch = shared.epoch().await;
    let mut timer = clock::Timer::new()?;
    if samples && !shared.plan.is_cold() {
        timer.until(epoch.saturating_sub(BEFORE)).await?;
        shared.note_start();
    }
    let mut next = epoch.max(clock::now());
    loop {
        timer.until(next).await?;
        let late = clock::now().saturating_sub(next);
        shared.late(late);
        shared.limit_windows();
        if samples {
            shared.sample();
        }
        // Of several ticks that were missed together, one speaks for all.
        next += TICK * (late / TICK + 1);
    }
}
