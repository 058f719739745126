//! `voice`: a telephone call, a packet every 20 ms, of which a jitter buffer plays what came in time.
//!
//! The sender releases packets by the clock, whatever becomes of them. What the buffer does decides nothing that is sent, so it
//! is computed from the records of the messages, in [`crate::voice`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::clocked::{Clocked, within};
use super::driver::{Driver, Receiver};
use super::message::Class;
use super::spec::{MAX_DURATION, MOST_WARMUP, Spec, warmup_both_ways};
use super::table::{Block, Lengths, Table};
use crate::link::{Direction, Link};
use crate::units::{ByteCount, Duration, serde_as_text};

/// Speech in a packet (RFC 3551, section 4.2).
pub const PACKET_TIME: Duration = Duration::from_millis(20);

/// Packets a second.
const PER_SECOND: u32 = 50;

/// 20 ms of G.711 at 64 kbit/s, and a header of RTP.
const PACKET_BYTES: ByteCount = ByteCount::new(160 + 12);

/// The longest buffer that is taken: nobody talks with more.
const MOST_BUFFER: Duration = Duration::from_secs(1);

/// A call by G.711.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Voice {
    /// Which way somebody talks.
    pub direction: Talk,
    /// How long they talk.
    pub duration: Duration,
    /// How long the receiver holds packets back, so that later ones are there when their turn comes.
    pub buffer: JitterBuffer,
    /// Whether the receiver conceals packets that are missing (G.711, appendix I).
    pub concealment: bool,
    /// Bytes sent for warm-up in each direction, as for `messages`. Absent: the smaller of the link's two
    /// bandwidth-delay products.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<ByteCount>,
}

/// Which way somebody talks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Talk {
    /// From client to server.
    Up,
    /// From server to client.
    Down,
    /// Both ways at the same time.
    #[default]
    Both,
}

impl Talk {
    /// Whether somebody talks in this direction.
    pub const fn goes(self, direction: Direction) -> bool {
        matches!((self, direction), (Talk::Both, _) | (Talk::Up, Direction::Up) | (Talk::Down, Direction::Down))
    }
}

/// How long a receiver holds packets back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JitterBuffer {
    /// Each until so long after the least delay of the call.
    Fixed(Duration),
    /// Until a time that follows the delays of the packets before it (see [`crate::voice`]).
    Adaptive,
}

impl fmt::Display for JitterBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JitterBuffer::Fixed(time) => time.fmt(f),
            JitterBuffer::Adaptive => f.write_str("adaptive"),
        }
    }
}

impl FromStr for JitterBuffer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "adaptive" {
            return Ok(JitterBuffer::Adaptive);
        }
        let time = text.parse().map_err(|error| format!("{error}; write a time, as 60ms, or `adaptive`"))?;
        Ok(JitterBuffer::Fixed(time))
    }
}

serde_as_text!(JitterBuffer);

impl Default for Voice {
    fn default() -> Self {
        Voice {
            direction: Talk::Both,
            duration: Duration::from_secs(10),
            buffer: JitterBuffer::Fixed(Duration::from_millis(60)),
            concealment: true,
            warmup: None,
        }
    }
}

impl Voice {
    /// Packets in each direction in which somebody talks.
    pub fn packets(&self) -> u32 {
        within(self.duration, PER_SECOND)
    }

    /// The directions in which somebody talks.
    pub fn directions(&self) -> impl Iterator<Item = Direction> {
        Direction::BOTH.into_iter().filter(|direction| self.direction.goes(*direction))
    }
}

impl Spec for Voice {
    fn name(&self) -> &'static str {
        "voice"
    }

    fn axes(&self) -> &'static [&'static str] {
        &["direction", "duration", "buffer", "concealment", "warmup"]
    }

    fn clear_rival_of(&mut self, _axis: &str) {}

    fn check(&self) -> Result<(), String> {
        if self.packets() == 0 || self.duration > MAX_DURATION {
            return Err(format!("`duration` is {}; it must be at least {PACKET_TIME} and at most 24h", self.duration));
        }
        match self.buffer {
            JitterBuffer::Fixed(time) if time == Duration::ZERO || time > MOST_BUFFER => {
                Err(format!("`buffer` is {time}; it must be more than 0ms and at most {MOST_BUFFER}, or `adaptive`"))
            }
            _ => Ok(()),
        }
    }

    fn direction(&self) -> Direction {
        if self.direction == Talk::Up { Direction::Up } else { Direction::Down }
    }

    fn streams(&self) -> u16 {
        1
    }

    fn block(&self, direction: Direction) -> Option<Block> {
        let lengths = Lengths::Fixed(PACKET_BYTES);
        let block = Block { streams: 1, per_stream: self.packets(), class: Class::Latency, lengths };
        self.direction.goes(direction).then_some(block)
    }

    fn nominal_duration(&self) -> Option<Duration> {
        Some(PACKET_TIME * u64::from(self.packets()))
    }

    fn total_bytes(&self) -> Option<ByteCount> {
        let ways = self.directions().count() as u64;
        Some(ByteCount::new(PACKET_BYTES.bytes() * u64::from(self.packets()) * ways))
    }

    fn warmup(&self) -> Option<ByteCount> {
        Some(self.warmup.unwrap_or(MOST_WARMUP))
    }

    fn settle_on(&mut self, link: &Link) {
        self.warmup.get_or_insert(warmup_both_ways(link));
    }

    fn most_released_in(&self, direction: Direction, time: Duration) -> u64 {
        let most = u64::from(within(time, PER_SECOND)) + 2;
        if self.direction.goes(direction) { most.min(u64::from(self.packets())) } else { 0 }
    }

    fn driver(&self, outgoing: Table, _incoming: Table) -> Box<dyn Driver> {
        if outgoing.is_empty() {
            return Box::new(Receiver);
        }
        let stream = outgoing.streams() - 1;
        Box::new(Clocked::new(outgoing, stream, PER_SECOND))
    }
}

impl fmt::Display for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.direction {
            Talk::Up => "up",
            Talk::Down => "down",
            Talk::Both => "both ways",
        };
        let concealment = if self.concealment { "" } else { ", without concealment" };
        write!(
            f,
            "a call of {} {way}, G.711 every {PACKET_TIME}, jitter buffer {}{concealment}",
            self.duration, self.buffer
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::Workload;
    use super::super::simulation::{both_ends, properties};
    use super::*;
    use proptest::prelude::*;

    properties!((0usize..3, 20u64..2000).prop_map(|(way, ms)| {
        let direction = [Talk::Up, Talk::Down, Talk::Both][way];
        Workload::Voice(Voice { direction, duration: Duration::from_millis(ms), ..Voice::default() })
    }));

    #[test]
    fn fifty_packets_a_second_go_each_way() {
        let call = |direction| {
            let voice = Voice { direction, duration: Duration::from_secs(1), ..Voice::default() };
            let played = both_ends(&Workload::Voice(voice), 1, Default::default());
            Direction::BOTH.map(|way| {
                let own =
                    played.released.iter().map(|(_, release)| release).filter(|release| release.id.direction == way);
                let at: Vec<u64> = own.map(|release| release.at.as_nanos() / 1_000_000).collect();
                assert!(at.iter().enumerate().all(|(n, at)| *at == 20 * n as u64), "{at:?}");
                at.len()
            })
        };
        assert_eq!([Talk::Up, Talk::Down, Talk::Both].map(call), [[50, 0], [0, 50], [50, 50]]);
    }

    #[test]
    fn buffers_are_a_time_or_adaptive() {
        let voice = |text: &str| toml::from_str::<Voice>(text).map_err(|error| error.to_string());
        assert_eq!(voice("buffer = 'adaptive'").unwrap().buffer, JitterBuffer::Adaptive);
        assert_eq!(voice("buffer = '40ms'").unwrap().buffer, JitterBuffer::Fixed(Duration::from_millis(40)));
        assert!(voice("buffer = 'long'").unwrap_err().contains("or `adaptive`"));
        for (text, remedy) in [("buffer = '0ms'", "more than 0ms"), ("duration = '10ms'", "at least 20ms")] {
            let said = Workload::Voice(voice(text).unwrap()).check().unwrap_err().to_string();
            assert!(said.contains(remedy), "{said}");
        }
    }
}
