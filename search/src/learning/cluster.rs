//! Clusters similar vectors. Equal vectors always yield equal clusters. Degenerate data yields fewer clusters
//! instead of errors.

mod grouping;
mod k_means;
mod partition;

pub use self::grouping::Grouping;
pub use self::partition::Clusters;
