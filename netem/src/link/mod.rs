//! The link core: what one direction of the path does to its packets.
//!
//! Sans-io: time and randomness are arguments. A [`Pipe`] takes `(packet, now)` and decides; it
//! opens no socket, reads no clock, starts no thread and never waits, so everything it claims can
//! be tested in virtual time. The backends call it from their data thread.
//!
//! ```text
//! offer ─► filter ─► loss, script, outage ─► duplicate ─► bottleneck ─► corrupt ─► delay line ─► slots ─► release
//!          (one decision a packet,              (rate, buffer) (one bit)  (delay, jitter;
//!           before the queue)                                              reorder skips it)
//! ```
//!
//! A packet that the direction's filter does not match goes from offer to release at once, beside the pipe: it
//! meets nothing of this, takes up no room and moves no draw.
//!
//! Buffer and delay line are separate things: only packets that wait for the bottleneck, or are
//! being transmitted, take up the buffer. Every due time is computed from arrival times alone, so
//! a late caller never shifts later packets.
//!
//! A pipe may be told to draw nothing until the schedule starts ([`Onset`]).
//!
//! With the generator `netem` the kernel's qdisc takes the place of all but script and outage: its
//! order of decisions, its draws, its one queue ([`netem`], [`netem_generator`]).
//!
//! Start with [`Pipe::offer`]. [`packet`] reads headers, `filter` says what meets the conditions, [`draws`] is the
//! randomness, `effects` what befalls single packets, [`entry`] what became of each, [`loss`] and [`script`] decide who
//! is dropped, [`queue`] is the bottleneck with its `service` and `steps`, `codel` the queue that manages itself,
//! [`mod@line`] the delay line, `farther` the way to servers beyond the link, `gate` the slots, `timeline` what changes when.

mod codel;
pub mod distribution;
mod draw_key;
pub mod draws;
mod effects;
pub mod entry;
mod farther;
mod filter;
mod gate;
mod instant;
pub mod line;
pub mod loss;
pub mod nat;
mod netem;
pub mod netem_generator;
pub mod packet;
pub mod queue;
pub mod script;
mod service;
mod steps;
mod timeline;
mod work;

use std::collections::VecDeque;

use samepath_model::link::{Aqm, Blackhole, Direction, Generator, Link};
use samepath_model::record::{DirectionReport, DropCause};
use samepath_model::units::BitRate;

use codel::CoDel;
use draw_key::DrawKeys;
pub use draw_key::SLOT;
use draws::{Draws, Effect, Key};
use effects::Effects;
use entry::Entry;
use farther::Beyond;
pub use farther::Farther;
use filter::Sieve;
use gate::Gate;
pub use instant::Nanos;
use line::DelayLine;
use loss::LossProcess;
use netem::Netem;
use packet::PacketInfo;
use queue::{Admission, Bottleneck};
use script::Script;
use service::NEVER;
use timeline::Timeline;

/// When what is drawn for each packet begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Onset {
    /// With the first packet.
    #[default]
    AtOnce,
    /// With the schedule, which is [told](Pipe::set_epoch): what comes before it (handshake, warm-up) meets delay,
    /// rate, buffer and script alone, so that the losses of a warm-up do not part the arms before they start.
    WithSchedule,
}

/// One direction of the link.
///
/// `P` is the caller's packet buffer, a whole IP packet. It is cloned for duplicates only.
///
/// # Words of the contract
/// Every packet that is offered ends in exactly one finished [`Entry`], every copy the pipe makes
/// in one more: given to the `ledger` argument of [`offer`](Pipe::offer) when dropped at once, by
/// [`left`](Pipe::left) or [`refused`](Pipe::refused) after its release, or by
/// [`drain`](Pipe::drain).
#[derive(Debug)]
pub struct Pipe<P> {
    direction: Direction,
    seed: u64,
    mtu: u16,
    keys: DrawKeys,
    draws: Draws,
    /// Which packets the conditions apply to; `None`: all.
    sieve: Option<Box<Sieve>>,
    /// The others, on their way out since they came.
    bypass: VecDeque<(Nanos, Inside<P>)>,
    loss: LossProcess,
    script: Script,
    blackhole: Blackhole,
    bleach: bool,
    effects: Effects,
    bottleneck: Bottleneck,
    line: DelayLine<Inside<P>>,
    /// The way to servers that stand farther away than the link is long.
    beyond: Option<Box<Beyond>>,
    counters: Counters,
    /// Packets that may be inside at once.
    limit: usize,
    epoch: Option<Nanos>,
    /// What holds from the schedule's start on, while that is awaited without any draws.
    awaited: Option<Box<Link>>,
    /// Whether anything happens inside between offers: a queue that manages itself, or conditions
    /// that change. Where not, none of it costs a packet more than this.
    lively: bool,
    codel: Option<Box<CoDel<Waiting<P>>>>,
    /// Whether CoDel marks.
    codel_ecn: bool,
    timeline: Option<Box<Timeline>>,
    /// Where nothing is transmitted for now.
    stop: Option<Stop>,
    gate: Option<Box<Gate>>,
    netem: Option<Box<Netem>>,
    /// What the queue dropped between offers: entries for the ledger, and the packets' buffers.
    aside: Vec<(P, Entry)>,
    /// How many of them are counted.
    set_aside: u64,
    /// Copies of the packet last offered that were kept, itself among them.
    kept: u64,
    /// The latest `now` that was heard of.
    latest: Nanos,
}

/// A stop of the bottleneck, until a change of the conditions ends it.
#[derive(Debug, Clone, Copy)]
struct Stop {
    /// When that is, if it is known.
    until: Option<Nanos>,
    /// The rate before, at which what waits is taken to go on.
    rate: BitRate,
}

/// How long a packet would have waited for a bottleneck of which nobody knows when it goes on.
const LONG: Nanos = 3_600_000_000_000;

/// A packet between offer and release.
#[derive(Debug)]
struct Inside<P> {
    packet: P,
    entry: Entry,
}

/// A packet that waits in a queue that manages itself.
#[derive(Debug)]
struct Waiting<P> {
    inside: Inside<P>,
    key: Key,
    ip_header: u16,
}

/// A packet that is due, and its line of the ledger, still to be finished: hand the entry to
/// [`Pipe::left`] or [`Pipe::refused`].
#[derive(Debug)]
#[must_use = "the entry must be finished with `left` or `refused`"]
pub struct Released<P> {
    /// The IP packet, possibly with a flipped bit.
    pub packet: P,
    /// The instant computed for its release; lateness is the real one minus this.
    pub due: Nanos,
    /// Its line of the ledger.
    pub entry: Entry,
}

/// What [`DirectionReport`] is made from.
#[derive(Debug, Default)]
struct Counters {
    packets: u64,
    bytes: u64,
    delivered_packets: u64,
    delivered_bytes: u64,
    dropped: [u64; DropCause::ALL.len()],
    duplicated: u64,
    corrupted: u64,
    marked: u64,
    bypassed: u64,
    /// Packets that were lost before they came to the conditions.
    elsewhere: u64,
    bleached: u64,
    largest_packet: u32,
    /// Released, and not yet finished by `left` or `refused`.
    unsettled: u64,
}

impl<P: AsRef<[u8]> + AsMut<[u8]> + Clone> Pipe<P> {
    /// An empty pipe with the conditions of `direction`.
    ///
    /// Nothing but `(seed, direction, effect, key)` enters any draw: the same seed gives every arm
    /// the same draws, and switching one effect on moves no other.
    pub fn new(link: &Link, direction: Direction, seed: u64) -> Self {
        Pipe::with_onset(link, direction, seed, Onset::AtOnce)
    }

    /// The same, whose draws begin at `onset`.
    pub fn with_onset(link: &Link, direction: Direction, seed: u64, onset: Onset) -> Self {
        let awaited = (onset == Onset::WithSchedule).then(|| Box::new(link.clone()));
        let first = if awaited.is_some() { link.without_draws() } else { link.clone() };
        let conditions = first.direction(direction);
        let draws = Draws::new(seed, direction);
        let mut pipe = Pipe {
            direction,
            seed,
            mtu: link.mtu,
            keys: DrawKeys::new(link.loss_key),
            sieve: None,
            bypass: VecDeque::new(),
            loss: LossProcess::new(conditions.loss, link.loss_key, draws),
            draws,
            script: Script::new(&conditions.drops, &conditions.outages),
            blackhole: Blackhole::None,
            bleach: false,
            effects: Effects::new(conditions),
            bottleneck: Bottleneck::new(conditions, None, None),
            line: DelayLine::new(false),
            beyond: None,
            counters: Counters::default(),
            limit: usize::MAX,
            epoch: None,
            awaited,
            lively: false,
            codel: None,
            codel_ecn: false,
            timeline: Timeline::new(link),
            stop: None,
            gate: None,
            netem: (link.generator == Generator::Netem).then(|| Box::new(Netem::new(conditions, seed))),
            aside: Vec::new(),
            set_aside: 0,
            kept: 0,
            latest: 0,
        };
        pipe.apply(&first, 0);
        pipe
    }

    /// The same, some of whose servers stand farther away.
    #[must_use]
    pub fn with_farther(mut self, servers: &[Farther]) -> Self {
        let keeps_order = matches!(self.line, DelayLine::Ordered(_));
        self.beyond = Beyond::new(servers, keeps_order);
        if self.beyond.is_some() {
            self.line.allow_disorder();
        }
        self
    }

    /// Sets the start of the schedule, which may lie ahead: from `epoch` on, time-keyed draws,
    /// outages, changes and rate traces count time from it, and `data N` counts packets from it. What
    /// was decided before is not taken back. Until then time runs from the first packet, in draw
    /// streams of its own; with [`Onset::WithSchedule`] nothing is drawn until then.
    pub fn set_epoch(&mut self, epoch: Nanos) {
        self.epoch = Some(epoch);
        self.keys.set_epoch(epoch);
        self.loss.restart();
        self.script.restart();
        self.effects.restart();
        self.bottleneck.set_epoch(epoch);
        if let Some(timeline) = &mut self.timeline {
            let start = timeline.restart(epoch).clone();
            let start = if self.awaited.is_some() { start.without_draws() } else { start };
            self.apply(&start, self.latest);
        }
    }

    /// From `now` on the conditions of this direction in `link` hold, their changes counted from the
    /// start of the schedule as ever. Seed, loss key and generator stay.
    ///
    /// Nothing inside is lost. What waits for the bottleneck, or is being transmitted, goes on at
    /// the new rate; what has been transmitted keeps the delay it was given, and so does every
    /// waiting packet. Where the new conditions neither jitter nor reorder, nothing overtakes: what
    /// would, because its delay is shorter, leaves together with the last before it. No draw moves:
    /// each is a function of seed, direction, effect and key alone. (The generator `netem` has one
    /// sequence for all, which goes on.)
    pub fn set_conditions(&mut self, link: &Link, now: Nanos) {
        self.advance(now);
        self.timeline = Timeline::new(link);
        let caught_up = self.timeline.as_mut().zip(self.epoch).and_then(|(timeline, epoch)| {
            timeline.restart(epoch);
            timeline.catch_up(now)
        });
        let link = caught_up.as_ref().unwrap_or(link);
        match &mut self.awaited {
            None => self.apply(link, now),
            Some(awaited) => {
                **awaited = link.clone();
                self.apply(&link.without_draws(), now);
            }
        }
    }

    /// The schedule starts at `at`, and with it what is drawn.
    fn begin_draws(&mut self, at: Nanos) {
        let Some(link) = self.awaited.take() else { return };
        let at = at.max(self.latest);
        self.serve(at);
        self.keys.count_from(self.counters.packets);
        if let Some(netem) = &mut self.netem {
            netem.restart(link.direction(self.direction), self.seed);
        }
        self.apply(&link, at);
    }

    /// From `now` on the conditions of this direction in `link` hold.
    fn apply(&mut self, link: &Link, now: Nanos) {
        let conditions = link.direction(self.direction);
        match (&mut self.sieve, &conditions.filter) {
            (Some(sieve), Some(filter)) => sieve.change(filter),
            (sieve, filter) => *sieve = filter.clone().map(|filter| Box::new(Sieve::new(filter))),
        }
        (self.blackhole, self.bleach) = (conditions.blackhole, conditions.bleach);
        self.loss.change(conditions.loss);
        self.script.change(&conditions.drops, &conditions.outages);
        self.effects.change(conditions);
        if let Some(netem) = &mut self.netem {
            netem.change(conditions);
        }
        let may_reorder = self.effects.may_reorder() || (self.netem.is_some() && !conditions.keep_order);
        if let Some(beyond) = &mut self.beyond {
            beyond.keeps_order = !may_reorder;
        }
        let may_reorder = may_reorder || self.beyond.is_some();
        if may_reorder {
            self.line.allow_disorder();
        }
        self.limit = conditions.limit.map_or(usize::MAX, |limit| limit as usize);
        if !conditions.slot.as_ref().is_some_and(|slot| self.gate.as_ref().is_some_and(|gate| gate.is(slot))) {
            let gate = |slot| Box::new(Gate::new(slot, self.seed, self.direction));
            self.gate = conditions.slot.clone().map(gate);
        }
        let capacity = link.queue_capacity(self.direction);
        let threshold = match conditions.aqm {
            Aqm::Threshold(size) => link.capacity_of(self.direction, size),
            Aqm::None | Aqm::CoDel { .. } => None,
        };
        let until = self.timeline.as_ref().filter(|_| conditions.stopped).and_then(|line| line.resumes(self.direction));
        self.stop = conditions.rate.filter(|_| conditions.stopped).map(|rate| Stop { until, rate });
        let moved = self.bottleneck.change(conditions, capacity, threshold, now, self.epoch);
        if !moved.is_empty() {
            self.move_departures(&moved, now);
        }
        self.change_codel(conditions.aqm, now);
        if !may_reorder {
            self.line.forbid_disorder(); // only now: what waits may have been moved within the line
        }
        self.lively = self.codel.is_some() || self.timeline.is_some() || self.awaited.is_some();
        self.face_gate();
    }

    /// Puts the queue under CoDel's rule, or takes it from under it: then what waits there takes up
    /// the server at once, in its order.
    fn change_codel(&mut self, aqm: Aqm, now: Nanos) {
        let Aqm::CoDel { target, interval, ecn } = aqm else {
            for waiting in self.codel.take().map(|mut codel| codel.take_all()).unwrap_or_default() {
                let departure = self.bottleneck.serve(now, waiting.size);
                self.propagate(waiting.item, departure);
            }
            return;
        };
        self.codel_ecn = ecn;
        if !self.codel.as_ref().is_some_and(|codel| codel.is(target, interval)) {
            let before = self.codel.take().map(|mut codel| codel.take_all()).unwrap_or_default();
            let mut codel = CoDel::new(target, interval, self.mtu);
            for waiting in before {
                codel.push(waiting.arrived, waiting.size, waiting.item);
            }
            self.codel = Some(Box::new(codel));
        }
    }

    /// Gives the packets that wait for the bottleneck their new departures: `moved` has the old and
    /// the new of each, in their order.
    fn move_departures(&mut self, moved: &[(Nanos, Nanos)], now: Nanos) {
        let mut all = self.line.take_all();
        let departure = |inside: &Inside<P>| inside.entry.arrived() + inside.entry.queued();
        let mut waiting: Vec<usize> = (0..all.len()).filter(|&index| departure(&all[index].1) > now).collect();
        waiting.sort_by_key(|&index| (departure(&all[index].1), all[index].1.entry.number()));
        for (&index, &(old, new)) in waiting.iter().zip(moved) {
            let (due, inside) = &mut all[index];
            debug_assert_eq!(departure(inside), old, "the line and the bottleneck know the same packets");
            *due = (*due - old) + new;
            inside.entry.set_queued(new - inside.entry.arrived());
        }
        for (due, inside) in all {
            self.line.push(due, inside);
        }
    }

    /// Takes one packet that came to the link at `now`.
    ///
    /// Gives a packet back if the pipe did not keep one, so that its buffer can be used again.
    /// Whatever was dropped, the packet or the copy made of it, or meanwhile one in a queue that
    /// manages itself, goes to `ledger` as a finished entry.
    pub fn offer(&mut self, packet: P, now: Nanos, mut ledger: impl FnMut(Entry)) -> Option<P> {
        self.advance(now);
        let before = self.inside();
        let mut returned = self.take(packet, now, &mut ledger);
        self.kept = (self.inside() - before) as u64;
        if !self.lively {
            return returned;
        }
        self.advance(now);
        self.set_aside = 0;
        for (packet, entry) in self.aside.drain(..) {
            ledger(entry);
            returned.get_or_insert(packet);
        }
        returned
    }

    fn take(&mut self, mut packet: P, now: Nanos, ledger: &mut impl FnMut(Entry)) -> Option<P> {
        let info = packet::parse(packet.as_ref());
        let number = self.counters.packets;
        let mut entry = self.count(&info, now);
        if self.sieve.as_mut().is_some_and(|sieve| !sieve.takes(&info)) {
            entry.set_bypassed();
            self.counters.bypassed += 1;
            self.bypass.push_back((now, Inside { packet, entry }));
            return None;
        }
        // What the conditions do not apply to moves no draw.
        let keyed = self.keys.at(now, number - self.counters.bypassed - self.counters.elsewhere);
        let arrival = Arrival { now, size: info.size, ip_header: info.ip_header, key: keyed.key };

        if self.netem.is_some() {
            return match self.struck_by_rule(&info, number, keyed.since_epoch) {
                // What never reaches the qdisc draws nothing from it.
                Some(cause) => {
                    entry.set_queued(self.would_wait(&arrival));
                    ledger(self.dropped(entry, cause));
                    Some(packet)
                }
                None => {
                    self.bleach(packet.as_mut());
                    self.enqueue(packet, entry, &arrival, ledger)
                }
            };
        }

        // The loss process moves on with every packet, whatever else befalls it, so that a script
        // or an outage does not change the losses after it. So does duplication with correlation.
        let mut lost = self.loss.strikes(keyed.key);
        let struck = self.struck_by_rule(&info, number, keyed.since_epoch);
        let (share, sequence) = &mut self.effects.duplicate;
        let duplicated = *share > 0.0 && sequence.next(&self.draws, false, keyed.key) < *share;
        if let Some(cause) = struck {
            entry.set_queued(self.would_wait(&arrival));
            ledger(self.dropped(entry, cause));
            return Some(packet);
        }
        self.bleach(packet.as_mut());
        if lost && self.effects.ecn && packet::mark_congestion(packet.as_mut()) {
            lost = false;
            self.mark(&mut entry);
        }
        if duplicated {
            self.counters.duplicated += 1;
        }
        if lost {
            entry.set_queued(self.would_wait(&arrival));
            ledger(self.dropped(entry, DropCause::Loss));
            // As in netem, loss and duplication together leave one copy, which is not lost again.
            return if duplicated { self.carry(packet, entry.as_duplicate(), &arrival, ledger) } else { Some(packet) };
        }
        let copy = duplicated.then(|| packet.clone());
        let returned = self.carry(packet, entry, &arrival, ledger);
        match copy {
            None => returned,
            Some(copy) => {
                let copy_returned = self.carry(copy, entry.as_duplicate(), &arrival, ledger);
                returned.or(copy_returned)
            }
        }
    }

    /// Counts a packet that was offered, and begins its line of the ledger.
    fn count(&mut self, info: &PacketInfo, now: Nanos) -> Entry {
        let entry = Entry::new(self.direction, self.counters.packets, now, info);
        self.counters.packets += 1;
        self.counters.bytes += u64::from(info.size);
        self.counters.largest_packet = self.counters.largest_packet.max(info.size);
        entry
    }

    /// Takes note of a packet that came to the link at `now` and was dropped before it. It moves no draw.
    pub fn lost_before(&mut self, packet: &[u8], now: Nanos, cause: DropCause) -> Entry {
        self.advance(now);
        let entry = self.count(&packet::parse(packet), now);
        self.counters.elsewhere += 1;
        self.kept = 0;
        self.dropped(entry, cause)
    }

    /// Whether the conditions would apply to a packet, of which nothing is remembered.
    pub fn would_apply(&self, packet: &[u8]) -> bool {
        self.sieve.as_ref().is_none_or(|sieve| sieve.would_take(&packet::parse(packet)))
    }

    /// Why a packet is dropped whatever is drawn, if it is.
    fn struck_by_rule(&mut self, info: &PacketInfo, number: u64, since_epoch: Option<Nanos>) -> Option<DropCause> {
        let scripted = self.script.verdict(info, number, since_epoch);
        scripted.or_else(|| self.blackhole.swallows(info.size).then_some(DropCause::Blackhole))
    }

    fn bleach(&mut self, packet: &mut [u8]) {
        if self.bleach && packet::clear_ecn(packet) {
            self.counters.bleached += 1;
        }
    }

    /// Bottleneck, corruption and delay line, for what the loss rules spared.
    fn carry(
        &mut self,
        mut packet: P,
        mut entry: Entry,
        arrival: &Arrival,
        ledger: &mut impl FnMut(Entry),
    ) -> Option<P> {
        let Arrival { now, size, .. } = *arrival;
        if self.limit != usize::MAX && self.held() >= self.limit {
            entry.set_queued(self.would_wait(arrival));
            ledger(self.dropped(entry, DropCause::Overflow));
            return Some(packet);
        }
        if let Some(codel) = &mut self.codel {
            if !self.bottleneck.fits(codel.len(), codel.bytes(), now, size) {
                entry.set_queued(self.would_wait(arrival));
                ledger(self.dropped(entry, DropCause::Overflow));
                return Some(packet);
            }
            let inside = Inside { packet, entry };
            codel.push(now, size, Waiting { inside, key: arrival.key, ip_header: arrival.ip_header });
            return None;
        }
        let Some(Admission { departure, over_threshold }) = self.bottleneck.admit(now, size) else {
            entry.set_queued(self.would_wait(arrival));
            ledger(self.dropped(entry, DropCause::Overflow));
            return Some(packet);
        };
        if over_threshold && packet::mark_congestion(packet.as_mut()) {
            self.mark(&mut entry);
        }
        let inside = Inside { packet, entry };
        self.propagate(Waiting { inside, key: arrival.key, ip_header: arrival.ip_header }, departure);
        None
    }

    /// `netem_enqueue` of `net/sched/sch_netem.c`, as of Linux 6.12: duplication, loss, corruption, the limit, the copy
    /// from the top, then reordering or delay and rate. A copy has no copy.
    fn enqueue(
        &mut self,
        mut packet: P,
        mut entry: Entry,
        arrival: &Arrival,
        ledger: &mut impl FnMut(Entry),
    ) -> Option<P> {
        let Some(netem) = &mut self.netem else { return Some(packet) };
        let original = !entry.is_duplicate();
        let mut count = 1 + u32::from(original && netem.generator.duplicates());
        if netem.generator.loses() {
            if self.effects.ecn && packet::mark_congestion(packet.as_mut()) {
                self.mark(&mut entry);
            } else {
                count -= 1;
            }
        }
        if count == 0 {
            entry.set_queued(self.would_wait(arrival));
            ledger(self.dropped(entry, DropCause::Loss));
            return Some(packet);
        }
        // Cloned before it is corrupted. Lost and duplicated leaves the one packet.
        let copy = (count > 1).then(|| (packet.clone(), entry.as_duplicate()));
        if copy.is_some() {
            self.counters.duplicated += 1;
        }
        if self.netem.as_mut().is_some_and(|netem| netem.generator.corrupts()) {
            self.corrupt(&mut packet, &mut entry, arrival.ip_header, arrival.key);
        }
        if self.line.len() >= self.limit {
            let wait = self.would_wait(arrival);
            for mut entry in [Some(entry), copy.map(|(_, entry)| entry)].into_iter().flatten() {
                entry.set_queued(wait);
                ledger(self.dropped(entry, DropCause::Overflow));
            }
            return Some(packet);
        }
        let returned = copy.and_then(|(copy, entry)| self.enqueue(copy, entry, arrival, ledger));
        let Some(netem) = &mut self.netem else { return Some(packet) };
        let due = match netem.generator.delay() {
            // To the head of the queue, which is served at once.
            None => arrival.now,
            Some(delay) => {
                let (at, queued) = netem.time_to_send(arrival.now, delay, arrival.size);
                entry.set_queued(queued);
                at
            }
        };
        self.await_release(due, Inside { packet, entry });
        returned
    }

    /// How many of the packet last offered the pipe kept: itself, a copy, both, or none of them.
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// Packets offered so far: the number that the next one will have.
    pub fn offered(&self) -> u64 {
        self.counters.packets
    }

    /// What follows the bottleneck, for a packet whose transmission ends at `departure`.
    fn propagate(&mut self, waiting: Waiting<P>, departure: Nanos) {
        let Waiting { inside: Inside { mut packet, mut entry }, key, ip_header } = waiting;
        let copy = entry.is_duplicate();
        entry.set_queued(departure - entry.arrived());
        let (share, sequence) = &mut self.effects.corrupt;
        if *share > 0.0 && sequence.next(&self.draws, copy, key) < *share {
            self.corrupt(&mut packet, &mut entry, ip_header, key);
        }
        let due = if self.effects.skips(&self.draws, copy, key) {
            departure
        } else {
            departure + self.effects.delay(&self.draws, copy, key)
        };
        self.await_release(due, Inside { packet, entry });
    }

    /// Puts a packet on the delay line that the link lets out at `due`.
    fn await_release(&mut self, due: Nanos, inside: Inside<P>) {
        let due = self.beyond.as_mut().map_or(due, |beyond| beyond.due(due, &inside.entry));
        self.line.push(due, inside);
        self.face_gate();
    }

    /// Flips a bit behind the IP header.
    fn corrupt(&mut self, packet: &mut P, entry: &mut Entry, ip_header: u16, key: Key) {
        let where_to = self.draws.bits(Effect::CorruptPosition, entry.is_duplicate(), key);
        if flip_bit(&mut packet.as_mut()[usize::from(ip_header)..], where_to) {
            entry.set_corrupted();
            self.counters.corrupted += 1;
        }
    }

    /// The wait that a packet would have which does not enter: until the end of its transmission.
    fn would_wait(&self, arrival: &Arrival) -> Nanos {
        if let Some(netem) = &self.netem {
            return netem.would_wait(arrival.now, arrival.size);
        }
        let ahead = self.codel.as_ref().map_or(0, |codel| codel.bytes());
        if let Some(Stop { until, rate }) = self.stop {
            let bytes = self.bottleneck.backlog_bytes() + ahead + u64::from(arrival.size);
            return until.map_or(LONG, |until| until.saturating_sub(arrival.now)) + rate.time_for(bytes).as_nanos();
        }
        // Those that wait under CoDel are taken for one packet: exact but for their framing.
        let size = u64::from(arrival.size) + ahead;
        self.bottleneck.peek(arrival.now, u32::try_from(size).unwrap_or(u32::MAX)) - arrival.now
    }

    /// Lets happen what happens inside up to `now`, in its order: changes of the conditions, and the
    /// service of a queue that manages itself.
    fn advance(&mut self, now: Nanos) {
        if !self.lively {
            return;
        }
        if let Some(epoch) = self.epoch.filter(|epoch| *epoch <= now) {
            self.begin_draws(epoch);
        }
        while let Some(next) = self.timeline.as_ref().and_then(|timeline| timeline.next()).filter(|at| *at <= now) {
            self.serve(next.max(self.latest));
            let idle = self.held() == 0;
            let Some(timeline) = &mut self.timeline else { break };
            let changed = if idle { timeline.skip(now) } else { timeline.step().map(|link| (next, link)) };
            if let Some((at, link)) = changed {
                self.apply(&link, at.max(self.latest));
            }
        }
        self.serve(now);
        self.latest = self.latest.max(now);
    }

    /// Serves the queue that manages itself up to `now`.
    fn serve(&mut self, now: Nanos) {
        while let Some(begins) = self.next_service().filter(|begins| *begins <= now) {
            let Some(codel) = &mut self.codel else { return };
            let (ecn, counters, aside) = (self.codel_ecn, &mut self.counters, &mut self.aside);
            let service = &self.bottleneck;
            let mark = |waiting: &mut Waiting<P>| {
                let marked = ecn && packet::mark_congestion(waiting.inside.packet.as_mut());
                if marked {
                    counters.marked += u64::from(!waiting.inside.entry.is_congestion_marked());
                    waiting.inside.entry.set_marked();
                }
                marked
            };
            let served = codel.dequeue(begins, mark, |dropped| {
                let Inside { packet, mut entry } = dropped.item.inside;
                entry.set_queued(service.peek(begins, dropped.size) - entry.arrived());
                aside.push((packet, entry.finish_dropped(DropCause::Aqm)));
            });
            let dropped = self.aside.len() as u64 - self.set_aside;
            self.counters.dropped[DropCause::Aqm as usize] += dropped;
            self.set_aside += dropped;
            if let Some(served) = served {
                let departure = self.bottleneck.serve(begins, served.size);
                self.propagate(served.item, departure);
            }
        }
    }

    /// When the queue that manages itself is served next.
    fn next_service(&self) -> Option<Nanos> {
        Some(self.bottleneck.begins(self.codel.as_ref()?.head_arrived()?))
    }

    /// When the next packet is due, if one is inside, or something happens to those inside. Then
    /// [`release`](Pipe::release) is to be called.
    pub fn next_release(&self) -> Option<Nanos> {
        let due = self.next_due();
        if !self.lively {
            return due;
        }
        let change = match &self.timeline {
            Some(timeline) if self.held() > 0 => timeline.next(),
            _ => None,
        };
        [due, self.next_service(), change].into_iter().flatten().min()
    }

    /// When the next packet is due, whether or not the conditions apply to it.
    fn next_due(&self) -> Option<Nanos> {
        let due = self.due_in_line();
        match self.bypass.front() {
            None => due,
            Some(&(at, _)) => Some(due.map_or(at, |due| due.min(at))),
        }
    }

    /// When the next packet is due to which the conditions apply.
    fn due_in_line(&self) -> Option<Nanos> {
        self.line.next_due().map(|due| self.gate.as_ref().map_or(due, |gate| gate.passes(due)))
    }

    /// One packet that is due at `now`, the earliest first; ties in order of arrival. Call until
    /// `None`.
    pub fn release(&mut self, now: Nanos) -> Option<Released<P>> {
        if self.lively {
            self.advance(now);
        }
        if let Some(&(at, _)) = self.bypass.front()
            && at <= now
            && self.due_in_line().is_none_or(|due| at <= due)
            && let Some((due, Inside { packet, entry })) = self.bypass.pop_front()
        {
            self.counters.unsettled += 1;
            return Some(Released { packet, due, entry });
        }
        let Some(gate) = &mut self.gate else {
            let (due, Inside { packet, entry }) = self.line.pop_due(now)?;
            self.counters.unsettled += 1;
            return Some(Released { packet, due, entry });
        };
        let passes = gate.passes(self.line.next_due()?);
        if passes > now {
            return None;
        }
        let (_, Inside { packet, entry }) = self.line.pop_due(now)?;
        gate.passed(passes, entry.size());
        self.face_gate();
        self.counters.unsettled += 1;
        Some(Released { packet, due: passes, entry })
    }

    /// The gate meets the packet that is due next.
    fn face_gate(&mut self) {
        if let (Some(gate), Some(due)) = (&mut self.gate, self.line.next_due()) {
            gate.face(due);
        }
    }

    /// Finishes the entry of a released packet that left for the receiving host at `now`.
    pub fn left(&mut self, entry: Entry, now: Nanos) -> Entry {
        self.counters.unsettled -= 1;
        self.counters.delivered_packets += 1;
        self.counters.delivered_bytes += u64::from(entry.size());
        entry.finish_left(now)
    }

    /// Finishes the entry of a released packet that the host refused: the trial is void.
    pub fn refused(&mut self, entry: Entry) -> Entry {
        self.counters.unsettled -= 1;
        self.dropped(entry, DropCause::Host)
    }

    /// Empties the pipe as the link goes down: every packet still inside, in order of its due time,
    /// with its finished entry, and what the queue has dropped meanwhile.
    pub fn drain(&mut self) -> impl Iterator<Item = (P, Entry)> + '_ {
        self.set_aside = 0;
        let mut waiting = self.codel.as_mut().map(|codel| codel.take_all()).unwrap_or_default();
        let mut aside = std::mem::take(&mut self.aside).into_iter();
        std::iter::from_fn(move || {
            if let Some(finished) = aside.next() {
                return Some(finished);
            }
            let in_line = || self.line.pop_due(Nanos::MAX).map(|(_, inside)| inside);
            let bypassing = self.bypass.pop_front().map(|(_, inside)| inside);
            let Inside { packet, mut entry } = match bypassing.or_else(in_line) {
                Some(inside) => inside,
                None => waiting.pop_front()?.item.inside,
            };
            if entry.arrived() + entry.queued() >= NEVER {
                entry.set_queued(self.latest.saturating_sub(entry.arrived()));
            }
            let entry = self.dropped(entry, DropCause::LinkDown);
            Some((packet, entry))
        })
    }

    /// Packets inside, and those released but not yet finished; copies included.
    pub fn in_flight(&self) -> u64 {
        self.inside() as u64 + self.counters.unsettled
    }

    /// Packets inside.
    fn inside(&self) -> usize {
        self.held() + self.bypass.len()
    }

    /// Packets inside to which the conditions apply.
    fn held(&self) -> usize {
        self.line.len() + self.codel.as_ref().map_or(0, |codel| codel.len())
    }

    /// The counts so far.
    pub fn report(&self) -> DirectionReport {
        let c = &self.counters;
        let dropped = DropCause::ALL
            .into_iter()
            .zip(c.dropped)
            .filter(|(_, n)| *n > 0)
            .map(|(cause, n)| (cause.name().to_owned(), n));
        DirectionReport {
            packets: c.packets,
            bytes: c.bytes,
            delivered_packets: c.delivered_packets,
            delivered_bytes: c.delivered_bytes,
            dropped: dropped.collect(),
            duplicated: c.duplicated,
            corrupted: c.corrupted,
            marked: c.marked,
            bypassed: c.bypassed,
            bleached: c.bleached,
            max_backlog_bytes: self
                .codel
                .as_ref()
                .map_or(0, |codel| codel.max_bytes())
                .max(self.bottleneck.max_backlog()),
            largest_packet: c.largest_packet,
        }
    }

    /// Notes a mark, and counts a packet's first.
    fn mark(&mut self, entry: &mut Entry) {
        self.counters.marked += u64::from(!entry.is_congestion_marked());
        entry.set_marked();
    }

    /// Counts a drop and finishes its entry.
    fn dropped(&mut self, entry: Entry, cause: DropCause) -> Entry {
        self.counters.dropped[cause as usize] += 1;
        entry.finish_dropped(cause)
    }
}

/// What carrying a packet needs to know of its coming.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    now: Nanos,
    size: u32,
    ip_header: u16,
    key: Key,
}

/// Flips one bit of `bytes`, chosen by `random`; `false` where there is none to flip.
fn flip_bit(bytes: &mut [u8], random: u64) -> bool {
    let bits = bytes.len() as u64 * 8;
    if bits == 0 {
        return false;
    }
    // Multiply and shift (Lemire 2019): no modulo bias worth speaking of for so few bits.
    let bit = ((u128::from(random) * u128::from(bits)) >> 64) as usize;
    bytes[bit / 8] ^= 1 << (bit % 8);
    true
}

#[cfg(test)]
mod tests;
