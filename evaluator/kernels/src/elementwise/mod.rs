//! Nonlinearities, sums, batch normalization, losses and optimizer steps.

pub(crate) mod activation_pass;
pub(crate) mod addition;
pub(crate) mod cross_entropy;
mod curves;
mod exponential;
pub(crate) mod normalization;
pub(crate) mod optimizer;
