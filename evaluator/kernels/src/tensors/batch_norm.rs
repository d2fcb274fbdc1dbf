//! Batch normalization on burn's tensors. If the kernels do not support a tensor, burn's own operation runs.

use burn::backend::Dispatch;
use burn::tensor::{Tensor, module};

use crate::elementwise::normalization::Normalization;
use crate::shared::activation::Activation;
use crate::shared::primitives::applies;
use crate::tensors::operations::KernelOps;

/// Result of a batch normalization.
#[derive(Debug, Clone)]
pub struct BatchNorm<const D: usize> {
    /// The normalized input.
    pub output: Tensor<D>,
    /// The mean of each channel over the batch, detached.
    pub mean: Tensor<1>,
    /// The biased variance of each channel over the batch, detached.
    pub variance: Tensor<1>,
}

/// Batch normalization with the statistics of the batch, and a nonlinearity on the result, in one pass.
///
/// # Shapes
/// - `x` and output: `[batch, channels, ..]`
/// - `scale`, `shift`, mean, variance: `[channels]`
///
/// # Panics
/// When the shapes do not match.
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
    let normalization = Normalization::new([batch, channels, plane], epsilon, activation);
    let (x, scale, shift) = (x.into_dispatch(), scale.into_dispatch(), shift.into_dispatch());
    let (output, mean, variance) = Dispatch::kernel_batch_norm(x, scale, shift, normalization);
    let statistic = Tensor::from_dispatch;
    BatchNorm { output: Tensor::from_dispatch(output), mean: statistic(mean), variance: statistic(variance) }
}
