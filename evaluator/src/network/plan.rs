//! The plan of a forward pass. It states which kernel computes each layer, which layers are folded into other
//! layers or computed together with them, and which values are rounded. Training, inference and 8-bit
//! inference have different plans. The [executor](super::executor) follows the plan and makes no choices
//! itself.

use kiln_export::QuantizationPlan;
use kiln_kernels::{Activation, FixedConv2d};
use kiln_space::{Architecture, Layer, LayerId, NumberFormat, Op};

use super::fake_quantization::FakeQuantization;
use super::folding::{fold, scaling};
use super::integers::Integers;
use super::rounding::Rounding;
use super::statistics::Statistics;
use super::step::{Read, Step, StepKind, nonlinearity};
use super::weights::Weights;
use super::window::Window;

/// The steps of a forward pass, in the order of the layers.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) steps: Vec<Step>,
    /// How the images are rounded.
    pub(super) input: Rounding,
    /// Number of layers of the architecture, including layers whose output no other layer reads.
    pub(super) layers: usize,
}

impl Plan {
    /// The plan for training. Normalization uses the statistics of the batch. If the output of a
    /// normalization or a fully connected layer goes only into a nonlinearity, both layers are computed in
    /// one step.
    pub(crate) fn training(architecture: &Architecture) -> Self {
        Self::new(architecture, |planner, id, layer| match layer.op {
            Op::BatchNorm => StepKind::BatchNorm { after: planner.join_nonlinearity(id) },
            Op::Linear { .. } => StepKind::Linear { after: planner.join_nonlinearity(id) },
            _ => StepKind::plain(layer),
        })
    }

    /// Like [`Self::training`], but each layer has its own step, so that an observer sees every output.
    pub(crate) fn layer_by_layer(architecture: &Architecture) -> Self {
        Self::new(architecture, |_, _, layer| StepKind::plain(layer))
    }

    /// The plan without normalization: each normalization layer passes its input on unchanged.
    pub(crate) fn without_normalization(architecture: &Architecture) -> Self {
        Self::new(architecture, |_, _, layer| match layer.op {
            Op::BatchNorm => StepKind::Pass,
            _ => StepKind::plain(layer),
        })
    }

    /// The plan for inference. Normalization uses `statistics` and is folded into the convolution before it.
    /// If the output of a layer goes only into a nonlinearity, both layers are computed in one step.
    pub(crate) fn inference(architecture: &Architecture, weights: &Weights, statistics: &Statistics) -> Self {
        Self::new(architecture, |planner, id, layer| {
            let (last, kernel, bias) = match layer.op {
                Op::Linear { .. } => return StepKind::Linear { after: planner.join_nonlinearity(id) },
                Op::Conv2d { .. } => match planner.fold_normalization(id, |_| true) {
                    Some(norm) => {
                        let (kernel, bias) = fold(layer, architecture.layer(norm), norm, weights, statistics);
                        (norm, kernel, Some(bias))
                    }
                    None => (id, weights.kernel(layer), weights.bias(layer)),
                },
                // A normalization that does not follow a convolution is computed as a depthwise 1x1
                // convolution with the normalization's factors.
                Op::BatchNorm => {
                    let (factor, bias) = scaling(layer, id, weights, statistics);
                    let channels = factor.dims()[0];
                    (id, factor.reshape([channels, 1, 1, 1]), Some(bias))
                }
                _ => return StepKind::plain(layer),
            };
            let Window { stride, padding, groups, .. } = match layer.op {
                Op::BatchNorm => Window::single(kernel.dims()[0]),
                _ => Window::of(layer),
            };
            let after = planner.join_nonlinearity(last);
            StepKind::FixedConv(FixedConv2d::new(kernel, bias, stride, padding, groups, after))
        })
    }

    /// Like [`Self::inference`], but only normalizations are computed together with another layer, so that an
    /// observer sees the output of every other layer.
    pub(crate) fn calibration(
        architecture: &Architecture,
        weights: &Weights,
        statistics: &Statistics,
    ) -> Self {
        Self::new(architecture, |planner, id, layer| match layer.op {
            Op::Conv2d { .. } | Op::BatchNorm => {
                planner.by_statistics(id, layer, weights, statistics, |_| true)
            }
            _ => StepKind::plain(layer),
        })
    }

    /// The plan for networks with 8-bit layers, which run as in integer runtimes. Other layers run as in
    /// [`Self::calibration`], with burn's own means and nonlinearities.
    pub(crate) fn integers(
        architecture: &Architecture,
        weights: &Weights,
        statistics: &Statistics,
        integers: &Integers,
    ) -> Self {
        let mut plan = Self::new(architecture, |planner, id, layer| {
            if let Some(kernel) = integers.kernel(id) {
                return StepKind::IntegerSums { kernel: kernel.clone(), window: Window::of(layer) };
            }
            match layer.op {
                _ if integers.is_folded(id) => StepKind::Pass,
                // A normalization that reads 8-bit values needs the rounded output of the convolution, so it
                // cannot be folded into the convolution.
                Op::Conv2d { .. } | Op::BatchNorm => {
                    planner.by_statistics(id, layer, weights, statistics, |norm| !integers.reads_grids(norm))
                }
                _ => StepKind::by_burn(layer),
            }
        });
        plan.input = Rounding::nearest(integers.stored_grid(LayerId(0)));
        for step in &mut plan.steps {
            step.output = Rounding::nearest(integers.stored_grid(step.layer));
            for read in &mut step.reads {
                read.rounding = integers.rounding(step.layer, read.layer);
            }
        }
        plan
    }

    /// The plan for training a network on the grids on which it will run. Weights and values are rounded to
    /// single-precision numbers on these grids. Normalization uses `statistics`.
    pub(crate) fn fake_quantized(
        architecture: &Architecture,
        weights: &Weights,
        statistics: &Statistics,
        fake: &FakeQuantization,
    ) -> Self {
        let mut plan = Self::new(architecture, |planner, id, layer| {
            if let Some(kind) = fake.kernel(id, layer) {
                return kind;
            }
            match layer.op {
                _ if fake.is_folded(id) => StepKind::Pass,
                Op::Conv2d { .. } | Op::BatchNorm => {
                    planner.by_statistics(id, layer, weights, statistics, |norm| !fake.reads_grids(norm))
                }
                _ => StepKind::plain(layer),
            }
        });
        plan.input = fake.stored(LayerId(0));
        for step in &mut plan.steps {
            step.output = fake.stored(step.layer);
            for read in &mut step.reads {
                read.rounding = fake.read(step.layer, read.layer);
            }
        }
        plan
    }

    /// The plan for training with the statistics of the batch, in which layers with integer weights round
    /// their weights and values. The grid of each value covers the range of the batch. A subnet has no
    /// ranges of its own before it is frozen.
    pub(crate) fn rounded_training(architecture: &Architecture) -> Self {
        let quantized = QuantizationPlan::new(architecture);
        if quantized.is_empty() {
            return Self::training(architecture);
        }
        let mut plan = Self::new(architecture, |_, id, layer| {
            let is_integer = quantized.kernels().any(|(kernel, _)| kernel == id);
            let largest = largest_integer(layer);
            match layer.op {
                Op::Conv2d { .. } if is_integer => StepKind::RoundedConv(Window::of(layer), largest),
                Op::Linear { .. } if is_integer => StepKind::RoundedLinear(largest),
                _ => StepKind::plain(layer),
            }
        });
        let own_range = |rounds: bool| if rounds { Rounding::OwnRange } else { Rounding::None };
        let stores = |id: LayerId| quantized.is_stored(id) && quantized.owner(id) == Some(id);
        plan.input = own_range(stores(LayerId(0)));
        for step in &mut plan.steps {
            step.output = own_range(stores(step.layer));
            for read in &mut step.reads {
                let rounds = quantized.reads_grids(step.layer) && !quantized.is_stored(read.layer);
                read.rounding = own_range(rounds && quantized.owner(read.layer).is_some());
            }
        }
        plan
    }

    /// Makes a step for each live layer, in the order of the layers. `decide` chooses the kernel of a layer,
    /// unless an earlier step already computes the layer.
    fn new(
        architecture: &Architecture,
        mut decide: impl FnMut(&mut Planner<'_>, LayerId, &Layer) -> StepKind,
    ) -> Self {
        let live = architecture.live();
        let mut planner = Planner::new(architecture);
        let mut steps = Vec::with_capacity(architecture.layers.len());
        for id in architecture.ids().skip(1).filter(|id| live[id.0]) {
            let layer = architecture.layer(id);
            let kind =
                if planner.is_computed[id.0] { StepKind::Pass } else { decide(&mut planner, id, layer) };
            let reads = match kind {
                StepKind::Zero(_) => Vec::new(),
                _ => layer.inputs.iter().map(|input| Read::new(*input)).collect(),
            };
            steps.push(Step { layer: id, reads, kind, output: Rounding::None });
        }
        mark_last_reads(&mut steps, architecture.layers.len());
        Self { steps, input: Rounding::None, layers: architecture.layers.len() }
    }
}

impl Read {
    const fn new(layer: LayerId) -> Self {
        Self { layer, is_last: false, rounding: Rounding::None }
    }
}

/// The largest integer of a layer's weights.
fn largest_integer(layer: &Layer) -> f32 {
    match layer.precision.weights {
        NumberFormat::Int4 => 7.0,
        _ => 127.0,
    }
}

/// Marks the last read of each value. The executor drops the value after that read. The images are kept for
/// the whole pass, because constant zeros need them.
fn mark_last_reads(steps: &mut [Step], layers: usize) {
    let mut is_read = vec![false; layers];
    is_read[0] = true;
    for read in steps.iter_mut().rev().flat_map(|step| step.reads.iter_mut().rev()) {
        read.is_last = !is_read[read.layer.0];
        is_read[read.layer.0] = true;
    }
}

/// Builds the plan of an architecture.
struct Planner<'a> {
    architecture: &'a Architecture,
    readers: Vec<Vec<LayerId>>,
    /// For each layer, whether an earlier step computes it together with its own layer.
    is_computed: Vec<bool>,
}

impl<'a> Planner<'a> {
    fn new(architecture: &'a Architecture) -> Self {
        let is_computed = vec![false; architecture.layers.len()];
        Self { architecture, readers: architecture.readers(), is_computed }
    }

    /// Returns the layer that reads the output of layer `id` if exactly one layer reads it.
    fn only_reader(&self, id: LayerId) -> Option<LayerId> {
        match self.readers[id.0].as_slice() {
            [reader] => Some(*reader),
            _ => None,
        }
    }

    /// If the output of a layer goes only into a nonlinearity, makes the layer's step compute the
    /// nonlinearity too. Returns that nonlinearity, or `Identity` if there is none.
    fn join_nonlinearity(&mut self, id: LayerId) -> Activation {
        let Some(reader) = self.only_reader(id) else { return Activation::Identity };
        let Op::Activation { kind } = self.architecture.layer(reader).op else {
            return Activation::Identity;
        };
        self.is_computed[reader.0] = true;
        nonlinearity(kind)
    }

    /// If the output of a convolution goes only into a normalization, and `may` returns true for it, makes
    /// the convolution's step compute the normalization too. Returns that normalization.
    fn fold_normalization(&mut self, conv: LayerId, may: impl Fn(LayerId) -> bool) -> Option<LayerId> {
        let is_norm = |id: &LayerId| matches!(self.architecture.layer(*id).op, Op::BatchNorm);
        let norm = self.only_reader(conv).filter(is_norm).filter(|norm| may(*norm))?;
        self.is_computed[norm.0] = true;
        Some(norm)
    }

    /// Makes a step that uses collected statistics: either a convolution with its normalization folded in, or
    /// a normalization that could not be folded.
    fn by_statistics(
        &mut self,
        id: LayerId,
        layer: &Layer,
        weights: &Weights,
        statistics: &Statistics,
        may: impl Fn(LayerId) -> bool,
    ) -> StepKind {
        if let Op::BatchNorm = layer.op {
            let ((scale, shift), (mean, variance)) = (weights.affine(layer), statistics.layer(id));
            return StepKind::FixedBatchNorm { scale, shift, mean, variance };
        }
        match self.fold_normalization(id, may) {
            Some(norm) => {
                let norm_layer = self.architecture.layer(norm);
                let (kernel, bias) = fold(layer, norm_layer, norm, weights, statistics);
                StepKind::FoldedConv { kernel, bias, window: Window::of(layer) }
            }
            None => StepKind::plain(layer),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use kiln_space::{ActivationKind, ArchitectureBuilder, ParameterSpec, Precision, Shape, Sparsity};

    use super::*;
    use crate::network::statistics::LayerStatistics;

    /// A network with these layers: a normalization of the input, a convolution with normalization and
    /// nonlinearity, a fully connected layer with a nonlinearity, and a sum that adds the nonlinearity's
    /// output to itself.
    fn architecture() -> Architecture {
        let mut b = ArchitectureBuilder::new(Shape::new(2, 4, 4));
        let x = b.batch_norm("first", b.input()).unwrap();
        let x = b.conv("conv", x, 3, 3, 1, 1).unwrap();
        let x = b.batch_norm("norm", x).unwrap();
        let x = b.add("relu", Op::Activation { kind: ActivationKind::Relu }, &[x], None).unwrap();
        let x = b.global_pool("pool", x).unwrap();
        let x = b.linear("head", x, 3).unwrap();
        let x = b.add("relu6", Op::Activation { kind: ActivationKind::Relu6 }, &[x], None).unwrap();
        b.add("sum", Op::Add, &[x, x], None).unwrap();
        b.finish().unwrap()
    }

    /// Names the kind of each step.
    fn kinds(plan: &Plan) -> Vec<String> {
        let name = |kind: &StepKind| {
            let text = format!("{kind:?}");
            let is_joined = text.contains("after: Relu") || text.contains("activation: Relu");
            let name: String = text.chars().take_while(char::is_ascii_alphanumeric).collect();
            if is_joined { format!("{name} with Relu") } else { name }
        };
        plan.steps.iter().map(|step| name(&step.kind)).collect()
    }

    #[test]
    fn each_way_of_running_has_its_own_kinds_of_steps() {
        let own = architecture();
        let device = Device::flex();
        let weights = Weights::initialize(&ParameterSpec::covering([&own]), 1, &device);
        let norms = own.ids().filter(|id| matches!(own.layer(*id).op, Op::BatchNorm));
        let ones = |id: LayerId| vec![1.0; own.layer(id).output.channels];
        let statistics = norms.map(|id| LayerStatistics { layer: id, mean: ones(id), variance: ones(id) });
        let statistics = Statistics::from_values(statistics, &device);
        let ends = ["GlobalPool", "Linear with Relu", "Pass", "Add"];
        let plain_ends = ["GlobalPool", "Linear", "Activate", "Add"];
        assert_eq!(
            kinds(&Plan::training(&own)),
            [["BatchNorm", "Conv", "BatchNorm with Relu", "Pass"], ends].concat()
        );
        assert_eq!(
            kinds(&Plan::layer_by_layer(&own)),
            [["BatchNorm", "Conv", "BatchNorm", "Activate"], plain_ends].concat()
        );
        assert_eq!(
            kinds(&Plan::without_normalization(&own)),
            [["Pass", "Conv", "Pass", "Activate"], plain_ends].concat()
        );
        assert_eq!(
            kinds(&Plan::inference(&own, &weights, &statistics)),
            [["FixedConv", "FixedConv with Relu", "Pass", "Pass"], ends].concat()
        );
        assert_eq!(
            kinds(&Plan::calibration(&own, &weights, &statistics)),
            [["FixedBatchNorm", "FoldedConv", "Pass", "Activate"], plain_ends].concat()
        );
    }

    #[test]
    fn rounded_training_rounds_integer_layers_only() {
        let mut b = ArchitectureBuilder::new(Shape::new(2, 4, 4));
        b.set_input_format(NumberFormat::Int8);
        b.set_compression(Precision::uniform(NumberFormat::Int8), Sparsity::Dense);
        let x = b.conv("conv", b.input(), 3, 3, 1, 1).unwrap();
        let x = b.batch_norm("norm", x).unwrap();
        let x = b.add("relu", Op::Activation { kind: ActivationKind::Relu }, &[x], None).unwrap();
        b.set_compression(Precision::default(), Sparsity::Dense);
        let x = b.global_pool("pool", x).unwrap();
        b.linear("head", x, 3).unwrap();
        let plan = Plan::rounded_training(&b.finish().unwrap());
        assert_eq!(kinds(&plan), ["RoundedConv", "BatchNorm", "Activate", "GlobalPool", "Linear"]);
        let is_rounded = |rounding: &Rounding| matches!(rounding, Rounding::OwnRange);
        assert!(is_rounded(&plan.input));
        let rounded: Vec<bool> = plan.steps.iter().map(|step| is_rounded(&step.output)).collect();
        assert_eq!(
            rounded,
            [false, false, true, false, false],
            "only the output of the nonlinearity is stored"
        );
        let float = architecture();
        assert_eq!(kinds(&Plan::rounded_training(&float)), kinds(&Plan::training(&float)));
    }

    #[test]
    fn values_are_moved_at_their_last_read_and_images_are_kept() {
        let plan = Plan::training(&architecture());
        let lasts: Vec<Vec<bool>> =
            plan.steps.iter().map(|step| step.reads.iter().map(|read| read.is_last).collect()).collect();
        let (first, sum) = (lasts.first().unwrap(), lasts.last().unwrap());
        assert_eq!((first.as_slice(), sum.as_slice()), ([false].as_slice(), [false, true].as_slice()));
        assert!(lasts[1..lasts.len() - 1].iter().all(|lasts| lasts.as_slice() == [true]), "{lasts:?}");
    }
}
