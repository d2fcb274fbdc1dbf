//! Maps genes to properties of the network, and lists the shared parameters of all networks.

use super::block::{Block, Net};
use super::compression::{Compression, CompressionPlan};
use super::ends::{Head, Stem};
use super::settings::{BlockKind, StageSettings, StagesSettings};
use crate::{
    ActivationKind, Activity, Architecture, Decision, LayerId, Options, ParameterSpec, Shape, SpaceError,
    Task, Variable,
};

/// Default expansion of inverted residuals.
const EXPANSION: usize = 4;
/// Height and width of the input of the networks from which parameter shapes are read. Every padded window
/// fits into this size.
const PROBE_SIZE: usize = 16;

/// All properties of the space's networks.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    stem_width: Variable<usize>,
    stem_kernel: Variable<usize>,
    stem_stride: Variable<usize>,
    stem_activation: Variable<ActivationKind>,
    stem_compression: CompressionPlan,
    pub(super) stages: Vec<StagePlan>,
    head_width: Variable<usize>,
    head_activation: Variable<ActivationKind>,
    head_compression: CompressionPlan,
}

/// The properties of a stage.
#[derive(Clone, Debug)]
pub(super) struct StagePlan {
    width: Variable<usize>,
    stride: Variable<usize>,
    depth: Variable<usize>,
    compression: CompressionPlan,
    blocks: Vec<BlockPlan>,
}

/// The properties of a block.
#[derive(Clone, Debug)]
struct BlockPlan {
    kind: Variable<BlockKind>,
    kernel: Variable<usize>,
    activation: Variable<ActivationKind>,
    expansion: Variable<usize>,
    squeeze_excitation: Variable<bool>,
}

impl Plan {
    /// Adds the decisions in order: stem, each stage, head.
    pub(super) fn new(settings: &StagesSettings, decisions: &mut Vec<Decision>) -> Self {
        let always = Activity::Always;
        let stem = &settings.stem;
        let stem_width = Variable::add(decisions, "stem.width", &stem.width, always.clone());
        let stem_kernel = Variable::add(decisions, "stem.kernel", &stem.kernel, always.clone());
        let stem_stride = Variable::add(decisions, "stem.stride", &stem.stride, always.clone());
        let stem_activation = Variable::add(decisions, "stem.activation", &stem.activation, always.clone());
        let stem_compression = CompressionPlan::new(decisions, "stem", &stem.precision, &stem.sparsity);
        let stages = settings
            .stages
            .iter()
            .enumerate()
            .map(|(s, stage)| StagePlan::new(stage, s, decisions))
            .collect();
        let head_width = Variable::add(decisions, "head.width", &settings.head.width, always.clone());
        let has_conv = head_width.activity(always, |width| width > 0);
        let head_activation =
            Variable::add(decisions, "head.activation", &settings.head.activation, has_conv);
        let head = &settings.head;
        let head_compression = CompressionPlan::new(decisions, "head", &head.precision, &head.sparsity);
        Self {
            stem_width,
            stem_kernel,
            stem_stride,
            stem_activation,
            stem_compression,
            stages,
            head_width,
            head_activation,
            head_compression,
        }
    }

    pub(super) fn stem(&self, genes: &[u8]) -> Stem {
        Stem {
            width: self.stem_width.value(genes),
            kernel: self.stem_kernel.value(genes),
            stride: self.stem_stride.value(genes),
            activation: self.stem_activation.value(genes),
            compression: self.stem_compression.value(genes),
        }
    }

    pub(super) fn head(&self, genes: &[u8]) -> Head {
        Head {
            width: self.head_width.value(genes),
            activation: self.head_activation.value(genes),
            compression: self.head_compression.value(genes),
        }
    }

    /// Returns every shared parameter with its largest shape. Shapes grow with widths. So it suffices to
    /// build networks that consist of a single part (stem, block or head), with the smallest and the largest
    /// widths. If any pair of widths needs a shortcut, some pair of smallest or largest widths needs a
    /// shortcut too.
    pub(super) fn parameters(&self, task: Task) -> Vec<ParameterSpec> {
        let relu = ActivationKind::Relu;
        let mut networks = Vec::new();
        let stem = Stem {
            width: most(&self.stem_width),
            kernel: most(&self.stem_kernel),
            stride: 1,
            activation: relu,
            compression: Compression::default(),
        };
        networks.push(probe(task, task.input.channels, |net, _| stem.append(net)));
        let mut inputs = extremes(&self.stem_width);
        for (s, stage) in self.stages.iter().enumerate() {
            let widths = extremes(&stage.width);
            for (b, plan) in stage.blocks.iter().enumerate() {
                let name = format!("stage{s}.block{b}");
                let strides = if b == 0 { extremes(&stage.stride) } else { vec![1] };
                for kind in plan.kind.values() {
                    for stride in &strides {
                        for width in &widths {
                            let block = plan.largest(*kind, *width, *stride);
                            let inputs = if b == 0 { &inputs } else { &vec![*width] };
                            networks.extend(inputs.iter().map(|channels| {
                                probe(task, *channels, |net, x| block.append(net, &name, x))
                            }));
                        }
                    }
                }
            }
            inputs = widths;
        }
        let channels = inputs.into_iter().max().expect("a stage has a width");
        for width in extremes(&self.head_width) {
            let head = Head { width, activation: relu, compression: Compression::default() };
            networks.push(probe(task, channels, |net, x| head.append(net, x, task.outputs)));
        }
        ParameterSpec::covering(&networks)
    }
}

impl StagePlan {
    fn new(settings: &StageSettings, index: usize, decisions: &mut Vec<Decision>) -> Self {
        let name = format!("stage{index}");
        let width = Variable::add(decisions, format!("{name}.width"), &settings.width, Activity::Always);
        let stride = Variable::add(decisions, format!("{name}.stride"), &settings.stride, Activity::Always);
        let depth = Variable::add(decisions, format!("{name}.depth"), &settings.depth, Activity::Always);
        let compression = CompressionPlan::new(decisions, &name, &settings.precision, &settings.sparsity);
        let blocks = (0..most(&depth))
            .map(|b| {
                let reached = depth.activity(Activity::Always, |depth| depth > b);
                BlockPlan::new(settings, &format!("{name}.block{b}"), b == 0, &reached, decisions)
            })
            .collect();
        Self { width, stride, depth, compression, blocks }
    }

    /// Returns the compression of the stage.
    pub(super) fn compression(&self, genes: &[u8]) -> Compression {
        self.compression.value(genes)
    }

    /// Returns the blocks that these genes describe, in order.
    pub(super) fn blocks<'a>(&'a self, genes: &'a [u8]) -> impl Iterator<Item = Block> + 'a {
        let width = self.width.value(genes);
        self.blocks[..self.depth.value(genes)].iter().enumerate().map(move |(b, block)| Block {
            kind: block.kind.value(genes),
            width,
            stride: if b == 0 { self.stride.value(genes) } else { 1 },
            kernel: block.kernel.value(genes),
            expansion: block.expansion.value(genes),
            activation: block.activation.value(genes),
            squeeze_excitation: block.squeeze_excitation.value(genes),
        })
    }

    /// Moves identity blocks after the other blocks, and selects the smallest offered depth that contains all
    /// other blocks. The network stays the same. All blocks but the first have the same decisions, so their
    /// genes can be swapped.
    pub(super) fn gather_identities(&self, genes: &mut [u8]) {
        let blocks = &self.blocks[..self.depth.value(genes)];
        let is_kept = |block: &BlockPlan, genes: &[u8]| block.kind.value(genes) != BlockKind::Identity;
        let mut kept = 1;
        for position in 1..blocks.len() {
            if is_kept(&blocks[position], genes) {
                for (to, from) in blocks[kept].decisions().zip(blocks[position].decisions()) {
                    genes.swap(to, from);
                }
                kept += 1;
            }
        }
        if let Some(decision) = self.depth.decision() {
            let offered = self.depth.values().iter().enumerate().filter(|(_, depth)| **depth >= kept);
            let (option, _) = offered.min_by_key(|(_, depth)| **depth).expect("the present depth is offered");
            genes[decision] = option as u8;
        }
    }
}

impl BlockPlan {
    fn new(
        settings: &StageSettings,
        name: &str,
        is_first: bool,
        reached: &Activity,
        decisions: &mut Vec<Decision>,
    ) -> Self {
        let kinds = settings.blocks.0.iter().copied();
        let kinds = Options(kinds.filter(|kind| !(is_first && *kind == BlockKind::Identity)).collect());
        let kind = Variable::add(decisions, format!("{name}.kind"), &kinds, reached.clone());
        let computes = kind.activity(reached.clone(), |kind| kind != BlockKind::Identity);
        let expands = kind.activity(reached.clone(), |kind| kind == BlockKind::Mbconv);
        let expansion = settings.expansion.clone().unwrap_or_else(|| EXPANSION.into());
        let squeeze = settings.squeeze_excitation.clone().unwrap_or_else(|| false.into());
        Self {
            kernel: Variable::add(decisions, format!("{name}.kernel"), &settings.kernel, computes.clone()),
            activation: Variable::add(
                decisions,
                format!("{name}.activation"),
                &settings.activation,
                computes,
            ),
            expansion: Variable::add(decisions, format!("{name}.expansion"), &expansion, expands.clone()),
            squeeze_excitation: Variable::add(
                decisions,
                format!("{name}.squeeze_excitation"),
                &squeeze,
                expands,
            ),
            kind,
        }
    }

    fn decisions(&self) -> impl Iterator<Item = usize> + use<> {
        let all = [
            self.kind.decision(),
            self.kernel.decision(),
            self.activation.decision(),
            self.expansion.decision(),
            self.squeeze_excitation.decision(),
        ];
        all.into_iter().flatten()
    }

    /// Returns the block of this kind and width with the largest parameters.
    fn largest(&self, kind: BlockKind, width: usize, stride: usize) -> Block {
        Block {
            kind,
            width,
            stride,
            kernel: most(&self.kernel),
            expansion: most(&self.expansion),
            activation: ActivationKind::Relu,
            squeeze_excitation: self.squeeze_excitation.values().contains(&true),
        }
    }
}

fn most(sizes: &Variable<usize>) -> usize {
    sizes.values().iter().copied().max().expect("settings have at least one value")
}

/// Returns the minimum and the maximum, or one value if they are equal.
fn extremes(sizes: &Variable<usize>) -> Vec<usize> {
    let least = sizes.values().iter().copied().min().expect("settings have at least one value");
    let mut extremes = vec![least, most(sizes)];
    extremes.dedup();
    extremes
}

/// Builds a network that consists of one part and has `channels` input channels.
fn probe(
    task: Task,
    channels: usize,
    append: impl FnOnce(&mut Net, LayerId) -> Result<LayerId, SpaceError>,
) -> Architecture {
    let rows = if task.input.height == 1 { 1 } else { PROBE_SIZE };
    let mut net = Net::new(Shape::new(channels, rows, PROBE_SIZE));
    let input = net.builder.input();
    append(&mut net, input).expect("sizes were checked with the settings");
    net.builder.finish().expect("sizes were checked with the settings")
}
