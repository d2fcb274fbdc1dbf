//! Settings of the finish stage.

use kiln_space::{Settings, SettingsError};
use serde::{Deserialize, Serialize};

use crate::data::DataSet;
use crate::training::class_weights::ClassWeights;
use crate::training::clip_norm::ClipNorm;
use crate::training::optimizer_settings::OptimizerSettings;
use crate::training::settings::TrainingSettings;

/// `[finish]`, without the number of networks. What is not stated is as in `[evaluator]`.
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
    /// Not taken over from `[evaluator]`: the validation split is usually trained on here.
    patience: Option<u32>,
    /// How much each class counts in the loss.
    #[serde(default)]
    class_weights: ClassWeights,
    /// Steps between checkpoints.
    checkpoint_steps: Option<u64>,
    /// Training images that the batch-norm statistics of the finished network are taken from.
    #[serde(default = "calibration")]
    pub(super) calibration: usize,
    /// Whether the validation split, which has done its work, is trained on too.
    #[serde(default = "yes")]
    pub(super) train_on_validation: bool,
    #[serde(default = "onnx")]
    pub(super) formats: Vec<String>,
}

/// What the first weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// Those of the supernet.
    Inherit,
    /// New ones.
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
    /// Reads and checks the settings, and gives the training that they make of `inherited`, that of
    /// `[evaluator]`; `has_source` says whether there are shared weights. Classes are balanced over the
    /// training split, also where the validation split is trained on.
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
            let expected =
                "`train_on_validation = false` beside it: what is trained on cannot say when to stop";
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

    /// The part that trained weights depend on, as text.
    pub(super) fn identity(&self, training: &TrainingSettings) -> String {
        let calibration = training.patience.map(|_| self.calibration);
        let deciding = (training, self.mode, self.train_on_validation, calibration);
        serde_json::to_string(&deciding).expect("settings are plain data")
    }
}
