//! The operations on burn's tensors. Where the kernels do not apply, burn's own operations run.
//!
//! Files that end in `operations` extend burn's backends and hold the backward passes.

pub(crate) mod batch_norm;
pub(crate) mod convolution;
pub(crate) mod fixed_convolution;
pub(crate) mod linear;
mod linear_operations;
mod operations;
mod plane_operations;
pub(crate) mod planes;
