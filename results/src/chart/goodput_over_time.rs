//! Goodput in bins of 100 ms, a panel a group of conditions on shared axes, with the drops beneath.

use samepath_model::record::LinkReport;
use samepath_model::{Arm, Workload};

use super::axis::{Axis, Beside, Panel};
use super::bins::{BIN_NANOS, bins};
use super::canvas::{Rect, Stroke, Type};
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::drops::data_drops;
use super::figure::{Figure, Key};
use super::restarts;
use super::theme::{GRID, INK, MUTED, SMALL, arm_style};
use crate::analysis::Analysis;
use crate::number::number;
use crate::part::PartView;
use crate::stats;

pub(crate) const CHART: ChartDef = ChartDef {
    name: "goodput-over-time",
    about: "Goodput in bins of time",
    absent: "Goodput over time is not drawn",
    is_main: true,
    suits: |plan| matches!(plan.workload.scored(), Workload::Bulk(_)),
    draw,
};

const LINK_RATE: &[f64] = &[9.0, 4.0];
/// How far the time axis goes, as a multiple of the time of sending.
const DRAINED: f64 = 1.25;

struct Series {
    arm: Arm,
    /// Goodput of each trial in Mbit/s, a value a bin.
    trials: Vec<Vec<f64>>,
    /// Median over the trials, as long as the shortest.
    median: Vec<f64>,
    /// The seed whose drops are shown, and when they came to the link, in seconds.
    drops: (u64, Vec<f64>),
    /// Whether anything would have told of a drop.
    counted: bool,
}

fn draw(analysis: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let groups = part.groups();
    let mut panels: Vec<Vec<Series>> = Vec::new();
    for group in &groups {
        let mut all = Vec::new();
        for cell in &group.cells {
            let mut trials = Vec::new();
            for record in &cell.trials {
                let bins = bins(analysis.run(), record)?;
                if !bins.is_empty() {
                    trials.push(bins);
                }
            }
            if let (Some(first), false) = (cell.trials.first(), trials.is_empty()) {
                let shortest = trials.iter().map(Vec::len).min().unwrap_or(0);
                let median = (0..shortest)
                    .filter_map(|i| stats::median(&trials.iter().map(|t| t[i]).collect::<Vec<_>>()))
                    .collect();
                let drops = data_drops(analysis.run(), first)?.into_iter().map(|at| at as f64 / 1e9).collect();
                let drops = (first.trial.seed, drops);
                let counted = first.link.as_ref().is_some_and(LinkReport::counts_packets);
                all.push(Series { arm: cell.arm, trials, median, drops, counted });
            }
        }
        panels.push(all);
    }
    let every = || panels.iter().flatten();
    let delivered = every().flat_map(|s| s.trials.iter().map(Vec::len)).max().unwrap_or(0);
    // Where sending has an end, what waits in buffers then may drain for long and says nothing more.
    let scheduled = part.cells.iter().filter_map(|c| c.plan.workload.nominal_duration()).max();
    let until = scheduled.map_or(delivered, |d| (d.as_nanos() as f64 * DRAINED / BIN_NANOS as f64).ceil() as usize);
    let longest = delivered.min(until.max(2));
    if longest < 2 {
        return Err(Absent::NoData(
            "no trial delivered for two bins of 100 ms, so there is no course over time to show".into(),
        ));
    }
    let highest = every().flat_map(|s| s.trials.iter().flatten().copied()).fold(0.0, f64::max);
    if highest == 0.0 {
        return Err(Absent::NoData(
            "no payload came in a whole bin of 100 ms, so there is no course over time to show".into(),
        ));
    }
    let rate_of = |plan: &samepath_model::Trial| {
        plan.link.direction(plan.workload.direction()).rate.map(|r| r.bits_per_second() as f64 / 1e6)
    };
    let rates: Vec<f64> = groups.iter().filter_map(|g| rate_of(&g.cells[0].plan)).collect();
    // A rate far above everything measured would flatten the curves.
    let shown_rate = rates.iter().copied().filter(|r| *r <= 3.0 * highest).fold(0.0, f64::max);
    let x_axis = Axis::exact(0.0, longest as f64 * BIN_NANOS as f64 / 1e9, 10);
    // Where one curve runs at a small part of another, a linear axis would lay it on the ground.
    let usual: Vec<f64> = every().filter_map(|s| stats::median(&s.median)).filter(|v| *v > 0.0).collect();
    let lowest = usual.iter().copied().fold(f64::INFINITY, f64::min);
    let top = highest.max(shown_rate).max(1e-6);
    let y_axis = if lowest < top / 5.0 { Axis::log(lowest / 4.0, top * 1.4) } else { Axis::linear(0.0, top * 1.03, 4) };
    let y_name = format!("goodput (Mbit/s{})", if y_axis.is_log() { ", log" } else { "" });

    let arms = part.arms();
    let rug = arms.len() as f64 * 6.0 + 4.0;
    let (left, height) = (66.0, if groups.len() > 4 { 110.0 } else { 160.0 });
    let step = 24.0 + height + rug + 6.0;
    let title = "How does goodput run over time?".to_owned();
    let seeds: Vec<u64> = every().map(|s| s.drops.0).collect();
    let seed = seeds.iter().min().copied().unwrap_or(0);
    let caption = format!(
        "Payload received in bins of 100 ms, in Mbit/s, over the time since connecting began; a panel for each set of \
         conditions; {}. Beneath each panel a stroke for every data packet of the payload's direction that the link \
         dropped, a row an arm, of seed {seed}.",
        part.seeds()
    );
    let mut legend: Vec<Key> = arms.iter().copied().map(Key::Arm).collect();
    if shown_rate > 0.0 {
        legend.push(Key::Line { dash: LINK_RATE, colour: INK, label: "link rate (headers included)".into() });
    }
    let mut notes = vec![format!(
        "Thick: median over seeds, as long as every seed has data; silence while sending goes on is zero. Thin: single seeds. Strokes beneath: data packets \
         dropped before the trial ended, a row an arm in the legend's order, seed {seed}. The last, partial bin is left out."
    )];
    if highest > shown_rate && shown_rate > 0.0 {
        notes.push(
            "A bin may lie above the link's rate: when a gap is filled, what waited behind it is read at once.".into(),
        );
    }
    if delivered > longest {
        notes.push("What drained from buffers long after sending had ended is not drawn.".into());
    }
    if y_axis.is_log() {
        notes.push("On the logarithmic axis a bin without payload falls out at the bottom.".into());
    }
    if rates.iter().any(|r| *r > 3.0 * highest) {
        notes.push("A link rate far above the goodput is not drawn.".into());
    }
    notes.extend(restarts::note(&part.cells[0].plan));
    let figure = Figure {
        title: title.clone(),
        conditions: vec![format!("{}; {}", part.heading(), part.seeds()), part.conditions()],
        legend,
        notes,
    };
    let stem = part.stem(CHART.name);
    let svg = figure.draw(&stem, &caption, groups.len() as f64 * step + 36.0, |canvas, area| {
        for (i, (series, group)) in panels.iter().zip(&groups).enumerate() {
            let last = i + 1 == groups.len();
            let y = area.y + 24.0 + i as f64 * step;
            let place = Rect { x: area.x + left, y, w: area.w - left - 8.0, h: height };
            let panel = Panel { area: place, x: x_axis.clone(), y: y_axis.clone() };
            let beside = Beside { heading: &group.label, y_name: &y_name, y_labels: true, ..Beside::default() };
            panel.frame(canvas, beside);
            restarts::mark(canvas, &panel, &group.cells[0].plan);
            if let Some(rate) = rate_of(&group.cells[0].plan) {
                let line = [(0.0, rate), (panel.x.hi(), rate)];
                panel.line(canvas, &line, Stroke { colour: INK, width: 1.0, dash: LINK_RATE, opacity: 1.0 });
            }
            let points = |values: &[f64]| -> Vec<(f64, f64)> {
                values.iter().enumerate().map(|(i, v)| ((i as f64 + 0.5) * BIN_NANOS as f64 / 1e9, *v)).collect()
            };
            for one in series.iter().filter(|s| s.trials.len() > 1) {
                let colour = arm_style(one.arm).colour;
                for trial in &one.trials {
                    panel.line(canvas, &points(trial), Stroke { colour, width: 0.5, dash: &[], opacity: 0.4 });
                }
            }
            for (rank, one) in series.iter().enumerate() {
                let style = arm_style(one.arm);
                let line = points(&one.median);
                panel.line(canvas, &line, Stroke { colour: style.colour, width: 2.0, dash: style.dash, opacity: 1.0 });
                let every = (line.len() / 6).max(3);
                for (x, y) in line.iter().skip(1 + rank * every / series.len().max(1)).step_by(every) {
                    panel.mark(canvas, (*x, *y), 3.5, style);
                }
            }
            if series.iter().all(|one| one.drops.1.is_empty()) {
                let (x, y) = (place.x + 6.0, place.bottom() + 2.0 + rug / 2.0);
                let words = if series.iter().all(|one| one.counted) {
                    format!("no data packet dropped in the trials of seed {seed}")
                } else {
                    "packets were not counted: a bare cable joined the ends".to_owned()
                };
                canvas.text(x, y, &words, Type::new(SMALL, MUTED));
            }
            let strip = Rect { y: place.bottom() + 2.0, h: rug, ..place };
            for one in series {
                let row = arms.iter().position(|arm| *arm == one.arm).unwrap_or(0) as f64;
                let y = strip.y + 2.0 + row * 6.0;
                for at in one.drops.1.iter().filter(|at| (0.0..=panel.x.hi()).contains(*at)) {
                    let (x, _) = panel.at(*at, 0.0);
                    canvas.line(&[(x, y), (x, y + 5.0)], Stroke::solid(arm_style(one.arm).colour, 1.0));
                }
            }
            if last {
                // The time axis, once, beneath the last strip.
                let foot =
                    Panel { area: strip, x: x_axis.clone(), y: Axis::linear(0.0, 1.0, 1).with_ticks(Vec::new()) };
                let beside = Beside { x_name: "time since connecting began (s)", x_labels: true, ..Beside::default() };
                foot.frame(canvas, beside);
            } else {
                canvas.outline(strip, Stroke::solid(GRID, 0.5));
            }
        }
    });
    let table = table(&groups.iter().map(|g| g.label.clone()).collect::<Vec<_>>(), &panels, longest);
    Ok(Drawing { chart: &CHART, part: part.name.to_owned(), stem, title, caption, svg, table })
}

/// The medians, a row a half second.
fn table(labels: &[String], panels: &[Vec<Series>], longest: usize) -> Table {
    const ROW_BINS: usize = 5;
    let mut head = vec!["time [s]".to_owned()];
    let mut columns: Vec<&[f64]> = Vec::new();
    for (label, panel) in labels.iter().zip(panels) {
        for series in panel {
            let conditions = if label.is_empty() { String::new() } else { format!("{label}, ") };
            head.push(format!("{conditions}{} [Mbit/s]", series.arm));
            columns.push(&series.median);
        }
    }
    let rows = (0..longest.div_ceil(ROW_BINS))
        .map(|row| {
            let bins = row * ROW_BINS..(row + 1) * ROW_BINS;
            let start = bins.start as f64 * BIN_NANOS as f64 / 1e9;
            let mut cells = vec![number(start)];
            cells.extend(columns.iter().map(|c| c.get(bins.clone()).and_then(stats::mean).map_or("–".into(), number)));
            cells
        })
        .collect();
    Table { head, rows }
}
