//! Goodput against the condition that the part varies: a point an arm, the seeds as spread, with the
//! link's rate and, where random loss varies, the square-root law.

use samepath_model::link::Loss;
use samepath_model::{Probability, Workload};

use super::axis::Axis;
use super::canvas::Stroke;
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::figure::{Figure, Key};
use super::grid::{Grid, Kind};
use super::over_axis::OverAxis;
use super::theme::INK;
use crate::analysis::Analysis;
use crate::cells::Cell;
use crate::metric;
use crate::number::number;
use crate::part::PartView;

pub(crate) const CHART: ChartDef = ChartDef {
    name: "goodput",
    about: "Goodput against the axis that the part varies",
    absent: "Goodput by conditions is not drawn",
    is_main: true,
    suits: |plan| matches!(plan.workload.scored(), Workload::Bulk(_)),
    draw,
};

const LINK_RATE: &[f64] = &[9.0, 4.0];
const SQUARE_ROOT_LAW: &[f64] = &[2.0, 3.0];

fn draw(_: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let over = OverAxis::of(part);
    let estimates: Vec<f64> =
        part.cells.iter().filter_map(|cell| cell.estimate(&metric::GOODPUT)).flat_map(|e| [e.min, e.max]).collect();
    if estimates.is_empty() {
        return Err(Absent::NoData("no trial measured a goodput".into()));
    }
    let highest = estimates.iter().copied().fold(0.0, f64::max);
    let rates: Vec<f64> = part.cells.iter().filter_map(|cell| rate(cell)).collect();
    let shown_rate = rates.iter().copied().filter(|r| *r <= 10.0 * highest).fold(0.0, f64::max);
    let y_axis = Axis::fitting(estimates.iter().copied().chain([highest.max(shown_rate)]), 12.0, 5);
    let law_applies = over.panels.iter().any(|(_, cells)| law(&over, cells).len() > 1);
    let title = match &over.name {
        Some(name) => format!("What goodput is left as {name} changes?"),
        None => "What goodput does each transport reach?".to_owned(),
    };
    let mut notes = vec!["Sign: median over seeds; the signs of one value stand side by side.".to_owned()];
    notes.extend(part.spread_notes());
    let has_udp = part.arms().iter().any(|arm| !arm.is_reliable);
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
        "Payload received per second, in Mbit/s, for each {} and arm; median over seeds with spread; {}.",
        over.title(),
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
    let stem = part.stem(CHART.name);
    let y_name = format!("goodput (Mbit/s{})", if y_axis.is_log() { ", log" } else { "" });
    let grid = Grid {
        left: 66.0,
        gap: 18.0,
        top: 22.0,
        height: 290.0,
        row_height: 362.0,
        panels: over.panels.len(),
        kinds: 1,
    };
    let kind = Kind { x: &over.x(), y: &y_axis, x_name: over.title(), y_name: &y_name };
    let svg = figure.draw(&stem, &caption, grid.height(), |canvas, area| {
        for (i, (label, cells)) in over.panels.iter().enumerate() {
            let panel = grid.panel(canvas, area, (i, 0), label, &kind);
            for (place, value) in over.values.iter().enumerate() {
                if let Some(rate) = cells.iter().find(|c| over.value_of(c) == *value).and_then(|c| rate(c)) {
                    let line = [(place as f64 - 0.5, rate), (place as f64 + 0.5, rate)];
                    panel.line(canvas, &line, Stroke { colour: INK, width: 1.0, dash: LINK_RATE, opacity: 1.0 });
                }
            }
            let curve = law(&over, cells);
            panel.line(canvas, &curve, Stroke { colour: INK, width: 1.5, dash: SQUARE_ROOT_LAW, opacity: 1.0 });
            over.draw(canvas, &panel, part, cells, &metric::GOODPUT);
        }
    });
    let table = table(part, &over);
    Ok(Drawing { chart: &CHART, part: part.name.to_owned(), stem, title, caption, svg, table })
}

/// The link's rate in the payload's direction, in Mbit/s.
fn rate(cell: &Cell<'_>) -> Option<f64> {
    let plan = &cell.plan;
    plan.link.direction(plan.workload.direction()).rate.map(|rate| rate.bits_per_second() as f64 / 1e6)
}

/// 1.22·MSS/(RTT·√p) in Mbit/s (Mathis, Semke, Mahdavi and Ott 1997, eq. 3 with C = √(3/2)), through
/// the places whose loss is random and above 0; between two places the loss runs geometrically.
fn law(over: &OverAxis<'_>, cells: &[&Cell<'_>]) -> Vec<(f64, f64)> {
    /// IPv4 and TCP headers with timestamps.
    const HEADERS: f64 = 52.0;
    let mut known: Vec<(f64, Probability, f64)> = Vec::new();
    for (place, value) in over.values.iter().enumerate() {
        let Some(cell) = cells.iter().find(|c| over.value_of(c) == *value) else { continue };
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

fn table(part: &PartView<'_>, over: &OverAxis<'_>) -> Table {
    let head = [
        over.title(),
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
        let mut row = vec![over.value_of(cell), cell.plan.link.to_string(), cell.arm.to_string(), cell.n().to_string()];
        match cell.estimate(&metric::GOODPUT) {
            Some(e) => {
                row.extend([number(e.median), number(e.min), number(e.max)]);
                row.push(
                    cell.interval(&metric::GOODPUT)
                        .map_or("too few seeds".into(), |i| format!("{}–{}", number(i.low), number(i.high))),
                );
            }
            None => row.extend(["–", "–", "–", "–"].map(str::to_owned)),
        }
        row.push(cell.estimate(&metric::DELIVERED_SHARE).map_or("–".into(), |e| number(e.median)));
        rows.push(row);
    }
    Table { head, rows }
}
