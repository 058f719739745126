//! Goodput in bins of time, from a trial's series.

use samepath_model::Direction;
use samepath_model::flow::{FlowId, UNDER_TEST};
use samepath_model::record::{End, Metric, SERIES_BIN_NANOS, TrialRecord};

use crate::store::{Run, StoreError};

/// Width of a bin.
pub(super) const BIN_NANOS: i64 = 100_000_000;

/// The goodput of a trial's flow under test, as [`flow_bins`].
pub(super) fn bins(run: &Run, record: &TrialRecord) -> Result<Vec<f64>, StoreError> {
    flow_bins(run, record, UNDER_TEST)
}

/// The goodput of a flow of a trial in Mbit/s, bin by bin from the epoch, whole bins only. Empty where its series were not
/// recorded.
pub(super) fn flow_bins(run: &Run, record: &TrialRecord, flow: FlowId) -> Result<Vec<f64>, StoreError> {
    let Some(alone) = record.of_flow(flow) else { return Ok(Vec::new()) };
    let workload = &alone.trial.workload;
    let receiver = match workload.direction() {
        Direction::Down => End::Client,
        Direction::Up => End::Server,
    };
    let delivered: Vec<(i64, f64)> = run
        .series_of(&record.trial.id, flow)?
        .iter()
        .filter(|p| p.metric == Metric::DeliveredBytes && p.end == receiver && p.at >= 0)
        .map(|p| (p.at, p.value))
        .collect();
    let unrecorded = delivered.is_empty() && alone.summary.as_ref().is_none_or(|s| s.received_bytes > 0);
    let sending = workload.nominal_duration().filter(|_| !unrecorded).map(|lasts| record.trial.start_of(flow) + lasts);
    Ok(whole_bins(&delivered, sending.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(0))))
}

/// The goodput in Mbit/s of each whole bin, from what was read in the series' bins (start in nanoseconds from the
/// epoch, bytes). Series end with the last payload; silence from there until `sending` is over is a stall like any
/// other, and counts as zero.
fn whole_bins(delivered: &[(i64, f64)], sending: i64) -> Vec<f64> {
    let end = delivered.iter().map(|(at, _)| at + SERIES_BIN_NANOS).max().unwrap_or(0).max(sending);
    let mut bytes = vec![0.0; usize::try_from(end / BIN_NANOS).unwrap_or(0)];
    for (at, value) in delivered {
        if let Some(bin) = usize::try_from(at / BIN_NANOS).ok().and_then(|i| bytes.get_mut(i)) {
            *bin += value;
        }
    }
    bytes.into_iter().map(|b| b * 8.0 / (BIN_NANOS as f64 / 1e9) / 1e6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_stall_is_zero_not_missing() {
        // 12.5 kB in each series bin are 10 Mbit/s.
        let until = |bins: i64| (0..bins).map(|i| (i * SERIES_BIN_NANOS, 12_500.0)).collect::<Vec<_>>();
        let flat = |bins: &[f64]| bins.iter().all(|v| (v - 10.0).abs() < 1e-9);
        // Payload for 300 ms of half a second of sending.
        let stalled = whole_bins(&until(30), 500_000_000);
        assert!(stalled.len() == 5 && flat(&stalled[..3]) && stalled[3..] == [0.0, 0.0], "{stalled:?}");
        // It ends within a bin of the chart: with sending, that bin would be no whole one.
        let partial = whole_bins(&until(34), 340_000_000);
        assert!(partial.len() == 3 && flat(&partial), "{partial:?}");
        // What drained a little longer than sending lasted.
        let drained = whole_bins(&until(56), 500_000_000);
        assert!(drained.len() == 5 && flat(&drained), "{drained:?}");
        assert_eq!(whole_bins(&[], 200_000_000), [0.0, 0.0]);
        assert!(whole_bins(&[], 0).is_empty());
    }
}
