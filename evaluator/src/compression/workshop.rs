//! What recipes work with: data, training settings, a teacher, and a folder for checkpoints.

use std::path::PathBuf;

use burn::tensor::Device;
use kiln_export::TrainedModel;
use kiln_search::{CostSet, EvalError, Progress};

use super::error::CompressionError;
use crate::data::{DataSet, Split};
use crate::deploy::frozen::Frozen;
use crate::deploy::inference;
use crate::judging::judgement::Judgement;
use crate::training::distillation::Distillation;
use crate::training::settings::TrainingSettings;

/// What the recipes of one combination work with.
pub(crate) struct Workshop<'a> {
    /// The combination, for messages.
    pub(crate) recipe: &'a str,
    pub(crate) data: &'a DataSet,
    /// Examples of retrainings: those that the finish stage trains on.
    pub(crate) examples: Vec<u32>,
    /// Settings of the finish stage.
    pub(crate) training: &'a TrainingSettings,
    /// Number of training images from which statistics and ranges are taken.
    pub(crate) calibration: usize,
    pub(crate) device: &'a Device,
    /// The cost models of the study.
    pub(crate) costs: &'a CostSet,
    /// Seed, derived from those of the study, the network and the combination.
    pub(crate) seed: u64,
    /// Text that describes everything that the compressed network depends on.
    pub(crate) identity: &'a str,
    /// Folder of the checkpoints.
    pub(crate) folder: PathBuf,
    pub(crate) teacher: Option<Distillation>,
    /// Whether a recipe of the combination trains, other than one that only teaches.
    pub(crate) others_train: bool,
    pub(crate) progress: &'a dyn Progress,
}

/// The error of a network: percentage of wrong predictions, or root mean squared error in standard
/// deviations.
pub(super) fn error_of(judged: &Judgement) -> f64 {
    match judged {
        Judgement::Classification { error_percent, .. } => *error_percent,
        Judgement::Regression { rmse_deviations, .. } => *rmse_deviations,
    }
}

impl Workshop<'_> {
    /// Returns the error of a network on the validation split, in the form in which it will run: percentage
    /// of wrong predictions, or root mean squared error in standard deviations. The network returns standard
    /// deviations.
    ///
    /// # Errors
    /// [`CompressionError::NotFinite`] if an output is not finite.
    pub(crate) fn validation_error(&self, model: &TrainedModel) -> Result<f64, CompressionError> {
        let frozen = Frozen::of(model, self.device);
        let judged = inference::judge(&frozen, self.data, Split::Validation, self.device);
        let judged = judged.ok_or(CompressionError::NotFinite { split: "validation" })?;
        Ok(error_of(&judged))
    }

    /// Returns how much worse an error is than that of the network before: in percentage points of accuracy,
    /// or in percent of the root mean squared error before.
    pub(crate) fn loss(&self, error: f64, before: f64) -> f64 {
        if self.data.is_regression() {
            100.0 * (error - before) / before.max(f64::MIN_POSITIVE)
        } else {
            error - before
        }
    }

    /// The unit of [`Workshop::loss`].
    pub(crate) fn unit_of_loss(&self) -> &'static str {
        if self.data.is_regression() { "percent of the error" } else { "points of accuracy" }
    }

    /// Ends the work if the user requested it.
    ///
    /// # Errors
    /// [`EvalError::Interrupted`].
    pub(crate) fn check_stop(&self) -> Result<(), CompressionError> {
        if self.progress.stop_requested() {
            return Err(EvalError::Interrupted.into());
        }
        Ok(())
    }
}
