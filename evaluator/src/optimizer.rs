//! Which optimizer trains, as the user wrote it, and what runs it: kernels on the CPU, burn elsewhere.

use burn::module::ParamGroup;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Bytes, Device};
use kiln_space::{Settings, SettingsError};
use serde::{Deserialize, Serialize};

use crate::fused_optimizer::FusedOptimizer;
use crate::parameters::Parameters;

/// Optimizer and learning rate. Weight decay spares biases, scales and shifts.
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
    /// Refuses impossible values.
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

    /// A fresh optimizer for these parameters on this device.
    pub(crate) fn build(&self, parameters: &Parameters, device: &Device) -> Optimizer {
        if kiln_kernels::runs_on(device) {
            Optimizer::Fused(FusedOptimizer::new(*self))
        } else {
            Optimizer::Burn(Box::new(self.by_burn(parameters)))
        }
    }

    /// burn's own.
    pub(crate) fn by_burn(&self, parameters: &Parameters) -> ModuleOptimizer {
        let vectors = ParamGroup::from_ids(parameters.vector_ids());
        match self.kind {
            OptimizerKind::Sgd => {
                let momentum = MomentumConfig::new()
                    .with_momentum(self.momentum)
                    .with_dampening(0.0)
                    .with_nesterov(true);
                let plain = SgdConfig::new().with_momentum(Some(momentum));
                let decayed =
                    plain.clone().with_weight_decay(Some(WeightDecayConfig::new(self.weight_decay as f32)));
                decayed.init().with_group(vectors, plain.build(), None)
            }
            OptimizerKind::AdamW => {
                let config = AdamWConfig::new().with_beta_1(self.momentum as f32);
                let decayed = config.clone().with_weight_decay(self.weight_decay as f32);
                decayed.init().with_group(vectors, config.with_weight_decay(0.0).build(), None)
            }
        }
    }
}

/// An optimizer with what it remembers.
pub(crate) enum Optimizer {
    /// One pass over each parameter, on the CPU.
    Fused(FusedOptimizer),
    /// On any device.
    Burn(Box<ModuleOptimizer>),
}

impl Optimizer {
    /// Moves those parameters that have a gradient.
    pub(crate) fn step(
        &mut self,
        rate: f64,
        parameters: Parameters,
        gradients: GradientsParams,
    ) -> Parameters {
        match self {
            Self::Fused(fused) => fused.step(rate, parameters, gradients),
            Self::Burn(burn) => burn.step(rate, parameters, gradients),
        }
    }

    /// What it remembers, for [`Optimizer::loaded`].
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Fused(fused) => fused.to_bytes(),
            Self::Burn(burn) => burn.into_bytes().expect("optimizer state is serializable").to_vec(),
        }
    }

    /// The optimizer with what another of its kind remembered.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(crate) fn loaded(self, bytes: Vec<u8>) -> Result<Self, String> {
        match self {
            Self::Fused(fused) => fused.loaded(&bytes).map(Self::Fused),
            Self::Burn(burn) => {
                let loaded = burn.from_bytes(Bytes::from_bytes_vec(bytes));
                loaded.map(|burn| Self::Burn(Box::new(burn))).map_err(|error| error.to_string())
            }
        }
    }
}
