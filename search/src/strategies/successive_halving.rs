//! Successive halving evaluates many genotypes with few epochs. Then it evaluates the best third of them with
//! three times as many epochs, and so on.
//!
//! Source: Jamieson, Talwalkar, Non-stochastic best arm identification and hyperparameter optimization,
//! AISTATS 2016. Differs: several objectives are compared by non-dominated rank, then crowding distance.
//! After a bracket is complete, the next bracket starts.

use kiln_space::{Samples, Settings, SettingsError};

use super::brackets::{Brackets, Shape, Uniform};
use super::rungs::{self, Rungs};
use crate::contracts::{Strategy, StrategyPart};

/// The strategy's entry in the registry.
pub(crate) const PART: StrategyPart =
    StrategyPart::new("more effort for the best third", build).with_keys(&[rungs::KEYS]).tested_with(SAMPLES);

/// Sample settings at the limits of their valid ranges.
const SAMPLES: Samples = &["{}", r#"{ "epochs": [1, 20] }"#, r#"{ "epochs": [1, 2, 3], "reduction": 100 }"#];

/// Builds the strategy from `epochs` and `reduction`. A bracket starts with the smallest number of genotypes
/// with which one of them reaches the highest rung.
fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let rungs = Rungs::read(settings)?;
    Ok(Box::new(Brackets::new(rungs, shapes, Box::new(Uniform))))
}

fn shapes(rungs: &Rungs) -> Vec<Shape> {
    vec![(0, rungs.reduction.saturating_pow(rungs.count() as u32 - 1).min(100_000))]
}
