//! What happens at set times, or to chosen packets: scripted drops, outages, changes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{ConditionError, ConditionsSpec};
use crate::units::{BitRate, Duration, serde_as_text};

/// A packet dropped on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptedDrop {
    /// The n-th packet (from 1) that carries application data after the schedule's start: a TCP
    /// segment or QUIC short-header or UDP datagram with at least 100 bytes of transport payload.
    Data(u64),
    /// The n-th packet (from 1) of the direction, of any kind, from the moment the link is up: the name that a
    /// capture's comments give it. In the ledger its `number` is n − 1.
    Packet(u64),
    /// Every packet that carries a byte of this range of the connection's TCP stream (offsets from
    /// the initial sequence number plus one; the end is excluded); the first copy only.
    Bytes(u64, u64),
    /// The n-th packet (from 1) of a handshake in this direction, from the moment the link is up: a
    /// TCP SYN, a TCP segment that begins with a TLS handshake record (RFC 8446, section 5.1; those
    /// behind the ServerHello are encrypted and not to be told from data), or a datagram that begins
    /// with a QUIC long header (RFC 9000, section 17.2).
    Handshake(u64),
    /// Several that are counted so: `data every 100`, `packet 50..500 every 10`.
    Series(Counted, Series),
    /// The first packet that comes at this time since the schedule's start, or after it.
    Time {
        /// The time.
        at: Duration,
        /// Again and again after so long.
        every: Option<Duration>,
    },
    /// Every packet that comes within this time, counted so; the end is excluded.
    Span {
        /// First instant.
        from: Duration,
        /// First instant after it.
        to: Duration,
        /// Again and again after so long.
        every: Option<Duration>,
    },
}

/// What the numbers of scripted drops count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// As [`ScriptedDrop::Data`].
    Data,
    /// As [`ScriptedDrop::Packet`].
    Packet,
    /// As [`ScriptedDrop::Handshake`].
    Handshake,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Counted::Data => "data",
            Counted::Packet => "packet",
            Counted::Handshake => "handshake",
        })
    }
}

/// Numbers at equal distances: `every 100` (100, 200, …), `50.. every 100` (50, 150, …), `50..500 every 100`,
/// `50..60` (each of them). The end is excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series {
    /// The first number, at least 1.
    pub from: u64,
    /// The first number past them; `None`: without end.
    pub to: Option<u64>,
    /// From one to the next, at least 1.
    pub every: u64,
}

impl Series {
    /// Whether this number is one of them.
    pub fn contains(&self, number: u64) -> bool {
        number >= self.from
            && self.to.is_none_or(|to| number < to)
            && (number - self.from).is_multiple_of(self.every.max(1))
    }

    /// `FROM..[TO] [every N]` or `every N`.
    fn read(text: &str) -> Option<Series> {
        let number = |text: &str| text.trim().parse::<u64>().ok().filter(|n| *n > 0);
        let (range, every) = match text.split_once("every") {
            None => (text, None),
            Some((range, every)) => (range, Some(number(every)?)),
        };
        let series = match (range.trim(), every) {
            ("", Some(every)) => Series { from: every, to: None, every },
            (range, every) => {
                let (from, to) = range.split_once("..")?;
                let to = if to.trim().is_empty() { None } else { Some(number(to)?) };
                Series { from: number(from)?, to, every: every.unwrap_or(1) }
            }
        };
        series.to.is_none_or(|to| to > series.from).then_some(series)
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Series { from, to, every } = self;
        match to {
            None if from == every && *every > 1 => return write!(f, "every {every}"),
            None => write!(f, "{from}..")?,
            Some(to) => write!(f, "{from}..{to}")?,
        }
        if *every > 1 { write!(f, " every {every}") } else { Ok(()) }
    }
}

impl fmt::Display for ScriptedDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptedDrop::Data(n) => write!(f, "data {n}"),
            ScriptedDrop::Packet(n) => write!(f, "packet {n}"),
            ScriptedDrop::Bytes(from, to) => write!(f, "bytes {from}..{to}"),
            ScriptedDrop::Handshake(n) => write!(f, "handshake {n}"),
            ScriptedDrop::Series(counted, series) => write!(f, "{counted} {series}"),
            ScriptedDrop::Time { at, every } => write!(f, "time {at}{}", Again(*every)),
            ScriptedDrop::Span { from, to, every } => write!(f, "time {from}..{to}{}", Again(*every)),
        }
    }
}

impl FromStr for ScriptedDrop {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let fail = || ConditionError::Drop(text.to_owned());
        let (kind, rest) = text.trim().split_once(char::is_whitespace).ok_or_else(fail)?;
        let number = |s: &str| s.trim().parse::<u64>().map_err(|_| fail());
        let counted = match kind {
            "data" => Counted::Data,
            "packet" => Counted::Packet,
            "handshake" => Counted::Handshake,
            "time" => {
                let (when, every) = again(rest)?;
                return match when.split_once("..") {
                    None => Ok(ScriptedDrop::Time { at: when.parse()?, every }),
                    Some((from, to)) => {
                        let (from, to) = (from.trim().parse()?, to.trim().parse()?);
                        let sound = from < to && every.is_none_or(|every| every > to - from);
                        if sound { Ok(ScriptedDrop::Span { from, to, every }) } else { Err(fail()) }
                    }
                };
            }
            "bytes" => {
                let (from, to) = rest.split_once("..").ok_or_else(fail)?;
                let (from, to) = (number(from)?, number(to)?);
                return if from >= to { Err(fail()) } else { Ok(ScriptedDrop::Bytes(from, to)) };
            }
            _ => return Err(fail()),
        };
        if rest.contains("..") || rest.contains("every") {
            return Series::read(rest).map(|series| ScriptedDrop::Series(counted, series)).ok_or_else(fail);
        }
        let n = Some(number(rest)?).filter(|n| *n > 0).ok_or_else(fail)?;
        Ok(match counted {
            Counted::Data => ScriptedDrop::Data(n),
            Counted::Packet => ScriptedDrop::Packet(n),
            Counted::Handshake => ScriptedDrop::Handshake(n),
        })
    }
}

serde_as_text!(ScriptedDrop);

/// ` every PERIOD`, behind what is repeated.
pub(super) struct Again(pub(super) Option<Duration>);

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |every| write!(f, " every {every}"))
    }
}

/// `WHEN [every PERIOD]`: what is said of the time, and after how long it comes again.
pub(super) fn again(text: &str) -> Result<(&str, Option<Duration>), ConditionError> {
    match text.split_once("every") {
        None => Ok((text.trim(), None)),
        Some((when, every)) => {
            let period = every.trim().parse::<Duration>()?;
            if period < SHORTEST_PERIOD {
                let problem = format!("`every {period}` is too often; give at least {SHORTEST_PERIOD}");
                return Err(ConditionError::Impossible(problem));
            }
            Ok((when.trim(), Some(period)))
        }
    }
}

/// What comes more often than this is no matter of a schedule.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// A time, counted from the schedule's start, during which every packet is dropped: `2s..2.5s`; with
/// `2s..2.5s every 15s` again from 17 s, 32 s and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// First instant of the outage.
    pub from: Duration,
    /// First instant after it.
    pub to: Duration,
    /// From the start of one to the start of the next; `None`: there is one.
    pub every: Option<Duration>,
}

impl Outage {
    /// Whether it is at this time since the schedule's start.
    pub fn is_at(&self, since: Duration) -> bool {
        is_within(since.as_nanos(), self.from.as_nanos(), self.to.as_nanos(), self.every.map(Duration::as_nanos))
    }
}

/// Whether `at` is within a span from `from` to `to` (excluded) or one of its repetitions.
pub fn is_within(at: u64, from: u64, to: u64, every: Option<u64>) -> bool {
    let Some(since) = at.checked_sub(from) else { return false };
    every.map_or(since, |every| since % every.max(1)) < to - from
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}{}", self.from, self.to, Again(self.every))
    }
}

impl FromStr for Outage {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let fail = || ConditionError::Outage(text.to_owned());
        let (when, every) = again(text)?;
        let (from, to) = when.split_once("..").ok_or_else(fail)?;
        let (from, to) = (from.trim().parse()?, to.trim().parse()?);
        let sound = from < to && every.is_none_or(|every| every > to - from);
        if sound { Ok(Outage { from, to, every }) } else { Err(fail()) }
    }
}

serde_as_text!(Outage);

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
