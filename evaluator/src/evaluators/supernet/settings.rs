//! Settings of the supernet evaluator.

use std::path::PathBuf;

use kiln_space::{Settings, SettingsError};
use serde::{Deserialize, Serialize};

use super::anchors::AnchorSettings;
use crate::data::DataSet;
use crate::evaluators::proxy::Proxy;
use crate::judging::metrics::Asked;
use crate::training::class_weights::ClassWeights;
use crate::training::clip_norm::ClipNorm;
use crate::training::optimizer_settings::OptimizerSettings;
use crate::training::settings::{TrainingSettings, accumulate, checkpoint_steps};

/// The table `[evaluator]` with `kind = "supernet"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SupernetSettings {
    // Outcomes do not depend on which device of a class is used, so fingerprints and identities leave it out.
    #[serde(skip_serializing)]
    pub(crate) device: Option<String>,
    #[serde(default, skip_serializing)]
    pub(crate) devices: Vec<String>,
    /// Run folder of a study whose trained supernet is used unchanged. The fingerprint includes a hash of its
    /// weights, but not the folder's path.
    #[serde(skip_serializing)]
    pub(crate) supernet: Option<PathBuf>,
    /// Number of passes over the training split.
    pub(crate) epochs: u32,
    #[serde(default = "batch")]
    pub(crate) batch: usize,
    #[serde(default)]
    pub(crate) optimizer: OptimizerSettings,
    #[serde(default)]
    pub(crate) warmup_epochs: u32,
    #[serde(default)]
    pub(crate) label_smoothing: f64,
    #[serde(default)]
    pub(crate) sampling: Sampling,
    /// Number of subnets that each step trains.
    #[serde(default = "subnets")]
    pub(crate) subnets: usize,
    /// Whether the other subnets learn from the largest subnet's outputs (sandwich sampling only).
    #[serde(default = "yes")]
    pub(crate) distillation: bool,
    /// Whether batch norms learn a scale and a shift while weights are shared. Without scale and shift, a
    /// layer reads inputs in the same range in all subnets.
    ///
    /// Source: the published code of X. Dong, Y. Yang, "NAS-Bench-201", ICLR 2020, whose `SearchCell` has
    /// `affine=False`.
    /// Differs: the source applies this to the batch norms of cells, Kiln to all batch norms.
    #[serde(default = "yes")]
    pub(crate) affine: bool,
    /// Whether subnets with 8-bit or 4-bit layers are trained on rounded weights and values. Otherwise they
    /// are only evaluated with them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) quantization_aware: bool,
    /// Number of training images from which a subnet's batch-norm statistics are computed.
    #[serde(default = "calibration")]
    pub(crate) calibration: usize,
    #[serde(default = "accumulate")]
    pub(crate) accumulate: usize,
    /// The largest norm of a gradient. If the config does not contain the setting, the task's default is
    /// filled in before the fingerprint is computed.
    #[serde(default)]
    pub(crate) clip_norm: ClipNorm,
    pub(crate) ema: Option<f64>,
    pub(crate) patience: Option<u32>,
    /// Weight of each class in the loss. The fingerprint includes the weights only if classes have different
    /// weights.
    #[serde(default, skip_serializing_if = "ClassWeights::is_equal")]
    pub(crate) class_weights: ClassWeights,
    /// Optional metrics that the config requests.
    #[serde(default, skip_serializing_if = "Asked::is_empty")]
    pub(crate) metrics: Asked,
    /// Settings of the anchors. These are networks that are trained on their own to correct all estimates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) anchors: Option<AnchorSettings>,
    /// The score that is returned if a strategy requests a proxy.
    #[serde(default)]
    pub(crate) proxy: Proxy,
    /// Steps between checkpoints.
    #[serde(default = "checkpoint_steps")]
    pub(crate) checkpoint_steps: u64,
}

/// How the supernet chooses the subnets of each training step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sampling {
    /// The largest, the smallest, and random subnets.
    ///
    /// Source: J. Yu and T. Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV
    /// 2019.
    #[default]
    Sandwich,
    /// Random subnets only.
    ///
    /// Source: Z. Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", ECCV
    /// 2020.
    SinglePath,
    /// Subnets in which every decision uses each of its options once before it repeats one. A decision with
    /// `n` options uses each of them once in `n` subnets. If a decision is inactive in a subnet, its option
    /// is not trained that time.
    ///
    /// Source: X. Chu, B. Zhang, R. Xu, "`FairNAS`: Rethinking Evaluation Fairness of Weight Sharing Neural
    /// Architecture Search", ICCV 2021. The fairness is strict if `subnets` is the number of options.
    Fair,
}

const fn batch() -> usize {
    64
}
const fn subnets() -> usize {
    4
}
const fn yes() -> bool {
    true
}
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}
const fn calibration() -> usize {
    512
}

impl SupernetSettings {
    /// Schema of the settings that only this evaluator has.
    pub(super) const KEYS: &str = include_str!("keys.toml");

    /// Reads and checks the settings.
    pub(crate) fn read(settings: &Settings) -> Result<Self, SettingsError> {
        let read: Self = settings.read()?;
        read.training().check(settings)?;
        let least = if read.sampling == Sampling::Sandwich { 2 } else { 1 };
        if read.subnets < least || read.subnets > 64 {
            let expected = format!("between {least} and 64");
            return Err(SettingsError::value(settings.key("subnets"), read.subnets, &expected));
        }
        if read.calibration < 2 {
            return Err(SettingsError::value(settings.key("calibration"), read.calibration, "at least 2"));
        }
        if let Some(anchors) = &read.anchors {
            anchors.check(settings)?;
        }
        Ok(read)
    }

    /// Resolves the settings that depend on data and objectives. Anchors inherit the supernet's class weights
    /// and metrics, and in regressions also the gradient clipping.
    pub(crate) fn of_data(
        mut self,
        settings: &Settings,
        data: &DataSet,
        objectives: &[String],
    ) -> Result<Self, SettingsError> {
        let is_regression = data.is_regression();
        self.class_weights = self.class_weights.resolved(settings, data)?;
        self.metrics = self.metrics.resolved(settings, objectives, data)?;
        self.clip_norm = self.clip_norm.resolved(is_regression);
        let norm = self.clip_norm.norm().filter(|_| is_regression);
        if let Some(anchors) = &mut self.anchors {
            anchors.clip_norm = norm;
            anchors.class_weights = self.class_weights.clone();
            anchors.metrics = self.metrics.clone();
        }
        Ok(self)
    }

    /// The settings that all trainings share.
    pub(crate) fn training(&self) -> TrainingSettings {
        TrainingSettings {
            epochs: self.epochs,
            batch: self.batch,
            optimizer: self.optimizer,
            warmup_epochs: self.warmup_epochs,
            label_smoothing: self.label_smoothing,
            accumulate: self.accumulate,
            clip_norm: self.clip_norm.norm(),
            ema: self.ema,
            patience: self.patience,
            class_weights: self.class_weights.clone(),
            checkpoint_steps: self.checkpoint_steps,
        }
    }

    /// Returns a text with every setting that the trained weights depend on.
    pub(crate) fn identity(&self) -> String {
        let mut deciding = self.clone();
        // Settings that do not affect the weights are set to a fixed value. `calibration` affects the weights
        // only if `patience` is set, because the supernet is then evaluated after each epoch.
        deciding.checkpoint_steps = 1;
        if deciding.patience.is_none() {
            deciding.calibration = 0;
        }
        deciding.proxy = Proxy::default();
        deciding.metrics = Asked::default();
        deciding.anchors = None;
        serde_json::to_string(&deciding).expect("settings are plain data")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(table: &Value) -> SupernetSettings {
        SupernetSettings::read(&Settings::new("evaluator", table.as_object().unwrap().clone())).unwrap()
    }

    #[test]
    fn training_on_rounded_values_is_part_of_the_identity_only_if_set() {
        let (without, with) =
            (read(&json!({ "epochs": 1 })), read(&json!({ "epochs": 1, "quantization_aware": true })));
        assert!(!without.identity().contains("quantization_aware"));
        assert!(with.identity().contains("quantization_aware"));
    }

    #[test]
    fn anchors_are_no_part_of_the_identity_and_serialized_only_if_set() {
        let without = read(&json!({ "epochs": 1 }));
        let with = read(&json!({ "epochs": 1, "anchors": { "networks": 8 } }));
        let written = |settings: &SupernetSettings| serde_json::to_string(settings).unwrap();
        assert!(!written(&without).contains("anchors") && written(&with).contains("anchors"));
        assert_eq!(without.identity(), with.identity());
    }
}
