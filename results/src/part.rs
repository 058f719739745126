//! A part of an experiment: its cells, grouped by conditions, and what is said of them all.

use samepath_model::Arm;
use samepath_model::record::TrialRecord;

use crate::cells::Cell;
use crate::stats;

/// A part of the experiment: its cells, by group and arm.
pub(crate) struct PartView<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its cells in the experiment's order: groups, then arms.
    pub(crate) cells: Vec<&'a Cell<'a>>,
}

/// The cells that differ in their arm alone.
pub(crate) struct Group<'a> {
    /// The axes as text; empty where the part varies nothing.
    pub(crate) label: String,
    /// An arm each.
    pub(crate) cells: Vec<&'a Cell<'a>>,
}

/// The parts of a run, in order.
pub(crate) fn parts<'a>(cells: &'a [Cell<'a>]) -> Vec<PartView<'a>> {
    let mut parts: Vec<PartView<'a>> = Vec::new();
    for cell in cells {
        match parts.iter_mut().find(|part| part.name == cell.part) {
            Some(part) => part.cells.push(cell),
            None => parts.push(PartView { name: &cell.part, cells: vec![cell] }),
        }
    }
    parts
}

impl<'a> PartView<'a> {
    /// How the spread of the seeds is drawn, as a chart's notes say it.
    pub(crate) fn spread_notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.cells.iter().any(|cell| cell.n() > 0 && cell.n() < stats::FEWEST_FOR_INTERVAL) {
            notes.push(format!(
                "Line up and down: smallest to largest seed (a range, not a confidence interval: fewer than {} seeds).",
                stats::FEWEST_FOR_INTERVAL
            ));
        }
        if self.cells.iter().any(|cell| cell.n() >= stats::FEWEST_FOR_INTERVAL) {
            notes.push(format!(
                "Line up and down, from {} seeds on: 95 % confidence interval of the median (order statistics).",
                stats::FEWEST_FOR_INTERVAL
            ));
        }
        notes
    }

    /// The groups, in order.
    pub(crate) fn groups(&self) -> Vec<Group<'a>> {
        let mut groups: Vec<Group<'a>> = Vec::new();
        for &cell in &self.cells {
            match groups.iter_mut().find(|group| group.cells[0].axes == cell.axes) {
                Some(group) => group.cells.push(cell),
                None => groups.push(Group { label: cell.label(), cells: vec![cell] }),
            }
        }
        groups
    }

    /// The arms that have a trial that counts, in the order of the charts.
    pub(crate) fn arms(&self) -> Vec<Arm> {
        let mut arms: Vec<Arm> =
            Arm::all().filter(|arm| self.cells.iter().any(|cell| cell.arm == *arm && cell.n() > 0)).collect();
        arms.dedup();
        arms
    }

    /// Every trial that counts.
    pub(crate) fn trials(&self) -> impl Iterator<Item = &'a TrialRecord> {
        self.cells.iter().flat_map(|cell| cell.trials.iter().copied())
    }

    /// Its name and workload in words, and the flows that compete with it.
    pub(crate) fn heading(&self) -> String {
        let competing = self.cells[0].plan.competing.iter().map(|flow| format!("; beside {flow}")).collect::<String>();
        format!("{}: {}{competing}", self.name, self.workload())
    }

    /// The workload in words, as the first cell has it, and whether axes vary it.
    pub(crate) fn workload(&self) -> String {
        let first = self.cells[0].plan.workload.to_string();
        if self.cells.iter().all(|cell| cell.plan.workload.to_string() == first) {
            first
        } else {
            format!("{first} (and as the panels say)")
        }
    }

    /// The link in words: its conditions where all cells share them, else those of the first and
    /// what varies.
    pub(crate) fn conditions(&self) -> String {
        let first = self.cells[0].plan.link.to_string();
        let axes: Vec<&str> = self.cells[0].axes.keys().map(String::as_str).collect();
        if axes.is_empty() {
            format!("link: {first}")
        } else {
            let values: Vec<String> = self.groups().iter().map(|group| group.label.clone()).collect();
            format!("varied: {}; link of the first: {first}", values.join(" · "))
        }
    }

    /// How many seeds stand behind each cell: `n = 3 seeds`, or the span where cells differ.
    pub(crate) fn seeds(&self) -> String {
        let counts: Vec<usize> = self.cells.iter().map(|cell| cell.n()).collect();
        let (least, most) = (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
        match (least, most) {
            (1, 1) => "n = 1 seed (no spread can be shown)".into(),
            (a, b) if a == b => format!("n = {a} seeds"),
            (a, b) => format!("n = {a} to {b} seeds (void and failed trials are left out)"),
        }
    }

    /// The file name of its chart of this name.
    pub(crate) fn stem(&self, chart: &str) -> String {
        format!("{}-{chart}", self.name)
    }
}
