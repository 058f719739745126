//! The same picture as PNG: the SVG drawn with the bundled font alone, so that it looks alike on every machine.
//!
//! A chart's SVG is made by [`super::canvas`] of few elements with few attributes, and these are what is known here.
//! Any other is an error, named: nothing of a chart is ever left out in silence.

use ab_glyph::{Font, FontRef, GlyphId, OutlineCurve};
use roxmltree::{Document, Node};
use tiny_skia::{FillRule, Paint, Path, PathBuilder, Pixmap, PixmapPaint, Rect, Stroke, Transform};

use super::canvas::UNITS;
use super::theme::{FACE, FACE_BOLD, FAMILY};

/// Renders a chart at twice its size in CSS pixels: a pixel is a unit of its `viewBox`.
///
/// # Errors
/// In words, where the SVG is not one that this crate drew.
pub(crate) fn to_png(svg: &str) -> Result<Vec<u8>, String> {
    draw(svg)?.encode_png().map_err(|error| format!("the chart cannot be written as PNG: {error}"))
}

fn draw(svg: &str) -> Result<Pixmap, String> {
    let document = Document::parse(svg).map_err(|error| format!("the chart is not valid XML: {error}"))?;
    let root = document.root_element();
    let mut sheet = sheet(Element::new(root))?;
    for node in root.children() {
        if node.is_element() {
            element(&mut sheet, node)?;
        } else if node.text().is_some_and(|text| !text.trim().is_empty()) && !node.is_comment() {
            return Err("the chart has text outside its elements".into());
        }
    }
    Ok(sheet)
}

/// What is drawn on, as large as the root element says.
fn sheet(mut root: Element<'_, '_>) -> Result<Pixmap, String> {
    if root.name != "svg" {
        return Err(format!("the chart is no SVG: its root is <{}>", root.name));
    }
    let (width, height) = (root.number("width")?, root.number("height")?);
    let (w, h) = (width * UNITS as f32, height * UNITS as f32);
    if root.take("viewBox") != Some(&format!("0 0 {w} {h}")) {
        return Err(format!("the chart's viewBox is not of {UNITS} units to the CSS pixel"));
    }
    // For those who cannot see it.
    root.take("role");
    root.take("aria-labelledby");
    root.done()?;
    Pixmap::new(w.round() as u32, h.round() as u32).ok_or_else(|| "the chart has no area".into())
}

fn element(sheet: &mut Pixmap, node: Node<'_, '_>) -> Result<(), String> {
    let mut element = Element::new(node);
    if node.children().any(|child| child.is_element()) {
        return Err(format!("<{}> has elements within, which cannot be drawn as PNG", element.name));
    }
    match element.name {
        // Name and description of the chart: read aloud, not drawn.
        "title" | "desc" => {
            element.take("id");
        }
        "rect" => {
            let [x, y, w, h] =
                [element.number("x")?, element.number("y")?, element.number("width")?, { element.number("height")? }];
            let path = Rect::from_xywh(x, y, w, h).map(PathBuilder::from_rect);
            element.shape(sheet, path)?;
        }
        "circle" => {
            let (x, y, r) = (element.number("cx")?, element.number("cy")?, element.number("r")?);
            element.shape(sheet, PathBuilder::from_circle(x, y, r))?;
        }
        "polyline" => {
            let path = element.points()?.finish();
            element.shape(sheet, path)?;
        }
        "polygon" => {
            let mut path = element.points()?;
            path.close();
            element.shape(sheet, path.finish())?;
        }
        "text" => text(sheet, &mut element, node.text().unwrap_or_default())?,
        other => return Err(format!("<{other}> cannot be drawn as PNG")),
    }
    element.done()
}

/// A line of text, its outlines filled. `dy` lifts the baseline so that the middle of lower case is at `y`.
fn text(sheet: &mut Pixmap, element: &mut Element<'_, '_>, text: &str) -> Result<(), String> {
    let (x, y, size) = (element.number("x")?, element.number("y")?, element.number("font-size")?);
    element.only("dy", &["0.5ex"])?;
    element.only("font-family", &[FAMILY])?;
    element.only("font-weight", &["bold"])?;
    let bold = element.node.attribute("font-weight").is_some();
    let (glyphs, width) = set(text, bold);
    let scale = size / UNITS_PER_EM;
    let start = match element.take("text-anchor") {
        Some("start") | None => x,
        Some("middle") => x - width * scale / 2.0,
        Some("end") => x - width * scale,
        Some(other) => return Err(element.unknown("text-anchor", other)),
    };
    let turn = match element.take("transform") {
        Some(turn) => rotation(turn).ok_or_else(|| element.unknown("transform", turn))?,
        None => Transform::identity(),
    };
    let opacity = element.opacity()?;
    let paint = element.paint("fill")?;
    // Half an ex is a quarter of the size by CSS's fallback for fonts that do not tell theirs.
    let baseline = y + size / 4.0;
    let mut path = PathBuilder::new();
    for glyph in &glyphs {
        glyph.outline(&mut path, |dx, dy| (start + dx * scale, baseline - dy * scale));
    }
    if let (Some(path), Some(paint)) = (path.finish(), paint) {
        let bounds = path.clone().transform(turn).and_then(|turned| turned.bounds().outset(1.0, 1.0));
        translucent(sheet, opacity, bounds, |on, place| {
            on.fill_path(&path, &paint, FillRule::Winding, place.pre_concat(turn), None);
        });
    }
    Ok(())
}

/// Has something drawn so that all of it lets as much through, also where its strokes meet: opaque on a layer of its own,
/// as large as its bounds. `draw` is given what to draw on, and what moves it there.
fn translucent(sheet: &mut Pixmap, opacity: f32, bounds: Option<Rect>, draw: impl FnOnce(&mut Pixmap, Transform)) {
    if opacity >= 1.0 {
        return draw(sheet, Transform::identity());
    }
    // Beyond the sheet there is nothing to see.
    let whole = Rect::from_xywh(0.0, 0.0, sheet.width() as f32, sheet.height() as f32);
    let area = bounds.zip(whole).and_then(|(bounds, whole)| bounds.intersect(&whole)?.round_out());
    let layer = area.and_then(|area| Some((area, Pixmap::new(area.width(), area.height())?)));
    if let Some((area, mut layer)) = layer {
        draw(&mut layer, Transform::from_translate(-area.x() as f32, -area.y() as f32));
        let paint = PixmapPaint { opacity, ..PixmapPaint::default() };
        sheet.draw_pixmap(area.x(), area.y(), layer.as_ref(), &paint, Transform::identity(), None);
    }
}

/// `rotate(ANGLE, X, Y)`, and nothing else.
fn rotation(transform: &str) -> Option<Transform> {
    let inner = transform.strip_prefix("rotate(")?.strip_suffix(')')?;
    let numbers: Vec<f32> = inner.split(',').map(|n| n.trim().parse().ok()).collect::<Option<_>>()?;
    match numbers[..] {
        [angle, x, y] => Some(Transform::from_rotate_at(angle, x, y)),
        _ => None,
    }
}

/// Of both bundled faces.
const UNITS_PER_EM: f32 = 2048.0;

/// A glyph with its distance from the start of its line, in the font's units.
struct Glyph {
    face: &'static FontRef<'static>,
    id: GlyphId,
    x: f32,
}

impl Glyph {
    /// Adds its outline, each point sent through `place`.
    fn outline(&self, path: &mut PathBuilder, place: impl Fn(f32, f32) -> (f32, f32)) {
        let Some(outline) = self.face.outline(self.id) else { return };
        let at = |point: &ab_glyph::Point| place(self.x + point.x, point.y);
        let mut last = None;
        for curve in &outline.curves {
            let (from, to) = match curve {
                OutlineCurve::Line(from, to)
                | OutlineCurve::Quad(from, _, to)
                | OutlineCurve::Cubic(from, _, _, to) => (from, to),
            };
            if last != Some(from) {
                let (x, y) = at(from);
                path.move_to(x, y);
            }
            let (x, y) = at(to);
            match curve {
                OutlineCurve::Line(..) => path.line_to(x, y),
                OutlineCurve::Quad(_, by, _) => {
                    let by = at(by);
                    path.quad_to(by.0, by.1, x, y);
                }
                OutlineCurve::Cubic(_, one, two, _) => {
                    let (one, two) = (at(one), at(two));
                    path.cubic_to(one.0, one.1, two.0, two.1, x, y);
                }
            }
            last = Some(to);
        }
    }
}

/// Characters that a browser sets as one glyph, longest first; both faces have them.
const LIGATURES: [(&str, &str); 5] =
    [("ffi", "\u{fb03}"), ("ffl", "\u{fb04}"), ("ff", "\u{fb00}"), ("fi", "\u{fb01}"), ("fl", "\u{fb02}")];

/// The glyphs of a line of text and its width in the font's units. White space is one space, as in SVG; what the bold
/// face lacks is taken from the upright one.
fn set(text: &str, bold: bool) -> (Vec<Glyph>, f32) {
    let words: Vec<&str> = text.split([' ', '\t', '\n', '\r']).filter(|word| !word.is_empty()).collect();
    let (mut glyphs, mut x): (Vec<Glyph>, f32) = (Vec::new(), 0.0);
    let text = LIGATURES.iter().fold(words.join(" "), |text, (characters, one)| text.replace(characters, one));
    for c in text.chars() {
        let bold = bold && FACE_BOLD.glyph_id(c) != GlyphId(0);
        let face: &'static FontRef<'static> = if bold { &FACE_BOLD } else { &FACE };
        let id = face.glyph_id(c);
        if let Some(before) = glyphs.last().filter(|before| std::ptr::eq(before.face, face)) {
            x += face.kern_unscaled(before.id, id);
        }
        glyphs.push(Glyph { face, id, x });
        x += face.h_advance_unscaled(id);
    }
    (glyphs, x)
}

/// An element whose attributes are taken one by one; what is left at the end is an error.
struct Element<'a, 'i> {
    node: Node<'a, 'i>,
    name: &'a str,
    left: Vec<&'a str>,
}

impl<'a, 'i> Element<'a, 'i> {
    fn new(node: Node<'a, 'i>) -> Self {
        Element { node, name: node.tag_name().name(), left: node.attributes().map(|a| a.name()).collect() }
    }

    fn take(&mut self, name: &str) -> Option<&'a str> {
        self.left.retain(|left| *left != name);
        self.node.attribute(name)
    }

    fn number(&mut self, name: &str) -> Result<f32, String> {
        let value = self.take(name).unwrap_or_default();
        value.parse().ok().filter(|n: &f32| n.is_finite()).ok_or_else(|| self.unknown(name, value))
    }

    /// Takes an attribute that may only have one of these values, or be absent.
    fn only(&mut self, name: &str, values: &[&str]) -> Result<(), String> {
        match self.take(name) {
            Some(value) if !values.contains(&value) => Err(self.unknown(name, value)),
            _ => Ok(()),
        }
    }

    fn opacity(&mut self) -> Result<f32, String> {
        if self.node.has_attribute("opacity") { self.number("opacity") } else { Ok(1.0) }
    }

    /// A colour as `#RRGGBB`; `None` where it says `none`.
    fn paint(&mut self, name: &str) -> Result<Option<Paint<'static>>, String> {
        let value = self.take(name).unwrap_or_default();
        if value == "none" {
            return Ok(None);
        }
        let digits = value.strip_prefix('#').filter(|digits| digits.len() == 6);
        let rgb = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let [_, r, g, b] = rgb.ok_or_else(|| self.unknown(name, value))?.to_be_bytes();
        let mut paint = Paint::default();
        paint.set_color_rgba8(r, g, b, 255);
        Ok(Some(paint))
    }

    /// The line through the points.
    fn points(&mut self) -> Result<PathBuilder, String> {
        let value = self.take("points").unwrap_or_default();
        let numbers: Option<Vec<f32>> =
            value.split([' ', ',']).filter(|n| !n.is_empty()).map(|n| n.parse().ok()).collect();
        let numbers = numbers.filter(|numbers| numbers.len() % 2 == 0).ok_or_else(|| self.unknown("points", value))?;
        let mut path = PathBuilder::new();
        for (i, point) in numbers.chunks_exact(2).enumerate() {
            if i == 0 { path.move_to(point[0], point[1]) } else { path.line_to(point[0], point[1]) }
        }
        Ok(path)
    }

    /// Fills and strokes a path as the element says. There is no path where it has no extent: nothing to see.
    fn shape(&mut self, sheet: &mut Pixmap, path: Option<Path>) -> Result<(), String> {
        let opacity = self.opacity()?;
        let fill = self.paint("fill")?;
        let stroke = if self.node.has_attribute("stroke") { self.paint("stroke")? } else { None };
        let width = if self.node.has_attribute("stroke-width") { self.number("stroke-width")? } else { 1.0 };
        let Some(path) = path else { return Ok(()) };
        translucent(sheet, opacity, path.bounds().outset(width, width), |on, place| {
            if let Some(paint) = fill {
                on.fill_path(&path, &paint, FillRule::Winding, place, None);
            }
            if let Some(paint) = stroke {
                on.stroke_path(&path, &paint, &Stroke { width, ..Stroke::default() }, place, None);
            }
        });
        Ok(())
    }

    fn unknown(&self, attribute: &str, value: &str) -> String {
        format!("<{} {attribute}=\"{value}\"> cannot be drawn as PNG", self.name)
    }

    fn done(self) -> Result<(), String> {
        match self.left.first() {
            Some(attribute) => Err(format!("<{}>: `{attribute}` cannot be drawn as PNG", self.name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
