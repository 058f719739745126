//! The E-model (ITU-T G.107, 2015): the rating of a telephone call, from its delay and from what of it is missing.
//!
//! All parameters but those here are at the recommendation's defaults, without echo. It says what a mean listener would say of
//! narrowband speech; it hardly sees whether packets are missing one by one or together.

/// The rating of a call without impairment, by the recommendation's defaults.
const BEST: f64 = 93.2;

/// How well a codec bears what is missing (G.113, appendix I).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Codec {
    /// Impairment without loss, `Ie`.
    pub impairment: f64,
    /// Robustness against loss, `Bpl`.
    pub robustness: f64,
}

/// G.711 with packet-loss concealment.
pub const G711_CONCEALED: Codec = Codec { impairment: 0.0, robustness: 25.1 };

/// G.711 without it.
pub const G711: Codec = Codec { impairment: 0.0, robustness: 4.3 };

/// The impairment by a delay from mouth to ear, `Idd` (G.107, equation 7-27): none up to 100 ms.
pub fn delay_impairment(mouth_to_ear_ms: f64) -> f64 {
    if mouth_to_ear_ms <= 100.0 {
        return 0.0;
    }
    let x = libm::log2(mouth_to_ear_ms / 100.0);
    let root = |x: f64| libm::pow(1.0 + libm::pow(x, 6.0), 1.0 / 6.0);
    25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
}

/// The impairment by codec and loss, `Ie,eff` (G.107, equation 7-29). `burst_ratio` is the mean length of bursts over that under
/// random loss: 1 where packets are missing independently.
pub fn loss_impairment(codec: Codec, missing_percent: f64, burst_ratio: f64) -> f64 {
    let Codec { impairment, robustness } = codec;
    impairment + (95.0 - impairment) * missing_percent / (missing_percent / burst_ratio + robustness)
}

/// The rating `R`; 0 at the least.
pub fn rating(codec: Codec, mouth_to_ear_ms: f64, missing_percent: f64, burst_ratio: f64) -> f64 {
    let impairments = delay_impairment(mouth_to_ear_ms) + loss_impairment(codec, missing_percent, burst_ratio);
    (BEST - impairments).max(0.0)
}

/// The mean opinion score that a rating stands for, from 1 to 4.5 (G.107, annex B).
pub fn mean_opinion_score(rating: f64) -> f64 {
    let r = rating.clamp(0.0, 100.0);
    // Below a rating of 6.5 the polynomial falls below 1.
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_impairs_as_the_table_says() {
        let table =
            [(100.0, 0.0), (150.0, 0.2), (200.0, 3.0), (250.0, 8.9), (300.0, 14.8), (380.0, 22.5), (400.0, 24.1)];
        for (ms, expected) in table {
            let found = delay_impairment(ms);
            assert!((found - expected).abs() <= 0.05, "{ms} ms: {found}, not {expected}");
        }
    }

    #[test]
    fn loss_impairs_as_the_table_says() {
        for (percent, expected) in [(0.0, 0.0), (1.0, 3.6), (2.0, 7.0), (3.0, 10.1), (5.0, 15.8), (8.0, 23.0)] {
            let found = loss_impairment(G711_CONCEALED, percent, 1.0);
            assert!((found - expected).abs() <= 0.05, "{percent} %: {found}, not {expected}");
        }
    }

    #[test]
    fn classes_end_where_they_should() {
        let r = |ms, percent| rating(G711_CONCEALED, ms, percent, 1.0);
        assert!(r(286.0, 0.0) >= 80.0 && r(288.0, 0.0) < 80.0, "satisfied up to 286 ms without loss");
        assert!(r(389.0, 0.0) >= 70.0 && r(391.0, 0.0) < 70.0, "some dissatisfied up to 389 ms");
        assert!(r(100.0, 4.0) >= 80.0 && r(100.0, 4.2) < 80.0, "satisfied up to 4 % below 100 ms");
        assert!(r(100.0, 8.0) >= 70.0 && r(100.0, 8.2) < 70.0, "some dissatisfied up to 8 %");
        assert!(rating(G711, 100.0, 1.0, 1.0) < r(100.0, 1.0) - 10.0, "concealment helps");
        // 1 % in bursts of 3 costs 0.1 more than at random.
        let bursts = loss_impairment(G711_CONCEALED, 1.0, 3.0 * 0.99) - loss_impairment(G711_CONCEALED, 1.0, 1.0);
        assert!((bursts - 0.1).abs() < 0.02, "{bursts}");
    }

    #[test]
    fn scores_are_those_of_the_recommendation() {
        // Table B.1 of its annex B.
        for (r, mos) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58), (0.0, 1.0)] {
            assert!((mean_opinion_score(r) - mos).abs() < 0.01, "{r}: {}", mean_opinion_score(r));
        }
        assert!((0..=100).all(|r| (1.0..=4.5).contains(&mean_opinion_score(f64::from(r)))));
    }
}
