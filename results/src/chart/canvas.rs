//! The sheet that charts are drawn on: lines, marks, texts, in CSS pixels, on plotters' SVG backend.
//!
//! The backend counts in whole units, so a unit is half a CSS pixel ([`UNITS`]). Drawing goes to a
//! `String` and cannot fail.

use plotters::backend::DrawingBackend;
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, FontTransform, IntoFont, RGBAColor, RGBColor, ShapeStyle, TextStyle};
use samepath_model::arm::Marker;

use super::theme::FAMILY;

/// Backend units in a CSS pixel; also the scale of the PNG.
pub(crate) const UNITS: f64 = 2.0;
/// plotters divides font sizes by this on their way into SVG.
const PLOTTERS_FONT_SCALE: f64 = 1.24;
const NO_FAIL: &str = "drawing into a string cannot fail";

/// A rectangle in CSS pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) w: f64,
    pub(crate) h: f64,
}

impl Rect {
    pub(crate) fn right(&self) -> f64 {
        self.x + self.w
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.y + self.h
    }
}

/// Where a text's given point lies on it, horizontally. Vertically it is always the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Type {
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) colour: RGBColor,
    pub(crate) anchor: Anchor,
    /// Read from bottom to top.
    pub(crate) upward: bool,
}

impl Type {
    pub(crate) fn new(size: f64, colour: RGBColor) -> Type {
        Type { size, bold: false, colour, anchor: Anchor::Start, upward: false }
    }

    pub(crate) fn bold(self) -> Type {
        Type { bold: true, ..self }
    }

    pub(crate) fn anchor(self, anchor: Anchor) -> Type {
        Type { anchor, ..self }
    }

    pub(crate) fn upward(self) -> Type {
        Type { upward: true, ..self }
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stroke<'a> {
    pub(crate) colour: RGBColor,
    /// In CSS pixels, in halves.
    pub(crate) width: f64,
    /// Strokes and gaps in turn, in CSS pixels; empty is solid.
    pub(crate) dash: &'a [f64],
    pub(crate) opacity: f64,
}

impl Stroke<'_> {
    pub(crate) const fn solid(colour: RGBColor, width: f64) -> Stroke<'static> {
        Stroke { colour, width, dash: &[], opacity: 1.0 }
    }
}

/// The sheet.
pub(crate) struct Canvas<'a> {
    backend: SVGBackend<'a>,
}

fn unit(x: f64) -> i32 {
    (x * UNITS).round() as i32
}

fn ink(colour: RGBColor, opacity: f64) -> RGBAColor {
    colour.mix(opacity)
}

impl Canvas<'_> {
    /// Draws on a sheet of this size and returns the SVG.
    pub(crate) fn draw(width: f64, height: f64, on: impl FnOnce(&mut Canvas<'_>)) -> String {
        let mut svg = String::new();
        {
            let backend = SVGBackend::with_string(&mut svg, (unit(width) as u32, unit(height) as u32));
            let mut canvas = Canvas { backend };
            on(&mut canvas);
            canvas.backend.present().expect(NO_FAIL);
        }
        svg
    }

    /// A text with its middle height at `y`. Control characters must have been taken out.
    pub(crate) fn text(&mut self, x: f64, y: f64, text: &str, set: Type) {
        let style = if set.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = (FAMILY, set.size * UNITS * PLOTTERS_FONT_SCALE, style).into_font();
        let font = if set.upward { font.transform(FontTransform::Rotate270) } else { font };
        let h = match set.anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let style = TextStyle::from(font).color(&set.colour).pos(Pos::new(h, VPos::Center));
        self.backend.draw_text(text, &style, (unit(x), unit(y))).expect(NO_FAIL);
    }

    /// A line through the points.
    pub(crate) fn line(&mut self, points: &[(f64, f64)], stroke: Stroke<'_>) {
        if stroke.dash.is_empty() {
            self.path(points, &stroke);
        } else {
            for piece in dashes(points, stroke.dash) {
                self.path(&piece, &stroke);
            }
        }
    }

    fn path(&mut self, points: &[(f64, f64)], stroke: &Stroke<'_>) {
        if points.len() < 2 {
            return;
        }
        let style = ShapeStyle {
            color: ink(stroke.colour, stroke.opacity),
            filled: false,
            stroke_width: unit(stroke.width).max(1) as u32,
        };
        self.backend.draw_path(points.iter().map(|&(x, y)| (unit(x), unit(y))), &style).expect(NO_FAIL);
    }

    /// A filled rectangle; never thinner than half a pixel.
    pub(crate) fn fill(&mut self, area: Rect, colour: RGBColor, opacity: f64) {
        let (x0, y0) = (unit(area.x), unit(area.y));
        let (x1, y1) = (unit(area.right()).max(x0 + 1), unit(area.bottom()).max(y0 + 1));
        self.backend.draw_rect((x0, y0), (x1, y1), &ink(colour, opacity).filled(), true).expect(NO_FAIL);
    }

    /// A rectangle hatched by slanting lines, so many CSS pixels apart; they lean to the other side
    /// where `back`.
    pub(crate) fn hatch(&mut self, area: Rect, colour: RGBColor, apart: f64, back: bool) {
        let (top, bottom) = (area.y, area.bottom());
        // The lines of neighbouring areas continue each other.
        let mut k = ((area.x - area.h) / apart).floor() * apart;
        while k < area.right() {
            // From the bottom at k to the top at k + height, cut at the sides.
            let (x0, x1) = (k.max(area.x), (k + area.h).min(area.right()));
            if x1 > x0 {
                let at = |x: f64| {
                    let risen = x - k;
                    (x, if back { top + risen } else { bottom - risen })
                };
                self.line(&[at(x0), at(x1)], Stroke::solid(colour, 1.0));
            }
            k += apart;
        }
    }

    /// An arrow with its head at the end.
    pub(crate) fn arrow(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke<'_>) {
        self.line(&[from, to], stroke);
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        if length > 0.0 {
            let (dx, dy) = ((to.0 - from.0) / length, (to.1 - from.1) / length);
            let back = |side: f64| (to.0 - 6.0 * dx - side * 3.0 * dy, to.1 - 6.0 * dy + side * 3.0 * dx);
            self.polygon(&[to, back(1.0), back(-1.0)], stroke.colour, false);
        }
    }

    /// The outline of a rectangle.
    pub(crate) fn outline(&mut self, area: Rect, stroke: Stroke<'_>) {
        let (l, t, r, b) = (area.x, area.y, area.right(), area.bottom());
        self.line(&[(l, t), (r, t), (r, b), (l, b), (l, t)], stroke);
    }

    /// A mark of radius `r`.
    pub(crate) fn mark(&mut self, x: f64, y: f64, r: f64, mark: Marker, colour: RGBColor) {
        let at = |dx: f64, dy: f64| (x + dx * r, y + dy * r);
        match mark {
            Marker::Circle => self.disc(x, y, r, colour),
            Marker::Ring => {
                self.disc(x, y, r, RGBColor(255, 255, 255));
                let style = ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: unit(1.5) as u32 };
                self.backend.draw_circle((unit(x), unit(y)), unit(r).max(1) as u32, &style, false).expect(NO_FAIL);
            }
            Marker::Triangle => self.polygon(&[at(0.0, -1.25), at(1.1, 0.8), at(-1.1, 0.8)], colour, false),
            Marker::TriangleDown => self.polygon(&[at(0.0, 1.25), at(1.1, -0.8), at(-1.1, -0.8)], colour, true),
            Marker::TriangleRight => self.polygon(&[at(1.25, 0.0), at(-0.8, 1.1), at(-0.8, -1.1)], colour, false),
            Marker::TriangleLeft => self.polygon(&[at(-1.25, 0.0), at(0.8, 1.1), at(0.8, -1.1)], colour, false),
            Marker::TriangleLeftHollow => self.polygon(&[at(-1.25, 0.0), at(0.8, 1.1), at(0.8, -1.1)], colour, true),
            Marker::Square => {
                self.polygon(&[at(-0.9, -0.9), at(0.9, -0.9), at(0.9, 0.9), at(-0.9, 0.9)], colour, false)
            }
            Marker::SquareHollow => {
                self.polygon(&[at(-1.0, -1.0), at(1.0, -1.0), at(1.0, 1.0), at(-1.0, 1.0)], colour, true)
            }
            Marker::Diamond => self.polygon(&[at(0.0, -1.3), at(1.3, 0.0), at(0.0, 1.3), at(-1.3, 0.0)], colour, false),
            Marker::DiamondHollow => {
                self.polygon(&[at(0.0, -1.3), at(1.3, 0.0), at(0.0, 1.3), at(-1.3, 0.0)], colour, true)
            }
            Marker::Cross => {
                let stroke = Stroke::solid(colour, 1.5);
                self.line(&[at(-0.9, -0.9), at(0.9, 0.9)], stroke);
                self.line(&[at(-0.9, 0.9), at(0.9, -0.9)], stroke);
            }
        }
    }

    fn disc(&mut self, x: f64, y: f64, r: f64, colour: RGBColor) {
        let r = unit(r).max(1) as u32;
        self.backend.draw_circle((unit(x), unit(y)), r, &colour.filled(), true).expect(NO_FAIL);
    }

    fn polygon(&mut self, points: &[(f64, f64)], colour: RGBColor, hollow: bool) {
        let fill = if hollow { RGBColor(255, 255, 255) } else { colour };
        let corners = points.iter().map(|&(x, y)| (unit(x), unit(y)));
        self.backend.fill_polygon(corners, &fill.filled()).expect(NO_FAIL);
        if hollow {
            let mut round = points.to_vec();
            round.push(points[0]);
            self.line(&round, Stroke::solid(colour, 1.5));
        }
    }
}

/// The strokes of a dashed line, as lines of their own.
fn dashes(points: &[(f64, f64)], pattern: &[f64]) -> Vec<Vec<(f64, f64)>> {
    let mut pieces = Vec::new();
    let (mut place, mut left, mut current) = (0, pattern[0], Vec::new());
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        let mut done = 0.0;
        while done < length {
            let step = left.min(length - done);
            let at = |d: f64| (x0 + (x1 - x0) * d / length, y0 + (y1 - y0) * d / length);
            if place % 2 == 0 {
                if current.is_empty() {
                    current.push(at(done));
                }
                current.push(at(done + step));
            }
            done += step;
            left -= step;
            if left <= 1e-9 {
                if !current.is_empty() {
                    pieces.push(std::mem::take(&mut current));
                }
                place = (place + 1) % pattern.len();
                left = pattern[place];
            }
        }
    }
    if !current.is_empty() {
        pieces.push(current);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_their_share_around_corners() {
        let points: Vec<(f64, f64)> = (0..100).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        let length =
            |line: &[(f64, f64)]| -> f64 { line.windows(2).map(|w| (w[1].0 - w[0].0).hypot(w[1].1 - w[0].1)).sum() };
        let drawn: f64 = dashes(&points, &[6.0, 3.0]).iter().map(|piece| length(piece)).sum();
        let share = drawn / length(&points);
        assert!((share - 2.0 / 3.0).abs() < 0.02, "{share}");
    }
}
