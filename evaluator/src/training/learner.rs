//! The weights of a training, and what changes with them: the state of the optimizer and, if the config asks
//! for them, a moving average of the weights and the best weights so far.

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

/// Names of the parts of a checkpoint.
const WEIGHTS: &str = "weights";
const OPTIMIZER: &str = "optimizer";
const AVERAGE: &str = "average";
const PATIENCE: &str = "patience";
const BEST: &str = "best";

/// State of a training after `step` steps.
pub(crate) struct Learner {
    /// Steps of the optimizer so far.
    pub(crate) step: u64,
    /// The weights that are trained. They gather gradients.
    pub(crate) weights: Weights,
    optimizer: Optimizer,
    schedule: Schedule,
    clip_norm: Option<f64>,
    average: Option<Average>,
    patience: Option<Patience>,
    /// Weights of the best epoch so far; only with `patience`.
    best: Option<Weights>,
}

/// Exponential moving average of weights.
///
/// Source: B. Polyak and A. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J.
/// Control and Optimization 30, 1992. The decay of step `t` is `min(decay, (1 + t) / (10 + t))`, as in
/// TensorFlow's `ExponentialMovingAverage` with `num_updates`. A short training would otherwise keep too much
/// of its initial weights.
struct Average {
    decay: f64,
    weights: Weights,
}

impl Learner {
    /// A learner before its first step, for a training on `examples` examples. `weights` must be on the
    /// device with autodiff.
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

    /// One step of the optimizer.
    pub(crate) fn advance(self, gradients: GradientsParams) -> Self {
        self.advance_and(gradients, |_| ())
    }

    /// One step of the optimizer. `hold` corrects the weights before the moving average includes them.
    pub(crate) fn advance_and(mut self, gradients: GradientsParams, hold: impl FnOnce(&mut Weights)) -> Self {
        let gradients = match self.clip_norm {
            Some(limit) => clipping::clip(gradients, &self.weights.parameters, limit),
            None => gradients,
        };
        let rate = self.schedule.rate(self.step);
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

    /// Whether the training needs the validation loss of each epoch.
    pub(crate) const fn watches(&self) -> bool {
        self.patience.is_some()
    }

    /// Takes the validation loss of [`Learner::current`] after an epoch; `None` if it is not finite. Keeps
    /// these weights if they are the best so far.
    pub(crate) fn look(&mut self, loss_nats: Option<f64>) {
        if self.patience.as_mut().is_some_and(|patience| patience.look(loss_nats)) {
            self.best = Some(self.current());
        }
    }

    /// Whether the training is over: all steps are done, or patience has run out.
    pub(crate) fn is_over(&self) -> bool {
        self.step >= self.schedule.steps || self.patience.as_ref().is_some_and(Patience::is_over)
    }

    /// The weights to judge now, without gradients: the moving average if there is one.
    pub(crate) fn current(&self) -> Weights {
        self.average.as_ref().map_or_else(|| self.weights.detached(), |average| average.weights.clone())
    }

    /// The result of the training, without gradients: the weights of the best epoch if patience kept any.
    pub(crate) fn result(&self) -> Weights {
        self.best.clone().unwrap_or_else(|| self.current())
    }

    /// Everything that the training needs to go on.
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

    /// Puts the state of a checkpoint into a learner with the same settings.
    ///
    /// # Errors
    /// [`CheckpointError`] when a part is missing or does not fit.
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
            // A training without a finite validation loss so far has no best weights.
            if let Ok(best) = take(BEST) {
                let mut weights = self.weights.detached();
                weights.parameters = weights.parameters.loaded(best)?;
                self.best = Some(weights);
            }
        }
        Ok(self)
    }
}

/// The result of a finished training, read from its checkpoint into weights of the same shapes.
///
/// # Errors
/// [`CheckpointError`] when it has no weights, or weights of other shapes.
pub(crate) fn result(mut like: Weights, checkpoint: Checkpoint) -> Result<Weights, CheckpointError> {
    let mut parts = checkpoint.parts;
    // The first part that exists is what `Learner::result` gives.
    let found = [BEST, AVERAGE, WEIGHTS].into_iter().find_map(|name| parts.remove(name));
    like.parameters = like.parameters.loaded(found.ok_or(CheckpointError::MissingPart { name: WEIGHTS })?)?;
    Ok(like)
}
