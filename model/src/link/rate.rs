//! What comes on top of a plain rate: framing, recorded traces.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::ConditionError;
use super::trace::{Trace, TraceForm};
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

/// A recorded rate: a file that names one, or what was read of it.
#[derive(Debug, Clone, PartialEq)]
pub enum RateTrace {
    /// A file that has not been read yet ([`super::files`]): `FILE`, whose form is found out, or with a word for it:
    /// `mahimahi FILE`, `columns [COLUMN:]UNIT [COLUMN:]UNIT FILE`.
    File {
        /// Its path.
        path: String,
        /// Its form, where that is said.
        form: Option<TraceForm>,
    },
    /// One that has been read.
    Read(Trace),
}

impl RateTrace {
    /// What was read; `None` of a file that has not been.
    pub const fn read(&self) -> Option<&Trace> {
        match self {
            RateTrace::File { .. } => None,
            RateTrace::Read(trace) => Some(trace),
        }
    }

    /// The mean rate; `None` of a file that has not been read.
    pub fn mean_rate(&self) -> Option<BitRate> {
        Some(self.read()?.mean_rate())
    }

    /// For people: its name, its form and its mean rate.
    pub fn describe(&self) -> String {
        match self {
            RateTrace::File { path, .. } => format!("rate of {path}"),
            RateTrace::Read(trace) => trace.describe(),
        }
    }
}

impl fmt::Display for RateTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RateTrace::File { path, form: None } => f.write_str(path),
            RateTrace::File { path, form: Some(form) } => write!(f, "{form} {path}"),
            RateTrace::Read(trace) => trace.fmt(f),
        }
    }
}

impl FromStr for RateTrace {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let text = text.trim();
        let wrong = |problem: String| Err(ConditionError::Trace { name: text.to_owned(), problem });
        let words: Vec<&str> = text.split_whitespace().collect();
        let of_form = match words[..] {
            [] => return wrong("name a file".into()),
            ["inline" | "kept", _, ..] => return text.parse().map(RateTrace::Read),
            ["mahimahi", _, ..] => 1,
            ["columns", _, ..] if words.len() > 3 => 3,
            ["columns", _, ..] => {
                return wrong("write columns [COLUMN:]UNIT [COLUMN:]UNIT FILE, as `columns s Mbit FILE`".into());
            }
            _ => return Ok(RateTrace::File { path: text.to_owned(), form: None }),
        };
        let form = match words[..of_form].join(" ").parse() {
            Ok(form) => form,
            Err(problem) => return wrong(problem),
        };
        // The path may have spaces of its own.
        let mut path = text;
        for word in &words[..of_form] {
            path = path.trim_start().strip_prefix(word).unwrap_or(path);
        }
        Ok(RateTrace::File { path: path.trim_start().to_owned(), form: Some(form) })
    }
}

serde_as_text!(RateTrace);
