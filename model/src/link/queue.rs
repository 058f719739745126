//! The bottleneck's buffer: its size, and what else than its being full drops or marks packets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::ConditionError;
use crate::units::{ByteCount, Duration, UnitError, serde_as_text, split_unit};

/// The size of the bottleneck's buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum QueueLimit {
    /// So many packets, the one being transmitted included.
    Packets(u32),
    /// So many bytes of IP packets, the one being transmitted included.
    Bytes(ByteCount),
    /// As many bytes as the rate carries in this time.
    Time(Duration),
    /// This multiple of the bandwidth-delay product (rate × round-trip time).
    Bdp(f64),
}

impl fmt::Display for QueueLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueueLimit::Packets(n) => write!(f, "{n}p"),
            QueueLimit::Bytes(bytes) => write!(f, "{bytes}"),
            QueueLimit::Time(time) => write!(f, "{time}"),
            QueueLimit::Bdp(factor) => write!(f, "{factor}bdp"),
        }
    }
}

impl FromStr for QueueLimit {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        const WHAT: &str = "a queue size";
        let fail = || ConditionError::Queue(text.to_owned());
        let (number, unit) = split_unit(text, WHAT)?;
        let wrong = |problem: String| Err(UnitError::new(text, WHAT, problem).into());
        let limit = match unit {
            "" => return wrong(format!("the unit is missing: write {number}p (packets) or {number}B (bytes)")),
            "m" | "M" => {
                return wrong(format!(
                    "write {number}ms (time), or {number}MB (powers of 1000) or {number}MiB (powers of 1024)"
                ));
            }
            "p" | "packet" | "packets" | "pkt" | "pkts" => {
                QueueLimit::Packets(number.to_string().parse().map_err(|_| fail())?)
            }
            "bdp" | "BDP" => QueueLimit::Bdp(number.value()),
            unit if Duration::knows(unit) => QueueLimit::Time(text.parse()?),
            unit if ByteCount::knows(unit) => QueueLimit::Bytes(text.parse()?),
            _ => return Err(fail()),
        };
        match limit {
            QueueLimit::Packets(0) | QueueLimit::Bytes(ByteCount::ZERO) | QueueLimit::Time(Duration::ZERO) => {
                Err(fail())
            }
            QueueLimit::Bdp(factor) if !(factor > 0.0 && factor <= 1000.0) => Err(fail()),
            limit => Ok(limit),
        }
    }
}

serde_as_text!(QueueLimit);

/// The default buffer: one bandwidth-delay product.
pub const DEFAULT_QUEUE: QueueLimit = QueueLimit::Bdp(1.0);

/// A buffer's size in the unit in which the emulator counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueCapacity {
    /// Packets, the one in transmission included.
    Packets(u32),
    /// Bytes of IP packets, the one in transmission included.
    Bytes(ByteCount),
}

/// Active queue management: `none`, `codel [TARGET [INTERVAL]] [ecn]`, or `threshold SIZE`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Aqm {
    /// Drop-tail: nothing but a full buffer drops.
    #[default]
    None,
    /// CoDel (RFC 8289): drops at the head of the queue while packets have waited longer than
    /// `target` for at least an `interval`, more and more often.
    CoDel {
        /// The wait that is acceptable. The RFC's value: 5 ms.
        target: Duration,
        /// How long it may be exceeded; of the order of the longest usual round-trip time. The RFC's
        /// value: 100 ms.
        interval: Duration,
        /// Marks packets of ECN-capable transports (RFC 3168) in place of dropping them.
        ecn: bool,
    },
    /// Marks a packet of an ECN-capable transport that finds more than this in the buffer, as
    /// DCTCP's switches do (RFC 8257, section 3.1). Others pass unmarked, and drop-tail remains.
    Threshold(QueueLimit),
}

/// CoDel's acceptable wait (RFC 8289, section 4.3).
pub const CODEL_TARGET: Duration = Duration::from_millis(5);
/// CoDel's interval (RFC 8289, section 4.3).
pub const CODEL_INTERVAL: Duration = Duration::from_millis(100);

impl fmt::Display for Aqm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Aqm::None => f.pad("none"),
            Aqm::Threshold(size) => write!(f, "threshold {size}"),
            Aqm::CoDel { target, interval, ecn } => {
                write!(f, "codel")?;
                if (*target, *interval) != (CODEL_TARGET, CODEL_INTERVAL) {
                    write!(f, " {target} {interval}")?;
                }
                if *ecn { write!(f, " ecn") } else { Ok(()) }
            }
        }
    }
}

impl FromStr for Aqm {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let fail = || ConditionError::Aqm(text.to_owned());
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["none"] => Ok(Aqm::None),
            ["threshold", size] => Ok(Aqm::Threshold(size.parse()?)),
            ["codel", rest @ ..] => {
                let (rest, ecn) = match rest {
                    [rest @ .., "ecn"] => (rest, true),
                    rest => (rest, false),
                };
                let (target, interval) = match rest {
                    [] => (CODEL_TARGET, CODEL_INTERVAL),
                    [target] => (target.parse()?, CODEL_INTERVAL),
                    [target, interval] => (target.parse()?, interval.parse()?),
                    _ => return Err(fail()),
                };
                // RFC 8289: the target is a small part of the interval; above it CoDel never acts.
                if target == Duration::ZERO || interval <= target {
                    return Err(fail());
                }
                Ok(Aqm::CoDel { target, interval, ecn })
            }
            _ => Err(fail()),
        }
    }
}

serde_as_text!(Aqm);
