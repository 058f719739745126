//! What comes on top of a plain rate: framing, recorded traces.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::ConditionError;
use super::distribution::one_word;
use crate::units::{BitRate, serde_as_text};

/// What the link layer adds to each packet before the rate counts it, as in netem's
/// `rate RATE [PACKETOVERHEAD [CELLSIZE [CELLOVERHEAD]]]`: `14`, or `10 48 5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Framing {
    /// Bytes added to each packet; may be negative.
    pub packet: i32,
    /// Payload bytes of a cell, into which the packet is divided, the last one filled up; 0: no cells.
    pub cell: u32,
    /// Bytes added to each cell; may be negative.
    pub cell_overhead: i32,
}

impl Framing {
    /// Bytes that a packet of `size` bytes takes up on the wire (the kernel's `packet_time_ns`).
    pub fn wire_size(&self, size: u32) -> u64 {
        let with_overhead = (i64::from(size) + i64::from(self.packet)).max(0);
        let on_wire = match i64::from(self.cell) {
            0 => with_overhead,
            cell => (with_overhead + cell - 1) / cell * (cell + i64::from(self.cell_overhead)),
        };
        on_wire.max(0).cast_unsigned()
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cell, self.cell_overhead) {
            (0, _) => write!(f, "{}", self.packet),
            (cell, 0) => write!(f, "{} {cell}", self.packet),
            (cell, overhead) => write!(f, "{} {cell} {overhead}", self.packet),
        }
    }
}

impl FromStr for Framing {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let fail = || ConditionError::Framing(text.to_owned());
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |index: usize| -> Result<i32, ConditionError> {
            let number = words.get(index).map_or(Ok(0), |word| word.parse::<i32>()).map_err(|_| fail())?;
            if number.abs() > 65_535 { Err(fail()) } else { Ok(number) }
        };
        let framing = Framing { packet: number(0)?, cell: 0, cell_overhead: number(2)? };
        let cell = u32::try_from(number(1)?).map_err(|_| fail())?;
        let sound = match words.len() {
            1 => true,
            2 | 3 => cell > 0 && i64::from(cell) + i64::from(framing.cell_overhead) > 0,
            _ => false,
        };
        if sound { Ok(Framing { cell, ..framing }) } else { Err(fail()) }
    }
}

serde_as_text!(Framing);

/// Bytes that an opportunity of a rate trace carries, the four of a TUN device's header among them:
/// mahimahi's unit, which a full packet of 1500 bytes just fills.
pub const OPPORTUNITY: u32 = 1504;

/// A recorded rate, in mahimahi's format: a millisecond timestamp a line, each an opportunity to
/// send 1504 bytes, repeating from the end.
#[derive(Debug, Clone, PartialEq)]
pub enum RateTrace {
    /// The opportunities.
    Read {
        /// Name of the file they came from.
        name: String,
        /// Milliseconds from the start, never falling; the last is the period.
        opportunities: Arc<[u32]>,
    },
    /// A file that has not been read yet ([`super::files`]).
    File(String),
}

impl RateTrace {
    /// Reads mahimahi's format.
    ///
    /// # Errors
    /// Names the line that is wrong.
    pub fn parse(name: &str, text: &str) -> Result<RateTrace, ConditionError> {
        let wrong = |problem: String| ConditionError::Trace { name: name.to_owned(), problem };
        let mut opportunities: Vec<u32> = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let at = line
                .trim()
                .parse()
                .map_err(|_| wrong(format!("line {}: `{}` is no number of milliseconds", number + 1, line.trim())))?;
            if opportunities.last().is_some_and(|last| *last > at) {
                return Err(wrong(format!("line {}: {at} comes before the line before it", number + 1)));
            }
            opportunities.push(at);
        }
        RateTrace::of(name, opportunities)
    }

    fn of(name: &str, opportunities: Vec<u32>) -> Result<RateTrace, ConditionError> {
        let problem = match opportunities.last() {
            None => "it is empty; a line has a number of milliseconds",
            Some(0) => "it ends at 0 ms, and so would never go on; its last line is its period",
            Some(_) => return Ok(RateTrace::Read { name: one_word(name), opportunities: opportunities.into() }),
        };
        Err(ConditionError::Trace { name: name.to_owned(), problem: problem.to_owned() })
    }

    /// The mean rate; `None` of a file that has not been read.
    pub fn mean_rate(&self) -> Option<BitRate> {
        let RateTrace::Read { opportunities, .. } = self else { return None };
        let bits = opportunities.len() as u64 * u64::from(OPPORTUNITY) * 8;
        Some(BitRate::new((bits * 1000 / u64::from(*opportunities.last()?)).max(1)))
    }

    /// For people: its name and its mean rate.
    pub fn describe(&self) -> String {
        match self {
            RateTrace::File(path) => format!("rate of {path}"),
            RateTrace::Read { name, .. } => {
                let mean = self.mean_rate().map_or(0.0, |rate| rate.bits_per_second() as f64 / 1e6);
                format!("rate of {name} ({mean:.1} Mbit/s in the mean)")
            }
        }
    }
}

impl fmt::Display for RateTrace {
    /// `inline NAME GAP[xCOUNT] …`: milliseconds since the opportunity before, and how many there are
    /// at once.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RateTrace::File(path) => f.write_str(path),
            RateTrace::Read { name, opportunities } => {
                write!(f, "inline {name}")?;
                let mut last = 0;
                for group in opportunities.chunk_by(|a, b| a == b) {
                    match group.len() {
                        1 => write!(f, " {}", group[0] - last)?,
                        n => write!(f, " {}x{n}", group[0] - last)?,
                    }
                    last = group[0];
                }
                Ok(())
            }
        }
    }
}

impl FromStr for RateTrace {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let text = text.trim();
        let Some(rest) = text.strip_prefix("inline ") else {
            return if text.is_empty() {
                Err(ConditionError::Trace { name: String::new(), problem: "name a file in mahimahi's format".into() })
            } else {
                Ok(RateTrace::File(text.to_owned()))
            };
        };
        let (name, groups) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest, ""));
        let wrong = |word: &str| ConditionError::Trace {
            name: name.to_owned(),
            problem: format!("`{word}` is not GAP[xCOUNT]"),
        };
        let (mut at, mut opportunities) = (0u32, Vec::new());
        for word in groups.split_whitespace() {
            let (gap, count) = word.split_once('x').unwrap_or((word, "1"));
            let (Ok(gap), Ok(count)) = (gap.parse::<u32>(), count.parse::<u32>()) else { return Err(wrong(word)) };
            at = at.checked_add(gap).ok_or_else(|| wrong(word))?;
            opportunities.extend(std::iter::repeat_n(at, count as usize));
        }
        RateTrace::of(name, opportunities)
    }
}

serde_as_text!(RateTrace);
