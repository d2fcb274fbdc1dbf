//! Networks whose layers have parameters of their own, and what they measure after they are trained from new weights.

use burn::tensor::Device;
use kiln_search::{EvalError, FailureKind, Outcome, Progress};
use kiln_space::{Architecture, Op, ParameterKind, ParameterSpec, WeightRef};

use crate::Context;
use crate::data::Split;
use crate::frozen::Frozen;
use crate::metrics::Asked;
use crate::network_state::Kept;
use crate::training::{Stopped, Training};
use crate::training_settings::TrainingSettings;
use crate::weights::Weights;

/// The same network with parameters of its own: each key is the layer's name and is read whole.
pub(crate) fn stand_alone(architecture: &Architecture) -> (Architecture, Vec<ParameterSpec>) {
    let mut own = architecture.clone();
    let mut specs = Vec::new();
    for id in architecture.ids().skip(1) {
        let layer = architecture.layer(id);
        let channels = architecture.layer(layer.inputs[0]).output.channels;
        let outputs = layer.output.channels;
        let (kind, inputs) = match layer.op {
            Op::Conv2d { kernel, groups, bias, .. } => {
                let inputs = channels / groups;
                (ParameterKind::Conv2d { outputs, inputs, kernel, bias }, inputs)
            }
            Op::Linear { bias, .. } => (ParameterKind::Linear { outputs, inputs: channels, bias }, channels),
            Op::BatchNorm => (ParameterKind::BatchNorm { channels: outputs }, 0),
            _ => continue,
        };
        own.layers[id.0].weights = Some(WeightRef::leading(layer.name.clone(), outputs, inputs));
        specs.push(ParameterSpec { key: layer.name.clone(), kind });
    }
    (own, specs)
}

/// How networks are trained on their own, on what.
pub(crate) struct StandAlone<'a> {
    pub(crate) settings: &'a TrainingSettings,
    /// Training images that batch-norm statistics are taken from, after training.
    pub(crate) calibration: usize,
    /// What is measured.
    pub(crate) metrics: &'a Asked,
    pub(crate) context: &'a Context,
    pub(crate) device: &'a Device,
}

impl StandAlone<'_> {
    /// Trains a network for the first `epochs` epochs of the schedule, from new weights or from where `kept` was left, and judges it on
    /// the validation split. `kept` is cleared when the training is over.
    pub(crate) fn measure(
        &self,
        architecture: &Architecture,
        (seed, epochs): (u64, u32),
        mut kept: Kept,
        progress: &dyn Progress,
    ) -> Result<Outcome, EvalError> {
        let (architecture, specs) = stand_alone(architecture);
        let Self { settings, calibration, metrics, context, device } = *self;
        let data = &context.data;
        let weights = Weights::initialize(&specs, seed, &device.clone().autodiff());
        let training = Training {
            architecture: &architecture,
            data,
            examples: data.split(Split::Train),
            settings,
            seed,
            calibration,
            device,
        };
        let trained = training.run(weights, epochs, &mut kept, "scratch", progress);
        if !matches!(trained, Err(Stopped::Ended(_))) {
            kept.clear()?;
        }
        let weights = match trained {
            Ok(weights) => weights,
            Err(Stopped::Ended(error)) => return Err(error),
            Err(Stopped::Diverged { epoch, loss }) => {
                let reason = format!("training diverged in epoch {epoch}: loss {loss}");
                return Ok(Outcome::Failed { kind: FailureKind::Diverged, reason });
            }
        };
        let frozen = Frozen::new(&architecture, &weights, data, calibration, device);
        Ok(metrics.measured(frozen.as_ref(), data, device))
    }
}
