#![doc = include_str!("../README.md")]

mod binned_trees;
mod boosting;
mod cholesky;
mod extra_trees;
mod gaussian_process;
mod prediction;
mod ridge;
mod vectors;

pub use binned_trees::{BinnedTrees, BoostingPlan};
pub use boosting::{BoostedTrees, Boosting};
pub use cholesky::Cholesky;
pub use extra_trees::Forest;
pub use gaussian_process::{GaussianProcess, Kernel, Posterior};
pub use prediction::Prediction;
pub use ridge::ridge;
pub use vectors::{dot, squared_distance};
