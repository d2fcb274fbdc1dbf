//! Runs the kernel for each kind of step.

use burn::tensor::Tensor;
use burn::tensor::module::{avg_pool2d as avg_pool2d_by_burn, batch_norm};
use burn::tensor::ops::AvgPoolOptions;
use kiln_kernels::{
    Activation, activate, add, avg_pool2d, batch_norm_activation_train, conv2d, conv2d_sliced,
    global_avg_pool2d, linear, linear_sliced, max_pool2d,
};
use kiln_space::{BATCH_NORM_EPSILON, Layer};

use super::observer::Observer;
use super::step::{Step, StepKind};
use super::straight_through::round_by_channel;
use super::weights::{SharedMatrix, Weights};
use super::window::Window;

/// Computes the output of a step. `images` is the network's input. Constant zeros take their batch size,
/// device and number type from it.
pub(super) fn compute(
    step: &Step,
    layer: &Layer,
    weights: &Weights,
    images: &Tensor<4>,
    mut inputs: Vec<Tensor<4>>,
    observer: &mut dyn Observer,
) -> Tensor<4> {
    let epsilon = f64::from(BATCH_NORM_EPSILON);
    match &step.kind {
        StepKind::Pass => one(inputs),
        StepKind::Zero(shape) => {
            let [channels, height, width] = (*shape).into();
            let [batch, ..] = images.dims();
            Tensor::zeros([batch, channels, height, width], (&images.device(), images.dtype()))
        }
        StepKind::Conv(Window { stride, padding, groups, .. }) => {
            let bias = weights.bias(layer);
            conv2d_sliced(one(inputs), weights.shared_kernel(layer), bias, *stride, *padding, *groups)
        }
        StepKind::FoldedConv { kernel, bias, window: Window { stride, padding, groups, .. } } => {
            conv2d(one(inputs), kernel.clone(), Some(bias.clone()), *stride, *padding, *groups)
        }
        StepKind::FoldedLinear { matrix, bias } => {
            linear(one(inputs), matrix.clone(), Some(bias.clone()), Activation::Identity)
        }
        StepKind::RoundedConv(Window { stride, padding, groups, .. }, largest) => {
            let kernel = round_by_channel(weights.kernel(layer), *largest);
            conv2d(one(inputs), kernel, weights.bias(layer), *stride, *padding, *groups)
        }
        StepKind::RoundedLinear(largest) => {
            let matrix = round_by_channel(weights.matrix(layer), *largest);
            linear(one(inputs), matrix, weights.bias(layer), Activation::Identity)
        }
        StepKind::FixedConv(convolution) => convolution.forward(one(inputs)),
        StepKind::IntegerSums { kernel, window } => kernel.forward(one(inputs), *window),
        StepKind::BatchNorm { after } => {
            let (scale, shift) = weights.affine(layer);
            let result = batch_norm_activation_train(one(inputs), scale, shift, epsilon, *after);
            observer.statistics(step.layer, result.mean, result.variance);
            result.output
        }
        StepKind::FixedBatchNorm { scale, shift, mean, variance } => {
            let [scale, shift, mean, variance] = [scale, shift, mean, variance].map(Tensor::clone);
            batch_norm(one(inputs), scale, shift, mean, variance, epsilon)
        }
        StepKind::Linear { after } => {
            let bias = weights.bias(layer);
            let SharedMatrix { whole, part, deposit } = weights.shared_matrix(layer);
            linear_sliced(one(inputs), whole, part, bias, *after, deposit)
        }
        StepKind::Activate(activation) => activate(one(inputs), *activation),
        StepKind::ActivateByBurn(activation) => activation.by_burn(one(inputs)),
        StepKind::MaxPool(Window { size, stride, padding, .. }) => {
            max_pool2d(one(inputs), *size, *stride, *padding)
        }
        StepKind::AveragePool(Window { size, stride, padding, .. }) => {
            avg_pool2d(one(inputs), *size, *stride, *padding)
        }
        StepKind::AveragePoolByBurn(Window { size, stride, padding, .. }) => {
            let options = AvgPoolOptions::new(*size).with_stride(*stride).with_padding(*padding);
            avg_pool2d_by_burn(one(inputs), options.with_count_include_pad(false))
        }
        StepKind::GlobalPool => global_avg_pool2d(one(inputs)),
        StepKind::GlobalPoolByBurn => {
            let input = one(inputs);
            let [batch, channels, _, _] = input.dims();
            input.flatten::<3>(2, 3).mean_dim(2).reshape([batch, channels, 1, 1])
        }
        StepKind::Flatten => {
            let input = one(inputs);
            let [batch, channels, height, width] = input.dims();
            input.reshape([batch, channels * height * width, 1, 1])
        }
        StepKind::Add => inputs.into_iter().reduce(add).expect("a sum has inputs"),
        StepKind::Concat => Tensor::cat(inputs, 1),
        StepKind::Multiply => {
            let right = inputs.pop().expect("a product has two inputs");
            one(inputs) * right
        }
    }
}

/// Returns the only input of a step that reads one value.
fn one(mut inputs: Vec<Tensor<4>>) -> Tensor<4> {
    inputs.pop().expect("a validated layer has its input")
}
