//! Matrix products, and the fully connected layer that uses them.

pub(crate) mod layer;
mod matrix;
mod panel;
mod product;
