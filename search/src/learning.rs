//! Models of networks: embeddings as vectors, clusters of similar networks, and denoised objectives. The
//! regression models are in the crate `kiln-regression`.

pub mod cluster;
mod denoised;
mod embedding;

pub use self::denoised::{Denoised, denoised};
pub(crate) use self::embedding::{Embedder, sample};
