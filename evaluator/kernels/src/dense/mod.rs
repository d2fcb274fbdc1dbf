//! Dense convolution as correlations of packed planes, and its weight gradient as outer products.

pub(crate) mod correlate;
pub(crate) mod correlation;
mod outer_products;
mod tile;
pub(crate) mod weight_gradient;
