//! The settings of the stage space, and their checks.

use std::fmt;

use serde::Deserialize;

use super::compression::{self, Zeros};
use crate::{ActivationKind, Choice, NumberFormat, Options, Settings, SettingsError, Shape, Sparsity, Task};

/// Maximum number of decisions of a space.
const DECISIONS_MAX: usize = 1_000;
/// Maximum number of blocks in a stage.
const DEPTH_MAX: usize = 100;
/// Maximum number of stages.
const STAGES_MAX: usize = 32;
const WIDTH_MAX: usize = 16_384;
const EXPANSION_MAX: usize = 32;
const KERNEL_MAX: usize = 15;
const STRIDE_MAX: usize = 4;

/// What a block computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BlockKind {
    /// Convolution.
    Conv,
    /// Depthwise convolution, then a 1x1 convolution.
    Separable,
    /// Inverted residual.
    Mbconv,
    /// Two convolutions with a shortcut.
    Residual,
    /// Returns its input unchanged.
    Identity,
}

impl fmt::Display for BlockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conv => "conv",
            Self::Separable => "separable",
            Self::Mbconv => "mbconv",
            Self::Residual => "residual",
            Self::Identity => "identity",
        })
    }
}

impl From<BlockKind> for Choice {
    fn from(kind: BlockKind) -> Self {
        Self::Text(kind.to_string())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StagesSettings {
    pub(super) input: Option<Shape>,
    pub(super) outputs: Option<usize>,
    #[serde(default)]
    pub(super) stem: StemSettings,
    #[serde(default)]
    pub(super) head: HeadSettings,
    pub(super) stages: Vec<StageSettings>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StemSettings {
    pub(super) width: Options<usize>,
    pub(super) kernel: Options<usize>,
    pub(super) stride: Options<usize>,
    pub(super) activation: Options<ActivationKind>,
    pub(super) precision: Options<NumberFormat>,
    pub(super) sparsity: Options<Zeros>,
}

impl Default for StemSettings {
    fn default() -> Self {
        Self {
            width: 16.into(),
            kernel: 3.into(),
            stride: 1.into(),
            activation: relu(),
            precision: single(),
            sparsity: dense(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HeadSettings {
    pub(super) width: Options<usize>,
    pub(super) activation: Options<ActivationKind>,
    pub(super) precision: Options<NumberFormat>,
    pub(super) sparsity: Options<Zeros>,
}

impl Default for HeadSettings {
    fn default() -> Self {
        Self { width: 0.into(), activation: relu(), precision: single(), sparsity: dense() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StageSettings {
    pub(super) blocks: Options<BlockKind>,
    pub(super) width: Options<usize>,
    #[serde(default = "one")]
    pub(super) depth: Options<usize>,
    #[serde(default = "three")]
    pub(super) kernel: Options<usize>,
    #[serde(default = "relu")]
    pub(super) activation: Options<ActivationKind>,
    #[serde(default = "one")]
    pub(super) stride: Options<usize>,
    /// Expansion of inverted residuals; 4 by default.
    pub(super) expansion: Option<Options<usize>>,
    /// Whether inverted residuals have squeeze-and-excitation; `false` by default.
    pub(super) squeeze_excitation: Option<Options<bool>>,
    #[serde(default = "single")]
    pub(super) precision: Options<NumberFormat>,
    #[serde(default = "dense")]
    pub(super) sparsity: Options<Zeros>,
}

fn one() -> Options<usize> {
    1.into()
}

fn three() -> Options<usize> {
    3.into()
}

fn relu() -> Options<ActivationKind> {
    ActivationKind::Relu.into()
}

fn single() -> Options<NumberFormat> {
    NumberFormat::F32.into()
}

fn dense() -> Options<Zeros> {
    Zeros(Sparsity::Dense).into()
}

impl StagesSettings {
    /// Reads and checks the settings.
    pub(super) fn read(settings: &Settings, data: Option<Task>) -> Result<(Self, Task), SettingsError> {
        let own: Self = settings.read()?;
        let task = Task::resolve(data, settings, own.input, own.outputs)?;
        own.stem.check(settings)?;
        let widths = Range(0, WIDTH_MAX);
        own.head.width.check(settings, "head.width", "0 (no convolution) to 16384", |w| widths.holds(*w))?;
        own.head.activation.check(settings, "head.activation", "an activation", |_| true)?;
        if own.stages.is_empty() || own.stages.len() > STAGES_MAX {
            let found = format!("{} stages", own.stages.len());
            return Err(SettingsError::value(settings.key("stages"), found, "1 to 32 stages"));
        }
        for (index, stage) in own.stages.iter().enumerate() {
            stage.check(settings, index)?;
        }
        own.check_strides(settings, task)?;
        own.check_compression(settings, task)?;
        Ok((own, task))
    }

    fn check_compression(&self, settings: &Settings, task: Task) -> Result<(), SettingsError> {
        let narrowest = |widths: &Options<usize>| widths.0.iter().copied().min().unwrap_or(1);
        let StemSettings { precision, sparsity, width, .. } = &self.stem;
        compression::check(settings, "stem", precision, sparsity, task.input.channels)?;
        let mut inputs = narrowest(width);
        for (index, StageSettings { precision, sparsity, width, .. }) in self.stages.iter().enumerate() {
            compression::check(settings, &format!("stages.{index}"), precision, sparsity, inputs)?;
            inputs = narrowest(width);
        }
        compression::check(settings, "head", &self.head.precision, &self.head.sparsity, inputs)
    }

    /// Refuses strides that could shrink the feature map below one position.
    fn check_strides(&self, settings: &Settings, task: Task) -> Result<(), SettingsError> {
        let stem = ("stem.stride".to_owned(), &self.stem.stride);
        let stages =
            self.stages.iter().enumerate().map(|(i, stage)| (format!("stages.{i}.stride"), &stage.stride));
        let mut positions = task.input.height.max(task.input.width);
        for (key, strides) in std::iter::once(stem).chain(stages) {
            let stride = strides.0.iter().copied().max().unwrap_or(1);
            if positions < stride {
                let found =
                    format!("`{stride}`, where the map may have no more than {positions} rows or columns");
                return Err(SettingsError::value(
                    settings.key(&key),
                    found,
                    "a stride that fits into the map",
                ));
            }
            positions = positions.div_ceil(stride);
        }
        Ok(())
    }

    /// Refuses spaces with too many decisions.
    pub(super) fn check_size(settings: &Settings, decisions: usize) -> Result<(), SettingsError> {
        if decisions > DECISIONS_MAX {
            let found = format!("{decisions} decisions in all stages");
            return Err(SettingsError::value(
                settings.key("stages"),
                found,
                "at most 1000: fewer blocks or lists",
            ));
        }
        Ok(())
    }
}

impl StemSettings {
    fn check(&self, settings: &Settings) -> Result<(), SettingsError> {
        self.width.check(settings, "stem.width", "1 to 16384", |w| Range(1, WIDTH_MAX).holds(*w))?;
        self.kernel.check(settings, "stem.kernel", ODD, |k| is_kernel(*k))?;
        self.stride.check(settings, "stem.stride", "1 to 4", |s| Range(1, STRIDE_MAX).holds(*s))?;
        self.activation.check(settings, "stem.activation", "an activation", |_| true)
    }
}

impl StageSettings {
    fn check(&self, settings: &Settings, index: usize) -> Result<(), SettingsError> {
        let key = |name: &str| format!("stages.{index}.{name}");
        self.blocks.check(settings, &key("blocks"), "a kind of block", |_| true)?;
        if self.blocks.0 == [BlockKind::Identity] {
            let expected = "a kind besides `identity`, for the first block of the stage";
            return Err(SettingsError::value(settings.key(&key("blocks")), "`identity` alone", expected));
        }
        self.width.check(settings, &key("width"), "1 to 16384", |w| Range(1, WIDTH_MAX).holds(*w))?;
        self.depth.check(settings, &key("depth"), "1 to 100", |d| Range(1, DEPTH_MAX).holds(*d))?;
        self.kernel.check(settings, &key("kernel"), ODD, |k| is_kernel(*k))?;
        self.activation.check(settings, &key("activation"), "an activation", |_| true)?;
        self.stride.check(settings, &key("stride"), "1 to 4", |s| Range(1, STRIDE_MAX).holds(*s))?;
        if let Some(expansion) = &self.expansion {
            self.check_mbconv(settings, &key("expansion"))?;
            expansion.check(settings, &key("expansion"), "1 to 32", |e| Range(1, EXPANSION_MAX).holds(*e))?;
        }
        if let Some(squeeze) = &self.squeeze_excitation {
            self.check_mbconv(settings, &key("squeeze_excitation"))?;
            squeeze.check(settings, &key("squeeze_excitation"), "`true` or `false`", |_| true)?;
        }
        Ok(())
    }

    fn check_mbconv(&self, settings: &Settings, key: &str) -> Result<(), SettingsError> {
        if self.blocks.0.contains(&BlockKind::Mbconv) {
            return Ok(());
        }
        Err(SettingsError::value(
            settings.key(key),
            "a value",
            "no such key where `blocks` offers no `mbconv`",
        ))
    }
}

const ODD: &str = "an odd number from 1 to 15";

const fn is_kernel(kernel: usize) -> bool {
    kernel % 2 == 1 && kernel <= KERNEL_MAX
}

/// Minimum and maximum of a size, both included.
struct Range(usize, usize);

impl Range {
    const fn holds(&self, size: usize) -> bool {
        size >= self.0 && size <= self.1
    }
}
