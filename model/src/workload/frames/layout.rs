//! The messages of frames, and of what their receiver asks for: what both ends derive from spec and seed.
//!
//! A frame is one message, or it is cut into packets, which are a message each. Whether it is a key frame may be decided only as
//! it is sent, so each frame has the messages of both **versions**, of which those of one are released. A message carries
//! nothing that was decided meanwhile: what the receiver asks for is told by the number of the message that asks.

use std::sync::Arc;

use super::super::clocked::nth;
use super::super::draw;
use super::super::message::MessageId;
use super::parameters::Key;
use crate::link::Direction;
use crate::units::Duration;

/// How often a packet is sent again at most.
pub(super) const MOST_AGAIN: u32 = 3;

/// How much larger a key frame is (RFC 8593: the first frame).
pub(super) const KEY_FACTOR: f64 = 3.2;

/// Sizes vary by at most so much of their mean, either way, so that the mean holds.
const MOST_DEVIATION: f64 = 0.9;

/// What the layout follows from, beside the seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    pub(super) frames: u32,
    pub(super) per_second: u32,
    /// Mean size of a frame that is no key frame, in bytes.
    pub(super) mean: f64,
    /// Scale of the Laplace distribution of sizes, as a part of the mean.
    pub(super) spread: f64,
    pub(super) key: Key,
    /// Most bytes of a packet; `None` where a frame is one message.
    pub(super) packet: Option<u64>,
    /// Repair packets for each packet of a frame.
    pub(super) parity: f64,
    /// Whether packets are sent again.
    pub(super) resends: bool,
}

/// One version of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Number of its first message.
    first: u32,
    bytes: u32,
    /// Messages that make it whole.
    pub data: u32,
    /// Repair packets.
    pub parity: u32,
}

/// A message of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Which frame, from 0.
    pub frame: u32,
    /// Whether it is of the frame as a key frame.
    pub is_key: bool,
    /// Which part of it; those from [`Cut::data`] on are for repair.
    pub part: u32,
    /// How often it was sent before.
    pub again: u32,
}

/// What a receiver asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asked {
    /// A key frame: this frame was lost, or could not be decoded.
    Key(u32),
    /// All packets of a frame of which none came.
    Whole { frame: u32, again: u32 },
    /// A packet.
    Part(Part),
}

/// The messages of every frame, and of everything that may be asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    shape: Shape,
    /// Of each frame, as it is otherwise and as a key frame, where it may be that.
    frames: Vec<[Option<Cut>; 2]>,
    /// How large each message is that is sent for the first time.
    sizes: Arc<[u32]>,
}

impl Layout {
    pub(super) fn new(shape: Shape, direction: Direction, seed: u64) -> Layout {
        let (mut frames, mut sizes) = (Vec::with_capacity(shape.frames as usize), Vec::new());
        for n in 0..shape.frames {
            let bytes = shape.mean * (1.0 + deviation(shape.spread, seed, direction, n));
            let mut cut = |bytes: f64| {
                let first = sizes.len() as u32;
                let bytes = libm::round(bytes).clamp(1.0, f64::from(u32::MAX / 2)) as u64;
                let packet = shape.packet.unwrap_or(bytes).min(bytes);
                let data = bytes.div_ceil(packet) as u32;
                let parity = libm::ceil(f64::from(data) * shape.parity) as u32;
                sizes.extend((0..data).map(|part| (bytes - u64::from(part) * packet).min(packet) as u32));
                sizes.extend((0..parity).map(|_| packet as u32));
                Cut { first, bytes: bytes as u32, data, parity }
            };
            let may_be_key = [false, true].map(|is_key| match shape.key {
                _ if n == 0 => is_key,
                Key::OnLoss => true,
                Key::Every(_) => is_key == shape.is_key_by_the_clock(n),
            });
            let plain = may_be_key[0].then(|| cut(bytes));
            frames.push([plain, may_be_key[1].then(|| cut(bytes * KEY_FACTOR))]);
        }
        Layout { shape, frames, sizes: sizes.into() }
    }

    /// Number of frames.
    pub fn frames(&self) -> u32 {
        self.shape.frames
    }

    /// When a frame is released.
    pub fn at(&self, frame: u32) -> Duration {
        nth(frame, self.shape.per_second)
    }

    /// Whether frames are cut into packets.
    pub(super) const fn is_cut(&self) -> bool {
        self.shape.packet.is_some()
    }

    /// Whether the receiver asks for key frames.
    pub(super) fn asks_for_keys(&self) -> bool {
        self.shape.key == Key::OnLoss
    }

    /// Whether a frame is a key frame where nobody asked for one.
    pub(super) fn is_key(&self, frame: u32) -> bool {
        self.frames[frame as usize][0].is_none()
    }

    /// A version of a frame.
    ///
    /// # Panics
    /// Where the frame is never sent so.
    pub fn cut(&self, frame: u32, is_key: bool) -> Cut {
        self.frames[frame as usize][usize::from(is_key)].expect("only versions that may be sent are asked for")
    }

    /// How large each message is, in the order of their numbers; those that are sent again follow, in the same order.
    pub(super) fn sizes(&self) -> Arc<[u32]> {
        self.sizes.clone()
    }

    /// Number of messages that are sent for the first time: so much larger is the number of one that is sent again.
    pub(super) fn sent_once(&self) -> u32 {
        self.sizes.len() as u32
    }

    /// Number of messages.
    pub(super) fn messages(&self) -> u32 {
        self.sent_once().saturating_mul(if self.shape.resends { 1 + MOST_AGAIN } else { 1 })
    }

    /// Number of a message.
    pub(super) fn seq(&self, part: Part) -> u32 {
        part.again * self.sent_once() + self.cut(part.frame, part.is_key).first + part.part
    }

    /// Which message has this number; `None` where there is none.
    pub fn part(&self, seq: u32) -> Option<Part> {
        if seq >= self.messages() {
            return None;
        }
        let (again, place) = (seq / self.sent_once(), seq % self.sent_once());
        let first = |versions: &[Option<Cut>; 2]| versions.iter().flatten().next().map_or(0, |cut| cut.first);
        let frame = self.frames.partition_point(|versions| first(versions) <= place).checked_sub(1)?;
        let is_key = self.frames[frame][1].is_some_and(|cut| cut.first <= place);
        let part = place - self.frames[frame][usize::from(is_key)]?.first;
        Some(Part { frame: frame as u32, is_key, part, again })
    }

    /// Number of messages that ask.
    pub(super) fn questions(&self) -> u32 {
        let of_packets = (self.frames() + self.sent_once()).saturating_mul(MOST_AGAIN);
        self.key_questions() + if self.shape.resends { of_packets } else { 0 }
    }

    fn key_questions(&self) -> u32 {
        if self.asks_for_keys() { self.frames() } else { 0 }
    }

    /// Number of the message that asks this.
    pub(super) fn question(&self, asked: Asked) -> u32 {
        let in_one = self.frames() + self.sent_once();
        match asked {
            Asked::Key(frame) => frame,
            Asked::Whole { frame, again } => self.key_questions() + again * in_one + frame,
            Asked::Part(part) => {
                self.key_questions() + part.again * in_one + self.frames() + self.seq(Part { again: 0, ..part })
            }
        }
    }

    /// What the message of this number asks.
    pub(super) fn asked(&self, seq: u32) -> Option<Asked> {
        let Some(of_packets) = seq.checked_sub(self.key_questions()) else { return Some(Asked::Key(seq)) };
        let in_one = self.frames() + self.sent_once();
        let (again, place) = (of_packets / in_one, of_packets % in_one);
        if seq >= self.questions() {
            return None;
        }
        Some(match place.checked_sub(self.frames()) {
            None => Asked::Whole { frame: place, again },
            Some(place) => Asked::Part(Part { again, ..self.part(place)? }),
        })
    }
}

impl Cut {
    /// Its bytes, those for repair apart.
    pub const fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Its messages.
    pub(super) const fn parts(&self) -> u32 {
        self.data + self.parity
    }
}

impl Shape {
    fn is_key_by_the_clock(&self, frame: u32) -> bool {
        let Key::Every(time) = self.key else { return false };
        let period = libm::round(time.as_secs_f64() * f64::from(self.per_second)).max(1.0);
        (f64::from(frame) % period) < 0.5
    }
}

/// By how much of the mean a frame is larger: from a Laplace distribution around 0 (RFC 8593, section 5.1).
fn deviation(scale: f64, seed: u64, direction: Direction, frame: u32) -> f64 {
    let unit = draw::unit(draw::bits(seed ^ SIZES, MessageId { direction, stream: 0, seq: frame })) - 0.5;
    let size = -scale * libm::log(1.0 - 2.0 * unit.abs());
    size.copysign(unit).clamp(-MOST_DEVIATION, MOST_DEVIATION)
}

/// Sets the draws of sizes apart from others.
const SIZES: u64 = 0x6672_616d_6573_697a;

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape {
            frames: 300,
            per_second: 30,
            mean: 6250.0,
            spread: 0.15,
            key: Key::OnLoss,
            packet: Some(1194),
            parity: 0.0,
            resends: true,
        }
    }

    #[test]
    fn every_message_and_question_has_its_number() {
        for key in [Key::OnLoss, Key::Every(Duration::from_secs(2))] {
            for (packet, parity, resends) in [(Some(1194), 0.0, true), (Some(1194), 0.3, false), (None, 0.0, false)] {
                let layout = Layout::new(Shape { key, packet, parity, resends, ..shape() }, Direction::Down, 1);
                for seq in 0..layout.messages() {
                    let part = layout.part(seq).unwrap();
                    assert_eq!(layout.seq(part), seq);
                    assert!(part.part < layout.cut(part.frame, part.is_key).parts());
                }
                assert_eq!(layout.part(layout.messages()), None);
                for seq in 0..layout.questions() {
                    assert_eq!(layout.question(layout.asked(seq).unwrap()), seq, "{key} {seq}");
                }
                assert_eq!(layout.asked(layout.questions()), None);
            }
        }
    }

    #[test]
    fn frames_have_the_sizes_asked() {
        let shape = Shape { frames: 20_000, packet: None, resends: false, ..shape() };
        let layout = Layout::new(shape, Direction::Down, 3);
        assert!(layout.is_key(0) && !layout.is_key(1));
        let sizes: Vec<f64> = (1..20_000).map(|n| f64::from(layout.cut(n, false).bytes()) / 6250.0).collect();
        let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
        let deviation = sizes.iter().map(|size| (size - 1.0).abs()).sum::<f64>() / sizes.len() as f64;
        // The mean absolute deviation of a Laplace distribution is its scale.
        assert!((mean - 1.0).abs() < 0.006 && (deviation - 0.15).abs() < 0.005, "{mean} ± {deviation}");
        let key = layout.cut(9, true).bytes() as f64 / f64::from(layout.cut(9, false).bytes());
        assert!((key - 3.2).abs() < 1e-3, "{key}");
    }

    #[test]
    fn packets_add_up_to_the_frame() {
        let layout = Layout::new(Shape { parity: 0.2, resends: false, spread: 0.0, ..shape() }, Direction::Down, 3);
        let Cut { first, bytes, data, parity } = layout.cut(7, false);
        assert_eq!((bytes, data, parity), (6250, 6, 2));
        let sizes = &layout.sizes()[first as usize..(first + 8) as usize];
        assert_eq!(sizes, [1194, 1194, 1194, 1194, 1194, 280, 1194, 1194]);
        // A frame of one small packet is repaired by one as small.
        let small = Layout::new(Shape { mean: 100.0, parity: 0.2, spread: 0.0, ..shape() }, Direction::Down, 3);
        let Cut { first, .. } = small.cut(7, false);
        assert_eq!(small.sizes()[first as usize..first as usize + 2], [100, 100]);
    }

    #[test]
    fn key_frames_come_by_the_clock() {
        let every = Shape { key: Key::Every(Duration::from_secs(2)), ..shape() };
        let layout = Layout::new(every, Direction::Down, 3);
        let keys: Vec<u32> = (0..300).filter(|n| layout.is_key(*n)).collect();
        assert_eq!(keys, [0, 60, 120, 180, 240]);
    }
}
