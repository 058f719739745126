//! Score of `page`: when its first byte, its largest image and its last object are there.

use super::definition::{Figures, PLAIN, Score};
use crate::metric;
use crate::metric::page::{CSS, LARGEST_IMAGE, LOAD, LOOKUP, LOOKUP_TRIES, PATH_REQUESTS};
use crate::part::PartView;
use crate::sentence::{Figure, has, sentence, set_against, told, without_pairs};
use crate::words::{at, millis};

pub(super) const SCORE: Score = Score {
    table: &[
        &LOOKUP,
        &LOOKUP_TRIES,
        &metric::FIRST_BYTE,
        &CSS,
        &LARGEST_IMAGE,
        &LOAD,
        &PATH_REQUESTS,
        &metric::HANDSHAKE,
    ],
    compared: &[&metric::FIRST_BYTE, &LARGEST_IMAGE, &LOAD],
    headline: &LOAD,
    rows: |part| {
        let first = (Figure::Of(&metric::FIRST_BYTE), "first byte of the HTML after [ms] (TTFB)");
        let rows = [
            (Figure::Of(&CSS), "all stylesheets after [ms]"),
            (Figure::Of(&LARGEST_IMAGE), "largest image after [ms] (for LCP)"),
            (Figure::Of(&LOAD), "whole page after [ms]"),
        ];
        let lookup = has(part, &LOOKUP).then_some((Figure::Of(&LOOKUP), "name of its server looked up after [ms]"));
        lookup.into_iter().chain(has(part, &metric::FIRST_BYTE).then_some(first)).chain(rows).collect()
    },
    sentences,
    figures: Some(&Figures {
        title: "When are the first byte, the stylesheets, the largest image and the whole page there?",
        columns: &[
            ("name lookup", &LOOKUP),
            ("first byte", &metric::FIRST_BYTE),
            ("stylesheets", &CSS),
            ("largest image", &LARGEST_IMAGE),
            ("whole page", &LOAD),
        ],
        about: "Times from the start, of a cold session with the lookup of its server's name, unless that is cached, and its \
                handshake. What a browser computes is left out.",
    }),
    of_messages: metric::page::figures,
    ..PLAIN
};

fn sentences(part: &PartView<'_>) -> Vec<String> {
    let (pairs, missing) = told(part, &LOAD);
    let mut sentences: Vec<String> = missing.into_iter().collect();
    sentences.extend(unresolved(part));
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

/// In how many trials the name was not resolved, where there are any.
fn unresolved(part: &PartView<'_>) -> Option<String> {
    let outcomes = || part.trials().filter_map(|record| record.summary.as_ref()?.name_lookup);
    let failed = outcomes().filter(|lookup| !lookup.answered).count();
    let (all, s) = (outcomes().count(), if failed == 1 { "" } else { "s" });
    (failed > 0).then(|| {
        format!(
            "In {failed} trial{s} of {all} no query for the name of the server was answered: there was no page to be had."
        )
    })
}
