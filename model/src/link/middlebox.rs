//! What middleboxes do to packets beside carrying them: a black hole for large ones, a NAT that forgets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::ConditionError;
use super::period::{Again, again};
use crate::units::{ByteCount, Duration, serde_as_text};

/// Packets above a size that vanish without a word, as where a path carries less than it says and no
/// "packet too big" comes back (RFC 2923, RFC 8899): `1400B`, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Blackhole {
    /// Every size passes.
    #[default]
    None,
    /// Larger IP packets than this are dropped.
    Above(ByteCount),
}

/// What every box must carry (RFC 791, section 3.2).
const LEAST: ByteCount = ByteCount::new(68);

impl Blackhole {
    /// Whether a packet of so many bytes vanishes.
    pub fn swallows(self, size: u32) -> bool {
        matches!(self, Blackhole::Above(limit) if u64::from(size) > limit.bytes())
    }
}

impl fmt::Display for Blackhole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blackhole::None => f.pad("none"),
            Blackhole::Above(bytes) => write!(f, "{bytes}"),
        }
    }
}

impl FromStr for Blackhole {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        if text.trim() == "none" {
            return Ok(Blackhole::None);
        }
        let fail = || ConditionError::Blackhole(text.to_owned());
        let bytes: ByteCount = text.trim().parse().map_err(|_| fail())?;
        if bytes < LEAST { Err(fail()) } else { Ok(Blackhole::Above(bytes)) }
    }
}

serde_as_text!(Blackhole);

/// A NAT between the link and the server forgets its mappings at a time, counted from the schedule's start, and makes
/// others: `2s: port`, `2s: address`; with `2s every 5s: port` again at 7 s, 12 s and so on.
///
/// From then on the server sees the client's packets come from other ports, or from another address. What it still
/// sends to where they came from before is dropped, as there is no mapping for it any more. TCP and UDP are
/// treated alike: to the server's TCP a segment from elsewhere belongs to no connection, and is answered by a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebind {
    /// When.
    pub at: Duration,
    /// From one to the next; `None`: there is one.
    pub every: Option<Duration>,
    /// What of the client is another then.
    pub what: Rebound,
}

/// What a NAT gives anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebound {
    /// The ports of TCP and UDP, each flow's a new one.
    Port,
    /// The address; the ports stay.
    Address,
}

impl Rebind {
    /// The next time after `since` at which it is; with `None` the first.
    pub fn next(&self, since: Option<Duration>) -> Option<Duration> {
        let Some(since) = since.filter(|since| *since >= self.at) else { return Some(self.at) };
        let every = self.every?;
        Some(self.at + every * ((since - self.at).as_nanos() / every.as_nanos().max(1) + 1))
    }
}

impl fmt::Display for Rebind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Rebound::Port => "port",
            Rebound::Address => "address",
        };
        write!(f, "{}{}: {what}", self.at, Again(self.every))
    }
}

impl FromStr for Rebind {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let fail = || ConditionError::Rebind(text.to_owned());
        let (when, what) = text.split_once(':').ok_or_else(fail)?;
        let (at, every) = again(when)?;
        let what = match what.trim() {
            "port" => Rebound::Port,
            "address" => Rebound::Address,
            _ => return Err(fail()),
        };
        Ok(Rebind { at: at.parse()?, every, what })
    }
}

serde_as_text!(Rebind);
