//! Figures of a call, from a trial's messages: those of the direction that was rated lower.

use samepath_model::emodel;
use samepath_model::record::MessageRecord;
use samepath_model::voice::{Heard, codec};
use samepath_model::workload::{PACKET_TIME, Voice};
use samepath_model::{Trial, Workload};

use super::definition::{Better, Metric, PLAIN, Unit, of_workload};

/// The metrics of calls.
pub(crate) const METRICS: &[&Metric] =
    &[&RATING, &OPINION, &MISSING, &LATE, &MOUTH_TO_EAR, &LONGEST_GAP, &LONG_GAPS, &BURST_RATIO];

const GAIN: Metric = Metric { unit: Unit::Index, better: Some(Better::Higher), changes: ("better", "worse"), ..PLAIN };
const HARM: Metric = Metric { unit: Unit::Percent, better: Some(Better::Lower), changes: ("less", "more"), ..PLAIN };

/// The E-model's rating `R` (G.107): 80 satisfies listeners, 70 some not.
pub(crate) const RATING: Metric =
    Metric { name: "r_factor", label: "rating R", of: |t| of_workload(t, RATING.name), ..GAIN };

/// The mean opinion score that the rating stands for, from 1 to 4.5.
pub(crate) const OPINION: Metric =
    Metric { name: "mean_opinion_score", label: "MOS", of: |t| of_workload(t, OPINION.name), ..GAIN };

/// Share of the packets that were lost or came too late to be played, in percent.
pub(crate) const MISSING: Metric = Metric {
    name: "packets_missing_percent",
    label: "packets missing",
    of: |t| of_workload(t, MISSING.name),
    head: Some("packets\nmissing %"),
    ..HARM
};

/// Share of the packets that came, but too late to be played, in percent.
const LATE: Metric =
    Metric { name: "packets_late_percent", label: "packets late", of: |t| of_workload(t, LATE.name), ..HARM };

/// Mean delay from mouth to ear: on the way, in the packet and in the buffer.
pub(crate) const MOUTH_TO_EAR: Metric = Metric {
    name: "mouth_to_ear_ms",
    label: "mouth to ear",
    unit: Unit::Millis,
    better: Some(Better::Lower),
    of: |t| of_workload(t, MOUTH_TO_EAR.name),
    ..PLAIN
};

/// The longest time of which nothing could be played.
pub(crate) const LONGEST_GAP: Metric = Metric {
    name: "longest_gap_ms",
    label: "longest gap",
    unit: Unit::Millis,
    better: Some(Better::Lower),
    of: |t| of_workload(t, LONGEST_GAP.name),
    changes: ("shorter", "longer"),
    ..PLAIN
};

/// How often nothing could be played for more than 60 ms.
pub(crate) const LONG_GAPS: Metric = Metric {
    name: "long_gaps",
    label: "gaps over 60 ms",
    unit: Unit::Count,
    better: Some(Better::Lower),
    of: |t| of_workload(t, LONG_GAPS.name),
    head: Some("gaps over\n60 ms"),
    changes: ("fewer", "more"),
    ..PLAIN
};

/// `BurstR`, by which the rating takes packets missing in a row into account.
const BURST_RATIO: Metric = Metric {
    name: "burst_ratio",
    label: "burst ratio",
    unit: Unit::Index,
    of: |t| of_workload(t, BURST_RATIO.name),
    ..PLAIN
};

/// The figures of a trial, from its messages.
pub(crate) fn figures(trial: &Trial, messages: &[MessageRecord]) -> Vec<(&'static Metric, f64)> {
    match trial.workload.scored() {
        Workload::Voice(voice) => {
            let stream = trial.workload.scored_streams().start;
            let each = voice.directions().filter_map(|way| Heard::of(voice, way, stream, messages));
            // A direction of which nothing came has no rating, and is the worst.
            let rating = |heard: &Heard| heard.rating(codec(voice)).unwrap_or(-1.0);
            let worst = each.min_by(|a, b| rating(a).total_cmp(&rating(b)));
            worst.map_or_else(Vec::new, |heard| of_direction(voice, &heard))
        }
        _ => Vec::new(),
    }
}

fn of_direction(voice: &Voice, heard: &Heard) -> Vec<(&'static Metric, f64)> {
    let share = |n: u32| 100.0 * f64::from(n) / f64::from(heard.packets);
    let mut figures = vec![
        (&MISSING, share(heard.lost + heard.late)),
        (&LATE, share(heard.late)),
        (&LONGEST_GAP, (PACKET_TIME * u64::from(heard.longest_gap)).as_millis_f64()),
        (&LONG_GAPS, f64::from(heard.long_gaps)),
        (&BURST_RATIO, heard.burst_ratio()),
    ];
    figures.extend(heard.mouth_to_ear_ms.map(|ms| (&MOUTH_TO_EAR, ms)));
    if let Some(rating) = heard.rating(codec(voice)) {
        figures.extend([(&RATING, rating), (&OPINION, emodel::mean_opinion_score(rating))]);
    }
    figures
}

#[cfg(test)]
mod tests {
    use samepath_model::Direction;

    use super::*;
    use crate::fixture;

    #[test]
    fn the_worse_direction_of_a_call_is_told() {
        let trial = Trial { workload: Workload::Voice(Voice::default()), ..fixture::experiment().trials()[0].clone() };
        let packet = |direction, seq: u32, delay: Option<i64>| MessageRecord {
            flow: 0,
            direction,
            stream: 0,
            seq,
            size: 172,
            released: i64::from(seq) * 20_000_000,
            released_by: None,
            deadline: None,
            attempt: 1,
            cancelled: None,
            sent: Some(0),
            delivered: delay.map(|ms| i64::from(seq) * 20_000_000 + ms * 1_000_000),
            received: 172,
            coded: None,
        };
        let mut messages: Vec<MessageRecord> = (0..100).map(|seq| packet(Direction::Up, seq, Some(30))).collect();
        // Five lost in a row, and one late.
        messages.extend((0..100).map(|seq| match seq {
            40..45 => packet(Direction::Down, seq, None),
            70 => packet(Direction::Down, seq, Some(91)),
            _ => packet(Direction::Down, seq, Some(30)),
        }));
        let all = figures(&trial, &messages);
        let figure = |metric: &Metric| all.iter().find(|(of, _)| *of == metric).unwrap().1;
        assert_eq!(
            [&MISSING, &LATE, &LONGEST_GAP, &LONG_GAPS, &MOUTH_TO_EAR].map(figure),
            [6.0, 1.0, 100.0, 1.0, 110.0]
        );
        let burst_ratio = 3.0 * 0.94;
        assert!((figure(&BURST_RATIO) - burst_ratio).abs() < 1e-12);
        let rating = emodel::rating(emodel::G711_CONCEALED, 110.0, 6.0, burst_ratio);
        assert!((figure(&RATING) - rating).abs() < 1e-9 && (70.0..80.0).contains(&rating), "{rating}");
        // Where one direction is silent, it is the worst, and nothing of it is rated.
        let silent: Vec<MessageRecord> = messages
            .iter()
            .map(|m| MessageRecord { delivered: m.delivered.filter(|_| m.direction == Direction::Down), ..m.clone() })
            .collect();
        let all = figures(&trial, &silent);
        assert!(all.contains(&(&MISSING, 100.0)) && all.iter().all(|(of, _)| *of != &RATING), "{all:?}");
    }
}
