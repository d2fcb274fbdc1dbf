//! What compares: trials by several objectives, sets of points by their volume, scores by the order they
//! give.

pub mod hypervolume;
pub mod pareto;
mod rank_correlation;

pub use self::rank_correlation::{RankCorrelation, rank_correlation, tau_b};
