//! The names beside a chart's panels: conditions, and below each of them a row an arm.

use samepath_model::Arm;

use super::canvas::{Anchor, Canvas, Type};
use super::theme::{self, INK, LABEL};
use crate::part::Group;

/// Width of the names: as they need, within these.
const WIDTHS: std::ops::RangeInclusive<f64> = 118.0..=230.0;
/// Height of a line of conditions.
const LINE: f64 = 15.0;
/// What conditions of one line take.
const GROUP: f64 = 22.0;

/// Where the names stand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    /// The width that they take, to the left of the first panel.
    pub(crate) width: f64,
    /// The height of an arm's row.
    pub(crate) row: f64,
}

impl Names {
    /// As wide as these need.
    pub(crate) fn of<'g, 'a: 'g>(groups: impl Iterator<Item = &'g Group<'a>>, row: f64) -> Names {
        let needed = groups.flat_map(|group| {
            let arms = group.cells.iter().map(|cell| theme::width(&cell.arm.to_string(), LABEL, false) * 1.07 + 22.0);
            arms.chain([theme::width(&group.label, LABEL, true) * 1.07 + 10.0])
        });
        Names { width: needed.fold(*WIDTHS.start(), f64::max).min(*WIDTHS.end()), row }
    }

    /// The height of conditions and their arms.
    pub(crate) fn height(&self, group: &Group<'_>) -> f64 {
        self.heading(group) + group.cells.len() as f64 * self.row
    }

    /// Writes conditions, in several lines where they are long: cut short, two of them could look alike. Gives where the
    /// first of their arms stands.
    pub(crate) fn conditions(&self, canvas: &mut Canvas<'_>, (x, y): (f64, f64), group: &Group<'_>) -> f64 {
        for (n, line) in self.lines(group).iter().enumerate() {
            canvas.text(x, y + GROUP / 2.0 + 2.0 + n as f64 * LINE, line, Type::new(LABEL, INK).bold());
        }
        y + self.heading(group)
    }

    /// Writes an arm's name before the first panel, its row's middle at `y`.
    pub(crate) fn arm(&self, canvas: &mut Canvas<'_>, (x, y): (f64, f64), arm: Arm) {
        let name = theme::fit(&arm.to_string(), LABEL, false, self.width - 20.0);
        canvas.text(x + self.width - 8.0, y, &name, Type::new(LABEL, INK).anchor(Anchor::End));
    }

    fn heading(&self, group: &Group<'_>) -> f64 {
        GROUP + LINE * (self.lines(group).len().max(1) - 1) as f64
    }

    fn lines(&self, group: &Group<'_>) -> Vec<String> {
        let label = if group.label.is_empty() { "all trials" } else { &group.label };
        let wrap = |text: &str| theme::wrap(text, LABEL, true, self.width - 8.0);
        let mut lines: Vec<String> = Vec::new();
        // An axis and its value stay together where they can.
        for value in label.split_inclusive(", ") {
            match lines.last_mut().map(|line| (wrap(&format!("{line} {value}")), line)) {
                Some((joined, line)) if joined.len() == 1 => *line = joined.concat(),
                _ => lines.extend(wrap(value)),
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_conditions_take_lines_and_are_whole() {
        let group = |label: &str| Group { label: label.to_owned(), cells: Vec::new() };
        let (short, long) = (group("loss 1%"), group("closes client, time-wait-reuse 1, spacing 1.25 round trips"));
        let names = Names::of([&short, &long].into_iter(), 17.0);
        assert_eq!(names.width, *WIDTHS.end());
        assert_eq!((names.lines(&short).len(), names.height(&short)), (1, GROUP));
        assert_eq!(names.lines(&long).join(" "), long.label);
        assert_eq!(names.height(&long), GROUP + LINE * (names.lines(&long).len() - 1) as f64);
        assert_eq!(names.lines(&long).len(), 3, "an axis and its value are together");
    }
}
