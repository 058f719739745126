//! The figures by which a workload is judged, as its score names them; a row an arm.

use super::axis::Axis;
use super::definition::{Absent, ChartDef, Drawing};
use super::rows::{Column, Form, Rows};
use crate::analysis::Analysis;
use crate::metric::{Metric, Unit};
use crate::part::PartView;
use crate::score;

pub(crate) const CHART: ChartDef = ChartDef {
    name: "figures",
    about: "The figures by which the workload is judged, a row an arm",
    absent: "The workload's figures are not drawn",
    is_main: true,
    suits: |plan| score::of_workload(&plan.workload).figures.is_some(),
    draw,
};

fn draw(_: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let figures = score::of(part).figures.expect("it suits workloads that have figures alone");
    let column = |(heading, metric): &(&str, &'static Metric)| {
        let values: Vec<f64> = part.trials().filter_map(|record| (metric.of)(record)).collect();
        if values.is_empty() {
            return None;
        }
        let most = values.iter().copied().fold(0.0, f64::max);
        // A logarithmic axis has no place for 0, and a share is read as a part of all.
        let axis = match metric.unit {
            Unit::Percent if most > 0.0 => Axis::linear(0.0, most, 4),
            _ if most > 0.0 && values.iter().any(|value| *value <= 0.0) => Axis::linear(0.0, most * 1.05, 4),
            _ => Axis::fitting(values, 4.0, 4),
        };
        let scale = if axis.is_log() { ", log" } else { "" };
        let axis_name = match metric.unit.symbol() {
            "" => format!("{}{}", metric.label, scale.replacen(", ", " ", 1)),
            unit => format!("{} ({unit}{scale})", metric.label),
        };
        Some(Column { heading: (*heading).to_owned(), axis_name, axis, metric })
    };
    let columns: Vec<Column> = figures.columns.iter().filter_map(column).collect();
    if columns.is_empty() {
        return Err(Absent::NoData("no trial that counts has one of them".into()));
    }
    let title = figures.title.to_owned();
    let caption = format!("{} By conditions and arm; {}.", figures.about, part.seeds());
    let notes = vec![figures.about.to_owned()];
    Ok(Rows { chart: &CHART, title, caption, notes, form: Form::Dot, part, columns }.draw())
}
