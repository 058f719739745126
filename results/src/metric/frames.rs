//! Figures of frames with a deadline, from a trial's messages.

use samepath_model::Trial;
use samepath_model::frames::Pictures;
use samepath_model::record::{MessageRecord, Percentiles};

use super::definition::{Better, Metric, PLAIN, Unit, of_workload};

/// The metrics of frames.
pub(crate) const METRICS: &[&Metric] = &[
    &IN_TIME,
    &WHOLE,
    &LATE,
    &MISSING,
    &UNDECODABLE,
    &GIVEN_UP,
    &FREEZE,
    &DELAY_P50,
    &DELAY_P95,
    &DELAY_P99,
    &KEY_FRAMES,
    &REPAIR_BYTES,
    &INPUT_P50,
    &INPUT_P95,
    &INPUT_P99,
    &INPUT_LOST,
];

const SHARE: Metric = Metric {
    unit: Unit::Percent,
    better: Some(Better::Higher),
    changes: ("more", "less"),
    is_share_of_all: true,
    ..PLAIN
};
const HARM: Metric = Metric { unit: Unit::Percent, better: Some(Better::Lower), changes: ("less", "more"), ..PLAIN };
const DELAY: Metric = Metric { unit: Unit::Millis, better: Some(Better::Lower), ..PLAIN };

/// Share of the frames that were whole and could be decoded within their deadline, in percent.
pub(crate) const IN_TIME: Metric = Metric {
    name: "frames_in_time_percent",
    label: "frames in time",
    of: |t| of_workload(t, IN_TIME.name),
    head: Some("frames in\ntime %"),
    ..SHARE
};

/// Share of the frames that were whole within their deadline, whether or not they could be decoded, in percent.
const WHOLE: Metric =
    Metric { name: "frames_whole_percent", label: "frames whole", of: |t| of_workload(t, WHOLE.name), ..SHARE };

/// Share of the frames that were decoded, but after their deadline, in percent.
pub(crate) const LATE: Metric =
    Metric { name: "frames_late_percent", label: "late", of: |t| of_workload(t, LATE.name), ..HARM };

/// Share of the frames that were never whole, in percent.
pub(crate) const MISSING: Metric =
    Metric { name: "frames_missing_percent", label: "missing", of: |t| of_workload(t, MISSING.name), ..HARM };

/// Share of the frames that were whole, but for which one that they refer to was missing, in percent.
pub(crate) const UNDECODABLE: Metric = Metric {
    name: "frames_undecodable_percent",
    label: "undecodable",
    of: |t| of_workload(t, UNDECODABLE.name),
    head: Some("undecod-\nable %"),
    ..HARM
};

/// Share of the frames of which the sender gave something up, in percent.
const GIVEN_UP: Metric = Metric {
    name: "frames_given_up_percent",
    label: "given up",
    better: None,
    of: |t| of_workload(t, GIVEN_UP.name),
    ..HARM
};

/// The longest time without a new picture.
pub(crate) const FREEZE: Metric = Metric {
    name: "longest_freeze_ms",
    label: "longest freeze",
    of: |t| of_workload(t, FREEZE.name),
    changes: ("shorter", "longer"),
    head: Some("longest\nfreeze ms"),
    ..DELAY
};

/// Median of the delay of those frames that were decoded: from their release until then.
const DELAY_P50: Metric =
    Metric { name: "frame_delay_p50_ms", label: "frame delay p50", of: |t| of_workload(t, DELAY_P50.name), ..DELAY };

/// Its 95th percentile.
pub(crate) const DELAY_P95: Metric =
    Metric { name: "frame_delay_p95_ms", label: "frame delay p95", of: |t| of_workload(t, DELAY_P95.name), ..DELAY };

/// Its 99th percentile.
pub(crate) const DELAY_P99: Metric =
    Metric { name: "frame_delay_p99_ms", label: "frame delay p99", of: |t| of_workload(t, DELAY_P99.name), ..DELAY };

/// Key frames after the first.
const KEY_FRAMES: Metric =
    Metric { name: "key_frames", label: "key frames", of: |t| of_workload(t, KEY_FRAMES.name), ..PLAIN };

/// Bytes of packets for repair, and of those that were sent again by the workload.
pub(crate) const REPAIR_BYTES: Metric = Metric {
    name: "repair_bytes",
    label: "repair",
    unit: Unit::Bytes,
    of: |t| of_workload(t, REPAIR_BYTES.name),
    ..PLAIN
};

/// Median of the delay of input, which goes against the frames.
const INPUT_P50: Metric =
    Metric { name: "input_delay_p50_ms", label: "input delay p50", of: |t| of_workload(t, INPUT_P50.name), ..DELAY };

/// Its 95th percentile.
const INPUT_P95: Metric =
    Metric { name: "input_delay_p95_ms", label: "input delay p95", of: |t| of_workload(t, INPUT_P95.name), ..DELAY };

/// Its 99th percentile.
pub(crate) const INPUT_P99: Metric =
    Metric { name: "input_delay_p99_ms", label: "input delay p99", of: |t| of_workload(t, INPUT_P99.name), ..DELAY };

/// Share of the messages of input that never came, in percent.
pub(crate) const INPUT_LOST: Metric =
    Metric { name: "input_lost_percent", label: "input lost", of: |t| of_workload(t, INPUT_LOST.name), ..HARM };

/// The figures of a trial, from its messages.
pub(crate) fn figures(trial: &Trial, messages: &[MessageRecord]) -> Vec<(&'static Metric, f64)> {
    let Some(mut pictures) = Pictures::of(&trial.workload, trial.seed, messages) else { return Vec::new() };
    if pictures.released == 0 {
        return Vec::new();
    }
    let share = |n: u32| 100.0 * f64::from(n) / f64::from(pictures.released);
    let mut figures = vec![
        (&IN_TIME, share(pictures.in_time)),
        (&WHOLE, share(pictures.whole)),
        (&LATE, share(pictures.late)),
        (&MISSING, share(pictures.missing)),
        (&UNDECODABLE, share(pictures.undecodable)),
        (&GIVEN_UP, share(pictures.given_up)),
        (&FREEZE, pictures.longest_freeze as f64 / 1e6),
        (&KEY_FRAMES, f64::from(pictures.key_frames)),
        (&REPAIR_BYTES, pictures.repair_bytes as f64),
    ];
    if pictures.inputs > 0 {
        let lost = f64::from(pictures.inputs) - pictures.input_delays.len() as f64;
        figures.push((&INPUT_LOST, 100.0 * lost / f64::from(pictures.inputs)));
    }
    let of_delays = [
        (&mut pictures.delays, [&DELAY_P50, &DELAY_P95, &DELAY_P99]),
        (&mut pictures.input_delays, [&INPUT_P50, &INPUT_P95, &INPUT_P99]),
    ];
    for (delays, metrics) in of_delays {
        if let Some(of) = Percentiles::of_nanos(delays) {
            figures.extend(metrics.into_iter().zip([of.p50, of.p95, of.p99]));
        }
    }
    figures
}
