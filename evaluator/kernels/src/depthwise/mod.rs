//! Depthwise convolution. Each output channel is computed from a single input channel. Planes are read in
//! place row by row, or from shifted copies.

pub(crate) mod plan;
mod row_by_row;
mod rows;
mod strips;
pub(crate) mod weight_gradient;
