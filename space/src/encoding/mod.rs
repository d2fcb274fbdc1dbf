//! Genotypes and architectures as vectors of numbers, for predictors and for clustering. Vectors are not
//! standardized; the learner does that, because it knows the spread.

mod effective;
mod one_hot;
mod structural;

pub use effective::one_hot_effective;
pub use one_hot::{one_hot, one_hot_len};
pub use structural::{structural, structural_names};
