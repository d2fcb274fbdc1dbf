//! Converts batch normalization with collected statistics to a factor and a bias for each channel, and folds
//! both into the convolution before it.

use burn::tensor::Tensor;
use kiln_space::{BATCH_NORM_EPSILON, Layer, LayerId};

use super::statistics::Statistics;
use super::weights::Weights;

/// Computes weight and bias of a convolution that includes the normalization after it.
///
/// Normalization computes `factor * x + bias` for each output channel, and a convolution is linear in its
/// weights. The factor can therefore be multiplied into the convolution's weights and bias.
pub(super) fn fold(
    conv: &Layer,
    norm: &Layer,
    norm_id: LayerId,
    weights: &Weights,
    statistics: &Statistics,
) -> (Tensor<4>, Tensor<1>) {
    let (factor, shift) = scaling(norm, norm_id, weights, statistics);
    let channels = factor.dims()[0];
    let kernel = weights.kernel(conv) * factor.clone().reshape([channels, 1, 1, 1]);
    let bias = match weights.bias(conv) {
        Some(bias) => shift + bias * factor,
        None => shift,
    };
    (kernel, bias)
}

/// Like [`fold`], for a fully connected layer.
pub(super) fn fold_linear(
    linear: &Layer,
    norm: &Layer,
    norm_id: LayerId,
    weights: &Weights,
    statistics: &Statistics,
) -> (Tensor<2>, Tensor<1>) {
    let (factor, shift) = scaling(norm, norm_id, weights, statistics);
    let channels = factor.dims()[0];
    let matrix = weights.matrix(linear) * factor.clone().reshape([channels, 1]);
    let bias = match weights.bias(linear) {
        Some(bias) => shift + bias * factor,
        None => shift,
    };
    (matrix, bias)
}

/// Computes factor and bias of a normalization with fixed statistics, `[channels]` each: `factor = scale /
/// sqrt(variance + epsilon)`, `bias = shift - mean * factor`.
pub(super) fn scaling(
    norm: &Layer,
    norm_id: LayerId,
    weights: &Weights,
    statistics: &Statistics,
) -> (Tensor<1>, Tensor<1>) {
    let (mean, variance) = statistics.layer(norm_id);
    let (scale, shift) = weights.affine(norm);
    let factor = scale / (variance + BATCH_NORM_EPSILON).sqrt();
    (factor.clone(), shift - mean * factor)
}
