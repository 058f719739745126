//! What a score is made of.

use samepath_model::Trial;
use samepath_model::record::MessageRecord;

use crate::metric::{self, Metric};
use crate::part::PartView;
use crate::sentence::Figure;

/// A figure of a trial.
pub(crate) type Value = (&'static Metric, f64);

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
    /// What the chart `figures` shows, where the score has one.
    pub(crate) figures: Option<&'static Figures>,
    /// The workload's own figures, from the messages of a trial.
    pub(crate) of_messages: fn(&Trial, &[MessageRecord]) -> Vec<Value>,
}

/// What the chart `figures` shows of a workload: some of its metrics, a column each.
pub(crate) struct Figures {
    /// The question that it answers.
    pub(crate) title: &'static str,
    /// The metrics, each with the heading of its column.
    pub(crate) columns: &'static [(&'static str, &'static Metric)],
    /// How the figures are to be read, in a sentence or two.
    pub(crate) about: &'static str,
}

/// What most scores have in common.
pub(crate) const PLAIN: Score = Score {
    table: &[],
    compared: &[],
    headline: &metric::DELAY_P50,
    rows: |_| Vec::new(),
    sentences: |_| Vec::new(),
    charts: &["figures"],
    figures: None,
    of_messages: |_, _| Vec::new(),
};
