//! The table of uses in words, and as plain text for the terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use samepath_model::Trial;
use samepath_model::experiment::{Bound, Figure, Statistic};

use super::definition::{Block, Met, UseCell, Uses};
use crate::judge::Needed;
use crate::metric::{Metric, Unit};
use crate::number::number;
use crate::plain::{table, wrap};
use crate::words::millis;

/// The conditions' short name: the values of the axes, a profile by its name alone, and what is beside.
pub(super) fn conditions(plan: &Trial) -> String {
    let axis = |(name, value): (&String, &String)| match name.as_str() {
        "profile" => value.clone(),
        _ => format!("{name} {value}"),
    };
    let mut said: Vec<String> = plan.axes.iter().map(axis).collect();
    if said.is_empty() {
        said.push(plan.link.to_string());
    }
    said.extend(plan.competing.iter().map(|flow| format!("beside a {}", flow.name)));
    said.join(", ")
}

/// A need: `latency p99 at most 250ms`, and which percentile of the trials where it is not their median.
pub(super) fn claim(need: &Needed) -> String {
    match need.statistic {
        Statistic::Percentile { percentile, .. } => {
            // Of one value a trial there is no other.
            let label = need.metric.label.trim_end_matches(" p50");
            format!("p{} of {label} {}", number(percentile), need.bound.1)
        }
        _ => format!("{} {}", need.metric.label, need.bound.1),
    }
}

/// A limit, which lies beyond the bound: `5s`.
pub(super) fn limit(written: &Bound<Figure>) -> String {
    match written {
        Bound::AtMost(figure) | Bound::AtLeast(figure) => figure.to_string(),
        other => other.to_string(),
    }
}

/// A figure with its unit.
pub(super) fn figure(metric: &Metric, value: f64) -> String {
    match metric.unit {
        Unit::Millis if value.abs() < 1e3 => millis(value),
        Unit::Millis => format!("{} s", number(value / 1e3)),
        Unit::Index | Unit::Count => format!("{} {}", metric.label.split(' ').next_back().unwrap_or(""), number(value)),
        // 99.996 % is not all of it.
        unit if metric.is_share_of_all => format!("{} {}", number((value * 100.0).floor() / 100.0), unit.symbol()),
        unit => format!("{} {}", number(value), unit.symbol()),
    }
}

impl UseCell {
    /// The figure that decides: `182 ms`.
    pub(crate) fn figure(&self) -> String {
        self.needs.first().map_or_else(|| "–".to_owned(), |need| need.words.clone())
    }

    /// The verdict: `fails, within the limit`.
    pub(crate) fn words(&self) -> String {
        match self.verdict.is_failed() && self.within_limit {
            true => format!("{}, within the limit", self.verdict.words()),
            false => self.verdict.words().to_owned(),
        }
    }

    /// The best that the figure that decides can be: `floor 60 ms`.
    pub(crate) fn floor(&self) -> Option<String> {
        let need = self.needs.first()?;
        let metric = crate::metric::ALL.iter().find(|metric| metric.key() == need.metric)?;
        let floor = need.floor.filter(|_| metric.unit == Unit::Millis || self.verdict == Met::FailsByDistance)?;
        Some(format!("floor {}", figure(metric, floor)))
    }

    /// Why it cannot be told.
    pub(crate) fn reason(&self) -> Option<String> {
        match self.verdict {
            Met::CannotTell { reason } => Some(reason.to_string()),
            _ => None,
        }
    }
}

/// The table as plain text, a block a set of conditions, then what is needed and what is said of each use; nothing where there are no
/// uses.
pub fn render(uses: Option<&Uses>) -> String {
    let Some(uses) = uses else { return String::new() };
    let mut text = String::from("\nWhich transport?\n");
    for block in &uses.blocks {
        let _ = writeln!(text, "\nOn {}:\n{}", block.conditions, of_block(block));
    }
    let _ = writeln!(text, "\nWhat is needed");
    for of in &uses.uses {
        for need in &of.needs {
            let limit = need.limit.as_ref().map_or_else(String::new, |limit| format!(" (limit {limit})"));
            text += &wrap(&format!("  {}: {}{limit}; {}", of.name, need.claim, need.source));
        }
    }
    for of in uses.uses.iter().filter(|of| !of.sentences.is_empty()) {
        text += "\n";
        text += &wrap(&format!("{}: {}", of.name, of.sentences.join(" ")));
    }
    text
}

fn of_block(block: &Block) -> String {
    let head = std::iter::once("use".to_owned()).chain(block.arms.iter().map(ToString::to_string));
    let mut rows: Vec<Vec<String>> = vec![head.collect()];
    for row in &block.rows {
        let of_arm = |arm| match row.cells.iter().find(|cell| cell.arm == arm) {
            Some(cell) => {
                let floor = cell.floor().map_or_else(String::new, |floor| format!(" ({floor})"));
                format!("{}{floor}\n{}", cell.figure(), cell.words())
            }
            None => String::new(),
        };
        rows.push(std::iter::once(row.of.clone()).chain(block.arms.iter().map(|arm| of_arm(*arm))).collect());
    }
    table(rows, 0..0) + &open(block)
}

/// Why what cannot be told cannot, each reason with the cells that it is of.
fn open(block: &Block) -> String {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for reason in block.rows.iter().flat_map(|row| &row.cells).filter_map(UseCell::reason) {
        *reasons.entry(reason).or_default() += 1;
    }
    let told = |(reason, cells): (String, usize)| {
        let s = if cells == 1 { "" } else { "s" };
        format!("{cells} cell{s}: {reason}")
    };
    let told: Vec<String> = reasons.into_iter().map(told).collect();
    if told.is_empty() {
        return String::new();
    }
    format!("\nCannot tell: {}", wrap(&told.join("; ")).trim_end())
}
