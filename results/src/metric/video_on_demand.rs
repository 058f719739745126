//! Figures of a film's playback, from a trial's messages.

use std::ops::Range;

use samepath_model::playback::Playback;
use samepath_model::record::MessageRecord;
use samepath_model::workload::{StreamId, VideoOnDemand};
use samepath_model::{Trial, Workload};

use super::definition::{Better, Metric, PLAIN, Unit, of_workload};

/// The metrics of playback.
pub(crate) const METRICS: &[&Metric] =
    &[&START_UP, &STALLS, &STALLED, &STALLED_SHARE, &QUALITY, &SWITCHES, &LOWEST_SHARE];

/// From the start of the schedule until playback began: of a cold session with its handshake.
pub(crate) const START_UP: Metric = Metric {
    name: "playback_start_ms",
    label: "start of playback",
    unit: Unit::Millis,
    better: Some(Better::Lower),
    of: |t| of_workload(t, START_UP.name),
    head: Some("start of\nplayback ms"),
    ..PLAIN
};

/// Times after the start at which the player had nothing to play.
pub(crate) const STALLS: Metric = Metric {
    name: "playback_stalls",
    label: "stalls",
    better: Some(Better::Lower),
    of: |t| of_workload(t, STALLS.name),
    changes: ("fewer", "more"),
    ..PLAIN
};

/// Time in which it had nothing to play, the start left out.
pub(crate) const STALLED: Metric = Metric {
    name: "playback_stalled_ms",
    label: "stalled",
    unit: Unit::Millis,
    better: Some(Better::Lower),
    of: |t| of_workload(t, STALLED.name),
    changes: ("less", "more"),
    ..PLAIN
};

/// The same as a share of the time from the start of playback to the film's end, in percent.
pub(crate) const STALLED_SHARE: Metric = Metric {
    name: "playback_stalled_percent",
    label: "time stalled",
    unit: Unit::Percent,
    better: Some(Better::Lower),
    of: |t| of_workload(t, STALLED_SHARE.name),
    changes: ("less", "more"),
    ..PLAIN
};

/// Mean rate of the media that was received, by the length of its segments.
pub(crate) const QUALITY: Metric = Metric {
    name: "quality_mbit_per_s",
    label: "mean quality",
    unit: Unit::MbitPerSecond,
    better: Some(Better::Higher),
    of: |t| of_workload(t, QUALITY.name),
    changes: ("higher", "lower"),
    ..PLAIN
};

/// Segments whose quality was not that of the one before.
pub(crate) const SWITCHES: Metric = Metric {
    name: "quality_switches",
    label: "quality switches",
    of: |t| of_workload(t, SWITCHES.name),
    head: Some("quality\nswitches"),
    ..PLAIN
};

/// Share of the media that had the lowest quality, in percent.
pub(crate) const LOWEST_SHARE: Metric = Metric {
    name: "lowest_quality_percent",
    label: "time at lowest quality",
    unit: Unit::Percent,
    better: Some(Better::Lower),
    of: |t| of_workload(t, LOWEST_SHARE.name),
    head: Some("lowest\nquality %"),
    changes: ("less", "more"),
    ..PLAIN
};

/// The figures of a trial, from its messages.
pub(crate) fn figures(trial: &Trial, messages: &[MessageRecord]) -> Vec<(&'static Metric, f64)> {
    match trial.workload.scored() {
        Workload::VideoOnDemand(video) => of_playback(video, trial.workload.scored_streams(), messages),
        _ => Vec::new(),
    }
}

fn of_playback(
    video: &VideoOnDemand,
    streams: Range<StreamId>,
    messages: &[MessageRecord],
) -> Vec<(&'static Metric, f64)> {
    let playback = Playback::of(video, streams, messages);
    let Some(started) = playback.player.started() else { return Vec::new() };
    let mut figures = vec![
        (&START_UP, started.as_millis_f64()),
        (&STALLS, playback.player.stalls().len() as f64),
        (&STALLED, playback.stalled().as_millis_f64()),
        (&SWITCHES, playback.switches() as f64),
    ];
    figures.extend(playback.stalled_share().map(|share| (&STALLED_SHARE, 100.0 * share)));
    figures.extend(playback.mean_quality().map(|quality| (&QUALITY, quality / 1e6)));
    figures.extend(playback.lowest_share().map(|share| (&LOWEST_SHARE, 100.0 * share)));
    figures
}

#[cfg(test)]
mod tests {
    use samepath_model::{Direction, Duration};

    use super::*;

    fn segment(seq: u32, delivered: Option<i64>) -> MessageRecord {
        MessageRecord {
            flow: 0,
            direction: Direction::Down,
            stream: 0,
            seq,
            size: 100,
            released: 0,
            released_by: None,
            deadline: None,
            attempt: 1,
            cancelled: None,
            sent: Some(0),
            delivered: delivered.map(|ms| ms * 1_000_000),
            received: 100,
            coded: None,
        }
    }

    #[test]
    fn playback_is_reckoned_by_hand() {
        let video = VideoOnDemand { segments: 4, segment: Duration::from_secs(4), ..VideoOnDemand::default() };
        // Six qualities: the second segment in the lowest, the others in the second.
        let messages =
            [segment(1, Some(500)), segment(6, Some(3_000)), segment(13, Some(10_500)), segment(19, Some(11_000))];
        let figure = |messages: &[MessageRecord], metric: &Metric| {
            of_playback(&video, 0..1, messages).iter().find(|(of, _)| *of == metric).map(|(_, value)| *value)
        };
        assert_eq!(figure(&messages, &START_UP), Some(500.0));
        // What is there lasts until 8.5 s.
        assert_eq!((figure(&messages, &STALLS), figure(&messages, &STALLED)), (Some(1.0), Some(2_000.0)));
        assert_eq!(figure(&messages, &STALLED_SHARE), Some(100.0 * 2.0 / 18.0));
        assert_eq!(figure(&messages, &QUALITY), Some((3.0 * 0.75 + 0.3) / 4.0));
        assert_eq!((figure(&messages, &SWITCHES), figure(&messages, &LOWEST_SHARE)), (Some(2.0), Some(25.0)));
        // What never came was not played, and how long it was waited for is no figure.
        let cut = [messages[0].clone(), messages[1].clone(), segment(13, None)];
        assert_eq!((figure(&cut, &STALLS), figure(&cut, &STALLED_SHARE)), (Some(0.0), Some(0.0)));
        assert_eq!(figure(&[segment(1, None)], &START_UP), None);
    }
}
