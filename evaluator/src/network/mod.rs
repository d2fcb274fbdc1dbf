//! Weights by key, plans of forward passes, and the executor that runs them. This module does not depend on
//! data sets or training.

pub(crate) mod collected;
pub(crate) mod executor;
pub(crate) mod fake_quantization;
mod folding;
pub(crate) mod initialization;
pub(crate) mod integers;
pub(crate) mod observer;
mod operations;
pub(crate) mod parameters;
pub(crate) mod plan;
mod rounding;
pub(crate) mod sparsity;
pub(crate) mod stand_alone;
pub(crate) mod statistics;
mod step;
pub(crate) mod straight_through;
pub(crate) mod weights;
mod window;
