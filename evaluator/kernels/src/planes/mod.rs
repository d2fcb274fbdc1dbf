//! Shapes of convolutions, and the layout of image planes in scratch, in which each tap is a constant
//! distance.

pub(crate) mod geometry;
pub(crate) mod lines;
pub(crate) mod packing;
pub(crate) mod tiles;
pub(crate) mod unpacking;
