//! Training one stand-alone network.

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Device;
use kiln_search::Progress;
use kiln_space::Architecture;

use crate::data::{Batcher, DataSet};
use crate::executor::{self, Normalization};
use crate::learner::Learner;
use crate::pruning::Pruning;
use crate::training_settings::TrainingSettings;
use crate::weights::{Parameters, Weights};
use crate::{inference, loss};

/// A mean loss beyond this many times that of guessing counts as divergence.
const EXPLODED: f64 = 20.0;

/// Why a training ended early.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stopped {
    /// The user asked.
    Interrupted,
    /// The loss is not finite or has exploded.
    Diverged { epoch: u32, loss: f64 },
}

/// What is trained, on what.
pub(crate) struct Training<'a> {
    pub(crate) architecture: &'a Architecture,
    pub(crate) data: &'a DataSet,
    pub(crate) examples: &'a [u32],
    pub(crate) settings: &'a TrainingSettings,
    pub(crate) seed: u64,
    /// Training images that batch-norm statistics are taken from where the network is judged after an epoch.
    pub(crate) calibration: usize,
    /// Without autodiff; the training adds it.
    pub(crate) device: &'a Device,
}

impl Training<'_> {
    /// Trains `weights` (made on the device with autodiff) for the first `epochs` epochs of the schedule, and gives what is
    /// to be judged, without gradients.
    pub(crate) fn run(
        &self,
        weights: Weights,
        epochs: u32,
        stage: &str,
        progress: &dyn Progress,
    ) -> Result<Weights, Stopped> {
        let settings = self.settings;
        let per_epoch = settings.steps_per_epoch(self.examples.len());
        let batcher = Batcher::new(self.data, self.device.clone().autodiff(), self.seed);
        let guessing = loss::of_guessing(self.data);
        let total = u64::from(epochs.min(settings.epochs)) * per_epoch;
        let mut pruning = Pruning::new(self.architecture, settings.epochs);
        let mut learner = Learner::new(weights, settings, self.examples.len(), self.device);
        for epoch in 0..epochs.min(settings.epochs) {
            pruning.begin(epoch, &mut learner.weights);
            let order = batcher.shuffled(self.examples, u64::from(epoch));
            let mut sum = 0.0;
            for examples in order.chunks(settings.step_examples()).take(per_epoch as usize) {
                if progress.stop_requested() {
                    return Err(Stopped::Interrupted);
                }
                let (gradients, value) = self.gradients(&learner, &batcher, examples);
                if !value.is_finite() {
                    return Err(Stopped::Diverged { epoch, loss: value });
                }
                sum += value;
                if learner.step.is_multiple_of(20) {
                    progress.report(stage, learner.step, total, &format!("loss {value:.4}"));
                }
                learner = learner.advance_and(gradients, |weights| pruning.hold(weights));
            }
            let mean = sum / per_epoch as f64;
            if mean > EXPLODED * guessing {
                return Err(Stopped::Diverged { epoch, loss: mean });
            }
            if learner.watches() {
                learner.look(self.validation_loss(&learner.current()));
                if learner.is_over() {
                    break;
                }
            }
        }
        progress.report(stage, total, total, "trained");
        Ok(learner.result())
    }

    /// Gradients and loss of one step, averaged over its examples.
    pub(crate) fn gradients(
        &self,
        learner: &Learner,
        batcher: &Batcher<'_>,
        examples: &[u32],
    ) -> (GradientsParams, f64) {
        let mut accumulator: GradientsAccumulator<Parameters> = GradientsAccumulator::new();
        let mut sum = 0.0;
        for (index, piece) in self.settings.batches(examples).enumerate() {
            let batch =
                batcher.training(piece, learner.step * self.settings.accumulate as u64 + index as u64);
            let weights = &learner.weights;
            let outputs =
                executor::forward(self.architecture, weights, batch.images, Normalization::Batch(None));
            let loss = loss::against_targets(outputs, &batch.targets, self.settings.label_smoothing);
            let share = piece.len() as f64 / examples.len() as f64;
            sum += loss::value(&loss) * share;
            let loss = if piece.len() == examples.len() { loss } else { loss * share };
            let gradients = GradientsParams::from_grads(loss.backward(), &weights.parameters);
            accumulator.accumulate(&weights.parameters, gradients);
        }
        (accumulator.grads(), sum)
    }

    /// Loss on the validation split; `None` if it is not finite.
    fn validation_loss(&self, weights: &Weights) -> Option<f64> {
        inference::validation_loss(self.architecture, weights, self.data, self.calibration, self.device)
    }
}
