//! Maximum and average over windows of each plane, and their gradients.

mod box_sums;
pub(crate) mod global;
mod kernels;
pub(crate) mod passes;
pub(crate) mod windows;
