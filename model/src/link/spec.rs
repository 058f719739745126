//! What was typed for the link, in a file or as flags, and what changes at set times.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::period::{Again, again};
use super::{
    Aqm, Blackhole, Chance, ConditionError, Distribution, Filter, Framing, Generator, Jitter, Loss, LossKey, Outage,
    QueueLimit, RateTrace, Rebind, Reorder, ScriptedDrop, Slot,
};
use crate::units::{BitRate, Duration, serde_as_text};

/// Declares both specs, so that a condition is named once: those of one direction, and those of the
/// link, which hold for both.
macro_rules! specs {
    ($($field:ident: $kind:ty),* $(,)?) => {
        /// What was typed for one direction, or for both: everything optional.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
        pub struct ConditionsSpec {
            $(#[doc = concat!("See [`super::Conditions::", stringify!($field), "`].")]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub $field: Option<$kind>,)*
            /// See [`Conditions::drops`](super::Conditions::drops).
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub drop: Vec<ScriptedDrop>,
            /// See [`Conditions::outages`](super::Conditions::outages).
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub outage: Vec<Outage>,
            /// See [`Conditions::changes`](super::Conditions::changes).
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub change: Vec<Change>,
        }

        impl ConditionsSpec {
            /// `self` where it says something, else `base`.
            pub(super) fn over(self, base: ConditionsSpec) -> ConditionsSpec {
                ConditionsSpec {
                    $($field: self.$field.or(base.$field),)*
                    drop: if self.drop.is_empty() { base.drop } else { self.drop },
                    outage: if self.outage.is_empty() { base.outage } else { self.outage },
                    change: if self.change.is_empty() { base.change } else { self.change },
                }
            }
        }

        /// What was typed for the link, in a file or as flags. The conditions named here directly hold
        /// for both directions; those under `up` and `down` come before them.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
        pub struct LinkSpec {
            /// A named set of conditions to start from.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub profile: Option<String>,
            /// Round-trip time, half each way. Excludes `delay`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub rtt: Option<Duration>,
            /// Largest IP packet.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub mtu: Option<u16>,
            /// What random loss is keyed by.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub loss_key: Option<LossKey>,
            /// Where the random draws come from.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub generator: Option<Generator>,
            /// See [`Link::rebind`](super::Link::rebind).
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub rebind: Vec<Rebind>,
            $(#[doc = concat!("See [`super::Conditions::", stringify!($field), "`].")]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub $field: Option<$kind>,)*
            /// See [`Conditions::outages`](super::Conditions::outages).
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub outage: Vec<Outage>,
            /// See [`Conditions::changes`](super::Conditions::changes).
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub change: Vec<Change>,
            /// Conditions of one direction, over those of both.
            pub up: ConditionsSpec,
            /// Conditions of one direction, over those of both.
            pub down: ConditionsSpec,
        }

        impl LinkSpec {
            /// What was said of both directions at once.
            pub(super) fn both(&self) -> ConditionsSpec {
                let said = ConditionsSpec {
                    $($field: self.$field.clone(),)*
                    drop: Vec::new(),
                    outage: self.outage.clone(),
                    change: self.change.clone(),
                };
                ConditionsSpec { delay: said.delay.or(self.rtt.map(|rtt| rtt / 2)), ..said }
            }
        }
    };
}

specs! {
    filter: Filter,
    delay: Duration,
    jitter: Jitter,
    distribution: Distribution,
    keep_order: bool,
    rate: BitRate,
    overhead: Framing,
    rate_trace: RateTrace,
    queue: QueueLimit,
    aqm: Aqm,
    limit: u32,
    slot: Slot,
    loss: Loss,
    ecn: bool,
    duplicate: Chance,
    corrupt: Chance,
    reorder: Reorder,
    blackhole: Blackhole,
    bleach: bool,
}

impl ConditionsSpec {
    /// `self` where it says something, else `base`; a rate of either kind takes the place of the other kind.
    pub(super) fn in_place_of(self, mut base: ConditionsSpec) -> ConditionsSpec {
        if self.rate.is_some() {
            base.rate_trace = None;
        } else if self.rate_trace.is_some() {
            base.rate = None;
        }
        self.over(base)
    }
}

impl LinkSpec {
    /// These conditions with a later word over them: what `change` says of both directions, or of one,
    /// holds from then on, and the rest stays. Where it names a profile, nothing of these stays but
    /// what belongs to the link as a whole.
    #[must_use]
    pub fn amended(&self, change: &LinkSpec) -> LinkSpec {
        let whole = LinkSpec {
            profile: self.profile.clone(),
            mtu: self.mtu,
            loss_key: self.loss_key,
            generator: self.generator,
            rebind: if change.rebind.is_empty() { self.rebind.clone() } else { change.rebind.clone() },
            ..LinkSpec::default()
        };
        if let Some(profile) = &change.profile {
            return LinkSpec {
                mtu: whole.mtu,
                loss_key: whole.loss_key,
                generator: whole.generator,
                profile: Some(profile.clone()),
                ..change.clone()
            };
        }
        let amended = |of_change: &ConditionsSpec, of_self: &ConditionsSpec| {
            let said = of_change.clone().in_place_of(change.both());
            said.in_place_of(of_self.clone().in_place_of(self.both()))
        };
        LinkSpec { up: amended(&change.up, &self.up), down: amended(&change.down, &self.down), ..whole }
    }
}

/// Conditions that change at a time, counted from the schedule's start: `2s: delay 80ms, rate 5Mbit`
/// at once (a hand-over), `2s..4s: rate 5Mbit` evenly from what holds at 2 s to this at 4 s (a ramp);
/// `2s every 10s: rate 5Mbit` again at 12 s, 22 s and so on.
///
/// The names and values are those of the conditions themselves, apart by commas; `rtt` stands for
/// half of it each way. A rate of 0 lets nothing pass until the rate changes again: what comes waits, as far
/// as the queue has room. Of several changes the one that comes later holds, and of those that come at one
/// time the one that is written later.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// When it begins.
    pub at: Duration,
    /// When a ramp has reached its values; `None`: at once.
    pub until: Option<Duration>,
    /// From one beginning to the next; `None`: there is one.
    pub every: Option<Duration>,
    /// What holds then; all else stays as it was.
    pub set: Box<ConditionsSpec>,
}

/// Names of the conditions that a change can set, all of them with text forms.
const CHANGEABLE: &[&str] = &[
    "delay",
    "jitter",
    "distribution",
    "rate",
    "overhead",
    "queue",
    "aqm",
    "loss",
    "ecn",
    "duplicate",
    "corrupt",
    "reorder",
    "keep-order",
    "blackhole",
    "bleach",
    "limit",
];
/// Those that a ramp can move evenly.
const RAMPS: &[&str] = &["delay", "jitter", "rate", "loss", "duplicate", "corrupt", "reorder"];

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.at)?;
        if let Some(until) = self.until {
            write!(f, "..{until}")?;
        }
        write!(f, "{}", Again(self.every))?;
        let table = toml::Table::try_from(&*self.set).map_err(|_| fmt::Error)?;
        let said = table.iter().filter(|(name, _)| CHANGEABLE.contains(&name.as_str()));
        for (index, (name, value)) in said.enumerate() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            write!(f, "{} {name} {value}", if index == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Change {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let fail = |problem: &str| ConditionError::Change { input: text.to_owned(), problem: problem.to_owned() };
        let (when, what) =
            text.split_once(':').ok_or_else(|| fail("there is no `:` between the time and the values"))?;
        let (when, every) = again(when)?;
        let (at, until) = match when.split_once("..") {
            None => (when.trim().parse::<Duration>()?, None),
            Some((at, until)) => (at.trim().parse()?, Some(until.trim().parse::<Duration>()?)),
        };
        if until.is_some_and(|until| until <= at) {
            return Err(fail("the ramp ends before it starts"));
        }
        if until.zip(every).is_some_and(|(until, every)| until - at > every) {
            return Err(fail("the ramp lasts longer than it takes to come again; make `every` longer"));
        }
        let mut stops = false;
        let mut table = toml::Table::new();
        for part in what.split(',') {
            let Some((name, value)) = part.trim().split_once(char::is_whitespace) else {
                return Err(fail("each condition needs its name and a value"));
            };
            let (name, value) = match (name, value.trim()) {
                ("rtt", value) => ("delay", (value.parse::<Duration>()? / 2).to_string()),
                (name, value) => (name, value.to_owned()),
            };
            if !CHANGEABLE.contains(&name) {
                return Err(fail(&format!("`{name}` cannot change; these can: rtt, {}", CHANGEABLE.join(", "))));
            }
            if name == "rate" && is_zero_rate(&value) {
                if std::mem::replace(&mut stops, true) {
                    return Err(fail("`rate` is there twice"));
                }
                continue;
            }
            if until.is_some() && !RAMPS.contains(&name) {
                return Err(fail(&format!("`{name}` cannot move evenly; these can: {}", RAMPS.join(", "))));
            }
            let value = match (name, value.as_str()) {
                ("ecn" | "keep-order" | "bleach", "true" | "false") => toml::Value::Boolean(value == "true"),
                ("limit", number) => {
                    toml::Value::Integer(number.parse().map_err(|_| fail("`limit` is a number of packets"))?)
                }
                _ => toml::Value::String(value),
            };
            if table.insert(name.to_owned(), value).is_some() {
                return Err(fail(&format!("`{name}` is there twice")));
            }
        }
        let mut set: ConditionsSpec = table.try_into().map_err(|error: toml::de::Error| fail(error.message()))?;
        if stops && set.rate.replace(BitRate::new(0)).is_some() {
            return Err(fail("`rate` is there twice"));
        }
        Ok(Change { at, until, every, set: Box::new(set) })
    }
}

/// Whether a rate is said to be nothing, in any unit or none; elsewhere than in a change that is no rate.
fn is_zero_rate(text: &str) -> bool {
    let unit = text.trim_start_matches(['0', '.']);
    unit.len() < text.len() && (unit.is_empty() || format!("1{unit}").parse::<BitRate>().is_ok())
}

impl Change {
    /// Its latest beginnings by this time since the schedule's start, two at most: where it comes again, the one
    /// before is what the last starts from.
    pub(super) fn begun_by(&self, since: Duration) -> impl Iterator<Item = Duration> {
        let ago = since.as_nanos().checked_sub(self.at.as_nanos());
        let times = match (ago, self.every) {
            (None, _) => [None, None],
            (Some(_), None) => [None, Some(self.at)],
            (Some(ago), Some(every)) => {
                let last = ago / every.as_nanos().max(1);
                [last.checked_sub(1), Some(last)].map(|n| n.map(|n| self.at + every * n))
            }
        };
        times.into_iter().flatten()
    }

    /// How long it takes: nothing, where it comes at once.
    pub(super) fn span(&self) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until - self.at)
    }

    /// The part of a ramp that is done so long after its beginning, in whole steps; 1 where there is none.
    pub(super) fn done(&self, past: Duration) -> f64 {
        let (past, span) = (past.as_nanos(), self.span().as_nanos());
        if past >= span { 1.0 } else { (past - past % self.step()) as f64 / span as f64 }
    }

    /// The next time after `since` at which it sets something; with `None` the first.
    pub(super) fn next_step(&self, since: Option<Duration>) -> Option<Duration> {
        let Some(since) = since.filter(|since| *since >= self.at) else { return Some(self.at) };
        let last = self.begun_by(since).last()?;
        let (past, span) = ((since - last).as_nanos(), self.span().as_nanos());
        if past < span {
            let next = past - past % self.step() + self.step();
            return Some(last + Duration::from_nanos(next.min(span)));
        }
        self.every.map(|every| last + every)
    }

    /// How long a ramp stays at one value, in nanoseconds.
    fn step(&self) -> u64 {
        let span = self.span().as_nanos();
        span / (span / 1_000_000).clamp(1, MOST_RAMP_STEPS)
    }
}

/// The steps that a ramp is made of: one a millisecond, and no more than this.
const MOST_RAMP_STEPS: u64 = 1000;

serde_as_text!(Change);
