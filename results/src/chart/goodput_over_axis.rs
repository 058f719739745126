//! Goodput against the condition that the part varies: a point an arm, the seeds as spread, with the
//! link's rate and, where random loss varies, the square-root law.

use std::collections::BTreeMap;

use samepath_model::link::Loss;
use samepath_model::{Arm, Probability};

use super::axis::{Axis, Beside, Panel, number};
use super::canvas::{Rect, Stroke};
use super::figure::{Figure, Key};
use super::theme::{INK, MUTED, arm_style};
use super::{Absent, Chart, Drawing, PartView, Table};
use crate::Field;
use crate::cells::{Cell, Estimate};

const LINK_RATE: &[f64] = &[9.0, 4.0];
const SQUARE_ROOT_LAW: &[f64] = &[2.0, 3.0];

pub(crate) fn draw(part: &PartView<'_>) -> Result<Drawing, Absent> {
    let axis_name = main_axis(part);
    let value_of = |cell: &Cell<'_>| axis_name.as_ref().and_then(|n| cell.axes.get(n)).cloned().unwrap_or_default();
    let (values, panels) = panels_of(part, axis_name.as_deref());
    let estimates: Vec<f64> =
        part.cells.iter().filter_map(|cell| cell.estimate(Field::Goodput)).flat_map(|e| [e.min, e.max]).collect();
    if estimates.is_empty() {
        return Err(Absent::NoData("no trial measured a goodput".into()));
    }
    let highest = estimates.iter().copied().fold(0.0, f64::max);
    let rates: Vec<f64> = part.cells.iter().filter_map(|cell| rate(cell)).collect();
    let shown_rate = rates.iter().copied().filter(|r| *r <= 10.0 * highest).fold(0.0, f64::max);
    let y_axis = Axis::fitting(estimates.iter().copied().chain([highest.max(shown_rate)]), 12.0, 5);
    let law_applies = panels.iter().any(|(_, cells)| law(cells, &values, value_of).len() > 1);
    let labels: Vec<String> =
        values.iter().map(|v| if v.is_empty() { "all trials".to_owned() } else { v.clone() }).collect();
    let x_axis = Axis::ordinal(&labels);

    let columns = panels.len().clamp(1, 3);
    let rows = panels.len().div_ceil(columns);
    let (left, gap, height, row_height) = (66.0, 18.0, 290.0, 362.0);
    let axis_title = axis_name.clone().unwrap_or_else(|| "conditions".into());
    let title = match &axis_name {
        Some(name) => format!("What goodput is left as {name} changes?"),
        None => "What goodput does each transport reach?".to_owned(),
    };
    let mut notes = vec!["Sign: median over seeds; the signs of one value stand side by side.".to_owned()];
    notes.extend(part.spread_notes());
    let has_udp = part.arms().iter().any(|arm| !arm.transport.is_reliable());
    if has_udp {
        notes.push(
            "udp neither resends nor slows down: its goodput is what arrives of the offered rate, not a fair share."
                .into(),
        );
    }
    if law_applies {
        notes.push(
            "Mathis (Reno): 1.22·MSS/(RTT·√p), Mathis et al. 1997, with the link's RTT without queues; a law for \
             Reno-type control, drawn for orientation: CUBIC and BBR need not follow it."
                .into(),
        );
    }
    if y_axis.is_log() && estimates.contains(&0.0) {
        notes.push("A goodput of 0 has no place on a logarithmic axis; the table has it.".into());
    }
    if rates.iter().any(|r| *r > 10.0 * highest) {
        notes.push("A link rate far above the goodput is not drawn.".into());
    }
    let caption = format!(
        "Payload received per second, in Mbit/s, for each {axis_title} and arm; median over seeds with spread; {}.",
        part.seeds()
    );
    let mut legend: Vec<Key> = part.arms().into_iter().map(Key::Arm).collect();
    if shown_rate > 0.0 {
        legend.push(Key::Line { dash: LINK_RATE, colour: INK, label: "link rate (headers included)".into() });
    }
    if law_applies {
        legend.push(Key::Line { dash: SQUARE_ROOT_LAW, colour: INK, label: "Mathis (Reno)".into() });
    }
    let figure = Figure {
        title: title.clone(),
        conditions: vec![format!("{}; {}", part.heading(), part.seeds()), part.conditions()],
        legend,
        notes,
    };
    let stem = part.stem(Chart::GoodputOverAxis);
    let y_name = format!("goodput (Mbit/s{})", if y_axis.is_log() { ", log" } else { "" });
    let svg = figure.draw(&stem, &caption, rows as f64 * row_height, |canvas, area| {
        let width = (area.w - left - gap * (columns as f64 - 1.0) - 8.0) / columns as f64;
        for (i, (label, cells)) in panels.iter().enumerate() {
            let (column, row) = (i % columns, i / columns);
            let place = Rect {
                x: area.x + left + column as f64 * (width + gap),
                y: area.y + 22.0 + row as f64 * row_height,
                w: width,
                h: height,
            };
            let panel = Panel { area: place, x: x_axis.clone(), y: y_axis.clone() };
            panel.frame(
                canvas,
                Beside {
                    heading: label,
                    x_name: &axis_title,
                    y_name: if column == 0 { &y_name } else { "" },
                    x_labels: true,
                    y_labels: column == 0,
                },
            );
            for (place, value) in values.iter().enumerate() {
                if let Some(rate) = cells.iter().find(|c| value_of(c) == *value).and_then(|c| rate(c)) {
                    let line = [(place as f64 - 0.5, rate), (place as f64 + 0.5, rate)];
                    panel.line(canvas, &line, Stroke { colour: INK, width: 1.0, dash: LINK_RATE, opacity: 1.0 });
                }
            }
            let curve = law(cells, &values, value_of);
            panel.line(canvas, &curve, Stroke { colour: INK, width: 1.5, dash: SQUARE_ROOT_LAW, opacity: 1.0 });
            let arms: Vec<Arm> = part.arms();
            for (rank, arm) in arms.iter().enumerate() {
                let style = arm_style(*arm);
                let shift = (rank as f64 - (arms.len() as f64 - 1.0) / 2.0) * 0.6 / arms.len() as f64;
                let mut line = Vec::new();
                for (place, value) in values.iter().enumerate() {
                    let cell = cells.iter().find(|c| c.arm == *arm && value_of(c) == *value);
                    let Some(estimate) = cell.and_then(|c| c.estimate(Field::Goodput)) else { continue };
                    let x = place as f64 + shift;
                    let (low, high) = span(&estimate);
                    panel.line(canvas, &[(x, low), (x, high)], Stroke::solid(style.colour, 1.5));
                    if let Some(cell) = cell {
                        for (_, value) in cell.values(Field::Goodput) {
                            let (x, y) = panel.at(x, value);
                            canvas.line(&[(x - 4.0, y), (x + 4.0, y)], Stroke::solid(MUTED, 1.0));
                        }
                    }
                    line.push((x, estimate.median));
                }
                let thin = Stroke { colour: style.colour, width: 1.0, dash: style.dash, opacity: 0.7 };
                panel.line(canvas, &line, thin);
                for &(x, y) in &line {
                    panel.mark(canvas, (x, y), 4.5, style);
                }
            }
        }
    });
    let table = table(part, &axis_title, value_of);
    Ok(Drawing { chart: Chart::GoodputOverAxis, part: part.name.to_owned(), stem, title, caption, svg, table })
}

/// The values along x in order, and a panel for each set of the other axes, with its cells.
pub(super) fn panels_of<'a>(
    part: &PartView<'a>,
    axis: Option<&str>,
) -> (Vec<String>, Vec<(String, Vec<&'a Cell<'a>>)>) {
    let mut values: Vec<String> = Vec::new();
    let mut panels: Vec<(String, Vec<&Cell<'_>>)> = Vec::new();
    for &cell in &part.cells {
        let value = axis.and_then(|name| cell.axes.get(name)).cloned().unwrap_or_default();
        if !values.contains(&value) {
            values.push(value);
        }
        let others: BTreeMap<String, String> = cell
            .axes
            .iter()
            .filter(|(name, _)| Some(name.as_str()) != axis)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let label = crate::cells::label(&others);
        match panels.iter_mut().find(|(l, _)| *l == label) {
            Some((_, cells)) => cells.push(cell),
            None => panels.push((label, vec![cell])),
        }
    }
    (values, panels)
}

/// The axis along x: loss where it is varied, else the one with the most values.
pub(super) fn main_axis(part: &PartView<'_>) -> Option<String> {
    let mut values: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
    for cell in &part.cells {
        for (name, value) in &cell.axes {
            let seen = values.entry(name).or_default();
            if !seen.contains(&value) {
                seen.push(value);
            }
        }
    }
    values.iter().max_by_key(|(name, seen)| (name.as_str() == "loss", seen.len())).map(|(name, _)| (*name).clone())
}

/// The interval where there are seeds enough, else the range.
pub(super) fn span(estimate: &Estimate) -> (f64, f64) {
    estimate.interval.map_or((estimate.min, estimate.max), |i| (i.low, i.high))
}

/// The link's rate in the payload's direction, in Mbit/s.
fn rate(cell: &Cell<'_>) -> Option<f64> {
    let plan = &cell.plan;
    plan.link.direction(plan.workload.direction()).rate.map(|rate| rate.bits_per_second() as f64 / 1e6)
}

/// 1.22·MSS/(RTT·√p) in Mbit/s (Mathis, Semke, Mahdavi and Ott 1997, eq. 3 with C = √(3/2)), through
/// the places whose loss is random and above 0; between two places the loss runs geometrically.
fn law(cells: &[&Cell<'_>], values: &[String], value_of: impl Fn(&Cell<'_>) -> String) -> Vec<(f64, f64)> {
    /// IPv4 and TCP headers with timestamps.
    const HEADERS: f64 = 52.0;
    let mut known: Vec<(f64, Probability, f64)> = Vec::new();
    for (place, value) in values.iter().enumerate() {
        let Some(cell) = cells.iter().find(|c| value_of(c) == *value) else { continue };
        let (link, direction) = (&cell.plan.link, cell.plan.workload.direction());
        let rtt = link.rtt().as_secs_f64();
        if let Loss::Random(p) = link.direction(direction).loss
            && p.fraction() > 0.0
            && rtt > 0.0
        {
            known.push((place as f64, p, (f64::from(link.mtu) - HEADERS) * 8.0 / rtt / 1e6));
        }
    }
    if let [(x, p, per_rtt)] = known[..] {
        let goodput = 1.22 * per_rtt / p.fraction().sqrt();
        return vec![(x - 0.4, goodput), (x + 0.4, goodput)];
    }
    let mut curve = Vec::new();
    for pair in known.windows(2) {
        let ((x0, p0, per_rtt), (x1, p1, _)) = (pair[0], pair[1]);
        for i in 0..=20 {
            let t = f64::from(i) / 20.0;
            let p = p0.fraction() * (p1.fraction() / p0.fraction()).powf(t);
            curve.push((x0 + t * (x1 - x0), 1.22 * per_rtt / p.sqrt()));
        }
    }
    curve
}

fn table(part: &PartView<'_>, axis: &str, value_of: impl Fn(&Cell<'_>) -> String) -> Table {
    let head = [
        axis,
        "conditions",
        "arm",
        "seeds",
        "median [Mbit/s]",
        "smallest",
        "largest",
        "95 % interval",
        "delivered share [%]",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut rows = Vec::new();
    for cell in &part.cells {
        let mut row = vec![value_of(cell), cell.plan.link.to_string(), cell.arm.to_string(), cell.n().to_string()];
        match cell.estimate(Field::Goodput) {
            Some(e) => {
                row.extend([number(e.median), number(e.min), number(e.max)]);
                row.push(
                    e.interval.map_or("too few seeds".into(), |i| format!("{}–{}", number(i.low), number(i.high))),
                );
            }
            None => row.extend(["–", "–", "–", "–"].map(str::to_owned)),
        }
        row.push(cell.estimate(Field::DeliveredShare).map_or("–".into(), |e| number(e.median)));
        rows.push(row);
    }
    Table { head, rows }
}
