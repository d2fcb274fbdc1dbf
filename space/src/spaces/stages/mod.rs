//! The space that a config describes: a stem, stages of blocks, and a head. The config lists every option.

mod block;
mod compression;
mod ends;
mod plan;
mod settings;

use std::sync::Arc;

use self::block::Net;
use self::plan::Plan;
use self::settings::StagesSettings;
use crate::{
    Architecture, Decision, Genotype, ParameterSpec, Samples, SearchSpace, Settings, SettingsError,
    SpaceError, SpacePart, TASK_KEYS, Task, variation,
};

/// The space that a config describes: a stem, stages of blocks, and a head. The config lists every option.
///
/// ```toml
/// [space]
/// kind = "stages"
/// stem = { width = [8, 16], kernel = 3, stride = 1, activation = "relu" }
/// head = { width = [0, 64], activation = "relu" }  # 1x1 convolution before the pooling; 0 omits it
/// [[space.stages]]
/// blocks = ["conv", "separable", "mbconv", "residual", "identity"]
/// depth = [1, 2, 3]
/// width = [16, 24, 32]
/// kernel = [3, 5]
/// activation = ["relu", "hard_swish"]
/// stride = 2
/// expansion = [2, 4]                               # mbconv only
/// squeeze_excitation = [false, true]               # mbconv only
/// precision = ["f32", "int8"]                      # also in stem and head
/// sparsity = [0, 0.5, "2:4"]                       # also in stem and head
/// ```
///
/// Each key takes one value or a list. A list of several values is a decision.
/// - Width, stride and depth are decided once per stage, because residual sums need blocks of equal width.
/// - Kind, kernel, activation, expansion and squeeze-and-excitation are decided for each block.
/// - The first block of a stage changes stride and width, so it is never `identity`. In canonical genotypes,
///   identity blocks come last.
/// - Precision is the number format of all weights and activations of a part (stem, stage or head). The
///   network's input has the same format as the stem.
/// - Sparsity is the fraction of zeros among the weights of fully connected layers and of convolutions that
///   sum over channels. Depthwise convolutions and squeeze-and-excitation stay dense. Zeros may be anywhere
///   in a layer. With a pattern `"n:m"`, `n` of every `m` neighboring input channels are kept.
///
/// Layers with the same stage, block, kind and role share their weights. Narrower layers read the first
/// channels, and smaller kernels read the center of the shared kernel.
///
/// Defaults:
/// - Stem: width 16, kernel 3, stride 1, `relu`.
/// - Head: no convolution.
/// - Stage: depth 1, kernel 3, stride 1, `relu`, expansion 4, no squeeze-and-excitation.
/// - Everywhere: `f32`, no zeros.
///
/// For sequences (inputs with one row), windows cover one row and strides apply only along that row.
#[derive(Clone, Debug)]
pub struct Stages {
    task: Task,
    decisions: Vec<Decision>,
    plan: Plan,
}

/// The registry entry of this space.
pub(crate) const PART: SpacePart =
    SpacePart::new("stages of convolution blocks, described in the config", build)
        .with_keys(&[TASK_KEYS, KEYS])
        .tested_with(SAMPLES);

/// Descriptions of the settings that only this space has.
const KEYS: &str = r##"
stem = { "$ref" = "#/$defs/stem", description = "The first convolution." }
head = { "$ref" = "#/$defs/head", description = "What stands before the classifier." }

[stages]
type = "array"
items = { "$ref" = "#/$defs/stage" }
minItems = 1
description = "Stages of blocks, each a table `[[space.stages]]`."
"##;

/// Sample settings with which tests check the laws.
const SAMPLES: Samples = &[
    include_str!("samples/plain.json"),
    include_str!("samples/wide.json"),
    include_str!("samples/compressed.json"),
    include_str!("samples/deep.json"),
];

/// Builds the space from its settings.
fn build(settings: &Settings, data: Option<Task>) -> Result<Arc<dyn SearchSpace>, SettingsError> {
    Ok(Arc::new(Stages::from_settings(settings, data)?))
}

impl Stages {
    /// Builds the space from its settings, for the task of the data.
    ///
    /// # Errors
    /// [`SettingsError`] that names the key.
    pub fn from_settings(settings: &Settings, data: Option<Task>) -> Result<Self, SettingsError> {
        let (own, task) = StagesSettings::read(settings, data)?;
        let mut decisions = Vec::new();
        let plan = Plan::new(&own, &mut decisions);
        StagesSettings::check_size(settings, decisions.len())?;
        Ok(Self { task, decisions, plan })
    }
}

impl SearchSpace for Stages {
    fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    fn decode(&self, genotype: &Genotype) -> Result<Architecture, SpaceError> {
        variation::check(&self.decisions, genotype)?;
        let genes = genotype.genes();
        let mut net = Net::new(self.task.input);
        let mut x = self.plan.stem(genes).append(&mut net)?;
        for (s, stage) in self.plan.stages.iter().enumerate() {
            net.compress(stage.compression(genes));
            for (b, block) in stage.blocks(genes).enumerate() {
                x = block.append(&mut net, &format!("stage{s}.block{b}"), x)?;
            }
        }
        self.plan.head(genes).append(&mut net, x, self.task.outputs)?;
        net.builder.finish()
    }

    fn canonical(&self, genotype: &Genotype) -> Genotype {
        if variation::check(&self.decisions, genotype).is_err() {
            return genotype.clone();
        }
        let mut genes = genotype.genes().to_vec();
        for stage in &self.plan.stages {
            stage.gather_identities(&mut genes);
        }
        variation::normalize(&self.decisions, &genes)
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        self.plan.parameters(self.task)
    }
}

#[cfg(test)]
mod tests;
