//! The common form of the charts that show one figure a trial: a row an arm, grouped by conditions,
//! a column a figure; the seeds are visible one by one.

use super::axis::{Axis, Beside, Panel};
use super::canvas::{Canvas, Rect, Stroke, Type};
use super::definition::{ChartDef, Drawing, Table};
use super::figure::{Figure, Key};
use super::names::Names;
use super::theme::{INK, MUTED, SMALL, arm_style};
use crate::cells::{Cell, Estimate};
use crate::metric::Metric;
use crate::number::number;
use crate::part::PartView;
use crate::stats;

/// How a value is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A mark at its place.
    Dot,
    /// A bar from 0, its number at its end.
    Bar,
}

/// One figure.
pub(crate) struct Column {
    /// Its name, above the panel.
    pub(crate) heading: String,
    /// Its axis, unit included.
    pub(crate) axis_name: String,
    /// The span of its values.
    pub(crate) axis: Axis,
    /// The figure.
    pub(crate) metric: &'static Metric,
}

/// What surrounds the rows.
pub(crate) struct Rows<'t> {
    pub(crate) chart: &'static ChartDef,
    pub(crate) title: String,
    pub(crate) caption: String,
    pub(crate) notes: Vec<String>,
    pub(crate) form: Form,
    pub(crate) part: &'t PartView<'t>,
    pub(crate) columns: Vec<Column>,
}

const ROW: f64 = 17.0;
const GAP: f64 = 18.0;

impl Rows<'_> {
    /// Draws them.
    pub(crate) fn draw(self) -> Drawing {
        let groups = self.part.groups();
        let names = Names::of(groups.iter(), ROW);
        let plot = groups.iter().map(|group| names.height(group)).sum::<f64>() + 6.0;
        let body = 22.0 + plot + 40.0;
        let (few, many) = self.spreads();
        let mut legend: Vec<Key> = self.part.arms().into_iter().map(Key::Arm).collect();
        legend.push(Key::Line { dash: &[], colour: MUTED, label: "smallest to largest seed".into() });
        let mut notes = vec![match self.form {
            Form::Dot => "Sign: median over seeds. Small strokes: single seeds.".to_owned(),
            Form::Bar => "Bar and number: median over seeds. Small strokes: single seeds.".to_owned(),
        }];
        if many {
            notes.push("Thick line: 95 % confidence interval of the median (order statistics over seeds).".into());
        }
        if few {
            notes.push(format!(
                "Fewer than {} seeds in a cell: the line is the range, not a confidence interval.",
                stats::FEWEST_FOR_INTERVAL
            ));
        }
        notes.extend(self.notes.iter().cloned());
        let stem = self.part.stem(self.chart.name);
        let conditions = vec![format!("{}; {}", self.part.heading(), self.part.seeds()), self.part.conditions()];
        let figure = Figure { title: self.title.clone(), conditions, legend, notes };
        let svg = figure.draw(&stem, &self.caption, body, |canvas, area| self.body(canvas, area, plot, names));
        Drawing {
            chart: self.chart,
            part: self.part.name.to_owned(),
            table: self.table(),
            stem,
            title: self.title,
            caption: self.caption,
            svg,
        }
    }

    /// Whether a cell has too few seeds for an interval, and whether one has enough.
    fn spreads(&self) -> (bool, bool) {
        let counts = || self.part.cells.iter().map(|cell| cell.n()).filter(|n| *n > 0);
        (counts().any(|n| n < stats::FEWEST_FOR_INTERVAL), counts().any(|n| n >= stats::FEWEST_FOR_INTERVAL))
    }

    fn body(&self, canvas: &mut Canvas<'_>, area: Rect, plot: f64, names: Names) {
        let count = self.columns.len() as f64;
        let width = (area.w - names.width - GAP * (count - 1.0) - 24.0) / count;
        let panels: Vec<Panel> = self
            .columns
            .iter()
            .enumerate()
            .map(|(i, column)| Panel {
                area: Rect { x: area.x + names.width + i as f64 * (width + GAP), y: area.y + 22.0, w: width, h: plot },
                x: column.axis.clone(),
                y: Axis::linear(0.0, 1.0, 1).with_ticks(Vec::new()),
            })
            .collect();
        for (panel, column) in panels.iter().zip(&self.columns) {
            let beside =
                Beside { heading: &column.heading, x_name: &column.axis_name, x_labels: true, ..Beside::default() };
            panel.frame(canvas, beside);
        }
        let mut y = area.y + 22.0;
        for group in self.part.groups() {
            y = names.conditions(canvas, (area.x, y), &group);
            for cell in &group.cells {
                let middle = y + ROW / 2.0;
                names.arm(canvas, (area.x, middle), cell.arm);
                for (panel, column) in panels.iter().zip(&self.columns) {
                    self.row(canvas, panel, middle, cell, column.metric);
                }
                y += ROW;
            }
        }
    }

    fn row(&self, canvas: &mut Canvas<'_>, panel: &Panel, y: f64, cell: &Cell<'_>, metric: &Metric) {
        let style = arm_style(cell.arm);
        let Some(Estimate { n, median, min: low, max: high }) = cell.estimate(metric) else {
            canvas.text(panel.area.x + 6.0, y, "–", Type::new(SMALL, MUTED));
            return;
        };
        let at = |value: f64| panel.at(value, 0.0).0.clamp(panel.area.x, panel.area.right());
        if self.form == Form::Bar {
            let start = panel.area.x;
            let bar = Rect { x: start, y: y - 5.0, w: (at(median) - start).max(0.5), h: 10.0 };
            canvas.fill(bar, style.colour, 0.55);
            canvas.outline(bar, Stroke::solid(style.colour, 1.0));
        }
        if n > 1 {
            canvas.line(&[(at(low), y), (at(high), y)], Stroke::solid(MUTED, 1.0));
        }
        if let Some(interval) = cell.interval(metric) {
            let line = [(at(interval.low), y), (at(interval.high), y)];
            canvas.line(&line, Stroke::solid(style.colour, 3.0));
        }
        for (_, value) in cell.values(metric) {
            canvas.line(&[(at(value), y - 4.0), (at(value), y + 4.0)], Stroke::solid(MUTED, 1.0));
        }
        match self.form {
            Form::Dot => canvas.mark(at(median), y, 4.0, style.mark, style.colour),
            Form::Bar => {
                canvas.text(at(high.max(median)) + 5.0, y, &number(median), Type::new(SMALL, INK));
            }
        }
    }

    fn table(&self) -> Table {
        let mut head = vec!["conditions".to_owned(), "arm".to_owned(), "seeds".to_owned()];
        for column in &self.columns {
            head.push(format!("{} [{}], median (min–max)", column.heading, column.metric.unit.symbol()));
        }
        let mut rows = Vec::new();
        for group in self.part.groups() {
            for cell in group.cells {
                let mut row = vec![group.label.clone(), cell.arm.to_string(), cell.n().to_string()];
                row.extend(self.columns.iter().map(|column| cell.spread(column.metric)));
                rows.push(row);
            }
        }
        Table { head, rows }
    }
}
