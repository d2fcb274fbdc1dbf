//! Hyperband: brackets of successive halving that start on different rungs in turn. It hedges against low
//! fidelities that order networks badly.
//!
//! Source: Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, Hyperband: a novel bandit-based approach to
//! hyperparameter optimization, JMLR 2018, algorithm 1.
//! Differs: several objectives by non-dominated rank, then crowding.

use kiln_space::{Settings, SettingsError};

use super::brackets::{Brackets, Uniform, hyperband_shapes};
use super::rungs::Rungs;
use crate::contracts::Strategy;

/// Builds the strategy from `epochs` and `reduction`.
pub(crate) fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let rungs = Rungs::read(settings)?;
    Ok(Box::new(Brackets::new(rungs, hyperband_shapes, Box::new(Uniform))))
}
