#![doc = include_str!("../README.md")]

mod convolution;
mod correlation;
mod depthwise;
mod geometry;
mod instruction_set;
mod memory;
mod normalization;
mod operations;
mod packing;
mod simd;
mod tensors;
mod weight_gradient;

pub use instruction_set::InstructionSet;
pub use tensors::{BatchNorm, batch_norm_relu_train, batch_norm_train, conv2d};
