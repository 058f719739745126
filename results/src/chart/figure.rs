//! The sheet around the panels: title, conditions, legend above; notes below.

use samepath_model::arm::{Arm, Marker};

use super::canvas::{Anchor, Canvas, Rect, Stroke, Type, UNITS};
use super::theme::{self, INK, LABEL, MUTED, SMALL, TITLE, arm_style, fit, wrap};
use plotters::style::RGBColor;

/// Width of every chart in CSS pixels.
pub(crate) const WIDTH: f64 = 960.0;
const MARGIN: f64 = 14.0;

/// One sign of the legend and what it means.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    /// An arm's line and mark.
    Arm(Arm),
    /// A line that is no arm's.
    Line { dash: &'static [f64], colour: RGBColor, label: String },
    /// A mark that is no arm's.
    Mark { mark: Marker, colour: RGBColor, label: String },
    /// A filled area.
    Fill { colour: RGBColor, opacity: f64, label: String },
    /// A hatched area.
    Hatch { colour: RGBColor, back: bool, label: String },
    /// An arrow.
    Arrow { colour: RGBColor, label: String },
}

impl Key {
    fn label(&self) -> String {
        match self {
            Key::Arm(arm) => arm.to_string(),
            Key::Line { label, .. }
            | Key::Mark { label, .. }
            | Key::Fill { label, .. }
            | Key::Hatch { label, .. }
            | Key::Arrow { label, .. } => label.clone(),
        }
    }
}

/// What stands around the panels.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figure {
    /// The question or the finding, neutrally.
    pub(crate) title: String,
    /// Workload, conditions, n.
    pub(crate) conditions: Vec<String>,
    /// What the signs mean.
    pub(crate) legend: Vec<Key>,
    /// How to read it, and what it does not say.
    pub(crate) notes: Vec<String>,
}

const KEY_SIGN: f64 = 34.0;
const KEY_GAP: f64 = 20.0;

impl Figure {
    /// Draws the figure around a body of this height. `stem` makes its ids unique in the page;
    /// `described` is its alternative text.
    pub(crate) fn draw(
        &self,
        stem: &str,
        described: &str,
        body_height: f64,
        body: impl FnOnce(&mut Canvas<'_>, Rect),
    ) -> String {
        let across = WIDTH - 2.0 * MARGIN;
        let title = wrap(&self.title, TITLE, true, across);
        let conditions: Vec<String> = self.conditions.iter().flat_map(|c| wrap(c, LABEL, false, across)).collect();
        let notes: Vec<String> = self.notes.iter().flat_map(|c| wrap(c, SMALL, false, across)).collect();
        let legend = self.legend_rows(across);
        let top = MARGIN
            + title.len() as f64 * 22.0
            + conditions.len() as f64 * 16.0
            + if legend.is_empty() { 0.0 } else { 8.0 + legend.len() as f64 * 20.0 }
            + 6.0;
        let height = top + body_height + 8.0 + notes.len() as f64 * 15.0 + MARGIN;
        let svg = Canvas::draw(WIDTH, height, |canvas| {
            canvas.fill(Rect { x: 0.0, y: 0.0, w: WIDTH, h: height }, RGBColor(255, 255, 255), 1.0);
            let mut y = MARGIN + 8.0;
            for line in &title {
                canvas.text(MARGIN, y, line, Type::new(TITLE, INK).bold());
                y += 22.0;
            }
            for line in &conditions {
                canvas.text(MARGIN, y - 3.0, line, Type::new(LABEL, MUTED));
                y += 16.0;
            }
            if !legend.is_empty() {
                y += 8.0;
                for row in &legend {
                    let mut x = MARGIN;
                    for (key, width) in row {
                        draw_key(canvas, key, x, y - 3.0, *width);
                        x += width + KEY_GAP;
                    }
                    y += 20.0;
                }
            }
            body(canvas, Rect { x: MARGIN, y: top, w: across, h: body_height });
            let mut y = top + body_height + 16.0;
            for line in &notes {
                canvas.text(MARGIN, y, line, Type::new(SMALL, MUTED));
                y += 15.0;
            }
        });
        accessible(&svg, stem, &self.title, described, height)
    }

    /// The keys in rows, each with its width.
    fn legend_rows(&self, across: f64) -> Vec<Vec<(Key, f64)>> {
        let mut rows: Vec<Vec<(Key, f64)>> = Vec::new();
        let mut left = 0.0;
        for key in &self.legend {
            let width = (KEY_SIGN + 6.0 + theme::width(&key.label(), LABEL, false) * 1.06).min(across);
            if rows.is_empty() || left < width {
                rows.push(Vec::new());
                left = across;
            }
            left -= width + KEY_GAP;
            rows.last_mut().expect("a row was just made").push((key.clone(), width));
        }
        rows
    }
}

fn draw_key(canvas: &mut Canvas<'_>, key: &Key, x: f64, y: f64, width: f64) {
    let sign = [(x, y), (x + KEY_SIGN, y)];
    match key {
        Key::Arm(arm) => {
            let style = arm_style(*arm);
            canvas.line(&sign, Stroke { colour: style.colour, width: 2.0, dash: style.dash, opacity: 1.0 });
            canvas.mark(x + KEY_SIGN / 2.0, y, 4.0, style.mark, style.colour);
        }
        Key::Line { dash, colour, .. } => {
            canvas.line(&sign, Stroke { colour: *colour, width: 1.5, dash, opacity: 1.0 });
        }
        Key::Mark { mark, colour, .. } => canvas.mark(x + KEY_SIGN / 2.0, y, 4.0, *mark, *colour),
        Key::Fill { colour, opacity, .. } => {
            canvas.fill(Rect { x: x + 4.0, y: y - 4.0, w: KEY_SIGN - 8.0, h: 8.0 }, *colour, *opacity);
        }
        Key::Hatch { colour, back, .. } => {
            let area = Rect { x: x + 4.0, y: y - 4.0, w: KEY_SIGN - 8.0, h: 8.0 };
            canvas.fill(area, *colour, 0.15);
            canvas.hatch(area, *colour, 4.0, *back);
            canvas.outline(area, Stroke::solid(*colour, 0.5));
        }
        Key::Arrow { colour, .. } => {
            canvas.arrow((x + 4.0, y), (x + KEY_SIGN - 4.0, y), Stroke::solid(*colour, 1.0));
        }
    }
    let label = fit(&key.label(), LABEL, false, width - KEY_SIGN - 4.0);
    canvas.text(x + KEY_SIGN + 6.0, y, &label, Type::new(LABEL, INK).anchor(Anchor::Start));
}

/// Gives the root element its size in CSS pixels, its role, its name and its description.
fn accessible(svg: &str, stem: &str, title: &str, described: &str, height: f64) -> String {
    let body = svg.split_once(">\n").map_or(svg, |(_, body)| body);
    let (w, h) = (WIDTH * UNITS, (height * UNITS).round());
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{}\" viewBox=\"0 0 {w} {h}\" role=\"img\" \
         aria-labelledby=\"{stem}-title {stem}-desc\">\n<title id=\"{stem}-title\">{}</title>\n\
         <desc id=\"{stem}-desc\">{}</desc>\n{body}",
        h / UNITS,
        escape(title),
        escape(described)
    )
}

/// Text as XML character data; characters that XML 1.0 does not allow become spaces.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
