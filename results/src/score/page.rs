//! Score of `page`: when its first byte, its largest image and its last object are there.

use super::definition::{Figures, PLAIN, Score};
use crate::metric;
use crate::metric::page::{CSS, LARGEST_IMAGE, LOAD, PATH_REQUESTS};
use crate::part::PartView;
use crate::sentence::{Figure, has, sentence, set_against, told, without_pairs};
use crate::words::{at, millis};

pub(super) const SCORE: Score = Score {
    table: &[&metric::FIRST_BYTE, &CSS, &LARGEST_IMAGE, &LOAD, &PATH_REQUESTS, &metric::HANDSHAKE],
    compared: &[&metric::FIRST_BYTE, &LARGEST_IMAGE, &LOAD],
    headline: &LOAD,
    rows: |part| {
        let first = (Figure::Of(&metric::FIRST_BYTE), "first byte of the HTML after [ms] (TTFB)");
        let rows = [
            (Figure::Of(&CSS), "all stylesheets after [ms]"),
            (Figure::Of(&LARGEST_IMAGE), "largest image after [ms] (for LCP)"),
            (Figure::Of(&LOAD), "whole page after [ms]"),
        ];
        has(part, &metric::FIRST_BYTE).then_some(first).into_iter().chain(rows).collect()
    },
    sentences,
    figures: Some(&Figures {
        title: "When are the first byte, the stylesheets, the largest image and the whole page there?",
        columns: &[
            ("first byte", &metric::FIRST_BYTE),
            ("stylesheets", &CSS),
            ("largest image", &LARGEST_IMAGE),
            ("whole page", &LOAD),
        ],
        about: "Times from the start, of a cold session with its handshake. What a browser computes, and the query of its \
                name, are left out.",
    }),
    of_messages: metric::page::figures,
    ..PLAIN
};

fn sentences(part: &PartView<'_>) -> Vec<String> {
    let (pairs, missing) = told(part, &LOAD);
    let mut sentences: Vec<String> = missing.into_iter().collect();
    let Some(last) = pairs.last() else {
        sentences.push(without_pairs(part, &LOAD, "No page was loaded whole."));
        return sentences;
    };
    let first = pairs.first().filter(|_| pairs.len() > 1);
    for pair in first.into_iter().chain([last]) {
        let largest = set_against(pair, &LARGEST_IMAGE, "the largest image was there after", millis);
        sentences.push(sentence(at(pair.a), &largest));
        let whole = set_against(pair, &LOAD, "the whole page was there after", millis);
        sentences.push(sentence(None, &whole));
    }
    if has(part, &metric::FIRST_BYTE) {
        let first = set_against(last, &metric::FIRST_BYTE, "the first byte came after", millis);
        sentences.push(sentence(None, &first));
    }
    sentences
}
