//! Blocked time against the condition that the part varies, loss above all: a point an arm, with its
//! interval.

use samepath_model::Workload;

use super::axis::Axis;
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::figure::{Figure, Key};
use super::grid::{Grid, Kind};
use super::over_axis::OverAxis;
use crate::analysis::Analysis;
use crate::metric::{self, Metric};
use crate::number::number;
use crate::part::PartView;

pub(crate) const CHART: ChartDef = ChartDef {
    name: "blocked",
    about: "Blocked time against the axis that the part varies",
    absent: "Blocked time by conditions is not drawn",
    is_main: true,
    suits: |plan| matches!(plan.workload.scored(), Workload::Messages(_)),
    draw,
};

/// The two figures, each in a row of panels.
const FIGURES: [(&Metric, &str); 2] =
    [(&metric::BLOCKED_MEAN, "blocked time, mean (ms)"), (&metric::INTACT_BLOCKED, "intact blocked over 1 ms (%)")];

fn draw(_: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let over = OverAxis::of(part);
    if !part.cells.iter().any(|cell| cell.estimate(&metric::BLOCKED_MEAN).is_some()) {
        return Err(Absent::NoData("the packets of these trials were not attributed to their messages".into()));
    }
    let y_axes = FIGURES.map(|(metric, _)| {
        let estimates = part.cells.iter().filter_map(|cell| cell.estimate(metric)).flat_map(|e| [e.min, e.max]);
        Axis::linear(0.0, estimates.fold(0.0, f64::max).max(1e-3) * 1.05, 4)
    });
    let title = match &over.name {
        Some(name) => format!("How much is blocked as {name} changes?"),
        None => "How much is blocked?".to_owned(),
    };
    let caption = format!(
        "Mean blocked time of a trial's delivered messages, in milliseconds, and the share of its intact messages \
         (the first copy of every byte arrived) that were blocked for over 1 ms, for each {} and arm; median \
         over seeds with spread; {}. Measured packet by packet: a late message that was not blocked adds nothing. It \
         holds for this workload: messages farther apart, or fewer streams, meet less of it.",
        over.title(),
        part.seeds()
    );
    let mut notes = vec!["Sign: median over seeds; small strokes: single seeds.".to_owned()];
    notes.extend(part.spread_notes());
    let figure = Figure {
        title: title.clone(),
        conditions: vec![format!("{}; {}", part.heading(), part.seeds()), part.conditions()],
        legend: part.arms().into_iter().map(Key::Arm).collect(),
        notes,
    };
    let stem = part.stem(CHART.name);
    let grid = Grid {
        left: 66.0,
        gap: 18.0,
        top: 22.0,
        height: 190.0,
        row_height: 262.0,
        panels: over.panels.len(),
        kinds: FIGURES.len(),
    };
    let x_axis = over.x();
    let svg = figure.draw(&stem, &caption, grid.height(), |canvas, area| {
        for (i, (label, cells)) in over.panels.iter().enumerate() {
            for (f, (metric, y_name)) in FIGURES.into_iter().enumerate() {
                let kind = Kind { x: &x_axis, y: &y_axes[f], x_name: over.title(), y_name };
                let panel = grid.panel(canvas, area, (i, f), label, &kind);
                over.draw(canvas, &panel, part, cells, metric);
            }
        }
    });
    let table = table(part, &over);
    Ok(Drawing { chart: &CHART, part: part.name.to_owned(), stem, title, caption, svg, table })
}

fn table(part: &PartView<'_>, over: &OverAxis<'_>) -> Table {
    const SHOWN: [&Metric; 9] = [
        &metric::BLOCKED_MEAN,
        &metric::INTACT_BLOCKED,
        &metric::BLOCKED_P50,
        &metric::BLOCKED_P95,
        &metric::BLOCKED_P99,
        &metric::BLOCKED_MAX,
        &metric::STALL_MEAN,
        &metric::STALL_MAX,
        &metric::BUFFERED,
    ];
    let mut head = [over.title(), "conditions", "arm", "seeds"].map(str::to_owned).to_vec();
    for metric in SHOWN {
        head.push(format!("{} [{}], median (min–max)", metric.label, metric.unit.symbol()));
        if FIGURES.iter().any(|(of, _)| *of == metric) {
            head.push("95 % interval".into());
        }
    }
    let mut rows = Vec::new();
    for cell in &part.cells {
        let mut row = vec![over.value_of(cell), cell.plan.link.to_string(), cell.arm.to_string(), cell.n().to_string()];
        for metric in SHOWN {
            row.push(cell.spread(metric));
            if FIGURES.iter().any(|(of, _)| *of == metric) {
                let interval = cell.interval(metric);
                row.push(interval.map_or("too few seeds".into(), |i| format!("{}–{}", number(i.low), number(i.high))));
            }
        }
        rows.push(row);
    }
    Table { head, rows }
}
