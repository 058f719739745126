//! One stall, packet by packet: what came to the link, what was dropped, what brought its bytes, and
//! when the application had each message.

use std::rc::Rc;

use samepath_model::Workload;
use samepath_model::arm::Marker;
use samepath_model::record::{MessageRecord, TrialRecord};

use super::axis::{Axis, Beside, Panel, Tick};
use super::canvas::{Canvas, Rect, Stroke};
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::figure::{Figure, Key};
use super::theme::{INK, MUTED, arm_style};
use crate::analysis::Analysis;
use crate::blocking::{self, AnalyseError, Fate, NEVER, Packet, Story};
use crate::number::number;
use crate::part::PartView;

pub(crate) const CHART: ChartDef = ChartDef {
    name: "stall-packets",
    about: "The packets around one stall",
    absent: "The packets of a stall are not drawn",
    is_main: false,
    suits: |plan| matches!(plan.workload.scored(), Workload::Messages(_)),
    draw,
};

/// More rows than this cannot be told apart.
const MAX_ROWS: usize = 90;

/// A packet, and the messages whose last byte it brought.
struct Row<'a> {
    packet: Packet,
    messages: Vec<&'a MessageRecord>,
}

fn draw(analysis: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let (record, blocking, place) = choose(analysis, part)?;
    let story = blocking.story(place).ok_or_else(|| Absent::NoData("the stall has no story".into()))?;
    let Some(account) = story.account else {
        return Err(Absent::NoData("the stall has no account".into()));
    };
    let direction = record.trial.workload.direction();
    let inside = |(from, to): (i64, i64)| -> Vec<&Packet> {
        blocking.packets().iter().filter(|p| p.direction == direction && (from..to).contains(&p.arrived)).collect()
    };
    let sent = story.carried_by.iter().map(|packet| packet.arrived).min().unwrap_or(story.message.released);
    let whole = window(&story, story.message.released, account.complete);
    // What the sender held for long came to the link long after its release.
    let (from, to) = if inside(whole).len() <= MAX_ROWS { whole } else { window(&story, sent, account.complete) };
    let all = inside((from, to));
    let hidden = all.len().saturating_sub(MAX_ROWS);
    let all = most(all, &story);
    let brought = blocking.brought_by(from, to);
    let rows: Vec<Row<'_>> = all
        .into_iter()
        .map(|packet| Row {
            packet: *packet,
            messages: brought
                .iter()
                .filter(|(_, by)| by.number == packet.number && by.duplicate == packet.duplicate)
                .map(|(place, _)| &blocking.messages[*place])
                .collect(),
        })
        .collect();
    let again: Vec<u64> = story.blockers.iter().filter_map(|b| Some(b.brought()?.number)).collect();

    let arm = record.trial.arm;
    let name = format!("{}:{}", story.message.stream, story.message.seq);
    let title = format!("One stall, packet by packet: why {arm} kept message {name} waiting");
    let axes = crate::cells::label(&record.trial.axes);
    let conditions = if axes.is_empty() { String::new() } else { format!("{axes}, ") };
    let caption = format!(
        "Packets of the payload's direction around the longest stall of {arm} ({conditions}seed {}), a row each in the \
         order in which they came to the link: the line runs from there to the receiving host, the hatched bar until the \
         application had the message that the packet completed. Message {name} was blocked for {} ms. The longest stall of \
         one trial: it shows how a stall comes about, not how long stalls are.",
        record.trial.seed,
        number(account.parts.blocked() as f64 / 1e6)
    );
    let colour = arm_style(arm).colour;
    let legend = vec![
        Key::Mark { mark: Marker::Circle, colour: MUTED, label: "came to the link".into() },
        Key::Line { dash: &[], colour: MUTED, label: "on the link".into() },
        Key::Mark { mark: Marker::Cross, colour: INK, label: "lost: dropped, or corrupted".into() },
        Key::Mark { mark: Marker::Square, colour: INK, label: "brought what was missing".into() },
        Key::Hatch { colour, back: false, label: "in the host, not yet delivered".into() },
        Key::Mark { mark: Marker::Diamond, colour, label: "the application had the message".into() },
    ];
    let mut notes =
        vec![format!("samepath explain RUN --trial {} --message {name} says the same in words.", record.trial.id)];
    if hidden > 0 {
        notes.push(format!("{hidden} other packets of the span are not shown."));
    }
    let figure = Figure {
        title: title.clone(),
        conditions: vec![
            format!("{}: {}; n = 1 trial, seed {}", part.name, record.trial.workload, record.trial.seed),
            format!("link: {}", record.trial.link),
        ],
        legend,
        notes,
    };
    let stem = part.stem(CHART.name);
    let step = (360.0 / rows.len().max(1) as f64).clamp(5.0, 16.0);
    let plot = rows.len() as f64 * step + 8.0;
    let svg = figure.draw(&stem, &caption, plot + 48.0, |canvas, area| {
        let left = 66.0;
        let place = Rect { x: area.x + left, y: area.y + 8.0, w: area.w - left - 10.0, h: plot };
        let panel = Panel { area: place, x: Axis::exact(from as f64 / 1e6, to as f64 / 1e6, 10), y: numbers(&rows) };
        let beside = Beside {
            x_name: "time since the schedule's start (ms)",
            y_name: "packet (number at the link)",
            x_labels: true,
            y_labels: true,
            ..Beside::default()
        };
        panel.frame(canvas, beside);
        for (i, row) in rows.iter().enumerate() {
            draw_row(canvas, &panel, i, row, again.contains(&row.packet.number), colour, step);
        }
    });
    let table = table(&rows, &again);
    Ok(Drawing { chart: &CHART, part: part.name.to_owned(), stem, title, caption, svg, table })
}

/// The trial with the longest stall, and the message that it kept waiting.
fn choose<'a>(
    analysis: &Analysis<'_>,
    part: &PartView<'a>,
) -> Result<(&'a TrialRecord, Rc<blocking::Analysis>, usize), Absent> {
    let record = super::choice::longest_stall(part).map_err(Absent::NoData)?;
    let blocking = match analysis.blocking(record) {
        Ok(blocking) => blocking,
        Err(AnalyseError::Unattributed(reason)) => return Err(Absent::NoData(reason.to_string())),
        Err(AnalyseError::Source(error)) => return Err(error.into()),
    };
    let place = blocking.most_blocked();
    let place = place.ok_or_else(|| Absent::NoData("no message of the trial was blocked".into()))?;
    Ok((record, blocking, place))
}

/// As many of the packets as there is room for, in their order: those that the stall is about, then the first of the
/// others.
fn most<'a>(all: Vec<&'a Packet>, story: &Story<'_>) -> Vec<&'a Packet> {
    let blockers = || story.blockers.iter().flat_map(|missing| missing.lost().chain(missing.brought()));
    let concerned = |packet: &Packet| blockers().chain(&story.carried_by).any(|other| other == packet);
    let mut left = MAX_ROWS.saturating_sub(all.iter().filter(|packet| concerned(packet)).count());
    let mut chosen: Vec<&Packet> = all
        .into_iter()
        .filter(|packet| {
            let other = !concerned(packet);
            let shown = !other || left > 0;
            left -= usize::from(other && shown);
            shown
        })
        .collect();
    // A stall may be about more packets than there are rows; its end says what it waited for last.
    chosen.split_off(chosen.len().saturating_sub(MAX_ROWS))
}

/// From before the first drop behind the stall, or this instant of its message, until after its end.
fn window(story: &Story<'_>, start: i64, complete: i64) -> (i64, i64) {
    let drops = story.blockers.iter().flat_map(|missing| missing.lost().map(|packet| packet.arrived));
    let first = drops.min().unwrap_or(start).min(start);
    let end = story.message.delivered.unwrap_or(complete).max(complete);
    let margin = ((end - first) / 8).max(5_000_000);
    (first - margin, end + margin)
}

/// The rows from top to bottom, some of them named by their packet's number, counted from 1 as people do.
fn numbers(rows: &[Row<'_>]) -> Axis {
    let n = rows.len().max(1);
    let every = n.div_ceil(12);
    let ticks = rows
        .iter()
        .enumerate()
        .rev()
        .filter(|(i, _)| i % every == 0)
        .map(|(i, row)| Tick { at: height(i, n), label: (row.packet.number + 1).to_string() })
        .collect();
    Axis::exact(-0.5, n as f64 - 0.5, n).with_ticks(ticks)
}

/// Where a row lies on the axis: the first on top.
fn height(row: usize, rows: usize) -> f64 {
    (rows - 1 - row) as f64
}

fn draw_row(
    canvas: &mut Canvas<'_>,
    panel: &Panel,
    i: usize,
    row: &Row<'_>,
    again: bool,
    colour: plotters::style::RGBColor,
    step: f64,
) {
    let area = panel.area;
    let x = |at: i64| panel.at(at as f64 / 1e6, 0.0).0.clamp(area.x, area.right());
    let (_, y) = panel.at(0.0, height(i, ((panel.y.hi() - panel.y.lo()).round() as usize).max(1)));
    let packet = &row.packet;
    let r = (step / 4.0).clamp(1.8, 3.5);
    if packet.left != NEVER {
        let heavy = if again { 2.0 } else { 1.0 };
        let ink = if again { INK } else { MUTED };
        canvas.line(&[(x(packet.arrived), y), (x(packet.left), y)], Stroke::solid(ink, heavy));
    }
    for message in &row.messages {
        let Some(delivered) = message.delivered else { continue };
        let bar = Rect { x: x(packet.left), y: y - step * 0.3, w: x(delivered) - x(packet.left), h: step * 0.6 };
        if bar.w > 1.0 {
            canvas.fill(bar, colour, 0.12);
            canvas.hatch(bar, colour, 4.0, false);
        }
        if (panel.x.lo()..panel.x.hi()).contains(&(delivered as f64 / 1e6)) {
            canvas.mark(x(delivered), y, r, Marker::Diamond, colour);
        }
    }
    match packet.fate {
        Fate::Delivered if again => canvas.mark(x(packet.arrived), y, r + 1.0, Marker::Square, INK),
        Fate::Delivered => canvas.mark(x(packet.arrived), y, r, Marker::Circle, MUTED),
        Fate::Corrupted | Fate::Dropped(_) => canvas.mark(x(packet.arrived), y, r + 1.5, Marker::Cross, INK),
    }
}

fn table(rows: &[Row<'_>], again: &[u64]) -> Table {
    let head = [
        "packet",
        "came to the link [ms]",
        "fate",
        "left the link [ms]",
        "brought what was missing",
        "messages completed",
        "delivered [ms]",
    ]
    .map(str::to_owned)
    .to_vec();
    let ms = |ns: i64| format!("{:.3}", ns as f64 / 1e6);
    let rows = rows
        .iter()
        .map(|row| {
            let joined = |words: Vec<String>| if words.is_empty() { "–".to_owned() } else { words.join(", ") };
            vec![
                (row.packet.number + 1).to_string(),
                ms(row.packet.arrived),
                row.packet.fate.name().to_owned(),
                if row.packet.left == NEVER { "–".into() } else { ms(row.packet.left) },
                if again.contains(&row.packet.number) { "yes".into() } else { String::new() },
                joined(row.messages.iter().map(|m| format!("{}:{}", m.stream, m.seq)).collect()),
                joined(row.messages.iter().filter_map(|m| m.delivered.map(ms)).collect()),
            ]
        })
        .collect();
    Table { head, rows }
}

#[cfg(test)]
mod tests {
    use samepath_model::Direction;
    use samepath_model::record::DropCause;
    use samepath_model::workload::MessageId;

    use super::*;
    use crate::blocking::tests::Made;

    #[test]
    fn the_packets_of_a_stall_have_rows() {
        const MS: i64 = 1_000_000;
        let mut made = Made::new("tcp");
        // The first of 150 messages is lost, and comes again behind the last.
        for seq in 0..150u64 {
            made.lay(0, seq * 100, seq * 100 + 100, (seq % 4) as u16, Some((seq / 4) as u32));
            made.carry(seq as i64 * MS, &[(0, seq * 100, seq * 100 + 100)], (seq == 0).then_some(DropCause::Loss));
            made.message((seq % 4) as u16, (seq / 4) as u32, seq as i64 * MS, Some(300 * MS));
        }
        made.carry(200 * MS, &[(0, 0, 100)], None);
        let analysis = made.analyse();
        let place = analysis.find(MessageId { direction: Direction::Down, stream: 3, seq: 30 }).unwrap();
        let story = analysis.story(place).unwrap();
        let all: Vec<&Packet> = analysis.packets().iter().filter(|packet| packet.arrived >= 0).collect();
        let rows = most(all.clone(), &story);
        assert_eq!((all.len(), rows.len()), (151, MAX_ROWS));
        assert!(rows.is_sorted_by_key(|packet| packet.arrived));
        let at = |ms: i64| rows.iter().any(|packet| packet.arrived == ms * MS);
        // The lost one, its message's own, and the one that brought what was missing.
        assert!(at(0) && at(123) && at(200) && at(1) && !at(149));
        assert_eq!(most(all[..5].to_vec(), &story).len(), 5);
    }
}
