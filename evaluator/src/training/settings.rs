//! The settings of a network's training. Evaluators and the finish stage share them.

use kiln_space::{Settings, SettingsError};
use serde::Serialize;

use crate::training::class_weights::ClassWeights;
use crate::training::optimizer_settings::OptimizerSettings;
use crate::training::schedule::Schedule;

/// The settings of a network's training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TrainingSettings {
    pub(crate) epochs: u32,
    pub(crate) batch: usize,
    pub(crate) optimizer: OptimizerSettings,
    pub(crate) warmup_epochs: u32,
    pub(crate) label_smoothing: f64,
    /// Number of batches in one optimizer step.
    pub(crate) accumulate: usize,
    /// Largest norm of all gradients together, or `None` for no limit.
    pub(crate) clip_norm: Option<f64>,
    /// Decay of a moving average of the weights. The average is evaluated and exported instead of the
    /// weights.
    pub(crate) ema: Option<f64>,
    /// Number of epochs in a row without improvement on the validation split after which the training ends.
    pub(crate) patience: Option<u32>,
    /// Weight of each class in the loss. Fingerprints and identities omit equal weights.
    #[serde(skip_serializing_if = "ClassWeights::is_equal")]
    pub(crate) class_weights: ClassWeights,
    /// Steps between checkpoints. Outcomes do not depend on this number, so fingerprints and identities omit
    /// it.
    #[serde(skip_serializing)]
    pub(crate) checkpoint_steps: u64,
}

/// Default number of batches in each step.
pub(crate) const fn accumulate() -> usize {
    1
}

/// Default number of steps between checkpoints.
pub(crate) const fn checkpoint_steps() -> u64 {
    200
}

impl TrainingSettings {
    /// Schema of the settings that all evaluators with a training share.
    pub(crate) const KEYS: &str = include_str!("keys.toml");

    /// Settings of a training without any optional features.
    pub(crate) const fn plain(epochs: u32, batch: usize, optimizer: OptimizerSettings) -> Self {
        Self {
            epochs,
            batch,
            optimizer,
            warmup_epochs: 0,
            label_smoothing: 0.0,
            accumulate: accumulate(),
            clip_norm: None,
            ema: None,
            patience: None,
            class_weights: ClassWeights::Unstated,
            checkpoint_steps: checkpoint_steps(),
        }
    }

    /// Checks that all values are in range.
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
        if self.accumulate == 0 || self.accumulate > 1024 {
            let key = settings.key("accumulate");
            return Err(SettingsError::value(key, self.accumulate, "between 1 and 1024"));
        }
        if let Some(norm) = self.clip_norm.filter(|norm| !(*norm > 0.0 && norm.is_finite())) {
            return Err(SettingsError::value(settings.key("clip_norm"), norm, "more than 0, or `false`"));
        }
        if let Some(decay) = self.ema.filter(|decay| !(*decay > 0.0 && *decay < 1.0)) {
            return Err(SettingsError::value(settings.key("ema"), decay, "more than 0, less than 1"));
        }
        if self.patience == Some(0) {
            return Err(SettingsError::value(settings.key("patience"), 0, "at least 1"));
        }
        if self.checkpoint_steps == 0 {
            return Err(SettingsError::value(settings.key("checkpoint_steps"), 0, "at least 1"));
        }
        self.optimizer.check(settings)
    }

    /// Lists the optional settings in use, each after a comma, for model cards.
    pub(crate) fn describe_options(&self) -> String {
        let parts = [
            (self.accumulate > 1).then(|| format!(", {} batches a step", self.accumulate)),
            self.clip_norm.map(|norm| format!(", gradients clipped to norm {norm}")),
            self.ema.map(|decay| format!(", weights averaged with decay {decay}")),
            self.patience.map(|epochs| format!(", at most {epochs} epochs without progress")),
            self.class_weights.each().map(|_| ", classes weighted in the loss".to_owned()),
        ];
        parts.into_iter().flatten().collect()
    }

    /// Number of examples in one optimizer step.
    pub(crate) const fn step_examples(&self) -> usize {
        self.batch * self.accumulate
    }

    /// Splits the examples of a step into batches of similar size.
    pub(crate) fn batches<'a>(&self, examples: &'a [u32]) -> impl Iterator<Item = &'a [u32]> + use<'a> {
        examples.chunks(examples.len().div_ceil(self.accumulate).max(1))
    }

    /// Number of steps in one epoch over `examples` examples. An incomplete last step is omitted, unless it
    /// is the only step.
    pub(crate) const fn steps_per_epoch(&self, examples: usize) -> u64 {
        let steps = examples / self.step_examples();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_cut_into_batches_of_similar_size() {
        let plain = TrainingSettings::plain(2, 4, OptimizerSettings::default());
        let settings = TrainingSettings { accumulate: 3, ..plain };
        let sizes = |count: u32| -> Vec<usize> {
            let examples: Vec<u32> = (0..count).collect();
            settings.batches(&examples).map(<[u32]>::len).collect()
        };
        assert_eq!(sizes(12), [4, 4, 4]);
        assert_eq!(sizes(7), [3, 3, 1]);
        assert_eq!(sizes(1), [1]);
        assert_eq!([0, 11, 12, 30].map(|count| settings.steps_per_epoch(count)), [1, 1, 1, 2]);
        assert_eq!(settings.schedule(30).steps, 4);
    }
}
