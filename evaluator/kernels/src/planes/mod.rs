//! Shapes of convolutions, and the layout of image planes in the scratch buffer. In this layout, each tap
//! reads at a constant offset.

pub(crate) mod geometry;
pub(crate) mod lines;
pub(crate) mod packing;
pub(crate) mod tiles;
pub(crate) mod unpacking;
