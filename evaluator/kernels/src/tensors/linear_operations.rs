//! The fully connected layer as an extension of burn's backends, with its backward pass.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};

use crate::elementwise::activation_pass;
use crate::linear::layer::Linear;
use crate::shared::activation::Activation;
use crate::shared::primitives::{Primitive, Tracked, Values, large, small};
use crate::simd::InstructionSet;

/// Extends the `flex` backend with this crate's kernels for fully connected layers. Output and `x` have the
/// same number of dimensions.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait LinearOps: Backend {
    fn kernel_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, linear: Linear) -> FloatTensor<Self>;

    fn kernel_linear_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        linear: Linear,
    ) -> FloatTensor<Self>;
}

fn connect(x: Primitive, weight: Primitive, bias: Option<Primitive>, linear: &Linear) -> Primitive {
    let mut shape = vec![1; x.shape().num_dims()];
    (shape[0], shape[1]) = (linear.batch(), linear.outputs());
    let (x, weight, bias) = (Values::new(x), Values::new(weight), bias.map(Values::new));
    let bias = bias.as_ref().map(Values::slice);
    large(linear.forward(InstructionSet::current(), x.slice(), weight.slice(), bias), shape)
}

impl LinearOps for Flex {
    fn kernel_linear(x: Primitive, weight: Primitive, linear: Linear) -> Primitive {
        connect(x, weight, None, &linear)
    }

    fn kernel_linear_bias(x: Primitive, weight: Primitive, bias: Primitive, linear: Linear) -> Primitive {
        connect(x, weight, Some(bias), &linear)
    }
}

/// State for the backward pass.
#[derive(Debug, Clone)]
struct State {
    x: NodeId,
    weight: NodeId,
    /// The output, from which the slope of the nonlinearity is computed. It is `None` for the identity.
    output: Option<Primitive>,
    linear: Linear,
}

/// A layer with `N - 2` biases (none or one).
#[derive(Debug)]
struct Connected;

impl<const N: usize> Backward<Flex, N> for Connected {
    type State = State;

    fn backward(self, ops: Ops<State, N>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let set = InstructionSet::current();
        let State { x, weight, output, linear } = ops.state;
        let gradient = Values::new(grads.consume::<Flex>(&ops.node));
        let of_sums = output.map(|output| {
            let output = Values::new(output);
            activation_pass::backward(linear.activation(), set, output.slice(), gradient.slice())
        });
        let gradient = of_sums.as_ref().map_or_else(|| gradient.slice(), |gradient| gradient.values());
        let x = checkpointer.retrieve_node_output::<Primitive>(x);
        let shape = x.shape();
        let weight = checkpointer.retrieve_node_output::<Primitive>(weight);
        if let Some(node) = &ops.parents[0] {
            let weight = Values::new(weight);
            let values = linear.input_gradient(set, weight.slice(), gradient);
            grads.register::<Flex>(node.id, large(values, shape));
        }
        if let Some(node) = &ops.parents[1] {
            let x = Values::new(x);
            if let Some(deposit) = linear.deposit() {
                let part = [linear.outputs(), linear.inputs(), 1, 1];
                deposit.leave(&linear.places(), part, linear.part_gradient(set, x.slice(), gradient));
            } else {
                let values = linear.weight_gradient(set, x.slice(), gradient);
                grads.register::<Flex>(node.id, large(values, linear.whole()));
            }
        }
        if let Some(node) = ops.parents.get(2).and_then(Option::as_ref) {
            let values = linear.bias_gradient(gradient);
            grads.register::<Flex>(node.id, small(values, [linear.outputs()]));
        }
    }
}

/// Runs a layer, and records it for the backward pass.
fn record<C: CheckpointStrategy, const N: usize>(
    nodes: [NodeGuard; N],
    x: Tracked,
    weight: Tracked,
    bias: Option<Primitive>,
    linear: Linear,
) -> Tracked {
    match Connected.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            assert!(linear.activation().keeps_slope(), "the slope follows from the output");
            let (at_x, at_weight) = (prep.checkpoint(&x), prep.checkpoint(&weight));
            let output = connect(x.into_primitive(), weight.into_primitive(), bias, &linear);
            let kept = (linear.activation() != Activation::Identity).then(|| output.clone());
            prep.finish(State { x: at_x, weight: at_weight, output: kept, linear }, output)
        }
        OpsKind::UnTracked(prep) => {
            prep.finish(connect(x.into_primitive(), weight.into_primitive(), bias, &linear))
        }
    }
}

impl<C: CheckpointStrategy> LinearOps for Autodiff<Flex, C> {
    fn kernel_linear(x: Tracked, weight: Tracked, linear: Linear) -> Tracked {
        record::<C, 2>([x.node(), weight.node()], x, weight, None, linear)
    }

    fn kernel_linear_bias(x: Tracked, weight: Tracked, bias: Tracked, linear: Linear) -> Tracked {
        let nodes = [x.node(), weight.node(), bias.node()];
        record::<C, 3>(nodes, x, weight, Some(bias.into_primitive()), linear)
    }
}
