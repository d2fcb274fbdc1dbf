#![doc = include_str!("../README.md")]

mod activation;
mod convolution;
mod correlation;
mod depthwise;
mod exponential;
mod geometry;
mod global_pooling;
mod instruction_set;
mod memory;
mod normalization;
mod operations;
mod optimizer;
mod packing;
mod plane_operations;
mod plane_tensors;
mod pooling;
mod simd;
mod tensors;
mod weight_gradient;

pub use activation::Activation;
pub use instruction_set::InstructionSet;
pub use optimizer::{UpdateRule, update};
pub use plane_tensors::{activate, avg_pool2d, global_avg_pool2d, max_pool2d};
pub use tensors::{BatchNorm, batch_norm_activation_train, batch_norm_train, conv2d, runs_on};
