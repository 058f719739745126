//! How late packets leave, counted as they do.

use hdrhistogram::Histogram;
use samepath_model::record::Lateness;

/// Lateness beyond this, in nanoseconds, is counted as this.
const MOST: u64 = 10_000_000_000;

/// An empty count, three digits exact.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MOST, 3).expect("the bounds are sound")
}

/// What is said of it in records.
pub(crate) fn report(counted: &Histogram<u64>) -> Lateness {
    Lateness {
        count: counted.len(),
        p50_ns: counted.value_at_quantile(0.5),
        p99_ns: counted.value_at_quantile(0.99),
        max_ns: counted.max(),
        histogram: Lateness::bins(
            counted.iter_recorded().map(|step| (step.value_iterated_to(), step.count_since_last_iteration())),
        ),
    }
}
