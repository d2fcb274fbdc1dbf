//! The one executor: runs an architecture on weights by key, for supernets, subnets and stand-alone networks alike.

use burn::tensor::Tensor;
use burn::tensor::activation;
use burn::tensor::module::{avg_pool2d, batch_norm, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use kiln_kernels::{batch_norm_train, conv2d};
use kiln_space::{ActivationKind, Architecture, BATCH_NORM_EPSILON, Layer, LayerId, Op, PoolKind};

use crate::statistics::Statistics;
use crate::weights::Weights;

/// Which mean and variance batch normalization uses.
pub(crate) enum Normalization<'a> {
    /// Those of the batch; what each layer saw is appended, if asked for.
    Batch(Option<&'a mut Vec<(LayerId, Tensor<1>, Tensor<1>)>>),
    /// Collected ones, folded into the convolution before where there is one.
    Fixed(&'a Statistics),
}

/// Runs the network.
///
/// # Shapes
/// - `images`: `[batch, channels, height, width]`, the architecture's input
/// - output: `[batch, features]`, the flattened output of the last layer
///
/// # Panics
/// When the weights do not fit the architecture (a validated one, and the space's own parameters, always do).
pub(crate) fn forward(
    architecture: &Architecture,
    weights: &Weights,
    images: Tensor<4>,
    mut normalization: Normalization<'_>,
) -> Tensor<2> {
    let batch = images.dims()[0];
    let live = architecture.live();
    let readers = architecture.readers();
    let mut left: Vec<usize> =
        readers.iter().map(|readers| readers.iter().filter(|reader| live[reader.0]).count()).collect();
    let mut values: Vec<Option<Tensor<4>>> = vec![None; architecture.layers.len()];
    values[0] = Some(images);
    for id in architecture.ids().skip(1).filter(|id| live[id.0]) {
        let layer = architecture.layer(id);
        let inputs: Vec<Tensor<4>> = if matches!(layer.op, Op::Zero { .. }) {
            Vec::new()
        } else {
            layer.inputs.iter().map(|input| take(&mut values, &mut left, *input)).collect()
        };
        let folded = match &normalization {
            Normalization::Fixed(_) => folded_reader(architecture, &readers, id),
            Normalization::Batch(_) => None,
        };
        let output = match (&layer.op, &mut normalization) {
            (Op::Conv2d { .. }, Normalization::Fixed(statistics)) if folded.is_some() => {
                let norm = folded.expect("checked by the guard");
                folded_conv(layer, architecture.layer(norm), norm, weights, one(inputs), statistics)
            }
            (Op::BatchNorm, Normalization::Fixed(statistics)) => {
                if matches!(folded_into(architecture, &readers, layer), Some(true)) {
                    one(inputs)
                } else {
                    let (mean, variance) = statistics.layer(id);
                    let (scale, shift) = affine(layer, weights);
                    batch_norm(one(inputs), scale, shift, mean, variance, f64::from(BATCH_NORM_EPSILON))
                }
            }
            (Op::BatchNorm, Normalization::Batch(seen)) => {
                let (scale, shift) = affine(layer, weights);
                let result = batch_norm_train(one(inputs), scale, shift, f64::from(BATCH_NORM_EPSILON));
                if let Some(seen) = seen {
                    seen.push((id, result.mean, result.variance));
                }
                result.output
            }
            _ => run(layer, weights, inputs, batch, &values),
        };
        values[id.0] = Some(output);
    }
    let output = values.pop().flatten().expect("the last layer is live");
    let [batch, channels, height, width] = output.dims();
    output.reshape([batch, channels * height * width])
}

/// The value of a layer; moved out when its last reader takes it.
fn take(values: &mut [Option<Tensor<4>>], left: &mut [usize], id: LayerId) -> Tensor<4> {
    left[id.0] -= 1;
    let value = if left[id.0] == 0 && id.0 != 0 { values[id.0].take() } else { values[id.0].clone() };
    value.expect("an earlier live layer has a value")
}

fn one(mut inputs: Vec<Tensor<4>>) -> Tensor<4> {
    inputs.pop().expect("a validated layer has its input")
}

fn affine(layer: &Layer, weights: &Weights) -> (Tensor<1>, Tensor<1>) {
    let part = |part| weights.vector(layer, part).expect("batch norm has scale and shift");
    (part("scale"), part("shift"))
}

/// The batch normalization that alone reads this convolution.
fn folded_reader(architecture: &Architecture, readers: &[Vec<LayerId>], id: LayerId) -> Option<LayerId> {
    match readers[id.0].as_slice() {
        [reader] if matches!(architecture.layer(*reader).op, Op::BatchNorm) => Some(*reader),
        _ => None,
    }
}

/// Whether a batch normalization has been folded into the convolution that it reads.
fn folded_into(architecture: &Architecture, readers: &[Vec<LayerId>], norm: &Layer) -> Option<bool> {
    let input = *norm.inputs.first()?;
    Some(matches!(architecture.layer(input).op, Op::Conv2d { .. }) && readers[input.0].len() == 1)
}

/// Convolution with the normalization after it folded into weight and bias.
fn folded_conv(
    conv: &Layer,
    norm: &Layer,
    norm_id: LayerId,
    weights: &Weights,
    input: Tensor<4>,
    statistics: &Statistics,
) -> Tensor<4> {
    let (mean, variance) = statistics.layer(norm_id);
    let (scale, shift) = affine(norm, weights);
    let factor = scale / (variance + BATCH_NORM_EPSILON).sqrt();
    let channels = factor.dims()[0];
    let kernel = weights.kernel(conv) * factor.clone().reshape([channels, 1, 1, 1]);
    let mean = match weights.vector(conv, "bias").filter(|_| has_bias(conv)) {
        Some(bias) => mean - bias,
        None => mean,
    };
    convolve(conv, input, kernel, Some(shift - mean * factor))
}

const fn has_bias(layer: &Layer) -> bool {
    matches!(layer.op, Op::Conv2d { bias: true, .. } | Op::Linear { bias: true, .. })
}

/// Convolution with the layer's stride, padding and groups.
fn convolve(layer: &Layer, input: Tensor<4>, kernel: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
    let Op::Conv2d { stride, padding, groups, .. } = layer.op else {
        unreachable!("only convolutions are convolved")
    };
    conv2d(input, kernel, bias, stride, padding, groups)
}

fn run(
    layer: &Layer,
    weights: &Weights,
    mut inputs: Vec<Tensor<4>>,
    batch: usize,
    values: &[Option<Tensor<4>>],
) -> Tensor<4> {
    match &layer.op {
        Op::Zero { .. } => {
            let device = values[0].as_ref().expect("the input stays").device();
            let [channels, height, width] = layer.output.into();
            Tensor::zeros([batch, channels, height, width], &device)
        }
        Op::Conv2d { .. } => {
            let bias = weights.vector(layer, "bias").filter(|_| has_bias(layer));
            convolve(layer, one(inputs), weights.kernel(layer), bias)
        }
        Op::Linear { out_features, .. } => {
            let input = one(inputs);
            let [batch, features, _, _] = input.dims();
            let output = input.reshape([batch, features]).matmul(weights.matrix(layer).transpose());
            let output = match weights.vector(layer, "bias").filter(|_| has_bias(layer)) {
                Some(bias) => output + bias.unsqueeze(),
                None => output,
            };
            output.reshape([batch, *out_features, 1, 1])
        }
        Op::Activation { kind } => activate(*kind, one(inputs)),
        Op::Pool { kind: PoolKind::Max, kernel, stride, padding } => {
            let options = MaxPoolOptions::new(*kernel).with_stride(*stride).with_padding(*padding);
            max_pool2d(one(inputs), options)
        }
        Op::Pool { kind: PoolKind::Average, kernel, stride, padding } => {
            let options = AvgPoolOptions::new(*kernel).with_stride(*stride).with_padding(*padding);
            avg_pool2d(one(inputs), options.with_count_include_pad(false))
        }
        Op::GlobalPool => {
            let input = one(inputs);
            let [batch, channels, height, width] = input.dims();
            input.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels, 1, 1])
        }
        Op::Flatten => {
            let input = one(inputs);
            let [batch, channels, height, width] = input.dims();
            input.reshape([batch, channels * height * width, 1, 1])
        }
        Op::Add => inputs.into_iter().reduce(|sum, input| sum + input).expect("a sum has inputs"),
        Op::Concat => Tensor::cat(inputs, 1),
        Op::Mul => {
            let right = inputs.pop().expect("a product has two inputs");
            one(inputs) * right
        }
        Op::Input | Op::BatchNorm => unreachable!("handled by the caller"),
    }
}

fn activate(kind: ActivationKind, input: Tensor<4>) -> Tensor<4> {
    let hard_sigmoid = |x: Tensor<4>| (x + 3.0).clamp(0.0, 6.0) / 6.0;
    match kind {
        ActivationKind::Relu => activation::relu(input),
        ActivationKind::Relu6 => input.clamp(0.0, 6.0),
        ActivationKind::HardSwish => input.clone() * hard_sigmoid(input),
        ActivationKind::HardSigmoid => hard_sigmoid(input),
        ActivationKind::Sigmoid => activation::sigmoid(input),
        ActivationKind::Silu => activation::silu(input),
        ActivationKind::Tanh => activation::tanh(input),
        ActivationKind::Gelu => activation::gelu(input),
    }
}
