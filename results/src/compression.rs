//! Cells whose responses are compressed, each beside the one that differs in nothing else and sends them as they are.

use samepath_model::Workload;
use samepath_model::workload::Rpc;

use crate::cells::{self, Cell};
use crate::metric::Metric;
use crate::part::PartView;

/// A cell whose responses are compressed, and its counterpart.
pub(crate) struct Compressed<'a> {
    /// How: `gzip 6`.
    pub(crate) coding: String,
    /// What else the part varies, as text; empty where that is nothing.
    pub(crate) conditions: String,
    /// The cell.
    pub(crate) cell: &'a Cell<'a>,
    /// The same without compression.
    pub(crate) plain: &'a Cell<'a>,
}

/// The axes that say how responses are compressed.
const AXES: [&str; 2] = ["compression", "compression-level"];

/// The cells of a part that have such a counterpart, in its order: by conditions, then by coding.
pub(crate) fn compressed<'a>(part: &PartView<'a>) -> Vec<Compressed<'a>> {
    let mut found: Vec<Compressed<'a>> = Vec::new();
    for &plain in part.cells.iter().filter(|cell| is_plain(cell)) {
        let beside = part.cells.iter().filter(|cell| cell.arm == plain.arm && others(cell) == others(plain));
        found.extend(beside.filter_map(|&cell| {
            let coding = rpc(cell)?.coding()?;
            let coding = format!("{} {}", coding.codec, coding.level);
            Some(Compressed { coding, conditions: cells::label(&others(cell)), cell, plain })
        }));
    }
    found
}

/// The requests and responses of a cell.
pub(crate) fn rpc<'a>(cell: &'a Cell<'_>) -> Option<&'a Rpc> {
    match cell.plan.workload.scored() {
        Workload::Rpc(rpc) => Some(rpc),
        _ => None,
    }
}

fn is_plain(cell: &Cell<'_>) -> bool {
    rpc(cell).is_some_and(|rpc| rpc.compression.is_some() && rpc.coding().is_none())
}

fn others(cell: &Cell<'_>) -> std::collections::BTreeMap<String, String> {
    let mut axes = cell.axes.clone();
    axes.retain(|name, _| !AXES.contains(&name.as_str()));
    axes
}

/// What the seeds carry of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// It is less in every seed, by more than 2 %.
    Less,
    /// It is more in every seed, likewise.
    More,
    /// Neither.
    NoneShown,
}

impl Compressed<'_> {
    /// The figure as a multiple of what it is without compression, of each seed.
    pub(crate) fn ratios(&self, metric: &Metric) -> Vec<f64> {
        self.plain.pairs(self.cell, metric).iter().filter(|(plain, _)| *plain > 0.0).map(|(a, b)| b / a).collect()
    }

    /// What compression changes of a figure.
    pub(crate) fn difference(&self, metric: &Metric) -> Difference {
        const ALIKE: f64 = 1.02;
        let ratios = self.ratios(metric);
        match () {
            () if !ratios.is_empty() && ratios.iter().all(|ratio| *ratio < 1.0 / ALIKE) => Difference::Less,
            () if !ratios.is_empty() && ratios.iter().all(|ratio| *ratio > ALIKE) => Difference::More,
            () => Difference::NoneShown,
        }
    }
}
