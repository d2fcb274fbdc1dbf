//! Describes an architecture by numbers that do not depend on its search space.

use crate::{ActivationKind, Architecture, LayerId, Op, PoolKind, Shape};

/// Upper bounds of the bins for kernel sizes. The size of a kernel is the larger of its height and width. One
/// additional bin counts larger kernels.
const KERNEL_BINS: [usize; 3] = [1, 3, 5];
/// Lower bounds of the bins for resolution. The resolution of a layer is the number of its output positions
/// divided by the number of the network's input positions. One additional bin counts lower resolutions.
const RESOLUTION_BINS: [f64; 4] = [0.5, 0.125, 0.031_25, 0.007_812_5];

const KERNEL_NAMES: [&str; 8] = [
    "macs_share_dense_1",
    "macs_share_dense_3",
    "macs_share_dense_5",
    "macs_share_dense_more",
    "macs_share_grouped_1",
    "macs_share_grouped_3",
    "macs_share_grouped_5",
    "macs_share_grouped_more",
];
const RESOLUTION_MACS_NAMES: [&str; 5] = [
    "macs_share_resolution_0",
    "macs_share_resolution_1",
    "macs_share_resolution_2",
    "macs_share_resolution_3",
    "macs_share_resolution_4",
];
const RESOLUTION_DEPTH_NAMES: [&str; 5] = [
    "layers_resolution_0",
    "layers_resolution_1",
    "layers_resolution_2",
    "layers_resolution_3",
    "layers_resolution_4",
];
const RESOLUTION_WIDTH_NAMES: [&str; 5] = [
    "ln_width_resolution_0",
    "ln_width_resolution_1",
    "ln_width_resolution_2",
    "ln_width_resolution_3",
    "ln_width_resolution_4",
];
const ACTIVATION_NAMES: [&str; 8] = [
    "activations_relu",
    "activations_relu6",
    "activations_hard_swish",
    "activations_hard_sigmoid",
    "activations_sigmoid",
    "activations_silu",
    "activations_tanh",
    "activations_gelu",
];
const OP_NAMES: [&str; 12] = [
    "layers_conv_1x1",
    "layers_conv_larger",
    "layers_conv_grouped",
    "layers_linear",
    "layers_batch_norm",
    "layers_activation",
    "layers_max_pool",
    "layers_average_pool",
    "layers_add",
    "layers_concat",
    "layers_mul",
    "layers_zero",
];

/// Describes a decoded network by numbers that have the same meaning in every search space. The numbers are
/// counts (as `ln(1 + count)`), the number of layers of each kind, the shares of multiply-accumulates by
/// kernel size and by resolution, statistics of the widths, and statistics of the paths from input to output.
///
/// Only live layers (those that the output depends on) contribute. There are two exceptions: the totals and
/// the number of zero operations cover all layers. Every number is finite. The vector contains one number for
/// each name in [`structural_names`].
///
/// # Example
/// ```
/// use kiln_space::{SearchSpace, encoding, spaces::NasBench201};
/// let cell = NasBench201::genotype_from_arch("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")?;
/// let vector = encoding::structural(&NasBench201::default().decode(&cell)?);
/// let names = encoding::structural_names();
/// let linear = names.iter().position(|name| *name == "layers_linear").expect("a known name");
/// assert_eq!(vector[linear], 1.0);
/// # Ok::<(), kiln_space::SpaceError>(())
/// ```
#[must_use]
pub fn structural(architecture: &Architecture) -> Vec<f64> {
    features(architecture).into_iter().map(|(_, value)| value).collect()
}

/// Returns the names of the numbers that [`structural`] returns, in the same order.
#[must_use]
pub fn structural_names() -> Vec<&'static str> {
    let empty = Architecture { input: Shape::vector(1), layers: Vec::new() };
    features(&empty).into_iter().map(|(name, _)| name).collect()
}

/// Sums of layer properties over the live layers.
#[derive(Default)]
struct Sums {
    layers: f64,
    macs: f64,
    parameters: f64,
    operations: [f64; OP_NAMES.len()],
    activations: [f64; ACTIVATION_NAMES.len()],
    kernel_macs: [f64; KERNEL_NAMES.len()],
    resolution_macs: [f64; 5],
    resolution_layers: [f64; 5],
    resolution_ln_width: [f64; 5],
    macs_depth: f64,
    parameters_depth: f64,
    largest_output: f64,
    widths: Widths,
    weight_bits: f64,
    activation_bits: f64,
    zeros: f64,
}

/// The least, the largest and the last number of output channels of convolutions and hidden fully connected
/// layers.
#[derive(Default)]
struct Widths {
    least: f64,
    most: f64,
    last: f64,
}

fn features(architecture: &Architecture) -> Vec<(&'static str, f64)> {
    let sums = Sums::of(architecture);
    let paths = Paths::of(architecture);
    let totals = architecture.counts();
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let mut features = vec![
        ("ln_parameters", (totals.parameters as f64).ln_1p()),
        ("ln_macs", (totals.macs as f64).ln_1p()),
        ("ln_weight_bytes", (totals.weight_bytes as f64).ln_1p()),
        ("ln_activation_bytes", (totals.activation_bytes as f64).ln_1p()),
        ("ln_live_parameters", sums.parameters.ln_1p()),
        ("ln_live_macs", sums.macs.ln_1p()),
        ("ln_largest_output", sums.largest_output.ln_1p()),
        ("live_share", share(sums.layers, architecture.layers.len() as f64)),
        ("ln_paths", paths.count.ln_1p()),
        ("longest_path", paths.longest),
        ("shortest_path", paths.shortest),
        ("mean_path", paths.mean),
        ("ln_width_least", sums.widths.least.ln_1p()),
        ("ln_width_most", sums.widths.most.ln_1p()),
        ("ln_width_last", sums.widths.last.ln_1p()),
        ("macs_depth", share(sums.macs_depth, sums.macs)),
        ("parameters_depth", share(sums.parameters_depth, sums.parameters)),
        ("weight_bits", share(sums.weight_bits, sums.parameters)),
        ("activation_bits", share(sums.activation_bits, sums.layers)),
        ("zeros_share", share(sums.zeros, sums.parameters)),
    ];
    features.extend(OP_NAMES.into_iter().zip(sums.operations));
    features.extend(ACTIVATION_NAMES.into_iter().zip(sums.activations));
    features.extend(KERNEL_NAMES.into_iter().zip(sums.kernel_macs.map(|macs| share(macs, sums.macs))));
    let resolution_macs = sums.resolution_macs.map(|macs| share(macs, sums.macs));
    features.extend(RESOLUTION_MACS_NAMES.into_iter().zip(resolution_macs));
    features.extend(RESOLUTION_DEPTH_NAMES.into_iter().zip(sums.resolution_layers));
    let widths = sums.resolution_ln_width.into_iter().zip(sums.resolution_layers);
    features.extend(RESOLUTION_WIDTH_NAMES.into_iter().zip(widths.map(|(sum, layers)| share(sum, layers))));
    features
}

impl Sums {
    fn of(architecture: &Architecture) -> Self {
        let mut sums = Self::default();
        let live = architecture.live();
        let last = architecture.layers.len().saturating_sub(1);
        for id in architecture.ids() {
            if matches!(architecture.layer(id).op, Op::Zero { .. }) {
                sums.operations[11] += 1.0;
            }
            if live[id.0] {
                sums.add(architecture, id, id.0 as f64 / last.max(1) as f64);
            }
        }
        sums
    }

    /// Adds a live layer. `depth` is its relative position, from 0 at the input to 1 at the output.
    fn add(&mut self, architecture: &Architecture, id: LayerId, depth: f64) {
        let layer = architecture.layer(id);
        let counts = architecture.layer_counts(id);
        let (macs, parameters) = (counts.macs as f64, counts.parameters as f64);
        self.layers += 1.0;
        self.macs += macs;
        self.parameters += parameters;
        self.macs_depth += macs * depth;
        self.parameters_depth += parameters * depth;
        self.largest_output = self.largest_output.max(layer.output.elements() as f64);
        self.weight_bits += parameters * layer.precision.weights.bits() as f64;
        self.activation_bits += layer.precision.activations.bits() as f64;
        self.zeros += parameters * layer.sparsity.zeros();
        if let Some(operation) = operation(&layer.op) {
            self.operations[operation] += 1.0;
        }
        match &layer.op {
            Op::Activation { kind } => {
                let index = ActivationKind::ALL.iter().position(|known| known == kind);
                self.activations[index.expect("every kind is listed")] += 1.0;
            }
            Op::Conv2d { kernel, groups, .. } => {
                let window = kernel[0].max(kernel[1]);
                let bin = KERNEL_BINS.iter().position(|most| window <= *most).unwrap_or(KERNEL_BINS.len());
                self.kernel_macs[bin + if *groups > 1 { 4 } else { 0 }] += macs;
                let share = layer.output.positions() as f64 / architecture.input.positions() as f64;
                let bin = RESOLUTION_BINS.iter().position(|least| share > *least);
                let bin = bin.unwrap_or(RESOLUTION_BINS.len());
                self.resolution_macs[bin] += macs;
                self.resolution_layers[bin] += 1.0;
                self.resolution_ln_width[bin] += (layer.output.channels as f64).ln();
                self.widths.add(layer.output.channels);
            }
            Op::Linear { .. } if id.0 + 1 < architecture.layers.len() => {
                self.widths.add(layer.output.channels);
            }
            _ => {}
        }
    }
}

impl Widths {
    fn add(&mut self, channels: usize) {
        let channels = channels as f64;
        self.least = if self.most > 0.0 { self.least.min(channels) } else { channels };
        self.most = self.most.max(channels);
        self.last = channels;
    }
}

/// Returns the operation's position in [`OP_NAMES`], or `None` if it is not listed there. Zero operations are
/// not listed because they are counted separately, live or not.
fn operation(op: &Op) -> Option<usize> {
    match op {
        Op::Conv2d { groups, .. } if *groups > 1 => Some(2),
        Op::Conv2d { kernel: [1, 1], .. } => Some(0),
        Op::Conv2d { .. } => Some(1),
        Op::Linear { .. } => Some(3),
        Op::BatchNorm => Some(4),
        Op::Activation { .. } => Some(5),
        Op::Pool { kind: PoolKind::Max, .. } => Some(6),
        Op::Pool { kind: PoolKind::Average, .. } => Some(7),
        Op::Add => Some(8),
        Op::Concat => Some(9),
        Op::Mul => Some(10),
        Op::Input | Op::Zero { .. } | Op::GlobalPool | Op::Flatten => None,
    }
}

/// Statistics of the paths from input to output without zero operations: the number of paths, and the number
/// of convolutions and fully connected layers on the longest path, on the shortest path, and on average. All
/// fields are 0 if no path exists.
#[derive(Clone, Copy, Default)]
struct Paths {
    count: f64,
    longest: f64,
    shortest: f64,
    mean: f64,
}

impl Paths {
    /// Computes the paths of each layer from the paths of its inputs, in topological order. `mean` is the
    /// average over all paths.
    fn of(architecture: &Architecture) -> Self {
        let mut reached: Vec<Self> = Vec::with_capacity(architecture.layers.len());
        for layer in &architecture.layers {
            let step = if matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. }) { 1.0 } else { 0.0 };
            let mut here = match layer.op {
                Op::Input => Self { count: 1.0, ..Self::default() },
                Op::Zero { .. } => Self::default(),
                _ => layer.inputs.iter().fold(Self::default(), |paths, input| paths.joined(reached[input.0])),
            };
            if here.count > 0.0 {
                here = Self {
                    count: here.count,
                    longest: here.longest + step,
                    shortest: here.shortest + step,
                    mean: here.mean + step,
                };
            }
            reached.push(here);
        }
        reached.last().copied().unwrap_or_default()
    }

    fn joined(self, other: Self) -> Self {
        if self.count <= 0.0 || other.count <= 0.0 {
            return if self.count > 0.0 { self } else { other };
        }
        // The limit is half of `f64::MAX`, so that the sums of huge counts below stay finite.
        let count = (self.count + other.count).min(f64::MAX / 2.0);
        let weight = self.count / (self.count + other.count).min(f64::MAX);
        Self {
            count,
            longest: self.longest.max(other.longest),
            shortest: self.shortest.min(other.shortest),
            mean: self.mean * weight + other.mean * (1.0 - weight),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{ArchitectureBuilder, NumberFormat, Precision, SearchSpace, Sparsity, spaces::NasBench201};

    fn named(architecture: &Architecture, name: &str) -> f64 {
        let found = features(architecture).into_iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("no feature `{name}`")).1
    }

    #[track_caller]
    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
    }

    #[test]
    fn structural_names_are_unique_and_match_length() {
        let names = structural_names();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        let network = NasBench201::default().decode(&crate::Genotype::new([1; 6])).unwrap();
        assert_eq!(structural(&network).len(), names.len());
    }

    #[test]
    fn structural_of_net_with_shortcut_matches_hand_computation() {
        let mut b = ArchitectureBuilder::new(Shape::new(1, 8, 8));
        let stem = b.conv("stem", b.input(), 4, 3, 2, 1).unwrap();
        let branch = b.conv("depthwise", stem, 4, 5, 1, 4).unwrap();
        let sum = b.add("sum", Op::Add, &[stem, branch], None).unwrap();
        b.conv("dead", sum, 4, 1, 1, 1).unwrap();
        let pooled = b.global_pool("pool", sum).unwrap();
        b.linear("head", pooled, 3).unwrap();
        let network = b.finish().unwrap();
        // MACs: the stem has 4 x 9 x 16 = 576, the depthwise convolution 4 x 25 x 16 = 1600, and the head 12.
        // The dead layer has 256.
        assert_near(named(&network, "ln_live_macs"), 2_189_f64.ln());
        assert_near(named(&network, "ln_macs"), 2_445_f64.ln());
        assert_near(named(&network, "macs_share_dense_3"), 576.0 / 2188.0);
        assert_near(named(&network, "macs_share_grouped_5"), 1600.0 / 2188.0);
        assert_near(named(&network, "macs_share_resolution_1"), 2176.0 / 2188.0);
        assert_near(named(&network, "live_share"), 6.0 / 7.0);
        assert_near(named(&network, "ln_paths"), 3_f64.ln());
        assert_near(named(&network, "longest_path"), 3.0);
        assert_near(named(&network, "shortest_path"), 2.0);
        assert_near(named(&network, "mean_path"), 2.5);
        assert_near(named(&network, "layers_add"), 1.0);
        assert_near(named(&network, "layers_conv_1x1"), 0.0);
        assert_near(named(&network, "ln_width_resolution_1"), 4_f64.ln());
    }

    #[test]
    fn structural_includes_formats_and_sparsity() {
        let head = |format, sparsity| {
            let mut b = ArchitectureBuilder::new(Shape::vector(8));
            b.set_compression(Precision::uniform(format), sparsity);
            b.linear("head", b.input(), 4).unwrap();
            b.finish().unwrap()
        };
        let int8 = head(NumberFormat::Int8, Sparsity::NOfM { n: 1, m: 4 });
        // Activations take 32 bits in the input and 8 bits in the head, so their mean is 20. The head has 36
        // parameters: 32 weights and 4 biases. Three quarters of the weights are zero.
        assert_near(named(&int8, "activation_bits"), 20.0);
        assert_near(named(&int8, "weight_bits"), 8.0);
        assert_near(named(&int8, "zeros_share"), 0.75);
        // Each weight takes one byte. Each bias and each scale takes four bytes.
        assert_near(named(&int8, "ln_weight_bytes"), f64::from(32 + 2 * 4 * 4).ln_1p());
        assert_near(named(&head(NumberFormat::F32, Sparsity::Dense), "weight_bits"), 32.0);
    }

    #[test]
    fn structural_of_cell_without_path_counts_zero_paths() {
        let space = NasBench201::default();
        let network = space.decode(&crate::Genotype::new([0; 6])).unwrap();
        assert_near(named(&network, "ln_paths"), 0.0);
        assert_near(named(&network, "longest_path"), 0.0);
        assert_near(named(&network, "layers_zero"), 90.0);
    }
}
