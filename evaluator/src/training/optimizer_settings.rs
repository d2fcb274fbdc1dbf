//! The setting `optimizer`, which selects an optimizer and its learning rate.

use kiln_space::{Settings, SettingsError};
use serde::{Deserialize, Serialize};

/// Optimizer and learning rate. Weight decay does not apply to biases, scales and shifts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OptimizerSettings {
    pub(crate) kind: OptimizerKind,
    pub(crate) learning_rate: f64,
    #[serde(default = "momentum")]
    pub(crate) momentum: f64,
    #[serde(default)]
    pub(crate) weight_decay: f64,
}

/// Kinds of optimizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OptimizerKind {
    /// Stochastic gradient descent with Nesterov momentum.
    Sgd,
    /// Adam with decoupled weight decay.
    #[serde(rename = "adamw")]
    AdamW,
}

const fn momentum() -> f64 {
    0.9
}

impl Default for OptimizerSettings {
    fn default() -> Self {
        Self { kind: OptimizerKind::Sgd, learning_rate: 0.1, momentum: momentum(), weight_decay: 1e-4 }
    }
}

impl OptimizerSettings {
    /// Checks that all values are in range.
    pub(crate) fn check(&self, settings: &Settings) -> Result<(), SettingsError> {
        let key = |key: &str| settings.key(&format!("optimizer.{key}"));
        if !(self.learning_rate > 0.0 && self.learning_rate <= 100.0) {
            return Err(SettingsError::value(
                key("learning_rate"),
                self.learning_rate,
                "more than 0, at most 100",
            ));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(SettingsError::value(key("momentum"), self.momentum, "at least 0, less than 1"));
        }
        if !(0.0..=1.0).contains(&self.weight_decay) {
            return Err(SettingsError::value(key("weight_decay"), self.weight_decay, "between 0 and 1"));
        }
        Ok(())
    }
}
