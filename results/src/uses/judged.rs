//! What became of each use: the cells of a run, held against what is needed.

use samepath_model::Arm;
use samepath_model::experiment::{CellName, Statistic};

use super::definition::{Answered, Block, Met, Row, Told, Use, UseCell, Uses};
use super::{because, floor, samples, text};
use crate::cells::Cell;
use crate::judge::{Needed, Reason, Verdict, judge};
use crate::part::{Group, PartView};
use crate::stats;
use crate::store::Run;

/// The uses of a run, whose cells and parts these are; `None` where its experiment has none that need anything.
pub(crate) fn of(run: &Run, cells: &[Cell<'_>], parts: &[PartView<'_>]) -> Option<Uses> {
    let needs = run.needs();
    let spec = run.experiment().spec();
    let use_of =
        |part: &PartView<'_>| spec.parts.iter().find(|of| of.name == part.name).and_then(|of| of.of_use.clone());
    let mut uses = Uses { blocks: Vec::new(), uses: Vec::new() };
    let mut of_uses: Vec<(String, Vec<&PartView<'_>>)> = Vec::new();
    for part in parts {
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
                add(&mut uses, row(name, part, &group, &own, cells), &group);
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

fn add(uses: &mut Uses, row: Row, group: &Group<'_>) {
    let plan = &group.cells[0].plan;
    let conditions = text::conditions(plan);
    let place = uses.blocks.iter().position(|block| block.conditions == conditions).unwrap_or_else(|| {
        let link = plan.link.to_string();
        uses.blocks.push(Block { conditions, link, arms: Vec::new(), rows: Vec::new() });
        uses.blocks.len() - 1
    });
    let block = &mut uses.blocks[place];
    block.arms =
        Arm::all().filter(|arm| block.arms.contains(arm) || row.cells.iter().any(|cell| cell.arm == *arm)).collect();
    block.rows.push(row);
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
