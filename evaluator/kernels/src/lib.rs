#![doc = include_str!("../README.md")]

mod convolution;
mod correlation;
mod correlation_task;
mod depthwise;
mod depthwise_gradient;
mod epilogue;
mod geometry;
mod instruction_set;
mod lines;
mod memory;
mod normalization;
mod operations;
mod outer_products;
mod packing;
#[cfg(test)]
mod reference;
mod simd;
mod sums;
mod tensors;
mod tile;
mod unpacking;
mod weight_gradient;
mod weight_slice;

pub use epilogue::Epilogue;
pub use instruction_set::InstructionSet;
pub use tensors::{
    BatchNorm, batch_norm_relu_train, batch_norm_train, conv2d, conv2d_activated, conv2d_sliced, cut,
};
pub use weight_slice::WeightSlice;
