//! The same picture as PNG: the SVG rendered with the bundled font alone, so that it looks alike on
//! every machine.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb::Database};

use super::canvas::UNITS;
use super::theme::{FONT, FONT_BOLD};

static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.load_font_data(FONT_BOLD.to_vec());
    for set in [Database::set_sans_serif_family, Database::set_serif_family, Database::set_monospace_family] {
        set(&mut fonts, "DejaVu Sans");
    }
    Arc::new(fonts)
});

/// Renders a chart at twice its size in CSS pixels.
///
/// # Errors
/// In words, where the SVG is not one that this crate drew.
pub(crate) fn to_png(svg: &str) -> Result<Vec<u8>, String> {
    let options = Options { font_family: "DejaVu Sans".into(), fontdb: FONTS.clone(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| format!("the chart is not valid SVG: {error}"))?;
    let scale = UNITS as f32;
    let size = tree.size().to_int_size();
    let (width, height) = (size.width() * UNITS as u32, size.height() * UNITS as u32);
    let mut pixels = Pixmap::new(width, height).ok_or("the chart has no area")?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| format!("the chart cannot be written as PNG: {error}"))
}
