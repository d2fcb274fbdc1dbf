//! Dense convolution as correlations between packed planes, and the gradient of its weight as outer products.

pub(crate) mod correlate;
pub(crate) mod correlation;
mod outer_products;
mod tile;
pub(crate) mod weight_gradient;
