//! Judges the outputs of networks, given the targets of a split. It runs no networks.

pub(crate) mod confusion;
pub(crate) mod judgement;
pub(crate) mod metrics;
pub(crate) mod value_errors;
