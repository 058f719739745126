//! The delay of every message, in parts that add up to it.
//!
//! With b the last byte of a message, and for each byte the earliest delivered copy:
//!
//! - A: when the last of its own bytes reached the receiving host; A⁰: when that would have been had
//!   every first copy survived;
//! - I′: when the last of its own stream's bytes up to b had; I: the last of all bytes up to b in its
//!   ordering domain; Iᵤ: the last of those up to the end of the TLS record that b lies in;
//! - R: when the application had the message.
//!
//! Hold is the first arrival of b at the link less the release; network is min(A⁰, A) less that;
//! own loss A − min(A⁰, A); intra I′ − A; cross I − I′; record Iᵤ − I; stack R − Iᵤ. None but the first
//! and the last can be negative by construction; a negative one there is a fault of a clock or of the
//! attribution. Counting from the arrival of the last byte alone would book a message's own recovery as
//! blocking. On the subject: Scharf & Kiesel, "Quantifying Head-of-Line Blocking in TCP and SCTP"
//! (Internet-Draft, and GLOBECOM 2006).

use samepath_model::link::{Direction, Link};
use samepath_model::record::{Instant, MessageRecord};
use samepath_model::workload::{MessageId, StreamId};

use super::attribution::{Attribution, Place, Stretch, sweep};
use super::counterfactual::{Beyond, arrivals_without_loss};
use super::packets::NEVER;

/// A message counts as blocked beyond this, in nanoseconds.
pub const BLOCKED: i64 = 1_000_000;

/// The parts of a delivered message's delay, in nanoseconds; they add up to it exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts {
    /// From the release until its last byte first came to the link.
    pub hold: i64,
    /// On the link, waiting for the bottleneck and being transmitted: what propagation leaves of the
    /// network's share.
    pub queue: i64,
    /// On the link, behind the bottleneck: of the packet that makes A⁰.
    pub propagation: i64,
    /// Waiting for further copies of its own bytes.
    pub own_loss: i64,
    /// Blocked by earlier bytes of its own stream.
    pub intra: i64,
    /// Blocked by bytes of other streams, or of the connection.
    pub cross: i64,
    /// Blocked by the rest of its TLS record.
    pub record: i64,
    /// From the arrival of all that was needed until the application had it.
    pub stack: i64,
}

impl Parts {
    /// In the order in which they follow each other, named as in
    /// [`DelayParts`](samepath_model::blocking::DelayParts).
    pub const fn values(&self) -> [i64; 8] {
        [self.hold, self.queue, self.propagation, self.own_loss, self.intra, self.cross, self.record, self.stack]
    }

    /// Each part of both.
    #[must_use]
    pub const fn plus(&self, other: &Parts) -> Parts {
        Parts {
            hold: self.hold + other.hold,
            queue: self.queue + other.queue,
            propagation: self.propagation + other.propagation,
            own_loss: self.own_loss + other.own_loss,
            intra: self.intra + other.intra,
            cross: self.cross + other.cross,
            record: self.record + other.record,
            stack: self.stack + other.stack,
        }
    }

    /// Blocked in all.
    pub const fn blocked(&self) -> i64 {
        self.intra + self.cross + self.record
    }

    /// The whole delay.
    pub fn total(&self) -> i64 {
        self.values().iter().sum()
    }
}

/// What became of a message's bytes, and so of its delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The parts of its delay.
    pub parts: Parts,
    /// Whether the first copy of every byte reached the receiving host.
    pub intact: bool,
    /// When the last of its own bytes had.
    pub arrived: Instant,
    /// When all had that it needed.
    pub complete: Instant,
    /// The bytes that it waited for last, where it was blocked: the packet that first carried them.
    pub(super) behind: Option<u32>,
    /// The domain of its last byte.
    pub(super) domain: u32,
    /// Offset of its last byte.
    pub(super) last: u64,
    /// Offset behind the unit that its last byte lies in.
    pub(super) unit_end: u64,
}

/// Why a delivered message has no account: the records contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The layout has no such message.
    NoLayout,
    /// No packet is known to have carried some byte that it needed.
    Uncarried,
    /// No copy of some byte that it needed reached the receiving host.
    Undelivered,
    /// The application had it before all that it needed had arrived, by so many nanoseconds.
    BeforeArrival(i64),
    /// Its last byte came to the link before it was released, by so many nanoseconds.
    BeforeRelease(i64),
}

impl Fault {
    /// What is wrong with the message, as the rest of a sentence.
    pub fn words(self) -> String {
        let micros = |ns: i64| ns as f64 / 1e3;
        match self {
            Fault::NoLayout => "was delivered, but the sender's layout does not have it".into(),
            Fault::Uncarried => "was delivered, but no packet is known to have carried all that it needed".into(),
            Fault::Undelivered => {
                "was delivered, but by the ledger not all that it needed reached the receiving host".into()
            }
            Fault::BeforeArrival(by) => {
                format!("was delivered {} µs before all that it needed had left the link", micros(by))
            }
            Fault::BeforeRelease(by) => {
                format!("came to the link {} µs before its release", micros(by))
            }
        }
    }
}

/// The accounts of all messages, and what their streams had to hold back.
#[derive(Debug, Clone)]
pub(super) struct Accounts {
    /// As the messages: an account, a fault, or nothing for one that was not delivered.
    pub(super) of: Vec<Option<Result<Account, Fault>>>,
    /// Bytes that had arrived and could not be delivered, times nanoseconds.
    pub(super) buffered: u128,
    /// From the arrival of bytes until they could be delivered, where that took time.
    pub(super) stalls: Vec<Stall>,
}

/// Bytes of a stream that had arrived and could not be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stall {
    pub(super) direction: Direction,
    pub(super) stream: StreamId,
    pub(super) from: Instant,
    pub(super) to: Instant,
}

/// What is known of a message while its domain is gone through.
#[derive(Debug, Clone, Copy)]
struct Trace {
    /// A, and whether every first copy survived.
    own: Instant,
    intact: bool,
    /// A⁰, and the packet that makes it.
    lossless: Instant,
    lossless_by: u32,
    /// First arrival of the last byte at the link.
    first: Instant,
    own_stream: Instant,
    all: Instant,
    unit: Instant,
    behind: u32,
    domain: u32,
    last: u64,
    unit_end: u64,
    laid: bool,
    uncarried: bool,
}

const UNKNOWN: Trace = Trace {
    own: Instant::MIN,
    intact: true,
    lossless: Instant::MIN,
    lossless_by: u32::MAX,
    first: NEVER,
    own_stream: Instant::MIN,
    all: Instant::MIN,
    unit: Instant::MIN,
    behind: u32::MAX,
    domain: u32::MAX,
    last: 0,
    unit_end: 0,
    laid: false,
    uncarried: false,
};

/// Follows every message. `units`: whether bytes can be read by whole units alone (TLS records);
/// `ordered`: whether a byte waits for those before it (all but datagrams).
pub(super) fn accounts(
    attribution: &Attribution,
    messages: &[MessageRecord],
    link: &Link,
    beyond: &Beyond,
    units: bool,
    ordered: bool,
) -> Accounts {
    let mut walk = Walk {
        attribution,
        lossless: arrivals_without_loss(&attribution.packets, link, beyond),
        units,
        ordered,
        index: index(messages),
        traces: vec![UNKNOWN; messages.len()],
        buffered: 0,
        stalls: Vec::new(),
        own_streams: Vec::new(),
        over: attribution.packets.iter().map(|packet| packet.delivered()).filter(|at| *at != NEVER).max().unwrap_or(0),
    };
    walk.domains();
    let of = messages.iter().zip(&walk.traces).map(|(message, trace)| walk.account(message, trace)).collect();
    Accounts { of, buffered: walk.buffered, stalls: walk.stalls }
}

/// The messages by direction, stream and number, as sorted pairs of key and place.
fn index(messages: &[MessageRecord]) -> Vec<(u64, u32)> {
    let mut index: Vec<(u64, u32)> =
        messages.iter().enumerate().map(|(place, message)| (message_key(message.id()), place as u32)).collect();
    index.sort_unstable();
    index
}

fn message_key(id: MessageId) -> u64 {
    (id.direction.index() as u64) << 48 | u64::from(id.stream) << 32 | u64::from(id.seq)
}

struct Walk<'a> {
    attribution: &'a Attribution,
    /// When each packet would have reached the receiving host.
    lossless: Vec<Instant>,
    units: bool,
    ordered: bool,
    index: Vec<(u64, u32)>,
    traces: Vec<Trace>,
    buffered: u128,
    stalls: Vec<Stall>,
    /// The latest arrival of each stream's bytes so far in the domain.
    own_streams: Vec<(StreamId, Instant)>,
    /// The last delivery of any packet: no wait is counted beyond it.
    over: Instant,
}

impl Walk<'_> {
    fn domains(&mut self) {
        let attribution = self.attribution;
        let (mut places, mut runs) = (&attribution.places[..], &attribution.runs[..]);
        let (mut stretches, mut until) = (Vec::new(), Vec::new());
        while let Some(domain) = places.first().map(|place| place.domain) {
            let (these, later) = places.split_at(places.partition_point(|place| place.domain == domain));
            places = later;
            runs = &runs[runs.partition_point(|run| run.domain < domain)..];
            let (carried, later) = runs.split_at(runs.partition_point(|run| run.domain == domain));
            runs = later;
            stretches.clear();
            sweep(carried, &attribution.packets, &mut stretches);
            prefixes(&stretches, &mut until);
            self.domain(these, &stretches, &until);
        }
    }

    /// Goes through a domain's layout and its stretches, side by side.
    fn domain(&mut self, places: &[Place], stretches: &[Stretch], until: &[Prefix]) {
        self.own_streams.clear();
        let mut at = 0;
        let attribution = self.attribution;
        let packets = &attribution.packets;
        for place in places {
            while stretches.get(at).is_some_and(|stretch| stretch.end <= place.start) {
                at += 1;
            }
            let (mut own, mut lossless, mut lossless_by) = (Instant::MIN, Instant::MIN, u32::MAX);
            let (mut intact, mut covered, mut last) = (true, place.start, at);
            while let Some(stretch) = stretches.get(last).filter(|stretch| stretch.start < place.end) {
                if stretch.start > covered {
                    break;
                }
                covered = stretch.end.min(place.end);
                own = own.max(stretch.at);
                intact &= packets[stretch.first as usize].delivered() != NEVER;
                let would = self.lossless[stretch.first as usize];
                if would >= lossless {
                    (lossless, lossless_by) = (would, stretch.first);
                }
                last += 1;
            }
            let whole = covered == place.end;
            // The stretch that holds the run's last byte, and the one that ends its unit.
            let holds_last = last.saturating_sub(1).max(at);
            let mut ends_unit = holds_last;
            while stretches.get(ends_unit).is_some_and(|stretch| stretch.end < place.unit_end) {
                ends_unit += 1;
            }
            let known = whole && until.get(ends_unit).is_some_and(|prefix| prefix.whole);
            let own_stream = self.own_stream(place.stream, if whole { own } else { NEVER });
            let Place { direction, stream, .. } = *place;
            let Some(message) = place.seq.and_then(|seq| self.find(MessageId { direction, stream, seq })) else {
                continue;
            };
            let trace = &mut self.traces[message];
            trace.laid = true;
            trace.domain = place.domain;
            (trace.last, trace.unit_end) = (place.end - 1, place.unit_end);
            // Where datagrams are concerned a byte waits for nothing but itself.
            trace.uncarried |= if self.ordered { !known } else { !whole };
            if !whole || (self.ordered && !known) {
                continue;
            }
            trace.own = trace.own.max(own);
            trace.intact &= intact;
            if lossless >= trace.lossless {
                (trace.lossless, trace.lossless_by) = (lossless, lossless_by);
            }
            trace.first = packets[stretches[holds_last].first as usize].arrived;
            if !self.ordered {
                (trace.own_stream, trace.all, trace.unit) = (trace.own, trace.own, trace.own);
                continue;
            }
            (trace.own_stream, trace.all) = (own_stream, until[holds_last].at);
            trace.unit = until[ends_unit].at;
            trace.behind = stretches[until[ends_unit].by as usize].first;
            self.wait(place, &stretches[at..last], &until[at..last], until[ends_unit].at);
        }
    }

    /// Counts how long the bytes of a message's run that had arrived could not be delivered.
    fn wait(&mut self, place: &Place, stretches: &[Stretch], until: &[Prefix], unit: Instant) {
        for (stretch, prefix) in stretches.iter().zip(until) {
            let deliverable = if self.units { unit } else { prefix.at }.min(self.over);
            if stretch.at < deliverable {
                let bytes = stretch.end.min(place.end) - stretch.start.max(place.start);
                self.buffered += u128::from(bytes) * u128::from(stretch.at.abs_diff(deliverable));
                let Place { direction, stream, .. } = *place;
                self.stalls.push(Stall { direction, stream, from: stretch.at, to: deliverable });
            }
        }
    }

    /// The latest arrival of the stream's bytes, these included.
    fn own_stream(&mut self, stream: StreamId, at: Instant) -> Instant {
        match self.own_streams.binary_search_by_key(&stream, |&(of, _)| of) {
            Ok(place) => {
                let latest = &mut self.own_streams[place].1;
                *latest = at.max(*latest);
                *latest
            }
            Err(place) => {
                self.own_streams.insert(place, (stream, at));
                at
            }
        }
    }

    fn find(&self, id: MessageId) -> Option<usize> {
        let key = message_key(id);
        self.index.binary_search_by_key(&key, |&(of, _)| of).ok().map(|place| self.index[place].1 as usize)
    }

    /// The account of a delivered message.
    fn account(&self, message: &MessageRecord, trace: &Trace) -> Option<Result<Account, Fault>> {
        let delivered = message.delivered?;
        Some(if !trace.laid {
            Err(Fault::NoLayout)
        } else if trace.uncarried {
            Err(Fault::Uncarried)
        } else if trace.unit == NEVER {
            Err(Fault::Undelivered)
        } else if delivered < trace.unit {
            Err(Fault::BeforeArrival(trace.unit - delivered))
        } else if trace.first < message.released {
            Err(Fault::BeforeRelease(message.released - trace.first))
        } else {
            let lossless = trace.lossless.min(trace.own);
            let network = lossless - trace.first;
            // The packet may have come to the link before the last byte did: what it waited until then is
            // part of the hold, so the queue is what its propagation leaves, not all that it waited.
            let propagation = self.propagation(trace.lossless_by).min(network);
            let parts = Parts {
                hold: trace.first - message.released,
                queue: network - propagation,
                propagation,
                own_loss: trace.own - lossless,
                intra: trace.own_stream - trace.own,
                cross: trace.all - trace.own_stream,
                record: trace.unit - trace.all,
                stack: delivered - trace.unit,
            };
            Ok(Account {
                parts,
                intact: trace.intact,
                arrived: trace.own,
                complete: trace.unit,
                behind: (parts.blocked() > 0).then_some(trace.behind),
                domain: trace.domain,
                last: trace.last,
                unit_end: trace.unit_end,
            })
        })
    }

    /// How long a packet was under way behind the bottleneck, or would have been.
    fn propagation(&self, place: u32) -> i64 {
        let packet = &self.attribution.packets[place as usize];
        // A table of delays may hold some below 0, by which netem shortens the wait before it.
        (self.lossless[place as usize] - packet.arrived - packet.queued.cast_signed()).max(0)
    }
}

/// What is known of all bytes up to the end of a stretch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prefix {
    /// When the last of them reached the receiving host.
    pub(super) at: Instant,
    /// Place of the stretch that was last.
    pub(super) by: u32,
    /// Whether each of them was carried by some packet.
    pub(super) whole: bool,
}

/// The prefixes of a domain's stretches.
pub(super) fn prefixes(stretches: &[Stretch], prefixes: &mut Vec<Prefix>) {
    prefixes.clear();
    let (mut so_far, mut end) = (Prefix { at: Instant::MIN, by: 0, whole: true }, 0);
    for (place, stretch) in stretches.iter().enumerate() {
        so_far.whole &= stretch.start == end;
        end = stretch.end;
        if stretch.at > so_far.at {
            (so_far.at, so_far.by) = (stretch.at, place as u32);
        }
        prefixes.push(so_far);
    }
}
