#![doc = include_str!("../README.md")]

mod simd;

mod shared;

mod planes;

mod dense;
mod depthwise;
mod elementwise;
mod linear;
mod pooling;

mod convolution;

mod tensors;

#[doc(hidden)]
pub mod measurement;
#[cfg(test)]
mod reference;

pub use elementwise::addition::add;
pub use elementwise::cross_entropy::cross_entropy;
pub use elementwise::optimizer::{UpdateRule, update};
pub use shared::activation::Activation;
pub use shared::primitives::runs_on;
pub use shared::shared_gradient::{Deposit, Deposits, SharedGradient};
pub use shared::weight_slice::WeightSlice;
pub use simd::InstructionSet;
pub use tensors::batch_norm::{BatchNorm, batch_norm_activation_train};
pub use tensors::convolution::{SharedWeight, conv2d, conv2d_sliced, cut};
pub use tensors::fixed_convolution::FixedConv2d;
pub use tensors::linear::{linear, linear_sliced};
pub use tensors::planes::{activate, avg_pool2d, global_avg_pool2d, max_pool2d};
