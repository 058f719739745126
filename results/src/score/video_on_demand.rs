//! Score of `video-on-demand`: when a film starts, how long it stalls, and how good it looks.

use std::collections::BTreeSet;

use samepath_model::Arm;

use super::definition::{Figures, Score};
use crate::cells::Cell;
use crate::metric;
use crate::metric::video_on_demand::{LOWEST_SHARE, QUALITY, STALLED, STALLED_SHARE, STALLS, START_UP, SWITCHES};
use crate::number::number;
use crate::part::PartView;
use crate::sentence::{Figure, Pair, each_told, sentence, set_against, told, without_pairs};
use crate::words::{at, millis};

pub(super) const SCORE: Score = Score {
    table: &[&START_UP, &STALLS, &STALLED, &STALLED_SHARE, &QUALITY, &SWITCHES, &LOWEST_SHARE],
    compared: &[&START_UP, &STALLED_SHARE, &QUALITY],
    headline: &STALLED_SHARE,
    rows: |_| {
        vec![
            (Figure::Of(&START_UP), "playback started after [ms]"),
            (Figure::Of(&STALLED_SHARE), "of the time from then on, it stalled [%]"),
            (Figure::Of(&QUALITY), "mean quality [Mbit/s]"),
        ]
    },
    sentences,
    figures: Some(&Figures {
        title: "When does the film start, how long does it stall, and how good does it look?",
        columns: &[
            ("start", &START_UP),
            ("stalled", &STALLED_SHARE),
            ("stalls", &STALLS),
            ("quality", &QUALITY),
            ("switches", &SWITCHES),
        ],
        about: "Time stalled is a share of the time from the start of playback to the film's end; mean quality is by the \
                segments' length.",
    }),
    charts: &["playback-over-time", "figures"],
    of_messages: metric::video_on_demand::figures,
};

/// Under the conditions with the least loss, those with the most, and those under which it stalled longest.
fn sentences(part: &PartView<'_>) -> Vec<String> {
    let (pairs, missing) = told(part, &START_UP);
    let mut sentences: Vec<String> = missing.into_iter().collect();
    if pairs.is_empty() {
        sentences.push(without_pairs(part, &START_UP, "No film was played."));
    }
    let stalled = |pair: &Pair<'_>| {
        let of = |cell: &Cell<'_>| cell.estimate(&STALLED_SHARE).map_or(0.0, |estimate| estimate.median);
        of(pair.a) + pair.b.map_or(0.0, of)
    };
    let longest = (0..pairs.len()).max_by(|a, b| stalled(&pairs[*a]).total_cmp(&stalled(&pairs[*b])));
    let places: BTreeSet<usize> = [0, pairs.len().saturating_sub(1)].into_iter().chain(longest).collect();
    for pair in places.into_iter().filter_map(|place| pairs.get(place)) {
        let started = set_against(pair, &START_UP, "playback started after", millis);
        sentences.push(sentence(at(pair.a), &started));
        let of_each = |metric, show: fn(f64) -> String| -> Vec<(Arm, String)> {
            let said = |cell: &&Cell<'_>| Some((cell.arm, show(cell.estimate(metric)?.median)));
            pair.group.cells.iter().filter_map(said).collect()
        };
        let stalled = of_each(&STALLED_SHARE, |percent| match percent > 0.0 {
            true => format!("{} %", number(percent)),
            false => "none".into(),
        });
        let quality = of_each(&QUALITY, |value| format!("{} Mbit/s", number(value)));
        let told = each_told("from then on it stalled for", stalled, "of the time").zip(each_told(
            "the mean quality was",
            quality,
            "",
        ));
        sentences.extend(told.map(|(stalled, quality)| sentence(None, &format!("{stalled}; {quality}"))));
    }
    sentences
}
