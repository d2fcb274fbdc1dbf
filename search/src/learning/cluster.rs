//! Groups of similar vectors, reproducible, and without surprises on degenerate data.

mod grouping;
mod k_means;
mod partition;

pub use self::grouping::Grouping;
pub use self::partition::Clusters;
