//! What the delay is made of: stacked bars an arm, for all messages, the intact ones, and the slowest.

use plotters::style::RGBColor;
use samepath_model::Workload;
use samepath_model::blocking::{Blocking, DelayParts};

use super::axis::{Axis, Beside, Panel};
use super::canvas::{Canvas, Rect, Stroke, Type};
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::figure::{Figure, Key};
use super::names::Names;
use super::theme::{self, INK, MUTED, SMALL};
use crate::analysis::Analysis;
use crate::cells::Cell;
use crate::number::number;
use crate::part::{Group, PartView};
use crate::stats;

pub(crate) const CHART: ChartDef = ChartDef {
    name: "decomposition",
    about: "The parts of the delay, stacked, an arm a bar",
    absent: "The parts of the delay are not drawn",
    is_main: true,
    suits: |plan| matches!(plan.workload.scored(), Workload::Messages(_)),
    draw,
};

const ROW: f64 = 19.0;
const GAP: f64 = 22.0;

/// How a part is filled: colour alone tells none from another.
#[derive(Debug, Clone, Copy)]
enum Fill {
    Plain(f64),
    Hatched { back: bool },
}

/// The parts in the order of [`DelayParts::NAMES`].
const PARTS: [(&str, RGBColor, Fill); 8] = [
    ("sender hold", RGBColor(0x77, 0x77, 0x77), Fill::Plain(0.75)),
    ("queue", RGBColor(0x56, 0xb4, 0xe9), Fill::Plain(0.9)),
    ("propagation", RGBColor(0x99, 0x99, 0x99), Fill::Plain(0.25)),
    ("own loss", RGBColor(0xe6, 0x9f, 0x00), Fill::Plain(0.9)),
    ("blocked by its own stream", RGBColor(0x8a, 0x3c, 0x6a), Fill::Hatched { back: true }),
    ("blocked by other streams", RGBColor(0xc0, 0x3a, 0x00), Fill::Hatched { back: false }),
    ("blocked by the TLS record", RGBColor(0x00, 0x5a, 0x8f), Fill::Hatched { back: false }),
    ("stack", RGBColor(0x1a, 0x1a, 0x1a), Fill::Plain(0.9)),
];

type Which = fn(&Blocking) -> Option<DelayParts>;

/// The mean parts of the delay over a cell's trials, and the whole delay of each; `None` where no trial has them.
type Mean = Option<(DelayParts, Vec<f64>)>;

/// Cells of the same conditions, each with its means in the order of [`PANELS`].
type Means<'a> = (Group<'a>, Vec<[Mean; 3]>);

/// The three panels: of which messages.
const PANELS: [(&str, Which); 3] = [
    ("all messages", |b| Some(b.all)),
    ("intact: nothing of its own lost", |b| (b.intact > 0).then_some(b.of_intact)),
    ("slowest 1 %", |b| Some(b.of_slowest)),
];

fn draw(_: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let any = part.trials().any(|record| record.summary.as_ref().is_some_and(|s| s.blocking.is_some()));
    if !any {
        return Err(Absent::NoData("the packets of these trials were not attributed to their messages".into()));
    }
    let mut groups: Vec<Means<'_>> = Vec::new();
    for group in part.groups() {
        let means = group.cells.iter().map(|cell| PANELS.map(|(_, which)| mean(cell, which))).collect();
        groups.push((group, means));
    }
    let names = Names::of(groups.iter().map(|(group, _)| group), ROW);
    let plot = groups.iter().map(|(group, _)| names.height(group)).sum::<f64>() + 6.0;
    // Parts that no trial has more than a thousandth of a millisecond of need no sign.
    let used: Vec<usize> = (0..PARTS.len())
        .filter(|&i| {
            let of = |b: &Blocking| PANELS.iter().filter_map(|(_, which)| which(b)).any(|p| p.values()[i] > 1e-3);
            part.trials().filter_map(|r| r.summary.as_ref()?.blocking.as_ref()).any(of)
        })
        .collect();
    let legend = used
        .iter()
        .map(|&i| {
            let (label, colour, fill) = PARTS[i];
            match fill {
                Fill::Plain(opacity) => Key::Fill { colour, opacity, label: label.into() },
                Fill::Hatched { back } => Key::Hatch { colour, back, label: label.into() },
            }
        })
        .collect();
    let title = "What is the delay made of?".to_owned();
    let caption = format!(
        "Mean parts of the delay from release to delivery, in milliseconds, by conditions and arm: of all delivered \
         messages, of the intact ones (the first copy of every byte arrived), and of the slowest hundredth of each trial; \
         mean over seeds; {}. The parts of every message add up to its delay. Hatched is blocked; sender hold is the \
         congestion window, pacing and the application, which delays alone cannot tell from blocking.",
        part.seeds()
    );
    let few = part.cells.iter().any(|c| c.n() > 0 && c.n() < stats::FEWEST_FOR_INTERVAL);
    let mut notes = vec![
        "Bar: mean over seeds of the trials' means. Number: the whole delay, and of it blocked. Line: the whole delay, \
         smallest to largest seed."
            .to_owned(),
    ];
    if few {
        notes.push(format!(
            "Fewer than {} seeds in a cell: the line is a range, not a confidence interval.",
            stats::FEWEST_FOR_INTERVAL
        ));
    }
    notes.push(
        "Void and failed trials are left out; so are messages that were never delivered, which have no delay.".into(),
    );
    let conditions = vec![format!("{}; {}", part.heading(), part.seeds()), part.conditions()];
    let figure = Figure { title: title.clone(), conditions, legend, notes };
    let stem = part.stem(CHART.name);
    let svg = figure.draw(&stem, &caption, 22.0 + plot + 40.0, |canvas, area| body(canvas, area, plot, names, &groups));
    let table = table(&groups);
    Ok(Drawing { chart: &CHART, part: part.name.to_owned(), stem, title, caption, svg, table })
}

fn mean(cell: &Cell<'_>, which: Which) -> Mean {
    let all: Vec<DelayParts> =
        cell.trials.iter().filter_map(|r| which(r.summary.as_ref()?.blocking.as_ref()?)).collect();
    let mut sums = [0.0; 8];
    for parts in &all {
        for (sum, value) in sums.iter_mut().zip(parts.values()) {
            *sum += value / all.len() as f64;
        }
    }
    let [hold, queue, propagation, own_loss, intra, cross, record, stack] = sums;
    let parts = DelayParts { hold, queue, propagation, own_loss, intra, cross, record, stack };
    (!all.is_empty()).then(|| (parts, all.iter().map(DelayParts::total).collect()))
}

fn body(canvas: &mut Canvas<'_>, area: Rect, plot: f64, names: Names, groups: &[Means<'_>]) {
    let count = PANELS.len() as f64;
    let width = (area.w - names.width - GAP * (count - 1.0) - 16.0) / count;
    let largest = |panel: usize| {
        let means = groups.iter().flat_map(|(_, means)| means).filter_map(|of| of[panel].as_ref());
        means.flat_map(|(_, totals)| totals).copied().fold(0.0, f64::max)
    };
    // The intact are among all, so both on one scale; room for the numbers at the bars' ends.
    let common = largest(0).max(largest(1));
    let spans = [common, common, largest(2)];
    let panels: Vec<Panel> = spans
        .iter()
        .enumerate()
        .map(|(i, span)| Panel {
            area: Rect { x: area.x + names.width + i as f64 * (width + GAP), y: area.y + 22.0, w: width, h: plot },
            x: Axis::linear(0.0, (span * 1.6).max(1e-6), 4),
            y: Axis::linear(0.0, 1.0, 1).with_ticks(Vec::new()),
        })
        .collect();
    for (panel, (heading, _)) in panels.iter().zip(PANELS) {
        panel.frame(canvas, Beside { heading, x_name: "mean delay (ms)", x_labels: true, ..Beside::default() });
    }
    let mut y = area.y + 22.0;
    for (group, means) in groups {
        y = names.conditions(canvas, (area.x, y), group);
        for (cell, means) in group.cells.iter().zip(means) {
            let middle = y + ROW / 2.0;
            names.arm(canvas, (area.x, middle), cell.arm);
            for (panel, mean) in panels.iter().zip(means) {
                bar(canvas, panel, middle, mean.as_ref());
            }
            y += ROW;
        }
    }
}

fn bar(canvas: &mut Canvas<'_>, panel: &Panel, y: f64, mean: Option<&(DelayParts, Vec<f64>)>) {
    let Some((parts, totals)) = mean else {
        canvas.text(panel.area.x + 6.0, y, "–", Type::new(SMALL, MUTED));
        return;
    };
    let at = |value: f64| panel.at(value, 0.0).0.clamp(panel.area.x, panel.area.right());
    let mut so_far = 0.0;
    for (value, (_, colour, fill)) in parts.values().into_iter().zip(PARTS) {
        let area = Rect { x: at(so_far), y: y - 6.0, w: at(so_far + value) - at(so_far), h: 12.0 };
        so_far += value;
        if area.w < 0.25 {
            continue;
        }
        match fill {
            Fill::Plain(opacity) => canvas.fill(area, colour, opacity),
            Fill::Hatched { back } => {
                canvas.fill(area, colour, 0.15);
                canvas.hatch(area, colour, 4.0, back);
                canvas.outline(area, Stroke::solid(colour, 0.5));
            }
        }
    }
    let low = totals.iter().copied().fold(f64::INFINITY, f64::min);
    let high = totals.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if totals.len() > 1 {
        canvas.line(&[(at(low), y), (at(high), y)], Stroke::solid(INK, 1.0));
        for end in [low, high] {
            canvas.line(&[(at(end), y - 3.0), (at(end), y + 3.0)], Stroke::solid(INK, 1.0));
        }
    }
    let text = format!("{}, {}", number(parts.total()), number(parts.blocked()));
    let x = at(high.max(parts.total())) + 5.0;
    let text = theme::fit(&text, SMALL, false, panel.area.right() - x - 2.0);
    canvas.text(x, y, &text, Type::new(SMALL, INK));
}

fn table(groups: &[Means<'_>]) -> Table {
    let mut head = ["conditions", "arm", "seeds", "messages"].map(str::to_owned).to_vec();
    head.push("whole delay [ms]".into());
    head.extend(PARTS.map(|(name, ..)| format!("{name} [ms]")));
    head.push("blocked share [%]".into());
    let mut rows = Vec::new();
    for (group, means) in groups {
        for (cell, means) in group.cells.iter().zip(means) {
            for ((name, _), mean) in PANELS.into_iter().zip(means) {
                let mut row = vec![group.label.clone(), cell.arm.to_string(), cell.n().to_string(), name.to_owned()];
                match mean {
                    Some((parts, _)) => {
                        row.push(number(parts.total()));
                        row.extend(parts.values().map(number));
                        let share = parts.blocked() / parts.total() * 100.0;
                        row.push(if share.is_finite() { number(share) } else { "–".into() });
                    }
                    None => row.extend(std::iter::repeat_n("–".to_owned(), PARTS.len() + 2)),
                }
                rows.push(row);
            }
        }
    }
    Table { head, rows }
}
