//! The short answer: a sentence or two a part, which can be said aloud, and a small table of the figures behind them.
//!
//! The conditions that the sentences speak of are chosen by the experiment's plan, never by the results: those with
//! the most loss, and of several the last. The two arms that are set against each other are chosen in the same way.
//! A sentence never claims more than its seeds carry; the uncertainty in full is the report's own section.

#[cfg(test)]
mod tests;

use samepath_model::Arm;

use crate::number::number;
use crate::part::{Group, PartView};
use crate::score::{self, Score};
use crate::sentence::Figure;
use crate::stats;

/// What a part answers.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its part.
    pub(crate) part: String,
    /// A sentence or two; the third says what was not delivered, or what is missing.
    pub(crate) sentences: Vec<String>,
    /// The arms, after the name of the column before them.
    pub(crate) head: Vec<String>,
    /// The figures behind the sentences: medians over the seeds.
    pub(crate) blocks: Vec<Block>,
    /// Sets of conditions that the table has no room for.
    pub(crate) left_out: usize,
}

/// A figure: a row for each set of conditions, whose name comes first, then a value an arm.
#[derive(Debug)]
pub(crate) struct Block {
    /// What the figure is; empty where the part varies nothing, and the one row says it.
    pub(crate) name: String,
    /// The rows.
    pub(crate) rows: Vec<Vec<String>>,
}

/// The answer of each part that has a trial that counts.
pub(crate) fn answers(parts: &[PartView<'_>]) -> Vec<Answer> {
    parts.iter().filter(|part| part.trials().next().is_some()).map(answer).collect()
}

fn answer(part: &PartView<'_>) -> Answer {
    let score = score::of(part);
    let sentences = (score.sentences)(part);
    let shown = shown(part.groups().len());
    let (head, blocks) = table(part, score, &shown);
    let left_out = part.groups().len() - shown.len();
    Answer { part: part.name.to_owned(), sentences, head, blocks, left_out }
}

/// More conditions than these would make the table a wall again.
const MOST_CONDITIONS: usize = 6;

/// Which of so many sets of conditions the small table shows: evenly spread, the first and the last among them.
fn shown(conditions: usize) -> Vec<usize> {
    match conditions {
        n if n <= MOST_CONDITIONS => (0..n).collect(),
        n => (0..MOST_CONDITIONS).map(|i| i * (n - 1) / (MOST_CONDITIONS - 1)).collect(),
    }
}

/// The small table: its head and its blocks.
fn table(part: &PartView<'_>, score: &Score, shown: &[usize]) -> (Vec<String>, Vec<Block>) {
    let (groups, arms) = (part.groups(), part.arms());
    let varied = groups.iter().any(|group| !group.label.is_empty());
    let mut head = vec![if varied { "conditions" } else { "" }.to_owned()];
    head.extend(arms.iter().map(ToString::to_string));
    let mut blocks = Vec::new();
    for (figure, name) in (score.rows)(part) {
        let value = |group: &Group<'_>, arm: Arm| {
            group.cells.iter().find(|cell| cell.arm == arm).and_then(|cell| figure.of(cell))
        };
        let values: Vec<Vec<Option<f64>>> =
            shown.iter().map(|&at| arms.iter().map(|&arm| value(&groups[at], arm)).collect()).collect();
        // What nobody measured, or nobody lost, is no row.
        let idle =
            |value: &Option<f64>| value.is_none() || matches!(figure, Figure::Undelivered) && *value == Some(0.0);
        if values.iter().flatten().all(idle) {
            continue;
        }
        let row = |(values, &at): (&Vec<Option<f64>>, &usize)| {
            let first = if varied { groups[at].label.clone() } else { name.to_owned() };
            let values = values.iter().map(|value| value.map_or_else(|| "–".to_owned(), number));
            std::iter::once(first).chain(values).collect()
        };
        let name = if varied { name.to_owned() } else { String::new() };
        blocks.push(Block { rows: values.iter().zip(shown).map(row).collect(), name });
    }
    (head, blocks)
}

/// What so many seeds carry, in one sentence below all answers; `fewest` is the least that a cell has.
pub(crate) fn caution(seeds: usize, fewest: usize) -> String {
    let mut said = match seeds {
        0 => return "No trial counts, so there is no answer.".to_owned(),
        1 => "All figures are of one seed: what happened once. How much of a difference is chance cannot be told."
            .to_owned(),
        n if stats::smallest_two_sided_p(n) > 0.05 => format!(
            "All figures are medians of {n} seeds: enough to see a large difference and its direction, too few to call \
             any significant."
        ),
        n => format!("All figures are medians of {n} seeds."),
    };
    if fewest < seeds {
        said += &match fewest {
            0 => " Some cells have no trial that counts.".to_owned(),
            fewest => format!(" Some cells have only {fewest}."),
        };
    }
    said
}
