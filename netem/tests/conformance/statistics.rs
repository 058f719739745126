//! The few statistics that tell a rule kept from a rule broken.

/// The range in which a count of `n` independent events of probability `p` lies but once in some
/// 15,000 times: four standard deviations, times the square root of `inflation` where they are not
/// independent.
pub(crate) fn expected(n: usize, p: f64, inflation: f64) -> std::ops::RangeInclusive<f64> {
    let (n, spread) = (n as f64, 4.0 * (n as f64 * p * (1.0 - p) * inflation).sqrt());
    n * p - spread..=n * p + spread
}

/// The largest distance between the distribution of a sample and `cdf` (Kolmogorov–Smirnov).
pub(crate) fn distance_to(sample: &[f64], cdf: impl Fn(f64) -> f64) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let steps = sorted.iter().enumerate();
    steps
        .map(|(rank, &x)| (cdf(x) - rank as f64 / n).abs().max(((rank + 1) as f64 / n - cdf(x)).abs()))
        .fold(0.0, f64::max)
}

/// The largest distance between the distributions of two samples.
pub(crate) fn distance_between(a: &[f64], b: &[f64]) -> f64 {
    let (mut a, mut b) = (a.to_vec(), b.to_vec());
    a.sort_by(f64::total_cmp);
    b.sort_by(f64::total_cmp);
    let share = |sorted: &[f64], x: f64| sorted.partition_point(|y| *y <= x) as f64 / sorted.len() as f64;
    a.iter().chain(&b).map(|&x| (share(&a, x) - share(&b, x)).abs()).fold(0.0, f64::max)
}

/// The distance that two samples of one distribution exceed once in a thousand times.
pub(crate) fn critical(n: usize, m: usize) -> f64 {
    1.95 * ((n + m) as f64 / (n as f64 * m as f64)).sqrt()
}

/// The middle of a sample.
pub(crate) fn median(sample: &[f64]) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
