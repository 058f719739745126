//! What compression makes of the latency, and the CPU time that it takes, against what else the part varies: a line a
//! coding.

use samepath_model::arm::{Arm, Marker};

use plotters::style::RGBColor;

use super::axis::{Axis, Panel};
use super::canvas::{Canvas, Stroke};
use super::definition::{Absent, ChartDef, Drawing, Table};
use super::figure::{Figure, Key};
use super::grid::{Grid, Kind};
use super::theme::{ArmStyle, MUTED};
use crate::analysis::Analysis;
use crate::compression::{self, Compressed};
use crate::metric::Metric;
use crate::metric::compression::{COMPRESSION_CPU, DECOMPRESSION_CPU, RATIO};
use crate::metric::rpc::LATENCY_P50;
use crate::part::PartView;
use crate::{number, stats};

pub(crate) const CHART: ChartDef = ChartDef {
    name: "compression",
    about: "What compression makes of the latency, and the CPU time that it takes",
    absent: "Compression is not drawn",
    is_main: true,
    suits: |plan| plan.axes.contains_key("compression"),
    draw,
};

/// How the codings look, in the order of the part.
const LOOKS: [ArmStyle; 4] = [
    ArmStyle { colour: RGBColor(0x00, 0x72, 0xb2), mark: Marker::Circle, dash: &[] },
    ArmStyle { colour: RGBColor(0xd5, 0x5e, 0x00), mark: Marker::Triangle, dash: &[] },
    ArmStyle { colour: RGBColor(0x00, 0x9e, 0x73), mark: Marker::Ring, dash: &[] },
    ArmStyle { colour: RGBColor(0xcc, 0x79, 0xa7), mark: Marker::TriangleDown, dash: &[] },
];

/// The stroke of what the client takes, beside the server's.
const CLIENT: &[f64] = &[4.0, 3.0];

/// What is drawn of a part.
struct Lines<'a> {
    all: Vec<Compressed<'a>>,
    codings: Vec<String>,
    conditions: Vec<String>,
    arms: Vec<Arm>,
}

impl<'a> Lines<'a> {
    fn of(part: &PartView<'a>) -> Lines<'a> {
        let all = compression::compressed(part);
        let unique = |names: &mut dyn Iterator<Item = &String>| {
            let mut unique: Vec<String> = Vec::new();
            names.for_each(|name| {
                if !unique.contains(name) {
                    unique.push(name.clone())
                }
            });
            unique
        };
        let codings = unique(&mut all.iter().map(|one| &one.coding));
        let conditions = unique(&mut all.iter().map(|one| &one.conditions));
        Lines { codings, conditions, arms: part.arms(), all }
    }

    fn look(&self, coding: &str) -> ArmStyle {
        let place = self.codings.iter().position(|known| known == coding).unwrap_or(0);
        LOOKS[place % LOOKS.len()]
    }

    /// The figure of each condition, by the place of its line among the codings.
    fn draw(
        &self,
        canvas: &mut Canvas<'_>,
        panel: &Panel,
        arm: Arm,
        dash: &[f64],
        of: &dyn Fn(&Compressed<'_>) -> Vec<f64>,
    ) {
        let n = self.codings.len() as f64;
        for (rank, coding) in self.codings.iter().enumerate() {
            let style = self.look(coding);
            let shift = (rank as f64 - (n - 1.0) / 2.0) * 0.3 / n;
            let mut line = Vec::new();
            for (place, conditions) in self.conditions.iter().enumerate() {
                let here = |one: &&Compressed<'_>| {
                    one.cell.arm == arm && one.coding == *coding && one.conditions == *conditions
                };
                let values = self.all.iter().find(here).map(of).unwrap_or_default();
                let Some(median) = stats::median(&values) else { continue };
                let x = place as f64 + shift;
                let low = values.iter().copied().fold(median, f64::min);
                let high = values.iter().copied().fold(median, f64::max);
                panel.line(canvas, &[(x, low), (x, high)], Stroke::solid(style.colour, 1.5));
                line.push((x, median));
            }
            panel.line(canvas, &line, Stroke { colour: style.colour, width: 1.0, dash, opacity: 0.8 });
            line.iter().for_each(|&at| panel.mark(canvas, at, 4.0, style));
        }
    }
}

/// The figure of a cell's trials.
fn values(one: &Compressed<'_>, metric: &Metric) -> Vec<f64> {
    one.cell.values(metric).into_iter().map(|(_, value)| value).collect()
}

fn draw(_: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let lines = Lines::of(part);
    let relative = |one: &Compressed<'_>| one.ratios(&LATENCY_P50);
    let all: Vec<f64> = lines.all.iter().flat_map(relative).collect();
    if all.is_empty() {
        let reason = "no trial with compression has a counterpart without it: vary `compression` from `none` on";
        return Err(Absent::NoData(reason.into()));
    }
    let cpu = [&COMPRESSION_CPU, &DECOMPRESSION_CPU];
    let latency = Axis::linear(0.0, all.iter().copied().fold(1.0, f64::max) * 1.05, 5);
    let taken = lines.all.iter().flat_map(|one| cpu.into_iter().flat_map(|metric| values(one, metric)));
    let taken = Axis::fitting(taken, 4.0, 4);
    let scale = if taken.is_log() { ", log" } else { "" };
    let (latency_name, taken_name) = ("latency p50 / without", format!("CPU of a response (ms{scale})"));
    let title = "Where does compression pay, and what does it take?".to_owned();
    let caption = format!(
        "Median latency as a multiple of the same without compression, and the CPU time in which a response is compressed \
         at the server and decompressed at the client, for each coding, by conditions and arm; median over seeds with \
         their range; {}. Below 1 compression pays.",
        part.seeds()
    );
    let sign = |coding: &String| {
        let ArmStyle { mark, colour, .. } = lines.look(coding);
        Key::Mark { mark, colour, label: coding.clone() }
    };
    let mut legend: Vec<Key> = lines.codings.iter().map(sign).collect();
    legend.extend([
        Key::Line { dash: &[], colour: MUTED, label: "at the server".into() },
        Key::Line { dash: CLIENT, colour: MUTED, label: "at the client".into() },
    ]);
    let figure = Figure {
        title: title.clone(),
        conditions: vec![format!("{}; {}", part.heading(), part.seeds()), part.conditions()],
        legend,
        notes: vec![
            "Sign: median over seeds; line up and down: smallest to largest seed. Below 1 compression pays.".into(),
            "CPU: of the threads that compress and decompress (CLOCK_THREAD_CPUTIME_ID), a response, in the mean of a \
             trial. It is within the latency."
                .into(),
        ],
    };
    let stem = part.stem(CHART.name);
    let grid =
        Grid { left: 66.0, gap: 18.0, top: 22.0, height: 170.0, row_height: 240.0, panels: lines.arms.len(), kinds: 2 };
    let x = Axis::ordinal(&lines.conditions.iter().map(|text| short(text, &lines.conditions)).collect::<Vec<_>>());
    let x_name = common(&lines.conditions);
    let svg = figure.draw(&stem, &caption, grid.height(), |canvas, area| {
        for (i, arm) in lines.arms.iter().enumerate() {
            let kind = Kind { x: &x, y: &latency, x_name: &x_name, y_name: latency_name };
            let panel = grid.panel(canvas, area, (i, 0), &arm.to_string(), &kind);
            let ends = (-0.5, lines.conditions.len() as f64 - 0.5);
            panel.line(canvas, &[(ends.0, 1.0), (ends.1, 1.0)], Stroke::solid(MUTED, 1.0));
            lines.draw(canvas, &panel, *arm, &[], &relative);
            let kind = Kind { x: &x, y: &taken, x_name: &x_name, y_name: &taken_name };
            let panel = grid.panel(canvas, area, (i, 1), "", &kind);
            lines.draw(canvas, &panel, *arm, &[], &|one| values(one, &COMPRESSION_CPU));
            lines.draw(canvas, &panel, *arm, CLIENT, &|one| values(one, &DECOMPRESSION_CPU));
        }
    });
    Ok(Drawing { chart: &CHART, part: part.name.to_owned(), stem, title, caption, svg, table: table(&lines) })
}

/// What stands at a tick: the value alone where conditions are of one axis.
fn short(conditions: &str, all: &[String]) -> String {
    match common(all).as_str() {
        "" | "conditions" => conditions.to_owned(),
        name => conditions.strip_prefix(name).unwrap_or(conditions).trim_start().to_owned(),
    }
}

/// The one axis that conditions are of.
fn common(all: &[String]) -> String {
    let name = |text: &String| text.split(' ').next().unwrap_or_default().to_owned();
    let first = all.first().map(name).unwrap_or_default();
    let is_one = all.iter().all(|text| !text.contains(", ") && name(text) == first);
    if is_one { first } else { "conditions".into() }
}

fn table(lines: &Lines<'_>) -> Table {
    const OF: [&Metric; 4] = [&LATENCY_P50, &RATIO, &COMPRESSION_CPU, &DECOMPRESSION_CPU];
    let mut head = ["conditions", "arm", "coding", "seeds", "latency p50 / without"].map(str::to_owned).to_vec();
    head.extend(OF.map(|metric| format!("{} [{}]", metric.label, metric.unit.symbol())));
    let row = |one: &Compressed<'_>| {
        let relative = number::spread(&one.ratios(&LATENCY_P50));
        let first = [one.conditions.clone(), one.cell.arm.to_string(), one.coding.clone(), one.cell.n().to_string()];
        first.into_iter().chain([relative]).chain(OF.map(|metric| one.cell.spread(metric))).collect()
    };
    Table { head, rows: lines.all.iter().map(row).collect() }
}
