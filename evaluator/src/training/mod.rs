//! Training: losses, optimizers, and the state from which an interrupted training resumes. This module does
//! not depend on studies.

pub(crate) mod checkpoint;
mod checkpoint_error;
pub(crate) mod class_weights;
pub(crate) mod clip_norm;
mod clipping;
pub(crate) mod distillation;
pub(crate) mod form;
mod fused_optimizer;
#[cfg(feature = "cuda")]
pub(crate) mod gradient_sum;
pub(crate) mod learner;
pub(crate) mod loss;
pub(crate) mod milestones;
pub(crate) mod one_network;
mod optimizer;
pub(crate) mod optimizer_settings;
mod patience;
pub(crate) mod pruning;
mod schedule;
pub(crate) mod settings;
pub(crate) mod state;
