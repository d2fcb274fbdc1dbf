//! Runs an optimizer: with Kiln's kernels on the CPU, and with burn on other devices.

use burn::module::ParamGroup;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Bytes, Device};

use super::checkpoint_error::CheckpointError;
use super::fused_optimizer::FusedOptimizer;
use super::optimizer_settings::{OptimizerKind, OptimizerSettings};
use crate::network::parameters::Parameters;

/// An optimizer with its state.
pub(crate) enum Optimizer {
    /// Kiln's optimizer for the CPU, which updates each parameter in one pass.
    Fused(FusedOptimizer),
    /// burn's optimizer, for any device.
    Burn(Box<ModuleOptimizer>),
}

impl Optimizer {
    /// Creates an optimizer for these parameters on this device.
    pub(crate) fn new(settings: &OptimizerSettings, parameters: &Parameters, device: &Device) -> Self {
        if kiln_kernels::runs_on(device) {
            Self::Fused(FusedOptimizer::new(*settings))
        } else {
            Self::Burn(Box::new(by_burn(settings, parameters)))
        }
    }

    /// Updates the parameters that have a gradient.
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

    /// Serializes the optimizer's state to bytes, for [`Optimizer::loaded`].
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Fused(fused) => fused.to_bytes(),
            Self::Burn(burn) => burn.into_bytes().expect("optimizer state is serializable").to_vec(),
        }
    }

    /// Returns this optimizer with the state that another optimizer of the same kind serialized.
    ///
    /// # Errors
    /// [`CheckpointError`] when the bytes are damaged, or another kind of optimizer wrote them.
    pub(crate) fn loaded(self, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        match self {
            Self::Fused(fused) => fused.loaded(&bytes).map(Self::Fused),
            Self::Burn(burn) => {
                let loaded = burn.from_bytes(Bytes::from_bytes_vec(bytes))?;
                Ok(Self::Burn(Box::new(loaded)))
            }
        }
    }
}

/// Creates burn's optimizer with these settings.
pub(crate) fn by_burn(settings: &OptimizerSettings, parameters: &Parameters) -> ModuleOptimizer {
    let vectors = ParamGroup::from_ids(parameters.vector_ids());
    match settings.kind {
        OptimizerKind::Sgd => {
            let momentum = MomentumConfig::new()
                .with_momentum(settings.momentum)
                .with_dampening(0.0)
                .with_nesterov(true);
            let plain = SgdConfig::new().with_momentum(Some(momentum));
            let decayed =
                plain.clone().with_weight_decay(Some(WeightDecayConfig::new(settings.weight_decay as f32)));
            decayed.init().with_group(vectors, plain.build(), None)
        }
        OptimizerKind::AdamW => {
            let config = AdamWConfig::new().with_beta_1(settings.momentum as f32);
            let decayed = config.clone().with_weight_decay(settings.weight_decay as f32);
            decayed.init().with_group(vectors, config.with_weight_decay(0.0).build(), None)
        }
    }
}
