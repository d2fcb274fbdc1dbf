//! Weights by key, and the executor that runs an architecture on them. It knows no data sets, and neither how
//! networks are trained nor what for.

pub(crate) mod collected;
pub(crate) mod executor;
pub(crate) mod folding;
mod initialization;
pub(crate) mod integers;
mod operations;
pub(crate) mod parameters;
pub(crate) mod sparsity;
pub(crate) mod stand_alone;
pub(crate) mod statistics;
pub(crate) mod weights;
