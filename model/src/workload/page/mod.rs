//! `page`: a web page, the HTML and then its objects in the order in which they are named.
//!
//! A request goes up, its response comes down on the same logical stream with the same number, that of the object. An
//! object is requested as soon as the one that names it is there whole and a stream is free; long HTML comes in two
//! parts, so that what its head names is requested before its end is here. What a browser computes (parsing, layout,
//! scripts) takes no time: up to a third of a real critical path (Wang et al., NSDI 2013) is missing. The
//! server's name is looked up before anything else ([`Lookup`]). All objects are of one server.

mod objects;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::answer::{Answerer, Answers};
use super::driver::{Action, Driver, Event};
use super::lookup::{self, NameQuery};
use super::message::{Class, Length, MessageId, Release};
use super::query::Query;
use super::retry::Resolver;
use super::size::Size;
use super::spec::{MAX_MESSAGES, MOST_WARMUP, Spec, check_streams, check_timeout};
use super::stream::StreamId;
use super::table::{Block, Lengths, Table};
use crate::arm::Arm;
use crate::link::{Direction, Link};
use crate::units::{ByteCount, Duration};

pub use objects::{Contents, Group, Kind, Named, Object, Own};

/// Requests at a time on one connection, as servers of HTTP/2 and HTTP/3 permit by default.
const ON_ONE_CONNECTION: u16 = 100;

/// Connections that a browser opens to a server by HTTP/1.1, each for one request at a time.
const CONNECTIONS: u16 = 6;

/// A web page, and how it is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Page {
    /// What it is made of.
    pub contents: Contents,
    /// In which order the server sends what was requested.
    pub order: ObjectOrder,
    /// Requests at a time, each on a logical stream. Absent: 6 where each stream has a connection of its own, else 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<u16>,
    /// Size of a request.
    pub request: ByteCount,
    /// How long the page is waited for, the lookup of its server's name included.
    pub timeout: Duration,
    /// Whether the server's name is known, or looked up before anything else.
    pub lookup: Lookup,
    /// Whose rule the lookup is tried again by.
    pub lookup_retry: Resolver,
    /// How long its first query is waited for, in place of the rule's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookup_timeout: Option<Duration>,
    /// Queries in all, in place of the rule's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookup_tries: Option<u32>,
    /// Size of a query.
    pub lookup_query: ByteCount,
    /// Size of a response.
    pub lookup_response: ByteCount,
    /// Whether it starts with its connections, so that the first byte waits for the handshake.
    pub cold: bool,
    /// Bytes sent for warm-up in each direction where it is not cold, as for `messages`. Absent: the smaller of the
    /// link's two bandwidth-delay products.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<ByteCount>,
}

/// Whether the server's name is known, or looked up before anything else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lookup {
    /// The stub resolver has it in its cache: no query is sent, and it takes no time.
    #[default]
    Cached,
    /// A query crosses the link to the resolver, which stands at the server's end and answers at once. No connection is
    /// made before its response is here.
    Uncached,
}

/// In which order objects are sent that wait at the same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectOrder {
    /// In turns.
    RoundRobin,
    /// One after the other, in the order in which the page names them.
    Sequential,
    /// Stylesheets, scripts and fonts first, then images, then the rest; those alike in turns.
    #[default]
    Priority,
}

impl Default for Page {
    fn default() -> Self {
        Page {
            contents: Contents::Named(Named::Full),
            order: ObjectOrder::Priority,
            streams: None,
            request: ByteCount::new(400),
            timeout: Duration::from_secs(60),
            lookup: Lookup::Cached,
            lookup_retry: Resolver::Glibc,
            lookup_timeout: None,
            lookup_tries: None,
            lookup_query: ByteCount::new(50),
            lookup_response: ByteCount::new(200),
            cold: true,
            warmup: None,
        }
    }
}

impl Page {
    /// Its objects by their numbers; the HTML comes first, in one part or two.
    pub fn objects(&self, seed: u64) -> Vec<Object> {
        self.contents.objects(seed)
    }

    /// The lookup of its server's name; `None` where that is known.
    pub(super) fn name_query(&self) -> Option<NameQuery> {
        let query = Query {
            request: Size::Fixed(self.lookup_query),
            response: Size::Fixed(self.lookup_response),
            retry: self.lookup_retry,
            timeout: self.lookup_timeout,
            tries: self.lookup_tries,
            ..Query::default()
        };
        (self.lookup == Lookup::Uncached).then(|| NameQuery::new(query, self.timeout))
    }

    fn check_lookup(&self) -> Result<(), String> {
        if self.lookup == Lookup::Uncached && !self.cold {
            return Err(
                "`lookup = \"uncached\"` goes before the connections, and with `cold = false` they are up before; \
                        leave one of them out"
                    .into(),
            );
        }
        for (name, size) in [("query", self.lookup_query), ("response", self.lookup_response)] {
            if !(1..=lookup::MOST.bytes()).contains(&size.bytes()) {
                return Err(format!("`lookup-{name}` must lie between 1B and {}: it is one packet", lookup::MOST));
            }
        }
        self.lookup_retry.check(self.lookup_timeout, self.lookup_tries, "lookup-")
    }

    /// When an object goes among those that wait: higher goes first. The HTML's first part is ahead of all.
    fn priority(&self, number: u32, kind: Kind) -> i32 {
        match (self.order, kind) {
            (ObjectOrder::Sequential, _) => -(number as i32),
            (_, Kind::Html) if number == 0 => 6,
            (ObjectOrder::RoundRobin, _) => 1,
            (_, Kind::Html) => 5,
            (_, Kind::Css | Kind::Script | Kind::Font) => 4,
            (_, Kind::Image) => 3,
            (_, Kind::Data | Kind::Beacon) => 2,
        }
    }

    fn table_block(&self, direction: Direction, seed: u64) -> Block {
        let objects = self.objects(seed);
        let per_stream = objects.len() as u32;
        let lengths = match direction {
            Direction::Up => Lengths::Fixed(self.request),
            Direction::Down => Lengths::InTurn(objects.iter().map(|object| object.bytes).collect()),
        };
        Block { streams: self.streams(), per_stream, class: Class::Latency, lengths }
    }
}

/// The objects that answer a request by number: of the first one, every part of the HTML.
fn answered_by(objects: &[Object], request: u32) -> Range<u32> {
    let html = objects.iter().take_while(|object| object.kind == Kind::Html).count() as u32;
    if request == 0 { 0..html } else { request..request + 1 }
}

impl Spec for Page {
    fn name(&self) -> &'static str {
        "page"
    }

    fn axes(&self) -> &'static [&'static str] {
        &[
            "contents",
            "order",
            "streams",
            "request",
            "timeout",
            "lookup",
            "lookup-retry",
            "lookup-timeout",
            "lookup-tries",
            "lookup-query",
            "lookup-response",
            "cold",
            "warmup",
        ]
    }

    fn clear_rival_of(&mut self, _axis: &str) {}

    fn check(&self) -> Result<(), String> {
        let Own { html, css, scripts, images, fonts, data, beacons } = self.contents.own();
        if !(1..=1 << 30).contains(&html.bytes()) {
            return Err(
                "`contents` needs an `html` of between 1B and 1GiB (as html = \"22kB\"), or is a page by name: \
                        full, inner or small"
                    .into(),
            );
        }
        let groups = [css, scripts, images, fonts, data, beacons];
        if groups.iter().any(|group| group.bytes.bytes() > 1 << 30 || group.bytes.bytes() < group.count.into()) {
            return Err(
                "each kind of `contents` needs a `bytes` of at least 1B an object and at most 1GiB in all".into()
            );
        }
        check_streams(self.streams.unwrap_or(1))?;
        if !(1..=1 << 30).contains(&self.request.bytes()) {
            return Err("`request` must lie between 1B and 1GiB".into());
        }
        check_timeout(self.timeout)?;
        if self.cold && self.warmup.is_some() {
            return Err("`warmup` is for connections that are up before; leave it out, or set `cold = false`".into());
        }
        self.check_lookup()?;
        let objects: u64 = groups.iter().map(|group| u64::from(group.count)).sum::<u64>() + 2;
        let all = 2 * objects * u64::from(self.streams.unwrap_or(ON_ONE_CONNECTION));
        if all > MAX_MESSAGES {
            return Err(format!(
                "with {objects} objects, each of which may come on every stream, it makes up to {all} messages; at most \
                 {MAX_MESSAGES} fit one trial: set fewer `streams`"
            ));
        }
        Ok(())
    }

    fn direction(&self) -> Direction {
        Direction::Down
    }

    fn is_cold(&self) -> bool {
        self.cold
    }

    fn streams(&self) -> u16 {
        self.streams.unwrap_or(ON_ONE_CONNECTION)
    }

    fn block(&self, direction: Direction) -> Option<Block> {
        Some(self.table_block(direction, 0))
    }

    fn fill(&self, table: &mut Table) {
        let block = self.table_block(table.direction(), table.seed());
        table.add(self.streams(), Some(block));
    }

    fn nominal_duration(&self) -> Option<Duration> {
        None
    }

    fn patience(&self, rtt: Duration) -> Duration {
        self.timeout + rtt * 40
    }

    fn total_bytes(&self) -> Option<ByteCount> {
        let objects = self.objects(0);
        let down: u64 = objects.iter().map(|object| object.bytes.bytes()).sum();
        Some(ByteCount::new(down + objects.len() as u64 * self.request.bytes()))
    }

    fn warmup(&self) -> Option<ByteCount> {
        Some(self.warmup.unwrap_or(MOST_WARMUP))
    }

    fn settle_on(&mut self, link: &Link) {
        if self.cold {
            return;
        }
        let bdp = |way| link.direction(way).mean_rate().map(|rate| rate.bytes_in(link.rtt()));
        let least = Direction::BOTH.into_iter().filter_map(bdp).min().unwrap_or(MOST_WARMUP);
        self.warmup.get_or_insert(least.min(MOST_WARMUP));
    }

    fn settle_for(&mut self, arm: Arm) {
        let has_many = arm.connections(2) > 1;
        self.streams.get_or_insert(if has_many { CONNECTIONS } else { ON_ONE_CONNECTION });
        if self.lookup == Lookup::Cached {
            let Page { lookup_retry, lookup_query, lookup_response, .. } = Page::default();
            (self.lookup_retry, self.lookup_timeout, self.lookup_tries) = (lookup_retry, None, None);
            (self.lookup_query, self.lookup_response) = (lookup_query, lookup_response);
        }
    }

    fn check_on(&self, arm: Arm, link: &Link) -> Result<(), String> {
        if !arm.is_reliable {
            return Err(format!(
                "on `{arm}` a lost datagram loses its object, which nothing sends again; leave the arm out, or take a \
                 reliable one (`tcp`, `tls`, `quic`)"
            ));
        }
        self.name_query().map_or(Ok(()), |query| query.check_mtu(link.mtu))
    }

    fn most_released_in(&self, _direction: Direction, _time: Duration) -> u64 {
        self.objects(0).len() as u64
    }

    fn driver(&self, outgoing: Table, _incoming: Table) -> Box<dyn Driver> {
        let objects = self.objects(outgoing.seed());
        let first = outgoing.streams() - self.streams();
        match outgoing.direction() {
            Direction::Up => Box::new(Client {
                free: (first..outgoing.streams()).collect(),
                waiting: BTreeSet::new(),
                missing: vec![true; objects.len()],
                left: objects.len(),
                on_stream: BTreeMap::new(),
                page: self.clone(),
                objects,
                is_done: false,
            }),
            Direction::Down => Box::new(Answerer::new(outgoing, Server { page: self.clone(), objects })),
        }
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match self.order {
            ObjectOrder::RoundRobin => "in turns",
            ObjectOrder::Sequential => "in sequence",
            ObjectOrder::Priority => "by priority",
        };
        write!(f, "page of {}, {order}", self.contents)?;
        match self.name_query() {
            Some(query) => write!(f, ", after a lookup of its name ({})", query.rule()),
            None => Ok(()),
        }
    }
}

/// The server's answers.
#[derive(Debug)]
struct Server {
    page: Page,
    objects: Vec<Object>,
}

impl Answers for Server {
    fn to(&self, request: u32) -> Range<u32> {
        answered_by(&self.objects, request)
    }

    fn priority(&self, seq: u32) -> i32 {
        self.page.priority(seq, self.objects[seq as usize].kind)
    }
}

/// The driver of the end that loads the page.
#[derive(Debug)]
struct Client {
    page: Page,
    objects: Vec<Object>,
    free: BTreeSet<StreamId>,
    /// Objects that were named and not requested yet: those of a higher priority first.
    waiting: BTreeSet<(Reverse<i32>, u32)>,
    /// Whether an object has not come yet.
    missing: Vec<bool>,
    left: usize,
    /// The request on each stream that has one, and how many of its answers are to come.
    on_stream: BTreeMap<StreamId, (u32, u32)>,
    is_done: bool,
}

impl Client {
    fn wants(&mut self, number: u32) {
        let priority = self.page.priority(number, self.objects[number as usize].kind);
        self.waiting.insert((Reverse(priority), number));
    }

    /// Requests what was named, as long as streams are free; `by` is what has just come.
    fn request(&mut self, now: Duration, by: Option<MessageId>, actions: &mut Vec<Action>) {
        while let (Some(stream), Some((_, seq))) = (self.free.first().copied(), self.waiting.first().copied()) {
            self.free.remove(&stream);
            self.waiting.pop_first();
            self.on_stream.insert(stream, (seq, answered_by(&self.objects, seq).len() as u32));
            let id = MessageId { direction: Direction::Up, stream, seq };
            let length = Length::Bytes(self.page.request);
            actions.push(Action::Send(Release { by, ..Release::by_the_clock(id, length, now) }));
        }
    }

    fn delivered(&mut self, id: MessageId, now: Duration, actions: &mut Vec<Action>) {
        let Some((request, to_come)) = self.on_stream.get_mut(&id.stream) else { return };
        if !answered_by(&self.objects, *request).contains(&id.seq)
            || !std::mem::take(&mut self.missing[id.seq as usize])
        {
            return;
        }
        *to_come -= 1;
        if *to_come == 0 {
            self.on_stream.remove(&id.stream);
            self.free.insert(id.stream);
        }
        self.left -= 1;
        let named: Vec<u32> =
            (0..).zip(&self.objects).filter(|(_, o)| o.named_by == Some(id.seq)).map(|(n, _)| n).collect();
        named.into_iter().for_each(|number| self.wants(number));
        self.request(now, Some(id), actions);
    }
}

impl Driver for Client {
    fn on(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        if self.is_done {
            return;
        }
        match event {
            Event::Start => {
                self.wants(0);
                self.request(now, None, actions);
                actions.push(Action::WakeAt(self.page.timeout));
            }
            Event::Delivered(id) => self.delivered(id, now, actions),
            _ => {}
        }
        if self.left == 0 || now >= self.page.timeout {
            self.is_done = true;
            actions.push(Action::Done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Workload;
    use super::super::simulation::{Network, Played, both_ends, properties};
    use super::*;
    use proptest::prelude::*;

    fn pages() -> impl Strategy<Value = Workload> {
        let own = (1u64..60_000, proptest::collection::vec((0u32..6, 6u64..50_000), 6)).prop_map(|(html, groups)| {
            let group = |n: usize| Group { count: groups[n].0, bytes: ByteCount::new(groups[n].1) };
            Contents::Own(Own {
                html: ByteCount::new(html),
                css: group(0),
                scripts: group(1),
                images: group(2),
                fonts: group(3),
                data: group(4),
                beacons: group(5),
            })
        });
        let named = prop_oneof![Just(Named::Full), Just(Named::Inner), Just(Named::Small)].prop_map(Contents::Named);
        let order =
            prop_oneof![Just(ObjectOrder::RoundRobin), Just(ObjectOrder::Sequential), Just(ObjectOrder::Priority)];
        (prop_oneof![own, named], order, proptest::option::of(1u16..20), any::<bool>()).prop_map(
            |(contents, order, streams, cold)| {
                Workload::Page(Page { contents, order, streams, cold, ..Page::default() })
            },
        )
    }

    properties!(pages());

    fn load(page: &Page, network: Network) -> (Vec<Object>, Played) {
        let workload = Workload::Page(page.clone());
        workload.check().unwrap();
        (page.objects(5), both_ends(&workload, 5, network))
    }

    #[test]
    fn an_object_is_requested_when_it_is_named() {
        for streams in [None, Some(6), Some(1)] {
            let page = Page { streams, ..Page::default() };
            let network = Network { jitter: Duration::from_millis(40), ..Network::default() };
            let (objects, played) = load(&page, network);
            let came = |seq: u32| {
                let mut own =
                    played.delivered.iter().filter(|(id, _)| id.direction == Direction::Down && id.seq == seq);
                *own.next().unwrap().1
            };
            let requests = || played.released.iter().map(|(_, r)| r).filter(|r| r.id.direction == Direction::Up);
            assert_eq!(requests().count() + 1, objects.len(), "the HTML is requested once");
            for request in requests() {
                if let Some(by) = objects[request.id.seq as usize].named_by {
                    assert!(request.at >= came(by), "{request:?} was made before {by} had come");
                    assert!(streams.is_some() || request.at == came(by), "{request:?} waited");
                }
            }
            // Never more at a time than there are streams.
            let open = |at| requests().filter(|r| r.at <= at && at < came(r.id.seq)).count();
            let most = requests().map(|request| open(request.at)).max().unwrap();
            assert!(streams.is_none_or(|streams| most == usize::from(streams)), "{most} at a time");
        }
    }

    #[test]
    fn the_depth_of_a_page_is_its_round_trips() {
        let network = Network::default();
        let (objects, played) = load(&Page::default(), network);
        let last = played.delivered.values().max().unwrap();
        assert_eq!(*last, network.delay * 8, "the HTML, code, what that names, and beacons");
        assert_eq!(played.done[0], Some(*last), "and then it is over");
        assert_eq!(objects.len() * 2 - 1, played.delivered.len());
    }

    #[test]
    fn what_the_head_names_waits_for_no_body() {
        let image = Group { count: 1, bytes: ByteCount::new(5_000) };
        let contents = Contents::Own(Own { html: ByteCount::new(500_000), images: image, ..Own::default() });
        let rate = Some(crate::BitRate::new(1_000_000));
        let (_, played) = load(&Page { contents, ..Page::default() }, Network { rate, ..Network::default() });
        let request = played.released.iter().find(|(_, release)| release.id.seq == 2).unwrap();
        assert_eq!(request.1.by, Some(MessageId { direction: Direction::Down, stream: 0, seq: 0 }));
        assert!(request.0 < Duration::from_millis(200), "the rest takes four seconds");
    }

    #[test]
    fn a_lookup_takes_what_the_page_says() {
        let page = Page {
            lookup: Lookup::Uncached,
            lookup_query: ByteCount::new(61),
            lookup_response: ByteCount::new(300),
            lookup_retry: Resolver::Unbound,
            lookup_timeout: Some(Duration::from_millis(70)),
            lookup_tries: Some(3),
            ..Page::default()
        };
        let query = page.name_query().unwrap();
        let size = |way| query.table(way, 1).messages().next().unwrap().2;
        assert_eq!(size(Direction::Up), Length::Bytes(page.lookup_query));
        assert_eq!(size(Direction::Down), Length::Bytes(page.lookup_response));
        assert_eq!(query.table(Direction::Up, 1).len(), 3, "a message a try");
        assert_eq!(Page { lookup: Lookup::Cached, ..page }.name_query(), None);
    }

    #[test]
    fn impossible_parameters_are_named_with_the_remedy() {
        let page = Page::default();
        let uncached = Page { lookup: Lookup::Uncached, ..page.clone() };
        let own = Own { html: ByteCount::new(1000), ..Own::default() };
        let css = Group { count: 3, bytes: ByteCount::new(2) };
        let bad = [
            (Page { contents: Contents::Own(Own::default()), ..page.clone() }, "full, inner or small"),
            (Page { contents: Contents::Own(Own { css, ..own }), ..page.clone() }, "at least 1B an object"),
            (Page { streams: Some(0), ..page.clone() }, "`streams` is 0"),
            (Page { warmup: Some(ByteCount::new(1)), ..page.clone() }, "set `cold = false`"),
            (Page { timeout: Duration::ZERO, ..page.clone() }, "`timeout` must be more than 0s"),
            (Page { cold: false, ..uncached.clone() }, "`cold = false` they are up before"),
            (Page { lookup_tries: Some(0), ..uncached.clone() }, "`lookup-tries` is 0"),
            (
                Page { lookup_tries: Some(2), lookup_retry: Resolver::None, ..uncached.clone() },
                "`lookup-retry` is `none`",
            ),
            (Page { lookup_timeout: Some(Duration::ZERO), ..uncached.clone() }, "`lookup-timeout` must be more"),
            (Page { lookup_response: ByteCount::new(1500), ..uncached.clone() }, "`lookup-response` must lie"),
        ];
        for (page, remedy) in bad {
            let said = Workload::Page(page).check().unwrap_err().to_string();
            assert!(said.contains(remedy), "{said}");
        }
        let link: crate::LinkSpec = toml::from_str("rtt = '20ms'").unwrap();
        let (link, workload) = (link.resolve().unwrap(), Workload::Page(page));
        let arm = |text: &str| text.parse::<Arm>().unwrap();
        let refused = workload.check_on(arm("udp"), &link).unwrap_err().to_string();
        assert!(refused.contains("take a reliable one"), "{refused}");
        for (name, streams) in [("tls/per-stream", 6), ("tls", 100), ("quic/per-message", 100)] {
            assert_eq!(workload.check_on(arm(name), &link), Ok(()));
            assert_eq!(workload.clone().for_arm(arm(name)).streams(), streams, "{name}");
        }
        let long = Page { lookup_response: ByteCount::new(1000), ..uncached };
        let narrow: crate::LinkSpec = toml::from_str("mtu = 1000").unwrap();
        let refused = Workload::Page(long.clone()).check_on(arm("tcp"), &narrow.resolve().unwrap()).unwrap_err();
        assert!(refused.to_string().contains("`lookup-response`, or an `mtu` of at least 1096"), "{refused}");
        let of = vec![Workload::Page(long), Workload::Page(Page::default())];
        let refused = Workload::Mix(super::super::Mix { of, ..Default::default() }).check().unwrap_err().to_string();
        assert!(refused.contains("`lookup = \"cached\"`"), "{refused}");
    }

    #[test]
    fn a_cached_name_has_no_rule_of_lookups() {
        let text = "kind = 'page'\nlookup-retry = 'unbound'\nlookup-tries = 3\nlookup-query = '80B'";
        let cached: Workload = toml::from_str(text).unwrap();
        let uncached: Workload = toml::from_str(&format!("{text}\nlookup = 'uncached'")).unwrap();
        let on_tcp = |workload: &Workload| workload.clone().for_arm("tcp".parse().unwrap());
        assert_eq!(on_tcp(&cached), on_tcp(&Workload::Page(Page::default())), "a cell that is the same is named so");
        assert_eq!((cached.name_query(), on_tcp(&uncached).name_query()), (None, uncached.name_query()));
        assert_eq!(uncached.name_query().unwrap().rule().tries, 3);
    }
}
