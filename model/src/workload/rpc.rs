//! `rpc`: request and response, in a closed loop or an open one, with a server that has so many workers.
//!
//! An **operation** is one request and its response, or several of them: in sequence (chatty), or in one request of as
//! many times the size (batched). Its latency counts from when its first request was meant to be released until its
//! last response was delivered.
//!
//! The response to a request has the request's stream and number. A server that is busy refuses with a message of one
//! byte, whose number is the request's and the number of all requests of a stream: so it is told apart in the table.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::arrivals::Arrivals;
use super::coding::{Coding, Compression, Content, MOST_TEXT};
use super::draw;
use super::driver::{Action, Driver, Event, wake_or_end};
use super::message::{Class, MessageId, Release};
use super::service::{Server, Service, ServiceTimes};
use super::size::Size;
use super::spec::{
    Loop, MAX_MESSAGES, MOST_WARMUP, Spec, check_run_time, check_streams, check_timeout, clear_count_or_duration,
    warmup_both_ways,
};
use super::stream::StreamId;
use super::table::{Block, Lengths, Table};
use crate::arm::{Arm, OrderingDomain};
use crate::link::{Direction, Link};
use crate::units::{ByteCount, Duration, Probability};

/// Most operations a second in an open loop.
const MOST_PER_SECOND: f64 = 100_000.0;

/// Streams of an open loop where nothing is asked for.
const STREAMS: u16 = 16;

/// Requests and responses. Exactly one of `outstanding` and `per-second` is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rpc {
    /// Closed loop: so many operations are in flight, one on each stream, and one that is over releases the next.
    pub outstanding: Option<u16>,
    /// Open loop: so many operations are released a second, whatever became of those before.
    pub per_second: Option<f64>,
    /// How they follow each other in an open loop.
    pub arrivals: Arrivals,
    /// Logical streams of an open loop, which its operations take in turn; 16 where it is absent.
    pub streams: Option<u16>,
    /// Operations in all. A closed loop needs it; an open one has it, or `duration`.
    pub count: Option<u32>,
    /// Time for which an open loop releases operations, in the mean.
    pub duration: Option<Duration>,
    /// Size of a request.
    pub request: Size,
    /// Size of a response, before it is compressed.
    pub response: Size,
    /// How responses are compressed. Where it is said, `none` included, a response is a text as an API returns it; absent,
    /// it is of random bytes, which nothing makes fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// How hard the coder tries; absent, 6 of gzip and 3 of Zstandard, as they have it themselves. It makes no difference
    /// to `none`, so that one may vary `compression` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression_level: Option<u8>,
    /// Requests of an operation.
    pub calls: u16,
    /// Whether they are one request of as many times the size (batched), or follow each other, each released by the
    /// response to the one before (chatty).
    pub batched: bool,
    /// How long the server works on a request; on a batched one, as many times as long.
    pub service: Duration,
    /// Whether that is how long it works on each request, or the mean of what is drawn for it.
    #[serde(skip_serializing_if = "ServiceTimes::are_equal")]
    pub service_times: ServiceTimes,
    /// Requests that the server works on at a time; absent, any number.
    pub workers: Option<u16>,
    /// Requests that wait for a worker at most: more are refused. Goes with `workers`; absent, 64.
    pub backlog: Option<u32>,
    /// How long an operation is waited for: one that takes longer counts as unanswered.
    pub timeout: Duration,
    /// Whether it starts with its connections, so that the first operation waits for them, on arms that have a handshake.
    pub cold: bool,
    /// Bytes sent for warm-up in each direction where it is not cold, as for `messages`. Absent: the smaller of the
    /// link's two bandwidth-delay products.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<ByteCount>,
}

impl Default for Rpc {
    fn default() -> Self {
        Rpc {
            outstanding: None,
            per_second: None,
            arrivals: Arrivals::Even,
            streams: None,
            count: None,
            duration: None,
            request: Size::Fixed(ByteCount::new(200)),
            response: Size::Fixed(ByteCount::new(1000)),
            compression: None,
            compression_level: None,
            calls: 1,
            batched: false,
            service: Duration::ZERO,
            service_times: ServiceTimes::Fixed,
            workers: None,
            backlog: None,
            timeout: Duration::from_secs(5),
            cold: false,
            warmup: None,
        }
    }
}

impl Rpc {
    /// Operations in all.
    pub fn operations(&self) -> u32 {
        match (self.count, self.duration, self.per_second) {
            (Some(count), ..) => count,
            (None, Some(duration), Some(rate)) => (duration.as_secs_f64() * rate).round() as u32,
            _ => 0,
        }
    }

    /// Operations of a stream at most.
    fn per_stream(&self) -> u32 {
        self.operations().div_ceil(u32::from(self.streams().max(1)))
    }

    /// Requests of an operation that are messages of their own.
    pub fn requests(&self) -> u32 {
        if self.batched { 1 } else { u32::from(self.calls) }
    }

    /// Whether an operation begins with this message.
    pub fn begins(&self, message: MessageId) -> bool {
        message.direction == Direction::Up && message.seq.is_multiple_of(self.requests())
    }

    /// Requests of an operation that are in one message.
    const fn in_one(&self) -> u16 {
        if self.batched { self.calls } else { 1 }
    }

    /// Requests of a stream at most; a refusal's number is that of its request and this.
    pub fn requests_of_stream(&self) -> u32 {
        self.per_stream().saturating_mul(self.requests())
    }

    /// The server.
    const fn server(&self) -> Service {
        let Rpc { service: time, service_times: times, workers, backlog, .. } = *self;
        Service { time, times, workers, backlog, slow: (Probability::ZERO, Duration::ZERO) }
    }

    /// The coding of responses; `None` where they cross the wire as they are.
    pub fn coding(&self) -> Option<Coding> {
        let codec = self.compression?.codec()?;
        Some(Coding { codec, level: self.compression_level.unwrap_or(codec.default_level()) })
    }

    /// Says what is wrong with the compression.
    fn check_compression(&self) -> Result<(), String> {
        if self.compression_level.is_some() && self.compression.is_none() {
            return Err("`compression-level` goes with `compression`; set that to `gzip` or `zstd`, too".into());
        }
        if let Some(Coding { codec, level }) = self.coding() {
            let highest = codec.highest_level();
            if !(1..=highest).contains(&level) {
                return Err(format!("`compression-level` is {level}; of {codec} it must lie between 1 and {highest}"));
            }
        }
        let longest = self.response.largest_but_one_in_a_hundred().bytes() * u64::from(self.in_one());
        if self.compression.is_some() && longest > MOST_TEXT.bytes() {
            return Err(format!(
                "a response is of up to {}, and the text that `compression` is of is {MOST_TEXT} long: make `response` or \
                 `calls` smaller, or leave `compression` out",
                ByteCount::new(longest)
            ));
        }
        Ok(())
    }
}

impl Spec for Rpc {
    fn name(&self) -> &'static str {
        "rpc"
    }

    fn axes(&self) -> &'static [&'static str] {
        &[
            "outstanding",
            "per-second",
            "arrivals",
            "streams",
            "count",
            "duration",
            "request",
            "response",
            "compression",
            "compression-level",
            "calls",
            "batched",
            "service",
            "service-times",
            "workers",
            "backlog",
            "timeout",
            "cold",
            "warmup",
        ]
    }

    fn clear_rival_of(&mut self, axis: &str) {
        clear_count_or_duration(axis, &mut self.count, &mut self.duration);
    }

    fn check(&self) -> Result<(), String> {
        let fail = |problem: &str| Err(problem.to_owned());
        let Rpc { outstanding, per_second, arrivals, count, duration, .. } = *self;
        Loop { outstanding, per_second, arrivals, count, duration }.check("requests are made", MOST_PER_SECOND)?;
        if outstanding.is_some() && self.streams.is_some() {
            return fail("`streams` is for an open loop; a closed one has a stream for each of its `outstanding`");
        }
        check_streams(self.streams())?;
        if self.operations() == 0 {
            return fail("it makes no operation; `count` must be at least 1, or `duration` longer");
        }
        self.request.check("request")?;
        self.response.check("response")?;
        if !(1..=1000).contains(&self.calls) {
            return Err(format!("`calls` is {}; it must lie between 1 and 1000", self.calls));
        }
        self.check_compression()?;
        self.server().check()?;
        check_timeout(self.timeout)?;
        if self.cold && self.warmup.is_some() {
            return fail("`warmup` is for connections that are up before; leave it out, or set `cold = false`");
        }
        let all = 3 * u64::from(self.requests_of_stream()) * u64::from(self.streams());
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
        self.outstanding.or(self.streams).unwrap_or(STREAMS)
    }

    fn block(&self, direction: Direction) -> Option<Block> {
        let n = self.requests_of_stream();
        let (size, may_be_refused) = match direction {
            Direction::Up => (self.request, false),
            Direction::Down => (self.response, self.workers.is_some()),
        };
        let lengths = Lengths::Drawn { size, sum_of: self.in_one(), one_byte_from: n };
        let per_stream = if may_be_refused { n.saturating_mul(2) } else { n };
        Some(Block { streams: self.streams(), per_stream, class: Class::Latency, lengths })
    }

    fn content(&self, direction: Direction) -> Content {
        match (direction, self.coding()) {
            (Direction::Up, _) => Content::Random,
            (Direction::Down, Some(coding)) => Content::Compressed(coding),
            (Direction::Down, None) if self.compression.is_some() => Content::Text,
            (Direction::Down, None) => Content::Random,
        }
    }

    fn check_for(&self, arm: Arm) -> Result<(), String> {
        match self.coding() {
            Some(Coding { codec, .. }) if arm.ordering == OrderingDomain::Nothing => Err(format!(
                "`compression = \"{codec}\"` is for responses that arrive whole and in order, and `{arm}` sends them in \
                 datagrams: use `tcp`, `tls` or `quic`, or leave `compression` out"
            )),
            _ => Ok(()),
        }
    }

    fn nominal_duration(&self) -> Option<Duration> {
        let rate = self.per_second?;
        Some(Duration::from_nanos((f64::from(self.operations()) / rate * 1e9) as u64))
    }

    fn patience(&self, rtt: Duration) -> Duration {
        let after_the_last = self.timeout + self.server().most_work(self.in_one());
        let Some(outstanding) = self.outstanding else { return after_the_last };
        // A loop goes on as fast as its responses come, and a response that does not come costs the whole timeout.
        let rounds = u64::from(self.operations().div_ceil(u32::from(outstanding)));
        let waits = self.operations().div_ceil(u32::from(outstanding) * 10);
        let in_turn = u64::from(self.workers.map_or(1, |n| outstanding.div_ceil(n.max(1))));
        let round = rtt * u64::from(self.requests()) + self.service * u64::from(self.calls) * in_turn;
        round * (4 * rounds) + self.timeout * u64::from(waits) + after_the_last
    }

    fn total_bytes(&self) -> Option<ByteCount> {
        let call = self.request.mean() + self.response.mean();
        Some(ByteCount::new((call * f64::from(self.calls) * f64::from(self.operations())) as u64))
    }

    fn warmup(&self) -> Option<ByteCount> {
        (!self.cold).then(|| self.warmup.unwrap_or(MOST_WARMUP))
    }

    fn settle_on(&mut self, link: &Link) {
        if !self.cold {
            self.warmup.get_or_insert(warmup_both_ways(link));
        }
    }

    fn settle_for(&mut self, arm: Arm) {
        self.compression_level = self.compression_level.filter(|_| self.coding().is_some());
        // The first datagram is the request: there is nothing that it would wait for.
        self.cold &= arm.handshake_round_trips.is_some();
    }

    fn most_released_in(&self, _direction: Direction, time: Duration) -> u64 {
        let all = u64::from(self.operations()) * u64::from(self.requests());
        let most = match self.per_second {
            // Twice as many as in the mean, for those that are drawn close together.
            Some(rate) => (2.0 * rate * time.as_secs_f64()).ceil() as u64 * u64::from(self.requests()) + 16,
            None => 4 * u64::from(self.streams()),
        };
        all.min(most)
    }

    fn is_dialogue(&self) -> bool {
        true
    }

    fn begins(&self, message: MessageId) -> bool {
        Rpc::begins(self, message)
    }

    fn driver(&self, outgoing: Table, incoming: Table) -> Box<dyn Driver> {
        let first = outgoing.streams() - self.streams();
        match outgoing.direction() {
            Direction::Up => Box::new(Client {
                next_at: Duration::ZERO,
                spec: self.clone(),
                table: outgoing,
                first,
                next: 0,
                pending: BTreeMap::new(),
                deadlines: BinaryHeap::new(),
                is_done: false,
            }),
            Direction::Down => {
                let (service, in_one, all) = (self.server(), self.in_one(), self.requests_of_stream());
                Box::new(Server::new(service, in_one, all, 1, outgoing, incoming))
            }
        }
    }
}

impl fmt::Display for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.operations();
        match (self.outstanding, self.per_second) {
            (Some(outstanding), _) => write!(f, "{n} operations, {outstanding} outstanding")?,
            (None, rate) => {
                let how = if self.arrivals == Arrivals::Poisson { "Poisson, " } else { "" };
                write!(f, "{n} operations, {how}{} a second", rate.unwrap_or_default())?;
            }
        }
        match (self.calls, self.batched) {
            (1, _) => write!(f, ", request {}, response {}", self.request, self.response)?,
            (k, true) => {
                write!(f, ", {k} calls in one request of {k} × {}, response {k} × {}", self.request, self.response)?
            }
            (k, false) => write!(f, ", {k} calls in sequence, request {}, response {}", self.request, self.response)?,
        }
        match (self.compression, self.coding()) {
            (_, Some(Coding { codec, level })) => write!(f, ", {codec} {level}")?,
            (Some(_), None) => write!(f, ", not compressed")?,
            (None, None) => {}
        }
        self.server().fmt(f)?;
        if self.cold { write!(f, ", cold") } else { Ok(()) }
    }
}

/// An operation by its stream, within the workload, and its number there.
type Operation = (StreamId, u32);

/// An operation that was begun and is not over.
#[derive(Debug, Clone, Copy)]
struct Pending {
    /// The request of it that waits for its response.
    call: u32,
    deadline: Duration,
}

/// The driver of the end that makes requests.
#[derive(Debug)]
struct Client {
    spec: Rpc,
    table: Table,
    first: StreamId,
    /// The next operation of an open loop, and when it is released.
    next: u32,
    next_at: Duration,
    pending: BTreeMap<Operation, Pending>,
    /// Of operations that are over, too.
    deadlines: BinaryHeap<Reverse<(Duration, Operation)>>,
    is_done: bool,
}

impl Client {
    fn id(&self, (stream, n): Operation, call: u32) -> MessageId {
        MessageId { direction: Direction::Up, stream: self.first + stream, seq: n * self.spec.requests() + call }
    }

    fn send(
        &self,
        operation: Operation,
        Pending { call, deadline }: Pending,
        at: Duration,
        by: Option<MessageId>,
        actions: &mut Vec<Action>,
    ) {
        let id = self.id(operation, call);
        let length = self.table.length(id.stream, id.seq).expect("the table has every request");
        let release = Release { by, deadline: Some(deadline), ..Release::by_the_clock(id, length, at) };
        actions.push(Action::Send(release));
    }

    fn begin(&mut self, operation: Operation, at: Duration, by: Option<MessageId>, actions: &mut Vec<Action>) {
        let pending = Pending { call: 0, deadline: at + self.spec.timeout };
        self.pending.insert(operation, pending);
        self.deadlines.push(Reverse((pending.deadline, operation)));
        self.send(operation, pending, at, by, actions);
    }

    /// An operation is over: a closed loop goes on to the next of its stream.
    fn end(&mut self, operation: Operation, at: Duration, by: Option<MessageId>, actions: &mut Vec<Action>) {
        self.pending.remove(&operation);
        let (stream, n) = (operation.0, operation.1 + 1);
        let streams = u32::from(self.spec.streams());
        if self.spec.outstanding.is_some() && n * streams + u32::from(stream) < self.spec.operations() {
            self.begin((stream, n), at, by, actions);
        }
    }

    /// Releases what an open loop has due by now.
    fn release(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while let Some(at) = self.next_release().filter(|at| *at <= now) {
            let streams = u32::from(self.spec.streams());
            let operation = ((self.next % streams) as StreamId, self.next / streams);
            self.begin(operation, at, None, actions);
            self.next += 1;
            self.next_at = self.release_after(operation, at);
        }
    }

    /// When the next operation of an open loop is released; `None` where there is none.
    fn next_release(&self) -> Option<Duration> {
        (self.spec.per_second.is_some() && self.next < self.spec.operations()).then_some(self.next_at)
    }

    /// When the operation is released that follows this one.
    fn release_after(&self, operation: Operation, at: Duration) -> Duration {
        let bits = draw::bits(self.table.seed() ^ POISSON, self.id(operation, 0));
        self.spec.arrivals.release(self.next, at, self.spec.per_second.unwrap_or(1.0), bits)
    }

    /// Gives up what was not answered in time.
    fn expire(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while let Some(Reverse((deadline, operation))) = self.deadlines.peek().copied() {
            let pending = self.pending.get(&operation).copied();
            if pending.is_some() && deadline > now {
                break;
            }
            self.deadlines.pop();
            if let Some(pending) = pending {
                actions.push(Action::Cancel(self.id(operation, pending.call)));
                self.end(operation, deadline, None, actions);
            }
        }
    }

    fn delivered(&mut self, id: MessageId, now: Duration, actions: &mut Vec<Action>) {
        let all = self.spec.requests_of_stream();
        let (seq, is_refused) = (id.seq % all, id.seq >= all);
        let (n, call) = (seq / self.spec.requests(), seq % self.spec.requests());
        let operation = (id.stream - self.first, n);
        let Some(pending) = self.pending.get_mut(&operation).filter(|pending| pending.call == call) else { return };
        if is_refused || call + 1 == self.spec.requests() {
            self.end(operation, now, Some(id), actions);
        } else {
            pending.call += 1;
            let pending = *pending;
            self.send(operation, pending, now, Some(id), actions);
        }
    }

    fn failed(&mut self, id: MessageId, now: Duration, actions: &mut Vec<Action>) {
        let (n, call) = (id.seq / self.spec.requests(), id.seq % self.spec.requests());
        let operation = (id.stream - self.first, n);
        if self.pending.get(&operation).is_some_and(|pending| pending.call == call) {
            self.end(operation, now, None, actions);
        }
    }
}

/// Sets the draws of releases apart from those of sizes.
const POISSON: u64 = 0x706f_6973_736f_6e21;

impl Driver for Client {
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        if self.is_done {
            return;
        }
        match event {
            Event::Start => {
                for stream in 0..self.spec.outstanding.unwrap_or(0) {
                    if u32::from(stream) < self.spec.operations() {
                        self.begin((stream, 0), Duration::ZERO, None, actions);
                    }
                }
            }
            Event::Delivered(id) => self.delivered(id, now, actions),
            Event::Failed(id) => self.failed(id, now, actions),
            Event::Timer | Event::Cancelled(_) | Event::Recorded(_) | Event::PeerFinished => {}
        }
        self.release(now, actions);
        self.expire(now, actions);
        let deadline = self.deadlines.peek().map(|Reverse((deadline, _))| *deadline);
        wake_or_end(self.next_release().into_iter().chain(deadline).min(), &mut self.is_done, actions);
    }
}

#[cfg(test)]
mod tests {
    use super::super::coding::Codec;
    use super::super::simulation::{Network, Played, both_ends, properties};
    use super::super::{Mix, Workload};
    use super::*;
    use proptest::prelude::*;

    fn rpcs() -> impl Strategy<Value = Workload> {
        let closed = (1u16..20, 1u32..60).prop_map(|(outstanding, count)| Rpc {
            outstanding: Some(outstanding),
            count: Some(count),
            ..Rpc::default()
        });
        let open = (1u32..200, 1u32..60, 1u16..20, any::<bool>()).prop_map(|(rate, count, streams, poisson)| Rpc {
            per_second: Some(f64::from(rate)),
            count: Some(count),
            streams: Some(streams),
            arrivals: if poisson { Arrivals::Poisson } else { Arrivals::Even },
            ..Rpc::default()
        });
        let server = proptest::option::of((1u16..5, 0u32..5));
        (prop_oneof![closed, open], 1u16..4, any::<bool>(), 1u64..40, server).prop_map(
            |(rpc, calls, batched, service, server)| {
                let (workers, backlog) = server.unzip();
                let (service, timeout) = (Duration::from_millis(service), Duration::from_millis(700));
                let compression = backlog.map(|_| Compression::Gzip);
                Workload::Rpc(Rpc { calls, batched, service, workers, backlog, timeout, compression, ..rpc })
            },
        )
    }

    properties!(rpcs());

    /// From the release of each operation's first request to the delivery of its last response, in milliseconds.
    fn latencies(rpc: &Rpc, played: &Played) -> Vec<u64> {
        let first = |r: &Release| r.id.direction == Direction::Up && r.id.seq.is_multiple_of(rpc.requests());
        let mut all: Vec<u64> = played
            .released
            .iter()
            .filter(|(_, release)| first(release))
            .filter_map(|(_, release)| {
                let seq = release.id.seq + rpc.requests() - 1;
                let last = MessageId { direction: Direction::Down, seq, ..release.id };
                Some((played.delivered.get(&last)?.as_nanos() - release.at.as_nanos()) / 1_000_000)
            })
            .collect();
        all.sort_unstable();
        all
    }

    fn play(rpc: &Rpc, network: Network) -> Played {
        let workload = Workload::Rpc(rpc.clone());
        workload.check().unwrap();
        both_ends(&workload, 3, network)
    }

    #[test]
    fn chatty_takes_round_trips_and_batched_one() {
        let chatty = Rpc { outstanding: Some(2), count: Some(6), calls: 5, ..Rpc::default() };
        let batched = Rpc { batched: true, ..chatty.clone() };
        assert_eq!(latencies(&chatty, &play(&chatty, Network::default())), [300; 6]);
        assert_eq!(latencies(&batched, &play(&batched, Network::default())), [60; 6]);
        let bytes = |rpc: &Rpc| -> u64 {
            let played = play(rpc, Network::default());
            played.released.iter().filter_map(|(_, release)| release.length.bytes()).map(ByteCount::bytes).sum()
        };
        assert_eq!(bytes(&chatty), bytes(&batched), "the same bytes either way");
    }

    #[test]
    fn an_operation_ends_as_one_of_its_calls_fails() {
        let rpc = Rpc { outstanding: Some(1), count: Some(60), calls: 4, ..Rpc::default() };
        let network = Network { seed: 2, failed: 50, ..Network::default() };
        let played = play(&rpc, network);
        let begins: Vec<Duration> =
            played.released.iter().filter(|(_, r)| rpc.begins(r.id)).map(|(_, release)| release.at).collect();
        assert_eq!(begins.len(), 60);
        // Of the requests those that fail do so after a round trip, so each operation takes one to four of them; where a
        // response fails only the server knows, and the client waits for the whole timeout.
        let mut ended: Vec<u64> = begins.windows(2).map(|pair| (pair[1] - pair[0]).as_nanos() / 1_000_000).collect();
        ended.sort_unstable();
        assert!(ended.iter().all(|took| took % 60 == 0 && (60..=240).contains(took) || *took >= 5_000), "{ended:?}");
        let soon = ended.iter().filter(|took| **took < 240).count();
        assert!((15..45).contains(&soon), "a fifth of the calls fails as they are made: {ended:?}");
    }

    #[test]
    fn above_its_capacity_a_server_queues_and_then_refuses() {
        // 2 workers of 10 ms: 200 a second.
        let rpc = Rpc {
            per_second: Some(240.0),
            duration: Some(Duration::from_secs(2)),
            service: Duration::from_millis(10),
            workers: Some(2),
            backlog: Some(20),
            ..Rpc::default()
        };
        let played = play(&rpc, Network::default());
        let is_refusal = |id: &&MessageId| id.direction == Direction::Down && id.seq >= rpc.requests_of_stream();
        let refused = played.delivered.keys().filter(is_refusal).count();
        let all = latencies(&rpc, &played);
        assert_eq!((refused + all.len()) as u32, rpc.operations());
        // The backlog fills at 40 a second, so after half a second; of what comes then a sixth is refused.
        assert!((45..=65).contains(&refused), "{refused} were refused");
        assert_eq!((all[0], all[all.len() - 1] / 10), (70, 17), "RTT, service, and ten rounds of it before");
        let below = Rpc { per_second: Some(180.0), ..rpc };
        let played = play(&below, Network::default());
        assert_eq!(latencies(&below, &played).len(), 360, "below it nothing is refused");
    }

    /// The mean latency beyond the round trip, in service times, of 9,000 requests at 0.8 of the capacity; the first tenth,
    /// which finds the server empty, is left out.
    fn mean_time_in_system(workers: u16, service_times: ServiceTimes) -> f64 {
        let service = Duration::from_millis(10);
        let rpc = Rpc {
            per_second: Some(0.8 * f64::from(workers) / service.as_secs_f64()),
            arrivals: Arrivals::Poisson,
            count: Some(9_000),
            service,
            service_times,
            workers: Some(workers),
            backlog: Some(9_000),
            ..Rpc::default()
        };
        let played = play(&rpc, Network::default());
        let of = |(_, release): &(Duration, Release)| {
            let answer = MessageId { direction: Direction::Down, ..release.id };
            (release.id.direction == Direction::Up)
                .then(|| played.delivered[&answer].as_secs_f64() - release.at.as_secs_f64())
        };
        let all: Vec<f64> = played.released.iter().filter_map(of).skip(900).collect();
        assert_eq!(all.len(), 8_100);
        (all.iter().sum::<f64>() / 8_100.0 - 0.06) / service.as_secs_f64()
    }

    #[test]
    fn a_queue_is_as_long_as_theory_says() {
        // Waits of 0.385 and 0.095 service times: M/D/4 (Cosmetatos 1975), M/M/16 (Erlang's C).
        for (workers, times, expected) in [(4, ServiceTimes::Fixed, 1.385), (16, ServiceTimes::Exponential, 1.095)] {
            let found = mean_time_in_system(workers, times);
            assert!((found / expected - 1.0).abs() < 0.1, "{workers} workers: {found}, not {expected}");
        }
    }

    #[test]
    fn what_never_comes_is_given_up() {
        let network = Network { lost: 128, ..Network::default() };
        let rpc = Rpc { outstanding: Some(4), count: Some(100), ..Rpc::default() };
        let played = play(&rpc, network);
        let answered = latencies(&rpc, &played).len();
        assert!((5..60).contains(&answered), "{answered} of 100 were answered where half of all is lost");
        let begun = played.released.iter().filter(|(_, release)| release.id.direction == Direction::Up).count();
        assert_eq!(begun, 100, "and the loop went on");
    }

    #[test]
    fn a_poisson_process_has_its_rate() {
        let rpc = Rpc { per_second: Some(100.0), arrivals: Arrivals::Poisson, count: Some(2000), ..Rpc::default() };
        let played = play(&rpc, Network::default());
        let at: Vec<u64> = played
            .released
            .iter()
            .filter(|(_, release)| release.id.direction == Direction::Up)
            .map(|(_, release)| release.at.as_nanos())
            .collect();
        let gaps: Vec<f64> = at.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!(
            (mean - 10.0).abs() < 0.8 && (variance.sqrt() / mean - 1.0).abs() < 0.1,
            "{mean} ± {}",
            variance.sqrt()
        );
    }

    #[test]
    fn a_cold_one_has_no_warm_up() {
        let of = |arm: &str, cold: bool| {
            let rpc = Rpc { outstanding: Some(1), count: Some(1), cold, ..Rpc::default() };
            let arm: Arm = arm.parse().unwrap();
            let workload = Workload::Rpc(rpc).on_link(&Link::transparent()).for_arm(arm);
            (workload.is_cold(), workload.warmup(arm))
        };
        assert_eq!((of("tls", true), of("tls", false)), ((true, ByteCount::ZERO), (false, MOST_WARMUP)));
        // A datagram waits for no handshake.
        assert_eq!(of("udp", true), (false, ByteCount::ZERO));
    }

    #[test]
    fn only_whole_responses_are_compressed() {
        let zstd = Rpc {
            per_second: Some(10.0),
            count: Some(10),
            workers: Some(1),
            service: Duration::from_millis(1),
            compression: Some(Compression::Zstd),
            ..Rpc::default()
        };
        let workload = Workload::Rpc(zstd.clone());
        workload.check().unwrap();
        let table = workload.table(Direction::Down, 1);
        let coding = Coding { codec: Codec::Zstd, level: 3 };
        assert_eq!(table.content(0, 0), Content::Compressed(coding));
        let refusal = zstd.requests_of_stream();
        assert_eq!((table.content(0, refusal), table.length(0, refusal).is_some()), (Content::Random, true));
        assert!(!workload.table(Direction::Up, 1).has_text());
        let plain = Workload::Rpc(Rpc { compression: Some(Compression::None), ..zstd.clone() });
        assert_eq!(plain.table(Direction::Down, 1).content(0, 0), Content::Text);
        assert!(!Workload::Rpc(Rpc { compression: None, ..zstd }).table(Direction::Down, 1).has_text());
        let [tcp, udp]: [Arm; 2] = ["tcp", "udp"].map(|arm| arm.parse().unwrap());
        assert!(workload.check_for(tcp).is_ok() && plain.check_for(udp).is_ok());
        let refused = workload.check_for(udp).unwrap_err().to_string();
        assert!(refused.contains("`compression = \"zstd\"`") && refused.contains("use `tcp`"), "{refused}");
        let mix = Workload::Mix(Mix { of: vec![workload.clone(), workload], ..Mix::default() });
        assert!(mix.check_for(udp).is_err());
    }

    #[test]
    fn impossible_parameters_are_named_with_the_remedy() {
        let closed = Rpc { outstanding: Some(8), count: Some(10), ..Rpc::default() };
        let open = Rpc { per_second: Some(10.0), count: Some(10), ..Rpc::default() };
        let gzip = Rpc { compression: Some(Compression::Gzip), ..open.clone() };
        let bad = [
            (Rpc::default(), "`outstanding` (closed loop) or `per-second`"),
            (Rpc { per_second: Some(1.0), ..closed.clone() }, "exclude each other"),
            (Rpc { outstanding: Some(101), ..closed.clone() }, "between 1 and 100"),
            (Rpc { streams: Some(2), ..closed.clone() }, "`streams` is for an open loop"),
            (Rpc { arrivals: Arrivals::Poisson, ..closed.clone() }, "`arrivals` is for an open loop"),
            (Rpc { count: None, ..closed.clone() }, "needs `count`"),
            (Rpc { per_second: Some(f64::NAN), ..open.clone() }, "above 0"),
            (Rpc { count: None, ..open.clone() }, "`count` (in all) or `duration`"),
            (Rpc { backlog: Some(3), ..open.clone() }, "`backlog` goes with `workers`"),
            (Rpc { workers: Some(3), ..open.clone() }, "set `service`"),
            (Rpc { calls: 0, ..open.clone() }, "`calls` is 0"),
            (Rpc { cold: true, warmup: Some(ByteCount::new(1)), ..open.clone() }, "set `cold = false`"),
            (Rpc { request: Size::Fixed(ByteCount::ZERO), ..open.clone() }, "`request` must lie"),
            (Rpc { count: Some(u32::MAX), ..open.clone() }, "fit one trial"),
            (Rpc { compression_level: Some(6), ..open.clone() }, "goes with `compression`"),
            (Rpc { compression_level: Some(10), ..gzip.clone() }, "of gzip it must lie between 1 and 9"),
            (Rpc { response: Size::Fixed(ByteCount::new(1_000_000)), calls: 5, batched: true, ..gzip }, "4MiB long"),
        ];
        for (rpc, remedy) in bad {
            let said = Workload::Rpc(rpc).check().unwrap_err().to_string();
            assert!(said.contains(remedy), "{said}");
        }
    }
}
