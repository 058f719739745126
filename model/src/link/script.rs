//! Drops of chosen packets and outages at set times.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::ConditionError;
use super::period::{Again, again};
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
