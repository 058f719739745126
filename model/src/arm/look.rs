//! How an arm is told from another on paper.

/// The shape at a point of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Marker {
    /// A disc.
    Circle,
    /// A ring.
    Ring,
    /// Point up.
    Triangle,
    /// Point down, hollow.
    TriangleDown,
    /// Point right, filled.
    TriangleRight,
    /// Point left, filled.
    TriangleLeft,
    /// Point left, hollow.
    TriangleLeftHollow,
    /// Filled square.
    Square,
    /// Hollow square.
    SquareHollow,
    /// Filled diamond.
    Diamond,
    /// Hollow diamond.
    DiamondHollow,
    /// A diagonal cross: a lost packet, and so no arm.
    Cross,
}

/// Colour, marker and dash. Colours are Okabe and Ito's and shades of them, which stay apart for colour-blind readers;
/// marker and dash are each arm's own, so that a grey print can be read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Red, green and blue.
    pub colour: [u8; 3],
    /// The shape of its points.
    pub marker: Marker,
    /// Lengths of strokes and gaps in turn, in CSS pixels; empty is solid.
    pub dash: &'static [f64],
}

impl Look {
    pub(super) const fn new(colour: [u8; 3], marker: Marker, dash: &'static [f64]) -> Look {
        Look { colour, marker, dash }
    }
}
