//! Slots: packets leave in groups, after pauses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{ConditionError, Distribution};
use crate::units::{ByteCount, Duration, serde_as_text};

/// Packets leave in groups, as from a radio that has its turns: after a pause, up to so many packets and
/// bytes leave at once. `10ms`, `10ms 20ms packets 5 bytes 64KiB`, `distribution normal 10ms 2ms packets 5`; as
/// netem's `slot`.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// The pause from one slot to the next.
    pub pause: Pause,
    /// Packets a slot. Absent: any number.
    pub packets: Option<u32>,
    /// Bytes a slot; the packet that reaches it is the last. Absent: any number.
    pub bytes: Option<ByteCount>,
}

/// How long it is from one slot to the next.
#[derive(Debug, Clone, PartialEq)]
pub enum Pause {
    /// Drawn uniformly.
    Between {
        /// Shortest pause.
        min: Duration,
        /// Longest pause.
        max: Duration,
    },
    /// Drawn from a distribution. Where that reaches below nothing, there is no pause.
    Distributed {
        /// The same as of jitter.
        distribution: Distribution,
        /// Its middle, as of a delay.
        delay: Duration,
        /// Its spread, as of a delay.
        jitter: Duration,
    },
}

impl Slot {
    /// For people: a table by its name.
    pub(super) fn describe(&self) -> Slot {
        let mut brief = self.clone();
        if let Pause::Distributed { distribution, .. } = &mut brief.pause
            && let Distribution::Table(table) = distribution
        {
            *distribution = Distribution::File(table.name.clone());
        }
        brief
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pause {
            Pause::Between { min, max } if min == max => write!(f, "{min}")?,
            Pause::Between { min, max } => write!(f, "{min} {max}")?,
            Pause::Distributed { distribution, delay, jitter } => {
                write!(f, "distribution {distribution} {delay} {jitter}")?;
            }
        }
        if let Some(packets) = self.packets {
            write!(f, " packets {packets}")?;
        }
        self.bytes.map_or(Ok(()), |bytes| write!(f, " bytes {bytes}"))
    }
}

impl FromStr for Slot {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let fail = || ConditionError::Slot(text.to_owned());
        let words: Vec<&str> = text.split_whitespace().collect();
        let (pause, rest) = match words.split_first().ok_or_else(fail)? {
            (&"distribution", rest) => distributed(rest).ok_or_else(fail)??,
            (min, rest) => {
                let min = min.parse()?;
                match rest.split_first() {
                    Some((max, rest)) if max.starts_with(|c: char| c.is_ascii_digit()) => {
                        (Pause::Between { min, max: max.parse()? }, rest)
                    }
                    _ => (Pause::Between { min, max: min }, rest),
                }
            }
        };
        let mut slot = Slot { pause, packets: None, bytes: None };
        for pair in rest.chunks(2) {
            match *pair {
                ["packets", value] => slot.packets = Some(value.parse().ok().filter(|n| *n > 0).ok_or_else(fail)?),
                ["bytes", value] => slot.bytes = Some(value.parse()?),
                _ => return Err(fail()),
            }
        }
        let passes_time = match slot.pause {
            Pause::Between { min, max } => min <= max && max > Duration::ZERO,
            Pause::Distributed { delay, jitter, .. } => delay + jitter > Duration::ZERO,
        };
        if passes_time && slot.bytes != Some(ByteCount::ZERO) { Ok(slot) } else { Err(fail()) }
    }
}

/// `NAME DELAY JITTER`, where the name is a distribution's text of one or more words; and what follows.
fn distributed<'a>(words: &'a [&'a str]) -> Option<Result<(Pause, &'a [&'a str]), ConditionError>> {
    let named = match *words.first()? {
        "table" => 2,
        "kept" => 3,
        // A name, and whole numbers, which no time is.
        "inline" => 2 + words.iter().skip(2).take_while(|word| word.parse::<i16>().is_ok()).count(),
        _ => 1,
    };
    let (name, rest) = words.split_at_checked(named)?;
    let ([delay, jitter], rest) = rest.split_first_chunk()?;
    let read = || {
        let (distribution, delay, jitter) = (name.join(" ").parse()?, delay.parse()?, jitter.parse()?);
        Ok((Pause::Distributed { distribution, delay, jitter }, rest))
    };
    Some(read())
}

serde_as_text!(Slot);
