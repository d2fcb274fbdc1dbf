//! The operations of training and evaluation, forward and backward, on small fixed inputs.

use burn::tensor::activation::softmax;
use burn::tensor::module::batch_norm;
use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_kernels::{
    Activation, activate, add, avg_pool2d, batch_norm_activation_train, conv2d, cross_entropy,
    global_avg_pool2d, linear, max_pool2d,
};
use kiln_space::BATCH_NORM_EPSILON;

/// Allowed difference from the CPU for sums of products, relative to the largest value. GPUs may round
/// factors to the 11 bits of TF32, which causes differences of about 0.0005. A wrong sum differs by much
/// more.
const PRODUCTS: f32 = 5e-3;
/// Allowed difference for all other operations. Devices approximate exponentials differently and sum in
/// another order.
const VALUES: f32 = 1e-3;

/// The results of an operation: each output or gradient with its name.
pub(super) type Parts = Vec<(&'static str, Vec<f32>)>;

/// An operation on fixed inputs.
pub(super) struct Operation {
    pub(super) name: &'static str,
    /// Allowed difference between two devices, relative to the largest value of a part.
    pub(super) tolerance: f32,
    /// Runs the operation on a device.
    pub(super) run: fn(&Device) -> Parts,
}

const fn products(name: &'static str, run: fn(&Device) -> Parts) -> Operation {
    Operation { name, tolerance: PRODUCTS, run }
}

const fn values(name: &'static str, run: fn(&Device) -> Parts) -> Operation {
    Operation { name, tolerance: VALUES, run }
}

/// All operations to compare. Products and convolutions occur with several shapes, because GPUs choose
/// kernels by shape.
pub(super) const OPERATIONS: [Operation; 15] = [
    products("matrix product of 64 x 64 and 64 x 64", |device| product(device, [64, 64, 64])),
    products("matrix product of 5 x 37 and 37 x 10", |device| product(device, [5, 37, 10])),
    products("matrix product of 192 x 256 and 256 x 160", |device| product(device, [192, 256, 160])),
    products("fully connected layer", connected),
    products("convolution 3x3", |device| convolution(device, [4, 16, 12], [24, 16, 3], 1, 1)),
    products("convolution 3x3 of one channel", |device| convolution(device, [8, 1, 8], [8, 1, 3], 1, 1)),
    products("convolution 3x3 with stride 2", |device| convolution(device, [4, 12, 11], [20, 12, 3], 2, 1)),
    products("convolution 1x1", |device| convolution(device, [4, 32, 7], [48, 32, 1], 1, 1)),
    products("depthwise convolution 3x3", |device| convolution(device, [4, 24, 9], [24, 1, 3], 1, 24)),
    values("batch normalization", normalization),
    values("batch normalization with fixed statistics", fixed_normalization),
    values("softmax and cross-entropy", classes),
    values("nonlinearities", nonlinearities),
    values("pooling", pooling),
    values("sum, product and concatenation", joins),
];

/// Pseudo-random values between -1 and 1. Different values of `salt` produce different numbers.
fn noise(count: usize, salt: u32) -> Vec<f32> {
    let value = |place: u32| {
        let mixed = (place + 1).wrapping_mul(0x9e37_79b1) ^ salt.wrapping_mul(0x85eb_ca6b);
        let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2c1b_3c6d);
        // The upper 24 bits are exact in single precision.
        ((mixed ^ (mixed >> 12)) >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count as u32).map(value).collect()
}

fn input<const D: usize>(device: &Device, dims: [usize; D], salt: u32) -> Tensor<D> {
    Tensor::from_data(TensorData::new(noise(dims.iter().product(), salt), dims), device)
}

/// Returns an input tensor for which autodiff computes a gradient.
fn leaf<const D: usize>(device: &Device, dims: [usize; D], salt: u32) -> Tensor<D> {
    input(&device.clone().autodiff(), dims, salt).require_grad()
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().expect("tensors of networks are single precision")
}

/// Runs the backward pass. Each output value has a different factor, so that no two gradients are equal by
/// symmetry.
macro_rules! backward {
    ($device:expr, $output:expr, [$(($name:literal, $leaf:expr)),* $(,)?]) => {{
        let output = $output;
        let weights = input(&$device.clone().autodiff(), output.dims(), 99);
        let gradients = (output.clone() * weights).sum().backward();
        let mut parts: Parts = vec![("output", numbers(output))];
        $(parts.push(($name, numbers($leaf.grad(&gradients).expect("a leaf has a gradient"))));)*
        parts
    }};
}

fn product(device: &Device, [rows, inner, columns]: [usize; 3]) -> Parts {
    let (left, right) = (leaf(device, [rows, inner], 1), leaf(device, [inner, columns], 2));
    let output = left.clone().matmul(right.clone());
    backward!(
        device,
        output,
        [("gradient of the left factor", left), ("gradient of the right factor", right)]
    )
}

fn connected(device: &Device) -> Parts {
    let (x, weight, bias) = (leaf(device, [6, 40], 3), leaf(device, [33, 40], 4), leaf(device, [33], 5));
    let output = linear(x.clone(), weight.clone(), Some(bias.clone()), Activation::Relu);
    backward!(
        device,
        output,
        [("gradient of the input", x), ("gradient of the weight", weight), ("gradient of the bias", bias)]
    )
}

fn convolution(
    device: &Device,
    [batch, channels, size]: [usize; 3],
    [outputs, inputs, kernel]: [usize; 3],
    stride: usize,
    groups: usize,
) -> Parts {
    let x = leaf(device, [batch, channels, size, size], 6);
    let weight = leaf(device, [outputs, inputs, kernel, kernel], 7);
    let bias = leaf(device, [outputs], 8);
    let output = conv2d(x.clone(), weight.clone(), Some(bias.clone()), [stride; 2], [kernel / 2; 2], groups);
    backward!(
        device,
        output,
        [("gradient of the input", x), ("gradient of the weight", weight), ("gradient of the bias", bias)]
    )
}

fn normalization(device: &Device) -> Parts {
    let x = leaf(device, [8, 12, 5, 7], 9);
    let (scale, shift) = (leaf(device, [12], 10), leaf(device, [12], 11));
    let epsilon = f64::from(BATCH_NORM_EPSILON);
    let found =
        batch_norm_activation_train(x.clone(), scale.clone(), shift.clone(), epsilon, Activation::HardSwish);
    let (mean, variance) = (numbers(found.mean), numbers(found.variance));
    let mut parts = backward!(
        device,
        found.output,
        [("gradient of the input", x), ("gradient of the scale", scale), ("gradient of the shift", shift)]
    );
    parts.extend([("mean", mean), ("variance", variance)]);
    parts
}

fn fixed_normalization(device: &Device) -> Parts {
    let vector = |salt| input(device, [12], salt);
    let variance = vector(12).abs() + 0.1;
    let x = input(device, [4, 12, 5, 5], 13);
    let output = batch_norm(x, vector(14), vector(15), vector(16), variance, f64::from(BATCH_NORM_EPSILON));
    vec![("output", numbers(output))]
}

fn classes(device: &Device) -> Parts {
    let logits = leaf(device, [24, 10], 17);
    let labels: Vec<i64> = (0..24).map(|example| example * 7 % 10).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [24]), &device.clone().autodiff());
    let scaled = logits.clone() * 4.0;
    let probabilities = numbers(softmax(scaled.clone(), 1));
    let loss = cross_entropy(scaled, labels, 0.1);
    let mut parts = backward!(device, loss, [("gradient of the logits", logits)]);
    parts.push(("softmax", probabilities));
    parts
}

fn nonlinearities(device: &Device) -> Parts {
    let x = leaf(device, [3, 5, 4, 6], 18);
    // Inputs from -8 to 8 cover every piece of each piecewise function.
    let outputs = Activation::ALL.map(|activation| activate(x.clone() * 8.0, activation)).to_vec();
    backward!(device, Tensor::cat(outputs, 1), [("gradient of the input", x)])
}

fn pooling(device: &Device) -> Parts {
    let x = leaf(device, [3, 6, 9, 9], 19);
    let (kernel, padding) = ([3; 2], [1; 2]);
    let whole = |pooled: Tensor<4>| pooled.flatten::<1>(0, 3);
    let output = Tensor::cat(
        vec![
            whole(max_pool2d(x.clone(), kernel, [2; 2], padding)),
            whole(avg_pool2d(x.clone(), kernel, [1; 2], padding)),
            whole(global_avg_pool2d(x.clone())),
        ],
        0,
    );
    backward!(device, output, [("gradient of the input", x)])
}

fn joins(device: &Device) -> Parts {
    let (a, b) = (leaf(device, [2, 6, 5, 5], 20), leaf(device, [2, 6, 5, 5], 21));
    let gate = leaf(device, [2, 6, 1, 1], 22);
    let joined = Tensor::cat(vec![add(a.clone(), b.clone()), a.clone() * gate.clone()], 1);
    // Subnets read parts of shared weights in this way.
    let output = joined.slice([0..2, 2..11, 1..4, 0..5]);
    backward!(
        device,
        output,
        [("gradient of the first", a), ("gradient of the second", b), ("gradient of the gate", gate)]
    )
}
