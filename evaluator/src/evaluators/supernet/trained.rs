//! Trained shared weights and their hash.

use crate::network::weights::Weights;

/// Trained shared weights, outside any autodiff graph.
pub(super) struct Trained {
    pub(super) weights: Weights,
    pub(super) hash: String,
}

impl Trained {
    pub(super) fn new(weights: Weights) -> Self {
        let hash = blake3::hash(&weights.parameters.to_bytes()).to_hex().to_string();
        Self { weights, hash }
    }
}
