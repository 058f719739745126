//! The end that sends frames: by the clock, key frames as they are needed, packets again as they are asked for.

use super::super::driver::{Action, Driver, Event};
use super::super::message::{MessageId, Release};
use super::super::stream::StreamId;
use super::super::table::Table;
use super::layout::{Asked, Layout, Part};
use super::numbers::Numbers;
use crate::units::Duration;

/// The driver of the sending end.
#[derive(Debug)]
pub(super) struct Sender {
    layout: Layout,
    table: Table,
    stream: StreamId,
    deadline: Duration,
    gives_up: bool,
    /// The frame that is next, and the next whose deadline comes.
    next: u32,
    due: u32,
    /// Whether each frame was a key frame, of those that were sent.
    sent: Vec<bool>,
    last_key: Option<u32>,
    /// The next frame is to be one.
    is_key_wanted: bool,
    /// Messages that were sent again.
    again: Numbers,
    /// Nothing more is asked for.
    is_last: bool,
    is_done: bool,
}

impl Sender {
    /// Sends the frames of the layout as messages of `table` on `stream`; `is_asked` says whether anybody asks for anything.
    pub(super) fn new(
        layout: Layout,
        table: Table,
        stream: StreamId,
        deadline: Duration,
        gives_up: bool,
        is_asked: bool,
    ) -> Sender {
        Sender {
            layout,
            table,
            stream,
            deadline,
            gives_up,
            next: 0,
            due: 0,
            sent: Vec::new(),
            last_key: None,
            is_key_wanted: false,
            again: Numbers::default(),
            is_last: !is_asked,
            is_done: false,
        }
    }

    fn id(&self, part: Part) -> MessageId {
        MessageId { direction: self.table.direction(), stream: self.stream, seq: self.layout.seq(part) }
    }

    fn send(&self, part: Part, at: Duration, by: Option<MessageId>, actions: &mut Vec<Action>) {
        let id = self.id(part);
        let length = self.table.length(id.stream, id.seq).expect("the table has every part of every frame");
        let is_parity = part.part >= self.layout.cut(part.frame, part.is_key).data;
        actions.push(Action::Send(Release {
            by,
            deadline: Some(self.deadline_of(part.frame)),
            attempt: 1 + part.again + u32::from(is_parity),
            ..Release::by_the_clock(id, length, at)
        }));
    }

    fn deadline_of(&self, frame: u32) -> Duration {
        self.layout.at(frame) + self.deadline
    }

    /// Sends what is due by now.
    fn release(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while self.next < self.layout.frames() && self.layout.at(self.next) <= now {
            let frame = self.next;
            let is_key = self.layout.is_key(frame) || self.is_key_wanted;
            for part in 0..self.layout.cut(frame, is_key).parts() {
                self.send(Part { frame, is_key, part, again: 0 }, self.layout.at(frame), None, actions);
            }
            if is_key {
                (self.last_key, self.is_key_wanted) = (Some(frame), false);
            }
            self.sent.push(is_key);
            self.next += 1;
        }
    }

    /// Gives up what is too late by now.
    fn give_up(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while self.gives_up && self.due < self.next && self.deadline_of(self.due) <= now {
            let frame = self.due;
            let is_key = self.sent[frame as usize];
            for part in 0..self.layout.cut(frame, is_key).parts() {
                let first = self.layout.seq(Part { frame, is_key, part, again: 0 });
                let all = (0..).map(|again| Part { frame, is_key, part, again });
                let was_sent =
                    |part: &Part| part.again == 0 || self.again.has(first + part.again * self.layout.sent_once());
                actions.extend(all.take_while(was_sent).map(|part| Action::Cancel(self.id(part))));
            }
            self.due += 1;
        }
    }

    fn answer(&mut self, question: MessageId, now: Duration, actions: &mut Vec<Action>) {
        match self.layout.asked(question.seq) {
            Some(Asked::Key(frame)) => self.is_lost(frame),
            Some(Asked::Whole { frame, again }) => {
                let Some(&is_key) = self.sent.get(frame as usize) else { return };
                for part in 0..self.layout.cut(frame, is_key).data {
                    self.send_again(Part { frame, is_key, part, again: again + 1 }, question, now, actions);
                }
            }
            Some(Asked::Part(part)) if self.sent.get(part.frame as usize) == Some(&part.is_key) => {
                self.send_again(Part { again: part.again + 1, ..part }, question, now, actions);
            }
            Some(Asked::Part(_)) | None => {}
        }
    }

    fn send_again(&mut self, part: Part, by: MessageId, now: Duration, actions: &mut Vec<Action>) {
        if now < self.deadline_of(part.frame) && self.again.insert(self.layout.seq(part)) {
            self.send(part, now, Some(by), actions);
        }
    }

    /// A frame is lost to the receiver: unless a key frame has followed, the next one is to be one.
    fn is_lost(&mut self, frame: u32) {
        if self.layout.asks_for_keys() && self.last_key.is_none_or(|key| key <= frame) {
            self.is_key_wanted = true;
        }
    }
}

impl Driver for Sender {
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        if self.is_done {
            return;
        }
        match event {
            Event::Delivered(question) if question.stream == self.stream => self.answer(question, now, actions),
            Event::Cancelled(id) | Event::Failed(id) => {
                if let Some(part) = self.layout.part(id.seq) {
                    self.is_lost(part.frame);
                }
            }
            Event::PeerFinished => self.is_last = true,
            Event::Start | Event::Timer | Event::Delivered(_) | Event::Recorded(_) => {}
        }
        self.release(now, actions);
        self.give_up(now, actions);
        let next = (self.next < self.layout.frames()).then(|| self.layout.at(self.next));
        let due = (self.gives_up && self.due < self.layout.frames()).then(|| self.deadline_of(self.due));
        match next.into_iter().chain(due).min() {
            Some(at) => actions.push(Action::WakeAt(at)),
            None if self.is_last => {
                self.is_done = true;
                actions.push(Action::Done);
            }
            None => {}
        }
    }
}
