//! Hyperband: brackets of successive halving that start on different rungs in turn. The different rungs
//! protect against low fidelities that rank networks badly.
//!
//! Source: Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, Hyperband: a novel bandit-based approach to
//! hyperparameter optimization, JMLR 2018, algorithm 1. Differs: several objectives are compared by
//! non-dominated rank, then crowding distance.

use kiln_space::{Samples, Settings, SettingsError};

use super::brackets::{Brackets, Uniform, hyperband_shapes};
use super::rungs::{self, Rungs};
use crate::contracts::{Strategy, StrategyPart};

/// The strategy's entry in the registry.
pub(crate) const PART: StrategyPart =
    StrategyPart::new("brackets of successive halving, more or less bold", build)
        .with_keys(&[rungs::KEYS])
        .tested_with(SAMPLES);

/// Sample settings at the limits of their valid ranges.
const SAMPLES: Samples = &[
    "{}",
    r#"{ "epochs": [2, 3, 5], "proxies": { "draw": 7, "keep": 2 } }"#,
    r#"{ "epochs": [2, 5, 7, 9], "reduction": 4 }"#,
];

/// Builds the strategy from `epochs` and `reduction`.
fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let rungs = Rungs::read(settings)?;
    Ok(Box::new(Brackets::new(rungs, hyperband_shapes, Box::new(Uniform))))
}
