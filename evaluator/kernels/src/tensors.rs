//! The operations on burn's tensors, with burn's own wherever these kernels do not apply.

use std::ops::Range;
use std::sync::Arc;

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Device, Tensor, module};

use crate::activation::Activation;
use crate::geometry::Geometry;
use crate::normalization::Normalization;
use crate::operations::{Convolution, KernelOps};
use crate::shared_gradient::Deposit;
use crate::weight_slice::{Places, WeightSlice};

/// What batch normalization returns.
#[derive(Debug, Clone)]
pub struct BatchNorm<const D: usize> {
    /// The normalized input.
    pub output: Tensor<D>,
    /// The mean of each channel over the batch, detached.
    pub mean: Tensor<1>,
    /// The biased variance of each channel over the batch, detached.
    pub variance: Tensor<1>,
}

/// Convolution in two dimensions with zero padding on both sides.
///
/// # Shapes
/// - `x`: `[batch, in_channels, height, width]`
/// - `weight`: `[out_channels, in_channels / groups, kernel_height, kernel_width]`
/// - `bias`: `[out_channels]`
/// - output: `[batch, out_channels, (height + 2 * padding - kernel) / stride + 1, ..]`
///
/// # Panics
/// When the shapes do not fit each other, or the kernel is larger than the padded image.
#[must_use]
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: [usize; 2],
    padding: [usize; 2],
    groups: usize,
) -> Tensor<4> {
    let slice = WeightSlice::whole(weight.dims());
    conv2d_sliced(x, SharedWeight { whole: weight, slice, deposit: None }, bias, stride, padding, groups)
}

/// A part of a weight that a convolution reads.
#[derive(Debug, Clone)]
pub struct SharedWeight {
    /// The whole weight, `[.., .., .., ..]`, at least what the slice covers.
    pub whole: Tensor<4>,
    /// What is read of it.
    pub slice: WeightSlice,
    /// Where the gradient of just that goes. If nowhere, burn's gradient of the whole weight has zeros where the slice is not, as it
    /// has where these kernels do not apply.
    pub deposit: Option<Deposit>,
}

/// The convolution [`conv2d`] with a part of a weight, which is read where it lies: nothing is copied.
///
/// # Shapes
/// - as [`conv2d`] with a weight of the slice's shape
///
/// # Panics
/// As [`conv2d`], and when the slice goes beyond the weight.
#[must_use]
pub fn conv2d_sliced(
    x: Tensor<4>,
    weight: SharedWeight,
    bias: Option<Tensor<1>>,
    stride: [usize; 2],
    padding: [usize; 2],
    groups: usize,
) -> Tensor<4> {
    let SharedWeight { whole: weight, slice, deposit } = weight;
    let places = Places::new(&slice, weight.dims());
    let geometry = Geometry::new(x.dims(), slice.shape(), stride, padding, groups);
    if !kernels_apply(&geometry, &x, &weight, bias.as_ref()) {
        let weight = cut(weight, &slice);
        return module::conv2d(x, weight, bias, ConvOptions::new(stride, padding, [1, 1], groups));
    }
    let (places, activation) = (Arc::new(places), Activation::Identity);
    run(x, weight, bias, Convolution { geometry, places, activation, kept: None, deposit })
}

pub(crate) fn run(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    convolution: Convolution,
) -> Tensor<4> {
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::kernel_conv2d_bias(x, weight, bias.into_dispatch(), convolution),
        None => Dispatch::kernel_conv2d(x, weight, convolution),
    })
}

/// Whether the kernels take these tensors, whose shapes are checked.
pub(crate) fn kernels_apply(
    geometry: &Geometry,
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
) -> bool {
    if let Some(bias) = bias {
        assert_eq!(bias.dims(), [geometry.out_channels], "a bias has one value for each output channel");
    }
    geometry.out_channels > 0 && applies(x) && applies(weight) && bias.is_none_or(applies)
}

/// A slice of a weight as a tensor of its own; the weight as it is where the slice is all of it.
///
/// # Shapes
/// - output: that of the slice
///
/// # Panics
/// When the slice goes beyond the weight.
#[must_use]
pub fn cut(weight: Tensor<4>, slice: &WeightSlice) -> Tensor<4> {
    let whole = weight.dims();
    slice.check(whole);
    let ([top, left], [height, width]) = (slice.corner(whole), slice.kernel);
    let cropped = if slice.kernel == whole[2..] {
        weight
    } else {
        weight.slice([0..whole[0], 0..whole[1], top..top + height, left..left + width])
    };
    let along = |whole: Tensor<4>, axis: usize, ranges: &[Range<usize>]| match ranges {
        [all] if *all == (0..whole.dims()[axis]) => whole,
        [one] => whole.narrow(axis, one.start, one.len()),
        many => {
            let parts = many.iter().map(|range| whole.clone().narrow(axis, range.start, range.len()));
            Tensor::cat(parts.collect(), axis)
        }
    };
    along(along(cropped, 0, &slice.outputs), 1, &slice.inputs)
}

/// Batch normalization with the statistics of the batch, and a nonlinearity on its result, in one pass.
///
/// # Shapes
/// - `x` and output: `[batch, channels, ..]`
/// - `scale`, `shift`, mean, variance: `[channels]`
///
/// # Panics
/// When the shapes do not fit each other.
#[must_use]
pub fn batch_norm_activation_train<const D: usize>(
    x: Tensor<D>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    epsilon: f64,
    activation: Activation,
) -> BatchNorm<D> {
    const { assert!(D >= 2, "batch normalization is for tensors with a dimension of channels") };
    let dims = x.dims();
    let (batch, channels) = (dims[0], dims[1]);
    assert_eq!(scale.dims(), [channels], "there is a scale for each channel");
    assert_eq!(shift.dims(), [channels], "there is a shift for each channel");
    if !(applies(&x) && applies(&scale) && applies(&shift)) {
        let result = module::batch_norm_train(x, scale, shift, epsilon);
        let output = activation.by_burn(result.output);
        return BatchNorm { output, mean: result.mean, variance: result.variance };
    }
    let plane = dims[2..].iter().product();
    let normalization = Normalization { batch, channels, plane, epsilon, activation };
    let (x, scale, shift) = (x.into_dispatch(), scale.into_dispatch(), shift.into_dispatch());
    let (output, mean, variance) = Dispatch::kernel_batch_norm(x, scale, shift, normalization);
    let statistic = Tensor::from_dispatch;
    BatchNorm { output: Tensor::from_dispatch(output), mean: statistic(mean), variance: statistic(variance) }
}

/// Whether the kernels take this tensor: values of `f32` on the CPU, at least one.
pub(crate) fn applies<const D: usize>(tensor: &Tensor<D>) -> bool {
    runs_on(&tensor.device()) && tensor.dtype() == DType::F32 && tensor.dims().iter().all(|size| *size > 0)
}

/// Whether the kernels run on this device: the CPU, with autodiff or without.
#[must_use]
pub fn runs_on(device: &Device) -> bool {
    let device = device.as_dispatch();
    let inner = if let DispatchDevice::Autodiff(inner) = device { &**inner } else { device };
    matches!(inner, DispatchDevice::Flex(_))
}
