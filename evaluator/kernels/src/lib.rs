#![doc = include_str!("../README.md")]

mod activation;
mod activation_pass;
mod addition;
mod box_sums;
mod convolution;
mod correlation;
mod correlation_task;
mod cross_entropy;
mod curves;
mod depthwise;
mod depthwise_gradient;
mod depthwise_rows;
mod exponential;
mod fixed_convolution;
mod geometry;
mod global_pooling;
mod instruction_set;
mod linear;
mod linear_operations;
mod linear_tensors;
mod lines;
#[doc(hidden)]
pub mod measurement;
mod memory;
mod normalization;
mod operations;
mod optimizer;
mod outer_products;
mod packing;
mod panel;
mod plane_operations;
mod plane_tensors;
mod pooling;
mod pooling_kernels;
mod product;
#[cfg(test)]
mod reference;
mod shared_gradient;
mod simd;
mod strips;
mod sums;
mod tensors;
mod tile;
mod unpacking;
mod weight_gradient;
mod weight_slice;

pub use activation::Activation;
pub use addition::add;
pub use cross_entropy::cross_entropy;
pub use fixed_convolution::FixedConv2d;
pub use instruction_set::InstructionSet;
pub use linear_tensors::{linear, linear_sliced};
pub use optimizer::{UpdateRule, update};
pub use plane_tensors::{activate, avg_pool2d, global_avg_pool2d, max_pool2d};
pub use shared_gradient::{Deposit, Deposits, SharedGradient};
pub use tensors::{
    BatchNorm, SharedWeight, batch_norm_activation_train, conv2d, conv2d_sliced, cut, runs_on,
};
pub use weight_slice::WeightSlice;
