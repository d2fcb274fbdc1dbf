//! Bayesian optimization with a Gaussian process over the networks' embeddings. It works for any space.
//!
//! Candidates are offspring of tournament winners, neighbors of the best trials, and random genotypes. The
//! embeddings describe not only genes but also layers, their inputs, and paths (`learning/embedding.rs`).
//!
//! Source: Snoek, Larochelle, Adams, Practical Bayesian optimization of machine learning algorithms, NeurIPS
//! 2012; Kandasamy et al., Neural architecture search with Bayesian optimisation and optimal transport,
//! NeurIPS 2018 (evolving candidates).

use kiln_space::{Samples, Settings, SettingsError};
use serde::Deserialize;

use super::guided::{self, Beginning, Groups, Guide};
use super::surrogate::{Acquisition, Surrogate};
use crate::contracts::{Strategy, StrategyPart};

/// Settings of a strategy with a model and without clusters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ModelSettings {
    /// Number of random first trials.
    initial: usize,
    /// Rule that rates candidates.
    acquisition: Acquisition,
    /// Distance of the confidence bound below the mean, in standard deviations.
    optimism: f64,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self { initial: 10, acquisition: Acquisition::Alternating, optimism: 1.0 }
    }
}

impl ModelSettings {
    /// Returns the settings for a strategy with this model.
    pub(super) const fn guide(&self, surrogate: Surrogate) -> Guide {
        let Self { initial, acquisition, optimism } = *self;
        Guide { initial, design: Beginning::Random, surrogate, acquisition, optimism }
    }
}

/// The strategy's entry in the registry.
pub(crate) const PART: StrategyPart =
    StrategyPart::new("Bayesian optimization of what networks look like", build)
        .with_keys(&[guided::KEYS])
        .tested_with(SAMPLES);

/// Sample settings at the limits of their valid ranges.
const SAMPLES: Samples = &[
    "{}",
    r#"{ "proxies": { "draw": 15, "keep": 2 } }"#,
    r#"{ "initial": 1, "acquisition": "thompson" }"#,
    r#"{ "acquisition": "confidence_bound", "start": [[1, 0], [0, 0]] }"#,
    r#"{ "acquisition": "thompson", "optimism": 0.0 }"#,
];

/// Builds the strategy from `initial`, `acquisition` (`alternating`, `confidence_bound`,
/// `expected_improvement` or `thompson`) and `optimism`.
fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let read: ModelSettings = settings.read()?;
    guided::build(settings, read.guide(Surrogate::GaussianProcess), Groups::one())
}
