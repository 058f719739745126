//! `bulk`: as much as the transport takes, a file download or upload.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::driver::{Action, Driver, Event, Receiver};
use super::message::{Class, MessageId, Release};
use super::spec::{Spec, check_duration, check_streams};
use super::table::{Block, Lengths, Table};
use crate::link::Direction;
use crate::units::{BitRate, ByteCount, Duration};

/// One large message a stream, from a cold start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bulk {
    /// Which way the bytes go.
    pub direction: Direction,
    /// Number of streams, all released at once.
    pub streams: u16,
    /// Bytes in all, divided evenly over the streams. Exactly one of `bytes` and `duration` is set.
    pub bytes: Option<ByteCount>,
    /// Time for which the sender keeps sending.
    pub duration: Option<Duration>,
    /// Offered rate on `udp`, in bits of payload per second. Absent: the link's rate, or as fast
    /// as the host can where the link has none.
    pub udp_rate: Option<BitRate>,
    /// UDP payload size on `udp`, frame header included. Absent: what fills the path's MTU.
    pub datagram: Option<ByteCount>,
}

impl Default for Bulk {
    fn default() -> Self {
        Bulk { direction: Direction::Down, streams: 1, bytes: None, duration: None, udp_rate: None, datagram: None }
    }
}

impl Spec for Bulk {
    fn name(&self) -> &'static str {
        "bulk"
    }

    fn axes(&self) -> &'static [&'static str] {
        &["direction", "streams", "bytes", "duration", "udp-rate", "datagram"]
    }

    fn clear_rival_of(&mut self, axis: &str) {
        match axis {
            "bytes" => self.duration = None,
            "duration" => self.bytes = None,
            _ => {}
        }
    }

    fn check(&self) -> Result<(), String> {
        check_streams(self.streams)?;
        check_duration(self.duration)?;
        match (self.bytes, self.duration) {
            (None, None) => return Err("say how much: set `bytes` (as 5MB) or `duration` (as 5s)".into()),
            (Some(_), Some(_)) => return Err("`bytes` and `duration` exclude each other; set one".into()),
            _ => {}
        }
        if self.bytes.is_some_and(|b| b.bytes() < u64::from(self.streams)) {
            return Err("`bytes` must be at least one for each stream".into());
        }
        if self.datagram.is_some_and(|d| !(64..=65_507).contains(&d.bytes())) {
            return Err("`datagram` must lie between 64B and 65507B".into());
        }
        Ok(())
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn is_cold(&self) -> bool {
        true
    }

    fn streams(&self) -> u16 {
        self.streams
    }

    fn block(&self, direction: Direction) -> Option<Block> {
        let lengths = match (self.bytes, self.duration) {
            (Some(bytes), _) => Lengths::Share(bytes),
            (None, duration) => Lengths::Until(duration.unwrap_or_default()),
        };
        let block = Block { streams: self.streams, per_stream: 1, class: Class::Throughput, lengths };
        (direction == self.direction).then_some(block)
    }

    fn nominal_duration(&self) -> Option<Duration> {
        self.duration
    }

    fn total_bytes(&self) -> Option<ByteCount> {
        self.bytes
    }

    fn driver(&self, outgoing: Table, _incoming: Table) -> Box<dyn Driver> {
        if outgoing.is_empty() { Box::new(Receiver) } else { Box::new(Sender(outgoing)) }
    }
}

impl fmt::Display for Bulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.bytes, self.duration) {
            (Some(bytes), _) => write!(f, "bulk {bytes}")?,
            (None, Some(duration)) => write!(f, "bulk for {duration}")?,
            (None, None) => write!(f, "bulk")?,
        }
        let n = self.streams;
        write!(f, " {}, {n} stream{}", self.direction, if n == 1 { "" } else { "s" })
    }
}

/// The driver of the sending end, which releases everything at once.
#[derive(Debug)]
struct Sender(Table);

impl Driver for Sender {
    fn on(&mut self, event: Event, _now: Duration, actions: &mut Vec<Action>) {
        if event != Event::Start {
            return;
        }
        let direction = self.0.direction();
        actions.extend(self.0.messages().map(|(stream, seq, length)| {
            let id = MessageId { direction, stream, seq };
            Action::Send(Release::by_the_clock(id, length, Duration::ZERO))
        }));
        actions.push(Action::Done);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Workload;
    use super::super::simulation::{both_ends, properties};
    use super::*;
    use proptest::prelude::*;

    fn bulk() -> impl Strategy<Value = Workload> {
        let amount = prop_oneof![
            (100u64..1_000_000).prop_map(|n| (Some(ByteCount::new(n)), None)),
            (1u64..20).prop_map(|s| (None, Some(Duration::from_millis(s * 100)))),
        ];
        (any::<bool>(), 1u16..40, amount).prop_map(|(up, streams, (bytes, duration))| {
            let direction = Direction::BOTH[usize::from(!up)];
            Workload::Bulk(Bulk { direction, streams, bytes, duration, ..Bulk::default() })
        })
    }

    properties!(bulk());

    #[test]
    fn every_stream_is_released_at_once() {
        let workload = Workload::Bulk(Bulk { streams: 3, bytes: Some(ByteCount::new(11)), ..Bulk::default() });
        let played = both_ends(&workload, 1, Default::default());
        let released: Vec<_> = played.released.iter().map(|(_, r)| (r.id.stream, r.at, r.length.bytes())).collect();
        let expected = [4, 4, 3].map(|bytes| Some(ByteCount::new(bytes)));
        assert_eq!(released, [0, 1, 2].map(|n| (n, Duration::ZERO, expected[usize::from(n)])));
    }
}
