//! Evaluates the outputs of networks against the targets of a split. It does not run networks.

pub(crate) mod confusion;
pub(crate) mod judgement;
pub(crate) mod metrics;
pub(crate) mod value_errors;
