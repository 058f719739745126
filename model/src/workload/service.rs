//! Servers that take time for a request: so many workers, what waits for them, and what is refused.
//!
//! The response to a request has its stream and number. A server that is busy refuses with another message, whose number is
//! the request's and the number of all requests of a stream: so it is told apart in the table.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::draw;
use super::driver::{Action, Driver, Event};
use super::message::{MessageId, Release};
use super::table::Table;
use crate::link::Direction;
use crate::units::{Duration, Probability};

/// How long a server works on requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceTimes {
    /// As long on each.
    #[default]
    Fixed,
    /// Drawn from an exponential distribution, by the seed.
    Exponential,
}

impl ServiceTimes {
    pub(super) const fn are_equal(&self) -> bool {
        matches!(self, ServiceTimes::Fixed)
    }
}

/// Sets the draws of service times apart from those of sizes and releases.
const SERVICE: u64 = 0x7365_7276_6963_6521;

/// Sets the draws of who is slow apart from those of how long they take.
const SLOW: u64 = 0x736c_6f77_2121_2121;

/// What a server does with a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Service {
    /// How long it works on one, or the mean of that.
    pub(super) time: Duration,
    /// Which of the two.
    pub(super) times: ServiceTimes,
    /// Requests that it works on at a time; absent, any number.
    pub(super) workers: Option<u16>,
    /// Requests that wait for a worker at most; absent, 64.
    pub(super) backlog: Option<u32>,
    /// How often it is slow, and how long it works on a request then.
    pub(super) slow: (Probability, Duration),
}

impl Service {
    pub(super) fn check(&self) -> Result<(), String> {
        let fail = |problem: &str| Err(problem.to_owned());
        match (self.workers, self.backlog) {
            (Some(0), _) => return fail("`workers` must be at least 1; leave it out for any number"),
            (Some(_), _) if self.time == Duration::ZERO && self.slow.0.is_zero() => {
                return fail("`workers` do nothing where a request takes no time; set `service` (as 5ms)");
            }
            (None, Some(_)) => return fail("`backlog` goes with `workers`; say how many there are"),
            _ => {}
        }
        if self.times != ServiceTimes::Fixed && self.time == Duration::ZERO {
            return fail("`service-times` are of a `service` that takes time; set it (as 5ms)");
        }
        if self.time > Duration::from_secs(3600) {
            return fail("`service` must be at most 1h");
        }
        Ok(())
    }

    /// How long it works at most on a message of so many requests, of what is drawn but for one in ten million.
    pub(super) fn most_work(&self, in_one: u16) -> Duration {
        let times = if self.times == ServiceTimes::Fixed { 1 } else { 16 };
        let usual = self.time * u64::from(in_one) * times;
        if self.slow.0.is_zero() { usual } else { usual.max(self.slow.1 * u64::from(in_one)) }
    }

    /// How long it works on a message of so many requests.
    fn work(&self, seed: u64, in_one: u16, request: MessageId) -> Duration {
        let draw = |stream: u64, n: u64| draw::unit(draw::bits(seed ^ stream.wrapping_add(n), request));
        let each = |n: u64| match self.times {
            _ if draw(SLOW, n) < self.slow.0.fraction() => self.slow.1,
            ServiceTimes::Fixed => self.time,
            ServiceTimes::Exponential => {
                let drawn = -libm::log(draw(SERVICE, n));
                Duration::from_nanos((self.time.as_nanos() as f64 * drawn) as u64)
            }
        };
        (0..u64::from(in_one)).map(each).fold(Duration::ZERO, |sum, one| sum + one)
    }

    fn backlog(&self) -> usize {
        self.backlog.unwrap_or(64) as usize
    }
}

/// `, service 5ms, 2 workers, backlog 20`; nothing of one that takes no time.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.time > Duration::ZERO {
            let mean = if self.times == ServiceTimes::Fixed { "" } else { " in the mean, exponential" };
            write!(f, ", service {}{mean}", self.time)?;
        }
        if !self.slow.0.is_zero() {
            write!(f, ", {} of them {}", self.slow.0, self.slow.1)?;
        }
        if let Some(workers) = self.workers {
            let s = if workers == 1 { "" } else { "s" };
            write!(f, ", {workers} worker{s}, backlog {}", self.backlog())?;
        }
        Ok(())
    }
}

/// The driver of the end that answers: one server, or several, a stream each.
#[derive(Debug)]
pub(super) struct Server {
    service: Service,
    /// Requests that are in one message.
    in_one: u16,
    /// Requests of a stream: a refusal's number is that of its request and this.
    requests: u32,
    incoming: Table,
    table: Table,
    /// A bit for each request that has come.
    seen: Vec<u64>,
    /// What is worked on, by when it is done.
    busy: BinaryHeap<Reverse<(Duration, MessageId)>>,
    /// The workers of each server.
    pools: Vec<Pool>,
    /// No more requests come.
    is_last: bool,
    is_done: bool,
}

/// A server's workers.
#[derive(Debug, Clone, Default)]
struct Pool {
    /// How many of them work.
    busy: usize,
    /// What waits for one.
    waiting: VecDeque<MessageId>,
}

impl Server {
    /// So many servers: one for all streams, or one for each of its own, which are the last of the table.
    pub(super) fn new(
        service: Service,
        in_one: u16,
        requests: u32,
        servers: u16,
        table: Table,
        incoming: Table,
    ) -> Server {
        Server {
            service,
            in_one,
            requests,
            seen: vec![0; incoming.len().div_ceil(64)],
            incoming,
            table,
            busy: BinaryHeap::new(),
            pools: vec![Pool::default(); usize::from(servers.max(1))],
            is_last: false,
            is_done: false,
        }
    }

    fn send(&self, request: MessageId, seq: u32, at: Duration, actions: &mut Vec<Action>) {
        let id = MessageId { direction: Direction::Down, seq, ..request };
        let length = self.table.length(id.stream, id.seq).expect("the table has a response to every request");
        actions.push(Action::Send(Release { by: Some(request), ..Release::by_the_clock(id, length, at) }));
    }

    /// The workers of the server that a request is for.
    fn pool(&mut self, request: MessageId) -> &mut Pool {
        let servers = self.pools.len();
        let behind = usize::from(self.table.streams() - request.stream);
        &mut self.pools[if servers == 1 { 0 } else { servers - behind }]
    }

    fn begin(&mut self, request: MessageId, at: Duration) {
        self.pool(request).busy += 1;
        let work = self.service.work(self.incoming.seed(), self.in_one, request);
        self.busy.push(Reverse((at + work, request)));
    }

    fn come(&mut self, request: MessageId, now: Duration, actions: &mut Vec<Action>) {
        let Some(place) = self.incoming.index(request.stream, request.seq) else { return };
        let (word, bit) = (&mut self.seen[place / 64], 1 << (place % 64));
        if std::mem::replace(word, *word | bit) & bit != 0 {
            return;
        }
        let Service { workers, .. } = self.service;
        let backlog = self.service.backlog();
        let pool = self.pool(request);
        if workers.is_none_or(|workers| pool.busy < usize::from(workers)) {
            self.begin(request, now);
        } else if pool.waiting.len() < backlog {
            pool.waiting.push_back(request);
        } else {
            self.send(request, request.seq + self.requests, now, actions);
        }
    }

    /// Answers what is done by now; each worker goes on to what waits.
    fn finish(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while let Some(Reverse((at, request))) = self.busy.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.busy.pop();
            self.send(request, request.seq, at, actions);
            let pool = self.pool(request);
            pool.busy -= 1;
            if let Some(next) = pool.waiting.pop_front() {
                self.begin(next, at);
            }
        }
    }
}

impl Driver for Server {
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        if self.is_done {
            return;
        }
        self.finish(now, actions);
        match event {
            Event::Delivered(id) => self.come(id, now, actions),
            Event::PeerFinished => self.is_last = true,
            Event::Start | Event::Timer | Event::Failed(_) | Event::Cancelled(_) | Event::Recorded(_) => {}
        }
        self.finish(now, actions);
        match self.busy.peek() {
            Some(Reverse((at, _))) => actions.push(Action::WakeAt(*at)),
            None if self.is_last => {
                self.is_done = true;
                actions.push(Action::Done);
            }
            None => {}
        }
    }
}
