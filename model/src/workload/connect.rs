//! `connect`: many short exchanges, for which connections are made and closed, or kept in a pool.
//!
//! What is sent is what [`Rpc`] sends. The arm says how connections serve it: one for each exchange, or a pool of one for
//! each stream. The end that closes a connection first keeps its port in TIME-WAIT (RFC 9293, section 3.6.1), on Linux for
//! 60 s: where ports run out, no connection can be made, and the exchange has failed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::arrivals::Arrivals;
use super::driver::Driver;
use super::message::MessageId;
use super::rpc::Rpc;
use super::size::Size;
use super::spec::{Spec, clear_count_or_duration};
use super::table::{Block, Table};
use crate::end::End;
use crate::link::{Direction, Link};
use crate::units::{ByteCount, Duration};

/// Exchanges of a request and a response. Exactly one of `per-second` and `outstanding` is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Connect {
    /// Open loop: so many exchanges are begun a second, whatever became of those before.
    pub per_second: Option<f64>,
    /// Closed loop: so many exchanges are under way at a time.
    pub outstanding: Option<u16>,
    /// How they follow each other in an open loop.
    pub arrivals: Arrivals,
    /// Streams that the exchanges of an open loop take in turn: the connections of the pool, where each stream has one;
    /// 16 where it is absent. A closed loop has as many as are under way.
    pub pool: Option<u16>,
    /// Exchanges in all.
    pub count: Option<u32>,
    /// Time for which an open loop begins exchanges, in the mean.
    pub duration: Option<Duration>,
    /// Size of a request.
    pub request: Size,
    /// Size of a response.
    pub response: Size,
    /// Which end closes a connection first, where each exchange has one.
    pub closes: End,
    /// How long an exchange is waited for: one that takes longer counts as unanswered.
    pub timeout: Duration,
    /// Bytes sent for warm-up in each direction over the connections of a pool, as for `messages`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<ByteCount>,
}

impl Default for Connect {
    fn default() -> Self {
        Connect {
            per_second: None,
            outstanding: None,
            arrivals: Arrivals::Even,
            pool: None,
            count: None,
            duration: None,
            request: Size::Fixed(ByteCount::new(200)),
            response: Size::Fixed(ByteCount::new(1000)),
            closes: End::Client,
            timeout: Duration::from_secs(5),
            warmup: None,
        }
    }
}

impl Connect {
    /// Its exchanges as requests and responses.
    pub fn exchanges(&self) -> Rpc {
        Rpc {
            per_second: self.per_second,
            outstanding: self.outstanding,
            arrivals: self.arrivals,
            streams: self.pool,
            count: self.count,
            duration: self.duration,
            request: self.request,
            response: self.response,
            timeout: self.timeout,
            warmup: self.warmup,
            ..Rpc::default()
        }
    }
}

impl Spec for Connect {
    fn name(&self) -> &'static str {
        "connect"
    }

    fn axes(&self) -> &'static [&'static str] {
        &[
            "per-second",
            "outstanding",
            "arrivals",
            "pool",
            "count",
            "duration",
            "request",
            "response",
            "closes",
            "timeout",
            "warmup",
        ]
    }

    fn clear_rival_of(&mut self, axis: &str) {
        clear_count_or_duration(axis, &mut self.count, &mut self.duration);
    }

    fn check(&self) -> Result<(), String> {
        match (self.pool, self.outstanding) {
            (Some(0), _) => {
                Err("`pool` is 0: without a connection there is no exchange; give at least 1, or leave it out \
                                 for 16"
                    .into())
            }
            (Some(_), Some(_)) => {
                Err("`pool` is for an open loop; a closed one has a connection for each of its `outstanding`".into())
            }
            _ => self.exchanges().check(),
        }
    }

    fn direction(&self) -> Direction {
        Direction::Down
    }

    fn streams(&self) -> u16 {
        self.exchanges().streams()
    }

    fn block(&self, direction: Direction) -> Option<Block> {
        self.exchanges().block(direction)
    }

    fn nominal_duration(&self) -> Option<Duration> {
        self.exchanges().nominal_duration()
    }

    fn patience(&self, rtt: Duration) -> Duration {
        self.exchanges().patience(rtt)
    }

    fn total_bytes(&self) -> Option<ByteCount> {
        self.exchanges().total_bytes()
    }

    fn warmup(&self) -> Option<ByteCount> {
        self.exchanges().warmup()
    }

    fn settle_on(&mut self, link: &Link) {
        let mut exchanges = self.exchanges();
        exchanges.settle_on(link);
        self.warmup = exchanges.warmup;
    }

    fn is_dialogue(&self) -> bool {
        true
    }

    fn is_attributable(&self) -> bool {
        false
    }

    fn closes_first(&self) -> End {
        self.closes
    }

    fn most_released_in(&self, direction: Direction, time: Duration) -> u64 {
        self.exchanges().most_released_in(direction, time)
    }

    fn begins(&self, message: MessageId) -> bool {
        self.exchanges().begins(message)
    }

    fn driver(&self, outgoing: Table, incoming: Table) -> Box<dyn Driver> {
        self.exchanges().driver(outgoing, incoming)
    }
}

impl fmt::Display for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.exchanges().operations();
        match (self.outstanding, self.per_second) {
            (Some(outstanding), _) => write!(f, "{n} exchanges, {outstanding} at a time")?,
            (None, rate) => {
                let how = if self.arrivals == Arrivals::Poisson { "Poisson, " } else { "" };
                write!(f, "{n} exchanges, {how}{} a second", rate.unwrap_or_default())?;
            }
        }
        let closes = if self.closes == End::Client { "client" } else { "server" };
        write!(f, ", request {}, response {}, the {closes} closes first", self.request, self.response)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Workload;
    use super::super::simulation::properties;
    use super::*;
    use proptest::prelude::*;

    fn connects() -> impl Strategy<Value = Workload> {
        (1u32..300, 1u32..60, 1u16..20, any::<bool>()).prop_map(|(rate, count, pool, open)| {
            let closed = (!open).then_some(pool);
            Workload::Connect(Connect {
                per_second: open.then_some(f64::from(rate)),
                outstanding: closed,
                pool: open.then_some(pool),
                count: Some(count),
                ..Connect::default()
            })
        })
    }

    properties!(connects());

    #[test]
    fn a_pool_of_none_is_refused_by_name() {
        let open = Connect { per_second: Some(10.0), count: Some(10), ..Connect::default() };
        for (connect, remedy) in [
            (Connect { pool: Some(0), ..open.clone() }, "`pool` is 0"),
            (
                Connect { pool: Some(3), outstanding: Some(3), per_second: None, ..open.clone() },
                "`pool` is for an open loop",
            ),
            (Connect { count: None, ..open.clone() }, "`count` (in all) or `duration`"),
            (Connect { per_second: None, ..open }, "`outstanding` (closed loop) or `per-second`"),
        ] {
            let said = Workload::Connect(connect).check().unwrap_err().to_string();
            assert!(said.starts_with("workload `connect`") && said.contains(remedy), "{said}");
        }
    }
}
