//! Workloads: a deterministic schedule of messages on streams.
//!
//! Both ends derive the same schedule from the same spec, so nothing about it crosses the wire
//! while it is measured, and the receiver knows what every byte must be.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::arm::Arm;
use crate::link::{Direction, Link};
use crate::units::{BitRate, ByteCount, Duration};

/// The number of a stream within a workload, from 0.
pub type StreamId = u16;

/// The largest number of streams a workload may have.
pub const MAX_STREAMS: u16 = 4096;

/// What is sent, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Workload {
    /// As much as the transport takes: a file download or upload.
    Bulk(Bulk),
    /// Small messages released on a fixed schedule (open loop): the head-of-line probe.
    Messages(Messages),
}

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
    /// bandwidth-delay product of the link, and at most [`Messages::MOST_WARMUP`]; more would fill the queue, where
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

/// One message of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// The logical stream.
    pub stream: StreamId,
    /// Its number within the stream, from 0.
    pub seq: u32,
    /// Its size; `None` where the sender goes on until its time is over.
    pub size: Option<ByteCount>,
    /// When it is released, counted from the start of the schedule.
    pub release: Duration,
}

/// A workload that makes no sense, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("workload `{workload}`: {problem}")]
pub struct WorkloadError {
    workload: &'static str,
    problem: String,
}

/// More messages than this in one trial would not fit the memory of a small machine.
const MAX_MESSAGES: u64 = 10_000_000;

/// No workload runs longer than this.
const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);

impl Workload {
    /// The workload's name as typed.
    pub const fn name(&self) -> &'static str {
        match self {
            Workload::Bulk(_) => "bulk",
            Workload::Messages(_) => "messages",
        }
    }

    /// Which way the payload goes.
    pub const fn direction(&self) -> Direction {
        match self {
            Workload::Bulk(bulk) => bulk.direction,
            Workload::Messages(messages) => messages.direction,
        }
    }

    /// Whether it starts with its connections, whose set-up then belongs to it.
    pub const fn is_cold(&self) -> bool {
        matches!(self, Workload::Bulk(_))
    }

    /// Number of logical streams.
    pub const fn streams(&self) -> u16 {
        match self {
            Workload::Bulk(bulk) => bulk.streams,
            Workload::Messages(messages) => messages.streams,
        }
    }

    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// Says which value is wrong and what to write instead.
    pub fn check(&self) -> Result<(), WorkloadError> {
        let fail = |problem: String| Err(WorkloadError { workload: self.name(), problem });
        if self.streams() == 0 || self.streams() > MAX_STREAMS {
            return fail(format!("`streams` is {}; it must lie between 1 and {MAX_STREAMS}", self.streams()));
        }
        let duration = match self {
            Workload::Bulk(bulk) => bulk.duration,
            Workload::Messages(messages) => messages.duration,
        };
        if duration.is_some_and(|d| d == Duration::ZERO || d > MAX_DURATION) {
            return fail("`duration` must be more than 0s and at most 24h".into());
        }
        match self {
            Workload::Bulk(bulk) => {
                match (bulk.bytes, bulk.duration) {
                    (None, None) => return fail("say how much: set `bytes` (as 5MB) or `duration` (as 5s)".into()),
                    (Some(_), Some(_)) => return fail("`bytes` and `duration` exclude each other; set one".into()),
                    _ => {}
                }
                if bulk.bytes.is_some_and(|b| b.bytes() < u64::from(bulk.streams)) {
                    return fail("`bytes` must be at least one for each stream".into());
                }
                if bulk.datagram.is_some_and(|d| !(64..=65_507).contains(&d.bytes())) {
                    return fail("`datagram` must lie between 64B and 65507B".into());
                }
            }
            Workload::Messages(messages) => {
                if messages.size == ByteCount::ZERO || messages.size.bytes() > 1 << 30 {
                    return fail("`size` must lie between 1B and 1GiB".into());
                }
                if messages.spacing == Duration::ZERO {
                    return fail("`spacing` must be more than 0ms; for no pause between messages use `bulk`".into());
                }
                match (messages.count, messages.duration) {
                    (None, None) => return fail("say how many: set `count` (a stream) or `duration`".into()),
                    (Some(_), Some(_)) => return fail("`count` and `duration` exclude each other; set one".into()),
                    (Some(0), None) => return fail("`count` must be at least 1".into()),
                    _ => {}
                }
                let all = u64::from(messages.per_stream()) * u64::from(messages.streams);
                if all > MAX_MESSAGES {
                    return fail(format!("it makes {all} messages; at most {MAX_MESSAGES} fit one trial"));
                }
                if messages.spacing * u64::from(messages.per_stream()) > MAX_DURATION {
                    return fail("it would run for more than 24h".into());
                }
            }
        }
        Ok(())
    }

    /// The messages in order of release. The number of items is bounded by [`Workload::check`].
    pub fn schedule(&self) -> Box<dyn Iterator<Item = Message> + Send + '_> {
        match self {
            Workload::Bulk(bulk) => Box::new((0..bulk.streams).map(|stream| Message {
                stream,
                seq: 0,
                size: bulk.bytes.map(|all| share(all, bulk.streams, stream)),
                release: Duration::ZERO,
            })),
            Workload::Messages(messages) => Box::new((0..messages.per_stream()).flat_map(move |seq| {
                (0..messages.streams).map(move |stream| Message {
                    stream,
                    seq,
                    size: Some(messages.size),
                    release: messages.spacing * u64::from(seq) + messages.lag(stream),
                })
            })),
        }
    }

    /// How long the schedule itself runs, from its start to the last release (or the end of sending).
    pub fn nominal_duration(&self) -> Option<Duration> {
        match self {
            Workload::Bulk(bulk) => bulk.duration,
            Workload::Messages(messages) => Some(messages.spacing * u64::from(messages.per_stream())),
        }
    }

    /// Bytes of payload that a trial of this arm carries, over all streams, before the schedule starts. `bulk`
    /// starts cold, and over `udp` there is no window to open.
    pub fn warmup(&self, arm: Arm) -> ByteCount {
        match self {
            Workload::Messages(messages) if arm.is_reliable => messages.warmup.unwrap_or(Messages::MOST_WARMUP),
            _ => ByteCount::ZERO,
        }
    }

    /// With the warm-up decided that it has on this link.
    #[must_use]
    pub fn on_link(mut self, link: &Link) -> Workload {
        if let Workload::Messages(messages) = &mut self
            && messages.warmup.is_none()
        {
            let rate = link.direction(messages.direction).mean_rate();
            let bdp = rate.map_or(Messages::MOST_WARMUP, |rate| rate.bytes_in(link.rtt()));
            messages.warmup = Some(bdp.min(Messages::MOST_WARMUP));
        }
        self
    }

    /// Bytes of payload in all, where the spec fixes them.
    pub fn total_bytes(&self) -> Option<ByteCount> {
        match self {
            Workload::Bulk(bulk) => bulk.bytes,
            Workload::Messages(messages) => Some(ByteCount::new(
                messages.size.bytes() * u64::from(messages.per_stream()) * u64::from(messages.streams),
            )),
        }
    }
}

impl Messages {
    /// The most that is sent for warm-up where none is asked for, and what is where the link has no rate.
    pub const MOST_WARMUP: ByteCount = ByteCount::new(1_000_000);

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
}

/// The part of `all` that falls to `stream`: even, the first streams taking the remainder.
pub fn share(all: ByteCount, streams: u16, stream: StreamId) -> ByteCount {
    let (n, all) = (u64::from(streams), all.bytes());
    ByteCount::new(all / n + u64::from(u64::from(stream) < all % n))
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Workload::Bulk(bulk) => {
                match (bulk.bytes, bulk.duration) {
                    (Some(bytes), _) => write!(f, "bulk {bytes}")?,
                    (None, Some(duration)) => write!(f, "bulk for {duration}")?,
                    (None, None) => write!(f, "bulk")?,
                }
                let n = bulk.streams;
                write!(f, " {}, {n} stream{}", bulk.direction, if n == 1 { "" } else { "s" })
            }
            Workload::Messages(m) => {
                let (n, all) = (m.streams, u64::from(m.per_stream()) * u64::from(m.streams));
                write!(
                    f,
                    "{all} messages of {} {}, {n} stream{}, one each {} a stream{}",
                    m.size,
                    m.direction,
                    if n == 1 { "" } else { "s" },
                    m.spacing,
                    if m.staggered { "" } else { ", all together" }
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_staggered_evenly_and_in_order() {
        let workload = Workload::Messages(Messages {
            streams: 4,
            spacing: Duration::from_millis(20),
            count: Some(3),
            ..Messages::default()
        });
        let all: Vec<_> = workload.schedule().collect();
        assert_eq!(all.len(), 12);
        assert!(all.windows(2).all(|w| w[1].release - w[0].release == Duration::from_millis(5)));
    }

    #[test]
    fn without_stagger_all_streams_release_at_one_instant() {
        let workload =
            Workload::Messages(Messages { streams: 4, staggered: false, count: Some(3), ..Messages::default() });
        let releases: Vec<_> = workload.schedule().map(|m| m.release.as_nanos() / 1_000_000).collect();
        assert_eq!(releases, [0, 0, 0, 0, 40, 40, 40, 40, 80, 80, 80, 80]);
        assert!(workload.to_string().ends_with("all together"), "{workload}");
    }

    #[test]
    fn a_warm_up_that_is_not_asked_for_is_one_bandwidth_delay_product() {
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

    #[test]
    fn bulk_shares_add_up() {
        let workload = Workload::Bulk(Bulk { streams: 3, bytes: Some(ByteCount::new(1_000_001)), ..Bulk::default() });
        workload.check().unwrap();
        let sum: u64 = workload.schedule().map(|m| m.size.unwrap().bytes()).sum();
        assert_eq!(sum, 1_000_001);
    }

    #[test]
    fn nonsense_is_refused_with_a_remedy() {
        let bad = [
            Workload::Bulk(Bulk::default()),
            Workload::Bulk(Bulk { streams: 0, duration: Some(Duration::from_secs(1)), ..Bulk::default() }),
            Workload::Messages(Messages { count: Some(0), ..Messages::default() }),
            Workload::Messages(Messages { spacing: Duration::ZERO, count: Some(1), ..Messages::default() }),
            Workload::Messages(Messages { count: Some(u32::MAX), ..Messages::default() }),
        ];
        for workload in bad {
            assert!(workload.check().is_err(), "{workload:?}");
        }
    }
}
