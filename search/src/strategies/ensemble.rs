//! Bayesian optimization with an ensemble of extremely randomized trees over the networks' embeddings. The
//! standard deviation over the trees measures the uncertainty.
//!
//! Source: Hutter, Hoos, Leyton-Brown, Sequential model-based optimization for general algorithm
//! configuration, LION 2011 (forests in place of Gaussian processes); White, Neiswanger, Savani, BANANAS,
//! AAAI 2021 (ensembles for architectures).

use kiln_space::{Samples, Settings, SettingsError};

use super::gaussian_process::ModelSettings;
use super::guided::{self, Groups};
use super::surrogate::Surrogate;
use crate::contracts::{Strategy, StrategyPart};

/// The strategy's entry in the registry.
pub(crate) const PART: StrategyPart = StrategyPart::new("model-guided search by randomized trees", build)
    .with_keys(&[guided::KEYS])
    .tested_with(SAMPLES);

/// Sample settings at the limits of their valid ranges.
const SAMPLES: Samples = &[
    "{}",
    r#"{ "initial": 1, "acquisition": "thompson", "start": [[1, 0]] }"#,
    r#"{ "acquisition": "confidence_bound" }"#,
];

/// Builds the strategy from `initial`, `acquisition` (`alternating`, `confidence_bound`,
/// `expected_improvement` or `thompson`) and `optimism`.
fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let read: ModelSettings = settings.read()?;
    guided::build(settings, read.guide(Surrogate::Ensemble), Groups::one())
}
