//! What learns: networks as vectors, groups of similar ones, and objectives without the noise of single
//! evaluations. The regression behind them is the crate `kiln-regression`.

pub mod cluster;
mod denoised;
mod embedding;

pub use self::denoised::{Denoised, denoised};
pub(crate) use self::embedding::{Embedder, sample};
