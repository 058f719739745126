//! `chat`: conversations, in which both ends release messages, none of which may be lost, and each in order.
//!
//! A conversation is a stream. Each end releases its messages as a Poisson process of its own, and a keep-alive of one
//! byte where it has released nothing for some time, so that nothing on the path forgets the connection. Keep-alives are
//! numbered behind all messages, so that they are told apart.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::arrivals::gap;
use super::draw;
use super::driver::{Action, Driver, Event};
use super::message::{Class, MessageId, Release};
use super::size::Size;
use super::spec::{MAX_MESSAGES, Spec, check_duration, check_rate, check_streams};
use super::stream::StreamId;
use super::table::{Block, Lengths, Table};
use crate::link::Direction;
use crate::units::{ByteCount, Duration};

/// Most messages a second, of a conversation and direction.
const MOST_PER_SECOND: f64 = 1_000.0;

/// Conversations between the two ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Chat {
    /// Number of conversations, a stream each.
    pub conversations: u16,
    /// Messages a second, of each conversation and direction.
    pub per_second: f64,
    /// Size of a message.
    pub size: Size,
    /// How long an end releases nothing in a conversation before it releases a keep-alive; absent, it releases none.
    pub keep_alive: Option<Duration>,
    /// Time for which messages are released.
    pub duration: Option<Duration>,
}

impl Default for Chat {
    fn default() -> Self {
        Chat {
            conversations: 8,
            per_second: 2.0,
            size: Size::Fixed(ByteCount::new(200)),
            keep_alive: None,
            duration: None,
        }
    }
}

impl Chat {
    fn lasts(&self) -> Duration {
        self.duration.unwrap_or_default()
    }

    /// Messages of a conversation and direction, in the mean.
    fn mean(&self) -> f64 {
        self.per_second * self.lasts().as_secs_f64()
    }

    /// Messages of a conversation and direction at most: six standard deviations and some above the mean, which is
    /// passed once in more than a hundred million.
    fn most_messages(&self) -> u32 {
        (self.mean() + 6.0 * libm::sqrt(self.mean()) + 10.0) as u32
    }

    /// Keep-alives of a conversation and direction at most.
    fn most_keep_alives(&self) -> u32 {
        let most = |every: Duration| self.lasts().as_nanos() / every.as_nanos().max(1);
        self.keep_alive.map_or(0, |every| u32::try_from(most(every)).unwrap_or(u32::MAX))
    }

    /// Whether a message of this number is a keep-alive.
    pub fn is_keep_alive(&self, seq: u32) -> bool {
        seq >= self.most_messages()
    }
}

impl Spec for Chat {
    fn name(&self) -> &'static str {
        "chat"
    }

    fn axes(&self) -> &'static [&'static str] {
        &["conversations", "per-second", "size", "keep-alive", "duration"]
    }

    fn clear_rival_of(&mut self, _axis: &str) {}

    fn check(&self) -> Result<(), String> {
        check_streams(self.conversations).map_err(|problem| problem.replace("`streams`", "`conversations`"))?;
        check_rate(self.per_second, MOST_PER_SECOND)?;
        self.size.check("size")?;
        if self.duration.is_none() {
            return Err("say for how long: set `duration`".into());
        }
        check_duration(self.duration)?;
        if self.keep_alive.is_some_and(|every| every < Duration::from_millis(1)) {
            return Err("`keep-alive` must be at least 1ms; leave it out for none".into());
        }
        let of_conversation = u64::from(self.most_messages()) + u64::from(self.most_keep_alives());
        let all = 2 * of_conversation * u64::from(self.conversations);
        if all > MAX_MESSAGES {
            return Err(format!("it makes up to {all} messages; at most {MAX_MESSAGES} fit one trial"));
        }
        Ok(())
    }

    fn direction(&self) -> Direction {
        Direction::Down
    }

    fn streams(&self) -> u16 {
        self.conversations
    }

    fn block(&self, _direction: Direction) -> Option<Block> {
        let lengths = Lengths::Drawn { size: self.size, sum_of: 1, one_byte_from: self.most_messages() };
        let per_stream = self.most_messages().saturating_add(self.most_keep_alives());
        Some(Block { streams: self.conversations, per_stream, class: Class::Latency, lengths })
    }

    fn nominal_duration(&self) -> Option<Duration> {
        self.duration
    }

    fn total_bytes(&self) -> Option<ByteCount> {
        Some(ByteCount::new((2.0 * self.mean() * f64::from(self.conversations) * self.size.mean()) as u64))
    }

    fn most_released_in(&self, direction: Direction, time: Duration) -> u64 {
        let keep_alives = self.keep_alive.map_or(0, |every| time.as_nanos() / every.as_nanos().max(1) + 1);
        // Twice as many as in the mean, for those that are drawn close together.
        let messages = (2.0 * self.per_second * time.as_secs_f64()).ceil() as u64;
        let all = (messages + keep_alives) * u64::from(self.conversations) + 16;
        all.min(self.block(direction).map_or(0, |block| block.len() as u64))
    }

    fn driver(&self, outgoing: Table, _incoming: Table) -> Box<dyn Driver> {
        let first = outgoing.streams() - self.conversations;
        Box::new(Sender::new(self.clone(), outgoing, first))
    }
}

impl fmt::Display for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, s) = (self.conversations, if self.conversations == 1 { "" } else { "s" });
        write!(f, "{n} conversation{s} for {}, each way Poisson {} a second", self.lasts(), self.per_second)?;
        write!(f, ", messages of {}", self.size)?;
        self.keep_alive.map_or(Ok(()), |every| write!(f, ", keep-alive after {every}"))
    }
}

/// What an end has released in a conversation, and when it releases the next message.
#[derive(Debug, Clone, Copy)]
struct Conversation {
    messages: u32,
    keep_alives: u32,
    /// The last release, a keep-alive's, too.
    last: Duration,
    next_message: Duration,
}

/// The driver of either end.
#[derive(Debug)]
struct Sender {
    spec: Chat,
    table: Table,
    first: StreamId,
    conversations: Vec<Conversation>,
    /// When each conversation has its next release.
    due: BinaryHeap<Reverse<(Duration, StreamId)>>,
    is_done: bool,
}

impl Sender {
    fn new(spec: Chat, table: Table, first: StreamId) -> Sender {
        let none = Conversation { messages: 0, keep_alives: 0, last: Duration::ZERO, next_message: Duration::ZERO };
        let conversations = vec![none; usize::from(spec.conversations)];
        let mut sender = Sender { spec, table, first, conversations, due: BinaryHeap::new(), is_done: false };
        for conversation in 0..sender.spec.conversations {
            sender.schedule(conversation, Duration::ZERO, 0);
        }
        sender
    }

    fn id(&self, conversation: StreamId, seq: u32) -> MessageId {
        MessageId { direction: self.table.direction(), stream: self.first + conversation, seq }
    }

    /// Draws when the message of this number is released, where the one before was at `at`.
    fn schedule(&mut self, conversation: StreamId, at: Duration, number: u32) {
        let bits = draw::bits(self.table.seed() ^ ARRIVAL, self.id(conversation, number));
        self.conversations[usize::from(conversation)].next_message = at + gap(self.spec.per_second, bits);
        self.wait(conversation);
    }

    /// Notes when the conversation has its next release, if it has one within the time.
    fn wait(&mut self, conversation: StreamId) {
        let Conversation { last, next_message, .. } = self.conversations[usize::from(conversation)];
        let keep_alive = self.spec.keep_alive.map(|every| last + every);
        let at = keep_alive.into_iter().fold(next_message, Ord::min);
        if at < self.spec.lasts() {
            self.due.push(Reverse((at, conversation)));
        }
    }

    /// Releases what a conversation has due: its next message, or a keep-alive.
    fn release(&mut self, conversation: StreamId, at: Duration, actions: &mut Vec<Action>) {
        let most = self.spec.most_messages();
        let state = &mut self.conversations[usize::from(conversation)];
        state.last = at;
        let is_message = state.next_message == at;
        let count = if is_message { &mut state.messages } else { &mut state.keep_alives };
        let number = *count;
        *count += 1;
        let id = self.id(conversation, if is_message { number } else { most + number });
        let is_known = !is_message || number < most;
        if let Some(length) = self.table.length(id.stream, id.seq).filter(|_| is_known) {
            actions.push(Action::Send(Release::by_the_clock(id, length, at)));
        }
        match is_message {
            true => self.schedule(conversation, at, number + 1),
            false => self.wait(conversation),
        }
    }
}

/// Sets the draws of releases apart from those of sizes.
const ARRIVAL: u64 = 0x6368_6174_7465_7221;

impl Driver for Sender {
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        if self.is_done || !matches!(event, Event::Start | Event::Timer) {
            return;
        }
        while let Some(Reverse((at, conversation))) = self.due.peek().copied() {
            if at > now {
                actions.push(Action::WakeAt(at));
                return;
            }
            self.due.pop();
            self.release(conversation, at, actions);
        }
        self.is_done = true;
        actions.push(Action::Done);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Workload;
    use super::super::simulation::{Network, Played, both_ends, properties};
    use super::*;
    use crate::conversations::Conversations;
    use proptest::prelude::*;

    properties!((1u16..12, 1u32..200, 1u64..5_000, proptest::option::of(50u64..3_000)).prop_map(
        |(conversations, tenths, duration, keep_alive)| {
            Workload::Chat(Chat {
                conversations,
                per_second: f64::from(tenths) / 10.0,
                duration: Some(Duration::from_millis(duration)),
                keep_alive: keep_alive.map(Duration::from_millis),
                ..Chat::default()
            })
        }
    ));

    fn play(chat: &Chat, network: Network) -> Played {
        let workload = Workload::Chat(chat.clone());
        workload.check().unwrap();
        both_ends(&workload, 11, network)
    }

    #[test]
    fn both_ends_release_at_the_rate() {
        let chat = Chat { duration: Some(Duration::from_secs(300)), ..Chat::default() };
        let played = play(&chat, Network::default());
        for way in Direction::BOTH {
            let n = played.released.iter().filter(|(_, release)| release.id.direction == way).count() as f64;
            let expected = 8.0 * 2.0 * 300.0_f64;
            assert!((n - expected).abs() < 3.9 * expected.sqrt(), "{n} {way}, not {expected}");
        }
        let figures = Conversations::of(&chat, 0..8, &played.records());
        assert_eq!(figures.released as usize, played.released.len());
        assert_eq!((figures.delays.len(), figures.out_of_order), (played.released.len(), 0));
    }

    #[test]
    fn a_keep_alive_follows_each_silence() {
        let every = Duration::from_secs(1);
        let duration = Some(Duration::from_secs(200));
        let chat = Chat { conversations: 3, per_second: 0.5, keep_alive: Some(every), duration, ..Chat::default() };
        let played = play(&chat, Network::default());
        let (mut messages, mut keep_alives) = (0, 0);
        for (way, stream) in Direction::BOTH.into_iter().flat_map(|way| [0, 1, 2].map(|stream| (way, stream))) {
            let own = |(_, release): &&(Duration, Release)| (release.id.direction, release.id.stream) == (way, stream);
            let all: Vec<&Release> = played.released.iter().filter(own).map(|(_, release)| release).collect();
            for pair in all.windows(2) {
                let silence = pair[1].at - pair[0].at;
                assert!(silence <= every, "nothing for {silence}");
                assert!(!chat.is_keep_alive(pair[1].id.seq) || silence == every, "too early, after {silence}");
            }
            let count = all.iter().filter(|release| chat.is_keep_alive(release.id.seq)).count();
            (messages, keep_alives) = (messages + all.len() - count, keep_alives + count);
        }
        // Of an exponential time, e^(-λT) / (1 - e^(-λT)) whole seconds before each message.
        let expected = messages as f64 * (-0.5_f64).exp() / (1.0 - (-0.5_f64).exp());
        assert!((keep_alives as f64 / expected - 1.0).abs() < 0.2, "{keep_alives} keep-alives, not {expected}");
        let figures = Conversations::of(&chat, 0..3, &played.records());
        assert_eq!((figures.released, figures.keep_alives), (messages as u32, keep_alives as u32), "counted apart");
    }

    #[test]
    fn keep_alives_end_with_the_time() {
        let (every, duration) = (Duration::from_secs(1), Some(Duration::from_secs(5)));
        let chat = Chat { conversations: 1, per_second: 1e-9, keep_alive: Some(every), duration, ..Chat::default() };
        let played = play(&chat, Network::default());
        let most = chat.most_messages();
        for way in Direction::BOTH {
            let own = played.released.iter().map(|(_, release)| release).filter(|one| one.id.direction == way);
            let told: Vec<_> = own.map(|one| (one.at.as_nanos() / 1_000_000_000, one.id.seq)).collect();
            assert_eq!(told, [(1, most), (2, most + 1), (3, most + 2), (4, most + 3)], "at 5 s it is over");
        }
    }

    #[test]
    fn what_is_lost_is_missing_and_no_later() {
        let chat = Chat { duration: Some(Duration::from_secs(100)), ..Chat::default() };
        let network = Network { lost: 26, jitter: Duration::from_millis(400), ..Network::default() };
        let figures = Conversations::of(&chat, 0..8, &play(&chat, network).records());
        let (n, p) = (f64::from(figures.released), 26.0 / 256.0);
        let lost = n - figures.delays.len() as f64;
        assert!((lost - n * p).abs() < 3.9 * (n * p * (1.0 - p)).sqrt(), "{lost} of {n}");
        assert!(figures.out_of_order > 0 && figures.delays.iter().all(|delay| *delay <= 430_000_000));
    }

    #[test]
    fn impossible_parameters_are_named_with_the_remedy() {
        let some = Chat { duration: Some(Duration::from_secs(1)), ..Chat::default() };
        let bad = [
            (Chat::default(), "set `duration`"),
            (Chat { conversations: 0, ..some.clone() }, "`conversations` is 0"),
            (Chat { per_second: f64::INFINITY, ..some.clone() }, "`per-second` is inf"),
            (Chat { keep_alive: Some(Duration::ZERO), ..some.clone() }, "`keep-alive` must be at least"),
            (Chat { size: Size::Fixed(ByteCount::ZERO), ..some.clone() }, "`size` must lie"),
            (
                Chat { conversations: 4096, per_second: 1_000.0, duration: Some(Duration::from_secs(60)), ..some },
                "fit one",
            ),
        ];
        for (chat, remedy) in bad {
            let said = Workload::Chat(chat).check().unwrap_err().to_string();
            assert!(said.contains(remedy), "{said}");
        }
    }
}
