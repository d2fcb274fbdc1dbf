//! Marks of plots. Each mark has its own shape and a color that people with any color vision can distinguish.

use std::fmt::Write;

/// A color, named by its role. The style sheet defines each color for light and dark mode.
///
/// Source: Okabe, Ito, Color Universal Design (2008), the eight-color palette.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ink {
    /// A pale color for less important points.
    Faint,
    /// Blue.
    Blue,
    /// Vermillion.
    Vermillion,
    /// Bluish green.
    Green,
    /// Orange.
    Orange,
    /// Reddish purple.
    Purple,
    /// Sky blue.
    Sky,
}

impl Ink {
    /// All colors except the pale one. The most distinct colors come first.
    pub const SERIES: [Self; 6] =
        [Self::Blue, Self::Orange, Self::Green, Self::Vermillion, Self::Purple, Self::Sky];

    /// Returns the name of the color's class in the style sheet.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Faint => "faint",
            Self::Blue => "blue",
            Self::Vermillion => "vermillion",
            Self::Green => "green",
            Self::Orange => "orange",
            Self::Purple => "purple",
            Self::Sky => "sky",
        }
    }
}

/// Shape of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// ●
    Circle,
    /// ■
    Square,
    /// ▲
    Triangle,
    /// ◆
    Diamond,
    /// ▼
    Wedge,
    /// ×
    Cross,
    /// ★
    Star,
}

impl Shape {
    /// The shapes for the colors in [`Ink::SERIES`], in the same order.
    pub const SERIES: [Self; 6] =
        [Self::Circle, Self::Square, Self::Triangle, Self::Diamond, Self::Wedge, Self::Cross];

    /// Returns SVG path data around (`x`, `y`). `size` is about half the width.
    pub(super) fn path(self, x: f64, y: f64, size: f64) -> String {
        // Stars mark points that lie on other points, so they are larger.
        let size = if self == Self::Star { 1.4 * size } else { size };
        let corners: &[(f64, f64)] = match self {
            Self::Circle => {
                return format!(
                    "M{:.1} {y:.1}a{size} {size} 0 1 0 {:.1} 0a{size} {size} 0 1 0 -{:.1} 0z",
                    x - size,
                    2.0 * size,
                    2.0 * size
                );
            }
            Self::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Self::Triangle => &[(0.0, -1.15), (1.1, 0.85), (-1.1, 0.85)],
            Self::Diamond => &[(0.0, -1.3), (1.1, 0.0), (0.0, 1.3), (-1.1, 0.0)],
            Self::Wedge => &[(0.0, 1.15), (1.1, -0.85), (-1.1, -0.85)],
            Self::Cross => &[
                (-1.1, -0.7),
                (-0.7, -1.1),
                (0.0, -0.4),
                (0.7, -1.1),
                (1.1, -0.7),
                (0.4, 0.0),
                (1.1, 0.7),
                (0.7, 1.1),
                (0.0, 0.4),
                (-0.7, 1.1),
                (-1.1, 0.7),
                (-0.4, 0.0),
            ],
            Self::Star => &[
                (0.0, -1.5),
                (0.38, -0.5),
                (1.43, -0.46),
                (0.6, 0.2),
                (0.88, 1.2),
                (0.0, 0.62),
                (-0.88, 1.2),
                (-0.6, 0.2),
                (-1.43, -0.46),
                (-0.38, -0.5),
            ],
        };
        let mut path = String::new();
        for (index, (dx, dy)) in corners.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1}", x + dx * size, y + dy * size);
        }
        path + "z"
    }
}
