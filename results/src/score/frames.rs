//! Score of frames with a deadline, `video-call` and `cloud-gaming`: how many are there in time, and what becomes of the others.

use super::definition::{Figures, PLAIN, Score};
use crate::metric;
use crate::metric::frames::{
    DELAY_P95, FREEZE, IN_TIME, INPUT_LOST, INPUT_P99, LATE, MISSING, REPAIR_BYTES, UNDECODABLE,
};
use crate::number::number;
use crate::part::PartView;
use crate::sentence::{Figure, each_told, of_each, sentence, set_against, told, without_pairs};
use crate::words::{at, millis};

pub(super) const VIDEO_CALL: Score = Score {
    table: &[&IN_TIME, &LATE, &MISSING, &UNDECODABLE, &FREEZE, &DELAY_P95, &REPAIR_BYTES, &metric::WIRE_BYTES],
    compared: &[&IN_TIME, &FREEZE, &DELAY_P95],
    headline: &IN_TIME,
    rows: |_| {
        vec![
            (Figure::Of(&IN_TIME), "frames whole and decoded within their deadline [%]"),
            (Figure::Of(&FREEZE), "the longest time without a new picture [ms]"),
            (Figure::Of(&DELAY_P95), "one decoded frame in twenty took longer than [ms] (delay p95)"),
            (Figure::Of(&UNDECODABLE), "frames that came, but could not be decoded without others [%]"),
        ]
    },
    sentences,
    figures: Some(&Figures {
        title: "How much of the picture is there in time?",
        columns: &[
            ("In time", &IN_TIME),
            ("Missing", &MISSING),
            ("Undecodable", &UNDECODABLE),
            ("Longest freeze", &FREEZE),
        ],
        about: ABOUT,
    }),
    of_messages: metric::frames::figures,
    ..PLAIN
};

pub(super) const CLOUD_GAMING: Score = Score {
    table: &[&IN_TIME, &LATE, &MISSING, &UNDECODABLE, &FREEZE, &DELAY_P95, &REPAIR_BYTES, &INPUT_P99, &INPUT_LOST],
    compared: &[&IN_TIME, &FREEZE, &DELAY_P95, &INPUT_P99],
    rows: |part| {
        let mut rows = (VIDEO_CALL.rows)(part);
        rows.push((Figure::Of(&INPUT_P99), "one message of input in a hundred took longer than [ms] (delay p99)"));
        rows
    },
    sentences: |part| {
        let mut said = sentences(part);
        let (pairs, _) = told(part, &INPUT_P99);
        let input = pairs.last().and_then(|last| {
            let of_arms = of_each(&last.group, &INPUT_P99, millis);
            each_told("of the player's input one message in a hundred took longer than", of_arms, "")
        });
        said.extend(input.map(|input| sentence(None, &input)));
        said
    },
    figures: Some(&Figures {
        title: "How much of the picture is there in time?",
        columns: &[
            ("In time", &IN_TIME),
            ("Missing", &MISSING),
            ("Undecodable", &UNDECODABLE),
            ("Longest freeze", &FREEZE),
            ("Input", &INPUT_P99),
        ],
        about: ABOUT,
    }),
    ..VIDEO_CALL
};

const ABOUT: &str = "In time: whole, and decoded within the deadline. A frame refers to the one before it: where that is missing, it is \
                     undecodable, until the next key frame.";

fn sentences(part: &PartView<'_>) -> Vec<String> {
    let (pairs, missing) = told(part, &IN_TIME);
    let mut sentences: Vec<String> = missing.into_iter().collect();
    let Some(last) = pairs.last() else {
        sentences.push(without_pairs(part, &IN_TIME, "No frame was sent."));
        return sentences;
    };
    let is_alone = last.group.cells.len() == 1;
    // Of one arm alone the conditions are compared.
    let spoken_of = |n: &usize| is_alone || *n == 0 || *n == pairs.len() - 1;
    sentences.extend((0..pairs.len()).filter(spoken_of).map(|n| {
        let pair = &pairs[n];
        let share = set_against(pair, &IN_TIME, "the share of the frames that were decoded in time is", percent);
        sentence(at(pair.a), &share)
    }));
    let each = |metric, show: fn(f64) -> String, before, after| {
        each_told(before, of_each(&last.group, metric, show), after).map(|said| sentence(None, &said))
    };
    if is_alone {
        return sentences;
    }
    sentences.extend(each(&IN_TIME, percent, "of all frames", "were decoded in time"));
    sentences.extend(each(&FREEZE, millis, "the picture stood still for", "at the longest"));
    sentences
}

/// As the table has it; but 99.96 % is not all of it, and is rounded down.
fn percent(value: f64) -> String {
    let rounded = number(value);
    if value < 100.0 && rounded == "100" {
        return format!("{} %", number((value * 10.0).floor() / 10.0));
    }
    format!("{rounded} %")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_share_is_whole_where_it_is_all() {
        assert_eq!([63.888, 99.94, 99.96, 100.0].map(super::percent), ["63.9 %", "99.9 %", "99.9 %", "100 %"]);
    }
}
