//! What a chart is: its definition, and the drawing that it makes of a part.

use samepath_model::Trial;

use crate::analysis::Analysis;
use crate::part::PartView;
use crate::store::StoreError;

/// A chart: what it is called, what it is meant for, and how it is drawn.
#[derive(Debug, Clone, Copy)]
pub struct ChartDef {
    /// The name in files; no other chart has it.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// The sentence that stands before the reason where it is not drawn.
    pub absent: &'static str,
    /// Whether it answers the part's question, or supports the charts that do.
    pub is_main: bool,
    /// Whether it is meant for such trials.
    pub suits: fn(&Trial) -> bool,
    /// Draws it of a part that has a trial that counts.
    pub(super) draw: fn(&Analysis<'_>, &PartView<'_>) -> Result<Drawing, Absent>,
}

impl PartialEq for ChartDef {
    fn eq(&self, other: &ChartDef) -> bool {
        self.name == other.name
    }
}

impl Eq for ChartDef {}

/// A chart drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// Which chart it is.
    pub chart: &'static ChartDef,
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
        chart: &'static ChartDef,
        /// Of which part.
        part: String,
        /// The sentence shown instead.
        reason: String,
    },
}
