//! Evaluators and the finish stage. A study requests outcomes from an evaluator, and finished networks from
//! the finish stage.

pub(crate) mod command;
pub(crate) mod context;
mod fingerprint;
mod finish;
mod proxy;
pub(crate) mod registry;
mod scratch;
mod stand_alone;
pub(crate) mod step_timer;
pub(crate) mod supernet;
pub(crate) mod workload;
