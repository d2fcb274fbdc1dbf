//! Trains a finished network again, with the data, the optimizer and the loss of the finish stage.

use kiln_export::TrainedModel;
use kiln_search::EvalError;
use kiln_space::Architecture;

use super::draft::Draft;
use super::error::CompressionError;
use super::workshop::Workshop;
use crate::deploy::frozen::Frozen;
use crate::network::stand_alone::stand_alone;
use crate::network::weights::{Values, Weights};
use crate::training::form::{Form, How};
use crate::training::one_network::{Stopped, Training};
use crate::training::optimizer_settings::OptimizerSettings;
use crate::training::pruning::PruningRules;
use crate::training::settings::TrainingSettings;
use crate::training::state::Kept;

/// TOML texts that describe the settings of [`Retraining`].
pub(super) const KEYS: &str = r##"
[epochs]
"$ref" = "#/$defs/count"
description = "Passes over the training split; a third of the finish stage's unless stated, rounded up."

[learning-rate]
type = "number"
exclusiveMinimum = 0
description = "First learning rate; a stated share of the finish stage's rate by default."
"##;

/// Settings of a retraining.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Retraining {
    pub(super) epochs: Option<u32>,
    pub(super) learning_rate: Option<f64>,
    /// Share of the finish stage's learning rate, if the settings state none.
    pub(super) share_of_rate: f64,
    /// The largest norm of a gradient, if the finish stage states none.
    pub(super) clip_norm: Option<f64>,
}

impl Retraining {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`kiln_space::SettingsError`] for values that no training can have.
    pub(super) fn check(&self, settings: &kiln_space::Settings) -> Result<(), kiln_space::SettingsError> {
        let refuse = |key: &str, found: String, expected: &str| {
            Err(kiln_space::SettingsError::value(settings.key(key), found, expected))
        };
        if let Some(epochs) = self.epochs.filter(|epochs| !(1..=100_000).contains(epochs)) {
            return refuse("epochs", epochs.to_string(), "between 1 and 100000");
        }
        if let Some(rate) = self.learning_rate.filter(|rate| !(*rate > 0.0 && rate.is_finite())) {
            return refuse("learning_rate", rate.to_string(), "a positive number");
        }
        Ok(())
    }

    /// Number of passes over the training split, if the finish stage makes `epochs` passes.
    pub(super) fn passes(&self, epochs: u32) -> u32 {
        self.epochs.unwrap_or_else(|| epochs.div_ceil(3).max(1))
    }

    /// The settings of the training, from those of the finish stage. `patience` has no meaning here: a
    /// retraining is short, and the finish stage may train on the validation split.
    fn settings(&self, finish: &TrainingSettings) -> TrainingSettings {
        let rate = finish.optimizer.learning_rate * self.share_of_rate;
        let learning_rate = self.learning_rate.unwrap_or(rate);
        TrainingSettings {
            epochs: self.passes(finish.epochs),
            optimizer: OptimizerSettings { learning_rate, ..finish.optimizer },
            warmup_epochs: 0,
            patience: None,
            clip_norm: finish.clip_norm.or(self.clip_norm),
            ..finish.clone()
        }
    }

    /// Describes the training for model cards.
    pub(super) fn describe(&self, workshop: &Workshop<'_>) -> String {
        let settings = self.settings(workshop.training);
        let taught = workshop.teacher.as_ref().map_or("", |_| ", taught by another network");
        format!(
            "{} epochs more at learning rate {}{taught}",
            settings.epochs, settings.optimizer.learning_rate
        )
    }

    /// Trains `weights`, which must be on the device with autodiff, and returns the result without gradients.
    /// An interrupted training resumes from its newest checkpoint.
    ///
    /// # Errors
    /// [`CompressionError::Eval`] when the user stops the training, it diverges, or a checkpoint cannot be
    /// read or written.
    pub(super) fn train(
        &self,
        workshop: &Workshop<'_>,
        stage: usize,
        architecture: &Architecture,
        weights: Weights,
        (form, pruning): (Option<&dyn Form>, PruningRules),
    ) -> Result<Weights, CompressionError> {
        let settings = self.settings(workshop.training);
        let training = Training {
            architecture,
            data: workshop.data,
            examples: &workshop.examples,
            settings: &settings,
            seed: kiln_search::seed::derive(workshop.seed, "stage", &[&(stage as u64).to_le_bytes()]),
            calibration: workshop.calibration,
            device: workshop.device,
            how: How { form, teacher: workshop.teacher.as_ref(), pruning },
        };
        let identity = serde_json::to_string(&settings).expect("settings are plain data");
        let identity = format!("{}\nstage {stage}\n{identity}", workshop.identity);
        let mut kept = Kept::new(workshop.folder.join(""), &identity);
        let trained = training.run(weights, settings.epochs, &mut kept, workshop.recipe, workshop.progress);
        match trained {
            Ok(weights) => Ok(weights),
            Err(Stopped::Ended(error)) => Err(error.into()),
            Err(Stopped::Diverged { epoch, loss }) => {
                let what = "compressed network";
                Err(EvalError::Diverged { what, step: u64::from(epoch), loss }.into())
            }
        }
    }

    /// Trains a network in single precision, and returns it with new batch-norm statistics. `pruning` says
    /// how the zeros of sparse layers are chosen.
    ///
    /// # Errors
    /// The same as for [`Retraining::train`].
    pub(super) fn run(
        &self,
        workshop: &Workshop<'_>,
        draft: Draft,
        pruning: PruningRules,
    ) -> Result<Draft, CompressionError> {
        let (architecture, _) = stand_alone(&draft.model.architecture);
        let weights = Weights::from_values(trainable(&draft.model), &workshop.device.clone().autodiff());
        let trained = self.train(workshop, draft.stage, &architecture, weights, (None, pruning))?;
        let frozen =
            Frozen::new(&architecture, &trained, workshop.data, workshop.calibration, workshop.device);
        let frozen = frozen.ok_or(CompressionError::NotFinite { split: "training" })?;
        let mut draft = Draft { model: frozen.into_model(draft.model.card), stage: draft.stage };
        draft.describe(&self.describe(workshop));
        Ok(draft)
    }
}

/// Returns the arrays of a network that training changes: all except statistics.
pub(super) fn trainable(model: &TrainedModel) -> impl Iterator<Item = (String, Values)> + '_ {
    let is_statistic = |name: &str| matches!(name.rsplit_once('.'), Some((_, "mean" | "variance")));
    model
        .arrays
        .iter()
        .filter(move |(name, _)| !is_statistic(name))
        .map(|(name, array)| (name.clone(), Values { shape: array.shape.clone(), data: array.data.clone() }))
}
