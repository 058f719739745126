//! How quantities are read: strictly where a reading would be a guess, and then with every value
//! named that may have been meant.
//!
//! Units are those of the SI and of tc(8), whose lower case (`mbit`, `msec`) leave no doubt. Where
//! tc and the rest of the world part (`mbps` is megabytes a second there, megabits elsewhere), or bits
//! and bytes cannot be told apart, the text is refused.

use std::fmt;
use std::str::FromStr;

use super::{BitRate, ByteCount, Duration, Probability};

/// A quantity that could not be read, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` is not {expected}: {problem}")]
pub struct UnitError {
    /// What was typed.
    pub input: String,
    /// What kind of quantity was wanted, with its article.
    pub expected: &'static str,
    /// What is wrong and how to write it.
    pub problem: String,
}

impl UnitError {
    pub(crate) fn new(input: &str, expected: &'static str, problem: impl Into<String>) -> Self {
        UnitError { input: input.to_owned(), expected, problem: problem.into() }
    }
}

/// A unit of bits or bytes: `M`, `Mbit`, `kB`, `KiB`, `mbyte`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DataUnit {
    /// As it is written: `k`, `Mi`.
    pub(crate) prefix: &'static str,
    /// How many bits or bytes it is.
    pub(crate) scale: u64,
    /// Of what.
    pub(crate) of: Of,
}

/// What a unit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// `bit`
    Bits,
    /// `byte`
    Bytes,
    /// `b`, which is a bit to some and a byte to tc(8)
    SmallB,
    /// `B`
    LargeB,
    /// It does not say.
    Unsaid,
}

impl DataUnit {
    /// `None` of what is no such unit.
    pub(crate) fn read(unit: &str) -> Option<DataUnit> {
        let (initial, rest) = match unit.chars().next() {
            Some(initial) if "kKmMgGtT".contains(initial) => (initial.to_ascii_uppercase(), &unit[1..]),
            _ => (' ', unit),
        };
        let (binary, rest) = match rest.strip_prefix('i') {
            Some(rest) if initial != ' ' => (true, rest),
            _ => (false, rest),
        };
        let (prefix, power) = match (initial, binary) {
            ('K', false) => ("k", 1),
            ('K', true) => ("Ki", 1),
            ('M', false) => ("M", 2),
            ('M', true) => ("Mi", 2),
            ('G', false) => ("G", 3),
            ('G', true) => ("Gi", 3),
            ('T', false) => ("T", 4),
            ('T', true) => ("Ti", 4),
            _ => ("", 0),
        };
        let of = match rest {
            "" => Of::Unsaid,
            "b" => Of::SmallB,
            "B" => Of::LargeB,
            word => match word.to_ascii_lowercase().as_str() {
                "bit" | "bits" => Of::Bits,
                "byte" | "bytes" => Of::Bytes,
                _ => return None,
            },
        };
        Some(DataUnit { prefix, scale: if binary { 1024u64.pow(power) } else { 1000u64.pow(power) }, of })
    }
}

impl FromStr for ByteCount {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const WHAT: &str = "a byte count";
        let (number, typed) = split_unit(text, WHAT)?;
        let fail = |problem: String| Err(UnitError::new(text, WHAT, problem));
        let Some(DataUnit { prefix, scale, of }) = DataUnit::read(typed) else {
            return fail(format!("unknown unit `{typed}`; use B, kB, MB, GB, KiB, MiB or GiB"));
        };
        let eighth = || {
            let bytes = number.times_text(scale, 125, -3);
            bytes.parse().map_or_else(|_| format!("{bytes}B"), |whole| ByteCount(whole).to_string())
        };
        match (of, prefix) {
            (Of::LargeB | Of::Bytes, _) | (Of::Unsaid, "") => number.times(scale, text, WHAT).map(ByteCount),
            (Of::Unsaid, binary) if binary.ends_with('i') => fail(format!("write {number}{binary}B")),
            (Of::Unsaid, _) => fail(format!(
                "write {number}{prefix}B (powers of 1000) or {number}{}iB (powers of 1024)",
                prefix.to_uppercase()
            )),
            (Of::Bits, _) => fail(format!("sizes are in bytes: write {}", eighth())),
            (Of::SmallB, binary) if binary.is_empty() || binary.ends_with('i') => fail(format!(
                "`{typed}` may be bytes or bits: write {number}{binary}B (bytes), or {} if you mean bits",
                eighth()
            )),
            (Of::SmallB, _) => fail(format!(
                "`{typed}` may be bytes or bits: write {number}{prefix}B (powers of 1000), {number}{}iB (powers of \
                 1024, as tc(8) reads `{typed}`), or {} if you mean bits",
                prefix.to_uppercase(),
                eighth()
            )),
        }
    }
}

impl ByteCount {
    /// Whether a unit is one of sizes, or may be meant as one.
    pub(crate) fn knows(unit: &str) -> bool {
        !unit.is_empty() && DataUnit::read(unit).is_some()
    }
}

impl FromStr for BitRate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const WHAT: &str = "a bit rate";
        let (number, typed) = split_unit(text, WHAT)?;
        let fail = |problem: String| Err(UnitError::new(text, WHAT, problem));
        let (bare, per_second) = without_seconds(typed);
        let Some(DataUnit { prefix, scale, of }) = DataUnit::read(bare) else {
            return fail(format!("unknown unit `{typed}`; use bit, kbit, Mbit or Gbit, with or without /s"));
        };
        let bits = format!("{number}{prefix}bit");
        let bytes = format!("{}{prefix}bit", number.times_text(1, 8, 0));
        match (of, prefix) {
            (Of::Bits, _) => {}
            (Of::Unsaid, "") => {
                return fail(format!(
                    "the unit is missing: write {number}bit, {number}kbit, {number}Mbit or {number}Gbit"
                ));
            }
            (Of::Unsaid, _) => {
                return fail(format!(
                    "the unit `{typed}` may be bits or bytes: write {bits} (bits per second), or {bytes} if you mean \
                     {number}{prefix}B/s"
                ));
            }
            (Of::Bytes, _) => return fail(format!("rates are in bits: write {bytes}")),
            (Of::LargeB, _) => {
                return fail(format!(
                    "rates are in bits, and `{typed}` is bytes a second: write {bytes}, or {bits} if you mean bits"
                ));
            }
            (Of::SmallB, _) if per_second == "ps" => {
                return fail(format!(
                    "`{typed}` is bits a second to most and bytes a second in tc(8): write {bits} (bits), or {bytes} \
                     if you mean bytes"
                ));
            }
            (Of::SmallB, _) => {
                return fail(format!(
                    "`{typed}` may be bits or bytes: write {bits} (bits), or {bytes} if you mean bytes"
                ));
            }
        }
        let bits = number.times(scale, text, WHAT)?;
        if bits == 0 {
            return fail("a rate of zero carries nothing; leave the rate out for no limit".into());
        }
        Ok(BitRate(bits))
    }
}

/// A unit of a rate without its `/s` or `ps`, and which of them it had.
pub(crate) fn without_seconds(unit: &str) -> (&str, &'static str) {
    for (ending, told) in [("/s", "/s"), ("/sec", "/s"), ("/second", "/s"), ("ps", "ps")] {
        let Some(at) = unit.len().checked_sub(ending.len()).filter(|at| unit.is_char_boundary(*at)) else { continue };
        if unit[at..].eq_ignore_ascii_case(ending) {
            return (&unit[..at], told);
        }
    }
    (unit, "")
}

/// Nanoseconds of a unit of time; `None` of what is none, or might be another.
pub(crate) fn nanos_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        word => match word.to_ascii_lowercase().trim_end_matches('s') {
            "nsec" | "nanosecond" => 1,
            "usec" | "microsecond" => 1_000,
            "msec" | "millisecond" => 1_000_000,
            "sec" | "second" => 1_000_000_000,
            "min" | "minute" => 60_000_000_000,
            "hr" | "hour" => 3_600_000_000_000,
            _ => return None,
        },
    })
}

impl FromStr for Duration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const WHAT: &str = "a duration";
        let (number, unit) = split_unit(text, WHAT)?;
        let fail = |problem: String| Err(UnitError::new(text, WHAT, problem));
        if let Some(scale) = nanos_of(unit) {
            return number.times(scale, text, WHAT).map(Duration);
        }
        let small = unit.to_lowercase();
        match unit {
            "" if number.is_zero() => Ok(Duration::ZERO),
            "" => fail(format!(
                "the unit is missing: write {number}ms or {number}s (or {number}us, as tc(8) reads a bare number)"
            )),
            "m" | "M" => fail(format!("write {number}ms (milliseconds) or {number}min (minutes)")),
            _ if nanos_of(&small).is_some() => fail(format!("write {number}{small}")),
            _ => fail(format!("unknown unit `{unit}`; use ns, us, ms, s, min or h")),
        }
    }
}

impl Duration {
    /// Whether a unit is one of time.
    pub(crate) fn knows(unit: &str) -> bool {
        nanos_of(unit).is_some() || nanos_of(&unit.to_lowercase()).is_some()
    }
}

impl FromStr for Probability {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const WHAT: &str = "a probability";
        let (number, unit) = split_unit(text, WHAT)?;
        let fail = |problem: String| Err(UnitError::new(text, WHAT, problem));
        let outside = "it must lie between 0% and 100%";
        match unit {
            "%" => Probability::new(number.number / 100.0).map_or_else(|| fail(outside.into()), Ok),
            "" if number.is_zero() => Ok(Probability::ZERO),
            "" if number.number > 100.0 => fail(outside.into()),
            // More than the whole is no fraction.
            "" if number.number > 1.0 => fail(format!("the unit is missing: write {number}%")),
            "" if number.number == 1.0 => fail("write 1%, or 100% if you mean all of them".into()),
            "" => {
                fail(format!("write {number}%, or {}% if you mean the fraction {number}", number.times_text(1, 1, 2)))
            }
            "‰" => fail(format!("write {}%", number.times_text(1, 1, -1))),
            other => match other.to_lowercase().as_str() {
                "percent" | "per cent" | "pct" => fail(format!("write {number}%")),
                _ => fail(format!("unknown unit `{other}`; write a percentage, as 1%")),
            },
        }
    }
}

/// Splits `12.5ms` into the number and its unit; refuses what is negative or not a number.
pub(crate) fn split_unit<'a>(text: &'a str, expected: &'static str) -> Result<(Decimal<'a>, &'a str), UnitError> {
    let fail = |problem: String| Err(UnitError::new(text, expected, problem));
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(end);
    if digits.is_empty() {
        let problem = if trimmed.starts_with('-') { "it must not be negative" } else { "it must start with a number" };
        return fail(problem.into());
    }
    let Ok(number) = digits.parse() else { return fail(format!("`{digits}` is not a number")) };
    if let Some(rest) = unit.strip_prefix(',').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        let places = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let thousands =
            if places == 3 { format!(", or {digits}{rest} if the comma parts thousands") } else { "".into() };
        return fail(format!("write {digits}.{rest} with a decimal point{thousands}"));
    }
    if let Some(rest) = unit.strip_prefix(['e', 'E'])
        && rest.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit())
    {
        return fail("write the number without an exponent".into());
    }
    Ok((Decimal { digits, number }, unit.trim_start()))
}

/// A decimal number as typed, and its nearest floating-point value.
#[derive(Clone, Copy)]
pub(crate) struct Decimal<'a> {
    digits: &'a str,
    number: f64,
}

impl Decimal<'_> {
    fn is_zero(self) -> bool {
        self.number == 0.0
    }

    /// The number in floating point.
    pub(crate) const fn value(self) -> f64 {
        self.number
    }

    /// The number times `scale`, exactly, rounded to the nearest whole; refuses what does not fit.
    fn times(self, scale: u64, text: &str, expected: &'static str) -> Result<u64, UnitError> {
        let too_large = || UnitError::new(text, expected, "it is too large");
        let (whole, fraction) = self.digits.split_once('.').unwrap_or((self.digits, ""));
        // Beyond 18 places no digit can matter to a 64-bit result.
        let fraction = &fraction[..fraction.len().min(18)];
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| too_large())? };
        let part: u64 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| too_large())? };
        let one = 10u128.pow(fraction.len() as u32);
        let value = u128::from(whole) * u128::from(scale) + (u128::from(part) * u128::from(scale) + one / 2) / one;
        // i64::MAX: far above any sensible quantity, and fits every format it is written to.
        i64::try_from(value).map(i64::unsigned_abs).map_err(|_| too_large())
    }

    /// The number times `scale`, `by` and ten to the `power`, as exact decimal text.
    fn times_text(self, scale: u64, by: u64, power: i32) -> String {
        let (whole, fraction) = self.digits.split_once('.').unwrap_or((self.digits, ""));
        let all = format!("{whole}{fraction}");
        let Some(product) = (all.parse::<u128>().ok())
            .and_then(|number| number.checked_mul(u128::from(scale)))
            .and_then(|number| number.checked_mul(u128::from(by)))
        else {
            // So many digits that the nearest number says it as well.
            return (self.number * scale as f64 * by as f64 * 10f64.powi(power)).to_string();
        };
        let places = fraction.len() as i32 - power;
        if places <= 0 {
            return format!("{product}{:0<1$}", "", if product == 0 { 0 } else { places.unsigned_abs() as usize });
        }
        let places = places.unsigned_abs() as usize;
        let text = format!("{product:0>width$}", width = places + 1);
        let (whole, fraction) = text.split_at(text.len() - places);
        format!("{whole}.{fraction}").trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl fmt::Display for Decimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits)
    }
}
