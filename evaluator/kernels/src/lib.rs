#![doc = include_str!("../README.md")]

mod activation;
mod convolution;
mod correlation;
mod correlation_task;
mod depthwise;
mod depthwise_gradient;
mod epilogue;
mod exponential;
mod geometry;
mod global_pooling;
mod instruction_set;
mod lines;
mod memory;
mod normalization;
mod operations;
mod optimizer;
mod outer_products;
mod packing;
mod plane_operations;
mod plane_tensors;
mod pooling;
#[cfg(test)]
mod reference;
mod simd;
mod sums;
mod tensors;
mod tile;
mod unpacking;
mod weight_gradient;
mod weight_slice;

pub use activation::Activation;
pub use epilogue::Epilogue;
pub use instruction_set::InstructionSet;
pub use optimizer::{UpdateRule, update};
pub use plane_tensors::{activate, avg_pool2d, global_avg_pool2d, max_pool2d};
pub use tensors::{
    BatchNorm, batch_norm_activation_train, batch_norm_train, conv2d, conv2d_activated, conv2d_sliced, cut,
    runs_on,
};
pub use weight_slice::WeightSlice;
