//! `query`: one datagram and its answer, as of the Domain Name System, tried again by the application.
//!
//! Over datagrams nothing but the application's own timer notices that a query or its answer was lost: it decides how
//! long a query takes then ([`Resolver`]). A try is a message of its own, the server answers each that it gets, and
//! the first answer to any of them answers the query. Over a reliable transport, which sends again what was lost by
//! itself, a client asks once, and waits as long as it would for all its tries.
//!
//! Try `k` of a stream's query `n` has the number `n × tries + k - 1`, and so has its answer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::arrivals::Arrivals;
use super::draw;
use super::driver::{Action, Driver, Event, wake_or_end};
use super::message::{Class, MessageId, Release};
use super::retry::{Resolver, Retry};
use super::rpc::Rpc;
use super::size::Size;
use super::spec::{
    MAX_MESSAGES, Spec, check_count_or_duration, check_rate, check_run_time, check_streams, clear_count_or_duration,
};
use super::stream::StreamId;
use super::table::{Block, Lengths, Table};
use crate::arm::Arm;
use crate::link::Direction;
use crate::units::{ByteCount, Duration};

/// Most queries a second.
const MOST_PER_SECOND: f64 = 10_000.0;

/// Queries and their answers (open loop). Exactly one of `count` and `duration` is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Query {
    /// Queries a second.
    pub per_second: f64,
    /// How they follow each other.
    pub arrivals: Arrivals,
    /// Logical streams, which queries take in turn.
    pub streams: u16,
    /// Queries in all.
    pub count: Option<u32>,
    /// Time for which queries are made, in the mean.
    pub duration: Option<Duration>,
    /// Size of a query.
    pub request: Size,
    /// Size of an answer.
    pub response: Size,
    /// Whose rule the client tries again by.
    pub retry: Resolver,
    /// How long the first try is waited for, in place of the rule's.
    pub timeout: Option<Duration>,
    /// Tries in all, in place of the rule's.
    pub tries: Option<u32>,
    /// How long the server works on a query.
    pub service: Duration,
    /// The latency above which an answer comes too late to please.
    pub bound: Duration,
    /// Whether it starts with its connections, so that the first query waits for them, on arms that have a handshake.
    pub cold: bool,
}

impl Default for Query {
    fn default() -> Self {
        Query {
            per_second: 5.0,
            arrivals: Arrivals::Poisson,
            streams: 16,
            count: None,
            duration: None,
            request: Size::Fixed(ByteCount::new(50)),
            response: Size::Fixed(ByteCount::new(200)),
            retry: Resolver::Glibc,
            timeout: None,
            tries: None,
            service: Duration::ZERO,
            bound: Duration::from_millis(250),
            cold: false,
        }
    }
}

impl Query {
    /// Queries in all.
    pub fn queries(&self) -> u32 {
        match (self.count, self.duration) {
            (Some(count), _) => count,
            (None, Some(duration)) => (duration.as_secs_f64() * self.per_second).round() as u32,
            (None, None) => 0,
        }
    }

    /// When a query is tried again.
    pub fn rule(&self) -> Retry {
        self.retry.rule_with(self.timeout, self.tries)
    }

    /// Messages of a stream and direction at most.
    fn per_stream(&self) -> u32 {
        self.queries().div_ceil(u32::from(self.streams.max(1))).saturating_mul(self.rule().tries)
    }

    /// The server, which answers each message that comes.
    fn server(&self) -> Rpc {
        Rpc { streams: Some(self.streams), service: self.service, ..Rpc::default() }
    }
}

impl Spec for Query {
    fn name(&self) -> &'static str {
        "query"
    }

    fn axes(&self) -> &'static [&'static str] {
        &[
            "per-second",
            "arrivals",
            "streams",
            "count",
            "duration",
            "request",
            "response",
            "retry",
            "timeout",
            "tries",
            "service",
            "bound",
            "cold",
        ]
    }

    fn clear_rival_of(&mut self, axis: &str) {
        clear_count_or_duration(axis, &mut self.count, &mut self.duration);
    }

    fn check(&self) -> Result<(), String> {
        let fail = |problem: &str| Err(problem.to_owned());
        check_rate(self.per_second, MOST_PER_SECOND)?;
        check_count_or_duration(self.count, self.duration)?;
        check_streams(self.streams)?;
        if self.queries() == 0 {
            return fail("it makes no query; `count` must be at least 1, or `duration` longer");
        }
        self.request.check("request")?;
        self.response.check("response")?;
        self.retry.check(self.timeout, self.tries, "")?;
        let hour = Duration::from_secs(3600);
        if self.service > hour {
            return fail("`service` must be at most 1h");
        }
        if self.bound == Duration::ZERO || self.bound > hour {
            return fail("`bound` must be more than 0s and at most 1h");
        }
        let all = 2 * u64::from(self.per_stream()) * u64::from(self.streams);
        if all > MAX_MESSAGES {
            return Err(format!("it makes up to {all} messages; at most {MAX_MESSAGES} fit one trial"));
        }
        check_run_time(self.nominal_duration())
    }

    fn direction(&self) -> Direction {
        Direction::Down
    }

    fn is_cold(&self) -> bool {
        self.cold
    }

    fn streams(&self) -> u16 {
        self.streams
    }

    fn block(&self, direction: Direction) -> Option<Block> {
        let size = match direction {
            Direction::Up => self.request,
            Direction::Down => self.response,
        };
        let lengths = Lengths::Drawn { size, sum_of: 1, one_byte_from: u32::MAX };
        Some(Block { streams: self.streams, per_stream: self.per_stream(), class: Class::Latency, lengths })
    }

    fn nominal_duration(&self) -> Option<Duration> {
        Some(Duration::from_nanos((f64::from(self.queries()) / self.per_second * 1e9) as u64))
    }

    fn patience(&self, _rtt: Duration) -> Duration {
        self.rule().longest() + self.service
    }

    fn total_bytes(&self) -> Option<ByteCount> {
        let each = self.request.mean() + self.response.mean();
        Some(ByteCount::new((each * f64::from(self.queries())) as u64))
    }

    fn settle_for(&mut self, arm: Arm) {
        if arm.is_reliable {
            self.timeout = Some(self.rule().longest());
            (self.retry, self.tries) = (Resolver::None, None);
        }
        // The first datagram is the query: there is nothing that it would wait for.
        self.cold &= arm.handshake_round_trips.is_some();
    }

    fn most_released_in(&self, _direction: Direction, time: Duration) -> u64 {
        let tries = u64::from(self.rule().tries);
        // Twice as many as in the mean, for those that are drawn close together.
        let most = (2.0 * self.per_second * time.as_secs_f64()).ceil() as u64 + 16;
        tries * most.min(u64::from(self.queries()))
    }

    fn begins(&self, message: MessageId) -> bool {
        message.direction == Direction::Up
    }

    fn is_dialogue(&self) -> bool {
        true
    }

    fn driver(&self, outgoing: Table, incoming: Table) -> Box<dyn Driver> {
        match outgoing.direction() {
            Direction::Up => Box::new(Client {
                rule: self.rule(),
                spec: self.clone(),
                first: outgoing.streams() - self.streams,
                table: outgoing,
                next: 0,
                next_at: Duration::ZERO,
                pending: BTreeMap::new(),
                timers: BinaryHeap::new(),
                is_done: false,
            }),
            Direction::Down => self.server().driver(outgoing, incoming),
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.queries();
        let s = if n == 1 { "y" } else { "ies" };
        let how = if self.arrivals == Arrivals::Poisson { "Poisson, " } else { "" };
        write!(f, "{n} quer{s}, {how}{} a second, query {}, answer {}", self.per_second, self.request, self.response)?;
        write!(f, ", {}", self.rule())?;
        if self.service > Duration::ZERO {
            write!(f, ", service {}", self.service)?;
        }
        if self.cold { write!(f, ", cold") } else { Ok(()) }
    }
}

/// A query that was made and is neither answered nor given up.
#[derive(Debug, Clone, Copy)]
struct Pending {
    /// How often it was tried.
    tried: u32,
    /// When it is given up at the latest.
    deadline: Duration,
}

/// The driver of the end that asks. A query is known by its number in the order of their release.
#[derive(Debug)]
struct Client {
    spec: Query,
    rule: Retry,
    table: Table,
    first: StreamId,
    /// The next query, and when it is made.
    next: u32,
    next_at: Duration,
    pending: BTreeMap<u32, Pending>,
    /// When what is pending is tried again or given up; of queries that are over, too.
    timers: BinaryHeap<Reverse<(Duration, u32)>>,
    is_done: bool,
}

impl Client {
    fn id(&self, query: u32, attempt: u32) -> MessageId {
        let streams = u32::from(self.spec.streams);
        let stream = self.first + (query % streams) as StreamId;
        MessageId { direction: Direction::Up, stream, seq: query / streams * self.rule.tries + attempt - 1 }
    }

    /// Makes what is due of a query: its first try, its next, or none more.
    fn go_on(&mut self, query: u32, at: Duration, actions: &mut Vec<Action>) {
        let fresh = Pending { tried: 0, deadline: at + self.rule.longest() };
        let pending = self.pending.entry(query).or_insert(fresh);
        if pending.tried == self.rule.tries {
            self.pending.remove(&query);
            actions.extend((1..=self.rule.tries).map(|attempt| Action::Cancel(self.id(query, attempt))));
            return;
        }
        pending.tried += 1;
        let Pending { tried, deadline } = *pending;
        let id = self.id(query, tried);
        let length = self.table.length(id.stream, id.seq).expect("the table has every try of every query");
        let deadline = Some(deadline);
        actions.push(Action::Send(Release { attempt: tried, deadline, ..Release::by_the_clock(id, length, at) }));
        // Nothing of these rules is drawn.
        let wait = self.rule.until_next(tried, 0);
        self.timers.push(Reverse((at + wait, query)));
    }

    /// Makes the queries that are due by now.
    fn release(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while let Some(at) = self.next_release().filter(|at| *at <= now) {
            self.go_on(self.next, at, actions);
            let bits = draw::bits(self.table.seed() ^ ARRIVAL, self.id(self.next, 1));
            self.next += 1;
            self.next_at = self.spec.arrivals.release(self.next, at, self.spec.per_second, bits);
        }
    }

    /// When the next query is made; `None` where there is none.
    fn next_release(&self) -> Option<Duration> {
        (self.next < self.spec.queries()).then_some(self.next_at)
    }

    /// Tries again, or gives up, what was not answered in time.
    fn expire(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while let Some(Reverse((at, query))) = self.timers.peek().copied() {
            let is_pending = self.pending.contains_key(&query);
            if is_pending && at > now {
                break;
            }
            self.timers.pop();
            if is_pending {
                self.go_on(query, at, actions);
            }
        }
    }

    fn answered(&mut self, id: MessageId) {
        let (streams, n) = (u32::from(self.spec.streams), id.seq / self.rule.tries);
        self.pending.remove(&(n * streams + u32::from(id.stream - self.first)));
    }
}

/// Sets the draws of releases apart from those of sizes.
const ARRIVAL: u64 = 0x6172_7269_7661_6c21;

impl Driver for Client {
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        if self.is_done {
            return;
        }
        if let Event::Delivered(id) = event {
            self.answered(id);
        }
        self.release(now, actions);
        self.expire(now, actions);
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        wake_or_end(self.next_release().into_iter().chain(timer).min(), &mut self.is_done, actions);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Workload;
    use super::super::simulation::{Network, both_ends, properties};
    use super::*;
    use crate::queries::Queries;
    use proptest::prelude::*;

    properties!((1u32..100, 1u32..60, 1u16..20, 1u32..5, 1u64..700, any::<bool>()).prop_map(
        |(rate, count, streams, tries, timeout, even)| {
            Workload::Query(Query {
                per_second: f64::from(rate),
                arrivals: if even { Arrivals::Even } else { Arrivals::Poisson },
                count: Some(count),
                streams,
                tries: Some(tries),
                timeout: Some(Duration::from_millis(timeout)),
                ..Query::default()
            })
        }
    ));

    /// As many as tell a loss of 10 % from 7 % and from 13 % by the second try, too.
    const MANY: u32 = 5_200;

    #[test]
    fn success_by_each_try_is_that_of_theory() {
        let (p, n) = (26.0 / 256.0, f64::from(MANY));
        let query = Query {
            per_second: 50.0,
            count: Some(MANY),
            timeout: Some(Duration::from_millis(200)),
            tries: Some(3),
            ..Query::default()
        };
        let workload = Workload::Query(query.clone());
        workload.check().unwrap();
        let played = both_ends(&workload, 7, Network { lost: 26, ..Network::default() });
        let queries = Queries::of(&query, 0..query.streams, &played.records());
        assert_eq!(queries.released, MANY);
        let by = |p: f64, tries: i32| 1.0 - (1.0 - (1.0 - p).powi(2)).powi(tries);
        let spread = |share: f64| (share * (1.0 - share) / n).sqrt();
        for tries in 1..=3 {
            let (share, expected) = (f64::from(queries.answered_by(tries)) / n, by(p, tries as i32));
            assert!((share - expected).abs() < 3.9 * spread(expected), "by try {tries}: {share}, not {expected}");
            for wrong in [0.7 * p, 1.3 * p].map(|p| by(p, tries as i32)).into_iter().filter(|_| tries < 3) {
                let apart = (wrong - expected).abs() - 3.9 * (spread(expected) + spread(wrong));
                assert!(apart > 0.0, "{wrong} would not be told from {expected}");
            }
        }
        let failed = 1.0 - by(p, 1);
        let tries = f64::from(queries.tries) / n;
        assert!((tries - (1.0 + failed + failed * failed)).abs() < 0.04, "{tries} tries a query");
        // A try that is answered takes a round trip; one that is not, its timer.
        let latencies = |attempt: u32| {
            let of_try = queries.answers.iter().filter(move |answer| answer.attempt == attempt);
            of_try.map(|answer| answer.latency / 1_000_000).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!([1, 2, 3].map(|n| latencies(n).into_iter().collect::<Vec<_>>()), [[60], [260], [460]]);
    }

    #[test]
    fn an_answer_to_any_try_answers_the_query() {
        // Each try is answered later than the next is made, so all are made, and the first answer counts.
        let query =
            Query { count: Some(20), timeout: Some(Duration::from_millis(40)), tries: Some(2), ..Query::default() };
        let played = both_ends(&Workload::Query(query.clone()), 1, Network::default());
        let queries = Queries::of(&query, 0..16, &played.records());
        assert_eq!((queries.released, queries.tries, queries.answers.len()), (20, 40, 20));
        assert!(queries.answers.iter().all(|answer| (answer.attempt, answer.latency) == (1, 60_000_000)));
        let answers = played.delivered.keys().filter(|id| id.direction == Direction::Down).count();
        assert_eq!(answers, 40, "the server answers each request that it gets");
    }

    #[test]
    fn a_reliable_transport_is_asked_once() {
        let of = |arm: &str| {
            let query = Query { count: Some(1), retry: Resolver::Unbound, cold: true, ..Query::default() };
            match Workload::Query(query).for_arm(arm.parse().unwrap()) {
                Workload::Query(query) => query,
                _ => unreachable!("it is what was given"),
            }
        };
        assert_eq!((of("udp").rule().tries, of("udp").retry), (6, Resolver::Unbound));
        assert_eq!((of("udp").cold, of("tcp").cold), (false, true));
        assert_eq!((of("tcp").retry, of("tcp").rule()), (Resolver::None, Retry::never(Duration::from_millis(23_688))));
    }

    #[test]
    fn impossible_parameters_are_named_with_the_remedy() {
        let some = Query { count: Some(1), ..Query::default() };
        let bad = [
            (Query::default(), "set `count`"),
            (Query { per_second: 0.0, ..some.clone() }, "`per-second` is 0"),
            (Query { count: Some(0), ..some.clone() }, "makes no query"),
            (Query { tries: Some(0), ..some.clone() }, "`tries` is 0"),
            (Query { tries: Some(2), retry: Resolver::None, ..some.clone() }, "`retry` is `none`"),
            (Query { timeout: Some(Duration::ZERO), ..some.clone() }, "`timeout` must be more"),
            (
                Query {
                    retry: Resolver::Unbound,
                    tries: Some(90),
                    timeout: Some(Duration::from_secs(3600)),
                    ..some.clone()
                },
                "fewer `tries`",
            ),
            (Query { bound: Duration::ZERO, ..some.clone() }, "`bound` must be more"),
            (Query { request: Size::Fixed(ByteCount::ZERO), ..some.clone() }, "`request` must lie"),
            (Query { streams: 0, ..some.clone() }, "`streams` is 0"),
            (Query { duration: Some(Duration::from_secs(1)), ..some }, "exclude each other"),
        ];
        for (query, remedy) in bad {
            let said = Workload::Query(query).check().unwrap_err().to_string();
            assert!(said.contains(remedy), "{said}");
        }
    }
}
