//! Encodes genotypes and architectures as vectors of numbers, for predictors and for clustering. The vectors
//! are not standardized. The predictor or the clustering algorithm standardizes its inputs, because it knows
//! their distribution.

mod effective;
mod one_hot;
mod structural;

pub use effective::one_hot_effective;
pub use one_hot::{one_hot, one_hot_len};
pub use structural::{structural, structural_names};
