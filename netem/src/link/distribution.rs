//! Tables of jitter: netem's, computed as iproute2's generators compute them, and one's own.
//!
//! A table has the values of an inverse cumulative distribution at evenly spaced probabilities, in
//! units of the jitter ÷ 8192. iproute2 ships its tables as files made by small programs (NIST Net's,
//! `netem/normal.c`, `pareto.c`, `paretonormal.c`); the same formulas give the same numbers here.

use std::sync::{Arc, LazyLock};

use samepath_model::link::Distribution;
use statrs::function::erf::erf;

/// What one jitter is in a table's values (`NETEM_DIST_SCALE`).
pub const SCALE: f64 = 8192.0;

/// Steps in which the generators of the tables divide probability; every fourth is kept.
const STEPS: usize = 16_384;

/// The table of a distribution; `None` of the uniform one, which needs none.
pub fn table(distribution: &Distribution) -> Option<Arc<[i16]>> {
    static NORMAL: LazyLock<Arc<[i16]>> = LazyLock::new(|| (0..STEPS).step_by(4).map(normal).map(fit).collect());
    static PARETO: LazyLock<Arc<[i16]>> = LazyLock::new(|| (0..STEPS).step_by(4).map(pareto).map(fit).collect());
    static PARETO_NORMAL: LazyLock<Arc<[i16]>> =
        LazyLock::new(|| (0..STEPS).step_by(4).map(|step| (normal(step) + 3 * pareto(step)) / 4).map(fit).collect());
    match distribution {
        Distribution::Uniform | Distribution::File(_) => None,
        Distribution::Normal => Some(NORMAL.clone()),
        Distribution::Pareto => Some(PARETO.clone()),
        Distribution::ParetoNormal => Some(PARETO_NORMAL.clone()),
        Distribution::Table(own) => Some(own.values.clone()),
    }
}

fn fit(value: i32) -> i16 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// The standard normal quantile at `step`, before it is held to 16 bits.
///
/// The generator walks x from −10 in steps of 0.00005 and keeps, for each step of probability, the
/// last x that rounds to it.
fn normal(step: usize) -> i32 {
    static QUANTILES: LazyLock<Vec<f64>> = LazyLock::new(|| {
        let mut quantiles = vec![0.0; STEPS + 1];
        let mut x = -10.0f64;
        while x < 10.05 {
            let probability = 0.5 + 0.5 * erf(x / 2f64.sqrt());
            quantiles[(STEPS as f64 * probability).round_ties_even() as usize] = x;
            x += 0.00005;
        }
        quantiles
    });
    (QUANTILES[step] * SCALE).round_ties_even() as i32
}

/// The Pareto quantile with shape 3 at `step`, shifted to a mean of 0 and scaled, at most 32767.
fn pareto(step: usize) -> i32 {
    let above = (65_536 - 4 * step) as f64 / 65_536.0;
    let value = (1.0 / above.powf(1.0 / 3.0) - 1.5) * (4.0 / 3.0) * SCALE;
    value.min(32_767.0).round_ties_even() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_their_moments() {
        let moments = |distribution| {
            let table = table(&distribution).unwrap();
            assert_eq!(table.len(), 4096);
            assert!(table.windows(2).all(|pair| pair[0] <= pair[1]), "a quantile never falls");
            let n = table.len() as f64;
            let mean = table.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
            let variance = table.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
            (mean / SCALE, variance.sqrt() / SCALE)
        };
        let (mean, deviation) = moments(Distribution::Normal);
        assert!(mean.abs() < 0.01 && (deviation - 1.0).abs() < 0.01, "{mean} {deviation}");
        // Shape 3 from 1 has mean 1.5 and variance 0.75, times (4/3)² is 1.33; the tail is cut at 4.
        let (mean, deviation) = moments(Distribution::Pareto);
        assert!((-0.05..0.0).contains(&mean) && (0.7..1.16).contains(&deviation), "{mean} {deviation}");
        let (mean, deviation) = moments(Distribution::ParetoNormal);
        assert!(mean.abs() < 0.05 && (0.6..1.2).contains(&deviation), "{mean} {deviation}");
    }

    #[test]
    fn values_that_can_be_had_by_hand() {
        let normal = table(&Distribution::Normal).unwrap();
        // Φ⁻¹(4.5/16384) = −3.4554.
        assert_eq!(normal[1], -28_307);
        assert_eq!(normal[0], i16::MIN);
        let pareto = table(&Distribution::Pareto).unwrap();
        // At probability 0: (1 − 1.5) · 4/3 · 8192.
        assert_eq!(pareto[0], -5461);
        // At 7/8: (2 − 1.5) · 4/3 · 8192.
        assert_eq!(pareto[3584], 5461);
        assert_eq!(pareto[4095], i16::MAX);
    }

    /// FNV-1a of the 16-bit values, little end first.
    fn fingerprint(table: &[i16]) -> u64 {
        let bytes = table.iter().flat_map(|value| value.to_le_bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// The fingerprints are those of the files that iproute2 6.1 installs.
    #[test]
    fn tables_are_those_iproute2_installs() {
        for (distribution, expected) in [
            (Distribution::Normal, 0x3f19_8b60_14c3_b3b8),
            (Distribution::Pareto, 0x209e_1d3c_8618_19fa),
            (Distribution::ParetoNormal, 0x468c_e9c9_62a5_ecf9),
        ] {
            let table = table(&distribution).unwrap();
            assert_eq!(fingerprint(&table), expected, "{distribution}: {:?}", &table[..8]);
        }
    }
}
