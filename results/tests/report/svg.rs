//! Reads a chart as its readers do: which texts it has and where they lie.

use ab_glyph::{Font, FontRef};

/// A text and the box it fills, in the units of the viewBox.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) words: String,
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Text {
    /// Whether two boxes share more than a hair.
    pub(crate) fn overlaps(&self, other: &Text) -> bool {
        const HAIR: f64 = 1.0;
        self.left + HAIR < other.right
            && other.left + HAIR < self.right
            && self.top + HAIR < other.bottom
            && other.top + HAIR < self.bottom
    }
}

/// A chart taken apart.
pub(crate) struct Picture {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) texts: Vec<Text>,
}

impl Picture {
    /// Parses the SVG; panics where it is not valid XML or holds what is not a number.
    pub(crate) fn read(svg: &str) -> Picture {
        let document = roxmltree::Document::parse(svg).expect("valid XML");
        let root = document.root_element();
        assert_eq!(root.attribute("role"), Some("img"));
        let view: Vec<f64> =
            root.attribute("viewBox").expect("viewBox").split(' ').map(|n| n.parse().unwrap()).collect();
        let mut texts = Vec::new();
        for node in root.descendants().filter(|n| n.is_element()) {
            for attribute in node.attributes() {
                let value = attribute.value();
                assert!(!["NaN", "inf", "nan"].iter().any(|bad| value.contains(bad)), "{}={value}", attribute.name());
            }
            if node.has_tag_name("text") {
                texts.push(text(node));
            }
        }
        Picture { width: view[2], height: view[3], texts }
    }

    /// Whether some text contains these words.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.texts.iter().any(|text| text.words.contains(words))
    }
}

fn text(node: roxmltree::Node<'_, '_>) -> Text {
    let number = |name: &str| -> f64 { node.attribute(name).expect(name).parse().expect(name) };
    let (x, y, size) = (number("x"), number("y"), number("font-size"));
    let bold = node.attribute("font-weight") == Some("bold");
    let words = node.text().unwrap_or_default().trim().to_owned();
    let width = width(&words, size, bold);
    let start = match node.attribute("text-anchor") {
        Some("middle") => -width / 2.0,
        Some("end") => -width,
        _ => 0.0,
    };
    // The middle of the text's height lies at y; capitals are three quarters of the size high.
    let reach = size * 0.4;
    let turned = node.attribute("transform").is_some_and(|t| t.starts_with("rotate"));
    let (left, top, right, bottom) = if turned {
        (x - reach, y - start - width, x + reach, y - start)
    } else {
        (x + start, y - reach, x + start + width, y + reach)
    };
    Text { words, left, top, right, bottom }
}

fn width(words: &str, size: f64, bold: bool) -> f64 {
    let bytes: &[u8] = if bold {
        include_bytes!("../../assets/DejaVuSans-Bold.ttf")
    } else {
        include_bytes!("../../assets/DejaVuSans.ttf")
    };
    let font = FontRef::try_from_slice(bytes).expect("the bundled font");
    let units: f64 = words.chars().map(|c| f64::from(font.h_advance_unscaled(font.glyph_id(c)))).sum();
    units / f64::from(font.units_per_em().expect("units")) * size
}
