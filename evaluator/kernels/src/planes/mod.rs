//! Shapes of convolutions, and how planes of images lie in scratch so that a tap is a constant distance.

pub(crate) mod geometry;
pub(crate) mod lines;
pub(crate) mod packing;
pub(crate) mod tiles;
pub(crate) mod unpacking;
