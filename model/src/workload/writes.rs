//! `writes`: many small messages, each written as it comes, or so many of them collected before they are.
//!
//! How many reads they become is the transport's to say: a byte stream keeps no borders between them, a datagram does.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::driver::{Action, Driver, Event, Receiver};
use super::message::{Class, MessageId, Release};
use super::spec::{MAX_MESSAGES, MOST_WARMUP, Spec, check_run_time};
use super::stream::StreamId;
use super::table::{Block, Lengths, Table};
use crate::link::{Direction, Link};
use crate::units::{ByteCount, Duration};

/// Small messages of one stream, made at equal distances in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Writes {
    /// Which way they go.
    pub direction: Direction,
    /// Size of each.
    pub size: ByteCount,
    /// Time between two of them.
    pub spacing: Duration,
    /// How many there are.
    pub count: u32,
    /// So many are collected before they are written, in one call; 1 writes each at once.
    pub batch: u32,
    /// Bytes sent for warm-up, as for `messages`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<ByteCount>,
}

impl Default for Writes {
    fn default() -> Self {
        Writes {
            direction: Direction::Down,
            size: ByteCount::new(10),
            spacing: Duration::from_millis(2),
            count: 1000,
            batch: 1,
            warmup: None,
        }
    }
}

impl Writes {
    /// When a message is made.
    fn made(&self, seq: u32) -> Duration {
        self.spacing * u64::from(seq)
    }

    /// The last message of the batch that this one is in.
    fn last_of_batch(&self, seq: u32) -> u32 {
        ((seq / self.batch + 1) * self.batch - 1).min(self.count - 1)
    }
}

impl Spec for Writes {
    fn name(&self) -> &'static str {
        "writes"
    }

    fn axes(&self) -> &'static [&'static str] {
        &["direction", "size", "spacing", "count", "batch", "warmup"]
    }

    fn clear_rival_of(&mut self, _axis: &str) {}

    fn check(&self) -> Result<(), String> {
        let fail = |problem: String| Err(problem);
        if !(1..=1 << 20).contains(&self.size.bytes()) {
            return fail("`size` must lie between 1B and 1MiB; for large messages use `messages` or `bulk`".into());
        }
        if self.spacing == Duration::ZERO {
            return fail("`spacing` must be more than 0ms: what is made at one instant is written in one call".into());
        }
        if self.count == 0 || u64::from(self.count) > MAX_MESSAGES {
            return fail(format!("`count` is {}; it must lie between 1 and {MAX_MESSAGES}", self.count));
        }
        if self.batch == 0 {
            return fail("`batch` is 0: nothing would ever be written; give at least 1".into());
        }
        check_run_time(Some(self.spacing * u64::from(self.count)))
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn streams(&self) -> u16 {
        1
    }

    fn block(&self, direction: Direction) -> Option<Block> {
        let lengths = Lengths::Fixed(self.size);
        let block = Block { streams: 1, per_stream: self.count, class: Class::Latency, lengths };
        (direction == self.direction).then_some(block)
    }

    fn nominal_duration(&self) -> Option<Duration> {
        Some(self.spacing * u64::from(self.count))
    }

    fn total_bytes(&self) -> Option<ByteCount> {
        Some(ByteCount::new(self.size.bytes() * u64::from(self.count)))
    }

    fn warmup(&self) -> Option<ByteCount> {
        Some(self.warmup.unwrap_or(MOST_WARMUP))
    }

    fn settle_on(&mut self, link: &Link) {
        let rate = link.direction(self.direction).mean_rate();
        let bdp = rate.map_or(MOST_WARMUP, |rate| rate.bytes_in(link.rtt()));
        self.warmup.get_or_insert(bdp.min(MOST_WARMUP));
    }

    fn driver(&self, outgoing: Table, _incoming: Table) -> Box<dyn Driver> {
        if outgoing.is_empty() {
            return Box::new(Receiver);
        }
        let stream = outgoing.streams() - 1;
        Box::new(Sender { spec: self.clone(), table: outgoing, stream, next: 0 })
    }
}

impl fmt::Display for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages of {} {}, one each {}", self.count, self.size, self.direction, self.spacing)?;
        match self.batch {
            1 => write!(f, ", each written at once"),
            n => write!(f, ", {n} in one write"),
        }
    }
}

/// The driver of the sending end.
#[derive(Debug)]
struct Sender {
    spec: Writes,
    table: Table,
    stream: StreamId,
    next: u32,
}

impl Driver for Sender {
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        if !matches!(event, Event::Start | Event::Timer) {
            return;
        }
        while self.next < self.spec.count {
            let last = self.spec.last_of_batch(self.next);
            let at = self.spec.made(last);
            if at > now {
                actions.push(Action::WakeAt(at));
                return;
            }
            for seq in self.next..=last {
                let id = MessageId { direction: self.table.direction(), stream: self.stream, seq };
                let length = self.table.length(self.stream, seq).expect("the table has every message");
                actions.push(Action::Send(Release::by_the_clock(id, length, self.spec.made(seq))));
            }
            self.next = last + 1;
        }
        actions.push(Action::Done);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Workload;
    use super::super::simulation::{both_ends, properties};
    use super::*;
    use proptest::prelude::*;

    fn writes() -> impl Strategy<Value = Workload> {
        (any::<bool>(), 1u64..40, 1u32..60, 1u32..20).prop_map(|(up, spacing, count, batch)| {
            let (direction, spacing) = (Direction::BOTH[usize::from(!up)], Duration::from_millis(spacing));
            Workload::Writes(Writes { direction, spacing, count, batch, ..Writes::default() })
        })
    }

    properties!(writes());

    #[test]
    fn what_is_collected_waits_for_the_last() {
        let writes = Writes { count: 5, batch: 2, spacing: Duration::from_millis(10), ..Writes::default() };
        let played = both_ends(&Workload::Writes(writes), 1, Default::default());
        let ms = |at: Duration| at.as_nanos() / 1_000_000;
        let all: Vec<(u64, u64)> = played.released.iter().map(|(now, release)| (ms(*now), ms(release.at))).collect();
        assert_eq!(all, [(10, 0), (10, 10), (30, 20), (30, 30), (40, 40)], "the last batch is what is left");
    }

    #[test]
    fn impossible_parameters_are_named_with_the_remedy() {
        for (writes, remedy) in [
            (Writes { batch: 0, ..Writes::default() }, "`batch` is 0"),
            (Writes { count: 0, ..Writes::default() }, "`count` is 0"),
            (Writes { size: ByteCount::ZERO, ..Writes::default() }, "`size` must lie"),
            (Writes { spacing: Duration::ZERO, ..Writes::default() }, "`spacing` must be more"),
        ] {
            let said = Workload::Writes(writes).check().unwrap_err().to_string();
            assert!(said.contains(remedy), "{said}");
        }
    }
}
