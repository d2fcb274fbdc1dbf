//! Trains networks on their own, from new weights, and measures them.

use burn::tensor::Device;
use kiln_search::{EvalError, FailureKind, Outcome, Progress};
use kiln_space::Architecture;

use crate::data::Split;
use crate::deploy::frozen::Frozen;
use crate::deploy::inference;
use crate::evaluators::context::Context;
use crate::judging::metrics::Asked;
use crate::network::stand_alone::stand_alone;
use crate::network::weights::Weights;
use crate::training::form::How;
use crate::training::one_network::{Stopped, Training};
use crate::training::settings::TrainingSettings;
use crate::training::state::Kept;

/// Settings and data for training networks on their own.
pub(crate) struct StandAlone<'a> {
    pub(crate) settings: &'a TrainingSettings,
    /// Number of training images from which batch-norm statistics are computed after training.
    pub(crate) calibration: usize,
    /// Optional metrics that the config requests.
    pub(crate) metrics: &'a Asked,
    pub(crate) context: &'a Context,
    pub(crate) device: &'a Device,
}

impl StandAlone<'_> {
    /// Trains a network for the first `epochs` epochs of the schedule, and evaluates it on the validation
    /// split. The training starts from the state in `kept`, or from new weights. Clears `kept` when the
    /// training is over.
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
            how: How::default(),
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
        Ok(inference::measured(frozen.as_ref(), metrics, data, device))
    }
}
