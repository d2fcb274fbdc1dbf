//! The weights of a training, and the state that changes with them: the optimizer's state and, if the config
//! requests them, a moving average of the weights and the best weights so far.

use burn::optim::GradientsParams;
use burn::tensor::Device;

use crate::network::weights::Weights;
use crate::training::checkpoint::Checkpoint;
use crate::training::checkpoint_error::CheckpointError;
use crate::training::clipping;
use crate::training::optimizer::Optimizer;
use crate::training::patience::Patience;
use crate::training::schedule::Schedule;
use crate::training::settings::TrainingSettings;

/// Names of the parts in a checkpoint.
const WEIGHTS: &str = "weights";
const OPTIMIZER: &str = "optimizer";
const AVERAGE: &str = "average";
const PATIENCE: &str = "patience";
const BEST: &str = "best";

/// The state of a training after `step` steps.
pub(crate) struct Learner {
    /// Number of optimizer steps so far.
    pub(crate) step: u64,
    /// The weights that are being trained. They receive gradients.
    pub(crate) weights: Weights,
    optimizer: Optimizer,
    schedule: Schedule,
    clip_norm: Option<f64>,
    average: Option<Average>,
    patience: Option<Patience>,
    /// Weights of the best epoch so far. They are stored only if `patience` is set.
    best: Option<Weights>,
}

/// Exponential moving average of weights.
///
/// Source: B. Polyak and A. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J.
/// Control and Optimization 30, 1992. The decay in step `t` is `min(decay, (1 + t) / (10 + t))`, as in
/// TensorFlow's `ExponentialMovingAverage` with `num_updates`. With a constant decay, the average of a short
/// training would contain too much of the initial weights.
struct Average {
    decay: f64,
    weights: Weights,
}

impl Learner {
    /// Creates a learner before its first step, for a training on `examples` examples. `weights` must be on
    /// the device with autodiff.
    pub(crate) fn new(
        weights: Weights,
        settings: &TrainingSettings,
        examples: usize,
        device: &Device,
    ) -> Self {
        let average = settings.ema.map(|decay| Average { decay, weights: weights.detached() });
        Self {
            step: 0,
            optimizer: Optimizer::new(&settings.optimizer, &weights.parameters, device),
            schedule: settings.schedule(examples),
            clip_norm: settings.clip_norm,
            average,
            patience: settings.patience.map(Patience::new),
            best: None,
            weights,
        }
    }

    /// Returns the learning rate of the next step.
    pub(crate) fn rate(&self) -> f64 {
        self.schedule.rate(self.step)
    }

    /// Runs one optimizer step.
    pub(crate) fn advance(self, gradients: GradientsParams) -> Self {
        self.advance_and(gradients, |_| ())
    }

    /// Runs one optimizer step. `hold` modifies the weights before the moving average includes them.
    pub(crate) fn advance_and(mut self, gradients: GradientsParams, hold: impl FnOnce(&mut Weights)) -> Self {
        let gradients = match self.clip_norm {
            Some(limit) => clipping::clip(gradients, &self.weights.parameters, limit),
            None => gradients,
        };
        let rate = self.rate();
        self.weights.parameters = self.optimizer.step(rate, self.weights.parameters, gradients);
        hold(&mut self.weights);
        self.step += 1;
        if let Some(Average { decay, weights }) = &mut self.average {
            let steps = self.step as f64;
            let decay = decay.min((1.0 + steps) / (10.0 + steps));
            weights.parameters = weights.parameters.towards(&self.weights.detached().parameters, 1.0 - decay);
        }
        self
    }

    /// Whether the training needs the validation loss after each epoch.
    pub(crate) const fn watches(&self) -> bool {
        self.patience.is_some()
    }

    /// Records the validation loss of [`Learner::current`] after an epoch. The loss is `None` if it is not
    /// finite. Keeps the current weights if they are the best so far.
    pub(crate) fn look(&mut self, loss_nats: Option<f64>) {
        if self.patience.as_mut().is_some_and(|patience| patience.look(loss_nats)) {
            self.best = Some(self.current());
        }
    }

    /// Whether the training is over: either all steps are done, or `patience` ended it.
    pub(crate) fn is_over(&self) -> bool {
        self.step >= self.schedule.steps || self.patience.as_ref().is_some_and(Patience::is_over)
    }

    /// Returns the weights to evaluate now, without gradients: the moving average if there is one, and
    /// otherwise the weights themselves.
    pub(crate) fn current(&self) -> Weights {
        self.average.as_ref().map_or_else(|| self.weights.detached(), |average| average.weights.clone())
    }

    /// Returns the result of the training, without gradients: the weights of the best epoch if `patience`
    /// kept them, and otherwise the current weights.
    pub(crate) fn result(&self) -> Weights {
        self.best.clone().unwrap_or_else(|| self.current())
    }

    /// Returns all state that the training needs to resume.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let mut parts =
            vec![(WEIGHTS, self.weights.parameters.to_bytes()), (OPTIMIZER, self.optimizer.to_bytes())];
        parts.extend(self.average.as_ref().map(|average| (AVERAGE, average.weights.parameters.to_bytes())));
        if let Some(patience) = &self.patience {
            parts.push((PATIENCE, serde_json::to_vec(patience).expect("plain data")));
        }
        parts.extend(self.best.as_ref().map(|best| (BEST, best.parameters.to_bytes())));
        let parts = parts.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
        Checkpoint { step: self.step, parts }
    }

    /// Restores the state of a checkpoint into a learner with the same settings.
    ///
    /// # Errors
    /// [`CheckpointError`] when the checkpoint lacks a part or a part does not fit.
    pub(crate) fn restored(mut self, checkpoint: Checkpoint) -> Result<Self, CheckpointError> {
        let mut parts = checkpoint.parts;
        let mut take = |name: &'static str| parts.remove(name).ok_or(CheckpointError::MissingPart { name });
        self.step = checkpoint.step;
        self.weights.parameters = self.weights.parameters.loaded(take(WEIGHTS)?)?;
        self.optimizer = self.optimizer.loaded(take(OPTIMIZER)?)?;
        if let Some(average) = &mut self.average {
            average.weights.parameters = average.weights.parameters.clone().loaded(take(AVERAGE)?)?;
        }
        if self.patience.is_some() {
            self.patience = Some(serde_json::from_slice(&take(PATIENCE)?)?);
            // The checkpoint contains no best weights if no validation loss was finite so far.
            if let Ok(best) = take(BEST) {
                let mut weights = self.weights.detached();
                weights.parameters = weights.parameters.loaded(best)?;
                self.best = Some(weights);
            }
        }
        Ok(self)
    }
}

/// Reads the result of a finished training from its checkpoint. `like` has weights of the same shapes.
///
/// # Errors
/// [`CheckpointError`] when the checkpoint has no weights, or weights of other shapes.
pub(crate) fn result(mut like: Weights, checkpoint: Checkpoint) -> Result<Weights, CheckpointError> {
    let mut parts = checkpoint.parts;
    // The first part that exists is the one that `Learner::result` returns.
    let found = [BEST, AVERAGE, WEIGHTS].into_iter().find_map(|name| parts.remove(name));
    like.parameters = like.parameters.loaded(found.ok_or(CheckpointError::MissingPart { name: WEIGHTS })?)?;
    Ok(like)
}
