//! Sizes of messages: fixed, or drawn from a distribution.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::draw;
use super::message::MessageId;
use crate::units::ByteCount;

/// The largest message that is drawn.
const MOST: f64 = (1u64 << 30) as f64;

/// The standard normal distribution's 99th percentile.
const Z99: f64 = 2.326_347_874_040_841;

/// How large messages are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Size {
    /// All of one size.
    Fixed(ByteCount),
    /// Each drawn by the seed.
    LogNormal(LogNormal),
}

/// A log-normal distribution, by two of its percentiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogNormal {
    /// Its median.
    pub median: ByteCount,
    /// Its 99th percentile.
    pub p99: ByteCount,
}

impl Size {
    /// Says what is wrong with the parameter of this name, and what to write instead.
    pub(super) fn check(&self, name: &str) -> Result<(), String> {
        let fits = |bytes: ByteCount| (1..=1 << 30).contains(&bytes.bytes());
        match self {
            Size::Fixed(bytes) if !fits(*bytes) => Err(format!("`{name}` must lie between 1B and 1GiB")),
            Size::LogNormal(LogNormal { median, p99 }) if !fits(*median) || !fits(*p99) || p99 < median => {
                Err(format!("`{name}` needs a `median` of at least 1B, and a `p99` of at least that and at most 1GiB"))
            }
            _ => Ok(()),
        }
    }

    /// The size of a message, of at least one byte.
    pub(super) fn of(&self, seed: u64, id: MessageId) -> u64 {
        match self {
            Size::Fixed(bytes) => bytes.bytes(),
            Size::LogNormal(LogNormal { median, p99 }) => {
                let (median, p99) = (median.bytes() as f64, p99.bytes() as f64);
                let sigma = libm::log(p99 / median) / Z99;
                let z = normal_quantile(draw::unit(draw::bits(seed, id)));
                libm::round(median * libm::exp(sigma * z)).clamp(1.0, MOST) as u64
            }
        }
    }

    /// The size, or the 99th percentile of what is drawn.
    pub(super) const fn largest_but_one_in_a_hundred(&self) -> ByteCount {
        match self {
            Size::Fixed(bytes) => *bytes,
            Size::LogNormal(LogNormal { p99, .. }) => *p99,
        }
    }

    /// The mean size.
    pub(super) fn mean(&self) -> f64 {
        match self {
            Size::Fixed(bytes) => bytes.bytes() as f64,
            Size::LogNormal(LogNormal { median, p99 }) => {
                let (median, p99) = (median.bytes() as f64, p99.bytes() as f64);
                let sigma = libm::log(p99 / median) / Z99;
                median * libm::exp(sigma * sigma / 2.0)
            }
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Fixed(bytes) => bytes.fmt(f),
            Size::LogNormal(LogNormal { median, p99 }) => write!(f, "{median} (log-normal, p99 {p99})"),
        }
    }
}

/// The quantile of the standard normal distribution, by Acklam's rational approximation (2003), whose relative error is
/// at most 1.15e-9.
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    const LOW: f64 = 0.02425;
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let q = libm::sqrt(-2.0 * libm::log(p));
        polynomial(&C, q) / (polynomial(&D, q) * q + 1.0)
    };
    if p < LOW {
        tail(p)
    } else if p > 1.0 - LOW {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        let r = q * q;
        polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Direction;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (p, z) in [(0.5, 0.0), (0.975, 1.959_963_985), (0.99, 2.326_347_874), (0.001, -3.090_232_306)] {
            assert!((normal_quantile(p) - z).abs() < 1e-8, "{p}: {}", normal_quantile(p));
        }
    }

    #[test]
    fn draws_have_the_percentiles_asked() {
        let size = Size::LogNormal(LogNormal { median: ByteCount::new(1_500), p99: ByteCount::new(196_000) });
        let draw = |seq| size.of(9, MessageId { direction: Direction::Up, stream: (seq % 7) as u16, seq });
        let mut all: Vec<u64> = (0..20_000).map(draw).collect();
        assert_eq!(all[17], draw(17), "it follows from seed and message alone");
        let mean = all.iter().sum::<u64>() as f64 / 20_000.0;
        all.sort_unstable();
        let within = |value: u64, expected: f64, by: f64| (value as f64 / expected - 1.0).abs() < by;
        assert!(within(all[10_000], 1_500.0, 0.06), "median {}", all[10_000]);
        assert!(within(all[19_800], 196_000.0, 0.2), "p99 {}", all[19_800]);
        assert!((mean / size.mean() - 1.0).abs() < 0.3, "mean {mean}, expected {}", size.mean());
    }
}
