//! Vector instructions: the set that this processor has, and vectors of floats that kernels are written with.
//!
//! This room knows no tensors and no operations.

mod instruction_set;
mod portable;
mod vectors;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use instruction_set::InstructionSet;
pub(crate) use vectors::{Kernel, Simd};
