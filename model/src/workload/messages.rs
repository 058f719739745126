//! `messages`: small messages released by the clock whatever the transport does (open loop), the head-of-line probe.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::driver::{Action, Driver, Event, Receiver};
use super::message::{Class, MessageId, Release};
use super::spec::{
    MAX_MESSAGES, MOST_WARMUP, Spec, check_duration, check_run_time, check_streams, clear_count_or_duration,
};
use super::stream::StreamId;
use super::table::{Block, Lengths, Table};
use crate::link::{Direction, Link};
use crate::units::{ByteCount, Duration};

/// Messages of one size, released by the clock whatever the transport does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Messages {
    /// Which way the messages go.
    pub direction: Direction,
    /// Number of logical streams.
    pub streams: u16,
    /// Size of each message.
    pub size: ByteCount,
    /// Time between two messages of one stream.
    pub spacing: Duration,
    /// Whether the streams are staggered evenly within the spacing, so that with 8 streams and 40 ms a
    /// message is released every 5 ms. If not, those of all streams are released together, every 40 ms.
    pub staggered: bool,
    /// Messages a stream. Exactly one of `count` and `duration` is set.
    pub count: Option<u32>,
    /// Time for which messages are released.
    pub duration: Option<Duration>,
    /// Bytes sent over the same connections before the schedule starts, to open the congestion window;
    /// they are in no statistic. Nothing is sent for warm-up on `udp`, which has no window. Absent: one
    /// bandwidth-delay product of the link, and at most [`MOST_WARMUP`]; more would fill the queue, where
    /// the stacks part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<ByteCount>,
}

impl Default for Messages {
    fn default() -> Self {
        Messages {
            direction: Direction::Down,
            streams: 8,
            size: ByteCount::new(1000),
            spacing: Duration::from_millis(40),
            staggered: true,
            count: None,
            duration: None,
            warmup: None,
        }
    }
}

impl Messages {
    /// How far a stream's releases lie behind those of stream 0.
    fn lag(&self, stream: StreamId) -> Duration {
        if self.staggered { self.spacing * u64::from(stream) / u64::from(self.streams) } else { Duration::ZERO }
    }

    /// How many messages each stream sends.
    pub fn per_stream(&self) -> u32 {
        match (self.count, self.duration) {
            (Some(count), _) => count,
            (None, Some(duration)) => {
                u32::try_from(duration.as_nanos().div_ceil(self.spacing.as_nanos().max(1))).unwrap_or(u32::MAX)
            }
            (None, None) => 0,
        }
    }

    /// How many messages there are.
    fn all(&self) -> u64 {
        u64::from(self.per_stream()) * u64::from(self.streams)
    }
}

impl Spec for Messages {
    fn name(&self) -> &'static str {
        "messages"
    }

    fn axes(&self) -> &'static [&'static str] {
        &["direction", "streams", "size", "spacing", "staggered", "count", "duration", "warmup"]
    }

    fn clear_rival_of(&mut self, axis: &str) {
        clear_count_or_duration(axis, &mut self.count, &mut self.duration);
    }

    fn check(&self) -> Result<(), String> {
        check_streams(self.streams)?;
        check_duration(self.duration)?;
        if self.size == ByteCount::ZERO || self.size.bytes() > 1 << 30 {
            return Err("`size` must lie between 1B and 1GiB".into());
        }
        if self.spacing == Duration::ZERO {
            return Err("`spacing` must be more than 0ms; for no pause between messages use `bulk`".into());
        }
        match (self.count, self.duration) {
            (None, None) => return Err("say how many: set `count` (a stream) or `duration`".into()),
            (Some(_), Some(_)) => return Err("`count` and `duration` exclude each other; set one".into()),
            (Some(0), None) => return Err("`count` must be at least 1".into()),
            _ => {}
        }
        let all = self.all();
        if all > MAX_MESSAGES {
            return Err(format!("it makes {all} messages; at most {MAX_MESSAGES} fit one trial"));
        }
        check_run_time(Some(self.spacing * u64::from(self.per_stream())))
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn streams(&self) -> u16 {
        self.streams
    }

    fn block(&self, direction: Direction) -> Option<Block> {
        let (streams, lengths) = (self.streams, Lengths::Fixed(self.size));
        let block = Block { streams, per_stream: self.per_stream(), class: Class::Latency, lengths };
        (direction == self.direction).then_some(block)
    }

    fn nominal_duration(&self) -> Option<Duration> {
        Some(self.spacing * u64::from(self.per_stream()))
    }

    fn total_bytes(&self) -> Option<ByteCount> {
        Some(ByteCount::new(self.size.bytes() * self.all()))
    }

    fn warmup(&self) -> Option<ByteCount> {
        Some(self.warmup.unwrap_or(MOST_WARMUP))
    }

    fn settle_on(&mut self, link: &Link) {
        let rate = link.direction(self.direction).mean_rate();
        let bdp = rate.map_or(MOST_WARMUP, |rate| rate.bytes_in(link.rtt()));
        self.warmup.get_or_insert(bdp.min(MOST_WARMUP));
    }

    fn most_released_in(&self, _direction: Direction, time: Duration) -> u64 {
        let of_stream = time.as_nanos().div_ceil(self.spacing.as_nanos().max(1)).saturating_add(1);
        self.all().min(of_stream.saturating_mul(u64::from(self.streams)))
    }

    fn driver(&self, outgoing: Table, _incoming: Table) -> Box<dyn Driver> {
        if outgoing.is_empty() {
            return Box::new(Receiver);
        }
        let first = outgoing.streams() - self.streams;
        Box::new(Sender { spec: self.clone(), table: outgoing, first, seq: 0, stream: 0 })
    }
}

impl fmt::Display for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, all) = (self.streams, self.all());
        write!(
            f,
            "{all} messages of {} {}, {n} stream{}, one each {} a stream{}",
            self.size,
            self.direction,
            if n == 1 { "" } else { "s" },
            self.spacing,
            if self.staggered { "" } else { ", all together" }
        )
    }
}

/// The driver of the sending end, which releases each message at its time.
#[derive(Debug)]
struct Sender {
    spec: Messages,
    table: Table,
    first: StreamId,
    /// The message that is next.
    seq: u32,
    stream: u16,
}

impl Driver for Sender {
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        if !matches!(event, Event::Start | Event::Timer) {
            return;
        }
        loop {
            if self.seq == self.spec.per_stream() {
                actions.push(Action::Done);
                return;
            }
            let at = self.spec.spacing * u64::from(self.seq) + self.spec.lag(self.stream);
            if at > now {
                actions.push(Action::WakeAt(at));
                return;
            }
            let id = MessageId { direction: self.table.direction(), stream: self.first + self.stream, seq: self.seq };
            let length = self.table.length(id.stream, id.seq).expect("the table has every message of the schedule");
            actions.push(Action::Send(Release::by_the_clock(id, length, at)));
            self.stream += 1;
            if self.stream == self.spec.streams {
                (self.seq, self.stream) = (self.seq + 1, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Workload;
    use super::super::simulation::properties;
    use super::*;
    use crate::arm::Arm;
    use crate::end::End;
    use proptest::prelude::*;

    fn messages() -> impl Strategy<Value = Workload> {
        (any::<bool>(), any::<bool>(), 1u16..20, 1u32..20, 1u64..60).prop_map(
            |(up, staggered, streams, count, spacing)| {
                let (direction, spacing) = (Direction::BOTH[usize::from(!up)], Duration::from_millis(spacing));
                let count = Some(count);
                Workload::Messages(Messages { direction, streams, spacing, staggered, count, ..Messages::default() })
            },
        )
    }

    properties!(messages());

    fn releases(workload: &Workload) -> Vec<Duration> {
        workload.released_by_the_clock(End::Server, 1).into_iter().map(|release| release.at).collect()
    }

    #[test]
    fn messages_are_staggered_evenly_and_in_order() {
        let workload = Workload::Messages(Messages {
            streams: 4,
            spacing: Duration::from_millis(20),
            count: Some(3),
            ..Messages::default()
        });
        let all = releases(&workload);
        assert_eq!(all.len(), 12);
        assert!(all.windows(2).all(|w| w[1] - w[0] == Duration::from_millis(5)));
    }

    #[test]
    fn without_stagger_all_streams_release_at_one_instant() {
        let workload =
            Workload::Messages(Messages { streams: 4, staggered: false, count: Some(3), ..Messages::default() });
        let releases: Vec<_> = releases(&workload).into_iter().map(|at| at.as_nanos() / 1_000_000).collect();
        assert_eq!(releases, [0, 0, 0, 0, 40, 40, 40, 40, 80, 80, 80, 80]);
        assert!(workload.to_string().ends_with("all together"), "{workload}");
    }

    #[test]
    fn the_default_warm_up_is_one_bandwidth_delay_product() {
        let link = |text: &str| toml::from_str::<crate::LinkSpec>(text).unwrap().resolve().unwrap();
        let asked = |warmup: Option<u64>, on: &str| {
            let warmup = warmup.map(ByteCount::new);
            let workload = Workload::Messages(Messages { count: Some(1), warmup, ..Messages::default() });
            let arm = |text: &str| text.parse::<Arm>().unwrap();
            let on_link = workload.on_link(&link(on));
            assert_eq!(on_link.warmup(arm("udp")), ByteCount::ZERO);
            on_link.warmup(arm("tcp")).bytes()
        };
        assert_eq!(asked(None, "rtt = '60ms'\nrate = '20Mbit'"), 150_000);
        assert_eq!(asked(None, "rtt = '10ms'\nrate = '20Mbit'"), 25_000);
        assert_eq!(asked(None, "rtt = '600ms'\nrate = '200Mbit'"), 1_000_000);
        assert_eq!(asked(None, "rtt = '60ms'"), 1_000_000, "no rate, and so no product");
        assert_eq!(asked(Some(3_000_000), "rtt = '10ms'\nrate = '20Mbit'"), 3_000_000, "as asked");
    }
}
