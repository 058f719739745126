//! How many samples stand behind a figure: a percentile of too few says nothing of the tail.

use samepath_model::Trial;
use samepath_model::experiment::Bound;
use samepath_model::workload::{PACKET_TIME, Workload};

use crate::metric::{Metric, Unit};

/// Samples of a trial, as its workload plans them; 1 where the whole trial is one.
pub(super) fn of_trial(trial: &Trial) -> usize {
    let samples = match trial.workload.scored() {
        Workload::Query(query) => query.queries(),
        Workload::Rpc(rpc) => rpc.operations(),
        Workload::FanOut(fan_out) => fan_out.operations(),
        Workload::Connect(connect) => connect.exchanges().operations(),
        Workload::Chat(chat) => {
            let lasts = chat.duration.unwrap_or_default().as_secs_f64();
            // Both ways.
            (2.0 * f64::from(chat.conversations) * chat.per_second * lasts) as u32
        }
        Workload::GameState(state) => (state.lasts().as_nanos() / state.period().as_nanos().max(1)) as u32,
        Workload::Voice(voice) => (voice.duration.as_nanos() / PACKET_TIME.as_nanos()) as u32,
        Workload::VideoCall(frames) => frames.frames(),
        Workload::CloudGaming(frames) => frames.frames(),
        _ => 1,
    };
    samples as usize
}

/// The quantile that a bound is about: of a percentile its own, of a share so many of all as have to be as they should.
pub(super) fn quantile(metric: &Metric, bound: Bound<f64>) -> Option<f64> {
    for (name, q) in [("_p99_", 0.99), ("_p95_", 0.95), ("_p90_", 0.9)] {
        if metric.name.contains(name) {
            return Some(q);
        }
    }
    match bound {
        Bound::AtLeast(percent) if metric.unit == Unit::Percent && (50.0..100.0).contains(&percent) => {
            Some(percent / 100.0)
        }
        Bound::AtMost(percent) if metric.unit == Unit::Percent && percent > 0.0 && percent < 50.0 => {
            Some(1.0 - percent / 100.0)
        }
        _ => None,
    }
}
