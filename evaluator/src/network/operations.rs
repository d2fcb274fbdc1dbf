//! What each layer computes from its inputs.

use burn::tensor::Tensor;
use kiln_kernels::{
    Activation, activate, add, avg_pool2d, conv2d, conv2d_sliced, global_avg_pool2d, linear_sliced,
    max_pool2d,
};
use kiln_space::{ActivationKind, Layer, Op, PoolKind};

use super::weights::Weights;

/// Convolution with the layer's stride, padding and groups.
pub(super) fn convolve(
    layer: &Layer,
    input: Tensor<4>,
    kernel: Tensor<4>,
    bias: Option<Tensor<1>>,
) -> Tensor<4> {
    let Op::Conv2d { stride, padding, groups, .. } = layer.op else {
        unreachable!("only convolutions are convolved")
    };
    conv2d(input, kernel, bias, stride, padding, groups)
}

/// A layer with weights as they are, or none; `after` is the nonlinearity behind a fully connected one.
pub(super) fn run(
    layer: &Layer,
    weights: &Weights,
    mut inputs: Vec<Tensor<4>>,
    batch: usize,
    values: &[Option<Tensor<4>>],
    after: Activation,
) -> Tensor<4> {
    match &layer.op {
        Op::Zero { .. } => {
            let input = values[0].as_ref().expect("the input stays");
            let [channels, height, width] = layer.output.into();
            Tensor::zeros([batch, channels, height, width], (&input.device(), input.dtype()))
        }
        Op::Conv2d { stride, padding, groups, .. } => {
            let bias = weights.bias(layer);
            conv2d_sliced(one(inputs), weights.shared_kernel(layer), bias, *stride, *padding, *groups)
        }
        Op::Linear { .. } => {
            let bias = weights.bias(layer);
            let (whole, part, deposit) = weights.shared_matrix(layer);
            linear_sliced(one(inputs), whole, part, bias, after, deposit)
        }
        Op::Activation { .. } => activate(one(inputs), nonlinearity(layer)),
        Op::Pool { kind: PoolKind::Max, kernel, stride, padding } => {
            max_pool2d(one(inputs), *kernel, *stride, *padding)
        }
        Op::Pool { kind: PoolKind::Average, kernel, stride, padding } => {
            avg_pool2d(one(inputs), *kernel, *stride, *padding)
        }
        Op::GlobalPool => global_avg_pool2d(one(inputs)),
        Op::Flatten => {
            let input = one(inputs);
            let [batch, channels, height, width] = input.dims();
            input.reshape([batch, channels * height * width, 1, 1])
        }
        Op::Add => inputs.into_iter().reduce(add).expect("a sum has inputs"),
        Op::Concat => Tensor::cat(inputs, 1),
        Op::Mul => {
            let right = inputs.pop().expect("a product has two inputs");
            one(inputs) * right
        }
        Op::Input | Op::BatchNorm => unreachable!("handled by the caller"),
    }
}

/// The kernels' name for what an activation layer computes.
pub(super) fn nonlinearity(layer: &Layer) -> Activation {
    let Op::Activation { kind } = layer.op else { unreachable!("only activations have a nonlinearity") };
    match kind {
        ActivationKind::Relu => Activation::Relu,
        ActivationKind::Relu6 => Activation::Relu6,
        ActivationKind::HardSwish => Activation::HardSwish,
        ActivationKind::HardSigmoid => Activation::HardSigmoid,
        ActivationKind::Sigmoid => Activation::Sigmoid,
        ActivationKind::Silu => Activation::Silu,
        ActivationKind::Tanh => Activation::Tanh,
        ActivationKind::Gelu => Activation::Gelu,
    }
}

/// The input of a layer that has one.
pub(super) fn one(mut inputs: Vec<Tensor<4>>) -> Tensor<4> {
    inputs.pop().expect("a validated layer has its input")
}
