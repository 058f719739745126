//! What a player made of frames, from the records of their messages.
//!
//! A frame is **whole** once as many of its packets have come as it has without those for repair, whichever they are. It is
//! **decoded** as soon as it is whole and the one before it is decoded, a key frame as soon as it is whole; the picture is shown
//! then, at once. What is decoded after its deadline is **late**, what is never whole is **missing**, and the others are
//! **undecodable**: they came, and nothing could be made of them.

use std::collections::BTreeMap;

use crate::Workload;
use crate::link::Direction;
use crate::record::{Instant, MessageRecord};
use crate::units::Duration;
use crate::workload::{Frames, Kind, Layout, Part, StreamId};

/// The frames of a trial.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pictures {
    /// Frames that were released.
    pub released: u32,
    /// Those that were whole within their deadline, whether or not they could be decoded.
    pub whole: u32,
    /// Those that were decoded within their deadline.
    pub in_time: u32,
    /// Those that were decoded later.
    pub late: u32,
    /// Those that were never whole.
    pub missing: u32,
    /// Those that were whole, and could not be decoded.
    pub undecodable: u32,
    /// Those of which the sender gave something up.
    pub given_up: u32,
    /// Key frames after the first.
    pub key_frames: u32,
    /// From the release of each frame that was decoded until then, in nanoseconds.
    pub delays: Vec<i64>,
    /// The longest time without a new picture, in nanoseconds: from when the first could be there until the last could.
    pub longest_freeze: i64,
    /// Bytes of packets for repair, and of those that were sent again.
    pub repair_bytes: u64,
    /// Delays of what went the other way, in nanoseconds, and how much of it there was.
    pub input_delays: Vec<i64>,
    /// Messages of input that were released.
    pub inputs: u32,
}

/// How the frames of a workload lie on its messages.
#[derive(Debug)]
struct Source {
    layout: Layout,
    direction: Direction,
    deadline: Duration,
    input: Option<StreamId>,
}

impl Source {
    fn of(workload: &Workload, seed: u64) -> Option<Source> {
        match workload {
            Workload::VideoCall(call) => Some(Source::of_frames(call, seed)),
            Workload::CloudGaming(game) => Some(Source::of_frames(game, seed)),
            _ => None,
        }
    }

    fn of_frames<K: Kind>(frames: &Frames<K>, seed: u64) -> Source {
        Source {
            layout: frames.layout(seed),
            direction: frames.direction,
            deadline: frames.deadline,
            input: frames.input_stream(),
        }
    }
}

/// What became of a frame.
#[derive(Debug, Default)]
struct Frame {
    is_key: bool,
    released: Instant,
    /// When each of its packets came first.
    came: BTreeMap<u32, Instant>,
    given_up: bool,
}

impl Pictures {
    /// Those of the workload that is scored; `None` where it has no frames.
    pub fn of(workload: &Workload, seed: u64, messages: &[MessageRecord]) -> Option<Pictures> {
        let source = Source::of(workload.scored(), seed)?;
        let first = workload.scored_streams().start;
        let mut pictures = Pictures::default();
        let mut frames: BTreeMap<u32, Frame> = BTreeMap::new();
        for message in messages {
            if message.direction == source.direction && message.stream == first {
                let Some(part) = source.layout.part(message.seq) else { continue };
                pictures.repair_bytes += if message.attempt > 1 { message.size } else { 0 };
                note(frames.entry(part.frame).or_default(), part, message);
            } else if message.direction != source.direction && source.input.is_some_and(|n| message.stream == first + n)
            {
                pictures.inputs += 1;
                pictures.input_delays.extend(message.delivered.map(|at| at - message.released));
            }
        }
        pictures.count(&source, &frames);
        Some(pictures)
    }

    fn count(&mut self, source: &Source, frames: &BTreeMap<u32, Frame>) {
        let deadline = source.deadline.as_nanos() as i64;
        let mut shown = Vec::new();
        // When the frame before was decoded; that before the first needs not be.
        let mut before: Option<(u32, Instant)> = None;
        for (&n, frame) in frames {
            let whole = whole_at(frame, source.layout.cut(n, frame.is_key).data);
            let in_time = |at: &Instant| *at - frame.released <= deadline;
            let reference = before.filter(|(last, _)| last + 1 == n).map(|(_, at)| at);
            let decoded = match frame.is_key {
                true => whole,
                false => whole.zip(reference).map(|(whole, reference)| whole.max(reference)),
            };
            self.released += 1;
            self.key_frames += u32::from(frame.is_key && n > 0);
            self.given_up += u32::from(frame.given_up);
            self.whole += u32::from(whole.as_ref().is_some_and(in_time));
            match (whole, decoded) {
                (None, _) => self.missing += 1,
                (Some(_), None) => self.undecodable += 1,
                (Some(_), Some(at)) if in_time(&at) => self.in_time += 1,
                (Some(_), Some(_)) => self.late += 1,
            }
            if let Some(at) = decoded {
                self.delays.push(at - frame.released);
                shown.push(at);
                before = Some((n, at));
            }
        }
        let least = self.delays.iter().min().copied().unwrap_or(0);
        let last = frames.values().map(|frame| frame.released).max().unwrap_or(0);
        let end = shown.iter().copied().fold(last + least, i64::max);
        shown.extend([least, end]);
        shown.sort_unstable();
        self.longest_freeze = shown.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    }
}

fn note(frame: &mut Frame, part: Part, message: &MessageRecord) {
    frame.is_key = part.is_key;
    frame.given_up |= message.cancelled.is_some();
    if part.again == 0 {
        frame.released = message.released;
    }
    if let Some(at) = message.delivered {
        frame.came.entry(part.part).and_modify(|first| *first = at.min(*first)).or_insert(at);
    }
}

/// When so many of a frame's packets had come.
fn whole_at(frame: &Frame, needed: u32) -> Option<Instant> {
    let mut came: Vec<Instant> = frame.came.values().copied().collect();
    came.sort_unstable();
    came.get(needed as usize - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ByteCount;
    use crate::workload::{Key, Repair, VideoCall};

    const MS: i64 = 1_000_000;

    /// 10 frames a second of two packets each, key frames of seven.
    fn call(repair: Repair) -> VideoCall {
        VideoCall {
            fps: 10,
            duration: Duration::from_millis(800),
            rate: crate::units::BitRate::new(160_000),
            spread: 0.0,
            packet: Some(ByteCount::new(1000)),
            repair,
            ..VideoCall::default()
        }
    }

    /// Packets that came: which, how often it was sent before, and how many milliseconds after the frame's release.
    type Came<'a> = &'a [(u32, u32, i64)];

    /// The messages of frames, by whether each is a key frame.
    fn records(call: &VideoCall, frames: &[(bool, Came<'_>)]) -> Vec<MessageRecord> {
        let workload = Workload::VideoCall(call.clone());
        workload.check().unwrap();
        let (layout, table) = (call.layout(1), workload.table(call.direction, 1));
        let mut messages = Vec::new();
        for (n, (is_key, came)) in frames.iter().enumerate() {
            let frame = n as u32;
            let cut = layout.cut(frame, *is_key);
            let mut add = |part, again, delay: Option<i64>| {
                let seq = (0..table.len() as u32)
                    .find(|seq| layout.part(*seq) == Some(Part { frame, is_key: *is_key, part, again }))
                    .unwrap();
                let released = layout.at(frame).as_nanos() as i64;
                messages.push(MessageRecord {
                    flow: 0,
                    direction: call.direction,
                    stream: 0,
                    seq,
                    size: table.length(0, seq).and_then(|length| length.bytes()).unwrap().bytes(),
                    released: if again == 0 { released } else { released + 90 * MS },
                    released_by: None,
                    deadline: Some(released + 150 * MS),
                    attempt: 1 + again + u32::from(part >= cut.data),
                    cancelled: None,
                    sent: Some(released),
                    delivered: delay.map(|delay| released + delay * MS),
                    received: 0,
                    coded: None,
                });
            };
            for part in 0..cut.data + cut.parity {
                add(part, 0, came.iter().find(|(of, again, _)| (*of, *again) == (part, 0)).map(|(.., delay)| *delay));
            }
            for (part, again, delay) in came.iter().filter(|(_, again, _)| *again > 0) {
                add(*part, *again, Some(*delay));
            }
        }
        messages
    }

    const KEY: Came<'_> = &[(0, 0, 30), (1, 0, 30), (2, 0, 30), (3, 0, 30), (4, 0, 30), (5, 0, 30), (6, 0, 31)];
    const WHOLE: Came<'_> = &[(0, 0, 30), (1, 0, 31)];
    const PART: Came<'_> = &[(1, 0, 30)];

    #[test]
    fn a_lost_frame_takes_others_with_it() {
        let call = call(Repair::None);
        let frames = [
            (true, KEY),
            (false, WHOLE),
            (false, PART),
            (false, WHOLE),
            (true, KEY),
            // It takes too long, and so does what refers to it.
            (false, &[(0, 0, 30), (1, 0, 280)][..]),
            (false, WHOLE),
            (false, WHOLE),
        ];
        let pictures = Pictures::of(&Workload::VideoCall(call.clone()), 1, &records(&call, &frames)).unwrap();
        assert_eq!((pictures.released, pictures.whole, pictures.key_frames), (8, 6, 1));
        let Pictures { in_time, late, missing, undecodable, .. } = pictures;
        assert_eq!((in_time, late, missing, undecodable), (4, 2, 1, 1), "{pictures:?}");
        assert_eq!(pictures.delays, [31, 31, 31, 280, 180, 80].map(|ms| ms * MS));
        // From the second key frame at 431 ms to 780, when three pictures are decoded at once.
        assert_eq!(pictures.longest_freeze, 349 * MS);
        assert_eq!(pictures.repair_bytes, 0);
    }

    #[test]
    fn repaired_frames_are_whole() {
        let resent = call(Repair::Resend);
        let messages = records(&resent, &[(true, KEY), (false, &[(0, 0, 30), (1, 1, 120)]), (false, WHOLE)]);
        let pictures = Pictures::of(&Workload::VideoCall(resent), 1, &messages).unwrap();
        assert_eq!((pictures.in_time, pictures.repair_bytes), (3, 1000));
        assert_eq!(pictures.delays, [31, 120, 31].map(|ms| ms * MS));
        // One repair packet for two, and two for seven.
        let coded = call(Repair::Fec);
        let frames = [(true, &KEY[1..]), (false, &[(0, 0, 30), (2, 0, 40)][..]), (false, PART)];
        let with_parity = [&[(7, 0, 35)], frames[0].1].concat();
        let messages = records(&coded, &[(true, &with_parity), frames[1], frames[2]]);
        let pictures = Pictures::of(&Workload::VideoCall(coded), 1, &messages).unwrap();
        assert_eq!((pictures.in_time, pictures.missing, pictures.repair_bytes), (2, 1, 4000));
        assert_eq!(pictures.delays, [35, 40].map(|ms| ms * MS));
    }

    /// Whether each of so many packets is lost, by Gilbert's model: a share in bursts of a mean length.
    fn gilbert(share: f64, burst: f64, n: usize) -> Vec<bool> {
        // A linear congruential generator (Knuth, MMIX): what is tested here is the counting.
        let mut state = 7u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let (ends, begins) = (1.0 / burst, share / (1.0 - share) / burst);
        let mut is_bad = draw() < share;
        (0..n)
            .map(|_| {
                let was = is_bad;
                is_bad = if is_bad { draw() >= ends } else { draw() < begins };
                was
            })
            .collect()
    }

    #[test]
    fn frames_are_whole_as_their_packets_are() {
        const K: u32 = 6;
        const N: usize = 1600;
        let call = VideoCall {
            fps: 200,
            duration: Duration::from_secs(8),
            rate: crate::units::BitRate::new(200 * 8 * 6000),
            spread: 0.0,
            key: Key::Every(Duration::from_secs(60)),
            packet: Some(ByteCount::new(1000)),
            ..VideoCall::default()
        };
        let workload = Workload::VideoCall(call.clone());
        let layout = call.layout(1);
        let share_whole = |lost: &[bool]| {
            let mut lost = lost.iter();
            let messages: Vec<MessageRecord> = (0..workload.table(Direction::Down, 1).len() as u32)
                .map(|seq| {
                    let part = layout.part(seq).unwrap();
                    let released = layout.at(part.frame).as_nanos() as i64;
                    // Not of the key frame, which has more packets.
                    let is_lost = part.frame > 0 && *lost.next().unwrap();
                    MessageRecord {
                        flow: 0,
                        direction: Direction::Down,
                        stream: 0,
                        seq,
                        size: 1000,
                        released,
                        released_by: None,
                        deadline: None,
                        attempt: 1,
                        cancelled: None,
                        sent: Some(released),
                        delivered: (!is_lost).then_some(released + 30 * MS),
                        received: 0,
                        coded: None,
                    }
                })
                .collect();
            let pictures = Pictures::of(&workload, 1, &messages).unwrap();
            assert_eq!(pictures.released as usize, N);
            assert_eq!(pictures.in_time + pictures.late + pictures.missing + pictures.undecodable, pictures.released);
            f64::from(pictures.whole - 1) / (N - 1) as f64
        };
        let (p, burst) = (0.1f64, 3.0f64);
        let at_random = |p: f64| (1.0 - p).powi(K as i32);
        let in_bursts = (1.0 - p) * (1.0 - p / (burst * (1.0 - p))).powi(K as i32 - 1);
        // Frames are independent where packets are.
        let bound = 3.9 * (at_random(p) * (1.0 - at_random(p)) / N as f64).sqrt();
        let packets = N * K as usize;
        let found = share_whole(&gilbert(p, 1.0 / (1.0 - p), packets));
        assert!((found - at_random(p)).abs() < bound, "{found}, not {} ± {bound}", at_random(p));
        for other in [0.7 * p, 1.3 * p] {
            assert!((at_random(other) - at_random(p)).abs() > bound, "{other} would be told from {p}");
        }
        let found = share_whole(&gilbert(p, burst, packets));
        assert!((found - at_random(p)).abs() > bound, "{found}: bursts are rejected");
        // Neighbouring frames share bursts, hence half as much again.
        assert!((found - in_bursts).abs() < 1.5 * bound, "{found}, not {in_bursts}");
    }
}
