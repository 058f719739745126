//! The end that receives frames: it notices which packets are missing, and asks for them, or for a key frame.
//!
//! It knows when each frame was released, so it knows what is late. A packet is **missing** once a later one has come; where
//! nothing is repaired, its frame is **lost** then, else at its deadline. After a frame was lost those that follow cannot be
//! decoded until the next key frame, for which it asks at once, and again while none has come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::super::driver::{Action, Driver, Event};
use super::super::message::{MessageId, Release};
use super::super::stream::StreamId;
use super::super::table::Table;
use super::layout::{Asked, Layout, MOST_AGAIN, Part};
use super::numbers::Numbers;
use crate::units::Duration;

/// What has come of a frame.
#[derive(Debug, Clone, Default)]
struct Incoming {
    /// Whether it is a key frame, once something has come.
    is_key: Option<bool>,
    parts: Numbers,
    count: u32,
    /// The parts below this have come, or were asked for.
    looked_at: u32,
    is_whole: bool,
}

/// The driver of the receiving end.
#[derive(Debug)]
pub(super) struct Receiver {
    layout: Layout,
    /// Of its questions.
    table: Table,
    stream: StreamId,
    deadline: Duration,
    /// How long it waits for what it has asked for.
    patience: Duration,
    /// Whether it asks for packets.
    asks_for_packets: bool,
    frames: Vec<Incoming>,
    /// The frames below this were whole, or looked at, as a later one came.
    passed: u32,
    /// The next frame whose deadline comes.
    due: u32,
    /// The last that was lost, and the last key frame that is whole.
    lost: Option<u32>,
    last_key: Option<u32>,
    /// When it last asked for a key frame.
    asked_for_key: Option<Duration>,
    /// What it asks again, and when.
    pending: BinaryHeap<Reverse<(Duration, Asked)>>,
    /// Questions that it has asked.
    asked: Numbers,
    /// The message by whose delivery it notices something now.
    cause: Option<MessageId>,
    is_done: bool,
}

impl Receiver {
    /// Receives the frames of the layout on `stream`, and asks by messages of `table`.
    pub(super) fn new(
        layout: Layout,
        table: Table,
        stream: StreamId,
        deadline: Duration,
        patience: Duration,
        asks_for_packets: bool,
    ) -> Receiver {
        Receiver {
            frames: vec![Incoming::default(); layout.frames() as usize],
            layout,
            table,
            stream,
            deadline,
            patience,
            asks_for_packets,
            passed: 0,
            due: 0,
            lost: None,
            last_key: None,
            asked_for_key: None,
            pending: BinaryHeap::new(),
            asked: Numbers::default(),
            cause: None,
            is_done: false,
        }
    }

    fn deadline_of(&self, frame: u32) -> Duration {
        self.layout.at(frame) + self.deadline
    }

    /// Asks, unless it has asked just that.
    fn ask(&mut self, asked: Asked, now: Duration, actions: &mut Vec<Action>) {
        let seq = self.layout.question(asked);
        if self.asked.insert(seq) {
            let id = MessageId { direction: self.table.direction(), stream: self.stream, seq };
            let length = self.table.length(id.stream, id.seq).expect("the table has every question");
            actions.push(Action::Send(Release { by: self.cause, ..Release::by_the_clock(id, length, now) }));
        }
    }

    fn come(&mut self, part: Part, now: Duration, actions: &mut Vec<Action>) {
        let cut = self.layout.cut(part.frame, part.is_key);
        let frame = &mut self.frames[part.frame as usize];
        if !frame.parts.insert(part.part) {
            return;
        }
        frame.is_key = Some(part.is_key);
        frame.count += 1;
        if !frame.is_whole && frame.count >= cut.data {
            frame.is_whole = true;
            if part.is_key {
                self.last_key = self.last_key.max(Some(part.frame));
            }
        }
        if self.layout.is_cut() {
            for before in self.passed..part.frame {
                self.pass(before, now, actions);
            }
            self.passed = self.passed.max(part.frame);
            if part.again == 0 {
                self.look_back(part.frame, part.part, now, actions);
            }
        }
    }

    /// A packet of a later frame has come.
    fn pass(&mut self, frame: u32, now: Duration, actions: &mut Vec<Action>) {
        let Incoming { is_key, is_whole, .. } = self.frames[frame as usize];
        match is_key {
            _ if is_whole => {}
            _ if !self.asks_for_packets => self.lose(frame, now, actions),
            Some(is_key) => self.look_back(frame, self.layout.cut(frame, is_key).data, now, actions),
            None => self.ask_for(Asked::Whole { frame, again: 0 }, now, actions),
        }
    }

    /// Asks for what has not come of the parts below this one, the first time that it is looked for.
    fn look_back(&mut self, frame: u32, part: u32, now: Duration, actions: &mut Vec<Action>) {
        let looked_at = self.frames[frame as usize].looked_at;
        self.frames[frame as usize].looked_at = looked_at.max(part + 1);
        for before in looked_at..part {
            self.ask_for_part(frame, before, 0, now, actions);
        }
    }

    fn ask_for_part(&mut self, frame: u32, part: u32, again: u32, now: Duration, actions: &mut Vec<Action>) {
        let Incoming { is_key: Some(is_key), ref parts, .. } = self.frames[frame as usize] else { return };
        if self.asks_for_packets && !parts.has(part) {
            self.ask_for(Asked::Part(Part { frame, is_key, part, again }), now, actions);
        }
    }

    /// Asks for packets, and again after a while, as long as they may come in time.
    fn ask_for(&mut self, asked: Asked, now: Duration, actions: &mut Vec<Action>) {
        let (frame, again) = match asked {
            Asked::Key(_) => return,
            Asked::Whole { frame, again } | Asked::Part(Part { frame, again, .. }) => (frame, again),
        };
        if self.frames[frame as usize].is_whole || now >= self.deadline_of(frame) {
            return;
        }
        self.ask(asked, now, actions);
        if again + 1 < MOST_AGAIN {
            self.pending.push(Reverse((now + self.patience, asked)));
        }
    }

    /// Asks again for what has not come meanwhile.
    fn ask_again(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while let Some(Reverse((at, asked))) = self.pending.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.pending.pop();
            match asked {
                Asked::Key(_) => {}
                Asked::Part(Part { frame, part, again, .. }) => self.ask_for_part(frame, part, again + 1, at, actions),
                Asked::Whole { frame, again } => match self.frames[frame as usize].is_key {
                    None => self.ask_for(Asked::Whole { frame, again: again + 1 }, at, actions),
                    Some(is_key) => {
                        for part in 0..self.layout.cut(frame, is_key).data {
                            self.ask_for_part(frame, part, again + 1, at, actions);
                        }
                    }
                },
            }
        }
    }

    /// Whether what comes cannot be decoded.
    fn is_broken(&self) -> bool {
        self.lost.is_some_and(|lost| self.last_key.is_none_or(|key| key < lost))
    }

    /// A frame will not be shown in time.
    fn lose(&mut self, frame: u32, now: Duration, actions: &mut Vec<Action>) {
        if !self.is_broken() {
            self.asked_for_key = None;
        }
        self.lost = self.lost.max(Some(frame));
        self.ask_for_key(frame, now, actions);
    }

    fn ask_for_key(&mut self, frame: u32, now: Duration, actions: &mut Vec<Action>) {
        let is_early = self.asked_for_key.is_some_and(|asked| now < asked + self.patience);
        if self.layout.asks_for_keys() && self.is_broken() && !is_early {
            self.asked_for_key = Some(now);
            self.ask(Asked::Key(frame), now, actions);
        }
    }

    /// Looks at the frames whose deadline has come.
    fn expire(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while self.due < self.layout.frames() && self.deadline_of(self.due) <= now {
            let frame = self.due;
            self.due += 1;
            match self.frames[frame as usize].is_whole {
                false => self.lose(frame, now, actions),
                // It came, but nobody could decode it.
                true => self.ask_for_key(frame, now, actions),
            }
        }
    }
}

impl Driver for Receiver {
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        if self.is_done {
            return;
        }
        if let Event::Delivered(id) = event
            && id.stream == self.stream
            && let Some(part) = self.layout.part(id.seq)
        {
            self.cause = Some(id);
            self.come(part, now, actions);
            self.cause = None;
        }
        self.ask_again(now, actions);
        self.expire(now, actions);
        if self.due == self.layout.frames() {
            self.is_done = true;
            actions.push(Action::Done);
            return;
        }
        let again = self.pending.peek().map(|Reverse((at, _))| *at);
        actions.push(Action::WakeAt(again.into_iter().fold(self.deadline_of(self.due), Duration::min)));
    }
}
