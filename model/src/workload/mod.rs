//! Workloads: what is sent, by whom, when, and what is done when it arrives.
//!
//! A workload is a file here. It says which messages may go in each direction, in a [`Table`] that both ends derive
//! from spec and seed; and what each end does, in a [`Driver`], which releases messages of the table by the clock, or
//! when another message was delivered. [`Workload`] is the one list.

mod answer;
mod arrivals;
mod bulk;
mod chat;
mod clocked;
mod cloud_gaming;
mod coding;
mod connect;
mod draw;
pub mod driver;
mod fan_out;
mod frames;
mod game_state;
mod lookup;
mod message;
mod messages;
mod mix;
pub mod page;
mod payee;
mod payment;
mod player;
mod query;
mod restraint;
pub mod retry;
mod rpc;
mod service;
#[cfg(test)]
mod simulation;
mod size;
mod spec;
mod stream;
mod table;
mod video_call;
mod video_on_demand;
mod voice;
mod writes;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::arm::{Arm, Connections, OrderingDomain};
use crate::book::Keeping;
use crate::end::End;
use crate::link::{Direction, Link};
use crate::units::{ByteCount, Duration};
use mix::Mixed;
use spec::{MAX_MESSAGES, Spec, check_streams};

pub use arrivals::Arrivals;
pub use bulk::Bulk;
pub use chat::Chat;
pub use cloud_gaming::CloudGaming;
pub use coding::{Codec, Coding, Compression, Content, MOST_TEXT};
pub use connect::Connect;
pub use driver::{Action, Driver, Event};
pub use fan_out::{CallOrder, FanOut};
pub use frames::{Cut, Frames, Key, Kind, Layout, Part, Repair};
pub use game_state::GameState;
pub use lookup::{NameQuery, StubResolver};
pub use message::{Class, Length, MessageId, Release};
pub use messages::Messages;
pub use page::Page;
pub use payment::Payment;
pub use player::{Player, Stall};
pub use query::Query;
pub use rpc::Rpc;
pub use service::ServiceTimes;
pub use size::{LogNormal, Size};
pub use spec::{MOST_SERVERS, MOST_WARMUP};
pub use stream::{MAX_STREAMS, StreamId, share};
pub use table::{Block, Lengths, Table};
pub use video_call::VideoCall;
pub use video_on_demand::{Adaptation, VideoOnDemand};
pub use voice::{JitterBuffer, PACKET_TIME, Talk, Voice};
pub use writes::Writes;

/// The list of workloads: [`Workload`], and what each of them says of itself.
macro_rules! workloads {
    ($(#[doc = $about:literal] $name:ident,)*) => {
        /// What is sent, and when.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        pub enum Workload {
            $(#[doc = $about] $name($name),)*
        }

        impl Workload {
            fn spec(&self) -> &dyn Spec {
                match self {
                    $(Workload::$name(spec) => spec,)*
                }
            }

            fn spec_mut(&mut self) -> &mut dyn Spec {
                match self {
                    $(Workload::$name(spec) => spec,)*
                }
            }

            /// Every kind of workload, in the order of the list.
            pub fn kinds() -> Vec<WorkloadKind> {
                let kind = |spec: &dyn Spec, about: &'static str| WorkloadKind {
                    name: spec.name(),
                    about: about.trim().trim_end_matches('.'),
                    parameters: spec.axes(),
                };
                vec![$(kind(&$name::default(), $about)),*]
            }
        }
    };
}

/// A kind of workload, for people who choose one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkloadKind {
    /// As typed.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// The parameters that an experiment may vary.
    pub parameters: &'static [&'static str],
}

workloads! {
    /// As much as the transport takes: a file download or upload.
    Bulk,
    /// Small messages released on a fixed schedule (open loop): the head-of-line probe.
    Messages,
    /// Request and response.
    Rpc,
    /// Requests that need several services, each a server of its own.
    FanOut,
    /// Many short exchanges, for which connections are made and closed.
    Connect,
    /// Many small messages, and how many reads they become.
    Writes,
    /// Updates of which only the newest counts.
    GameState,
    /// A datagram and its answer, tried again by the application.
    Query,
    /// Payments, each made exactly once.
    Payment,
    /// Conversations, both ways.
    Chat,
    /// A web page: the HTML, then its objects as they are named.
    Page,
    /// Segments of a film into the buffer of its player.
    VideoOnDemand,
    /// A telephone call: a packet every 20 ms, and a jitter buffer.
    Voice,
    /// The picture of a call: frames with a deadline.
    VideoCall,
    /// The picture of a game that runs elsewhere, and the player's input.
    CloudGaming,
    /// Several workloads on one connection.
    Mix,
}

/// A workload that makes no sense, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("workload `{workload}`: {problem}")]
pub struct WorkloadError {
    workload: &'static str,
    problem: String,
}

impl Workload {
    /// The workload's name as typed.
    pub fn name(&self) -> &'static str {
        self.spec().name()
    }

    /// The direction of its payload, or of most of it.
    pub fn direction(&self) -> Direction {
        self.spec().direction()
    }

    /// Whether it starts with its connections, whose set-up then belongs to it.
    pub fn is_cold(&self) -> bool {
        self.spec().is_cold()
    }

    /// The lookup of the server's name with which it begins, before its connections; `None` where there is none.
    pub fn name_query(&self) -> Option<NameQuery> {
        match self {
            Workload::Page(page) => page.name_query(),
            _ => None,
        }
    }

    /// Number of logical streams.
    pub fn streams(&self) -> u16 {
        self.spec().streams()
    }

    /// Servers that it needs: one, or one for each stream, each with ports and a connection of its own.
    pub fn servers(&self) -> u16 {
        self.spec().servers()
    }

    /// How much farther away one of its servers stands than the others' link is long: the round trip beyond the link's, half
    /// of it each way.
    pub fn extra_rtt(&self, server: u16) -> Duration {
        self.spec().extra_rtt(server)
    }

    /// The same of the farthest.
    pub fn farthest(&self) -> Duration {
        (0..self.servers()).map(|server| self.extra_rtt(server)).max().unwrap_or_default()
    }

    /// The server that a stream's messages go to, or come from.
    pub fn server_of(&self, stream: StreamId) -> u16 {
        if self.servers() > 1 { stream } else { 0 }
    }

    /// Connections of the transport that carry it over this arm, and are made before anything is sent.
    pub fn connections(&self, arm: Arm) -> u16 {
        match arm.connections {
            Connections::One => self.servers(),
            Connections::PerStream | Connections::PerMessage => arm.connections(self.streams()),
        }
    }

    /// The parameters that an experiment may vary.
    pub fn axes(&self) -> &'static [&'static str] {
        self.spec().axes()
    }

    /// Takes away what excludes the parameter that is about to be set.
    pub(crate) fn clear_rival_of(&mut self, axis: &str) {
        self.spec_mut().clear_rival_of(axis);
    }

    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// Says which value is wrong and what to write instead.
    pub fn check(&self) -> Result<(), WorkloadError> {
        self.spec().check().map_err(|problem| WorkloadError { workload: self.name(), problem })
    }

    /// The messages that may go in this direction. Their number is bounded by [`Workload::check`].
    pub fn table(&self, direction: Direction, seed: u64) -> Table {
        let mut table = Table::new(direction, seed);
        self.spec().fill(&mut table);
        table
    }

    /// Whether messages may go in this direction.
    pub fn carries(&self, direction: Direction) -> bool {
        !self.table(direction, 0).is_empty()
    }

    /// Whether it has messages that are written for this.
    pub fn has(&self, class: Class) -> bool {
        Direction::BOTH.into_iter().any(|way| self.table(way, 0).blocks().any(|block| block.class == class))
    }

    /// Whether none of its messages has an end but the time's.
    pub fn is_open_ended(&self) -> bool {
        let is_open = |block: &Block| matches!(block.lengths, Lengths::Until(_));
        Direction::BOTH.into_iter().all(|way| self.table(way, 0).blocks().all(is_open))
    }

    /// What this end does.
    pub fn driver(&self, end: End, seed: u64) -> Box<dyn Driver> {
        let outgoing = end.outgoing();
        self.spec().driver(self.table(outgoing, seed), self.table(outgoing.opposite(), seed))
    }

    /// Whether packets are attributed to its messages where nothing else is asked for.
    pub fn is_attributed(&self) -> bool {
        self.has(Class::Latency) && self.spec().is_attributable()
    }

    /// Which end closes a connection first that served one exchange.
    pub fn closes_first(&self) -> End {
        self.spec().closes_first()
    }

    /// Whether an operation begins with this message: whatever released it is no part of how long the operation takes.
    pub fn begins(&self, message: MessageId) -> bool {
        self.spec().begins(message)
    }

    /// What this end releases by the clock alone, in order.
    pub fn released_by_the_clock(&self, end: End, seed: u64) -> Vec<Release> {
        driver::clocked(self.driver(end, seed))
    }

    /// From the start of the schedule to the last release by the clock, or the end of sending, where the spec says it.
    pub fn nominal_duration(&self) -> Option<Duration> {
        self.spec().nominal_duration()
    }

    /// How much longer than that it may take where nothing is wrong, the transfer of its bytes apart; `rtt` is the
    /// path's round trip.
    pub fn patience(&self, rtt: Duration) -> Duration {
        self.spec().patience(rtt)
    }

    /// Bytes of payload that a trial of this arm carries in each direction that carries messages, over all streams,
    /// before the schedule starts. A cold workload has none, over `udp` there is no window to open, and connections that
    /// are made as messages are released have none before.
    pub fn warmup(&self, arm: Arm) -> ByteCount {
        let is_up_before = arm.connections != Connections::PerMessage && !self.is_cold();
        if arm.is_congestion_controlled && is_up_before {
            self.spec().warmup().unwrap_or(ByteCount::ZERO)
        } else {
            ByteCount::ZERO
        }
    }

    /// With the warm-up decided that it has on this link.
    #[must_use]
    pub fn on_link(mut self, link: &Link) -> Workload {
        self.spec_mut().settle_on(link);
        self
    }

    /// As this arm plays it: without what makes no difference there.
    #[must_use]
    pub fn for_arm(mut self, arm: Arm) -> Workload {
        self.spec_mut().settle_for(arm);
        self
    }

    /// Refuses what this arm cannot do on this link.
    ///
    /// # Errors
    /// Says which value does not fit, and what to do instead.
    pub fn check_on(&self, arm: Arm, link: &Link) -> Result<(), WorkloadError> {
        self.check_for(arm)?;
        self.spec().check_on(arm, link).map_err(|problem| WorkloadError { workload: self.name(), problem })
    }

    /// Refuses what this arm cannot do on any link.
    ///
    /// # Errors
    /// Says what to use instead.
    pub fn check_for(&self, arm: Arm) -> Result<(), WorkloadError> {
        self.spec().check_for(arm).map_err(|problem| WorkloadError { workload: self.name(), problem })?;
        if arm.connections != Connections::PerMessage || self.spec().is_dialogue() {
            return Ok(());
        }
        let problem = format!(
            "`{arm}` makes a connection for each request, and here the server sends what nothing asked for: use `{}`, or \
             a workload of requests and responses",
            arm.transport
        );
        Err(WorkloadError { workload: self.name(), problem })
    }

    /// Where its server keeps a book; `None` of a workload without one.
    pub fn book(&self) -> Option<Keeping> {
        self.spec().book()
    }

    /// Whether its client goes on with a server that was killed and started again: nothing is lost that its server had
    /// recorded, and the arm has one connection to make again, or none that outlives a request.
    pub fn outlives_its_server(&self, arm: Arm) -> bool {
        self.book().is_some() && arm.is_reliable && arm.connections != Connections::PerStream
    }

    /// Refuses an arm on which the server is killed, where the workload is to go on after that and cannot.
    ///
    /// # Errors
    /// Says what to use instead.
    pub fn check_restart(&self, arm: Arm) -> Result<(), WorkloadError> {
        if self.book().is_none() || self.outlives_its_server(arm) {
            return Ok(());
        }
        let problem = format!(
            "over `{arm}` its client cannot go on with a server that was killed and started again: use `tcp`, `tls` or \
             `quic`, or `tcp/per-message` or `tls/per-message`, or leave out `server-restart`"
        );
        Err(WorkloadError { workload: self.name(), problem })
    }

    /// Bytes of payload in all, where the spec says how many are to be expected.
    pub fn total_bytes(&self) -> Option<ByteCount> {
        self.spec().total_bytes()
    }

    /// Messages that are released in a direction within any such time, in all at most.
    pub(crate) fn most_released_in(&self, direction: Direction, time: Duration) -> u64 {
        self.spec().most_released_in(direction, time)
    }

    /// The workload that figures and sentences are of: of several, the first that is no bulk transfer, which the others
    /// are beside.
    pub fn scored(&self) -> &Workload {
        let Workload::Mix(mix) = self else { return self };
        mix.of.iter().find(|one| !matches!(one, Workload::Bulk(_))).or(mix.of.first()).unwrap_or(self)
    }

    /// The streams of [`Workload::scored`].
    pub fn scored_streams(&self) -> std::ops::Range<StreamId> {
        let Workload::Mix(mix) = self else { return 0..self.streams() };
        let before = mix.of.iter().take_while(|one| *one != self.scored());
        let first = before.map(Workload::streams).sum();
        first..first + self.scored().streams()
    }

    /// Its bulk transfer, or the first that it has.
    pub fn bulk(&self) -> Option<&Bulk> {
        match self {
            Workload::Bulk(bulk) => Some(bulk),
            Workload::Mix(mix) => mix.of.iter().find_map(Workload::bulk),
            _ => None,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec().fmt(f)
    }
}

/// Several workloads on one connection. Their streams follow each other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mix {
    /// What is sent; the first one gives the direction.
    pub of: Vec<Workload>,
    /// Which of them goes first where their streams share a connection.
    #[serde(default)]
    pub priority: MixPriority,
}

/// Which of several workloads on a connection goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixPriority {
    /// None: they take turns.
    #[default]
    Equal,
    /// The first that is named, then the second, and so on.
    InOrder,
}

impl Mix {
    fn specs(&self) -> impl Iterator<Item = &dyn Spec> {
        self.of.iter().map(Workload::spec)
    }

    fn messages(&self) -> usize {
        let all = |way| self.of.iter().map(|one| one.table(way, 0).len()).sum::<usize>();
        all(Direction::Up) + all(Direction::Down)
    }
}

impl Spec for Mix {
    fn name(&self) -> &'static str {
        "mix"
    }

    fn axes(&self) -> &'static [&'static str] {
        &["priority"]
    }

    fn clear_rival_of(&mut self, _axis: &str) {}

    fn check(&self) -> Result<(), String> {
        if self.of.len() < 2 {
            return Err("`of` names fewer than two workloads; give several, or leave the mix out".into());
        }
        for one in &self.of {
            if matches!(one, Workload::Mix(_)) {
                return Err("`of` has a `mix` in it; name its workloads instead".into());
            }
            if one.book().is_some() {
                return Err(format!(
                    "`of` has a `{}` in it, whose server keeps a book for itself: give it a flow of its own, as a \
                     `competing-flow`",
                    one.name()
                ));
            }
            if one.name_query().is_some() {
                return Err(format!(
                    "`of` has a `{}` in it that looks its server's name up, before connections that are not its own alone: \
                     set `lookup = \"cached\"`, or give it a flow of its own, as a `competing-flow`",
                    one.name()
                ));
            }
            if one.servers() > 1 {
                return Err(format!(
                    "`of` has a `{}` in it, which needs servers of its own: give it a flow of its own, as a \
                     `competing-flow`",
                    one.name()
                ));
            }
            one.check().map_err(|error| error.to_string())?;
        }
        let streams: u32 = self.of.iter().map(|one| u32::from(one.streams())).sum();
        check_streams(u16::try_from(streams).unwrap_or(u16::MAX)).map_err(|_| {
            format!("its workloads have {streams} streams together; at most {} are possible", MAX_STREAMS)
        })?;
        let all = self.messages();
        if all as u64 > MAX_MESSAGES {
            return Err(format!("it makes {all} messages; at most {MAX_MESSAGES} fit one trial"));
        }
        Ok(())
    }

    fn direction(&self) -> Direction {
        self.of.first().map_or(Direction::Down, Workload::direction)
    }

    fn is_cold(&self) -> bool {
        self.of.iter().all(Workload::is_cold)
    }

    fn streams(&self) -> u16 {
        self.of.iter().map(Workload::streams).sum()
    }

    fn block(&self, _direction: Direction) -> Option<Block> {
        None
    }

    fn fill(&self, table: &mut Table) {
        self.specs().for_each(|spec| spec.fill(table));
    }

    fn nominal_duration(&self) -> Option<Duration> {
        self.of.iter().map(Workload::nominal_duration).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    fn patience(&self, rtt: Duration) -> Duration {
        self.of.iter().map(|one| one.patience(rtt)).max().unwrap_or_default()
    }

    fn total_bytes(&self) -> Option<ByteCount> {
        let each = self.of.iter().map(|one| one.total_bytes().map(ByteCount::bytes));
        each.sum::<Option<u64>>().map(ByteCount::new)
    }

    fn warmup(&self) -> Option<ByteCount> {
        self.specs().filter_map(Spec::warmup).max()
    }

    fn settle_on(&mut self, link: &Link) {
        self.of.iter_mut().for_each(|one| one.spec_mut().settle_on(link));
    }

    fn settle_for(&mut self, arm: Arm) {
        self.of.iter_mut().for_each(|one| one.spec_mut().settle_for(arm));
    }

    fn check_for(&self, arm: Arm) -> Result<(), String> {
        self.of.iter().try_for_each(|one| one.check_for(arm).map_err(|error| error.to_string()))
    }

    fn check_on(&self, arm: Arm, link: &Link) -> Result<(), String> {
        if self.priority != MixPriority::Equal && arm.ordering == OrderingDomain::Nothing {
            return Err(format!(
                "`priority` is for streams that share a connection, and `{arm}` has datagrams alone: leave it out, or \
                 leave the arm out"
            ));
        }
        self.of.iter().try_for_each(|one| one.check_on(arm, link).map_err(|error| error.to_string()))
    }

    fn is_dialogue(&self) -> bool {
        self.specs().all(Spec::is_dialogue)
    }

    fn is_attributable(&self) -> bool {
        self.specs().all(Spec::is_attributable)
    }

    fn most_released_in(&self, direction: Direction, time: Duration) -> u64 {
        self.specs().map(|spec| spec.most_released_in(direction, time)).sum()
    }

    fn driver(&self, outgoing: Table, incoming: Table) -> Box<dyn Driver> {
        let mut first = 0;
        let each = self.of.iter().map(|one| {
            let own = |all: &Table| {
                let mut table = all.without_streams();
                table.add(first, None);
                one.spec().fill(&mut table);
                table
            };
            let driver = one.spec().driver(own(&outgoing), own(&incoming));
            let streams = first..first + one.streams();
            first = streams.end;
            (streams, driver)
        });
        let mixed = Mixed::new(each);
        Box::new(match self.priority {
            MixPriority::Equal => mixed,
            MixPriority::InOrder => mixed.in_order(),
        })
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, one) in self.of.iter().enumerate() {
            write!(f, "{}{one}", if n == 0 { "" } else { " beside " })?;
        }
        if self.priority == MixPriority::InOrder { f.write_str(", the first with priority") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::simulation::{both_ends, properties};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bulk_shares_add_up() {
        let workload = Workload::Bulk(Bulk { streams: 3, bytes: Some(ByteCount::new(1_000_001)), ..Bulk::default() });
        workload.check().unwrap();
        let table = workload.table(Direction::Down, 1);
        let sum: u64 = table.messages().filter_map(|(.., length)| length.bytes()).map(ByteCount::bytes).sum();
        assert_eq!(sum, 1_000_001);
        assert!(workload.carries(Direction::Down) && !workload.carries(Direction::Up));
    }

    #[test]
    fn nonsense_is_refused_with_a_remedy() {
        let bulk = Workload::Bulk(Bulk { bytes: Some(ByteCount::new(1)), ..Bulk::default() });
        let bad = [
            Workload::Bulk(Bulk::default()),
            Workload::Bulk(Bulk { streams: 0, duration: Some(Duration::from_secs(1)), ..Bulk::default() }),
            Workload::Messages(Messages { count: Some(0), ..Messages::default() }),
            Workload::Messages(Messages { spacing: Duration::ZERO, count: Some(1), ..Messages::default() }),
            Workload::Messages(Messages { count: Some(u32::MAX), ..Messages::default() }),
            Workload::Mix(Mix { of: vec![bulk.clone()], ..Mix::default() }),
            Workload::Mix(Mix {
                of: vec![bulk.clone(), Workload::Mix(Mix { of: vec![bulk.clone(), bulk], ..Mix::default() })],
                ..Mix::default()
            }),
        ];
        for workload in bad {
            assert!(workload.check().is_err(), "{workload:?}");
        }
    }

    fn mix(bulk_up: bool, streams: u16, count: u32) -> Workload {
        let bulk = Bulk {
            direction: Direction::BOTH[usize::from(!bulk_up)],
            streams,
            bytes: Some(ByteCount::new(1_000_000)),
            ..Bulk::default()
        };
        let messages = Messages { streams: 3, count: Some(count), ..Messages::default() };
        Workload::Mix(Mix { of: vec![Workload::Bulk(bulk), Workload::Messages(messages)], ..Mix::default() })
    }

    properties!((any::<bool>(), 1u16..5, 1u32..20).prop_map(|(up, streams, count)| mix(up, streams, count)));

    #[test]
    fn the_first_of_a_mix_goes_first_if_asked() {
        let Workload::Mix(equal) = mix(false, 2, 4) else { unreachable!() };
        let ordered = Workload::Mix(Mix { priority: MixPriority::InOrder, ..equal.clone() });
        let priorities = |workload: &Workload| {
            let released = both_ends(workload, 1, Default::default()).released;
            let of = |streams: std::ops::Range<u16>| {
                let own = released.iter().filter(|(_, release)| streams.contains(&release.id.stream));
                own.map(|(_, release)| release.priority).collect::<std::collections::BTreeSet<_>>()
            };
            (of(0..2), of(2..5))
        };
        assert_eq!(priorities(&Workload::Mix(equal)), ([0].into(), [0].into()));
        assert_eq!(priorities(&ordered), ([1].into(), [0].into()));
        let link = crate::link::LinkSpec::default().resolve().unwrap();
        let refused = ordered.check_on("udp".parse().unwrap(), &link).unwrap_err().to_string();
        assert!(refused.contains("`priority`") && refused.contains("`udp`"), "{refused}");
        assert!(ordered.check_on("quic".parse().unwrap(), &link).is_ok());
    }

    /// Every workload may be beside another: its messages keep to the streams that are its own there.
    #[test]
    fn every_workload_can_be_in_a_mix() {
        for text in [
            "kind = 'messages'\ncount = 20",
            "kind = 'rpc'\noutstanding = 2\ncount = 6",
            "kind = 'connect'\noutstanding = 2\ncount = 6",
            "kind = 'writes'\ncount = 20",
            "kind = 'query'\ncount = 6",
            "kind = 'chat'\nduration = '2s'",
            "kind = 'game-state'\ncount = 20",
            "kind = 'voice'\nduration = '2s'",
            "kind = 'video-call'\nduration = '2s'",
            "kind = 'cloud-gaming'\nduration = '1s'",
            "kind = 'page'\ncontents = 'small'",
            "kind = 'video-on-demand'\nsegments = 2",
        ] {
            let alone: Workload = toml::from_str(text).unwrap();
            let Workload::Mix(Mix { of, .. }) = mix(false, 2, 4) else { unreachable!() };
            let mixed = Workload::Mix(Mix { of: vec![of[0].clone(), alone.clone()], ..Mix::default() });
            mixed.check().unwrap_or_else(|error| panic!("{text}: {error}"));
            super::simulation::check(&mixed, Default::default()).unwrap_or_else(|error| panic!("{text}: {error}"));
            let streams = 2..2 + alone.streams();
            let played = both_ends(&mixed, 1, Default::default());
            let own = played.released.iter().filter(|(_, release)| release.id.stream >= 2);
            assert!(own.clone().all(|(_, release)| streams.contains(&release.id.stream)), "{text}");
            // What is drawn follows from the streams, too: it is as many as alone, nearly so.
            let alone = both_ends(&alone, 1, Default::default()).released.len();
            assert!((alone / 2..=2 * alone).contains(&own.count()), "{text}: alone {alone}");
        }
    }

    #[test]
    fn every_seed_has_draws_of_its_own() {
        for text in [
            "kind = 'rpc'\nper-second = 50.0\narrivals = 'poisson'\ncount = 8",
            "kind = 'rpc'\noutstanding = 1\ncount = 8\nservice = '5ms'\nservice-times = 'exponential'",
            "kind = 'rpc'\noutstanding = 1\ncount = 8\nresponse = { median = '1kB', p99 = '20kB' }",
            "kind = 'fan-out'\nper-second = 50.0\narrivals = 'poisson'\ncount = 8",
            "kind = 'query'\ncount = 8",
            "kind = 'connect'\nper-second = 50.0\narrivals = 'poisson'\ncount = 8",
            "kind = 'chat'\nconversations = 1\nduration = '5s'",
            "kind = 'payment'\ncount = 8",
            "kind = 'payment'\ncount = 8\narrivals = 'even'\njitter = 'full'",
            "kind = 'page'\ncontents = 'small'",
            "kind = 'video-call'\nduration = '1s'",
        ] {
            let workload: Workload = toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            workload.check().unwrap_or_else(|error| panic!("{text}: {error}"));
            // A bit each: none of them may be lost on the way to what is drawn. Nothing comes, so that all is tried again.
            let network = super::simulation::Network { failed: u8::MAX, ..Default::default() };
            let network = if text.contains("jitter") { network } else { Default::default() };
            let played = |bit: u32| {
                let released = both_ends(&workload, 1 << bit, network).released;
                format!("{:?}", released.iter().map(|(at, release)| (at, release.length)).collect::<Vec<_>>())
            };
            let all: std::collections::BTreeSet<String> = (0..64).map(played).collect();
            assert_eq!(all.len(), 64, "{text}");
        }
    }

    #[test]
    fn what_is_waited_for_has_a_deadline() {
        for (text, timeout) in [
            ("kind = 'rpc'\noutstanding = 2\ncount = 8\ntimeout = '700ms'", 700),
            ("kind = 'fan-out'\noutstanding = 2\ncount = 8\nservices = 2\ntimeout = '700ms'", 700),
            ("kind = 'connect'\noutstanding = 2\ncount = 8\ntimeout = '700ms'", 700),
            ("kind = 'payment'\ncount = 8\ntimeout = '700ms'", 700),
        ] {
            let workload: Workload = toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let played = both_ends(&workload, 1, Default::default());
            let requests = played.released.iter().map(|(_, one)| one).filter(|one| one.id.direction == Direction::Up);
            for request in requests {
                assert_eq!(request.deadline, Some(request.at + Duration::from_millis(timeout)), "{text}: {request:?}");
            }
        }
    }

    #[test]
    fn each_part_has_streams_of_its_own() {
        let workload = mix(false, 2, 4);
        workload.check().unwrap();
        assert_eq!((workload.streams(), workload.is_cold()), (5, false));
        let played = both_ends(&workload, 1, Default::default());
        let of = |stream| played.released.iter().filter(|(_, release)| release.id.stream == stream).count();
        assert_eq!([0, 1, 2, 3, 4].map(of), [1, 1, 4, 4, 4]);
    }
}
