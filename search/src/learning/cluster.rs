//! Clusters similar vectors. The clusters are reproducible, and degenerate data yields fewer clusters instead
//! of errors.

mod grouping;
mod k_means;
mod partition;

pub use self::grouping::Grouping;
pub use self::partition::Clusters;
