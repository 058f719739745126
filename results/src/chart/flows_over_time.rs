//! Goodput of flows that share a link, in bins of 100 ms: a panel for each arm under each group of conditions, a line for
//! each flow.

use plotters::style::RGBColor;
use samepath_model::flow::{FlowId, UNDER_TEST};

use super::axis::{Axis, Beside, Panel};
use super::bins::{BIN_NANOS, flow_bins};
use super::canvas::{Rect, Stroke};
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::figure::{Figure, Key};
use super::restarts;
use super::theme::{INK, arm_style};
use crate::analysis::Analysis;
use crate::cells::Cell;
use crate::metric;
use crate::number::number;
use crate::part::PartView;
use crate::stats;
use crate::store::StoreError;

pub(crate) const CHART: ChartDef = ChartDef {
    name: "flows-over-time",
    about: "How flows share the link over time",
    absent: "How flows share the link over time is not drawn",
    is_main: true,
    suits: |plan| !plan.competing.is_empty(),
    draw,
};

const LINK_RATE: &[f64] = &[9.0, 4.0];

/// Colours of competing flows, none of them an arm's (Okabe and Ito).
const COLOURS: [RGBColor; 3] = [RGBColor(0xcc, 0x79, 0xa7), RGBColor(0x55, 0x55, 0x55), RGBColor(0xb8, 0x86, 0x0b)];
/// Their dashes: with the colours as many looks as there can be competing flows.
const DASHES: [&[f64]; 5] = [&[7.0, 3.0], &[2.0, 2.0], &[12.0, 3.0, 2.0, 3.0], &[4.0, 4.0], &[16.0, 4.0]];

/// A flow of the trials of a cell.
struct Line {
    name: String,
    flow: FlowId,
    /// Median over the trials, bin by bin from the epoch, in Mbit/s; as long as the shortest.
    median: Vec<f64>,
    /// The first of them in which it may send.
    from: usize,
}

/// The flows of a cell.
struct Sharing<'a> {
    cell: &'a Cell<'a>,
    heading: String,
    lines: Vec<Line>,
}

fn draw(analysis: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let mut panels = Vec::new();
    for &cell in part.cells.iter().filter(|cell| cell.n() > 0) {
        panels.push(read(analysis, cell)?);
    }
    let longest = panels.iter().flat_map(|panel| &panel.lines).map(|line| line.median.len()).max().unwrap_or(0);
    if longest < 2 {
        return Err(Absent::NoData(
            "no flow delivered for two bins of 100 ms, so there is no course over time to show".into(),
        ));
    }
    let rate_of = |cell: &Cell<'_>| {
        let plan = &cell.plan;
        plan.link.direction(plan.workload.direction()).rate.map(|rate| rate.bits_per_second() as f64 / 1e6)
    };
    let values = panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| line.median.iter().copied());
    let rates = panels.iter().filter_map(|panel| rate_of(panel.cell));
    let highest = values.chain(rates).fold(1e-6, f64::max);
    let x_axis = Axis::exact(0.0, longest as f64 * BIN_NANOS as f64 / 1e9, 10);
    let y_axis = Axis::linear(0.0, highest * 1.03, 4);

    let title = "How do the flows share the link over time?".to_owned();
    let caption = format!(
        "Payload received in bins of 100 ms, in Mbit/s, over the time since the flow under test started; a panel for each \
         arm under each set of conditions, a line for each flow, the median over seeds; {}.",
        part.seeds()
    );
    let mut legend: Vec<Key> = part.arms().into_iter().map(Key::Arm).collect();
    legend.extend(part.cells[0].plan.competing.iter().zip(1..).map(|(flow, id)| {
        let (colour, dash) = look(id);
        Key::Line { dash, colour, label: format!("{} (beside it)", flow.name) }
    }));
    legend.push(Key::Line { dash: LINK_RATE, colour: INK, label: "link rate (headers included)".into() });
    let mut notes = vec![
        "Lines: median over seeds, as long as every seed has data, each from its flow's start; with marks, the flow under \
         test. The last, partial bin is left out."
            .to_owned(),
    ];
    if part.cells.iter().any(|cell| cell.estimate(&metric::LINK_SHARE).is_some()) {
        notes.push(
            "Shares: of the payload of the flows under congestion control while all of them were sending, median over seeds. \
             Jain's index is 1 where they are equal."
                .into(),
        );
    }
    notes.extend(restarts::note(&part.cells[0].plan));
    let figure = Figure {
        title: title.clone(),
        conditions: vec![format!("{}; {}", part.heading(), part.seeds()), part.conditions()],
        legend,
        notes,
    };
    let stem = part.stem(CHART.name);
    let (left, height) = (66.0, if panels.len() > 4 { 110.0 } else { 150.0 });
    let step = height + 34.0;
    let svg = figure.draw(&stem, &caption, panels.len() as f64 * step + 42.0, |canvas, area| {
        for (i, sharing) in panels.iter().enumerate() {
            let y = area.y + 24.0 + i as f64 * step;
            let place = Rect { x: area.x + left, y, w: area.w - left - 8.0, h: height };
            let panel = Panel { area: place, x: x_axis.clone(), y: y_axis.clone() };
            let is_last = i + 1 == panels.len();
            let x_name = if is_last { "time since the flow under test started (s)" } else { "" };
            let beside = Beside {
                heading: &sharing.heading,
                y_name: "goodput (Mbit/s)",
                y_labels: true,
                x_labels: is_last,
                x_name,
            };
            panel.frame(canvas, beside);
            restarts::mark(canvas, &panel, &sharing.cell.plan);
            if let Some(rate) = rate_of(sharing.cell) {
                let line = [(0.0, rate), (panel.x.hi(), rate)];
                panel.line(canvas, &line, Stroke { colour: INK, width: 1.0, dash: LINK_RATE, opacity: 1.0 });
            }
            for line in &sharing.lines {
                let points: Vec<(f64, f64)> = (line.from..line.median.len())
                    .map(|bin| ((bin as f64 + 0.5) * BIN_NANOS as f64 / 1e9, line.median[bin]))
                    .collect();
                if line.flow != UNDER_TEST {
                    let (colour, dash) = look(line.flow);
                    panel.line(canvas, &points, Stroke { colour, width: 2.0, dash, opacity: 1.0 });
                    continue;
                }
                let style = arm_style(sharing.cell.arm);
                let stroke = Stroke { colour: style.colour, width: 2.0, dash: style.dash, opacity: 1.0 };
                panel.line(canvas, &points, stroke);
                for point in points.iter().skip(1).step_by((points.len() / 6).max(3)) {
                    panel.mark(canvas, *point, 3.5, style);
                }
            }
        }
    });
    let table = table(&panels, longest);
    Ok(Drawing { chart: &CHART, part: part.name.to_owned(), stem, title, caption, svg, table })
}

/// The look of a competing flow.
fn look(flow: FlowId) -> (RGBColor, &'static [f64]) {
    let place = usize::from(flow.saturating_sub(1));
    (COLOURS[place % COLOURS.len()], DASHES[place / COLOURS.len() % DASHES.len()])
}

fn read<'a>(analysis: &Analysis<'_>, cell: &'a Cell<'a>) -> Result<Sharing<'a>, StoreError> {
    let mut lines = Vec::new();
    for flow in cell.plan.flows() {
        let trials =
            cell.trials.iter().map(|record| flow_bins(analysis.run(), record, flow)).collect::<Result<Vec<_>, _>>()?;
        let shortest = trials.iter().map(Vec::len).filter(|bins| *bins > 0).min().unwrap_or(0);
        let at = |bin: usize| trials.iter().filter_map(|bins| bins.get(bin).copied()).collect::<Vec<_>>();
        let median = (0..shortest).filter_map(|bin| stats::median(&at(bin))).collect();
        let from = i64::try_from(cell.plan.start_of(flow).as_nanos()).map_or(0, |start| start / BIN_NANOS);
        lines.push(Line { name: cell.plan.name_of(flow), flow, median, from: usize::try_from(from).unwrap_or(0) });
    }
    let conditions = if cell.axes.is_empty() { String::new() } else { format!("{}: ", cell.label()) };
    Ok(Sharing { cell, heading: format!("{conditions}{}", shares(cell)), lines })
}

/// The arm, and the shares of all flows where they are known.
fn shares(cell: &Cell<'_>) -> String {
    let median = |cell: &Cell<'_>, metric| cell.estimate(metric).map(|estimate| estimate.median);
    let Some(jain) = median(cell, &metric::JAIN_INDEX) else { return cell.arm.to_string() };
    let flows = std::iter::once((cell.arm.to_string(), cell))
        .chain(cell.competing.iter().map(|flow| (flow.name.clone(), &flow.cell)));
    let shares: Vec<String> =
        flows.filter_map(|(name, cell)| Some(format!("{name} {:.0} %", median(cell, &metric::LINK_SHARE)?))).collect();
    format!("{}; Jain's index {jain:.2}", shares.join(", "))
}

/// The medians, a row a half second.
fn table(panels: &[Sharing<'_>], longest: usize) -> Table {
    const ROW_BINS: usize = 5;
    let mut head = vec!["time [s]".to_owned()];
    for panel in panels {
        let conditions = if panel.cell.axes.is_empty() { String::new() } else { format!("{}, ", panel.cell.label()) };
        head.extend(panel.lines.iter().map(|line| format!("{conditions}{} [Mbit/s]", line.name)));
    }
    let row = |row: usize| {
        let bins = row * ROW_BINS..(row + 1) * ROW_BINS;
        let mean = |line: &Line| {
            let from = bins.start.max(line.from).min(bins.end);
            let until = bins.end.min(line.median.len());
            line.median.get(from..until).and_then(stats::mean).map_or("–".into(), number)
        };
        let start = number(bins.start as f64 * BIN_NANOS as f64 / 1e9);
        std::iter::once(start).chain(panels.iter().flat_map(|panel| &panel.lines).map(mean)).collect()
    };
    Table { head, rows: (0..longest.div_ceil(ROW_BINS)).map(row).collect() }
}

#[cfg(test)]
mod tests {
    use samepath_model::flow::MAX_FLOWS;

    use super::*;

    #[test]
    fn no_two_competing_flows_look_alike() {
        let looks: Vec<_> = (1..MAX_FLOWS as FlowId).map(look).collect();
        for (i, one) in looks.iter().enumerate() {
            assert!(looks[i + 1..].iter().all(|other| other != one), "{one:?}");
        }
    }
}
