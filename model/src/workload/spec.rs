//! What every workload says of itself, and the bounds that hold for all of them.

use std::fmt;

use super::MessageId;
use super::arrivals::Arrivals;
use super::coding::Content;
use super::driver::Driver;
use super::stream::MAX_STREAMS;
use super::table::{Block, Table};
use crate::arm::Arm;
use crate::book::Keeping;
use crate::end::End;
use crate::link::{Direction, Link};
use crate::units::{ByteCount, Duration};

/// More messages than this in one trial would not fit the memory of a small machine.
pub(super) const MAX_MESSAGES: u64 = 10_000_000;

/// No workload runs longer than this.
pub(super) const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);

/// The most that is sent for warm-up where none is asked for, and what is where the link has no rate.
pub const MOST_WARMUP: ByteCount = ByteCount::new(1_000_000);

/// Most servers of a workload: each has ports of its own.
pub const MOST_SERVERS: u16 = 100;

/// What every workload says of itself.
pub(super) trait Spec: fmt::Display {
    /// Its name as typed.
    fn name(&self) -> &'static str;

    /// The parameters that an experiment may vary.
    fn axes(&self) -> &'static [&'static str];

    /// Takes away what excludes the parameter that is about to be set.
    fn clear_rival_of(&mut self, axis: &str);

    /// Says what is wrong with its parameters, and what to write instead.
    fn check(&self) -> Result<(), String>;

    /// The direction of its payload, or of most of it.
    fn direction(&self) -> Direction;

    /// Whether it starts with its connections, whose set-up then belongs to it.
    fn is_cold(&self) -> bool {
        false
    }

    /// Number of logical streams.
    fn streams(&self) -> u16;

    /// Servers that it needs: one, or one for each stream.
    fn servers(&self) -> u16 {
        1
    }

    /// The round trip to a server beyond the link's.
    fn extra_rtt(&self, _server: u16) -> Duration {
        Duration::ZERO
    }

    /// The messages that may go in a direction; `None` where none do.
    fn block(&self, direction: Direction) -> Option<Block>;

    /// What the bytes of the messages in a direction are.
    fn content(&self, _direction: Direction) -> Content {
        Content::Random
    }

    /// Adds its streams to a table.
    fn fill(&self, table: &mut Table) {
        table.add_of(self.content(table.direction()), self.streams(), self.block(table.direction()));
    }

    /// From the start of the schedule to the last release by the clock, or the end of sending, where the spec says it.
    fn nominal_duration(&self) -> Option<Duration>;

    /// How much longer than that it may take where nothing is wrong, the transfer of its bytes apart; `rtt` is the
    /// path's round trip.
    fn patience(&self, _rtt: Duration) -> Duration {
        Duration::ZERO
    }

    /// Bytes of payload in all, where the spec says how many are to be expected.
    fn total_bytes(&self) -> Option<ByteCount>;

    /// Bytes of warm-up in each direction that carries messages; `None` of a workload that has none.
    fn warmup(&self) -> Option<ByteCount> {
        None
    }

    /// Decides what the link decides where nothing was asked for.
    fn settle_on(&mut self, _link: &Link) {}

    /// Takes away what makes no difference on an arm, so that the record says what was done.
    fn settle_for(&mut self, _arm: Arm) {}

    /// Says what cannot be done by this arm on any link, and what to do instead.
    fn check_for(&self, _arm: Arm) -> Result<(), String> {
        Ok(())
    }

    /// Says what cannot be done by this arm on this link, and what to do instead.
    fn check_on(&self, _arm: Arm, _link: &Link) -> Result<(), String> {
        Ok(())
    }

    /// Whether every message of the server is released by one of the client's, which it answers.
    fn is_dialogue(&self) -> bool {
        false
    }

    /// Whether packets can be attributed to its messages: connections are known by their ports, so none may be used twice.
    fn is_attributable(&self) -> bool {
        true
    }

    /// Which end closes a connection first that served one exchange.
    fn closes_first(&self) -> End {
        End::Client
    }

    /// Where its server keeps a book; `None` of a workload without one.
    fn book(&self) -> Option<Keeping> {
        None
    }

    /// Messages that are released in a direction within any such time, in all at most.
    fn most_released_in(&self, direction: Direction, _time: Duration) -> u64 {
        self.block(direction).map_or(0, |block| block.len() as u64)
    }

    /// Whether an operation begins with this message: whatever released it is no part of how long the operation takes.
    fn begins(&self, _message: MessageId) -> bool {
        false
    }

    /// The driver of the end that sends the messages of `outgoing` and receives those of `incoming`: its own, which
    /// have the last of their streams.
    fn driver(&self, outgoing: Table, incoming: Table) -> Box<dyn Driver>;
}

/// The warm-up in both directions on this link: the smaller of its two bandwidth-delay products.
pub(super) fn warmup_both_ways(link: &Link) -> ByteCount {
    let bdp = |way| link.direction(way).mean_rate().map(|rate| rate.bytes_in(link.rtt()));
    Direction::BOTH.into_iter().filter_map(bdp).min().unwrap_or(MOST_WARMUP).min(MOST_WARMUP)
}

pub(super) fn check_streams(streams: u16) -> Result<(), String> {
    match streams {
        1..=MAX_STREAMS => Ok(()),
        n => Err(format!("`streams` is {n}; it must lie between 1 and {MAX_STREAMS}")),
    }
}

/// Refuses an open loop of which it is not said how long it goes on, or said twice.
pub(super) fn check_count_or_duration(count: Option<u32>, duration: Option<Duration>) -> Result<(), String> {
    match (count, duration) {
        (None, None) => Err("say how many: set `count` (in all) or `duration`".into()),
        (Some(_), Some(_)) => Err("`count` and `duration` exclude each other; set one".into()),
        _ => check_duration(duration),
    }
}

/// Refuses a rate at which nothing is released, or more than can be.
pub(super) fn check_rate(per_second: f64, most: f64) -> Result<(), String> {
    if per_second > 0.0 && per_second <= most {
        return Ok(());
    }
    Err(format!("`per-second` is {per_second}; it must be above 0 and at most {most}"))
}

/// An open loop, or a closed one, by the parameters that say so.
pub(super) struct Loop {
    /// Operations in flight at a time (closed).
    pub(super) outstanding: Option<u16>,
    /// Operations a second (open).
    pub(super) per_second: Option<f64>,
    /// How they follow each other in an open loop.
    pub(super) arrivals: Arrivals,
    /// Operations in all.
    pub(super) count: Option<u32>,
    /// Time for which an open loop begins operations.
    pub(super) duration: Option<Duration>,
}

impl Loop {
    /// Most operations in flight.
    const MOST_OUTSTANDING: u16 = 100;

    /// Refuses what is neither of both, or both; `when` is what is to be said, and `most` is a second.
    pub(super) fn check(&self, when: &str, most: f64) -> Result<(), String> {
        let most_outstanding = Self::MOST_OUTSTANDING;
        match (self.outstanding, self.per_second) {
            (None, None) => {
                Err(format!("say when {when}: set `outstanding` (closed loop) or `per-second` (open loop)"))
            }
            (Some(_), Some(_)) => {
                Err("`outstanding` (closed loop) and `per-second` (open loop) exclude each other; set one".into())
            }
            (Some(n), None) if !(1..=most_outstanding).contains(&n) => {
                Err(format!("`outstanding` is {n}; it must lie between 1 and {most_outstanding}"))
            }
            (Some(_), None) if self.arrivals != Arrivals::Even => {
                Err("`arrivals` is for an open loop; leave it out, or set `per-second` in place of `outstanding`"
                    .into())
            }
            (Some(_), None) if self.duration.is_some() || self.count.is_none() => {
                Err("a closed loop needs `count`, the operations in all, and no `duration`".into())
            }
            (Some(_), None) => Ok(()),
            (None, Some(rate)) => {
                check_rate(rate, most)?;
                check_count_or_duration(self.count, self.duration)
            }
        }
    }
}

/// Takes away what excludes `axis`, where that is one of the two.
pub(super) fn clear_count_or_duration(axis: &str, count: &mut Option<u32>, duration: &mut Option<Duration>) {
    match axis {
        "count" => *duration = None,
        "duration" => *count = None,
        _ => {}
    }
}

/// Refuses to wait for nothing, or for very long.
pub(super) fn check_timeout(timeout: Duration) -> Result<(), String> {
    if timeout == Duration::ZERO || timeout > Duration::from_secs(3600) {
        return Err("`timeout` must be more than 0s and at most 1h".into());
    }
    Ok(())
}

/// Refuses what goes on for too long; nothing where that is not known.
pub(super) fn check_run_time(run_time: Option<Duration>) -> Result<(), String> {
    if run_time.is_some_and(|run_time| run_time > MAX_DURATION) {
        return Err("it would run for more than 24h".into());
    }
    Ok(())
}

pub(super) fn check_duration(duration: Option<Duration>) -> Result<(), String> {
    match duration {
        Some(duration) if duration == Duration::ZERO || duration > MAX_DURATION => {
            Err("`duration` must be more than 0s and at most 24h".into())
        }
        _ => Ok(()),
    }
}
