//! The shape of one example. A shape never contains the batch dimension.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Shape of one example: `[channels, height, width]`. A sequence is `[features, 1, length]`, a vector
/// `[features, 1, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "[usize; 3]", into = "[usize; 3]")]
pub struct Shape {
    /// Channels or features.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// A feature map of `channels` planes of `height` x `width`.
    #[must_use]
    pub const fn new(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width }
    }

    /// A vector of `features` values.
    #[must_use]
    pub const fn vector(features: usize) -> Self {
        Self::new(features, 1, 1)
    }

    /// Number of values in one example.
    #[must_use]
    pub const fn elements(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether the shape has between 1 and 2^32 elements. With this limit, counts computed from the shape
    /// cannot overflow.
    pub(crate) fn is_countable(&self) -> bool {
        let elements = self.channels.checked_mul(self.height).and_then(|area| area.checked_mul(self.width));
        elements.is_some_and(|elements| (1..=1 << 32).contains(&elements))
    }

    /// Number of positions in one channel.
    #[must_use]
    pub const fn positions(&self) -> usize {
        self.height * self.width
    }
}

impl From<[usize; 3]> for Shape {
    fn from([channels, height, width]: [usize; 3]) -> Self {
        Self { channels, height, width }
    }
}

impl From<Shape> for [usize; 3] {
    fn from(shape: Shape) -> Self {
        [shape.channels, shape.height, shape.width]
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}
