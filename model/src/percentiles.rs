//! Percentiles of a time, as records keep them.

use serde::{Deserialize, Serialize};

/// Percentiles by the nearest-rank method, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

impl Percentiles {
    /// Those of times given in nanoseconds, which it sorts; `None` of no times.
    pub fn of_nanos(times: &mut [i64]) -> Option<Percentiles> {
        times.sort_unstable();
        let at = |q| nearest_rank(times, q).map(|ns| ns as f64 / 1e6);
        Some(Percentiles { p50: at(0.5)?, p90: at(0.9)?, p95: at(0.95)?, p99: at(0.99)?, max: at(1.0)? })
    }
}

/// The `q` quantile of values in ascending order, by the nearest-rank method: the smallest value
/// with at least a share `q` of the sample at or below it (Hyndman & Fan 1996, type 1). `None` of
/// an empty sample. `q` is clamped to 0..=1; at 0 it is the smallest value.
pub fn nearest_rank<T: Copy>(sorted: &[T], q: f64) -> Option<T> {
    let n = sorted.len();
    // 0.95 × 20 must be rank 19, whatever the last bit of the product says.
    let rank = (q.clamp(0.0, 1.0) * n as f64 - 1e-9).ceil().max(1.0) as usize;
    sorted.get(rank.min(n).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_the_nearest_rank() {
        let mut times: Vec<i64> = (1..=100).map(|n| n * 1_000_000).collect();
        let p = Percentiles::of_nanos(&mut times).unwrap();
        assert_eq!((p.p50, p.p90, p.p95, p.p99, p.max), (50.0, 90.0, 95.0, 99.0, 100.0));
        assert_eq!(Percentiles::of_nanos(&mut [7_000_000]).unwrap().p50, 7.0);
        assert_eq!(Percentiles::of_nanos(&mut []), None);
    }
}
