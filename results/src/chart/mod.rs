//! Charts: each answers one question from the records, as SVG, with its data as a table.
//!
//! A chart is one file here and one variant of [`Chart`]. It draws what is there and says what is
//! not: [`Absent`] carries the sentence that the page shows in its place. Nothing here reads a
//! clock or a random number: the same records give the same bytes.
//!
//! [`figure`] lays out the sheet, [`grid`] and [`axis`] the panels, [`theme`] the looks; [`rows`] is the common
//! form of the charts that show one figure a trial, [`over_axis`] of those that show one against a condition.

mod axis;
mod blocked;
mod blocked_over_axis;
mod canvas;
mod choice;
mod cost;
mod decomposition;
mod delay_percentiles;
mod delay_tail;
mod drops;
mod figure;
mod goodput_over_axis;
mod goodput_over_time;
mod grid;
mod lanes;
mod lateness;
mod over_axis;
mod path_over_time;
mod png;
mod rows;
mod stall_packets;
mod stalls;
mod start;
mod theme;

use samepath_model::Workload;

use crate::cells::Cell;
use crate::part::{PartView, parts};
use crate::store::{Run, StoreError};

pub(crate) use png::to_png;

/// A kind of chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chart {
    /// How the delays of messages are spread, with the tail on a logarithmic axis.
    DelayTail,
    /// The percentiles of the delays, a row an arm.
    DelayPercentiles,
    /// The messages of one trial an arm on one time axis, with the drops.
    Stalls,
    /// The parts of the delay, stacked, an arm a bar.
    Decomposition,
    /// Blocked time against the axis that the part varies.
    BlockedOverAxis,
    /// The packets around one stall.
    StallPackets,
    /// Goodput against the axis that the part varies.
    GoodputOverAxis,
    /// Goodput in bins of time.
    GoodputOverTime,
    /// Congestion window, round-trip time and queue over time.
    PathOverTime,
    /// Handshake and first byte in round-trip times.
    Start,
    /// CPU time and wire bytes for the payload.
    Cost,
    /// How late packets left the link.
    Lateness,
}

impl Chart {
    /// Every chart, in the order of the page.
    pub const ALL: [Chart; 12] = [
        Chart::DelayTail,
        Chart::DelayPercentiles,
        Chart::Stalls,
        Chart::Decomposition,
        Chart::BlockedOverAxis,
        Chart::StallPackets,
        Chart::GoodputOverAxis,
        Chart::GoodputOverTime,
        Chart::PathOverTime,
        Chart::Start,
        Chart::Cost,
        Chart::Lateness,
    ];

    /// The name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Chart::DelayTail => "delay-tail",
            Chart::DelayPercentiles => "delay-percentiles",
            Chart::Stalls => "stalls",
            Chart::Decomposition => "decomposition",
            Chart::BlockedOverAxis => "blocked",
            Chart::StallPackets => "stall-packets",
            Chart::GoodputOverAxis => "goodput",
            Chart::GoodputOverTime => "goodput-over-time",
            Chart::PathOverTime => "path-over-time",
            Chart::Start => "start",
            Chart::Cost => "cost",
            Chart::Lateness => "lateness",
        }
    }

    /// Whether it answers the part's question, or supports the charts that do.
    pub const fn is_main(self) -> bool {
        matches!(
            self,
            Chart::DelayTail
                | Chart::Stalls
                | Chart::Decomposition
                | Chart::BlockedOverAxis
                | Chart::GoodputOverAxis
                | Chart::GoodputOverTime
        )
    }

    /// Whether it is meant for such a workload.
    const fn suits(self, workload: &Workload) -> bool {
        match self {
            Chart::DelayTail
            | Chart::DelayPercentiles
            | Chart::Stalls
            | Chart::Decomposition
            | Chart::BlockedOverAxis
            | Chart::StallPackets => matches!(workload, Workload::Messages(_)),
            Chart::GoodputOverAxis | Chart::GoodputOverTime => matches!(workload, Workload::Bulk(_)),
            Chart::PathOverTime | Chart::Start | Chart::Cost | Chart::Lateness => true,
        }
    }
}

/// A chart drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// Which chart it is.
    pub chart: Chart,
    /// The part it shows.
    pub part: String,
    /// Name of its files, without extension: unique in the report.
    pub stem: String,
    /// Its title.
    pub title: String,
    /// Claim, n and conditions in words; also the alternative text.
    pub caption: String,
    /// The picture: whole XML, without anything to load.
    pub svg: String,
    /// What it shows, as numbers.
    pub table: Table,
}

/// Text in rows and columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Names and units of the columns.
    pub head: Vec<String>,
    /// The rows, each as long as the head.
    pub rows: Vec<Vec<String>>,
}

/// Why a chart was not drawn.
#[derive(Debug, thiserror::Error)]
pub enum Absent {
    /// The records do not hold what it shows; the sentence says what is missing.
    #[error("{0}")]
    NoData(String),
    /// The records cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A chart in the report: drawn, or a sentence in its place.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// Drawn.
    Drawn(Box<Drawing>),
    /// Left out, with the part and the reason.
    LeftOut {
        /// Which chart.
        chart: Chart,
        /// Of which part.
        part: String,
        /// The sentence shown instead.
        reason: String,
    },
}

/// Draws every chart that suits each part, in the order of parts and charts.
///
/// # Errors
/// Where the records of a trial that counts cannot be read.
pub fn draw_all(run: &Run, cells: &[Cell<'_>]) -> Result<Vec<Shown>, StoreError> {
    let mut shown = Vec::new();
    for part in parts(cells) {
        for chart in Chart::ALL.into_iter().filter(|chart| chart.suits(&part.cells[0].plan.workload)) {
            match draw(chart, run, &part) {
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

fn draw(chart: Chart, run: &Run, part: &PartView<'_>) -> Result<Drawing, Absent> {
    if part.trials().next().is_none() {
        return Err(Absent::NoData("no trial of this part counts, so there is nothing to draw".into()));
    }
    match chart {
        Chart::DelayTail => delay_tail::draw(run, part),
        Chart::DelayPercentiles => delay_percentiles::draw(part),
        Chart::Stalls => stalls::draw(run, part),
        Chart::Decomposition => decomposition::draw(part),
        Chart::BlockedOverAxis => blocked_over_axis::draw(part),
        Chart::StallPackets => stall_packets::draw(run, part),
        Chart::GoodputOverAxis => goodput_over_axis::draw(part),
        Chart::GoodputOverTime => goodput_over_time::draw(run, part),
        Chart::PathOverTime => path_over_time::draw(run, part),
        Chart::Start => start::draw(part),
        Chart::Cost => cost::draw(part),
        Chart::Lateness => lateness::draw(part),
    }
}
