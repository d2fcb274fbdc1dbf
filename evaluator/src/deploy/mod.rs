//! Prepares trained networks for use: freezes, runs, measures and converts them. It trains nothing.

pub(crate) mod arrays;
pub(crate) mod conversion;
pub(crate) mod frozen;
pub(crate) mod inference;
pub(crate) mod matching;
pub(crate) mod post_training;
pub(crate) mod provenance;
pub(crate) mod random;
pub(crate) mod runtime;
pub(crate) mod target_scale;
pub(crate) mod trained;
