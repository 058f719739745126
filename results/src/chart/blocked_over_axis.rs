//! Blocked time against the condition that the part varies, loss above all: a point an arm, with its
//! interval.

use samepath_model::Arm;

use super::axis::{Axis, Beside, Panel, number};
use super::canvas::{Rect, Stroke};
use super::figure::{Figure, Key};
use super::goodput_over_axis::{main_axis, panels_of, span};
use super::theme::{MUTED, arm_style};
use super::{Absent, Chart, Drawing, PartView, Table};
use crate::Field;
use crate::cells::Cell;

/// The two figures, each in a row of panels.
const FIGURES: [(Field, &str); 2] =
    [(Field::BlockedMean, "blocked time, mean (ms)"), (Field::InnocentBlocked, "innocent blocked over 1 ms (%)")];

pub(crate) fn draw(part: &PartView<'_>) -> Result<Drawing, Absent> {
    let axis_name = main_axis(part);
    let value_of = |cell: &Cell<'_>| axis_name.as_ref().and_then(|n| cell.axes.get(n)).cloned().unwrap_or_default();
    let (values, panels) = panels_of(part, axis_name.as_deref());
    if !part.cells.iter().any(|cell| cell.spread(Field::BlockedMean).is_some()) {
        return Err(Absent::NoData("the packets of these trials were not mapped to their messages".into()));
    }
    let labels: Vec<String> =
        values.iter().map(|v| if v.is_empty() { "all trials".to_owned() } else { v.clone() }).collect();
    let x_axis = Axis::ordinal(&labels);
    let y_axes = FIGURES.map(|(field, _)| {
        let estimates = part.cells.iter().filter_map(|cell| cell.estimate(field)).flat_map(|e| [e.min, e.max]);
        Axis::linear(0.0, estimates.fold(0.0, f64::max).max(1e-3) * 1.05, 4)
    });
    let columns = panels.len().clamp(1, 3);
    let rows = panels.len().div_ceil(columns);
    let (left, gap, height, row_height) = (66.0, 18.0, 190.0, 262.0);
    let axis_title = axis_name.clone().unwrap_or_else(|| "conditions".into());
    let title = match &axis_name {
        Some(name) => format!("How much is blocked as {name} changes?"),
        None => "How much is blocked?".to_owned(),
    };
    let caption = format!(
        "Mean blocked time of a trial's delivered messages, in milliseconds, and the share of its innocent messages \
         (the first copy of every byte arrived) that were blocked for over 1 ms, for each {axis_title} and arm; median \
         over seeds with spread; {}. Measured packet by packet: a late message that was not blocked adds nothing. It \
         holds for this workload: messages farther apart, or fewer streams, meet less of it.",
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
    let stem = part.stem(Chart::BlockedOverAxis);
    let body = FIGURES.len() as f64 * rows as f64 * row_height;
    let svg = figure.draw(&stem, &caption, body, |canvas, area| {
        let width = (area.w - left - gap * (columns as f64 - 1.0) - 8.0) / columns as f64;
        for (i, (label, cells)) in panels.iter().enumerate() {
            for (f, (field, y_name)) in FIGURES.into_iter().enumerate() {
                let (column, row) = (i % columns, (i / columns) * FIGURES.len() + f);
                let place = Rect {
                    x: area.x + left + column as f64 * (width + gap),
                    y: area.y + 22.0 + row as f64 * row_height,
                    w: width,
                    h: height,
                };
                let panel = Panel { area: place, x: x_axis.clone(), y: y_axes[f].clone() };
                panel.frame(
                    canvas,
                    Beside {
                        heading: label,
                        x_name: &axis_title,
                        y_name: if column == 0 { y_name } else { "" },
                        x_labels: true,
                        y_labels: column == 0,
                    },
                );
                let arms: Vec<Arm> = part.arms();
                for (rank, arm) in arms.iter().enumerate() {
                    let style = arm_style(*arm);
                    let shift = (rank as f64 - (arms.len() as f64 - 1.0) / 2.0) * 0.6 / arms.len() as f64;
                    let mut line = Vec::new();
                    for (place, value) in values.iter().enumerate() {
                        let Some(cell) = cells.iter().find(|c| c.arm == *arm && value_of(c) == *value) else {
                            continue;
                        };
                        let Some(estimate) = cell.estimate(field) else { continue };
                        let x = place as f64 + shift;
                        let (low, high) = span(&estimate);
                        panel.line(canvas, &[(x, low), (x, high)], Stroke::solid(style.colour, 1.5));
                        for (_, value) in cell.values(field) {
                            let (x, y) = panel.at(x, value);
                            canvas.line(&[(x - 4.0, y), (x + 4.0, y)], Stroke::solid(MUTED, 1.0));
                        }
                        line.push((x, estimate.median));
                    }
                    panel.line(
                        canvas,
                        &line,
                        Stroke { colour: style.colour, width: 1.0, dash: style.dash, opacity: 0.7 },
                    );
                    for &(x, y) in &line {
                        panel.mark(canvas, (x, y), 4.5, style);
                    }
                }
            }
        }
    });
    let table = table(part, &axis_title, value_of);
    Ok(Drawing { chart: Chart::BlockedOverAxis, part: part.name.to_owned(), stem, title, caption, svg, table })
}

fn table(part: &PartView<'_>, axis: &str, value_of: impl Fn(&Cell<'_>) -> String) -> Table {
    const SHOWN: [Field; 9] = [
        Field::BlockedMean,
        Field::InnocentBlocked,
        Field::BlockedP50,
        Field::BlockedP95,
        Field::BlockedP99,
        Field::BlockedMax,
        Field::StallMean,
        Field::StallMax,
        Field::Buffered,
    ];
    let mut head = [axis, "conditions", "arm", "seeds"].map(str::to_owned).to_vec();
    for field in SHOWN {
        head.push(format!("{} [{}], median (min–max)", field.label(), field.unit()));
        if FIGURES.iter().any(|(of, _)| *of == field) {
            head.push("95 % interval".into());
        }
    }
    let mut rows = Vec::new();
    for cell in &part.cells {
        let mut row = vec![value_of(cell), cell.plan.link.to_string(), cell.arm.to_string(), cell.n().to_string()];
        for field in SHOWN {
            let values: Vec<f64> = cell.values(field).into_iter().map(|(_, value)| value).collect();
            row.push(super::spread(&values));
            if FIGURES.iter().any(|(of, _)| *of == field) {
                let interval = cell.estimate(field).and_then(|e| e.interval);
                row.push(interval.map_or("too few seeds".into(), |i| format!("{}–{}", number(i.low), number(i.high))));
            }
        }
        rows.push(row);
    }
    Table { head, rows }
}
