//! Charts: each answers one question from the records, as SVG, with its data as a table.
//!
//! A chart is one file here, with its definition ([`ChartDef`]), and one line in [`ALL`]. It draws what
//! is there and says what is not: [`Absent`] carries the sentence that the page shows in its place.
//! Nothing here reads a clock or a random number: the same records give the same bytes.
//!
//! [`figure`] lays out the sheet, [`grid`] and [`axis`] the panels, [`theme`] the looks; [`rows`] is the common
//! form of the charts that show one figure a trial, [`over_axis`] of those that show one against a condition.

mod age_tail;
mod axis;
mod bins;
mod blocked;
mod blocked_over_axis;
mod call_and_whole;
mod canvas;
mod choice;
mod compression;
mod cost;
mod decomposition;
mod definition;
mod delay_percentiles;
mod delay_tail;
mod delays;
mod drops;
mod figure;
mod figures;
mod flows_over_time;
mod goodput_over_axis;
mod goodput_over_time;
mod grid;
mod latency_percentiles;
mod lateness;
mod names;
mod over_axis;
mod path_over_time;
mod playback_over_time;
mod png;
mod restarts;
mod rows;
mod stall_packets;
mod stalls;
mod start;
mod theme;
mod timeline;

use crate::analysis::Analysis;
use crate::part::PartView;
use crate::store::StoreError;

pub use definition::{Absent, ChartDef, Drawing, Shown, Table};
pub(crate) use png::to_png;

/// Every chart, in the order of the page.
pub const ALL: &[&ChartDef] = &[
    &age_tail::CHART,
    &call_and_whole::CHART,
    &figures::CHART,
    &playback_over_time::CHART,
    &compression::CHART,
    &latency_percentiles::CHART,
    &delay_tail::CHART,
    &delay_percentiles::CHART,
    &stalls::CHART,
    &decomposition::CHART,
    &blocked_over_axis::CHART,
    &stall_packets::CHART,
    &goodput_over_axis::CHART,
    &goodput_over_time::CHART,
    &flows_over_time::CHART,
    &path_over_time::CHART,
    &start::CHART,
    &cost::CHART,
    &lateness::CHART,
];

/// Draws every chart that suits each part, in the order of parts and charts.
///
/// # Errors
/// Where the records of a trial that counts cannot be read.
pub fn draw_all(analysis: &Analysis<'_>) -> Result<Vec<Shown>, StoreError> {
    let mut shown = Vec::new();
    for part in analysis.parts() {
        for chart in ALL.iter().copied().filter(|chart| (chart.suits)(&part.cells[0].plan)) {
            match draw(chart, analysis, &part) {
                Ok(drawing) => shown.push(Shown::Drawn(Box::new(drawing))),
                Err(Absent::NoData(reason)) => {
                    shown.push(Shown::LeftOut { chart, part: part.name.to_owned(), reason });
                }
                Err(Absent::Store(error)) => return Err(error),
            }
        }
    }
    Ok(shown)
}

fn draw(chart: &ChartDef, analysis: &Analysis<'_>, part: &PartView<'_>) -> Result<Drawing, Absent> {
    if part.trials().next().is_none() {
        return Err(Absent::NoData("no trial of this part counts, so there is nothing to draw".into()));
    }
    (chart.draw)(analysis, part)
}
