//! `fan-out`: requests of a user that need several services, one after the other or all at once.
//!
//! An **operation** calls each service once: a request, and its response. Its latency counts from when it was meant to begin
//! until the last response was delivered. In parallel that is the slowest call, in sequence the sum of all, so that one
//! service that is slow now and then is met by the more operations the more services they need (Dean and Barroso, "The
//! Tail at Scale", CACM 56(2), 2013).
//!
//! A service is a server of its own: it has the stream of its number, workers of its own, ports and a connection of its
//! own, and may stand farther away than others. The number of an operation's messages is the operation's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::arrivals::Arrivals;
use super::draw;
use super::driver::{Action, Driver, Event, wake_or_end};
use super::message::{Class, MessageId, Release};
use super::service::{Server, Service, ServiceTimes};
use super::size::Size;
use super::spec::{
    Loop, MAX_MESSAGES, MOST_SERVERS, MOST_WARMUP, Spec, check_run_time, check_timeout, clear_count_or_duration,
    warmup_both_ways,
};
use super::stream::StreamId;
use super::table::{Block, Lengths, Table};
use crate::arm::Arm;
use crate::link::{Direction, Link, MAX_DELAY};
use crate::units::{ByteCount, Duration, Probability};

/// Most operations a second in an open loop.
const MOST_PER_SECOND: f64 = 10_000.0;

/// Operations that need several services each. Exactly one of `outstanding` and `per-second` is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct FanOut {
    /// Services that an operation calls; 13 is the median of a request's descendants at Google (Seemakhupt et al., SOSP
    /// 2023).
    pub services: u16,
    /// Whether they are called all at once, or one after the other.
    pub order: CallOrder,
    /// Closed loop: so many operations are in flight, and one that is over releases the next.
    pub outstanding: Option<u16>,
    /// Open loop: so many operations are released a second, whatever became of those before.
    pub per_second: Option<f64>,
    /// How they follow each other in an open loop.
    pub arrivals: Arrivals,
    /// Operations in all. A closed loop needs it; an open one has it, or `duration`.
    pub count: Option<u32>,
    /// Time for which an open loop releases operations, in the mean.
    pub duration: Option<Duration>,
    /// Size of a request.
    pub request: Size,
    /// Size of a response.
    pub response: Size,
    /// How long a service works on a request.
    pub service: Duration,
    /// Whether that is how long it works on each request, or the mean of what is drawn for it.
    #[serde(skip_serializing_if = "ServiceTimes::are_equal")]
    pub service_times: ServiceTimes,
    /// How often a service is slow: it works on such a request for `slow-service` instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Probability>,
    /// How long a service works on a request when it is slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_service: Option<Duration>,
    /// How much farther away the services stand than the link is long, in turn: the round trip beyond the link's, half of
    /// it each way. Empty: none of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_rtts: Vec<Duration>,
    /// Requests that a service works on at a time; absent, any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<u16>,
    /// Requests that wait for a service's worker at most: more are refused. Goes with `workers`; absent, 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<u32>,
    /// How long an operation is waited for: one that takes longer counts as unanswered.
    pub timeout: Duration,
    /// Whether it starts with its connections, so that the first operation waits for them, on arms that have a handshake.
    pub cold: bool,
    /// Bytes sent for warm-up in each direction over all connections where it is not cold, as for `messages`. Absent: the
    /// smaller of the link's two bandwidth-delay products.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<ByteCount>,
}

/// In which order an operation calls its services.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallOrder {
    /// All at once.
    #[default]
    Parallel,
    /// Each is called when the one before has answered.
    Sequence,
}

impl Default for FanOut {
    fn default() -> Self {
        FanOut {
            services: 13,
            order: CallOrder::Parallel,
            outstanding: None,
            per_second: None,
            arrivals: Arrivals::Even,
            count: None,
            duration: None,
            request: Size::Fixed(ByteCount::new(200)),
            response: Size::Fixed(ByteCount::new(1000)),
            service: Duration::ZERO,
            service_times: ServiceTimes::Fixed,
            slow: None,
            slow_service: None,
            extra_rtts: Vec::new(),
            workers: None,
            backlog: None,
            timeout: Duration::from_secs(5),
            cold: false,
            warmup: None,
        }
    }
}

impl FanOut {
    /// Operations in all; as many requests has each service. A refusal's number is that of its request and this.
    pub fn operations(&self) -> u32 {
        match (self.count, self.duration, self.per_second) {
            (Some(count), ..) => count,
            (None, Some(duration), Some(rate)) => (duration.as_secs_f64() * rate).round() as u32,
            _ => 0,
        }
    }

    /// Whether an operation begins with this message.
    pub fn begins(&self, message: MessageId) -> bool {
        message.direction == Direction::Up && (self.order == CallOrder::Parallel || message.stream == 0)
    }

    fn server(&self) -> Service {
        let FanOut { service: time, service_times: times, workers, backlog, .. } = *self;
        let slow = (self.slow.unwrap_or_default(), self.slow_service.unwrap_or_default());
        Service { time, times, workers, backlog, slow }
    }

    /// What an operation takes on a path of this round trip where nothing is wrong, and a request waits for so many
    /// others.
    fn usual(&self, rtt: Duration, in_turn: u64) -> Duration {
        // The longest of 100 exponential times is five of their mean.
        let longest = if self.service_times == ServiceTimes::Fixed { 1 } else { 5 };
        let work = self.service * in_turn * longest;
        let calls = (0..self.services).map(|server| rtt + self.extra_rtt(server) + work);
        match self.order {
            CallOrder::Parallel => calls.max().unwrap_or_default(),
            CallOrder::Sequence => calls.fold(Duration::ZERO, |sum, call| sum + call),
        }
    }
}

impl Spec for FanOut {
    fn name(&self) -> &'static str {
        "fan-out"
    }

    fn axes(&self) -> &'static [&'static str] {
        &[
            "services",
            "order",
            "outstanding",
            "per-second",
            "arrivals",
            "count",
            "duration",
            "request",
            "response",
            "service",
            "service-times",
            "slow",
            "slow-service",
            "extra-rtts",
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
        if !(1..=MOST_SERVERS).contains(&self.services) {
            return Err(format!(
                "`services` is {}; it must lie between 1 and {MOST_SERVERS}: for one server, `rpc` has more to set",
                self.services
            ));
        }
        let FanOut { outstanding, per_second, arrivals, count, duration, .. } = *self;
        Loop { outstanding, per_second, arrivals, count, duration }.check("operations begin", MOST_PER_SECOND)?;
        if self.operations() == 0 {
            return fail("it makes no operation; `count` must be at least 1, or `duration` longer");
        }
        self.request.check("request")?;
        self.response.check("response")?;
        self.server().check()?;
        match (self.slow, self.slow_service) {
            (Some(slow), None) => {
                return Err(format!("`slow` is {slow}, of what is not said; set `slow-service` (as 1s)"));
            }
            (None, Some(_)) => return fail("`slow-service` goes with `slow`; say how often (as 1%)"),
            (Some(_), Some(time)) if time == Duration::ZERO || time > Duration::from_secs(3600) => {
                return fail("`slow-service` must be more than 0s and at most 1h");
            }
            _ => {}
        }
        if self.extra_rtts.len() > usize::from(MOST_SERVERS) {
            return Err(format!("`extra-rtts` names {} distances; at most {MOST_SERVERS}", self.extra_rtts.len()));
        }
        check_timeout(self.timeout)?;
        if self.cold && self.warmup.is_some() {
            return fail("`warmup` is for connections that are up before; leave it out, or set `cold = false`");
        }
        let all = 3 * u64::from(self.operations()) * u64::from(self.services);
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
        self.services
    }

    fn servers(&self) -> u16 {
        self.services
    }

    fn extra_rtt(&self, server: u16) -> Duration {
        let turn = usize::from(server) % self.extra_rtts.len().max(1);
        self.extra_rtts.get(turn).copied().unwrap_or_default()
    }

    fn block(&self, direction: Direction) -> Option<Block> {
        let n = self.operations();
        let (size, may_be_refused) = match direction {
            Direction::Up => (self.request, false),
            Direction::Down => (self.response, self.workers.is_some()),
        };
        let lengths = Lengths::Drawn { size, sum_of: 1, one_byte_from: n };
        let per_stream = if may_be_refused { n.saturating_mul(2) } else { n };
        Some(Block { streams: self.services, per_stream, class: Class::Latency, lengths })
    }

    fn nominal_duration(&self) -> Option<Duration> {
        let rate = self.per_second?;
        Some(Duration::from_nanos((f64::from(self.operations()) / rate * 1e9) as u64))
    }

    fn patience(&self, rtt: Duration) -> Duration {
        let after_the_last = self.timeout + self.server().most_work(1);
        let Some(outstanding) = self.outstanding else { return after_the_last };
        // A loop goes on as fast as its operations are over, and one that is not costs the whole timeout.
        let rounds = u64::from(self.operations().div_ceil(u32::from(outstanding)));
        let waits = self.operations().div_ceil(u32::from(outstanding) * 10);
        let in_turn = u64::from(self.workers.map_or(1, |n| outstanding.div_ceil(n.max(1))));
        let slow = self.server().most_work(1).min(self.timeout);
        self.usual(rtt, in_turn) * (4 * rounds) + (self.timeout + slow) * u64::from(waits) + after_the_last
    }

    fn total_bytes(&self) -> Option<ByteCount> {
        let call = self.request.mean() + self.response.mean();
        Some(ByteCount::new((call * f64::from(self.services) * f64::from(self.operations())) as u64))
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
        // The first datagram is the request: there is nothing that it would wait for.
        self.cold &= arm.handshake_round_trips.is_some();
    }

    fn check_on(&self, _arm: Arm, link: &Link) -> Result<(), String> {
        for extra in &self.extra_rtts {
            let way = link.farther_by(*extra);
            let delay = way.up.delay.max(way.down.delay);
            if delay > MAX_DELAY {
                return Err(format!(
                    "`extra-rtts` has {extra}, which makes a delay of {delay}; at most {MAX_DELAY} each way is possible"
                ));
            }
        }
        Ok(())
    }

    fn most_released_in(&self, _direction: Direction, time: Duration) -> u64 {
        let all = u64::from(self.operations());
        let most = match self.per_second {
            // Twice as many as in the mean, for those that are drawn close together.
            Some(rate) => (2.0 * rate * time.as_secs_f64()).ceil() as u64 + 16,
            None => 4 * u64::from(self.outstanding.unwrap_or(1)),
        };
        all.min(most) * u64::from(self.services)
    }

    fn is_dialogue(&self) -> bool {
        true
    }

    fn begins(&self, message: MessageId) -> bool {
        FanOut::begins(self, message)
    }

    fn driver(&self, outgoing: Table, incoming: Table) -> Box<dyn Driver> {
        match outgoing.direction() {
            Direction::Up => Box::new(Client {
                spec: self.clone(),
                table: outgoing,
                next: 0,
                next_at: Duration::ZERO,
                pending: BTreeMap::new(),
                deadlines: BinaryHeap::new(),
                is_done: false,
            }),
            Direction::Down => {
                Box::new(Server::new(self.server(), 1, self.operations(), self.services, outgoing, incoming))
            }
        }
    }
}

impl fmt::Display for FanOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.operations();
        match (self.outstanding, self.per_second) {
            (Some(outstanding), _) => write!(f, "{n} operations, {outstanding} outstanding")?,
            (None, rate) => {
                let how = if self.arrivals == Arrivals::Poisson { "Poisson, " } else { "" };
                write!(f, "{n} operations, {how}{} a second", rate.unwrap_or_default())?;
            }
        }
        match (self.services, self.order) {
            (1, _) => f.write_str(", each of 1 service")?,
            (k, CallOrder::Parallel) => write!(f, ", each of {k} services in parallel")?,
            (k, CallOrder::Sequence) => write!(f, ", each of {k} services in sequence")?,
        }
        write!(f, ", request {}, response {}", self.request, self.response)?;
        self.server().fmt(f)?;
        let farthest = (0..self.services).map(|server| self.extra_rtt(server)).max().unwrap_or_default();
        if farthest > Duration::ZERO {
            write!(f, ", up to {farthest} farther away")?;
        }
        if self.cold { write!(f, ", cold") } else { Ok(()) }
    }
}

/// An operation that was begun and is not over.
#[derive(Debug, Clone)]
struct Pending {
    /// The services whose responses it waits for.
    waits: BTreeSet<StreamId>,
    deadline: Duration,
}

/// The driver of the end that calls services.
#[derive(Debug)]
struct Client {
    spec: FanOut,
    table: Table,
    /// The next operation of an open loop, and when it is released.
    next: u32,
    next_at: Duration,
    pending: BTreeMap<u32, Pending>,
    /// Of operations that are over, too.
    deadlines: BinaryHeap<Reverse<(Duration, u32)>>,
    is_done: bool,
}

/// Sets the draws of releases apart from those of sizes.
const POISSON: u64 = 0x6661_6e20_6f75_7421;

impl Client {
    const fn id(operation: u32, service: StreamId) -> MessageId {
        MessageId { direction: Direction::Up, stream: service, seq: operation }
    }

    fn call(
        &mut self,
        operation: u32,
        service: StreamId,
        at: Duration,
        by: Option<MessageId>,
        actions: &mut Vec<Action>,
    ) {
        let Some(pending) = self.pending.get_mut(&operation) else { return };
        pending.waits.insert(service);
        let id = Client::id(operation, service);
        let length = self.table.length(id.stream, id.seq).expect("the table has every request");
        let deadline = Some(pending.deadline);
        actions.push(Action::Send(Release { by, deadline, ..Release::by_the_clock(id, length, at) }));
    }

    fn begin(&mut self, operation: u32, at: Duration, by: Option<MessageId>, actions: &mut Vec<Action>) {
        let deadline = at + self.spec.timeout;
        self.pending.insert(operation, Pending { waits: BTreeSet::new(), deadline });
        self.deadlines.push(Reverse((deadline, operation)));
        let first = match self.spec.order {
            CallOrder::Parallel => self.spec.services,
            CallOrder::Sequence => 1,
        };
        (0..first).for_each(|service| self.call(operation, service, at, by, actions));
    }

    /// An operation is over, and what it still waits for is given up: a closed loop goes on to the next.
    fn end(&mut self, operation: u32, at: Duration, by: Option<MessageId>, actions: &mut Vec<Action>) {
        let Some(over) = self.pending.remove(&operation) else { return };
        actions.extend(over.waits.iter().map(|service| Action::Cancel(Client::id(operation, *service))));
        let Some(outstanding) = self.spec.outstanding else { return };
        let next = operation + u32::from(outstanding);
        if next < self.spec.operations() {
            self.begin(next, at, by, actions);
        }
    }

    /// Releases what an open loop has due by now.
    fn release(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while let Some(at) = self.next_release().filter(|at| *at <= now) {
            self.begin(self.next, at, None, actions);
            let bits = draw::bits(self.table.seed() ^ POISSON, Client::id(self.next, 0));
            self.next += 1;
            self.next_at = self.spec.arrivals.release(self.next, at, self.spec.per_second.unwrap_or(1.0), bits);
        }
    }

    /// When the next operation of an open loop is released; `None` where there is none.
    fn next_release(&self) -> Option<Duration> {
        (self.spec.per_second.is_some() && self.next < self.spec.operations()).then_some(self.next_at)
    }

    /// Gives up what was not answered in time.
    fn expire(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while let Some(Reverse((deadline, operation))) = self.deadlines.peek().copied() {
            let is_pending = self.pending.contains_key(&operation);
            if is_pending && deadline > now {
                break;
            }
            self.deadlines.pop();
            self.end(operation, deadline, None, actions);
        }
    }

    fn delivered(&mut self, id: MessageId, now: Duration, actions: &mut Vec<Action>) {
        let all = self.spec.operations();
        let (operation, is_refused) = (id.seq % all, id.seq >= all);
        let Some(pending) = self.pending.get_mut(&operation) else { return };
        if !pending.waits.remove(&id.stream) {
            return;
        }
        let next = id.stream + 1;
        if !is_refused && self.spec.order == CallOrder::Sequence && next < self.spec.services {
            self.call(operation, next, now, Some(id), actions);
        } else if is_refused || pending.waits.is_empty() {
            self.end(operation, now, Some(id), actions);
        }
    }

    /// A request cannot be delivered: the operation will never be whole.
    fn failed(&mut self, id: MessageId, now: Duration, actions: &mut Vec<Action>) {
        if self.pending.get_mut(&id.seq).is_some_and(|pending| pending.waits.remove(&id.stream)) {
            self.end(id.seq, now, None, actions);
        }
    }
}

impl Driver for Client {
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        if self.is_done {
            return;
        }
        match event {
            Event::Start => {
                let first = self.spec.outstanding.map_or(0, u32::from).min(self.spec.operations());
                (0..first).for_each(|operation| self.begin(operation, Duration::ZERO, None, actions));
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
    use super::super::Workload;
    use super::super::simulation::{Network, Played, both_ends, properties};
    use super::*;
    use crate::fanned::Fanned;
    use proptest::prelude::*;

    fn fan_outs() -> impl Strategy<Value = Workload> {
        let closed = (1u16..8, 1u32..20).prop_map(|(outstanding, count)| FanOut {
            outstanding: Some(outstanding),
            count: Some(count),
            ..FanOut::default()
        });
        let open = (1u32..200, 1u32..20, any::<bool>()).prop_map(|(rate, count, poisson)| FanOut {
            per_second: Some(f64::from(rate)),
            count: Some(count),
            arrivals: if poisson { Arrivals::Poisson } else { Arrivals::Even },
            ..FanOut::default()
        });
        let server = proptest::option::of((1u16..5, 0u32..5));
        (prop_oneof![closed, open], 1u16..14, any::<bool>(), 1u64..40, server, 0.0..0.2f64).prop_map(
            |(fan_out, services, sequence, service, server, slow)| {
                let (workers, backlog) = server.unzip();
                let order = if sequence { CallOrder::Sequence } else { CallOrder::Parallel };
                let (slow, slow_service) = (Probability::new(slow), Some(Duration::from_millis(300)));
                let (service, timeout) = (Duration::from_millis(service), Duration::from_millis(700));
                let service_times = ServiceTimes::Exponential;
                Workload::FanOut(FanOut {
                    services,
                    order,
                    service,
                    service_times,
                    slow,
                    slow_service,
                    workers,
                    backlog,
                    timeout,
                    ..fan_out
                })
            },
        )
    }

    properties!(fan_outs());

    fn play(fan_out: &FanOut, network: Network) -> Played {
        let workload = Workload::FanOut(fan_out.clone());
        workload.check().unwrap();
        both_ends(&workload, 3, network)
    }

    fn fanned(fan_out: &FanOut, network: Network) -> Fanned {
        Fanned::of(fan_out, &play(fan_out, network).records())
    }

    /// In milliseconds.
    fn latencies(fanned: &Fanned) -> Vec<i64> {
        fanned.whole.iter().map(|whole| whole.latency / 1_000_000).collect()
    }

    #[test]
    fn parallel_takes_the_longest_call_and_sequence_the_sum() {
        let service = Duration::from_millis(5);
        let parallel = FanOut { services: 4, outstanding: Some(2), count: Some(6), service, ..FanOut::default() };
        let sequence = FanOut { order: CallOrder::Sequence, ..parallel.clone() };
        assert_eq!(latencies(&fanned(&parallel, Network::default())), [65; 6]);
        assert_eq!(latencies(&fanned(&sequence, Network::default())), [260; 6]);
    }

    #[test]
    fn parallel_exponential_services_take_their_harmonic_number() {
        // The longest of 13 exponential times is H₁₃ = 3.180 of their mean, the sum of 13 is 13 of it.
        let service = Duration::from_millis(10);
        let fan_out = FanOut {
            outstanding: Some(100),
            count: Some(10_000),
            service,
            service_times: ServiceTimes::Exponential,
            ..FanOut::default()
        };
        let mean = |fan_out: &FanOut| {
            let all = fanned(fan_out, Network::default());
            let sum: f64 = all.whole.iter().map(|whole| whole.latency as f64 / 1e6).sum();
            sum / all.whole.len() as f64
        };
        let parallel = mean(&fan_out);
        assert!((parallel - 60.0 - 31.80).abs() < 0.6, "{parallel} ms");
        let sequence = mean(&FanOut { order: CallOrder::Sequence, ..fan_out });
        assert!((sequence - 13.0 * 70.0).abs() < 3.0, "{sequence} ms");
    }

    #[test]
    fn whoever_needs_many_services_meets_a_slow_one() {
        // 1 − 0.99¹³ = 12.2 % of the operations meet one; 1 % of those with one service.
        let fan_out = FanOut {
            outstanding: Some(100),
            count: Some(10_000),
            slow: Probability::new(0.01),
            slow_service: Some(Duration::from_secs(1)),
            ..FanOut::default()
        };
        for (services, expected) in [(1, 0.01), (13, 0.1225)] {
            let all = fanned(&FanOut { services, ..fan_out.clone() }, Network::default());
            let slow = all.whole.iter().filter(|whole| whole.latency > 1_000_000_000).count() as f64 / 1e4;
            assert!((slow - expected).abs() < 0.01, "{services} services: {slow}, not {expected}");
        }
    }

    #[test]
    fn each_service_has_workers_of_its_own() {
        let service = Duration::from_millis(10);
        let fan_out = FanOut {
            services: 3,
            per_second: Some(1000.0),
            count: Some(2),
            service,
            workers: Some(1),
            ..FanOut::default()
        };
        // The second operation, 1 ms later, waits 9 ms for each of the workers, and not for those of other services.
        assert_eq!(latencies(&fanned(&fan_out, Network::default())), [70, 79]);
        let refusing = FanOut { backlog: Some(0), ..fan_out };
        let all = fanned(&refusing, Network::default());
        assert_eq!((latencies(&all), all.refused), (vec![70], 1));
    }

    #[test]
    fn what_is_never_whole_is_given_up() {
        let network = Network { lost: 64, ..Network::default() };
        for order in [CallOrder::Parallel, CallOrder::Sequence] {
            let fan_out = FanOut { services: 3, outstanding: Some(4), count: Some(100), order, ..FanOut::default() };
            let all = fanned(&fan_out, network);
            // Three quarters of the messages come through, and six of them must.
            assert!((5..40).contains(&all.whole.len()), "{} of 100 were whole", all.whole.len());
            assert_eq!(all.released, 100, "and the loop went on");
        }
    }

    #[test]
    fn services_stand_where_they_are_told_in_turn() {
        let ms = Duration::from_millis;
        let fan_out = Workload::FanOut(FanOut {
            services: 5,
            outstanding: Some(1),
            count: Some(1),
            extra_rtts: vec![ms(0), ms(40)],
            ..FanOut::default()
        });
        let extra = [0, 1, 2, 3, 4].map(|server| fan_out.extra_rtt(server));
        assert_eq!(extra, [ms(0), ms(40), ms(0), ms(40), ms(0)]);
        assert_eq!((fan_out.farthest(), fan_out.servers(), fan_out.server_of(3)), (ms(40), 5, 3));
        let connections = ["tcp", "tls/per-stream", "quic/shared", "udp", "tcp/per-message"];
        let connections = connections.map(|arm| fan_out.connections(arm.parse().unwrap()));
        assert_eq!(connections, [5, 5, 5, 5, 0]);
        let link = Link::transparent();
        let far = FanOut { extra_rtts: vec![Duration::from_secs(121)], ..FanOut::default() };
        let refused = far.check_on("tcp".parse().unwrap(), &link).unwrap_err();
        assert!(refused.contains("at most 60s each way"), "{refused}");
    }

    #[test]
    fn impossible_parameters_are_named_with_the_remedy() {
        let closed = FanOut { outstanding: Some(8), count: Some(10), ..FanOut::default() };
        let open = FanOut { per_second: Some(10.0), count: Some(10), ..FanOut::default() };
        let bad = [
            (FanOut::default(), "`outstanding` (closed loop) or `per-second`"),
            (FanOut { services: 0, ..closed.clone() }, "between 1 and 100"),
            (FanOut { services: 101, ..closed.clone() }, "`rpc`"),
            (FanOut { per_second: Some(1.0), ..closed.clone() }, "exclude each other"),
            (FanOut { outstanding: Some(101), ..closed.clone() }, "between 1 and 100"),
            (FanOut { arrivals: Arrivals::Poisson, ..closed.clone() }, "`arrivals` is for an open loop"),
            (FanOut { count: None, ..closed.clone() }, "needs `count`"),
            (FanOut { per_second: Some(f64::NAN), ..open.clone() }, "above 0"),
            (FanOut { count: None, ..open.clone() }, "`count` (in all) or `duration`"),
            (FanOut { backlog: Some(3), ..open.clone() }, "`backlog` goes with `workers`"),
            (FanOut { workers: Some(3), ..open.clone() }, "set `service`"),
            (FanOut { slow: Probability::new(0.1), ..open.clone() }, "set `slow-service`"),
            (FanOut { slow_service: Some(Duration::from_secs(1)), ..open.clone() }, "goes with `slow`"),
            (FanOut { cold: true, warmup: Some(ByteCount::new(1)), ..open.clone() }, "set `cold = false`"),
            (FanOut { request: Size::Fixed(ByteCount::ZERO), ..open.clone() }, "`request` must lie"),
            (FanOut { count: Some(u32::MAX), ..open }, "fit one trial"),
        ];
        for (fan_out, remedy) in bad {
            let said = Workload::FanOut(fan_out).check().unwrap_err().to_string();
            assert!(said.contains(remedy), "{said}");
        }
    }
}
