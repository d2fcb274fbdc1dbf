//! Decides which weights of a network become zero and which channels are removed, and removes channels. Other
//! crates train and evaluate networks with these functions. This module trains nothing.

mod budget;
mod error;
mod mask;
mod ramp;
pub mod scores;
pub mod structured;
#[cfg(test)]
mod tests;
pub mod unstructured;

pub use self::budget::target;
pub use self::error::{Best, PruningError};
pub use self::mask::{Mask, Masking, sparsity_of, stated};
pub use self::ramp::Ramp;
