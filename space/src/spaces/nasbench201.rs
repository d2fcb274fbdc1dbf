//! The search space of NAS-Bench-201. Each network repeats one cell between the fixed layers that the
//! published tables use.

mod cell;

use std::sync::Arc;

use serde::Deserialize;

use self::cell::{Cell, EDGES, EdgeOp};
use crate::{
    ActivationKind, Architecture, ArchitectureBuilder, Choice, Decision, Genotype, LayerId, Op,
    ParameterSpec, PoolKind, Samples, SearchSpace, Settings, SettingsError, Shape, SpaceError, SpacePart,
    TASK_KEYS, Task, variation,
};

/// The text form of an architecture.
const NOTATION: &str = "a cell `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|` with each op one of `none`, \
    `skip_connect`, `nor_conv_1x1`, `nor_conv_3x3`, `avg_pool_3x3`";

/// The settings of a NAS-Bench-201 space.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NasBench201Settings {
    input: Option<Shape>,
    outputs: Option<usize>,
    channels: usize,
    cells_per_stage: usize,
    merge_equal: bool,
}

impl Default for NasBench201Settings {
    fn default() -> Self {
        Self { input: None, outputs: None, channels: 16, cells_per_stage: 5, merge_equal: true }
    }
}

/// The NAS-Bench-201 space. A network repeats one cell in three stages. The cell has six edges, and each edge
/// has one of five operations.
///
/// Source: X. Dong, Y. Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search",
/// ICLR 2020, figure 1. Layers follow its published code (AutoDL-Projects, `TinyNetwork`, `InferCell`,
/// `ResNetBasicblock`).
///
/// For all 15,625 cells, parameters and multiply-accumulates equal the published `params` and `flops`. Like
/// [`crate::Counts`], the published tables count convolutions and the classifier. Both include convolutions
/// that do not affect the output.
///
/// Settings:
/// - `channels` (16): channels of the first stage.
/// - `cells_per_stage` (5): number of cells in each stage.
/// - `merge_equal` (true): whether to merge equivalent cells.
/// - `input` (`[3, 32, 32]`) and `outputs` (10): used only without data.
#[derive(Clone, Debug)]
pub struct NasBench201 {
    task: Task,
    channels: usize,
    cells_per_stage: usize,
    merge_equal: bool,
    decisions: Vec<Decision>,
}

/// The registry entry of this space.
pub(crate) const PART: SpacePart = SpacePart::new("the NAS-Bench-201 cell: 6 edges, 5 operations", build)
    .with_keys(&[TASK_KEYS, KEYS])
    .tested_with(SAMPLES);

/// Descriptions of the settings that only this space has.
const KEYS: &str = r##"
channels = { "$ref" = "#/$defs/count", description = "Channels of the first stage." }
cells_per_stage = { "$ref" = "#/$defs/count", description = "Cells of each stage.", default = 5 }

[merge_equal]
type = "boolean"
description = "Whether genotypes of the same network count as one."
default = true
"##;

/// Sample settings with which tests check the laws.
const SAMPLES: Samples = &[
    r#"{ "input": [1, 8, 8], "outputs": 10, "channels": 4, "cells_per_stage": 1 }"#,
    r#"{ "input": [3, 12, 16], "outputs": 3, "channels": 4, "cells_per_stage": 1 }"#,
    r#"{ "input": [1, 8, 8], "outputs": 10, "channels": 3, "cells_per_stage": 2, "merge_equal": false }"#,
    r#"{ "input": [3, 12, 16], "outputs": 3, "channels": 3, "cells_per_stage": 2, "merge_equal": false }"#,
];

/// Builds the space from its settings.
fn build(settings: &Settings, data: Option<Task>) -> Result<Arc<dyn SearchSpace>, SettingsError> {
    Ok(Arc::new(NasBench201::from_settings(settings, data)?))
}

impl Default for NasBench201 {
    /// Creates the space of the published CIFAR-10 table. Equivalent cells are merged.
    fn default() -> Self {
        let task = Task { input: Shape::new(3, 32, 32), outputs: 10 };
        Self::new(task, &NasBench201Settings::default())
    }
}

impl NasBench201 {
    /// Builds the space from its settings, for the task of the data. Without data, the default task is
    /// CIFAR-10.
    ///
    /// # Errors
    /// [`SettingsError`] that names the key.
    pub fn from_settings(settings: &Settings, data: Option<Task>) -> Result<Self, SettingsError> {
        let own: NasBench201Settings = settings.read()?;
        let input = own.input.or(data.is_none().then_some(Shape::new(3, 32, 32)));
        let outputs = own.outputs.or(data.is_none().then_some(10));
        let task = Task::resolve(data, settings, input, outputs)?;
        let refuse = |key: &str, found: String, expected| {
            Err(SettingsError::value(settings.key(key), found, expected))
        };
        let Shape { height, width, .. } = task.input;
        if !(height.is_multiple_of(4) && width.is_multiple_of(4)) {
            return refuse("input", format!("`{}`", task.input), "height and width that 4 divides");
        }
        if !(1..=1024).contains(&own.channels) {
            return refuse("channels", format!("`{}`", own.channels), "1 to 1024");
        }
        if !(1..=64).contains(&own.cells_per_stage) {
            return refuse("cells_per_stage", format!("`{}`", own.cells_per_stage), "1 to 64");
        }
        Ok(Self::new(task, &own))
    }

    fn new(task: Task, settings: &NasBench201Settings) -> Self {
        let decisions = EDGES
            .iter()
            .map(|(from, to)| Decision {
                name: format!("edge{from}_{to}"),
                options: EdgeOp::ALL.iter().map(|op| Choice::from(op.name())).collect(),
                active_if: None,
            })
            .collect();
        Self {
            task,
            channels: settings.channels,
            cells_per_stage: settings.cells_per_stage,
            merge_equal: settings.merge_equal,
            decisions,
        }
    }

    /// Parses a cell in the notation of the published tables, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`.
    ///
    /// # Errors
    /// [`SpaceError::Notation`] when the text does not follow the notation.
    ///
    /// # Example
    /// ```
    /// use kiln_space::spaces::NasBench201;
    /// let text = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|";
    /// let genotype = NasBench201::genotype_from_arch(text)?;
    /// assert_eq!(genotype.genes(), [3, 0, 4, 1, 2, 0]);
    /// assert_eq!(NasBench201::arch_string(&genotype)?, text);
    /// # Ok::<(), kiln_space::SpaceError>(())
    /// ```
    pub fn genotype_from_arch(text: &str) -> Result<Genotype, SpaceError> {
        let refuse = || SpaceError::Notation { found: text.to_owned(), expected: NOTATION };
        Cell::parse(text).map(Cell::genotype).ok_or_else(refuse)
    }

    /// Writes a cell in the notation of the published tables.
    ///
    /// # Errors
    /// [`SpaceError`] when the genotype does not belong to this space.
    pub fn arch_string(genotype: &Genotype) -> Result<String, SpaceError> {
        Ok(Cell::from_genotype(genotype)?.to_string())
    }

    /// Builds the network that repeats this cell.
    fn network(&self, cell: Cell) -> Result<Architecture, SpaceError> {
        let mut net = ArchitectureBuilder::new(self.task.input);
        let stem = net.conv("stem.conv", net.input(), self.channels, 3, 1, 1)?;
        let mut x = net.batch_norm("stem.bn", stem)?;
        for stage in 0..3 {
            let channels = self.channels << stage;
            if stage > 0 {
                x = reduction(&mut net, &format!("reduction{stage}"), x, channels)?;
            }
            for index in 0..self.cells_per_stage {
                x = append(&mut net, &format!("stage{stage}.cell{index}"), x, cell)?;
            }
        }
        x = net.batch_norm("last.bn", x)?;
        x = net.activation("last.relu", x, ActivationKind::Relu)?;
        x = net.global_pool("pool", x)?;
        net.linear("head", x, self.task.outputs)?;
        net.finish()
    }
}

impl SearchSpace for NasBench201 {
    fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    fn decode(&self, genotype: &Genotype) -> Result<Architecture, SpaceError> {
        variation::check(&self.decisions, genotype)?;
        self.network(Cell::from_genotype(genotype)?)
    }

    /// With `merge_equal`, returns the smallest cell that computes the same function with the same live and
    /// idle layers. Otherwise, returns the genotype unchanged, because the published tables contain a
    /// separate training of every cell.
    fn canonical(&self, genotype: &Genotype) -> Genotype {
        match Cell::from_genotype(genotype) {
            Ok(cell) if self.merge_equal => cell.canonical().genotype(),
            _ => genotype.clone(),
        }
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        let networks = [EdgeOp::Conv1x1, EdgeOp::Conv3x3]
            .map(|op| self.network(Cell([op; 6])).expect("sizes were checked with the settings"));
        ParameterSpec::covering(&networks)
    }
}

/// Appends a cell. Node 0 is the input; each later node sums its incoming edges. A skip connection adds no
/// layer.
fn append(
    net: &mut ArchitectureBuilder,
    prefix: &str,
    input: LayerId,
    cell: Cell,
) -> Result<LayerId, SpaceError> {
    let mut nodes = vec![input];
    for to in 1..4 {
        let mut terms = Vec::with_capacity(to);
        for (from, op) in cell.terms(to) {
            terms.push(edge(net, &format!("{prefix}.edge{from}_{to}"), nodes[from], op)?);
        }
        nodes.push(match terms.as_slice() {
            [term] => *term,
            _ => net.add(format!("{prefix}.node{to}"), Op::Add, &terms, None)?,
        });
    }
    Ok(nodes[3])
}

fn edge(net: &mut ArchitectureBuilder, name: &str, x: LayerId, op: EdgeOp) -> Result<LayerId, SpaceError> {
    let channels = net.shape(x).channels;
    match op {
        EdgeOp::None => net.add(format!("{name}.none"), Op::Zero { channels, stride: 1 }, &[x], None),
        EdgeOp::Skip => Ok(x),
        EdgeOp::Conv1x1 => relu_conv_bn(net, &format!("{name}.conv1x1"), x, channels, 1, 1),
        EdgeOp::Conv3x3 => relu_conv_bn(net, &format!("{name}.conv3x3"), x, channels, 3, 1),
        EdgeOp::Pool3x3 => {
            let kind = PoolKind::Average;
            let op = Op::Pool { kind, kernel: [3; 2], stride: [1; 2], padding: [1; 2] };
            net.add(format!("{name}.pool"), op, &[x], None)
        }
    }
}

fn relu_conv_bn(
    net: &mut ArchitectureBuilder,
    name: &str,
    x: LayerId,
    channels: usize,
    kernel: usize,
    stride: usize,
) -> Result<LayerId, SpaceError> {
    let x = net.activation(format!("{name}.relu"), x, ActivationKind::Relu)?;
    let x = net.conv(format!("{name}.conv"), x, channels, kernel, stride, 1)?;
    net.batch_norm(format!("{name}.bn"), x)
}

/// Halves the feature map with a residual block of two convolutions. The shortcut is average pooling and a
/// 1x1 convolution.
fn reduction(
    net: &mut ArchitectureBuilder,
    name: &str,
    input: LayerId,
    channels: usize,
) -> Result<LayerId, SpaceError> {
    let x = relu_conv_bn(net, &format!("{name}.a"), input, channels, 3, 2)?;
    let x = relu_conv_bn(net, &format!("{name}.b"), x, channels, 3, 1)?;
    let pool = Op::Pool { kind: PoolKind::Average, kernel: [2; 2], stride: [2; 2], padding: [0; 2] };
    let shortcut = net.add(format!("{name}.shortcut.pool"), pool, &[input], None)?;
    let shortcut = net.conv(format!("{name}.shortcut.conv"), shortcut, channels, 1, 1, 1)?;
    net.add(format!("{name}.add"), Op::Add, &[shortcut, x], None)
}

#[cfg(test)]
mod tests;
