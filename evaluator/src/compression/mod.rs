//! Compresses finished networks by recipes: rounding, training on rounded values, zeros, smaller layers,
//! codebooks, distillation. A study's finish stage and `kiln compress` use it.

pub(crate) mod compressor;
pub(crate) mod draft;
pub(crate) mod error;
pub(crate) mod grammar;
mod observation;
mod quantization_aware;
mod recipe;
mod recipes;
pub(crate) mod record;
pub(crate) mod registry;
mod retraining;
pub(crate) mod sensitivity;
pub(crate) mod teachers;
pub(crate) mod workshop;
