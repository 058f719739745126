//! A figure against the condition that the part varies: what the charts of this form have in common.

use std::collections::BTreeMap;

use super::axis::{Axis, Panel};
use super::canvas::{Canvas, Stroke};
use super::theme::{MUTED, arm_style};
use crate::cells::Cell;
use crate::metric::Metric;
use crate::part::PartView;

/// The axis along x and its panels.
pub(super) struct OverAxis<'a> {
    /// The axis; `None` where nothing is varied.
    pub(super) name: Option<String>,
    /// Its values, in order.
    pub(super) values: Vec<String>,
    /// A panel for each set of the other axes, with its cells.
    pub(super) panels: Vec<(String, Vec<&'a Cell<'a>>)>,
}

impl<'a> OverAxis<'a> {
    pub(super) fn of(part: &PartView<'a>) -> OverAxis<'a> {
        let mut over = OverAxis { name: main_axis(part), values: Vec::new(), panels: Vec::new() };
        for &cell in &part.cells {
            let value = over.value_of(cell);
            if !over.values.contains(&value) {
                over.values.push(value);
            }
            let mut others: BTreeMap<String, String> = cell.axes.clone();
            over.name.as_ref().and_then(|name| others.remove(name));
            let label = crate::cells::label(&others);
            match over.panels.iter_mut().find(|(l, _)| *l == label) {
                Some((_, cells)) => cells.push(cell),
                None => over.panels.push((label, vec![cell])),
            }
        }
        over
    }

    /// The cell's value on the axis; empty where there is none.
    pub(super) fn value_of(&self, cell: &Cell<'_>) -> String {
        self.name.as_ref().and_then(|name| cell.axes.get(name)).cloned().unwrap_or_default()
    }

    /// What stands below the axis.
    pub(super) fn title(&self) -> &str {
        self.name.as_deref().unwrap_or("conditions")
    }

    pub(super) fn x(&self) -> Axis {
        let label = |value: &String| if value.is_empty() { "all trials".to_owned() } else { value.clone() };
        Axis::ordinal(&self.values.iter().map(label).collect::<Vec<_>>())
    }

    /// Draws a figure of each arm: the median at each value, with its spread and the single seeds.
    pub(super) fn draw(
        &self,
        canvas: &mut Canvas<'_>,
        panel: &Panel,
        part: &PartView<'_>,
        cells: &[&Cell<'_>],
        metric: &Metric,
    ) {
        let arms = part.arms();
        for (rank, arm) in arms.iter().enumerate() {
            let style = arm_style(*arm);
            // The signs of one value stand side by side.
            let shift = (rank as f64 - (arms.len() as f64 - 1.0) / 2.0) * 0.6 / arms.len() as f64;
            let mut line = Vec::new();
            for (place, value) in self.values.iter().enumerate() {
                let cell = cells.iter().find(|cell| cell.arm == *arm && self.value_of(cell) == *value);
                let Some((cell, estimate)) = cell.and_then(|cell| Some((cell, cell.estimate(metric)?))) else {
                    continue;
                };
                let x = place as f64 + shift;
                // The interval where there are seeds enough, else the range.
                let (low, high) = cell.interval(metric).map_or((estimate.min, estimate.max), |i| (i.low, i.high));
                panel.line(canvas, &[(x, low), (x, high)], Stroke::solid(style.colour, 1.5));
                for (_, value) in cell.values(metric) {
                    let (x, y) = panel.at(x, value);
                    canvas.line(&[(x - 4.0, y), (x + 4.0, y)], Stroke::solid(MUTED, 1.0));
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
}

/// The axis along x: loss where it is varied, else the one with the most values.
fn main_axis(part: &PartView<'_>) -> Option<String> {
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
