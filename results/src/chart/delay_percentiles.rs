//! The percentiles of the message delay: median, 95th, 99th, largest; a row an arm.

use samepath_model::Workload;

use super::axis::Axis;
use super::definition::{Absent, ChartDef, Drawing};
use super::rows::{Column, Form, Rows};
use crate::analysis::Analysis;
use crate::metric::{self, Metric};
use crate::part::PartView;

pub(crate) const CHART: ChartDef = ChartDef {
    name: "delay-percentiles",
    about: "The percentiles of the delays, a row an arm",
    absent: "The percentiles of the delays are not drawn",
    is_main: false,
    suits: |plan| matches!(plan.workload.scored(), Workload::Messages(_)),
    draw,
};

fn draw(_: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    let shown: [(&str, &'static Metric); 4] = [
        ("p50", &metric::DELAY_P50),
        ("p95", &metric::DELAY_P95),
        ("p99", &metric::DELAY_P99),
        ("largest", &metric::DELAY_MAX),
    ];
    let values: Vec<f64> =
        part.trials().flat_map(|record| shown.iter().filter_map(|(_, metric)| (metric.of)(record))).collect();
    if values.is_empty() {
        return Err(Absent::NoData("no message was delivered, so there is no delay to show".into()));
    }
    let axis = Axis::fitting(values, 4.0, 4);
    let scale = if axis.is_log() { ", log" } else { "" };
    let column = |(heading, metric): (&str, &'static Metric)| Column {
        heading: heading.to_owned(),
        axis_name: format!("delay (ms{scale})"),
        axis: axis.clone(),
        metric,
    };
    let columns = shown.map(column).into();
    let title = "How long do messages take, and how much longer do the slowest take?".to_owned();
    let caption = format!(
        "Percentiles of the delay from release to delivery within each trial, in milliseconds, by conditions and arm; \
         {}. Only delivered messages have a delay: where udp lost some, its percentiles are of the rest.",
        part.seeds()
    );
    let notes = vec![
        "Delay from release to delivery; percentiles (nearest rank) within a trial, of its delivered messages.".into(),
    ];
    Ok(Rows { chart: &CHART, title, caption, notes, form: Form::Dot, part, columns }.draw())
}
