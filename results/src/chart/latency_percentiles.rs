//! The percentiles of an operation's latency: median, 95th, 99th, largest; a row an arm.

use samepath_model::Workload;

use super::axis::Axis;
use super::definition::{Absent, ChartDef, Drawing};
use super::rows::{Column, Form, Rows};
use crate::analysis::Analysis;
use crate::metric::{self, Metric};
use crate::part::PartView;

pub(crate) const CHART: ChartDef = ChartDef {
    name: "latency-percentiles",
    about: "The percentiles of the operations' latency, a row an arm",
    absent: "The percentiles of the latency are not drawn",
    is_main: true,
    suits: |plan| matches!(plan.workload.scored(), Workload::Rpc(_) | Workload::FanOut(_) | Workload::Query(_)),
    draw,
};

fn draw(_: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    const SHOWN: [(&str, &str); 4] = [
        ("p50", "latency_p50_ms"),
        ("p95", "latency_p95_ms"),
        ("p99", "latency_p99_ms"),
        ("largest", "latency_max_ms"),
    ];
    let named = |name: &str| -> &'static Metric {
        metric::ALL.iter().find(|metric| metric.name == name).expect("it is a metric of operations")
    };
    let shown = SHOWN.map(|(heading, name)| (heading, named(name)));
    let values: Vec<f64> =
        part.trials().flat_map(|record| shown.iter().filter_map(|(_, metric)| (metric.of)(record))).collect();
    if values.is_empty() {
        return Err(Absent::NoData("no operation was answered, so there is no latency to show".into()));
    }
    let axis = Axis::fitting(values, 4.0, 4);
    let scale = if axis.is_log() { ", log" } else { "" };
    let column = |(heading, metric): (&str, &'static Metric)| Column {
        heading: heading.to_owned(),
        axis_name: format!("latency (ms{scale})"),
        axis: axis.clone(),
        metric,
    };
    let columns = shown.map(column).into();
    let title = "How long do operations take, and how much longer do the slowest take?".to_owned();
    let caption = format!(
        "Percentiles of the latency within each trial, in milliseconds, by conditions and arm, from the intended release \
         of an operation's first request to the delivery of its last response; {}. Only operations that were answered in \
         time have one.",
        part.seeds()
    );
    let notes = vec![
        "Latency from the intended release of the first request; percentiles (nearest rank) within a trial.".into(),
    ];
    Ok(Rows { chart: &CHART, title, caption, notes, form: Form::Dot, part, columns }.draw())
}
