//! The operations on burn's tensors. If the kernels do not support a tensor, burn's own operations run.
//!
//! Files whose names end in `operations` extend burn's backends and contain the backward passes.

pub(crate) mod batch_norm;
pub(crate) mod convolution;
pub(crate) mod fixed_convolution;
pub(crate) mod linear;
mod linear_operations;
mod operations;
mod plane_operations;
pub(crate) mod planes;
