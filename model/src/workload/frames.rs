//! Frames with a deadline: what `video-call` and `cloud-gaming` have in common.
//!
//! One end sends a frame at each tick of its clock, the other wants it whole, and everything that it refers to, before its deadline.
//! A frame refers to the one before it, so after one that is lost nothing can be decoded until the next **key frame**. On
//! transports that send again by themselves a frame is one message. On datagrams it is cut into packets, each a message of its
//! own, and [`Repair`] says what is done about those that are lost. What the player makes of it is computed from the
//! records of the messages, in [`crate::frames`].

mod layout;
mod numbers;
mod parameters;
mod receiver;
mod sender;

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use self::layout::{KEY_FACTOR, MOST_AGAIN, Shape};
use self::receiver::Receiver;
use self::sender::Sender;
use super::clocked::{Clocked, within};
use super::driver::{self, Driver};
use super::message::Class;
use super::mix::Mixed;
use super::spec::{MAX_DURATION, MAX_MESSAGES, MOST_WARMUP, Spec, warmup_both_ways};
use super::stream::StreamId;
use super::table::{Block, Lengths, Table};
use crate::arm::Arm;
use crate::link::{Direction, Link};
use crate::units::{BitRate, ByteCount, Duration, Probability};

pub use layout::{Cut, Layout, Part};
pub use parameters::{Key, Repair};

/// What asks for a packet or a key frame is as large as feedback of RTCP about one packet (RFC 4585, section 6.2.1).
const QUESTION: ByteCount = ByteCount::new(16);

/// What a datagram has beside a packet at most: headers of IPv6, UDP, QUIC and the lab.
const MOST_HEADERS: u64 = 120;

/// What tells one workload of frames from another: its name, and its defaults.
pub trait Kind: fmt::Debug + Clone + PartialEq + Send + Sync + 'static {
    /// Its name as typed.
    const NAME: &'static str;
    /// What it is.
    const WHAT: &'static str;
    /// The parameters that an experiment may vary.
    const AXES: &'static [&'static str];
    /// Frames a second.
    const FPS: u32;
    /// Mean rate.
    const RATE: BitRate;
    /// From the release of a frame.
    const DEADLINE: Duration;
    /// What goes the other way: size, and how many a second.
    const INPUT: Option<(ByteCount, u32)>;
}

/// Frames, one at each tick of a clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields, bound(serialize = "", deserialize = "K: Kind"))]
pub struct Frames<K> {
    /// Which way the frames go.
    pub direction: Direction,
    /// How long frames are sent.
    pub duration: Duration,
    /// Frames a second.
    pub fps: u32,
    /// Mean rate of the frames that are no key frames, in bits of payload.
    pub rate: BitRate,
    /// Scale of the Laplace distribution of their sizes, as a part of the mean (RFC 8593): 0 for all alike.
    pub spread: f64,
    /// When a frame is a key frame, which is 3.2 times as large.
    pub key: Key,
    /// Until when a frame is of use, from its release.
    pub deadline: Duration,
    /// Whether the sender gives up what has not left it at its deadline.
    pub give_up: bool,
    /// What is done about lost packets on datagrams.
    pub repair: Repair,
    /// Repair packets for each packet of a frame with `repair` fec; each frame has a whole number of them, at least one.
    pub parity: Probability,
    /// Size of the packets into which a frame is cut on datagrams; null where it is one message.
    pub packet: Option<ByteCount>,
    /// How long the receiver waits for what it has asked for, until it asks again. Absent: a round trip of the link, and 10 ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask_again: Option<Duration>,
    /// Size of a message of input, which goes the other way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<ByteCount>,
    /// Messages of input a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_per_second: Option<u32>,
    /// Bytes sent for warm-up in each direction, as for `messages`. Absent: the smaller of the link's two
    /// bandwidth-delay products.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<ByteCount>,
    /// Which workload it is.
    #[serde(skip)]
    pub kind: PhantomData<K>,
}

impl<K: Kind> Default for Frames<K> {
    fn default() -> Self {
        Frames {
            direction: Direction::Down,
            duration: Duration::from_secs(10),
            fps: K::FPS,
            rate: K::RATE,
            spread: 0.15,
            key: Key::OnLoss,
            deadline: K::DEADLINE,
            give_up: false,
            repair: Repair::None,
            parity: Probability::new(0.25).unwrap_or(Probability::ONE),
            packet: Some(ByteCount::new(1194)),
            ask_again: None,
            input: K::INPUT.map(|(size, _)| size),
            input_per_second: K::INPUT.map(|(_, rate)| rate),
            warmup: None,
            kind: PhantomData,
        }
    }
}

impl<K: Kind> Frames<K> {
    /// Number of frames.
    pub fn frames(&self) -> u32 {
        within(self.duration, self.fps)
    }

    /// The messages of its frames.
    pub fn layout(&self, seed: u64) -> Layout {
        let shape = Shape {
            frames: self.frames(),
            per_second: self.fps,
            mean: self.mean_size(),
            spread: self.spread,
            key: self.key,
            packet: self.packet.map(ByteCount::bytes),
            parity: if self.repair == Repair::Fec { self.parity.fraction() } else { 0.0 },
            resends: self.repair == Repair::Resend,
        };
        Layout::new(shape, self.direction, seed)
    }

    /// Mean size of a frame that is no key frame, in bytes.
    fn mean_size(&self) -> f64 {
        self.rate.bits_per_second() as f64 / 8.0 / f64::from(self.fps)
    }

    fn inputs(&self) -> u32 {
        self.input_per_second.map_or(0, |rate| within(self.duration, rate))
    }

    /// The stream of its input, among its own.
    pub const fn input_stream(&self) -> Option<StreamId> {
        if self.input.is_some() { Some(1) } else { None }
    }

    /// Messages of a frame of mean size, sent once.
    fn parts(&self) -> u64 {
        let data = self.packet.map_or(1.0, |packet| libm::ceil(self.mean_size() / packet.bytes().max(1) as f64));
        let parity = if self.repair == Repair::Fec { libm::ceil(data * self.parity.fraction()) } else { 0.0 };
        (data + parity) as u64
    }
}

impl<K: Kind> Spec for Frames<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn axes(&self) -> &'static [&'static str] {
        K::AXES
    }

    fn clear_rival_of(&mut self, _axis: &str) {}

    fn check(&self) -> Result<(), String> {
        let fail = |problem: String| Err(problem);
        if !(1..=1000).contains(&self.fps) {
            return fail(format!("`fps` is {}; it must lie between 1 and 1000", self.fps));
        }
        if self.frames() == 0 || self.duration > MAX_DURATION {
            return fail(format!(
                "`duration` is {}; it must hold at least one frame, and be at most 24h",
                self.duration
            ));
        }
        if !(1.0..=1e7).contains(&self.mean_size()) {
            let size = ByteCount::new(self.mean_size() as u64);
            return fail(format!("`rate` and `fps` make frames of {size}; they must lie between 1B and 10MB"));
        }
        if !(0.0..=1.0).contains(&self.spread) {
            return fail(format!("`spread` is {}; it must lie between 0 and 1", self.spread));
        }
        if let Key::Every(time) = self.key
            && within(time, self.fps) == 0
        {
            return fail(format!("`key` is every {time}; it must be at least the time of a frame"));
        }
        if self.deadline == Duration::ZERO || self.deadline > Duration::from_secs(60) {
            return fail(format!("`deadline` is {}; it must be more than 0ms and at most 60s", self.deadline));
        }
        if self.repair == Repair::Fec && self.parity.is_zero() {
            return fail("`parity` is 0%, which repairs nothing; give more, or set `repair` to none".into());
        }
        match self.packet {
            None if self.repair != Repair::None => {
                return fail(format!("`repair` is {}, which takes packets; set `packet` (as 1194B)", self.repair));
            }
            Some(packet) if !(16..=65_000).contains(&packet.bytes()) => {
                return fail(format!("`packet` is {packet}; it must lie between 16B and 65000B"));
            }
            _ => {}
        }
        if self.ask_again == Some(Duration::ZERO) {
            return fail("`ask-again` must be more than 0ms; leave it out for a round trip and 10ms".into());
        }
        match (K::INPUT, self.input, self.input_per_second) {
            (None, None, None) => {}
            (None, ..) => return fail(format!("a {} has no input; leave `input` out", K::WHAT)),
            (_, Some(size), Some(rate)) if (1..=65_000).contains(&size.bytes()) && (1..=10_000).contains(&rate) => {}
            _ => {
                return fail("`input` must lie between 1B and 65000B, `input-per-second` between 1 and 10000".into());
            }
        }
        // Those of a key frame instead of each, again, and what asks for them; before they are listed one by one.
        let times = if self.repair == Repair::Resend { 2 * (1 + u64::from(MOST_AGAIN)) } else { 1 };
        let both = (self.parts() as f64 * (1.0 + KEY_FACTOR)) as u64 + 2;
        let all = u64::from(self.frames()) * both * times + u64::from(self.inputs());
        if all > MAX_MESSAGES {
            return fail(format!("it makes up to {all} messages; at most {MAX_MESSAGES} fit one trial"));
        }
        Ok(())
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn streams(&self) -> u16 {
        if self.input.is_some() { 2 } else { 1 }
    }

    fn block(&self, _direction: Direction) -> Option<Block> {
        None
    }

    fn fill(&self, table: &mut Table) {
        let layout = self.layout(table.seed());
        let block = |per_stream, lengths| Some(Block { streams: 1, per_stream, class: Class::Latency, lengths });
        let is_outgoing = table.direction() == self.direction;
        table.add(
            1,
            match is_outgoing {
                true => block(layout.messages(), Lengths::Each(layout.sizes())),
                false => block(layout.questions(), Lengths::Fixed(QUESTION)),
            },
        );
        if let Some(size) = self.input {
            table.add(1, block(self.inputs(), Lengths::Fixed(size)).filter(|_| !is_outgoing));
        }
    }

    fn nominal_duration(&self) -> Option<Duration> {
        Some(self.duration)
    }

    fn patience(&self, rtt: Duration) -> Duration {
        self.deadline + rtt
    }

    fn total_bytes(&self) -> Option<ByteCount> {
        let parity = if self.repair == Repair::Fec { self.parity.fraction() } else { 0.0 };
        let frames = f64::from(self.frames()) * self.mean_size() * (1.0 + parity);
        let input = self.input.map_or(0, |size| size.bytes() * u64::from(self.inputs()));
        Some(ByteCount::new(frames as u64 + input))
    }

    fn warmup(&self) -> Option<ByteCount> {
        Some(self.warmup.unwrap_or(MOST_WARMUP))
    }

    fn settle_on(&mut self, link: &Link) {
        self.warmup.get_or_insert(warmup_both_ways(link));
        self.ask_again.get_or_insert(link.rtt() + Duration::from_millis(10));
    }

    fn settle_for(&mut self, arm: Arm) {
        if arm.is_reliable {
            (self.repair, self.packet) = (Repair::None, None);
        }
    }

    fn check_on(&self, arm: Arm, link: &Link) -> Result<(), String> {
        let on_the_way = link.direction(self.direction).delay;
        if self.deadline <= on_the_way {
            return Err(format!(
                "`deadline` is {}, and a frame takes {on_the_way} on the way: none can be in time, on any arm; give a later one, or \
                 a shorter `rtt`",
                self.deadline
            ));
        }
        let most = u64::from(link.mtu).saturating_sub(MOST_HEADERS);
        match self.packet {
            Some(packet) if !arm.is_reliable && packet.bytes() > most => {
                Err(format!("`packet` is {packet}; for an `mtu` of {} it may be {most}B at most", link.mtu))
            }
            _ => Ok(()),
        }
    }

    fn most_released_in(&self, direction: Direction, time: Duration) -> u64 {
        // Twice the mean, for key frames, and each part again.
        let again = if self.repair == Repair::Resend { 2 } else { 1 };
        let frames = (u64::from(within(time, self.fps)) + 2) * self.parts() * 2 * again;
        let inputs = self.input_per_second.map_or(0, |rate| u64::from(within(time, rate)) + 2);
        frames + if direction == self.direction { 0 } else { inputs }
    }

    fn driver(&self, outgoing: Table, _incoming: Table) -> Box<dyn Driver> {
        let first = outgoing.streams() - self.streams();
        let layout = self.layout(outgoing.seed());
        let is_asked = layout.questions() > 0;
        if outgoing.direction() == self.direction {
            return Box::new(Sender::new(layout, outgoing, first, self.deadline, self.give_up, is_asked));
        }
        let waits = self.ask_again.unwrap_or(Duration::from_millis(100));
        let resends = self.repair == Repair::Resend;
        let input = self.input_per_second.map(|rate| Clocked::new(outgoing.clone(), first + 1, rate));
        let receiver = is_asked.then(|| Receiver::new(layout, outgoing, first, self.deadline, waits, resends));
        match (receiver, input) {
            (None, None) => Box::new(driver::Receiver),
            (Some(receiver), None) => Box::new(receiver),
            (None, Some(input)) => Box::new(input),
            (Some(receiver), Some(input)) => {
                let parts: [(std::ops::Range<StreamId>, Box<dyn Driver>); 2] =
                    [(first..first + 1, Box::new(receiver)), (first + 1..first + 2, Box::new(input))];
                Box::new(Mixed::new(parts.into_iter()))
            }
        }
    }
}

impl<K: Kind> fmt::Display for Frames<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frames { duration, direction, rate, fps, deadline, .. } = self;
        write!(f, "{} of {duration} {direction}, {rate} in {fps} frames a second, deadline {deadline}", K::WHAT)?;
        match self.key {
            Key::OnLoss => write!(f, ", key frames on loss")?,
            Key::Every(time) => write!(f, ", key frames every {time}")?,
        }
        match self.repair {
            Repair::None => {}
            Repair::Resend => write!(f, ", lost packets sent again")?,
            Repair::Fec => write!(f, ", {} of repair packets", self.parity)?,
        }
        if self.give_up {
            write!(f, ", late frames given up")?;
        }
        if let (Some(size), Some(rate)) = (self.input, self.input_per_second) {
            write!(f, ", input of {size} {rate} times a second")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
