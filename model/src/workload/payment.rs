//! `payment`: each is made exactly once, or its user is told that it may not have been.
//!
//! A user's client sends a payment, waits for the confirmation as long as its timeout, and tries again some time after
//! that: not for ever, nor while its retry budget or its circuit breaker say no. All attempts have one key, so that the
//! server knows a payment that comes again, and confirms it again without making it again. The server writes each payment
//! into its book, which outlives it, before it confirms it.
//!
//! Attempt `k` at a user's payment `n` has the number `n × attempts + k - 1`, and so has its confirmation. User and `n`
//! are the key.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::arrivals::Arrivals;
use super::draw;
use super::driver::{Action, Driver, Event, wake_or_end};
use super::message::{Class, MessageId, Release};
use super::payee::Payee;
use super::restraint::{Breaker, Budget};
use super::retry::{Backoff, Jitter, Retry, Wait};
use super::size::Size;
use super::spec::{MAX_DURATION, MAX_MESSAGES, Spec, check_count_or_duration, check_rate, clear_count_or_duration};
use super::stream::{MAX_STREAMS, StreamId};
use super::table::{Block, Lengths, Table};
use crate::book::Keeping;
use crate::link::Direction;
use crate::units::{ByteCount, Duration};

/// Most payments a second.
const MOST_PER_SECOND: f64 = 10_000.0;

/// Most attempts at a payment.
const MOST_ATTEMPTS: u32 = 100;

/// Payments of several users (open loop). Exactly one of `count` and `duration` is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Payment {
    /// Users, each with a client of its own, which share the connection of arms that have one; they pay in turn.
    pub users: u16,
    /// Payments a second, of all together.
    pub per_second: f64,
    /// How they follow each other.
    pub arrivals: Arrivals,
    /// Payments in all.
    pub count: Option<u32>,
    /// Time for which payments are begun, in the mean.
    pub duration: Option<Duration>,
    /// Size of a payment.
    pub request: Size,
    /// Size of a confirmation.
    pub response: Size,
    /// Attempts at a payment, the first included.
    pub attempts: u32,
    /// How long an attempt is waited for.
    pub timeout: Duration,
    /// What is let pass after the first attempt has failed, before the second.
    pub pause: Duration,
    /// How that grows.
    pub backoff: Backoff,
    /// What it does not grow beyond.
    pub cap: Duration,
    /// What of it is drawn.
    pub jitter: Jitter,
    /// Retries of a user at most, as a share of the user's payments so far, rounded up; absent, any number.
    pub budget: Option<f64>,
    /// Attempts of a user that fail in a row, after which the circuit breaker opens; absent, there is none.
    pub breaker: Option<u32>,
    /// How long it is open until one attempt is made again.
    pub breaker_open: Duration,
    /// Whether a payment has a key by which the server knows it again.
    pub idempotency_key: bool,
    /// Where the server keeps its book.
    pub book: Keeping,
}

impl Default for Payment {
    fn default() -> Self {
        Payment {
            users: 20,
            per_second: 2.0,
            arrivals: Arrivals::Poisson,
            count: None,
            duration: None,
            request: Size::Fixed(ByteCount::new(1000)),
            response: Size::Fixed(ByteCount::new(500)),
            attempts: 3,
            timeout: Duration::from_secs(3),
            pause: Duration::from_millis(500),
            backoff: Backoff::Exponential,
            cap: Duration::from_secs(5),
            jitter: Jitter::Equal,
            budget: None,
            breaker: None,
            breaker_open: Duration::from_secs(5),
            idempotency_key: true,
            book: Keeping::Synced,
        }
    }
}

impl Payment {
    /// Payments in all.
    pub fn payments(&self) -> u32 {
        match (self.count, self.duration) {
            (Some(count), _) => count,
            (None, Some(duration)) => (duration.as_secs_f64() * self.per_second).round() as u32,
            (None, None) => 0,
        }
    }

    /// When a payment is tried again, if it is.
    pub fn rule(&self) -> Retry {
        let pause = Wait { base: self.pause, backoff: self.backoff, cap: self.cap, jitter: self.jitter };
        Retry { tries: self.attempts, timeout: Wait::fixed(self.timeout), pause }
    }

    /// Messages of a user and direction at most.
    fn per_user(&self) -> u32 {
        self.payments().div_ceil(u32::from(self.users.max(1))).saturating_mul(self.attempts)
    }
}

impl Spec for Payment {
    fn name(&self) -> &'static str {
        "payment"
    }

    fn axes(&self) -> &'static [&'static str] {
        &[
            "users",
            "per-second",
            "arrivals",
            "count",
            "duration",
            "request",
            "response",
            "attempts",
            "timeout",
            "pause",
            "backoff",
            "cap",
            "jitter",
            "budget",
            "breaker",
            "breaker-open",
            "idempotency-key",
            "book",
        ]
    }

    fn clear_rival_of(&mut self, axis: &str) {
        clear_count_or_duration(axis, &mut self.count, &mut self.duration);
    }

    fn check(&self) -> Result<(), String> {
        let fail = |problem: &str| Err(problem.to_owned());
        check_rate(self.per_second, MOST_PER_SECOND)?;
        check_count_or_duration(self.count, self.duration)?;
        if !(1..=MAX_STREAMS).contains(&self.users) {
            return Err(format!("`users` is {}; it must lie between 1 and {MAX_STREAMS}", self.users));
        }
        if self.payments() == 0 {
            return fail("it makes no payment; `count` must be at least 1, or `duration` longer");
        }
        self.request.check("request")?;
        self.response.check("response")?;
        if !(1..=MOST_ATTEMPTS).contains(&self.attempts) {
            return Err(format!("`attempts` is {}; it must lie between 1 and {MOST_ATTEMPTS}", self.attempts));
        }
        let hour = Duration::from_secs(3600);
        for (name, time) in [("timeout", self.timeout), ("breaker-open", self.breaker_open)] {
            if time == Duration::ZERO || time > hour {
                return Err(format!("`{name}` must be more than 0s and at most 1h"));
            }
        }
        if self.pause > self.cap {
            return Err(format!(
                "`pause` is {} and `cap`, which it does not grow beyond, {}; give a longer `cap`",
                self.pause, self.cap
            ));
        }
        if self.cap > hour {
            return fail("`cap` must be at most 1h");
        }
        if let Some(share) = self.budget.filter(|share| !(0.0..=f64::from(MOST_ATTEMPTS)).contains(share)) {
            return Err(format!(
                "`budget` is {share}; it is a share of the payments, as 0.1 for one retry to ten, and must lie between 0 \
                 and {MOST_ATTEMPTS}"
            ));
        }
        if self.breaker == Some(0) {
            return fail("`breaker` is 0, so nothing would ever be tried; give at least 1, or leave it out for none");
        }
        let all = 2 * u64::from(self.per_user()) * u64::from(self.users);
        if all > MAX_MESSAGES {
            return Err(format!("it makes up to {all} messages; at most {MAX_MESSAGES} fit one trial"));
        }
        let longest = self.rule().longest() + self.nominal_duration().unwrap_or_default();
        if longest > MAX_DURATION {
            return fail(
                "it would run for more than 24h; give a shorter `timeout`, fewer `attempts` or fewer payments",
            );
        }
        Ok(())
    }

    fn direction(&self) -> Direction {
        Direction::Down
    }

    fn streams(&self) -> u16 {
        self.users
    }

    fn block(&self, direction: Direction) -> Option<Block> {
        let size = match direction {
            Direction::Up => self.request,
            Direction::Down => self.response,
        };
        let lengths = Lengths::Drawn { size, sum_of: 1, one_byte_from: u32::MAX };
        Some(Block { streams: self.users, per_stream: self.per_user(), class: Class::Latency, lengths })
    }

    fn nominal_duration(&self) -> Option<Duration> {
        Some(Duration::from_nanos((f64::from(self.payments()) / self.per_second * 1e9) as u64))
    }

    fn patience(&self, _rtt: Duration) -> Duration {
        self.rule().longest()
    }

    fn total_bytes(&self) -> Option<ByteCount> {
        let each = self.request.mean() + self.response.mean();
        Some(ByteCount::new((each * f64::from(self.payments())) as u64))
    }

    fn is_dialogue(&self) -> bool {
        true
    }

    // A port may serve one connection after the other.
    fn is_attributable(&self) -> bool {
        false
    }

    fn begins(&self, message: MessageId) -> bool {
        message.direction == Direction::Up
    }

    fn book(&self) -> Option<Keeping> {
        Some(self.book)
    }

    fn driver(&self, outgoing: Table, incoming: Table) -> Box<dyn Driver> {
        let first = outgoing.streams() - self.users;
        match outgoing.direction() {
            Direction::Up => Box::new(Client {
                rule: self.rule(),
                first,
                next: 0,
                next_at: Duration::ZERO,
                pending: BTreeMap::new(),
                timers: BinaryHeap::new(),
                users: vec![
                    User {
                        budget: Budget::new(self.budget),
                        breaker: Breaker::new(self.breaker, self.breaker_open)
                    };
                    usize::from(self.users)
                ],
                is_done: false,
                spec: self.clone(),
                table: outgoing,
            }),
            Direction::Down => {
                drop(incoming);
                Box::new(Payee::new(outgoing, first, self.attempts, self.idempotency_key))
            }
        }
    }
}

impl fmt::Display for Payment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, users) = (self.payments(), self.users);
        let s = |n: u32| if n == 1 { "" } else { "s" };
        let how = if self.arrivals == Arrivals::Poisson { "Poisson, " } else { "" };
        write!(f, "{n} payment{} by {users} user{}", s(n), s(u32::from(users)))?;
        write!(f, ", {how}{} a second, {}, confirmation {}", self.per_second, self.request, self.response)?;
        match self.attempts {
            1 => write!(f, ", one attempt, given up after {}", self.timeout)?,
            n => {
                let grows = if self.backoff == Backoff::Exponential { ", doubling" } else { "" };
                write!(f, ", timeout {}, again {} after that{grows}, {n} attempts", self.timeout, self.pause)?;
            }
        }
        if let Some(share) = self.budget {
            write!(f, ", a budget of {share} retries a payment")?;
        }
        if let Some(failures) = self.breaker {
            write!(f, ", circuit breaker after {failures} failures for {}", self.breaker_open)?;
        }
        if !self.idempotency_key {
            write!(f, ", without idempotency keys")?;
        }
        if self.book == Keeping::Memory { write!(f, ", book in memory") } else { Ok(()) }
    }
}

/// What a user's client keeps itself to.
#[derive(Debug, Clone)]
struct User {
    budget: Budget,
    breaker: Breaker,
}

/// A payment that was begun and is neither confirmed nor given up.
#[derive(Debug, Clone, Copy)]
struct Pending {
    /// How often it was tried.
    tried: u32,
    /// Until when the last attempt is waited for.
    deadline: Duration,
    /// Whether it is, or has failed.
    is_waiting: bool,
}

/// The driver of the users' clients. A payment is known by its number among those of all users.
#[derive(Debug)]
struct Client {
    spec: Payment,
    rule: Retry,
    table: Table,
    first: StreamId,
    /// The next payment, and when it is begun.
    next: u32,
    next_at: Duration,
    pending: BTreeMap<u32, Pending>,
    /// When an attempt of this number, at this payment, is no longer waited for, or is to be made; of payments that are
    /// over, too.
    timers: BinaryHeap<Reverse<(Duration, u32, u32)>>,
    users: Vec<User>,
    is_done: bool,
}

impl Client {
    fn id(&self, payment: u32, attempt: u32) -> MessageId {
        let users = u32::from(self.spec.users);
        let stream = self.first + (payment % users) as StreamId;
        MessageId { direction: Direction::Up, stream, seq: payment / users * self.rule.tries + attempt - 1 }
    }

    fn user(&mut self, payment: u32) -> &mut User {
        let users = self.users.len();
        &mut self.users[payment as usize % users]
    }

    /// The payment and the attempt that a message is of.
    fn of(&self, id: MessageId) -> (u32, u32) {
        let (users, n) = (u32::from(self.spec.users), id.seq / self.rule.tries);
        (n * users + u32::from(id.stream - self.first), id.seq % self.rule.tries + 1)
    }

    /// Begins the payments that are due by now.
    fn begin(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while let Some(at) = self.next_release().filter(|at| *at <= now) {
            let payment = self.next;
            self.user(payment).budget.begin();
            self.attempt(payment, 1, at, actions);
            let bits = draw::bits(self.table.seed() ^ ARRIVAL, self.id(payment, 1));
            self.next += 1;
            self.next_at = self.spec.arrivals.release(self.next, at, self.spec.per_second, bits);
        }
    }

    /// When the next payment is begun; `None` where there is none.
    fn next_release(&self) -> Option<Duration> {
        (self.next < self.spec.payments()).then_some(self.next_at)
    }

    /// Makes an attempt, unless the user's client keeps from it; then the payment is over.
    fn attempt(&mut self, payment: u32, attempt: u32, at: Duration, actions: &mut Vec<Action>) {
        let user = self.user(payment);
        // In this order: what the breaker holds back takes nothing from the budget.
        if !user.breaker.lets_through(payment, at) || attempt > 1 && !user.budget.retry() {
            self.pending.remove(&payment);
            return;
        }
        let id = self.id(payment, attempt);
        let length = self.table.length(id.stream, id.seq).expect("the table has every attempt at every payment");
        let deadline = at + self.rule.timeout.after(attempt, 0);
        actions.push(Action::Send(Release {
            attempt,
            deadline: Some(deadline),
            ..Release::by_the_clock(id, length, at)
        }));
        self.pending.insert(payment, Pending { tried: attempt, deadline, is_waiting: true });
        self.timers.push(Reverse((deadline, payment, attempt)));
    }

    /// An attempt has failed at this time: the next is made after a pause, if there is one.
    fn failed(&mut self, payment: u32, attempt: u32, at: Duration) {
        self.user(payment).breaker.failed(payment, at);
        if attempt == self.rule.tries {
            self.pending.remove(&payment);
            return;
        }
        let pause = self.rule.pause.after(attempt, draw::bits(self.table.seed() ^ RETRY, self.id(payment, attempt)));
        if let Some(pending) = self.pending.get_mut(&payment) {
            pending.is_waiting = false;
        }
        self.timers.push(Reverse((at + pause, payment, attempt + 1)));
    }

    /// Does what is due by now.
    fn go_on(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while let Some(Reverse((at, payment, attempt))) = self.timers.peek().copied() {
            let due = self.due(payment, attempt);
            if due.is_some() && at > now {
                break;
            }
            self.timers.pop();
            match due {
                Some(Due::Timeout) => {
                    actions.push(Action::Cancel(self.id(payment, attempt)));
                    self.failed(payment, attempt, at);
                }
                Some(Due::Attempt) => self.attempt(payment, attempt, at, actions),
                None => {}
            }
        }
    }

    /// What a timer means that is set for this attempt.
    fn due(&self, payment: u32, attempt: u32) -> Option<Due> {
        let pending = self.pending.get(&payment)?;
        match (pending.is_waiting, pending.tried) {
            (true, tried) if tried == attempt => Some(Due::Timeout),
            (false, tried) if tried + 1 == attempt => Some(Due::Attempt),
            _ => None,
        }
    }
}

/// What a timer is set for.
enum Due {
    /// An attempt is not waited for any longer.
    Timeout,
    /// An attempt is made.
    Attempt,
}

/// Sets the draws of releases and of retries apart from those of sizes.
const ARRIVAL: u64 = 0x6172_7269_7661_6c21;
const RETRY: u64 = 0x7265_7472_792e_2e21;

impl Driver for Client {
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        if self.is_done {
            return;
        }
        match event {
            Event::Delivered(id) => {
                let (payment, attempt) = self.of(id);
                // What comes too late is not read any more.
                let is_awaited = |pending: &Pending| pending.tried == attempt && now <= pending.deadline;
                if self.pending.get(&payment).is_some_and(is_awaited) {
                    self.pending.remove(&payment);
                    self.user(payment).breaker.succeeded();
                }
            }
            Event::Failed(id) => {
                let (payment, attempt) = self.of(id);
                if let Some(Due::Timeout) = self.due(payment, attempt) {
                    self.failed(payment, attempt, now);
                }
            }
            Event::Start | Event::Timer | Event::Cancelled(_) | Event::Recorded(_) | Event::PeerFinished => {}
        }
        self.begin(now, actions);
        self.go_on(now, actions);
        let timer = self.timers.peek().map(|Reverse((at, ..))| *at);
        wake_or_end(self.next_release().into_iter().chain(timer).min(), &mut self.is_done, actions);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Workload;
    use super::super::simulation::{Network, Played, both_ends, networks, properties, through_restarts};
    use super::*;
    use crate::payments::{Payments, Recorded};
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn payments() -> impl Strategy<Value = Payment> {
        let limits = (proptest::option::of(0.0f64..2.0), proptest::option::of(1u32..6), 1u64..900);
        let rule = (1u32..5, 1u64..700, 0u64..300, any::<bool>());
        (1u32..100, 1u32..80, 1u16..20, rule, limits, any::<bool>()).prop_map(
            |(rate, count, users, (attempts, timeout, pause, is_drawn), (budget, breaker, open), idempotency_key)| {
                Payment {
                    users,
                    per_second: f64::from(rate),
                    count: Some(count),
                    attempts,
                    timeout: MS(timeout),
                    pause: MS(pause),
                    jitter: if is_drawn { Jitter::Full } else { Jitter::None },
                    backoff: if is_drawn { Backoff::Exponential } else { Backoff::Fixed },
                    budget,
                    breaker,
                    breaker_open: MS(open),
                    idempotency_key,
                    ..Payment::default()
                }
            },
        )
    }

    properties!(payments().prop_map(Workload::Payment));

    fn became(payment: &Payment, played: &Played) -> (Payments, Recorded) {
        let payments = Payments::of(payment, 0..payment.users, &played.records());
        let recorded = payments.in_book(&played.book);
        (payments, recorded)
    }

    proptest! {
        #[test]
        fn no_payment_is_made_twice_or_lost(
            payment in payments(), network in networks(), restarts in proptest::collection::vec(0u64..3_000, 0..5),
        ) {
            let payment = Payment { idempotency_key: true, ..payment };
            let restarts: Vec<Duration> = restarts.into_iter().map(MS).collect();
            let played = through_restarts(&Workload::Payment(payment.clone()), 7, network, &restarts);
            let (payments, recorded) = became(&payment, &played);
            prop_assert_eq!((recorded.twice, recorded.missing), (0, 0));
            prop_assert_eq!(payments.confirmed() + payments.unknown() + payments.refused(), payment.payments());
            prop_assert!(payments.attempts <= payment.payments() * payment.attempts);
            // Of what is not in the book the user was never told that it is.
            let made = payments.confirmed() + recorded.unconfirmed;
            prop_assert!(made <= payment.payments() - payments.refused());
        }
    }

    /// A network on which one message in ten is lost, and payments which are tried again.
    fn lossy(payment: Payment) -> (Payment, Network) {
        let payment = Payment { count: Some(400), per_second: 100.0, timeout: MS(200), pause: MS(50), ..payment };
        (payment, Network { lost: 26, ..Network::default() })
    }

    #[test]
    fn without_keys_some_payments_are_made_twice() {
        let (payment, network) = lossy(Payment { idempotency_key: false, ..Payment::default() });
        let (_, recorded) = became(&payment, &both_ends(&Workload::Payment(payment.clone()), 1, network));
        assert!(recorded.twice > 0 && recorded.missing == 0, "{recorded:?}");
    }

    #[test]
    fn what_only_memory_held_is_missing_after_a_restart() {
        let (payment, network) = lossy(Payment { book: Keeping::Memory, ..Payment::default() });
        let played = through_restarts(&Workload::Payment(payment.clone()), 1, network, &[MS(2_000)]);
        let (payments, recorded) = became(&payment, &played);
        assert!(recorded.missing > 100 && recorded.missing < payments.confirmed(), "{recorded:?}");
    }

    #[test]
    fn each_attempt_fails_by_the_chance_of_theory() {
        // Lost each way with p = 26/256: an attempt fails with q = 1 - (1 - p)².
        let (payment, network) = lossy(Payment::default());
        let payment = Payment { count: Some(6_000), per_second: 1000.0, ..payment };
        let (payments, recorded) = became(&payment, &both_ends(&Workload::Payment(payment.clone()), 1, network));
        let n = f64::from(payment.payments());
        let q = |p: f64| 1.0 - (1.0 - p).powi(2);
        let unknown = |p: f64| q(p).powi(3);
        let attempts = |p: f64| 1.0 + q(p) + q(p).powi(2);
        let p = 26.0 / 256.0;
        let spread = |share: f64| (share * (1.0 - share) / n).sqrt();
        let share = f64::from(payments.unknown()) / n;
        assert!((share - unknown(p)).abs() < 3.9 * spread(unknown(p)), "{share}, not {}", unknown(p));
        let made = f64::from(payments.attempts) / n;
        // The variance of a geometric number that is cut off at three is below that of one that is not.
        let widest = (q(p) / (1.0 - q(p)).powi(2) / n).sqrt();
        assert!((made - attempts(p)).abs() < 3.9 * widest, "{made}, not {}", attempts(p));
        for wrong in [0.7 * p, 1.3 * p] {
            assert!((attempts(wrong) - attempts(p)).abs() > 2.0 * 3.9 * widest, "{wrong} would not be told from {p}");
        }
        assert_eq!((recorded.twice, recorded.missing, payments.refused()), (0, 0, 0));
    }

    #[test]
    fn a_confirmation_takes_a_round_trip_and_the_sync() {
        let payment = Payment { count: Some(50), ..Payment::default() };
        let (payments, recorded) =
            became(&payment, &both_ends(&Workload::Payment(payment.clone()), 1, Network::default()));
        assert_eq!((payments.confirmed(), payments.attempts), (50, 50));
        assert_eq!(recorded, Recorded::default());
        assert!(payments.latencies().iter().all(|took| *took == 62_000_000), "{:?}", payments.latencies());
    }

    #[test]
    fn each_attempt_has_its_own_timeout() {
        // Some attempts fail after a round trip of 60 ms, others are never heard of again.
        let network = Network { seed: 4, failed: 90, lost: 90, ..Network::default() };
        let payment = Payment {
            count: Some(100),
            attempts: 6,
            timeout: MS(1_000),
            pause: MS(100),
            backoff: Backoff::Fixed,
            jitter: Jitter::None,
            ..Payment::default()
        };
        let played = both_ends(&Workload::Payment(payment), 7, network);
        let mut attempts: BTreeMap<(StreamId, u32), Vec<Duration>> = BTreeMap::new();
        for (_, release) in played.released.iter().filter(|(_, release)| release.id.direction == Direction::Up) {
            attempts.entry((release.id.stream, release.id.seq / 6)).or_default().push(release.at);
        }
        let mut gaps = [0; 2];
        for pair in attempts.values().flat_map(|all| all.windows(2)) {
            match (pair[1] - pair[0]).as_nanos() / 1_000_000 {
                160 => gaps[0] += 1,
                1_100 => gaps[1] += 1,
                other => panic!("again after {other} ms: {attempts:?}"),
            }
        }
        assert!(gaps.iter().all(|gaps| *gaps > 30), "{gaps:?}");
    }

    #[test]
    fn an_open_breaker_refuses_at_once() {
        // Nothing is answered: one user's breaker opens after three failures, and tries one payment each second.
        let payment = Payment {
            users: 1,
            per_second: 10.0,
            arrivals: Arrivals::Even,
            count: Some(100),
            attempts: 1,
            timeout: MS(50),
            breaker: Some(3),
            breaker_open: MS(1_000),
            ..Payment::default()
        };
        let network = Network { lost: 255, ..Network::default() };
        let (payments, recorded) = became(&payment, &both_ends(&Workload::Payment(payment.clone()), 1, network));
        assert_eq!(payments.confirmed() + recorded.twice + recorded.missing, 0);
        // Three at first; it opens at 250 ms and one is tried every 1.1 s from 1.3 s on.
        assert_eq!((payments.unknown(), payments.refused()), (3 + 8, 100 - 11), "{payments:?}");
    }

    #[test]
    fn a_budget_bounds_the_attempts() {
        let payment = Payment { users: 1, count: Some(100), budget: Some(0.1), ..lossy(Payment::default()).0 };
        let network = Network { lost: 255, ..Network::default() };
        let (payments, _) = became(&payment, &both_ends(&Workload::Payment(payment.clone()), 1, network));
        assert_eq!((payments.attempts, payments.refused()), (110, 0), "a tenth more than the 100 payments");
    }

    #[test]
    fn impossible_parameters_are_named_with_the_remedy() {
        let some = Payment { count: Some(1), ..Payment::default() };
        let bad = [
            (Payment::default(), "set `count`"),
            (Payment { per_second: 0.0, ..some.clone() }, "`per-second` is 0"),
            (Payment { count: Some(0), ..some.clone() }, "makes no payment"),
            (Payment { users: 0, ..some.clone() }, "`users` is 0"),
            (Payment { attempts: 0, ..some.clone() }, "`attempts` is 0"),
            (Payment { timeout: Duration::ZERO, ..some.clone() }, "`timeout` must be more"),
            (Payment { pause: MS(9_000), ..some.clone() }, "longer `cap`"),
            (Payment { budget: Some(-0.1), ..some.clone() }, "`budget` is -0.1"),
            (Payment { budget: Some(f64::NAN), ..some.clone() }, "`budget` is NaN"),
            (Payment { breaker: Some(0), ..some.clone() }, "`breaker` is 0"),
            (Payment { duration: Some(Duration::from_secs(1)), ..some }, "exclude each other"),
        ];
        for (payment, remedy) in bad {
            let said = Workload::Payment(payment).check().unwrap_err().to_string();
            assert!(said.contains(remedy), "{said}");
        }
    }

    #[test]
    fn an_arm_that_ends_with_its_server_is_refused() {
        let payment = Workload::Payment(Payment { count: Some(1), ..Payment::default() });
        for arm in ["tcp", "tls", "quic", "quic/per-message", "tcp/per-message", "tls/per-message"] {
            payment.check_restart(arm.parse().unwrap()).unwrap();
        }
        for arm in ["tcp/per-stream", "udp", "quic/datagram"] {
            let said = payment.check_restart(arm.parse().unwrap()).unwrap_err().to_string();
            assert!(said.contains("use `tcp`, `tls` or `quic`"), "{said}");
        }
        let mix = Workload::Mix(super::super::Mix { of: vec![payment.clone(), payment], ..Default::default() });
        assert!(mix.check().unwrap_err().to_string().contains("competing-flow"));
    }
}
