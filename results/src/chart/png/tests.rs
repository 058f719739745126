//! What is drawn lies where the SVG says; what is not known is named.

use plotters::style::RGBColor;
use samepath_model::arm::Marker;

use super::*;
use crate::chart::canvas::{Anchor, Canvas, Rect, Stroke, Type};

const RED: RGBColor = RGBColor(200, 0, 0);
const BLUE: RGBColor = RGBColor(0, 0, 200);

/// A chart of what `on` draws on a white sheet of 100 × 50 CSS pixels.
fn chart(on: impl FnOnce(&mut Canvas<'_>)) -> String {
    let svg = Canvas::draw(100.0, 50.0, |canvas| {
        canvas.fill(Rect { x: 0.0, y: 0.0, w: 100.0, h: 50.0 }, RGBColor(255, 255, 255), 1.0);
        on(canvas);
    });
    // As `figure` does: the size in CSS pixels.
    svg.replacen("width=\"200\" height=\"100\"", "width=\"100\" height=\"50\"", 1)
}

fn colour(sheet: &Pixmap, x: f64, y: f64) -> (u8, u8, u8) {
    let pixel = sheet.pixel((x * UNITS) as u32, (y * UNITS) as u32).expect("on the sheet");
    (pixel.red(), pixel.green(), pixel.blue())
}

/// How many pixels of an area in CSS pixels are not white.
fn inked(sheet: &Pixmap, area: Rect) -> usize {
    let range = |from: f64, length: f64| (from * UNITS) as u32..((from + length) * UNITS) as u32;
    range(area.y, area.h)
        .flat_map(|y| range(area.x, area.w).map(move |x| (x, y)))
        .filter(|&(x, y)| sheet.pixel(x, y).is_some_and(|p| (p.red(), p.green(), p.blue()) != (255, 255, 255)))
        .count()
}

#[test]
fn everything_is_drawn_in_its_place() {
    let marks = [
        Marker::Circle,
        Marker::Ring,
        Marker::Triangle,
        Marker::TriangleDown,
        Marker::TriangleRight,
        Marker::TriangleLeft,
        Marker::TriangleLeftHollow,
        Marker::Square,
        Marker::SquareHollow,
        Marker::Diamond,
        Marker::DiamondHollow,
        Marker::Cross,
    ];
    for (i, mark) in marks.into_iter().enumerate() {
        let x = 8.0 + 7.0 * i as f64;
        let sheet = draw(&chart(|canvas| canvas.mark(x, 25.0, 4.0, mark, RED))).expect("known elements");
        let (all, own) = (
            inked(&sheet, Rect { x: 0.0, y: 0.0, w: 100.0, h: 50.0 }),
            inked(&sheet, Rect { x: x - 7.0, y: 18.0, w: 14.0, h: 14.0 }),
        );
        assert!(own > 40 && own == all, "{mark:?}: {own} of {all}");
        let hollow = matches!(
            mark,
            Marker::Ring
                | Marker::TriangleDown
                | Marker::TriangleLeftHollow
                | Marker::SquareHollow
                | Marker::DiamondHollow
        );
        assert_eq!(colour(&sheet, x, 25.0) == (255, 255, 255), hollow, "{mark:?}");
    }
    let sheet = draw(&chart(|canvas| {
        canvas.fill(Rect { x: 10.0, y: 10.0, w: 20.0, h: 10.0 }, RED, 1.0);
        canvas.fill(Rect { x: 20.0, y: 10.0, w: 20.0, h: 10.0 }, BLUE, 0.5);
        canvas.outline(Rect { x: 50.0, y: 10.0, w: 20.0, h: 10.0 }, Stroke::solid(RED, 1.0));
        canvas.hatch(Rect { x: 80.0, y: 10.0, w: 10.0, h: 10.0 }, RED, 4.0, true);
        let dashed = Stroke { colour: BLUE, width: 1.0, dash: &[10.0, 10.0], opacity: 1.0 };
        canvas.line(&[(10.0, 40.0), (90.0, 40.0)], dashed);
        canvas.arrow((10.0, 45.0), (50.0, 45.0), Stroke::solid(RED, 1.0));
    }))
    .expect("known elements");
    assert_eq!((colour(&sheet, 15.0, 15.0), colour(&sheet, 9.0, 15.0)), ((200, 0, 0), (255, 255, 255)));
    // Half of blue over red, and over white; what is translucent is not darker where it begins.
    assert_eq!(colour(&sheet, 25.0, 15.0), (100, 0, 100));
    assert_eq!(colour(&sheet, 35.0, 15.0), (128, 128, 228));
    assert_eq!((colour(&sheet, 60.0, 10.0), colour(&sheet, 60.0, 15.0)), ((200, 0, 0), (255, 255, 255)));
    let hatched = inked(&sheet, Rect { x: 80.0, y: 10.0, w: 10.0, h: 10.0 });
    assert!((100..300).contains(&hatched), "{hatched} of 400");
    let dashes: Vec<bool> = (0..8).map(|i| colour(&sheet, 15.0 + 10.0 * f64::from(i), 40.0) == (0, 0, 200)).collect();
    assert_eq!(dashes, [true, false, true, false, true, false, true, false]);
    assert_eq!(colour(&sheet, 47.0, 45.0), (200, 0, 0));
    // A translucent line that goes over itself lets as much through there.
    let twice = draw(&chart(|canvas| {
        let points = [(10.0, 25.0), (90.0, 25.0), (40.0, 25.0), (40.0, 45.0)];
        canvas.line(&points, Stroke { colour: BLUE, width: 2.0, dash: &[], opacity: 0.5 });
    }))
    .expect("known elements");
    assert_eq!((colour(&twice, 20.0, 25.0), colour(&twice, 60.0, 25.0)), ((128, 128, 228), (128, 128, 228)));
}

#[test]
fn texts_are_anchored_weighted_and_turned() {
    let inked_by = |set: Type, x: f64, area: Rect| {
        let sheet = draw(&chart(|canvas| canvas.text(x, 25.0, "Hill 1", set))).expect("known elements");
        let all = inked(&sheet, Rect { x: 0.0, y: 0.0, w: 100.0, h: 50.0 });
        assert_eq!(inked(&sheet, area), all, "beside {area:?}");
        all
    };
    let (plain, wide) = (Type::new(12.0, RED), crate::chart::theme::width("Hill 1", 12.0, false));
    let line = |x: f64, w: f64| Rect { x: x - 1.0, y: 18.0, w: w + 2.0, h: 13.0 };
    let start = inked_by(plain, 10.0, line(10.0, wide));
    inked_by(plain.anchor(Anchor::End), 90.0, line(90.0 - wide, wide));
    inked_by(plain.anchor(Anchor::Middle), 50.0, line(50.0 - wide / 2.0, wide));
    let bold = inked_by(plain.bold(), 10.0, line(10.0, crate::chart::theme::width("Hill 1", 12.0, true)));
    assert!(bold > start + start / 6, "{bold} bold, {start} plain");
    // Read from bottom to top, its middle at the point.
    let up = Rect { x: 43.0, y: 25.0 - wide / 2.0 - 1.0, w: 13.0, h: wide + 2.0 };
    let turned = inked_by(plain.anchor(Anchor::Middle).upward(), 50.0, up);
    assert!(turned.abs_diff(start) < start / 5, "{turned} turned, {start} plain");
}

#[test]
fn white_space_collapses_but_thin_spaces_stay() {
    let width = |text: &str| set(text, false).1;
    assert_eq!(width("\n a \t b\n"), width("a b"));
    assert!(width("12\u{2009}346") > width("12346"));
    // Both faces have the units that the outlines are scaled by.
    assert_eq!([&*FACE, &*FACE_BOLD].map(|face| face.units_per_em()), [Some(UNITS_PER_EM); 2]);
}

#[test]
fn an_unknown_element_is_named() {
    let good = chart(|canvas| {
        canvas.mark(50.0, 25.0, 4.0, Marker::Ring, RED);
        canvas.text(50.0, 25.0, "words", Type::new(12.0, RED).upward());
    });
    to_png(&good).expect("a chart");
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "{from} is not in {good}");
        to_png(&good.replacen(from, to, 1)).expect_err(to)
    };
    for (from, to, named) in [
        ("</svg>", "<ellipse/></svg>", "<ellipse>"),
        ("</svg>", "<g><rect/></g></svg>", "<g>"),
        ("</svg>", "stray</svg>", "outside"),
        ("<circle ", "<circle stroke-dasharray=\"3\" ", "stroke-dasharray"),
        ("<text ", "<text word-spacing=\"3\" ", "word-spacing"),
        ("<svg ", "<svg clip-path=\"a\" ", "clip-path"),
        ("words", "<tspan>words</tspan>", "<text>"),
        ("rotate(270", "skew(270", "transform=\"skew(270"),
        ("dy=\"0.5ex\"", "dy=\"0.76em\"", "dy=\"0.76em\""),
        ("font-family=\"DejaVu Sans", "font-family=\"Arial", "font-family=\"Arial"),
        ("text-anchor=\"start\"", "text-anchor=\"left\"", "text-anchor=\"left\""),
        ("fill=\"#C80000\"", "fill=\"red\"", "fill=\"red\""),
        ("cx=\"100\"", "cx=\"NaN\"", "cx=\"NaN\""),
        ("viewBox=\"0 0 200 100\"", "viewBox=\"0 0 100 50\"", "viewBox"),
        ("</svg>", "", "not valid XML"),
    ] {
        let error = changed(from, to);
        assert!(error.contains(named), "{to}: {error}");
    }
}
