//! Clusters of similar vectors. They are reproducible, and degenerate data gives fewer clusters instead of
//! errors.

mod grouping;
mod k_means;
mod partition;

pub use self::grouping::Grouping;
pub use self::partition::Clusters;
