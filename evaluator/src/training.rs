//! Training one stand-alone network.

use burn::optim::GradientsParams;
use burn::tensor::Device;
use kiln_search::Progress;
use kiln_space::{Architecture, Settings, SettingsError};
use serde::{Deserialize, Serialize};

use crate::data::{Batcher, DataSet};
use crate::executor::{self, Normalization};
use crate::loss;
use crate::optimizer::OptimizerSettings;
use crate::pruning::Pruning;
use crate::schedule::Schedule;
use crate::weights::Weights;

/// A mean loss beyond this many times that of guessing counts as divergence.
const EXPLODED: f64 = 20.0;

/// How long and how a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainingSettings {
    pub(crate) epochs: u32,
    pub(crate) batch: usize,
    pub(crate) optimizer: OptimizerSettings,
    pub(crate) warmup_epochs: u32,
    pub(crate) label_smoothing: f64,
}

impl TrainingSettings {
    /// Refuses impossible values.
    pub(crate) fn check(&self, settings: &Settings) -> Result<(), SettingsError> {
        if self.epochs == 0 || self.epochs > 100_000 {
            return Err(SettingsError::value(settings.key("epochs"), self.epochs, "between 1 and 100000"));
        }
        if self.batch < 2 || self.batch > 65_536 {
            return Err(SettingsError::value(settings.key("batch"), self.batch, "between 2 and 65536"));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            let key = settings.key("label_smoothing");
            return Err(SettingsError::value(key, self.label_smoothing, "at least 0, less than 1"));
        }
        if self.warmup_epochs >= self.epochs.max(2) {
            let key = settings.key("warmup_epochs");
            return Err(SettingsError::value(key, self.warmup_epochs, "less than `epochs`"));
        }
        self.optimizer.check(settings)
    }

    /// Batches of one epoch over so many examples; a last batch that is not full is left out, unless it is the only one.
    pub(crate) const fn steps_per_epoch(&self, examples: usize) -> u64 {
        let steps = examples / self.batch;
        if steps == 0 { 1 } else { steps as u64 }
    }

    pub(crate) fn schedule(&self, examples: usize) -> Schedule {
        let per_epoch = self.steps_per_epoch(examples);
        Schedule {
            learning_rate: self.optimizer.learning_rate,
            warmup_steps: u64::from(self.warmup_epochs) * per_epoch,
            steps: u64::from(self.epochs) * per_epoch,
        }
    }
}

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
    /// Without autodiff; the training adds it.
    pub(crate) device: &'a Device,
}

impl Training<'_> {
    /// Trains `weights` (made on the device with autodiff) for the first `epochs` epochs of the schedule.
    pub(crate) fn run(
        &self,
        mut weights: Weights,
        epochs: u32,
        stage: &str,
        progress: &dyn Progress,
    ) -> Result<Weights, Stopped> {
        let settings = self.settings;
        let schedule = settings.schedule(self.examples.len());
        let per_epoch = settings.steps_per_epoch(self.examples.len());
        let batcher = Batcher::new(self.data, self.device.clone().autodiff(), self.seed);
        let mut optimizer = settings.optimizer.build(&weights.parameters);
        let guessing = loss::of_guessing(self.data);
        let total = u64::from(epochs.min(settings.epochs)) * per_epoch;
        let mut pruning = Pruning::new(self.architecture, settings.epochs);
        for epoch in 0..epochs.min(settings.epochs) {
            pruning.begin(epoch, &mut weights);
            let order = batcher.shuffled(self.examples, u64::from(epoch));
            let mut sum = 0.0;
            for (index, chunk) in order.chunks(settings.batch).take(per_epoch as usize).enumerate() {
                if progress.stop_requested() {
                    return Err(Stopped::Interrupted);
                }
                let step = u64::from(epoch) * per_epoch + index as u64;
                let batch = batcher.training(chunk, step);
                let outputs =
                    executor::forward(self.architecture, &weights, batch.images, Normalization::Batch(None));
                let loss = loss::against_targets(outputs, &batch.targets, settings.label_smoothing);
                let value = loss::value(&loss);
                if !value.is_finite() {
                    return Err(Stopped::Diverged { epoch, loss: value });
                }
                sum += value;
                let gradients = GradientsParams::from_grads(loss.backward(), &weights.parameters);
                weights.parameters = optimizer.step(schedule.rate(step), weights.parameters, gradients);
                pruning.hold(&mut weights);
                if step.is_multiple_of(20) {
                    progress.report(stage, step, total, &format!("loss {value:.4}"));
                }
            }
            let mean = sum / per_epoch as f64;
            if mean > EXPLODED * guessing {
                return Err(Stopped::Diverged { epoch, loss: mean });
            }
        }
        progress.report(stage, total, total, "trained");
        Ok(weights)
    }
}
