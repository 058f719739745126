//! Panels side by side, at most three, and in rows below one another.

use super::axis::{Axis, Beside, Panel};
use super::canvas::{Canvas, Rect};
use crate::part::Group;

/// The measures of such a field of panels.
pub(super) struct Grid {
    /// Room for the names of the y axes.
    pub(super) left: f64,
    /// Between two panels of a row.
    pub(super) gap: f64,
    /// Room for a panel's heading.
    pub(super) top: f64,
    /// Of a panel.
    pub(super) height: f64,
    /// From one row to the next.
    pub(super) row_height: f64,
    /// How many panels there are of each kind.
    pub(super) panels: usize,
    /// Kinds of panels, each in a row of its own.
    pub(super) kinds: usize,
}

/// What all panels of a kind have in common.
pub(super) struct Kind<'a> {
    pub(super) x: &'a Axis,
    pub(super) y: &'a Axis,
    pub(super) x_name: &'a str,
    /// Stands beside the first of a row.
    pub(super) y_name: &'a str,
}

impl Grid {
    fn columns(&self) -> usize {
        self.panels.clamp(1, 3)
    }

    /// The height of all.
    pub(super) fn height(&self) -> f64 {
        (self.panels.div_ceil(self.columns()) * self.kinds) as f64 * self.row_height
    }

    /// Frames the panel of these conditions, and says so where no trial of theirs counts.
    pub(super) fn panel_of(
        &self,
        canvas: &mut Canvas<'_>,
        area: Rect,
        place: (usize, usize),
        group: &Group<'_>,
        kind: &Kind<'_>,
    ) -> Panel {
        let panel = self.panel(canvas, area, place, &group.label, kind);
        if group.cells.iter().all(|cell| cell.n() == 0) {
            panel.say_empty(canvas);
        }
        panel
    }

    /// Frames the panel of this number, of the kind of that number.
    pub(super) fn panel(
        &self,
        canvas: &mut Canvas<'_>,
        area: Rect,
        (number, number_of_kind): (usize, usize),
        heading: &str,
        kind: &Kind<'_>,
    ) -> Panel {
        let columns = self.columns();
        let width = (area.w - self.left - self.gap * (columns as f64 - 1.0) - 8.0) / columns as f64;
        let (column, row) = (number % columns, (number / columns) * self.kinds + number_of_kind);
        let place = Rect {
            x: area.x + self.left + column as f64 * (width + self.gap),
            y: area.y + self.top + row as f64 * self.row_height,
            w: width,
            h: self.height,
        };
        let panel = Panel { area: place, x: kind.x.clone(), y: kind.y.clone() };
        let is_first = column == 0;
        let y_name = if is_first { kind.y_name } else { "" };
        panel.frame(canvas, Beside { heading, x_name: kind.x_name, y_name, x_labels: true, y_labels: is_first });
        panel
    }
}
