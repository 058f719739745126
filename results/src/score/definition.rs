//! What a score is made of.

use crate::metric::Metric;
use crate::part::PartView;
use crate::sentence::Figure;

/// What a workload is scored by.
pub(crate) struct Score {
    /// The figures of the table at the end of a run.
    pub(crate) table: &'static [&'static Metric],
    /// The figures by which runs are compared: few, and none that says the same as another, as each takes its share of
    /// the certainty.
    pub(crate) compared: &'static [&'static Metric],
    /// The figure that a part is about.
    pub(crate) headline: &'static Metric,
    /// The figures of the small table beside the short answer, each with what it is called there.
    pub(crate) rows: fn(&PartView<'_>) -> Vec<(Figure, &'static str)>,
    /// The short answer.
    pub(crate) sentences: fn(&PartView<'_>) -> Vec<String>,
    /// The names of the charts that show the answer, the best first.
    pub(crate) charts: &'static [&'static str],
}
