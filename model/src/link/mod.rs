//! The emulated path's conditions: what may be said of each direction, and what it resolves to.
//!
//! Two stages. [`LinkSpec`] is what was typed, in a file or as flags: everything optional, with
//! shorthands. [`Link`] is what it means: two directions, every value decided. Files that conditions
//! name (rate traces, tables of delays) are read in between, by [`files`]' caller.
//!
//! Each condition has a file: [`correlated`], [`distribution`], [`filter`], [`loss`], [`middlebox`], [`queue`],
//! [`rate`] with [`trace`], [`script`]; [`spec`] is what was typed, [`resolve`] decides, [`describe`] says it in a line.

pub mod checksum;
pub mod correlated;
pub mod describe;
pub mod direction;
pub mod distribution;
mod error;
pub mod files;
pub mod filter;
pub mod generator;
pub mod loss;
pub mod middlebox;
mod period;
pub mod queue;
pub mod rate;
pub mod resolve;
pub mod script;
pub mod slot;
pub mod spec;
pub mod trace;

use serde::{Deserialize, Serialize};

pub use checksum::Checksum;
pub use correlated::{Chance, Jitter, Reorder};
pub use direction::Direction;
pub use distribution::{DelayTable, Distribution};
pub use error::ConditionError;
pub use files::Inputs;
pub use filter::Filter;
pub use generator::{Generator, NETEM_LIMIT};
pub use loss::{GilbertElliott, Loss, LossKey, Markov};
pub use middlebox::{Blackhole, Rebind, Rebound};
pub use queue::{Aqm, CODEL_INTERVAL, CODEL_TARGET, DEFAULT_QUEUE, QueueCapacity, QueueLimit};
pub use rate::{Framing, RateTrace};
pub(crate) use resolve::MAX_DELAY;
pub use resolve::MIN_MTU;
pub use script::{Counted, Outage, ScriptedDrop, Series, is_within};
pub use slot::{Pause, Slot};
pub use spec::{Change, ConditionsSpec, LinkSpec};
pub use trace::{OPPORTUNITY, Schedule, TraceForm};

use crate::units::{BitRate, ByteCount, Duration, Probability};

/// What one direction of the link does to its packets, every value decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Conditions {
    /// Which packets all that follows applies to; the others pass as if there were nothing. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// One-way propagation delay.
    pub delay: Duration,
    /// Variation of the delay, ± this much. Reorders packets, unless smaller than their spacing.
    pub jitter: Jitter,
    /// How the jitter is distributed.
    #[serde(default)]
    pub distribution: Distribution,
    /// Whether jitter keeps the order: a packet that would leave before one that came earlier leaves with it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keep_order: bool,
    /// Rate of the bottleneck. Absent: unlimited, or by a trace.
    pub rate: Option<BitRate>,
    /// Whether nothing is transmitted for now, as where a change has set the rate to 0: `rate` is the one before,
    /// by which the buffer has its size.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stopped: bool,
    /// What the rate counts beside the IP packets.
    #[serde(default)]
    pub overhead: Framing,
    /// Recorded rate of the bottleneck.
    #[serde(default)]
    pub rate_trace: Option<RateTrace>,
    /// Buffer of the bottleneck. Only meaningful with a rate or a trace.
    pub queue: Option<QueueLimit>,
    /// What else than its being full the buffer drops or marks for.
    #[serde(default)]
    pub aqm: Aqm,
    /// Packets that may be in the direction at once, waiting or under way; more are dropped.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Times at which packets may leave.
    #[serde(default)]
    pub slot: Option<Slot>,
    /// Random loss.
    pub loss: Loss,
    /// Whether random loss marks packets of ECN-capable transports (RFC 3168) in place of losing them.
    #[serde(default)]
    pub ecn: bool,
    /// Share of packets delivered twice.
    pub duplicate: Chance,
    /// Share of packets with one bit flipped.
    pub corrupt: Chance,
    /// Share of packets that skip the delay line and overtake those before them.
    pub reorder: Reorder,
    /// Larger packets than this vanish.
    #[serde(default, skip_serializing_if = "is_default")]
    pub blackhole: Blackhole,
    /// Whether the ECN field of every packet is cleared as it comes (RFC 3168's Not-ECT), so that no queue can mark it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub bleach: bool,
    /// Packets dropped on purpose.
    pub drops: Vec<ScriptedDrop>,
    /// Times at which nothing passes.
    pub outages: Vec<Outage>,
    /// What becomes of these conditions, and when.
    #[serde(default)]
    pub changes: Vec<Change>,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Conditions {
    /// A direction that does nothing to its packets.
    pub fn transparent() -> Self {
        Conditions {
            filter: None,
            delay: Duration::ZERO,
            jitter: Jitter::NONE,
            distribution: Distribution::Uniform,
            keep_order: false,
            rate: None,
            stopped: false,
            overhead: Framing::default(),
            rate_trace: None,
            queue: None,
            aqm: Aqm::None,
            limit: None,
            slot: None,
            loss: Loss::None,
            ecn: false,
            duplicate: Chance::NEVER,
            corrupt: Chance::NEVER,
            reorder: Reorder::default(),
            blackhole: Blackhole::None,
            bleach: false,
            drops: Vec::new(),
            outages: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// The same without what is drawn for each packet: loss, duplication, corruption, reordering, jitter and slots.
    /// Delay, rate, buffer and script are as they were.
    #[must_use]
    pub fn without_draws(&self) -> Conditions {
        Conditions {
            jitter: Jitter::NONE,
            distribution: Distribution::Uniform,
            slot: None,
            loss: Loss::None,
            duplicate: Chance::NEVER,
            corrupt: Chance::NEVER,
            reorder: Reorder::default(),
            ..self.clone()
        }
    }

    /// The rate of the bottleneck, of a trace its mean; `None` without one.
    pub fn mean_rate(&self) -> Option<BitRate> {
        self.rate.or_else(|| self.rate_trace.as_ref()?.mean_rate())
    }

    /// The next time after `since` (from the schedule's start) at which these conditions change; a ramp does so in
    /// steps. With `None` the first.
    pub fn next_change(&self, since: Option<Duration>) -> Option<Duration> {
        self.changes.iter().filter_map(|change| change.next_step(since)).min()
    }

    /// The times up to `end` at which these conditions change, in order.
    pub fn change_times(&self, end: Duration) -> Vec<Duration> {
        std::iter::successors(self.next_change(None), |since| self.next_change(Some(*since)))
            .take_while(|time| *time <= end)
            .collect()
    }

    /// Whether, at any time, packets of ECN-capable transports may be marked (RFC 3168).
    pub fn may_mark(&self) -> bool {
        let marks = |c: &Conditions| c.ecn || matches!(c.aqm, Aqm::CoDel { ecn: true, .. } | Aqm::Threshold(_));
        marks(self) || self.changes.iter().any(|change| marks(&self.at(change.at + change.span())))
    }

    /// The latest beginnings of each change by `since`, two at most: what came before them leaves no trace.
    pub fn latest_beginnings(&self, since: Duration) -> impl Iterator<Item = Duration> {
        self.changes.iter().flat_map(move |change| change.begun_by(since))
    }

    /// The conditions that hold at this time since the schedule's start: the same from one change to the next, also
    /// in a ramp.
    #[must_use]
    pub fn at(&self, since: Duration) -> Conditions {
        let mut begun: Vec<(Duration, &Change)> =
            self.changes.iter().flat_map(|change| change.begun_by(since).map(move |at| (at, change))).collect();
        begun.sort_by_key(|(at, _)| *at);
        let mut now = self.clone();
        for (at, change) in begun {
            let mut after = now.clone();
            after.set(&change.set);
            now = match change.done(since - at) {
                share if share < 1.0 => between(&now, after, share),
                _ => after,
            };
        }
        now
    }

    /// Takes over what a change sets.
    fn set(&mut self, said: &ConditionsSpec) {
        fn put<T: Clone>(said: &Option<T>, place: &mut T) {
            if let Some(value) = said {
                *place = value.clone();
            }
        }
        put(&said.delay, &mut self.delay);
        put(&said.jitter, &mut self.jitter);
        put(&said.distribution, &mut self.distribution);
        put(&said.overhead, &mut self.overhead);
        put(&said.aqm, &mut self.aqm);
        put(&said.loss, &mut self.loss);
        put(&said.ecn, &mut self.ecn);
        put(&said.duplicate, &mut self.duplicate);
        put(&said.corrupt, &mut self.corrupt);
        put(&said.reorder, &mut self.reorder);
        put(&said.keep_order, &mut self.keep_order);
        put(&said.blackhole, &mut self.blackhole);
        put(&said.bleach, &mut self.bleach);
        if let Some(rate) = said.rate {
            self.stopped = rate.bits_per_second() == 0;
            if !self.stopped {
                self.rate = Some(rate);
            }
        }
        self.queue = said.queue.or(self.queue);
        self.limit = said.limit.or(self.limit);
    }
}

/// What holds when `share` of the way from `a` to `b` is done.
fn between(a: &Conditions, b: Conditions, share: f64) -> Conditions {
    let number = |from: f64, to: f64| from + (to - from) * share;
    let time = |from: Duration, to: Duration| {
        Duration::from_nanos(number(from.as_nanos() as f64, to.as_nanos() as f64).round() as u64)
    };
    let part = |from: Probability, to: Probability| {
        Probability::new(number(from.fraction(), to.fraction()).clamp(0.0, 1.0)).unwrap_or(to)
    };
    let chance = |from: Chance, to: Chance| Chance { share: part(from.share, to.share), ..to };
    let (rate, stopped) = match (a.rate, b.rate) {
        (Some(from), Some(to)) => {
            let bits = |rate: BitRate, stopped: bool| if stopped { 0.0 } else { rate.bits_per_second() as f64 };
            match number(bits(from, a.stopped), bits(to, b.stopped)).round() as u64 {
                0 => (Some(from), true),
                bits => (Some(BitRate::new(bits)), false),
            }
        }
        (_, to) => (to, b.stopped),
    };
    Conditions {
        delay: time(a.delay, b.delay),
        jitter: Jitter { spread: time(a.jitter.spread, b.jitter.spread), ..b.jitter },
        rate,
        stopped,
        loss: match (a.loss, b.loss) {
            (Loss::None, Loss::Random(to)) => Loss::Random(part(Probability::ZERO, to)),
            (Loss::Random(from), Loss::None) => Loss::Random(part(from, Probability::ZERO)),
            (Loss::Random(from), Loss::Random(to)) => Loss::Random(part(from, to)),
            (_, to) => to,
        },
        duplicate: chance(a.duplicate, b.duplicate),
        corrupt: chance(a.corrupt, b.corrupt),
        reorder: Reorder { chance: chance(a.reorder.chance, b.reorder.chance), ..b.reorder },
        ..b
    }
}

/// The emulated path, every value decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Link {
    /// Client to server.
    pub up: Conditions,
    /// Server to client.
    pub down: Conditions,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// What random loss is keyed by.
    pub loss_key: LossKey,
    /// Where the random draws come from.
    #[serde(default)]
    pub generator: Generator,
    /// When a NAT between the link and the server forgets its mappings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rebind: Vec<Rebind>,
}

impl Link {
    /// A path that does nothing, with the usual MTU of 1500.
    pub fn transparent() -> Self {
        Link {
            up: Conditions::transparent(),
            down: Conditions::transparent(),
            mtu: 1500,
            loss_key: LossKey::Time,
            generator: Generator::Counter,
            rebind: Vec::new(),
        }
    }

    /// The conditions of one direction.
    pub const fn direction(&self, direction: Direction) -> &Conditions {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// The path at this time since the schedule's start.
    #[must_use]
    pub fn at(&self, since: Duration) -> Link {
        Link { up: self.up.at(since), down: self.down.at(since), rebind: self.rebind.clone(), ..*self }
    }

    /// The path without what is drawn for each packet; see [`Conditions::without_draws`].
    #[must_use]
    pub fn without_draws(&self) -> Link {
        Link { up: self.up.without_draws(), down: self.down.without_draws(), ..self.clone() }
    }

    /// The way to a server that stands farther away than the link is long: half of the round trip `extra` is added to
    /// the delay of each direction, whatever it changes to.
    #[must_use]
    pub fn farther_by(&self, extra: Duration) -> Link {
        let mut link = self.clone();
        for conditions in [&mut link.up, &mut link.down] {
            conditions.delay += extra / 2;
            for delay in conditions.changes.iter_mut().filter_map(|change| change.set.delay.as_mut()) {
                *delay += extra / 2;
            }
        }
        link
    }

    /// Propagation both ways, without queueing.
    pub fn rtt(&self) -> Duration {
        self.up.delay + self.down.delay
    }

    /// Whether it does nothing to its packets.
    pub fn is_transparent(&self) -> bool {
        let is_bare = |conditions: &Conditions| {
            // A filter without conditions lets all pass, too.
            Conditions { filter: None, ..conditions.clone() } == Conditions::transparent()
        };
        self.rebind.is_empty() && is_bare(&self.up) && is_bare(&self.down)
    }

    /// The buffer of a direction in bytes, or packets, as the emulator enforces it.
    pub fn queue_capacity(&self, direction: Direction) -> Option<QueueCapacity> {
        let conditions = self.direction(direction);
        conditions.mean_rate()?;
        if self.generator == Generator::Netem {
            return None;
        }
        self.capacity_of(direction, conditions.queue.unwrap_or(DEFAULT_QUEUE))
    }

    /// A size of a direction's buffer in bytes, or packets; `None` without a rate.
    pub fn capacity_of(&self, direction: Direction, size: QueueLimit) -> Option<QueueCapacity> {
        let rate = self.direction(direction).mean_rate()?;
        // A buffer that cannot hold one packet would carry nothing.
        let at_least_one = |bytes: ByteCount| QueueCapacity::Bytes(bytes.max(ByteCount::new(u64::from(self.mtu))));
        Some(match size {
            QueueLimit::Packets(n) => QueueCapacity::Packets(n),
            QueueLimit::Bytes(bytes) => at_least_one(bytes),
            QueueLimit::Time(time) => at_least_one(rate.bytes_in(time)),
            QueueLimit::Bdp(factor) => {
                let bdp = rate.bytes_in(self.rtt()).bytes() as f64;
                // Ten packets, where the path is so short that its BDP is less than a burst.
                at_least_one(ByteCount::new(((bdp * factor) as u64).max(10 * u64::from(self.mtu))))
            }
        })
    }
}

#[cfg(test)]
mod tests;
