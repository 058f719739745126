//! The forms of rate traces, and the words that name them.

use std::fmt;
use std::str::FromStr;

use crate::units::{DataUnit, nanos_of};

/// How the lines of a rate trace are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceForm {
    /// A number of milliseconds a line, each an opportunity to send 1504 bytes; the last is the period.
    Mahimahi,
    /// A time and a rate a line, in columns apart by commas, semicolons or white space. The rate holds from its time
    /// until the next line's; the last holds for as long as the one before it, then all begins again. Times count
    /// from the first. Lines that start with `#` are passed over.
    Columns {
        /// Where the times are, and in which unit.
        time: (Place, TimeUnit),
        /// Where the rates are, and in which unit.
        rate: (Place, RateUnit),
    },
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Its number, from 1.
    Number(usize),
    /// Its name in the header.
    Name(String),
}

/// A unit of times: `s`, `ms`, `us`, `ns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeUnit {
    /// Nanoseconds in it.
    pub nanos: u64,
}

/// A unit of rates: `bit`, `kbit`, `Mbit`, `Gbit`, or `B`, `kB`, `MB`, `GB`, a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateUnit {
    prefix: &'static str,
    /// Whether it counts bytes.
    bytes: bool,
    /// Bits, or bytes, in it.
    scale: u64,
}

impl TimeUnit {
    /// Seconds.
    pub const S: TimeUnit = TimeUnit { nanos: 1_000_000_000 };
    /// Milliseconds.
    pub const MS: TimeUnit = TimeUnit { nanos: 1_000_000 };
    const ALL: [(&'static str, TimeUnit); 4] =
        [("s", TimeUnit::S), ("ms", TimeUnit::MS), ("us", TimeUnit { nanos: 1000 }), ("ns", TimeUnit { nanos: 1 })];

    /// The unit of this name, in any of the ways in which durations have it.
    pub(super) fn named(name: &str) -> Option<TimeUnit> {
        let nanos = match name {
            "millis" => 1_000_000,
            "micros" => 1_000,
            "nanos" => 1,
            name => nanos_of(name)?,
        };
        TimeUnit::ALL.iter().map(|(_, unit)| *unit).find(|unit| unit.nanos == nanos)
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TimeUnit::ALL.iter().find(|(_, unit)| unit == self).map_or("ns", |(name, _)| name))
    }
}

impl RateUnit {
    /// Megabits a second.
    pub const MBIT: RateUnit = RateUnit { prefix: "M", bytes: false, scale: 1_000_000 };
    /// Kilobits a second.
    pub const KBIT: RateUnit = RateUnit { prefix: "k", bytes: false, scale: 1_000 };
    /// Bits a second.
    pub const BIT: RateUnit = RateUnit { prefix: "", bytes: false, scale: 1 };

    /// Of bits or bytes with the prefix of this unit.
    pub(super) const fn of(unit: DataUnit, bytes: bool) -> RateUnit {
        RateUnit { prefix: unit.prefix, bytes, scale: unit.scale }
    }

    /// Bits in it.
    pub const fn bits(self) -> u64 {
        self.scale * if self.bytes { 8 } else { 1 }
    }
}

impl fmt::Display for RateUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.prefix, if self.bytes { "B" } else { "bit" })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Number(number) => write!(f, "{number}"),
            Place::Name(name) => f.write_str(name),
        }
    }
}

impl TraceForm {
    /// Seconds and Mbit/s, in the first two columns: the commonest form, as of Pensieve's traces.
    pub const COMMON: TraceForm =
        TraceForm::Columns { time: (Place::Number(1), TimeUnit::S), rate: (Place::Number(2), RateUnit::MBIT) };

    /// For people: `mahimahi`, or the units of both columns.
    pub(super) fn describe(&self) -> String {
        match self {
            TraceForm::Mahimahi => "mahimahi".into(),
            TraceForm::Columns { time: (Place::Number(1), time), rate: (Place::Number(2), rate) } => {
                format!("{time} and {rate}/s")
            }
            TraceForm::Columns { time, rate } => {
                format!("{} of column {} and {}/s of column {}", time.1, time.0, rate.1, rate.0)
            }
        }
    }
}

impl fmt::Display for TraceForm {
    /// `mahimahi`, or `columns 1:s 2:Mbit`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceForm::Mahimahi => f.write_str("mahimahi"),
            TraceForm::Columns { time, rate } => write!(f, "columns {}:{} {}:{}", time.0, time.1, rate.0, rate.1),
        }
    }
}

impl FromStr for TraceForm {
    type Err = String;

    /// What [`TraceForm`]'s display writes, and `columns s Mbit` for the first two columns.
    fn from_str(text: &str) -> Result<TraceForm, String> {
        match text.split_whitespace().collect::<Vec<_>>()[..] {
            ["mahimahi"] => Ok(TraceForm::Mahimahi),
            ["columns", time, rate] => Ok(TraceForm::Columns {
                time: column(time, 1, TimeUnit::named)
                    .map_err(|word| format!("`{word}` is no unit of times; write s, ms, us or ns"))?,
                rate: column(rate, 2, rate_unit).map_err(|word| {
                    format!("`{word}` is no unit of rates; write bit, kbit, Mbit or Gbit, or B, kB, MB or GB, a second")
                })?,
            }),
            _ => Err(format!("`{text}` is no form of a trace; write mahimahi, or columns [COLUMN:]UNIT [COLUMN:]UNIT")),
        }
    }
}

/// Takes `[COLUMN:]UNIT` apart; the error is what is no unit.
fn column<U>(text: &str, number: usize, unit: impl Fn(&str) -> Option<U>) -> Result<(Place, U), String> {
    let (place, name) = match text.rsplit_once(':') {
        None => (Place::Number(number), text),
        Some((place, name)) => (place.parse().map_or_else(|_| Place::Name(place.to_owned()), Place::Number), name),
    };
    unit(name).map(|unit| (place, unit)).ok_or_else(|| name.to_owned())
}

/// Bits as a word and bytes as a large B, with or without `/s`.
fn rate_unit(name: &str) -> Option<RateUnit> {
    use crate::units::Of;
    let unit = DataUnit::read(name.strip_suffix("/s").unwrap_or(name))?;
    match unit.of {
        Of::Bits => Some(RateUnit::of(unit, false)),
        Of::LargeB | Of::Bytes => Some(RateUnit::of(unit, true)),
        Of::SmallB | Of::Unsaid => None,
    }
}
