//! Score of `voice`: how a call is rated, and what of it is missing.

use super::definition::{Figures, PLAIN, Score};
use crate::metric;
use crate::metric::voice::{LONG_GAPS, LONGEST_GAP, MISSING, MOUTH_TO_EAR, OPINION, RATING};
use crate::number::number;
use crate::part::PartView;
use crate::sentence::{Figure, each_told, of_each, sentence, set_against, told, without_pairs};
use crate::words::{at, millis};

pub(super) const SCORE: Score = Score {
    table: &[&RATING, &OPINION, &MISSING, &LONGEST_GAP, &LONG_GAPS, &MOUTH_TO_EAR],
    compared: &[&RATING, &MISSING, &LONGEST_GAP],
    headline: &RATING,
    rows: |_| {
        vec![
            (Figure::Of(&RATING), "rating R of the call: from 80 on people are satisfied, from 70 on most"),
            (Figure::Of(&MISSING), "packets lost or too late to be played [%]"),
            (Figure::Of(&LONGEST_GAP), "the longest gap in the speech [ms]"),
            (Figure::Of(&LONG_GAPS), "gaps of more than 60 ms"),
        ]
    },
    sentences,
    figures: Some(&Figures {
        title: "How is the call heard?",
        columns: &[
            ("Rating", &RATING),
            ("Lost or too late", &MISSING),
            ("Longest gap", &LONGEST_GAP),
            ("Gaps over 60 ms", &LONG_GAPS),
        ],
        about: "R is the E-model's rating (ITU-T G.107): 80 and more satisfies, below 70 many are dissatisfied. Of a call with both \
                directions the figures are those of the one that was rated lower.",
    }),
    of_messages: metric::voice::figures,
    ..PLAIN
};

fn sentences(part: &PartView<'_>) -> Vec<String> {
    let (pairs, missing) = told(part, &RATING);
    let mut sentences: Vec<String> = missing.into_iter().collect();
    let Some(last) = pairs.last() else {
        sentences.push(without_pairs(part, &RATING, "Nothing was heard of any call."));
        return sentences;
    };
    let first = pairs.first().filter(|_| pairs.len() > 1);
    sentences.extend(first.into_iter().chain([last]).map(|pair| {
        let rating = set_against(pair, &RATING, "the call is rated", |r| format!("R {}", number(r)));
        sentence(at(pair.a), &rating)
    }));
    let each = |metric, show: fn(f64) -> String, before, after| {
        each_told(before, of_each(&last.group, metric, show), after).map(|said| sentence(None, &said))
    };
    let share = |percent| if percent > 0.0 { format!("{} %", number(percent)) } else { "none".into() };
    sentences.extend(each(&MISSING, share, "of the packets", "were lost or came too late to be played"));
    let gap = |ms| if ms > 0.0 { millis(ms) } else { "0 ms".into() };
    sentences.extend(each(&LONGEST_GAP, gap, "the longest gap in the speech was", ""));
    sentences
}
