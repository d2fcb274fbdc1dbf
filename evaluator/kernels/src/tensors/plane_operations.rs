//! Nonlinearities and pooling as an extension of burn's backends, with their backward passes.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};

use crate::elementwise::activation_pass;
use crate::pooling::windows::{Kind, Pooling};
use crate::pooling::{global, passes};
use crate::shared::activation::Activation;
use crate::shared::primitives::{Primitive, Tracked, Values, large, small};
use crate::simd::InstructionSet;

/// An operation on each plane of a tensor `[batch, channels, height, width]`, or on each value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PlaneOp {
    /// A nonlinearity, for tensors of any shape.
    Activation(Activation),
    Pooling(Pooling),
    GlobalPooling,
}

impl PlaneOp {
    /// Whether the backward pass reads the values of the input.
    const fn needs_input(&self) -> bool {
        match self {
            Self::Activation(_) => true,
            Self::Pooling(pooling) => matches!(pooling.kind(), Kind::Max),
            Self::GlobalPooling => false,
        }
    }

    fn forward(self, x: Primitive) -> Primitive {
        let shape = x.shape();
        let x = Values::new(x);
        let set = InstructionSet::current();
        match self {
            Self::Activation(activation) => {
                large(activation_pass::forward(activation, set, x.slice()), shape)
            }
            Self::Pooling(pooling) => {
                let output = [shape[0], shape[1], pooling.rows().output(), pooling.columns().output()];
                large(passes::forward(&pooling, set, x.slice()), output)
            }
            Self::GlobalPooling => {
                let means = global::forward(set, x.slice(), shape[2] * shape[3]);
                small(means, [shape[0], shape[1], 1, 1])
            }
        }
    }

    fn backward(self, shape: [usize; 4], x: Option<Primitive>, gradient: Primitive) -> Primitive {
        let set = InstructionSet::current();
        let gradient_shape = gradient.shape();
        let (x, gradient) = (x.map(Values::new), Values::new(gradient));
        let x = x.as_ref().map(Values::slice);
        match self {
            Self::Activation(activation) => {
                let x = x.expect("a nonlinearity keeps its input");
                large(activation_pass::backward(activation, set, x, gradient.slice()), gradient_shape)
            }
            Self::Pooling(pooling) => large(passes::backward(&pooling, set, x, gradient.slice()), shape),
            Self::GlobalPooling => large(global::backward(gradient.slice(), shape[2] * shape[3]), shape),
        }
    }
}

/// Extends the `flex` backend with this crate's kernels for nonlinearities and pooling.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait PlaneOps: Backend {
    fn kernel_planes(x: FloatTensor<Self>, op: PlaneOp) -> FloatTensor<Self>;
}

impl PlaneOps for Flex {
    fn kernel_planes(x: Primitive, op: PlaneOp) -> Primitive {
        op.forward(x)
    }
}

/// State for the backward pass.
#[derive(Debug, Clone)]
struct PlaneState {
    op: PlaneOp,
    /// Shape of the input if it has four dimensions.
    shape: [usize; 4],
    x: Option<NodeId>,
}

#[derive(Debug)]
struct Planes;

impl Backward<Flex, 1> for Planes {
    type State = PlaneState;

    fn backward(self, ops: Ops<PlaneState, 1>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let PlaneState { op, shape, x } = ops.state;
        let gradient = grads.consume::<Flex>(&ops.node);
        let x = x.map(|x| checkpointer.retrieve_node_output::<Primitive>(x));
        if let [Some(node)] = &ops.parents {
            grads.register::<Flex>(node.id, op.backward(shape, x, gradient));
        }
    }
}

impl<C: CheckpointStrategy> PlaneOps for Autodiff<Flex, C> {
    fn kernel_planes(x: Tracked, op: PlaneOp) -> Tracked {
        match Planes.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let dims = x.shape();
                let shape = <[usize; 4]>::try_from(&dims[..]).unwrap_or_default();
                let state = PlaneState { op, shape, x: op.needs_input().then(|| prep.checkpoint(&x)) };
                prep.finish(state, op.forward(x.into_primitive()))
            }
            OpsKind::UnTracked(prep) => prep.finish(op.forward(x.into_primitive())),
        }
    }
}
