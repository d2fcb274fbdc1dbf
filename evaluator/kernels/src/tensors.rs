//! The operations on burn's tensors, with burn's own wherever these kernels do not apply.

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Device, Tensor, module};

use crate::activation::Activation;
use crate::geometry::Geometry;
use crate::normalization::Normalization;
use crate::operations::KernelOps;

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
    let geometry = Geometry::new(x.dims(), weight.dims(), stride, padding, groups);
    if let Some(bias) = &bias {
        assert_eq!(bias.dims(), [geometry.out_channels], "a bias has one value for each output channel");
    }
    let ours = applies(&x) && applies(&weight) && bias.as_ref().is_none_or(applies);
    if !ours {
        return module::conv2d(x, weight, bias, ConvOptions::new(stride, padding, [1, 1], groups));
    }
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::kernel_conv2d_bias(x, weight, bias.into_dispatch(), geometry),
        None => Dispatch::kernel_conv2d(x, weight, geometry),
    })
}

/// Batch normalization with the statistics of the batch.
///
/// # Shapes
/// - `x` and output: `[batch, channels, ..]`
/// - `scale`, `shift`, mean, variance: `[channels]`
///
/// # Panics
/// When the shapes do not fit each other.
#[must_use]
pub fn batch_norm_train<const D: usize>(
    x: Tensor<D>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    epsilon: f64,
) -> BatchNorm<D> {
    batch_norm_activation_train(x, scale, shift, epsilon, Activation::Identity)
}

/// Batch normalization with the statistics of the batch, and a nonlinearity on its result, in one pass.
///
/// Shapes are those of [`batch_norm_train`].
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
    match device.as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(device) => matches!(&**device, DispatchDevice::Flex(_)),
        #[allow(unreachable_patterns, reason = "there are others when burn is built with more backends")]
        _ => false,
    }
}
