//! The table of uses: what people do, over which arm, on which link, and whether what they need is met.
//!
//! A row is a use, a column an arm, a block a set of conditions. A cell has the figure that decides, and **meets**, **fails** or
//! **cannot tell** by the [judge](crate::judge). Where arithmetic alone says that no arm can meet a need ([`floor`]), it says so of
//! every arm, and needs no trial for it.
//!
//! Start with [`Uses::of`]; [`render`] has it as text.

mod because;
mod floor;
mod samples;
#[cfg(test)]
mod tests;
mod text;

use samepath_model::Arm;
use samepath_model::experiment::{CellName, Statistic};
use serde::Serialize;

use crate::analysis::Analysis;
use crate::cells::Cell;
use crate::judge::{Needed, Reason, Verdict, judge};
use crate::metric::Metric;
use crate::part::{Group, PartView};
use crate::stats;

pub use text::render;

/// The uses of an experiment, with what became of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Uses {
    /// A set of conditions each.
    pub blocks: Vec<Block>,
    /// The uses, in the experiment's order.
    pub uses: Vec<Use>,
}

/// A use, and what is said of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Use {
    /// What people do.
    pub name: String,
    /// What they need, each with who says so.
    pub needs: Vec<Told>,
    /// Why it is as it is, what it costs others, and which rules of thumb are wrong.
    pub sentences: Vec<String>,
}

/// A need in words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// What is needed: `latency p99 at most 250ms`.
    pub claim: String,
    /// What is still borne, where that is said: `5s`.
    pub limit: Option<String>,
    /// Who says so.
    pub source: String,
}

/// The uses under one set of conditions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Block {
    /// The conditions' short name.
    pub conditions: String,
    /// The link in words.
    pub link: String,
    /// The arms that any of the rows has, in the order of the charts.
    pub arms: Vec<Arm>,
    /// A use each.
    pub rows: Vec<Row>,
}

/// A use under one set of conditions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The use.
    #[serde(rename = "use")]
    pub of: String,
    /// The part of the experiment.
    pub part: String,
    /// An arm each.
    pub cells: Vec<UseCell>,
}

/// A use over an arm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UseCell {
    /// The arm.
    pub arm: Arm,
    /// Whether all that is needed is met.
    #[serde(flatten)]
    pub verdict: Met,
    /// Whether all that is not met is still within its limit, for sure.
    pub within_limit: bool,
    /// Each need, that which decides first.
    pub needs: Vec<Answered>,
}

/// A need in a cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answered {
    /// The metric's name in files.
    pub metric: String,
    /// What the trials came to, in the metric's unit; `None` where none has it.
    pub found: Option<f64>,
    /// The same in words.
    pub words: String,
    /// The best that there can be, where arithmetic says it.
    pub floor: Option<f64>,
    /// Whether it is met.
    #[serde(flatten)]
    pub verdict: Met,
    /// Whether it is within the limit, for sure.
    pub within_limit: bool,
}

/// Whether a need is met.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Met {
    /// It is.
    Meets,
    /// It is not.
    Fails,
    /// It cannot be, on any arm: the way is too long.
    FailsByDistance,
    /// It cannot be on this arm, which takes more round trips than others.
    FailsByRoundTrips,
    /// What was measured does not settle it.
    CannotTell {
        /// Why.
        reason: Reason,
    },
}

impl Met {
    /// As a table says it.
    pub const fn words(self) -> &'static str {
        match self {
            Met::Meets => "meets",
            Met::Fails => "fails",
            Met::FailsByDistance => "fails by distance",
            Met::FailsByRoundTrips => "fails by its round trips",
            Met::CannotTell { .. } => "cannot tell",
        }
    }

    /// Whether it is not met, for sure.
    pub const fn is_failed(self) -> bool {
        matches!(self, Met::Fails | Met::FailsByDistance | Met::FailsByRoundTrips)
    }

    /// What decides of several: that which fails by distance before that which fails, and so on.
    const fn rank(self) -> u8 {
        match self {
            Met::FailsByDistance => 0,
            Met::FailsByRoundTrips => 1,
            Met::Fails => 2,
            Met::CannotTell { .. } => 3,
            Met::Meets => 4,
        }
    }
}

impl From<Verdict> for Met {
    fn from(verdict: Verdict) -> Met {
        match verdict {
            Verdict::Pass => Met::Meets,
            Verdict::Fail => Met::Fails,
            Verdict::Inconclusive { reason } => Met::CannotTell { reason },
        }
    }
}

impl Uses {
    /// The uses of a run; `None` where its experiment has none that need anything.
    pub fn of(analysis: &Analysis<'_>) -> Option<Uses> {
        let needs = analysis.run().needs();
        let parts = analysis.parts();
        let spec = analysis.run().experiment().spec();
        let use_of =
            |part: &PartView<'_>| spec.parts.iter().find(|of| of.name == part.name).and_then(|of| of.of_use.clone());
        let mut uses = Uses { blocks: Vec::new(), uses: Vec::new() };
        let mut of_uses: Vec<(String, Vec<&PartView<'_>>)> = Vec::new();
        for part in &parts {
            let Some(name) = use_of(part).filter(|name| needs.iter().any(|need| need.of == *name)) else { continue };
            match of_uses.iter_mut().find(|(known, _)| *known == name) {
                Some((_, parts)) => parts.push(part),
                None => of_uses.push((name, vec![part])),
            }
        }
        for (name, parts) in &of_uses {
            let own: Vec<&Needed> = needs.iter().filter(|need| need.of == *name).collect();
            for part in parts {
                for group in part.groups() {
                    uses.add(row(name, part, &group, &own, analysis.cells()), &group);
                }
            }
            let told = own.iter().map(|need| Told {
                claim: text::claim(need),
                limit: need.limit.as_ref().map(|(_, written)| text::limit(written)),
                source: need.source.clone(),
            });
            uses.uses.push(Use { name: name.clone(), needs: told.collect(), sentences: Vec::new() });
        }
        for (place, (name, parts)) in of_uses.iter().enumerate() {
            let rules = spec.rules.iter().filter(|rule| rule.of == *name);
            let said = [because::reason(&uses, name, parts), because::cost(parts)].into_iter().flatten();
            uses.uses[place].sentences = said.chain(rules.map(|rule| because::of_rule(&uses, rule))).collect();
        }
        (!uses.uses.is_empty()).then_some(uses)
    }

    fn add(&mut self, row: Row, group: &Group<'_>) {
        let plan = &group.cells[0].plan;
        let conditions = text::conditions(plan);
        let place = self.blocks.iter().position(|block| block.conditions == conditions).unwrap_or_else(|| {
            let link = plan.link.to_string();
            self.blocks.push(Block { conditions, link, arms: Vec::new(), rows: Vec::new() });
            self.blocks.len() - 1
        });
        let block = &mut self.blocks[place];
        block.arms = Arm::all()
            .filter(|arm| block.arms.contains(arm) || row.cells.iter().any(|cell| cell.arm == *arm))
            .collect();
        block.rows.push(row);
    }
}

/// A use under one set of conditions, over each arm.
fn row(name: &str, part: &PartView<'_>, group: &Group<'_>, needs: &[&Needed], all: &[Cell<'_>]) -> Row {
    let beyond = |cell: &Cell<'_>, need: &Needed| {
        floor::floor(&cell.plan, need.metric).is_some_and(|floor| !need.bound.0.holds(floor))
    };
    let answered = |cell: &Cell<'_>, need: &Needed| {
        let by_distance = group.cells.iter().all(|other| beyond(other, need));
        answer(cell, need, all, by_distance, beyond(cell, need))
    };
    let of_arm = |cell: &&Cell<'_>| {
        let mut needs: Vec<Answered> = needs.iter().map(|need| answered(cell, need)).collect();
        needs.sort_by_key(|need| need.verdict.rank());
        let within_limit = needs.iter().all(|need| need.within_limit || need.verdict == Met::Meets);
        let verdict = needs.first().map_or(Met::Meets, |need| need.verdict);
        UseCell { arm: cell.arm, verdict, within_limit, needs }
    };
    Row { of: name.to_owned(), part: part.name.to_owned(), cells: group.cells.iter().map(of_arm).collect() }
}

fn answer(cell: &Cell<'_>, need: &Needed, all: &[Cell<'_>], by_distance: bool, beyond: bool) -> Answered {
    let name = CellName { part: cell.part.clone(), axes: cell.axes.clone(), arm: cell.arm };
    let judged = judge(&need.expectation(&name, &need.bound), all);
    let measured = enough(judged.verdict, cell, need);
    let verdict = match (by_distance, beyond) {
        (true, _) => Met::FailsByDistance,
        (_, true) => Met::FailsByRoundTrips,
        _ => measured.into(),
    };
    let of_limit = |limit| enough(judge(&need.expectation(&name, limit), all).verdict, cell, need) == Verdict::Pass;
    let found = judged.found.map(|found| found.median);
    Answered {
        metric: need.metric.key(),
        found,
        words: found.map_or_else(|| "–".to_owned(), |found| text::figure(need.metric, found)),
        floor: floor::floor(&cell.plan, need.metric),
        verdict,
        within_limit: need.limit.as_ref().is_some_and(of_limit),
    }
}

/// The verdict, as far as the cell has samples enough for it: 99 in a hundred of fewer than 299 prove nothing at 95 %.
fn enough(verdict: Verdict, cell: &Cell<'_>, need: &Needed) -> Verdict {
    let Statistic::Median { confidence } = need.statistic else { return verdict };
    let of_trial = samples::of_trial(&cell.plan);
    let Some(share) = samples::quantile(need.metric, need.bound.0).filter(|_| of_trial > 1) else { return verdict };
    let samples = of_trial * cell.n();
    let needed = usize::try_from(stats::runs_for_quantile(share, confidence)).unwrap_or(usize::MAX);
    match verdict {
        Verdict::Pass if samples < needed => Verdict::inconclusive(Reason::TooFewSamples { samples, needed }),
        verdict => verdict,
    }
}

/// The metric of a need as the table's rows are about it.
fn is_time(metric: &Metric) -> bool {
    metric.unit == crate::metric::Unit::Millis
}
