//! The background color of transparent pixels.

use serde::Deserialize;

/// A color, by name or as red, green and blue from 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "`\"white\"`, `\"black\"` or `[red, green, blue]`, each from 0 to 255")]
pub(super) enum Background {
    /// A color with a name.
    Named(Name),
    /// Red, green and blue.
    Rgb([u8; 3]),
}

/// Named colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Name {
    White,
    Black,
}

impl Background {
    /// Red, green and blue, each 0 to 255.
    pub(super) const fn rgb(self) -> [u8; 3] {
        match self {
            Self::Named(Name::White) => [255; 3],
            Self::Named(Name::Black) => [0; 3],
            Self::Rgb(color) => color,
        }
    }
}
