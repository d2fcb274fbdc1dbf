//! Compares trials by several objectives, sets of points by their hypervolume, and scores by rank
//! correlation.

pub mod hypervolume;
pub mod pareto;
mod rank_correlation;

pub use self::rank_correlation::{RankCorrelation, rank_correlation, tau_b};
