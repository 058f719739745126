//! Score of `game-state`: how old the newest update is that the receiver has, over time.

use samepath_model::{Arm, Workload};

use super::definition::{Figures, Score};
use crate::metric;
use crate::metric::game_state::{AGE_ABOVE_BOUND, AGE_MAX, AGE_MEAN, AGE_P99};
use crate::number::number;
use crate::part::PartView;
use crate::sentence::{Figure, each_told, sentence, set_against, told};
use crate::words::{at, millis, time};

pub(super) const SCORE: Score = Score {
    table: &[&AGE_MEAN, &AGE_P99, &AGE_MAX, &AGE_ABOVE_BOUND, &metric::DELIVERED_SHARE],
    compared: &[&AGE_MEAN, &AGE_P99, &AGE_ABOVE_BOUND],
    headline: &AGE_P99,
    rows: |_| {
        vec![
            (Figure::Of(&AGE_MEAN), "mean age of the newest update [ms]"),
            (Figure::Of(&AGE_P99), "for a hundredth of the time it was older than [ms] (age p99)"),
            (Figure::Of(&AGE_ABOVE_BOUND), "too old [% of the time]"),
        ]
    },
    sentences,
    charts: &["age-tail", "figures"],
    figures: Some(&Figures {
        title: "How old is the newest update?",
        columns: &[("mean", &AGE_MEAN), ("p99", &AGE_P99), ("largest", &AGE_MAX), ("too old", &AGE_ABOVE_BOUND)],
        about: "Age: the time since the release of the newest update that was delivered, as a function of time; too old: \
                the share of the time in which it was above the workload's bound.",
    }),
    of_messages: metric::game_state::figures,
};

fn sentences(part: &PartView<'_>) -> Vec<String> {
    let (pairs, missing) = told(part, &AGE_P99);
    let mut sentences: Vec<String> = missing.into_iter().collect();
    let Some(last) = pairs.last() else { return sentences };
    let first = pairs.first().filter(|_| pairs.len() > 1);
    sentences.extend(first.into_iter().chain([last]).map(|pair| {
        let old = "for a hundredth of the time the newest update was older than";
        sentence(at(pair.a), &set_against(pair, &AGE_P99, old, millis))
    }));
    let Workload::GameState(state) = last.a.plan.workload.scored() else { return sentences };
    let bound = time(state.bound);
    let too_old: Vec<(Arm, f64)> =
        last.group.cells.iter().filter_map(|cell| Some((cell.arm, cell.estimate(&AGE_ABOVE_BOUND)?.median))).collect();
    if too_old.iter().all(|(_, percent)| *percent <= 0.0) {
        sentences.push(format!("It was never older than {bound}."));
    } else {
        let shares = too_old.into_iter().map(|(arm, percent)| (arm, format!("{} %", number(percent)))).collect();
        let said = each_told(&format!("it was older than {bound} for"), shares, "of the time");
        sentences.extend(said.map(|said| sentence(None, &said)));
    }
    sentences
}
