//! The strategies that come with the crate, one file each.

pub(crate) mod clustered;
pub(crate) mod random;
pub(crate) mod regularized_evolution;
mod unseen;
