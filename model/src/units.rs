//! Quantities with their unit in the type, and the text people write them in.
//!
//! Parsing is strict where a reading would be a guess: a bare `10M` is refused and both readings
//! are named. Display writes a form that parses back to the same value.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

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
    fn new(input: &str, expected: &'static str, problem: impl Into<String>) -> Self {
        UnitError { input: input.to_owned(), expected, problem: problem.into() }
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteCount(u64);

impl ByteCount {
    /// No bytes.
    pub const ZERO: ByteCount = ByteCount(0);

    /// This many bytes.
    pub const fn new(bytes: u64) -> Self {
        ByteCount(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 6] = [
            (1 << 30, "GiB"),
            (1_000_000_000, "GB"),
            (1 << 20, "MiB"),
            (1_000_000, "MB"),
            (1 << 10, "KiB"),
            (1_000, "kB"),
        ];
        for (size, unit) in UNITS {
            if self.0 >= size && self.0.is_multiple_of(size) {
                return f.pad(&format!("{}{unit}", self.0 / size));
            }
        }
        f.pad(&format!("{}B", self.0))
    }
}

impl FromStr for ByteCount {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const WHAT: &str = "a byte count";
        let (number, unit) = split_unit(text, WHAT)?;
        let scale = match unit {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "k" | "K" | "M" | "G" => {
                let big = unit.to_uppercase();
                return Err(UnitError::new(
                    text,
                    WHAT,
                    format!("write {number}{big}B (powers of 1000) or {number}{big}iB (powers of 1024)"),
                ));
            }
            other => {
                return Err(UnitError::new(
                    text,
                    WHAT,
                    format!("unknown unit `{other}`; use B, kB, MB, GB, KiB, MiB or GiB"),
                ));
            }
        };
        number.times(scale, text, WHAT).map(ByteCount)
    }
}

/// A rate in bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitRate(u64);

impl BitRate {
    /// This many bits per second.
    pub const fn new(bits_per_second: u64) -> Self {
        BitRate(bits_per_second)
    }

    /// Bits per second.
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }

    /// The time it takes to serialise `bytes` at this rate, rounded up to whole nanoseconds.
    pub fn time_for(self, bytes: u64) -> Duration {
        let nanos = (u128::from(bytes) * 8 * 1_000_000_000).div_ceil(u128::from(self.0.max(1)));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The bytes that this rate carries in `time`, rounded down.
    pub fn bytes_in(self, time: Duration) -> ByteCount {
        let bytes = u128::from(self.0) * u128::from(time.as_nanos()) / 8_000_000_000;
        ByteCount(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (size, unit) in [(1_000_000_000, "Gbit"), (1_000_000, "Mbit"), (1_000, "kbit")] {
            // One decimal place is exact when the rate is a multiple of a tenth of the unit.
            if self.0 >= size && self.0.is_multiple_of(size / 10) {
                return f.pad(&format!("{}{unit}", decimal(self.0, size)));
            }
        }
        f.pad(&format!("{}bit", self.0))
    }
}

impl FromStr for BitRate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const WHAT: &str = "a bit rate";
        let (number, unit) = split_unit(text, WHAT)?;
        let bare = unit.strip_suffix("/s").or_else(|| unit.strip_suffix("ps")).unwrap_or(unit);
        let scale = match bare {
            "bit" => 1,
            "kbit" | "Kbit" => 1_000,
            "Mbit" => 1_000_000,
            "Gbit" => 1_000_000_000,
            "k" | "K" | "M" | "G" => {
                return Err(UnitError::new(
                    text,
                    WHAT,
                    format!(
                        "write {number}{bare}bit (bits per second), or {}{bare}bit if you mean {number}{bare}B/s",
                        number.number * 8.0
                    ),
                ));
            }
            "B" | "kB" | "KB" | "MB" | "GB" => {
                let prefix = bare.trim_end_matches('B');
                return Err(UnitError::new(
                    text,
                    WHAT,
                    format!("rates are in bits: write {}{prefix}bit", number.number * 8.0),
                ));
            }
            "" => {
                return Err(UnitError::new(
                    text,
                    WHAT,
                    format!("the unit is missing: write {number}bit, {number}kbit, {number}Mbit or {number}Gbit"),
                ));
            }
            other => {
                return Err(UnitError::new(
                    text,
                    WHAT,
                    format!("unknown unit `{other}`; use bit, kbit, Mbit or Gbit, with or without /s"),
                ));
            }
        };
        let bits = number.times(scale, text, WHAT)?;
        if bits == 0 {
            return Err(UnitError::new(text, WHAT, "a rate of zero carries nothing; leave the rate out for no limit"));
        }
        Ok(BitRate(bits))
    }
}

/// A span of time, in whole nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(u64);

impl Duration {
    /// No time.
    pub const ZERO: Duration = Duration(0);

    /// This many nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Duration(nanos)
    }

    /// This many microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Duration(micros * 1_000)
    }

    /// This many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Duration(millis * 1_000_000)
    }

    /// This many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Duration(secs * 1_000_000_000)
    }

    /// Nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Milliseconds, with their fraction.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Seconds, with their fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The standard library's form.
    pub const fn std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }

    /// The difference, or zero.
    pub const fn saturating_sub(self, other: Duration) -> Duration {
        Duration(self.0.saturating_sub(other.0))
    }
}

impl From<std::time::Duration> for Duration {
    fn from(d: std::time::Duration) -> Self {
        Duration(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Add for Duration {
    type Output = Duration;
    fn add(self, other: Duration) -> Duration {
        Duration(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Duration {
    fn add_assign(&mut self, other: Duration) {
        *self = *self + other;
    }
}

impl Sub for Duration {
    type Output = Duration;
    fn sub(self, other: Duration) -> Duration {
        Duration(self.0.checked_sub(other.0).expect("a duration cannot be negative"))
    }
}

impl Mul<u64> for Duration {
    type Output = Duration;
    fn mul(self, by: u64) -> Duration {
        Duration(self.0.saturating_mul(by))
    }
}

impl Div<u64> for Duration {
    type Output = Duration;
    fn div(self, by: u64) -> Duration {
        Duration(self.0 / by)
    }
}

impl Sum for Duration {
    fn sum<I: Iterator<Item = Duration>>(iter: I) -> Duration {
        iter.fold(Duration::ZERO, Add::add)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (size, unit) in [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")] {
            // Three decimal places are exact when the span is a multiple of a thousandth of the unit.
            if self.0 >= size && self.0.is_multiple_of(size / 1000) {
                return f.pad(&format!("{}{unit}", decimal(self.0, size)));
            }
        }
        if self.0 == 0 { f.pad("0ms") } else { f.pad(&format!("{}ns", self.0)) }
    }
}

impl FromStr for Duration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const WHAT: &str = "a duration";
        let (number, unit) = split_unit(text, WHAT)?;
        let scale = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "min" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "m" => {
                return Err(UnitError::new(
                    text,
                    WHAT,
                    format!("write {number}ms (milliseconds) or {number}min (minutes)"),
                ));
            }
            "" if number.number == 0.0 => 1,
            "" => {
                return Err(UnitError::new(text, WHAT, format!("the unit is missing: write {number}ms or {number}s")));
            }
            other => {
                return Err(UnitError::new(text, WHAT, format!("unknown unit `{other}`; use ns, us, ms, s, min or h")));
            }
        };
        number.times(scale, text, WHAT).map(Duration)
    }
}

/// A probability between 0 and 1, written as a percentage.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Probability(f64);

impl Probability {
    /// Never.
    pub const ZERO: Probability = Probability(0.0);
    /// Always.
    pub const ONE: Probability = Probability(1.0);

    /// A fraction between 0 and 1; `None` outside.
    pub fn new(fraction: f64) -> Option<Self> {
        (0.0..=1.0).contains(&fraction).then_some(Probability(fraction))
    }

    /// The fraction between 0 and 1.
    pub const fn fraction(self) -> f64 {
        self.0
    }

    /// Whether this never happens.
    pub fn is_zero(self) -> bool {
        self.0 == 0.0
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Ten significant decimals of a percent: enough for 1/2^32, the kernel's own resolution.
        let text = format!("{:.10}", self.0 * 100.0);
        f.pad(&format!("{}%", text.trim_end_matches('0').trim_end_matches('.')))
    }
}

impl FromStr for Probability {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const WHAT: &str = "a probability";
        let (number, unit) = split_unit(text, WHAT)?;
        let fraction = match unit {
            "%" => number.number / 100.0,
            "" if number.number == 0.0 => 0.0,
            "" => {
                return Err(UnitError::new(
                    text,
                    WHAT,
                    format!("write {number}%, or {}% if you mean the fraction {number}", number.number * 100.0),
                ));
            }
            other => {
                return Err(UnitError::new(text, WHAT, format!("unknown unit `{other}`; write a percentage, as 1%")));
            }
        };
        Probability::new(fraction).ok_or_else(|| UnitError::new(text, WHAT, "it must lie between 0% and 100%"))
    }
}

/// Splits `12.5ms` into the number and its unit; refuses what is negative or not a number.
fn split_unit<'a>(text: &'a str, expected: &'static str) -> Result<(Decimal<'a>, &'a str), UnitError> {
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(end);
    if digits.is_empty() {
        let problem = if trimmed.starts_with('-') { "it must not be negative" } else { "it must start with a number" };
        return Err(UnitError::new(text, expected, problem));
    }
    let number = digits.parse().map_err(|_| UnitError::new(text, expected, format!("`{digits}` is not a number")))?;
    Ok((Decimal { digits, number }, unit.trim_start()))
}

/// A decimal number as typed, and its nearest floating-point value.
#[derive(Clone, Copy)]
struct Decimal<'a> {
    digits: &'a str,
    number: f64,
}

impl Decimal<'_> {
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
}

impl fmt::Display for Decimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits)
    }
}

/// `value / unit` as an exact decimal without trailing zeros.
fn decimal(value: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

macro_rules! serde_as_text {
    ($($kind:ty),*) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}
pub(crate) use serde_as_text;

serde_as_text!(ByteCount, BitRate, Duration, Probability);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!("10Mbit".parse(), Ok(BitRate::new(10_000_000)));
        assert_eq!("1.5Gbit/s".parse(), Ok(BitRate::new(1_500_000_000)));
        assert_eq!("64KiB".parse(), Ok(ByteCount::new(65_536)));
        assert_eq!("10MB".parse(), Ok(ByteCount::new(10_000_000)));
        assert_eq!("20ms".parse(), Ok(Duration::from_millis(20)));
        assert_eq!("0.5%".parse(), Ok(Probability(0.005)));
    }

    #[test]
    fn refuses_a_guess_and_names_both_readings() {
        let bytes = "10M".parse::<ByteCount>().unwrap_err().to_string();
        assert!(bytes.contains("10MB") && bytes.contains("10MiB"), "{bytes}");
        let rate = "10M".parse::<BitRate>().unwrap_err().to_string();
        assert!(rate.contains("10Mbit") && rate.contains("80Mbit"), "{rate}");
        let time = "10m".parse::<Duration>().unwrap_err().to_string();
        assert!(time.contains("10ms") && time.contains("10min"), "{time}");
        let p = "0.01".parse::<Probability>().unwrap_err().to_string();
        assert!(p.contains("0.01%") && p.contains("1%"), "{p}");
    }

    #[test]
    fn refuses_what_is_impossible() {
        assert!("-1ms".parse::<Duration>().unwrap_err().to_string().contains("negative"));
        assert!("101%".parse::<Probability>().is_err());
        assert!("0Mbit".parse::<BitRate>().is_err());
        assert!("1e9s".parse::<Duration>().is_err());
        assert!("99999999999h".parse::<Duration>().is_err());
        assert!("".parse::<ByteCount>().is_err());
        assert!("1.2.3s".parse::<Duration>().is_err());
    }

    #[test]
    fn serialisation_time_is_exact() {
        assert_eq!(BitRate::new(10_000_000).time_for(1250), Duration::from_millis(1));
        assert_eq!(BitRate::new(10_000_000).bytes_in(Duration::from_millis(1)), ByteCount::new(1250));
    }

    proptest! {
        #[test]
        fn text_form_round_trips(n in 0u64..1 << 62, p in 0u32..=u32::MAX) {
            prop_assert_eq!(ByteCount(n).to_string().parse(), Ok(ByteCount(n)));
            prop_assert_eq!(Duration(n).to_string().parse(), Ok(Duration(n)));
            prop_assert_eq!(BitRate(n + 1).to_string().parse(), Ok(BitRate(n + 1)));
            let p = Probability(f64::from(p) / f64::from(u32::MAX));
            let back: Probability = p.to_string().parse().unwrap();
            prop_assert!((back.0 - p.0).abs() < 1e-11);
        }
    }
}
