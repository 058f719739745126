//! What was heard of a `voice` call, from the records of its messages.
//!
//! The receiver plays a packet every 20 ms. One that has not come when its turn is, is missing, whether it was lost or comes
//! too late.
//!
//! **The buffer.** A fixed one plays each packet so long after the least delay of the call, which stands for the path's own. An
//! adaptive one follows the delays with the first algorithm of Ramjee, Kurose, Towsley and Schulzrinne (INFOCOM 1994): their
//! exponentially weighted mean and four times that of their deviations from it, with the weight given there. It starts at 60 ms,
//! keeps between 20 and 200 ms, and moves with every packet, which a player does by stretching speech: that is heard as nothing here.
//!
//! **The rating** is that of [`crate::emodel`], of the delay from mouth to ear: from the first sample of a packet to its release
//! 20 ms, on the way the least delay of the call, and the buffer. The codec's look-ahead, sound cards and echo are left out.

use crate::emodel::{self, Codec};
use crate::link::Direction;
use crate::record::{Instant, MessageRecord};
use crate::workload::{JitterBuffer, PACKET_TIME, StreamId, Voice};

/// One direction of a call as it was heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// Packets that were released.
    pub packets: u32,
    /// Of these, those that never came.
    pub lost: u32,
    /// Those that came too late.
    pub late: u32,
    /// Packets in a row that were missing, at most.
    pub longest_gap: u32,
    /// How often more than 60 ms in a row were missing.
    pub long_gaps: u32,
    /// Times at which one or more packets in a row were missing.
    pub bursts: u32,
    /// Mean delay from mouth to ear, in milliseconds; `None` where no packet came.
    pub mouth_to_ear_ms: Option<f64>,
}

/// Packets of 20 ms that are more than 60 ms.
const LONG_GAP: u32 = 4;

impl Heard {
    /// Of the call on this stream in this direction; `None` where nothing was released.
    pub fn of(voice: &Voice, direction: Direction, stream: StreamId, messages: &[MessageRecord]) -> Option<Heard> {
        let is_own = |message: &&MessageRecord| message.direction == direction && message.stream == stream;
        let mut packets: Vec<Packet> = messages.iter().filter(is_own).map(Packet::of).collect();
        packets.sort_unstable_by_key(|packet| packet.released);
        let buffered = buffered(voice.buffer, &packets);
        let mut heard = Heard {
            packets: u32::try_from(packets.len()).ok().filter(|n| *n > 0)?,
            lost: 0,
            late: 0,
            longest_gap: 0,
            long_gaps: 0,
            bursts: 0,
            mouth_to_ear_ms: buffered.as_ref().map(|Buffered { least, holds }| {
                let hold = holds.iter().sum::<f64>() / holds.len() as f64;
                PACKET_TIME.as_millis_f64() + (*least as f64 + hold) / 1e6
            }),
        };
        let mut gap = 0;
        for (n, packet) in packets.iter().enumerate() {
            let limit = buffered.as_ref().map(|Buffered { least, holds }| *least as f64 + holds[n]);
            match packet.delivered {
                None => heard.lost += 1,
                Some(at) if limit.is_none_or(|limit| (at - packet.released) as f64 > limit) => heard.late += 1,
                Some(_) => {
                    gap = 0;
                    continue;
                }
            }
            gap += 1;
            heard.bursts += u32::from(gap == 1);
            heard.long_gaps += u32::from(gap == LONG_GAP);
            heard.longest_gap = heard.longest_gap.max(gap);
        }
        Some(heard)
    }

    /// Share of the packets that were missing, of 1.
    pub fn missing(&self) -> f64 {
        f64::from(self.lost + self.late) / f64::from(self.packets)
    }

    /// `BurstR` of the E-model, as observed: the mean number of packets missing in a row, over that under random loss of as
    /// many, 1 / (1 − share). At least 1: less than that is chance in a short call.
    pub fn burst_ratio(&self) -> f64 {
        if self.bursts == 0 || self.lost + self.late == self.packets {
            return 1.0;
        }
        (f64::from(self.lost + self.late) / f64::from(self.bursts) * (1.0 - self.missing())).max(1.0)
    }

    /// The rating `R`; `None` where no packet came.
    pub fn rating(&self, codec: Codec) -> Option<f64> {
        Some(emodel::rating(codec, self.mouth_to_ear_ms?, 100.0 * self.missing(), self.burst_ratio()))
    }
}

/// The codec of a call.
pub const fn codec(voice: &Voice) -> Codec {
    if voice.concealment { emodel::G711_CONCEALED } else { emodel::G711 }
}

#[derive(Debug, Clone, Copy)]
struct Packet {
    released: Instant,
    delivered: Option<Instant>,
}

impl Packet {
    const fn of(message: &MessageRecord) -> Packet {
        Packet { released: message.released, delivered: message.delivered }
    }
}

/// The least delay of a call, and how long each packet may come after it, in nanoseconds.
struct Buffered {
    least: Instant,
    holds: Vec<f64>,
}

/// What the buffer does for packets in the order of their release; `None` where none came.
fn buffered(buffer: JitterBuffer, packets: &[Packet]) -> Option<Buffered> {
    let least = packets.iter().filter_map(|packet| Some(packet.delivered? - packet.released)).min()?;
    let holds = match buffer {
        JitterBuffer::Fixed(time) => vec![time.as_nanos() as f64; packets.len()],
        JitterBuffer::Adaptive => adaptive(least, packets),
    };
    Some(Buffered { least, holds })
}

/// How long an adaptive buffer holds each packet beyond the least delay.
fn adaptive(least: Instant, packets: &[Packet]) -> Vec<f64> {
    const WEIGHT: f64 = 0.998_002;
    const START: f64 = 60e6;
    const BOUNDS: (f64, f64) = (20e6, 200e6);
    let mut arrivals: Vec<(Instant, f64)> = packets
        .iter()
        .filter_map(|packet| Some((packet.delivered?, (packet.delivered? - packet.released - least) as f64)))
        .collect();
    arrivals.sort_by_key(|(at, _)| *at);
    let mut arrivals = arrivals.into_iter().peekable();
    let (mut mean, mut deviation) = (0.0, START / 4.0);
    let hold = |packet: &Packet| {
        // What has come before this one could.
        while let Some((_, beyond)) = arrivals.next_if(|(at, _)| *at < packet.released + least) {
            mean = WEIGHT * mean + (1.0 - WEIGHT) * beyond;
            deviation = WEIGHT * deviation + (1.0 - WEIGHT) * f64::abs(beyond - mean);
        }
        (mean + 4.0 * deviation).clamp(BOUNDS.0, BOUNDS.1)
    };
    packets.iter().map(hold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Duration;

    const MS: i64 = 1_000_000;

    /// A packet every 20 ms, with so many milliseconds of delay.
    fn call(delays: &[Option<i64>]) -> Vec<MessageRecord> {
        let message = |(n, delay): (usize, &Option<i64>)| MessageRecord {
            flow: 0,
            direction: Direction::Down,
            stream: 0,
            seq: n as u32,
            size: 172,
            released: 20 * MS * n as i64,
            released_by: None,
            deadline: None,
            attempt: 1,
            cancelled: None,
            sent: Some(20 * MS * n as i64),
            delivered: delay.map(|delay| (20 * n as i64 + delay) * MS),
            received: 172,
            coded: None,
        };
        delays.iter().enumerate().map(message).collect()
    }

    fn heard(voice: &Voice, delays: &[Option<i64>]) -> Heard {
        Heard::of(voice, Direction::Down, 0, &call(delays)).unwrap()
    }

    #[test]
    fn missing_packets_are_counted_by_hand() {
        let mut delays = vec![Some(30); 100];
        delays[10] = None;
        // A recovery of 110 ms: what was released in the first 20 ms of it comes more than 60 ms late.
        for (n, delay) in [(50, 140), (51, 120), (52, 100), (53, 91), (54, 90), (55, 40)] {
            delays[n] = Some(delay);
        }
        let voice = Voice::default();
        let heard = heard(&voice, &delays);
        assert_eq!((heard.packets, heard.lost, heard.late), (100, 1, 4));
        assert_eq!((heard.longest_gap, heard.long_gaps, heard.bursts), (4, 1, 2));
        assert_eq!(heard.mouth_to_ear_ms, Some(110.0), "30 ms on the way, 20 of packet, 60 of buffer");
        assert!((heard.burst_ratio() - 2.5 * 0.95).abs() < 1e-12);
        let rating = emodel::rating(emodel::G711_CONCEALED, 110.0, 5.0, 2.375);
        assert_eq!(heard.rating(codec(&voice)), Some(rating));
        let longer = Voice { buffer: JitterBuffer::Fixed(Duration::from_millis(120)), ..voice };
        assert_eq!(super::Heard::of(&longer, Direction::Down, 0, &call(&delays)).unwrap().late, 0);
    }

    #[test]
    fn a_silent_direction_has_no_rating() {
        let none = heard(&Voice::default(), &[None; 5]);
        assert_eq!((none.missing(), none.rating(emodel::G711), none.longest_gap), (1.0, None, 5));
        assert_eq!(Heard::of(&Voice::default(), Direction::Up, 0, &call(&[None; 5])), None);
    }

    #[test]
    fn an_adaptive_buffer_follows_the_delays() {
        let voice = Voice { buffer: JitterBuffer::Adaptive, ..Voice::default() };
        let calm = heard(&voice, &[Some(30); 1500]);
        let hold = calm.mouth_to_ear_ms.unwrap() - 50.0;
        assert!((20.0..40.0).contains(&hold) && calm.late == 0, "{hold} ms");
        // Every fourth packet takes 90 ms longer: the buffer grows until it holds them.
        let uneven: Vec<Option<i64>> = (0..1500).map(|n| Some(if n % 4 == 0 { 120 } else { 30 })).collect();
        let early = heard(&voice, &uneven[..300]);
        let all = heard(&voice, &uneven);
        let fixed = heard(&Voice::default(), &uneven);
        assert!(all.mouth_to_ear_ms > early.mouth_to_ear_ms, "{all:?}");
        assert!(fixed.late == 375 && all.late < 200, "{all:?}");
        let shaken: Vec<Option<i64>> = (0..5000).map(|n| Some(if n % 3 == 0 { 1030 } else { 30 })).collect();
        assert!(heard(&voice, &shaken).mouth_to_ear_ms.unwrap() <= 50.0 + 200.0, "it has a bound");
    }
}
