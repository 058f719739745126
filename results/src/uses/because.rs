//! What is said of a use beside its table: what its delay is made of, what it costs a transfer beside it, and which rules of thumb
//! are wrong.

use samepath_model::experiment::RuleSpec;

use super::definition::{Met, Row, Uses};
use super::text;
use crate::cells::Cell;
use crate::metric::{self, Metric};
use crate::number::number;
use crate::part::{Group, PartView};
use crate::words::{capital, each_on, joined};

/// What the delay of the slowest hundredth of messages is made of.
const PARTS: [(&Metric, &str); 5] = [
    (&metric::TAIL_HOLD, "waiting at the sender"),
    (&metric::TAIL_NETWORK, "propagation and queueing"),
    (&metric::TAIL_OWN_LOSS, "waiting for lost bytes of their own"),
    (&metric::TAIL_BLOCKED, "waiting behind lost bytes of others"),
    (&metric::TAIL_STACK, "the receiving host"),
];

/// What most of the delay is, on each arm, under the conditions with the most loss of those that distance does not decide; of
/// a transfer what of it is the handshake.
pub(super) fn reason(uses: &Uses, name: &str, parts: &[&PartView<'_>]) -> Option<String> {
    let is_decided = |group: &Group<'_>| {
        let conditions = text::conditions(&group.cells[0].plan);
        let rows = uses.blocks.iter().filter(|block| block.conditions == conditions).flat_map(|block| &block.rows);
        rows.filter(|row| row.of == name).any(|row| row.cells.iter().all(|cell| cell.verdict == Met::FailsByDistance))
    };
    let loss = |group: &Group<'_>| {
        let link = &group.cells[0].plan.link;
        link.up.loss.rate() + link.down.loss.rate()
    };
    let mut groups: Vec<Group<'_>> = parts.iter().flat_map(|part| part.groups()).collect();
    groups.retain(|group| group.cells[0].competing.is_empty() && !is_decided(group));
    // The last of those that lose alike, as everywhere.
    let Some(group) = groups.iter().max_by(|a, b| loss(a).total_cmp(&loss(b))) else {
        return Some("The round trip alone takes too long, whatever the transport.".into());
    };
    let conditions = text::conditions(&group.cells[0].plan);
    let median = |cell: &Cell<'_>, of: &Metric| cell.estimate(of).map(|estimate| estimate.median);
    let largest = |cell: &&Cell<'_>| {
        let parts = PARTS.iter().filter_map(|(of, words)| Some((median(cell, of)?, *words)));
        let (percent, words) = parts.max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some((words, format!("{} ({} %)", cell.arm, number(percent.round()))))
    };
    let mut by_part: Vec<(&str, Vec<String>)> = Vec::new();
    for (words, arm) in group.cells.iter().filter_map(largest) {
        match by_part.iter_mut().find(|(known, _)| *known == words) {
            Some((_, arms)) => arms.push(arm),
            None => by_part.push((words, vec![arm])),
        }
    }
    if !by_part.is_empty() {
        let said: Vec<String> = by_part.iter().map(|(words, arms)| format!("{words} on {}", joined(arms))).collect();
        return Some(format!(
            "On {conditions} the slowest hundredth of messages were late mostly by {}.",
            said.join("; ")
        ));
    }
    let of_handshake = |cell: &&Cell<'_>| {
        let (handshake, whole) = (median(cell, &metric::HANDSHAKE)?, median(cell, &metric::COMPLETION)?);
        Some((cell.arm, format!("{} %", number((100.0 * handshake / whole).round()))))
    };
    let shares = group.cells.iter().filter_map(of_handshake);
    let sent_again =
        group.cells.iter().filter_map(|cell| Some((cell.arm, number(median(cell, &metric::RETRANSMISSIONS)?))));
    let shares = each_on(shares, "on")?;
    let again = each_on(sent_again, "on").map_or_else(String::new, |said| format!("; packets sent again: {said}"));
    Some(format!("On {conditions} the handshake was {shares} of the time{again}."))
}

/// What a transfer beside it got, by the arm of the use.
pub(super) fn cost(parts: &[&PartView<'_>]) -> Option<String> {
    let groups: Vec<Group<'_>> = parts.iter().flat_map(|part| part.groups()).collect();
    let group = groups.into_iter().find(|group| !group.cells[0].competing.is_empty())?;
    fn beside<'c, 'r>(cell: &'c Cell<'r>) -> Option<&'c Cell<'r>> {
        cell.competing.first().map(|flow| &flow.cell)
    }
    let first = group.cells.iter().find(|cell| cell.arm.is_reliable).or(group.cells.first())?;
    let reference = beside(first)?;
    let got = reference.estimate(&metric::GOODPUT).filter(|got| got.median > 0.0)?;
    let conditions = text::conditions(&group.cells[0].plan);
    let mut said = Vec::new();
    for cell in group.cells.iter().filter(|cell| cell.arm != first.arm) {
        let Some((ratio, interval)) = beside(cell).and_then(|other| reference.ratio(other, &metric::GOODPUT)) else {
            continue;
        };
        let interval = interval.map_or_else(String::new, |of| format!(" ({:.2}–{:.2})", of.low, of.high));
        said.push(format!("{ratio:.2} times that{interval} beside {}", cell.arm));
    }
    let sure = match reference.n() {
        1 => "; of one seed, so how much of it is chance cannot be told",
        n if n < crate::stats::FEWEST_FOR_INTERVAL => "; too few seeds for an interval",
        _ => ", with 95 % intervals",
    };
    let rest = if said.is_empty() { String::new() } else { format!(", {}{sure}", joined(&said)) };
    let arm = reference.arm;
    let got = number(got.median);
    Some(format!("On {conditions}: the download itself, over {arm}, got {got} Mbit/s beside {}{rest}.", first.arm))
}

/// Whether a rule of thumb is wrong: where an arm that it rules out meets what is needed, for sure.
pub(super) fn of_rule(uses: &Uses, rule: &RuleSpec) -> String {
    let says = format!("“{}”", capital(&rule.says));
    let rows = || {
        let all = uses.blocks.iter().flat_map(|block| block.rows.iter().map(move |row| (&block.conditions, row)));
        all.filter(|(_, row)| row.of == rule.of)
    };
    let ruled_out = |row: &Row, is: fn(Met) -> bool| {
        let cells = row.cells.iter().filter(|cell| !rule.arms.contains(&cell.arm) && is(cell.verdict));
        cells.map(|cell| cell.arm.to_string()).collect::<Vec<_>>()
    };
    let wrong: Vec<String> = rows()
        .filter_map(|(conditions, row)| {
            let arms = ruled_out(row, |verdict| verdict == Met::Meets);
            (!arms.is_empty()).then(|| format!("on {conditions} by {}", joined(&arms)))
        })
        .collect();
    let holds: Vec<String> = rows()
        .filter(|(_, row)| {
            let own = row.cells.iter().any(|cell| rule.arms.contains(&cell.arm) && cell.verdict == Met::Meets);
            own && row.cells.iter().all(|cell| rule.arms.contains(&cell.arm) || cell.verdict.is_failed())
        })
        .map(|(conditions, _)| conditions.clone())
        .collect();
    match (wrong.is_empty(), holds.is_empty()) {
        (false, true) => format!("{says} is wrong: what is needed is met without, {}.", joined(&wrong)),
        (false, false) => format!(
            "{says} is wrong as a rule: what is needed is met without, {}. It holds on {}.",
            joined(&wrong),
            joined(&holds)
        ),
        (true, false) => format!("{says} holds on {}.", joined(&holds)),
        (true, true) => format!("{says} is neither shown nor refuted here."),
    }
}
