//! Axes: which numbers stand where, and the panel they span.

use super::canvas::{Anchor, Canvas, Rect, Stroke, Type};
use super::theme::{self, ArmStyle, FRAME, GRID, INK, LABEL, MUTED, SMALL};
use crate::number::number;

/// A place on an axis that has a grid line and perhaps a label.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    /// The value.
    pub(crate) at: f64,
    /// What is written at it; empty for none.
    pub(crate) label: String,
}

/// A span of values with its ticks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    lo: f64,
    hi: f64,
    log: bool,
    /// In ascending order.
    pub(crate) ticks: Vec<Tick>,
}

impl Axis {
    /// From `lo` to at least `hi`, ending on a round number, with about `count` ticks.
    pub(crate) fn linear(lo: f64, hi: f64, count: usize) -> Axis {
        let hi = if hi > lo { hi } else { lo + 1.0 };
        let step = round_step((hi - lo) / count.max(1) as f64);
        let (first, last) = ((lo / step + 1e-9).floor() as i64, (hi / step - 1e-9).ceil() as i64);
        let ticks: Vec<Tick> =
            (first..=last).map(|i| Tick { at: i as f64 * step, label: number(i as f64 * step) }).collect();
        Axis { lo: first as f64 * step, hi: last as f64 * step, log: false, ticks }
    }

    /// Exactly from `lo` to `hi`, with ticks on round numbers within.
    pub(crate) fn exact(lo: f64, hi: f64, count: usize) -> Axis {
        let wide = Axis::linear(lo, hi, count);
        let ticks = wide.ticks.into_iter().filter(|t| t.at >= lo - 1e-9 && t.at <= hi + 1e-9).collect();
        Axis { lo, hi: if hi > lo { hi } else { lo + 1.0 }, log: false, ticks }
    }

    /// Logarithmic, exactly from `lo` to `hi` (both above 0), with ticks on round numbers within.
    pub(crate) fn log(lo: f64, hi: f64) -> Axis {
        let lo = if lo > 0.0 { lo } else { 1e-9 };
        // Less than a factor of two would hold too few round numbers.
        let (lo, hi) = if hi >= lo * 2.0 { (lo, hi) } else { (lo / 1.5, lo * 1.5) };
        let decades = (hi / lo).log10();
        let steps: &[f64] = if decades <= 2.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let (from, to) = (lo.log10().floor() as i32, hi.log10().ceil() as i32);
        let ticks = (from..=to)
            .flat_map(|decade| steps.iter().map(move |s| s * 10f64.powi(decade)))
            .filter(|v| (lo * 0.999_999..=hi * 1.000_001).contains(v))
            .map(|at| Tick { at, label: number(at) })
            .collect();
        Axis { lo, hi, log: true, ticks }
    }

    /// Shares from everything down to the smallest, logarithmic, a tick a decade.
    pub(crate) fn share(smallest: f64) -> Axis {
        let axis = Axis::log(smallest.clamp(1e-9, 0.5) * 0.8, 1.0);
        let decades = (-axis.lo().log10()).ceil() as i32;
        let ticks = (0..=decades)
            .rev()
            .map(|d| 10f64.powi(-d))
            .filter(|at| *at >= axis.lo() * 0.999)
            .map(|at| Tick { at, label: format!("{} %", number(at * 100.0)) })
            .collect();
        axis.with_ticks(ticks)
    }

    /// Linear where the largest value is less than `factor` times the smallest, else logarithmic.
    pub(crate) fn fitting(values: impl IntoIterator<Item = f64>, factor: f64, count: usize) -> Axis {
        let (mut lo, mut hi) = (f64::MAX, f64::MIN);
        for value in values.into_iter().filter(|v| v.is_finite() && *v > 0.0) {
            lo = lo.min(value);
            hi = hi.max(value);
        }
        if lo > hi {
            Axis::linear(0.0, 1.0, count)
        } else if hi / lo > factor {
            Axis::log(lo * 0.85, hi * 1.15)
        } else {
            Axis::linear(0.0, hi * 1.05, count)
        }
    }

    /// One place for each label, side by side: at 0, 1, 2, …
    pub(crate) fn ordinal(labels: &[String]) -> Axis {
        let ticks = labels.iter().enumerate().map(|(i, label)| Tick { at: i as f64, label: label.clone() }).collect();
        Axis { lo: -0.5, hi: labels.len().max(1) as f64 - 0.5, log: false, ticks }
    }

    /// The same span with other ticks.
    pub(crate) fn with_ticks(self, ticks: Vec<Tick>) -> Axis {
        Axis { ticks, ..self }
    }

    /// Whether equal steps are equal factors.
    pub(crate) fn is_log(&self) -> bool {
        self.log
    }

    /// The smallest value.
    pub(crate) fn lo(&self) -> f64 {
        self.lo
    }

    /// The largest value.
    pub(crate) fn hi(&self) -> f64 {
        self.hi
    }

    /// Where a value lies between the ends, as 0 to 1; beyond them where it lies beyond.
    pub(crate) fn place(&self, value: f64) -> f64 {
        if self.log {
            (value.max(self.lo * 1e-3) / self.lo).ln() / (self.hi / self.lo).ln()
        } else {
            (value - self.lo) / (self.hi - self.lo)
        }
    }
}

/// The step of 1, 2 or 5 times a power of ten that is nearest above.
fn round_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    let fraction = raw / power;
    let round = [1.0, 2.0, 5.0].into_iter().find(|r| fraction <= r * 1.000_001).unwrap_or(10.0);
    round * power
}

/// A plot area with its two axes.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    /// Where data is drawn.
    pub(crate) area: Rect,
    /// Left to right.
    pub(crate) x: Axis,
    /// Bottom to top.
    pub(crate) y: Axis,
}

/// What is written beside a panel.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beside<'a> {
    /// Above it.
    pub(crate) heading: &'a str,
    /// The name and unit of its x axis, below the tick labels.
    pub(crate) x_name: &'a str,
    /// The name and unit of its y axis, upward beside the tick labels.
    pub(crate) y_name: &'a str,
    /// Whether the x ticks are labelled.
    pub(crate) x_labels: bool,
    /// Whether the y ticks are labelled.
    pub(crate) y_labels: bool,
}

impl Panel {
    /// A value's place on the sheet.
    pub(crate) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.area.x + self.x.place(x) * self.area.w, self.area.bottom() - self.y.place(y) * self.area.h)
    }

    /// Says, in place of curves, that no trial of these conditions counts.
    pub(crate) fn say_empty(&self, canvas: &mut Canvas<'_>) {
        let middle = (self.area.x + self.area.w / 2.0, self.area.y + self.area.h / 2.0);
        canvas.text(middle.0, middle.1, "no trial counts", Type::new(SMALL, MUTED).anchor(Anchor::Middle));
    }

    /// Grid, frame, tick labels and names. Labels that would touch their neighbour are left out.
    pub(crate) fn frame(&self, canvas: &mut Canvas<'_>, beside: Beside<'_>) {
        let area = self.area;
        let mut free_from = f64::MIN;
        for tick in &self.x.ticks {
            let (x, _) = self.at(tick.at, self.y.lo);
            canvas.line(&[(x, area.y), (x, area.bottom())], Stroke::solid(GRID, 0.5));
            if !beside.x_labels || tick.label.is_empty() {
                continue;
            }
            // Labels at the panel's ends lean inwards, away from the next panel's.
            let width = theme::width(&tick.label, SMALL, false) * 1.06;
            let lean = (width / 2.0 - 5.0).max(0.0);
            let middle = x.clamp(area.x + lean.min(area.w / 2.0), area.right() - lean.min(area.w / 2.0));
            if middle - width / 2.0 - 2.0 >= free_from {
                canvas.text(middle, area.bottom() + 11.0, &tick.label, Type::new(SMALL, INK).anchor(Anchor::Middle));
                free_from = middle + width / 2.0 + 2.0;
            }
        }
        let mut free_below = f64::MAX;
        for tick in &self.y.ticks {
            let (_, y) = self.at(self.x.lo, tick.at);
            canvas.line(&[(area.x, y), (area.right(), y)], Stroke::solid(GRID, 0.5));
            if beside.y_labels && !tick.label.is_empty() && y + 7.0 <= free_below {
                canvas.text(area.x - 6.0, y, &tick.label, Type::new(SMALL, INK).anchor(Anchor::End));
                free_below = y - 7.0;
            }
        }
        canvas.outline(area, Stroke::solid(FRAME, 1.0));
        let middle = area.x + area.w / 2.0;
        if !beside.heading.is_empty() {
            let text = theme::fit(beside.heading, LABEL, true, area.w);
            canvas.text(middle, area.y - 10.0, &text, Type::new(LABEL, INK).bold().anchor(Anchor::Middle));
        }
        if !beside.x_name.is_empty() {
            let text = theme::fit(beside.x_name, LABEL, false, area.w + 60.0);
            canvas.text(middle, area.bottom() + 28.0, &text, Type::new(LABEL, INK).anchor(Anchor::Middle));
        }
        if !beside.y_name.is_empty() {
            let widest = self.y.ticks.iter().map(|t| theme::width(&t.label, SMALL, false)).fold(0.0, f64::max);
            let (x, y) = (area.x - widest - 18.0, area.y + area.h / 2.0);
            let text = theme::fit(beside.y_name, LABEL, false, area.h + 50.0);
            canvas.text(x, y, &text, Type::new(LABEL, INK).anchor(Anchor::Middle).upward());
        }
    }

    /// A line through values, cut at the panel's edges.
    pub(crate) fn line(&self, canvas: &mut Canvas<'_>, values: &[(f64, f64)], stroke: Stroke<'_>) {
        let mut run: Vec<(f64, f64)> = Vec::new();
        for pair in values.windows(2) {
            let (a, b) = (self.at(pair[0].0, pair[0].1), self.at(pair[1].0, pair[1].1));
            let Some((a, b)) = clip(a, b, self.area) else {
                canvas.line(&run, stroke);
                run.clear();
                continue;
            };
            if run.last() != Some(&a) {
                canvas.line(&run, stroke);
                run = vec![a];
            }
            run.push(b);
        }
        canvas.line(&run, stroke);
    }

    /// A mark at a value, if it lies in the panel.
    pub(crate) fn mark(&self, canvas: &mut Canvas<'_>, (x, y): (f64, f64), r: f64, style: ArmStyle) {
        if self.holds(x, y) {
            let (x, y) = self.at(x, y);
            canvas.mark(x, y, r, style.mark, style.colour);
        }
    }

    /// Whether a value lies in the panel.
    fn holds(&self, x: f64, y: f64) -> bool {
        let inside = |p: f64| (-1e-6..=1.0 + 1e-6).contains(&p);
        inside(self.x.place(x)) && inside(self.y.place(y))
    }
}

/// The part of a segment that lies in the rectangle (Liang and Barsky, 1984).
fn clip(a: (f64, f64), b: (f64, f64), area: Rect) -> Option<((f64, f64), (f64, f64))> {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut t0, mut t1) = (0.0f64, 1.0f64);
    for (p, q) in [(-dx, a.0 - area.x), (dx, area.right() - a.0), (-dy, a.1 - area.y), (dy, area.bottom() - a.1)] {
        if p == 0.0 {
            if q < 0.0 {
                return None;
            }
        } else if p < 0.0 {
            t0 = t0.max(q / p);
        } else {
            t1 = t1.min(q / p);
        }
    }
    if t0 > t1 {
        return None;
    }
    // The ends are kept as they are where they lie inside, so that joined segments stay joined.
    let start = if t0 == 0.0 { a } else { (a.0 + t0 * dx, a.1 + t0 * dy) };
    let end = if t1 == 1.0 { b } else { (a.0 + t1 * dx, a.1 + t1 * dy) };
    Some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_what_they_were_made_for() {
        for (lo, hi) in [(0.0, 0.7), (0.0, 19.3), (3.0, 2500.0), (0.0, 0.0)] {
            let axis = Axis::linear(lo, hi, 5);
            assert!(axis.lo <= lo && axis.hi >= hi && (2..=12).contains(&axis.ticks.len()), "{axis:?}");
        }
        for (lo, hi) in [(0.001, 1.0), (30.0, 480.0), (5.0, 5.0), (1e-7, 1e6)] {
            let axis = Axis::log(lo, hi);
            assert!(axis.lo <= lo && axis.hi >= hi && !axis.ticks.is_empty(), "{axis:?}");
            assert!(axis.place(axis.lo).abs() < 1e-9 && (axis.place(axis.hi) - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn lines_are_cut_at_the_edge_and_stay_joined() {
        let area = Rect { x: 0.0, y: 0.0, w: 10.0, h: 10.0 };
        assert_eq!(clip((-5.0, 5.0), (5.0, 5.0), area), Some(((0.0, 5.0), (5.0, 5.0))));
        assert_eq!(clip((2.0, 2.0), (5.0, 5.0), area), Some(((2.0, 2.0), (5.0, 5.0))));
        assert_eq!(clip((-5.0, -5.0), (-1.0, 20.0), area), None);
    }
}
