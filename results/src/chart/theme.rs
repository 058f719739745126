//! How every chart looks: the colours, the font, and the widths of texts. How an arm looks stands in its row
//! ([`samepath_model::arm::ARMS`]).

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef};
use plotters::style::RGBColor;
use samepath_model::arm::{Arm, Marker};

/// The bundled font's upright face. Its licence lies beside it.
pub(crate) const FONT: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");
/// The bundled font's bold face.
pub(crate) const FONT_BOLD: &[u8] = include_bytes!("../../assets/DejaVuSans-Bold.ttf");
/// What SVG text asks for; Verdana is cut to nearly the same widths.
pub(crate) const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";

/// Text and axes.
pub(crate) const INK: RGBColor = RGBColor(0x1a, 0x1a, 0x1a);
/// Second-rank text.
pub(crate) const MUTED: RGBColor = RGBColor(0x55, 0x55, 0x55);
/// Grid lines.
pub(crate) const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
/// Frames of panels.
pub(crate) const FRAME: RGBColor = RGBColor(0x88, 0x88, 0x88);

/// Font sizes in CSS pixels.
pub(crate) const TITLE: f64 = 17.0;
/// Axis names, legend, conditions.
pub(crate) const LABEL: f64 = 12.0;
/// Tick labels and notes.
pub(crate) const SMALL: f64 = 11.0;

/// Colour, mark and dash of an arm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ArmStyle {
    /// Its colour.
    pub(crate) colour: RGBColor,
    /// Its mark.
    pub(crate) mark: Marker,
    /// Lengths of strokes and gaps in turn, in CSS pixels; empty is solid.
    pub(crate) dash: &'static [f64],
}

/// The look of an arm, as its row has it.
pub(crate) fn arm_style(arm: Arm) -> ArmStyle {
    let [red, green, blue] = arm.look.colour;
    ArmStyle { colour: RGBColor(red, green, blue), mark: arm.look.marker, dash: arm.look.dash }
}

pub(crate) static FACE: LazyLock<FontRef<'static>> =
    LazyLock::new(|| FontRef::try_from_slice(FONT).expect("the bundled font is whole"));
pub(crate) static FACE_BOLD: LazyLock<FontRef<'static>> =
    LazyLock::new(|| FontRef::try_from_slice(FONT_BOLD).expect("the bundled font is whole"));

/// The width of a text in CSS pixels, in the bundled font.
pub(crate) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let face = if bold { &*FACE_BOLD } else { &*FACE };
    let em = f64::from(face.units_per_em().unwrap_or(2048.0));
    let units: f64 = text.chars().map(|c| f64::from(face.h_advance_unscaled(face.glyph_id(c)))).sum();
    units / em * size
}

/// Share of extra width left for fonts that run wider than the bundled one.
const SLACK: f64 = 1.06;

/// The text cut with an ellipsis so that it is no wider than `limit`.
pub(crate) fn fit(text: &str, size: f64, bold: bool, limit: f64) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if width(&text, size, bold) * SLACK <= limit {
        return text;
    }
    let mut kept = String::new();
    for c in text.chars() {
        if width(&format!("{kept}{c}…"), size, bold) * SLACK > limit {
            break;
        }
        kept.push(c);
    }
    format!("{}…", kept.trim_end())
}

/// The text broken into lines no wider than `limit`; words that are wider alone are cut.
pub(crate) fn wrap(text: &str, size: f64, bold: bool, limit: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = fit(word, size, bold, limit);
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size, bold) * SLACK <= limit => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_their_width() {
        let long = "the quick brown fox jumps over the lazy dog again and again and again";
        assert!(width(&fit(long, 12.0, false, 150.0), 12.0, false) <= 150.0);
        assert_eq!(fit("short", 12.0, false, 150.0), "short");
        let lines = wrap(long, 12.0, false, 150.0);
        assert!(lines.len() > 2 && lines.iter().all(|line| width(line, 12.0, false) <= 150.0));
        assert_eq!(lines.join(" "), long);
    }
}
