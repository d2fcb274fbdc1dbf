//! Trains one stand-alone network.

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use kiln_search::{EvalError, Progress};
use kiln_space::{Architecture, LayerId};

use crate::data::{Batch, Batcher, DataSet};
use crate::deploy::inference;
use crate::network::executor;
use crate::network::observer::Outputs;
use crate::network::parameters::Parameters;
use crate::network::plan::Plan;
use crate::network::weights::Weights;
use crate::training::distillation::feature_layer;
use crate::training::form::How;
use crate::training::learner::Learner;
use crate::training::loss;
use crate::training::pruning::Pruning;
use crate::training::settings::TrainingSettings;
use crate::training::state::{Kept, NetworkState};

/// A training counts as diverged if its mean loss exceeds the loss of guessing by this factor.
const EXPLODED: f64 = 20.0;

/// The reason why a training stopped early.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The user interrupted the training, or an error occurred that the network did not cause.
    Ended(EvalError),
    /// The loss is not finite, or exceeds the limit.
    Diverged { epoch: u32, loss: f64 },
}

impl From<EvalError> for Stopped {
    fn from(error: EvalError) -> Self {
        Self::Ended(error)
    }
}

/// A network, its data, and the settings of its training.
pub(crate) struct Training<'a> {
    pub(crate) architecture: &'a Architecture,
    pub(crate) data: &'a DataSet,
    pub(crate) examples: &'a [u32],
    pub(crate) settings: &'a TrainingSettings,
    pub(crate) seed: u64,
    /// Number of training images from which batch-norm statistics are computed when the network is evaluated
    /// after an epoch.
    pub(crate) calibration: usize,
    /// The device without autodiff. The training enables autodiff.
    pub(crate) device: &'a Device,
    /// Where the training differs from the usual one.
    pub(crate) how: How<'a>,
}

impl Training<'_> {
    /// Trains `weights` for the first `epochs` epochs of the schedule. `weights` must be on the device with
    /// autodiff. Returns the weights to evaluate, without gradients. An interrupted training resumes from its
    /// newest checkpoint in `kept`.
    ///
    /// # Errors
    /// [`Stopped`] when the user interrupts it, a checkpoint cannot be read or written, or the loss diverges.
    ///
    /// # Panics
    /// When the schedule has fewer than `epochs` epochs.
    pub(crate) fn run(
        &self,
        weights: Weights,
        epochs: u32,
        kept: &mut Kept,
        stage: &str,
        progress: &dyn Progress,
    ) -> Result<Weights, Stopped> {
        let settings = self.settings;
        let (per_epoch, of_step) = (settings.steps_per_epoch(self.examples.len()), settings.step_examples());
        let batcher = Batcher::new(self.data, self.device.clone().autodiff(), self.seed);
        let guessing = loss::of_guessing(self.data);
        assert!(
            epochs <= settings.epochs,
            "{epochs} epochs are more than the {} of the schedule",
            settings.epochs
        );
        let total = u64::from(epochs) * per_epoch;
        let fresh = NetworkState {
            learner: Learner::new(weights, settings, self.examples.len(), self.device),
            pruning: Pruning::new(self.architecture, settings.epochs, self.how.pruning),
            loss: 0.0,
        };
        let mut state = kept.restored(fresh, total)?;
        let mut order = (u64::MAX, Vec::new());
        while state.learner.step < total && !state.learner.is_over() {
            if progress.stop_requested() {
                kept.save(&state)?;
                return Err(EvalError::Interrupted.into());
            }
            let step = state.learner.step;
            let (epoch, index) = (step / per_epoch, (step % per_epoch) as usize);
            if order.0 != epoch {
                order = (epoch, batcher.shuffled(self.examples, epoch));
            }
            let epoch = epoch as u32;
            if index == 0 {
                state.pruning.begin(epoch, &mut state.learner.weights);
                state.loss = 0.0;
            }
            let from = index * of_step;
            let examples = &order.1[from..(from + of_step).min(order.1.len())];
            let (gradients, value) = self.gradients(&state.learner, &batcher, examples);
            if !value.is_finite() {
                return Err(Stopped::Diverged { epoch, loss: value });
            }
            state.loss += value;
            if step.is_multiple_of(20) {
                progress.report(stage, step, total, &format!("loss {value:.4}"));
            }
            state.pruning.observe(epoch, &state.learner.weights, &gradients);
            state.learner = state.learner.advance_and(gradients, |weights| {
                state.pruning.hold(epoch, weights);
                if let Some(form) = self.how.form {
                    form.hold(weights);
                }
            });
            if state.learner.step.is_multiple_of(per_epoch) {
                let mean = state.loss / per_epoch as f64;
                if mean > EXPLODED * guessing {
                    return Err(Stopped::Diverged { epoch, loss: mean });
                }
                if state.learner.watches() {
                    state.learner.look(self.validation_loss(&state.learner.current()));
                }
            }
            if state.learner.step.is_multiple_of(settings.checkpoint_steps) {
                kept.save(&state)?;
            }
        }
        kept.end(&state);
        progress.report(stage, total, total, "trained");
        Ok(state.learner.result())
    }

    /// Computes gradients and loss of one step, averaged over its examples.
    pub(crate) fn gradients(
        &self,
        learner: &Learner,
        batcher: &Batcher<'_>,
        examples: &[u32],
    ) -> (GradientsParams, f64) {
        let mut accumulator: GradientsAccumulator<Parameters> = GradientsAccumulator::new();
        let mut sum = 0.0;
        let epoch = learner.step / self.settings.steps_per_epoch(self.examples.len());
        let plan = match self.how.form {
            Some(form) => form.plan(epoch as u32, &learner.weights),
            None => Plan::training(self.architecture),
        };
        for (index, piece) in self.settings.batches(examples).enumerate() {
            let batch =
                batcher.training(piece, learner.step * self.settings.accumulate as u64 + index as u64);
            let weights = &learner.weights;
            let loss = self.loss(&plan, weights, batch);
            let share = piece.len() as f64 / examples.len() as f64;
            let scaled = if piece.len() == examples.len() { loss.clone() } else { loss.clone() * share };
            let gradients = GradientsParams::from_grads(scaled.backward(), &weights.parameters);
            accumulator.accumulate(&weights.parameters, gradients);
            // Reading the loss waits for the GPU, so it happens last.
            sum += loss::value(&loss) * share;
        }
        (accumulator.grads(), sum)
    }

    /// Computes the loss of a batch.
    fn loss(&self, plan: &Plan, weights: &Weights, batch: Batch) -> Tensor<1> {
        let Some(teacher) = self.how.teacher else {
            let outputs = executor::forward(plan, self.architecture, weights, batch.images, &mut ());
            return loss::against_targets(
                outputs,
                &batch.targets,
                self.settings.label_smoothing,
                &self.settings.class_weights,
            );
        };
        let (layer, mut features) = (feature_layer(self.architecture), None);
        let mut observer = Outputs(|id: LayerId, value: &Tensor<4>| {
            if Some(id) == layer {
                features = Some(value.clone().flatten::<2>(1, 3));
            }
        });
        let images = batch.images.clone();
        let outputs = executor::forward(plan, self.architecture, weights, images, &mut observer);
        teacher.loss(outputs, features, &batch, self.settings, self.data.is_regression())
    }

    /// Computes the loss on the validation split. Returns `None` if the loss is not finite.
    fn validation_loss(&self, weights: &Weights) -> Option<f64> {
        inference::validation_loss(self.architecture, weights, self.data, self.calibration, self.device)
    }
}
