//! Compares the outputs of networks with the targets of a split. This module does not run networks.

pub(crate) mod confusion;
pub(crate) mod judgement;
pub(crate) mod metrics;
pub(crate) mod value_errors;
