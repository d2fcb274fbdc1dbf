//! Products of matrices, and the fully connected layer as such products.

pub(crate) mod layer;
mod matrix;
mod panel;
mod product;
