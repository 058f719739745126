//! What happens at set times, or to chosen packets: scripted drops, outages, changes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{ConditionError, ConditionsSpec};
use crate::units::{Duration, serde_as_text};

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
    /// The first packet that comes at this time since the schedule's start, or after it.
    Time(Duration),
    /// Every packet that comes within this time, counted so; the end is excluded.
    Span(Duration, Duration),
}

impl fmt::Display for ScriptedDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptedDrop::Data(n) => write!(f, "data {n}"),
            ScriptedDrop::Packet(n) => write!(f, "packet {n}"),
            ScriptedDrop::Bytes(from, to) => write!(f, "bytes {from}..{to}"),
            ScriptedDrop::Handshake(n) => write!(f, "handshake {n}"),
            ScriptedDrop::Time(at) => write!(f, "time {at}"),
            ScriptedDrop::Span(from, to) => write!(f, "time {from}..{to}"),
        }
    }
}

impl FromStr for ScriptedDrop {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let fail = || ConditionError::Drop(text.to_owned());
        let (kind, rest) = text.trim().split_once(char::is_whitespace).ok_or_else(fail)?;
        let number = |s: &str| s.trim().parse::<u64>().map_err(|_| fail());
        match kind {
            "data" | "packet" | "handshake" => {
                let n = number(rest)?;
                if n == 0 {
                    return Err(fail());
                }
                Ok(match kind {
                    "data" => ScriptedDrop::Data(n),
                    "packet" => ScriptedDrop::Packet(n),
                    _ => ScriptedDrop::Handshake(n),
                })
            }
            "time" => match rest.split_once("..") {
                None => Ok(ScriptedDrop::Time(rest.trim().parse()?)),
                Some((from, to)) => {
                    let (from, to) = (from.trim().parse()?, to.trim().parse()?);
                    if from >= to { Err(fail()) } else { Ok(ScriptedDrop::Span(from, to)) }
                }
            },
            "bytes" => {
                let (from, to) = rest.split_once("..").ok_or_else(fail)?;
                let (from, to) = (number(from)?, number(to)?);
                if from >= to { Err(fail()) } else { Ok(ScriptedDrop::Bytes(from, to)) }
            }
            _ => Err(fail()),
        }
    }
}

serde_as_text!(ScriptedDrop);

/// A time, counted from the schedule's start, during which every packet is dropped: `2s..2.5s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// First instant of the outage.
    pub from: Duration,
    /// First instant after it.
    pub to: Duration,
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

impl FromStr for Outage {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let fail = || ConditionError::Outage(text.to_owned());
        let (from, to) = text.split_once("..").ok_or_else(fail)?;
        let (from, to) = (from.trim().parse()?, to.trim().parse()?);
        if from >= to { Err(fail()) } else { Ok(Outage { from, to }) }
    }
}

serde_as_text!(Outage);

/// Conditions that change at a time, counted from the schedule's start: `2s: delay 80ms, rate 5Mbit`
/// at once (a hand-over), `2s..4s: rate 5Mbit` evenly from what holds at 2 s to this at 4 s (a ramp).
///
/// The names and values are those of the conditions themselves, apart by commas; `rtt` stands for
/// half of it each way.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// When it begins.
    pub at: Duration,
    /// When a ramp has reached its values; `None`: at once.
    pub until: Option<Duration>,
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
        let (at, until) = match when.split_once("..") {
            None => (when.trim().parse::<Duration>()?, None),
            Some((at, until)) => (at.trim().parse()?, Some(until.trim().parse::<Duration>()?)),
        };
        if until.is_some_and(|until| until <= at) {
            return Err(fail("the ramp ends before it starts"));
        }
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
            if until.is_some() && !RAMPS.contains(&name) {
                return Err(fail(&format!("`{name}` cannot move evenly; these can: {}", RAMPS.join(", "))));
            }
            let value = match (name, value.as_str()) {
                ("ecn", "true" | "false") => toml::Value::Boolean(value == "true"),
                ("limit", number) => {
                    toml::Value::Integer(number.parse().map_err(|_| fail("`limit` is a number of packets"))?)
                }
                _ => toml::Value::String(value),
            };
            if table.insert(name.to_owned(), value).is_some() {
                return Err(fail(&format!("`{name}` is there twice")));
            }
        }
        let set: ConditionsSpec = table.try_into().map_err(|error: toml::de::Error| fail(error.message()))?;
        Ok(Change { at, until, set: Box::new(set) })
    }
}

serde_as_text!(Change);
