//! Settings of the finish stage.

use kiln_space::{Settings, SettingsError};
use serde::{Deserialize, Serialize};

use crate::data::DataSet;
use crate::training::class_weights::ClassWeights;
use crate::training::clip_norm::ClipNorm;
use crate::training::optimizer_settings::OptimizerSettings;
use crate::training::settings::TrainingSettings;

/// The table `[finish]`, without the number of networks. Most settings default to those of `[evaluator]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FinishSettings {
    pub(super) mode: Option<Mode>,
    epochs: Option<u32>,
    batch: Option<usize>,
    optimizer: Option<OptimizerSettings>,
    warmup_epochs: Option<u32>,
    label_smoothing: Option<f64>,
    accumulate: Option<usize>,
    #[serde(default)]
    clip_norm: ClipNorm,
    ema: Option<f64>,
    /// Not inherited from `[evaluator]`: finishing usually trains on the validation split too, but patience
    /// needs that split to monitor the loss.
    patience: Option<u32>,
    /// Weight of each class in the loss.
    #[serde(default)]
    class_weights: ClassWeights,
    /// Steps between checkpoints.
    checkpoint_steps: Option<u64>,
    /// Number of training images from which the finished network's batch-norm statistics are computed.
    #[serde(default = "calibration")]
    pub(super) calibration: usize,
    /// Whether to train on the validation split too. The search is over, so no evaluation needs this split
    /// any more.
    #[serde(default = "yes")]
    pub(super) train_on_validation: bool,
    #[serde(default = "onnx")]
    pub(super) formats: Vec<String>,
    /// Recipes by which each finished network is compressed.
    #[serde(default)]
    pub(super) recipes: Vec<String>,
}

/// Source of the initial weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// Copy them from the supernet.
    Inherit,
    /// Draw new weights.
    Scratch,
}

const fn calibration() -> usize {
    2048
}
const fn yes() -> bool {
    true
}
fn onnx() -> Vec<String> {
    vec!["onnx".to_owned()]
}

impl FinishSettings {
    /// Reads and checks the settings, and returns the settings of the training. `inherited` contains the
    /// training settings of `[evaluator]`. `has_source` states whether there are shared weights. Balanced
    /// class weights are computed from the training split only, even if finishing also trains on the
    /// validation split.
    pub(super) fn read(
        settings: &Settings,
        inherited: &TrainingSettings,
        has_source: bool,
        data: &DataSet,
    ) -> Result<(Self, TrainingSettings), SettingsError> {
        let read: Self = settings.read()?;
        let training = TrainingSettings {
            epochs: read.epochs.unwrap_or(inherited.epochs),
            batch: read.batch.unwrap_or(inherited.batch),
            optimizer: read.optimizer.unwrap_or(inherited.optimizer),
            warmup_epochs: read.warmup_epochs.unwrap_or(0),
            label_smoothing: read.label_smoothing.unwrap_or(inherited.label_smoothing),
            accumulate: read.accumulate.unwrap_or(inherited.accumulate),
            clip_norm: read.clip_norm.or(inherited.clip_norm),
            ema: read.ema.or(inherited.ema),
            patience: read.patience,
            class_weights: read.class_weights.resolved(settings, data)?.or(&inherited.class_weights),
            checkpoint_steps: read.checkpoint_steps.unwrap_or(inherited.checkpoint_steps),
        };
        training.check(settings)?;
        if read.patience.is_some() && read.train_on_validation {
            let expected = "`train_on_validation = false` beside it: a split that is trained on cannot tell \
                            when to stop";
            return Err(SettingsError::value(settings.key("patience"), "it alone", expected));
        }
        if read.mode == Some(Mode::Inherit) && !has_source {
            let expected = "`scratch`: this evaluator has no shared weights to inherit";
            return Err(SettingsError::value(settings.key("mode"), "`inherit`", expected));
        }
        if read.calibration < 2 {
            return Err(SettingsError::value(settings.key("calibration"), read.calibration, "at least 2"));
        }
        Ok((read, training))
    }

    /// Returns a text with every setting that the trained weights depend on.
    pub(super) fn identity(&self, training: &TrainingSettings) -> String {
        let calibration = training.patience.map(|_| self.calibration);
        let deciding = (training, self.mode, self.train_on_validation, calibration);
        serde_json::to_string(&deciding).expect("settings are plain data")
    }
}
