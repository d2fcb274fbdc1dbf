//! Convolution and batch normalization as extensions of burn's backends, with their backward passes.

use std::sync::{Arc, OnceLock};

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Flex, TensorMetadata, backend_extension};

use crate::convolution::passes::{self, Prepared};
use crate::elementwise::normalization::Normalization;
use crate::planes::geometry::Geometry;
use crate::shared::activation::Activation;
use crate::shared::memory::Buffer;
use crate::shared::primitives::{Primitive, Tracked, Values, large, small};
use crate::shared::shared_gradient::Deposit;
use crate::shared::weight_slice::{Places, WeightValues};
use crate::simd::InstructionSet;

/// A convolution that uses a slice of a weight.
#[derive(Debug, Clone)]
pub(crate) struct Convolution {
    pub(crate) geometry: Geometry,
    pub(crate) places: Arc<Places>,
    /// The nonlinearity. It is the identity if autodiff records the convolution.
    pub(crate) activation: Activation,
    /// Caches the packed form of a weight that never changes.
    pub(crate) kept: Option<Arc<OnceLock<Prepared>>>,
    /// Receives the gradient of the weight. If `deposit` is `None`, burn receives the gradient.
    pub(crate) deposit: Option<Deposit>,
}

/// Extends the `flex` backend with this crate's kernels for convolution and batch normalization.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait KernelOps: Backend {
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self>;

    fn kernel_conv2d_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self>;

    /// Returns output, mean and variance.
    fn kernel_batch_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        normalization: Normalization,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

fn convolve(
    x: Primitive,
    weight: Primitive,
    bias: Option<Primitive>,
    convolution: &Convolution,
) -> Primitive {
    let Convolution { geometry, places, activation, kept, .. } = convolution;
    let (x, weight, bias) = (Values::new(x), Values::new(weight), bias.map(Values::new));
    let set = InstructionSet::current();
    let prepare = || Prepared::new(set, geometry, WeightValues { values: weight.slice(), places });
    let run = |prepared: &Prepared| prepared.run(x.slice(), bias.as_ref().map(Values::slice), *activation);
    let kept = kept.as_ref().map(|kept| kept.get_or_init(prepare)).filter(|kept| kept.set() == set);
    let output = kept.map_or_else(|| run(&prepare()), run);
    let [height, width] = geometry.output();
    large(output, [geometry.batch(), geometry.out_channels(), height, width])
}

impl KernelOps for Flex {
    fn kernel_conv2d(x: Primitive, weight: Primitive, convolution: Convolution) -> Primitive {
        convolve(x, weight, None, &convolution)
    }

    fn kernel_conv2d_bias(
        x: Primitive,
        weight: Primitive,
        bias: Primitive,
        convolution: Convolution,
    ) -> Primitive {
        convolve(x, weight, Some(bias), &convolution)
    }

    fn kernel_batch_norm(
        x: Primitive,
        scale: Primitive,
        shift: Primitive,
        normalization: Normalization,
    ) -> (Primitive, Primitive, Primitive) {
        let shape = x.shape();
        let (x, scale, shift) = (Values::new(x), Values::new(scale), Values::new(shift));
        let result =
            normalization.forward(InstructionSet::current(), x.slice(), scale.slice(), shift.slice());
        let channels = [normalization.channels()];
        let output = large(result.output, shape);
        (output, small(result.mean, channels), small(result.variance, channels))
    }
}

/// State of a convolution for its backward pass.
#[derive(Debug, Clone)]
struct ConvState {
    x: NodeId,
    weight: NodeId,
    convolution: Convolution,
}

/// A convolution with `N - 2` biases (none or one).
#[derive(Debug)]
struct Conv2d;

impl<const N: usize> Backward<Flex, N> for Conv2d {
    type State = ConvState;

    fn backward(self, ops: Ops<ConvState, N>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let set = InstructionSet::current();
        let ConvState { x, weight, convolution } = ops.state;
        let Convolution { geometry, places, deposit, .. } = &convolution;
        let gradient = Values::new(grads.consume::<Flex>(&ops.node));
        let x = Values::new(checkpointer.retrieve_node_output::<Primitive>(x));
        let weight = Values::new(checkpointer.retrieve_node_output::<Primitive>(weight));
        let [height, width] = geometry.input();
        let x_shape = [geometry.batch(), geometry.in_channels(), height, width];
        let view = WeightValues { values: weight.slice(), places };
        // A deposit has the shape of the slice that was read. burn's gradient has the shape of the whole
        // weight.
        let [kernel_height, kernel_width] = geometry.kernel();
        let part = [geometry.out_channels(), geometry.in_group(), kernel_height, kernel_width];
        let len = if deposit.is_some() { part.iter().product() } else { weight.slice().len() };
        let place = |output: usize, input: usize, tap: [usize; 2]| {
            if deposit.is_none() {
                return places.at(output, input, tap);
            }
            ((output * part[1] + input) * part[2] + tap[0]) * part[3] + tap[1]
        };
        let of_weight = match (&ops.parents[0], &ops.parents[1]) {
            (Some(x_node), Some(_)) => {
                let mut of_x = None;
                let of_weight = Buffer::zeroed_and(len, |values| {
                    let add = |output, input, tap, value| values[place(output, input, tap)] += value;
                    let gradient = gradient.slice();
                    of_x = Some(passes::gradients(set, geometry, x.slice(), view, gradient, add));
                });
                let of_x = of_x.expect("both gradients are computed together");
                grads.register::<Flex>(x_node.id, large(of_x, x_shape));
                Some(of_weight)
            }
            (Some(node), None) => {
                let values = passes::input_gradient(set, geometry, view, gradient.slice());
                grads.register::<Flex>(node.id, large(values, x_shape));
                None
            }
            (None, Some(_)) => Some(Buffer::zeroed_and(len, |values| {
                let add = |output, input, tap, value| values[place(output, input, tap)] += value;
                passes::weight_gradient(set, geometry, x.slice(), gradient.slice(), add);
            })),
            (None, None) => None,
        };
        match (of_weight, deposit, &ops.parents[1]) {
            (Some(values), Some(deposit), _) => deposit.leave(places, part, values),
            (Some(values), None, Some(node)) => {
                grads.register::<Flex>(node.id, large(values, weight.shape()));
            }
            _ => {}
        }
        if let Some(node) = ops.parents.get(2).and_then(Option::as_ref) {
            let values = passes::bias_gradient(set, geometry, gradient.slice());
            grads.register::<Flex>(node.id, small(values, [geometry.out_channels()]));
        }
    }
}

/// State of a batch normalization for its backward pass.
#[derive(Debug, Clone)]
struct NormState {
    inputs: [NodeId; 3],
    mean: Primitive,
    variance: Primitive,
    normalization: Normalization,
}

#[derive(Debug)]
struct BatchNorm;

impl Backward<Flex, 3> for BatchNorm {
    type State = NormState;

    fn backward(self, ops: Ops<NormState, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let shape = gradient.shape();
        let gradient = Values::new(gradient);
        let NormState { inputs, mean, variance, normalization } = ops.state;
        let inputs = inputs.map(|node| Values::new(checkpointer.retrieve_node_output::<Primitive>(node)));
        let [x, scale, shift] = inputs.each_ref().map(Values::slice);
        let (mean, variance) = (Values::new(mean), Values::new(variance));
        let statistics = [mean.slice(), variance.slice()];
        let set = InstructionSet::current();
        let result = normalization.backward(set, x, [scale, shift], statistics, gradient.slice());
        let [x, scale, shift] = &ops.parents;
        if let Some(node) = x {
            grads.register::<Flex>(node.id, large(result.x, shape));
        }
        if let Some(node) = scale {
            grads.register::<Flex>(node.id, small(result.scale, [normalization.channels()]));
        }
        if let Some(node) = shift {
            grads.register::<Flex>(node.id, small(result.shift, [normalization.channels()]));
        }
    }
}

/// Runs a convolution and records it for the backward pass.
fn record<C: CheckpointStrategy, const N: usize>(
    nodes: [NodeGuard; N],
    x: Tracked,
    weight: Tracked,
    bias: Option<Primitive>,
    convolution: Convolution,
) -> Tracked {
    match Conv2d.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            assert_eq!(
                convolution.activation,
                Activation::Identity,
                "a tracked convolution has no activation"
            );
            let (at_x, at_weight) = (prep.checkpoint(&x), prep.checkpoint(&weight));
            let output = convolve(x.into_primitive(), weight.into_primitive(), bias, &convolution);
            prep.finish(ConvState { x: at_x, weight: at_weight, convolution }, output)
        }
        OpsKind::UnTracked(prep) => {
            prep.finish(convolve(x.into_primitive(), weight.into_primitive(), bias, &convolution))
        }
    }
}

impl<C: CheckpointStrategy> KernelOps for Autodiff<Flex, C> {
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self> {
        record::<C, 2>([x.node(), weight.node()], x, weight, None, convolution)
    }

    fn kernel_conv2d_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self> {
        record::<C, 3>(
            [x.node(), weight.node(), bias.node()],
            x,
            weight,
            Some(bias.into_primitive()),
            convolution,
        )
    }

    fn kernel_batch_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        normalization: Normalization,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), scale.node(), shift.node()];
        let (output, mean, variance) = match BatchNorm.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let inputs = [prep.checkpoint(&x), prep.checkpoint(&scale), prep.checkpoint(&shift)];
                let (x, scale, shift) = (x.into_primitive(), scale.into_primitive(), shift.into_primitive());
                let (output, mean, variance) = Flex::kernel_batch_norm(x, scale, shift, normalization);
                let state =
                    NormState { inputs, mean: mean.clone(), variance: variance.clone(), normalization };
                (prep.finish(state, output), mean, variance)
            }
            OpsKind::UnTracked(prep) => {
                let (x, scale, shift) = (x.into_primitive(), scale.into_primitive(), shift.into_primitive());
                let (output, mean, variance) = Flex::kernel_batch_norm(x, scale, shift, normalization);
                (prep.finish(output), mean, variance)
            }
        };
        (output, Self::from_inner(mean), Self::from_inner(variance))
    }
}
