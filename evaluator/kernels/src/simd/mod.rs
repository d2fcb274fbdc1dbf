//! Detects the vector instructions that this processor supports, and defines the vectors that kernels use.
//!
//! This module does not depend on tensors or operations.

mod instruction_set;
mod portable;
mod vectors;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use instruction_set::InstructionSet;
pub(crate) use vectors::{Kernel, Simd};
