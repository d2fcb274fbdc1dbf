//! The channels of the examples: red, green and blue, or grey.

use serde::Deserialize;

/// Channels of the examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Color {
    /// Three channels with red, green and blue, 0 to 255 each.
    #[default]
    Rgb,
    /// One channel with the grey level, 0 to 255.
    Gray,
}

impl Color {
    pub(super) const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Rgb => &["red", "green", "blue"],
            Self::Gray => &["grey level"],
        }
    }
}
