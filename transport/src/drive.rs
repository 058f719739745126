//! An end's driver at work: events in, messages into the writers' queues.

use std::sync::Mutex;

use samepath_model::book::Entry;
use samepath_model::units::Duration;
use samepath_model::workload::{Action, Driver, Event, Release, Table};
use tokio::sync::mpsc::UnboundedSender;

use crate::queue::Queues;
use crate::recorder::SendLog;

/// The driver of this end, and what it is waiting for. Times are CLOCK_MONOTONIC, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Drive {
    driver: Box<dyn Driver>,
    has_started: bool,
    /// `None` once nothing more is released.
    queues: Option<Queues>,
    /// To what compresses messages on their way to the queues, and which those are; likewise.
    coder: Option<(Table, UnboundedSender<Release>)>,
    /// To what keeps the book, where there is one; likewise.
    records: Option<UnboundedSender<Entry>>,
    /// What was in it before the start.
    found: Vec<Entry>,
    wake: Option<u64>,
    released: u64,
    withdrawn: u64,
    /// What it told to do; kept for its memory.
    actions: Vec<Action>,
}

impl Drive {
    pub(crate) fn new(driver: Box<dyn Driver>, queues: Queues) -> Drive {
        Drive {
            driver,
            has_started: false,
            queues: Some(queues),
            coder: None,
            records: None,
            found: Vec::new(),
            wake: None,
            released: 0,
            withdrawn: 0,
            actions: Vec::new(),
        }
    }

    /// Gives it a book, of which this was found.
    pub(crate) fn give_book(&mut self, found: Vec<Entry>, records: UnboundedSender<Entry>) {
        (self.found, self.records) = (found, Some(records));
    }

    /// Has those of these messages that are to be compressed go there first; returns the queues that they go into then.
    pub(crate) fn give_coder(&mut self, outgoing: Table, coder: UnboundedSender<Release>) -> Option<Queues> {
        self.coder = Some((outgoing, coder));
        self.queues.clone()
    }

    /// Tells the driver of an event at `now`, and does as it says; `epoch` is the start of the schedule.
    pub(crate) fn on(&mut self, event: Event, now: u64, epoch: u64, log: &Mutex<SendLog>) {
        let is_idle = match event {
            Event::Start => self.has_started,
            // A peer that sends nothing has finished before anything began.
            Event::PeerFinished => !self.has_started,
            _ => false,
        };
        if is_idle || self.is_done() {
            return;
        }
        let since = Duration::from_nanos(now.saturating_sub(epoch));
        // What arrives as the schedule starts may be told before the clock is.
        if !std::mem::replace(&mut self.has_started, true) {
            self.tell(Event::Start, if event == Event::Start { since } else { Duration::ZERO }, epoch, log);
            for entry in std::mem::take(&mut self.found) {
                self.tell(Event::Recorded(entry), since, epoch, log);
            }
        }
        if event != Event::Start {
            self.tell(event, since, epoch, log);
        }
    }

    fn tell(&mut self, event: Event, since: Duration, epoch: u64, log: &Mutex<SendLog>) {
        self.driver.on(event, since, &mut self.actions);
        self.act(epoch, log);
    }

    fn act(&mut self, epoch: u64, log: &Mutex<SendLog>) {
        for action in self.actions.drain(..) {
            match action {
                Action::Send(release) => {
                    self.released += 1;
                    log.lock().expect("no panic while held").released(&release);
                    let is_compressed =
                        |table: &Table| table.content(release.id.stream, release.id.seq).coding().is_some();
                    match (&self.coder, &self.queues) {
                        (Some((table, coder)), _) if is_compressed(table) => {
                            // It fails only where the coder failed, which says so itself.
                            let _ = coder.send(release);
                        }
                        (_, Some(queues)) => queues.send(release),
                        (_, None) => {}
                    }
                }
                Action::Cancel(id) => {
                    if let Some(queues) = &self.queues {
                        queues.cancel(id);
                    }
                }
                Action::Record(entry) => {
                    if let Some(records) = &self.records {
                        // It fails only where the book cannot be kept, which says so itself.
                        let _ = records.send(entry);
                    }
                }
                Action::WakeAt(at) => self.wake = Some(epoch + at.as_nanos()),
                Action::Done => (self.queues, self.coder, self.records) = (None, None, None),
            }
        }
    }

    /// Has what is released from here on go into other queues. What waits in those that it had is lost.
    pub(crate) fn renew_queues(&mut self, queues: Queues) {
        if self.queues.is_some() {
            self.queues = Some(queues);
        }
    }

    /// When the driver wants to be woken.
    pub(crate) const fn wake(&self) -> Option<u64> {
        self.wake
    }

    /// Its time has come.
    pub(crate) fn take_wake(&mut self) {
        self.wake = None;
    }

    /// Whether the driver has nothing more to do.
    pub(crate) const fn is_done(&self) -> bool {
        self.queues.is_none()
    }

    /// Notes that a message was withdrawn before any of it was sent.
    pub(crate) const fn note_withdrawn(&mut self) {
        self.withdrawn += 1;
    }

    /// Messages that were released, those that were withdrawn before any of them was sent left out.
    pub(crate) const fn sent(&self) -> u64 {
        self.released - self.withdrawn
    }
}
