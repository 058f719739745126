//! The lookup of the server's name with which a cold session may begin: a query and its response, by the stub resolver's
//! rule (RFC 8499, section 6), and nothing else before it is over.
//!
//! The query is one of [`Query`], made once. The resolver stands at the server's end and has the name in its cache: it
//! answers at once.

use super::driver::{Action, Driver, Event};
use super::message::Release;
use super::query::Query;
use super::retry::Retry;
use super::spec::Spec;
use super::table::Table;
use crate::link::Direction;
use crate::name_lookup::NameLookup;
use crate::units::{ByteCount, Duration};

/// What stands around the payload of a query: the headers of IPv6 and UDP, whose session it is of, and the header of a
/// frame.
const AROUND: u64 = 40 + 8 + 32 + 16;

/// The most bytes of a query and of a response: with what stands around them they fit the least packet that every path of
/// IPv6 carries (RFC 8200, section 5).
pub(super) const MOST: ByteCount = ByteCount::new(1280 - AROUND);

/// A name that is looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct NameQuery {
    query: Query,
    limit: Duration,
}

impl NameQuery {
    /// The lookup by such a query, of which one is made, given up at the latest after `limit`.
    pub(super) fn new(query: Query, limit: Duration) -> NameQuery {
        NameQuery { query: Query { streams: 1, count: Some(1), duration: None, ..query }, limit }
    }

    /// What may be sent in a direction: a message for each try, by its number.
    pub fn table(&self, direction: Direction, seed: u64) -> Table {
        let mut table = Table::new(direction, seed);
        self.query.fill(&mut table);
        table
    }

    /// When it is tried again.
    pub fn rule(&self) -> Retry {
        self.query.rule()
    }

    /// Refuses packets in which a query or its response has no place.
    ///
    /// # Errors
    /// Says what to write instead.
    pub fn check_mtu(&self, mtu: u16) -> Result<(), String> {
        let longest = self.query.request.mean().max(self.query.response.mean()) as u64;
        if longest + AROUND <= u64::from(mtu) {
            return Ok(());
        }
        Err(format!(
            "a query or a response of {longest} bytes does not fit one packet of the path's MTU of {mtu}; give a smaller \
             `lookup-query` and `lookup-response`, or an `mtu` of at least {}",
            longest + AROUND
        ))
    }

    /// Who asks.
    pub fn stub_resolver(&self, seed: u64) -> StubResolver {
        let [outgoing, incoming] = Direction::BOTH.map(|direction| self.table(direction, seed));
        StubResolver {
            driver: self.query.driver(outgoing, incoming),
            limit: self.limit,
            wake: self.limit,
            tries: 0,
            outcome: None,
        }
    }
}

/// The end that asks: it has neither socket nor clock. Times count from the start of the lookup.
#[derive(Debug)]
pub struct StubResolver {
    driver: Box<dyn Driver>,
    limit: Duration,
    wake: Duration,
    tries: u32,
    outcome: Option<NameLookup>,
}

impl StubResolver {
    /// The queries that are to be sent upon an event, at `now`. [`Event::Start`] comes first, [`Event::Delivered`] with
    /// the first response ends it.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Release> {
        let over = |tries, answered| Some(NameLookup { took_ns: now.as_nanos(), tries, answered });
        if self.outcome.is_some() {
            return Vec::new();
        }
        if matches!(event, Event::Delivered(_)) || now >= self.limit {
            self.outcome = over(self.tries, matches!(event, Event::Delivered(_)));
            return Vec::new();
        }
        let (mut actions, mut queries) = (Vec::new(), Vec::new());
        self.driver.on(event, now, &mut actions);
        for action in actions {
            match action {
                Action::Send(query) => queries.push(query),
                Action::WakeAt(at) => self.wake = at.min(self.limit),
                Action::Done => self.outcome = over(self.tries, false),
                Action::Cancel(_) | Action::Record(_) => {}
            }
        }
        self.tries += queries.len() as u32;
        queries
    }

    /// When an [`Event::Timer`] is wanted.
    pub fn wakes_at(&self) -> Duration {
        self.wake
    }

    /// What became of it, once it is over.
    pub fn outcome(&self) -> Option<NameLookup> {
        self.outcome
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::MessageId;
    use super::super::retry::Resolver;
    use super::*;
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// When queries are sent, in milliseconds, and what becomes of a lookup, of whose tries those listed are answered
    /// after `rtt`.
    fn played(query: Query, limit: Duration, rtt: Duration, answered: &[u32]) -> (Vec<u64>, NameLookup) {
        let mut resolver = NameQuery::new(query, limit).stub_resolver(7);
        let (mut sent, mut due) = (Vec::new(), Vec::<(Duration, MessageId)>::new());
        let (mut event, mut now) = (Event::Start, Duration::ZERO);
        loop {
            for query in resolver.on(event, now) {
                assert_eq!((query.at, query.attempt as usize), (now, sent.len() + 1));
                sent.push(now.as_nanos() / 1_000_000);
                if answered.contains(&query.attempt) {
                    due.push((now + rtt, MessageId { direction: Direction::Down, ..query.id }));
                }
            }
            if let Some(outcome) = resolver.outcome() {
                assert!(resolver.on(Event::Timer, now).is_empty(), "it is over");
                return (sent, outcome);
            }
            let next = due.iter().min().copied().filter(|(at, _)| *at <= resolver.wakes_at());
            (now, event) = next.map_or((resolver.wakes_at(), Event::Timer), |(at, id)| (at, Event::Delivered(id)));
        }
    }

    fn by(retry: Resolver) -> Query {
        Query { retry, ..Query::default() }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    fn outcome(took: u64, tries: u32, answered: bool) -> NameLookup {
        NameLookup { took_ns: MS(took).as_nanos(), tries, answered }
    }

    #[test]
    fn a_query_that_nothing_befalls_takes_a_round_trip() {
        for retry in [Resolver::None, Resolver::Glibc, Resolver::Chromium, Resolver::Unbound] {
            assert_eq!(played(by(retry), HOUR, MS(60), &[1, 2]), (vec![0], outcome(60, 1, true)), "{retry:?}");
        }
    }

    #[test]
    fn a_lost_query_costs_what_the_rule_says() {
        let second = |retry| played(by(retry), HOUR, MS(60), &[2]);
        assert_eq!(second(Resolver::Glibc), (vec![0, 5_000], outcome(5_060, 2, true)));
        assert_eq!(second(Resolver::Chromium), (vec![0, 1_000], outcome(1_060, 2, true)));
        assert_eq!(second(Resolver::Unbound), (vec![0, 376], outcome(436, 2, true)));
        // The first is answered after the second was sent, which is answered, too.
        assert_eq!(played(by(Resolver::Unbound), HOUR, MS(400), &[1, 2]), (vec![0, 376], outcome(400, 2, true)));
    }

    #[test]
    fn it_is_given_up_after_the_last_try() {
        let none = |retry, limit| played(by(retry), limit, MS(60), &[]);
        assert_eq!(none(Resolver::None, HOUR), (vec![0], outcome(5_000, 1, false)));
        assert_eq!(none(Resolver::Chromium, HOUR), (vec![0, 1_000], outcome(3_000, 2, false)));
        // Or before, where nobody waits so long.
        assert_eq!(none(Resolver::Glibc, MS(7_000)), (vec![0, 5_000], outcome(7_000, 2, false)));
    }

    proptest! {
        #[test]
        fn the_first_answer_ends_it(
            tries in 1u32..8, timeout in 1u64..400, rtt in 1u64..900, limit in 1u64..3_000,
            answered in proptest::collection::vec(1u32..8, 0..4),
        ) {
            let query = Query { tries: Some(tries), timeout: Some(MS(timeout)), ..by(Resolver::Glibc) };
            let (sent, outcome) = played(query, MS(limit), MS(rtt), &answered);
            let first = answered.iter().filter(|n| **n <= tries).map(|n| u64::from(n - 1) * timeout + rtt).min();
            let end = limit.min(u64::from(tries) * timeout);
            prop_assert_eq!(outcome.took_ns / 1_000_000, first.map_or(end, |at| at.min(end)));
            prop_assert_eq!(outcome.tries as usize, sent.len());
            prop_assert!(sent.iter().zip(0..).all(|(at, n)| *at == n * timeout && *at < end));
            if first.is_none_or(|at| at != end) {
                prop_assert_eq!(outcome.answered, first.is_some_and(|at| at < end));
            }
        }
    }

    #[test]
    fn it_fits_a_packet_or_is_refused() {
        let of = |request| {
            let request = super::super::size::Size::Fixed(ByteCount::new(request));
            NameQuery::new(Query { request, ..Query::default() }, HOUR)
        };
        assert_eq!(of(MOST.bytes()).check_mtu(1280), Ok(()));
        let refused = of(600).check_mtu(600).unwrap_err();
        assert!(refused.contains("`lookup-query`") && refused.contains("at least 696"), "{refused}");
        let table = of(50).table(Direction::Up, 1);
        assert_eq!((table.streams(), table.len()), (1, 2), "a message for each try");
    }
}
