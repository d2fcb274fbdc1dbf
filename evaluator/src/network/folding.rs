//! Convolutions of a network that is not trained any more: the normalization after them folded into weight and bias, once
//! for all batches, and the nonlinearity behind computed with it. A normalization that follows no convolution is one with a
//! factor for each channel.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Tensor;
use kiln_kernels::{Activation, FixedConv2d};
use kiln_space::{Architecture, BATCH_NORM_EPSILON, Layer, LayerId, Op};

use super::operations::nonlinearity;
use crate::network::statistics::Statistics;
use crate::network::weights::Weights;

/// The folded convolutions of a network.
#[derive(Default)]
pub(crate) struct Folded {
    convolutions: BTreeMap<LayerId, FixedConv2d>,
    /// Layers that were taken into a convolution, whose output is theirs.
    absorbed: BTreeSet<LayerId>,
}

impl Folded {
    pub(crate) fn new(architecture: &Architecture, weights: &Weights, statistics: &Statistics) -> Self {
        let (live, readers) = (architecture.live(), architecture.readers());
        let only_reader = |id: LayerId| match readers[id.0].as_slice() {
            [reader] => Some(*reader),
            _ => None,
        };
        let mut folded = Self::default();
        for id in architecture.ids().filter(|id| live[id.0]) {
            let layer = architecture.layer(id);
            // What comes before a layer has been seen before.
            let (last, kernel, bias) = match layer.op {
                Op::Conv2d { .. } => match reader_that_folds(architecture, &readers, id) {
                    Some(norm) => {
                        folded.absorbed.insert(norm);
                        let (kernel, bias) = fold(layer, architecture.layer(norm), norm, weights, statistics);
                        (norm, kernel, Some(bias))
                    }
                    None => (id, weights.kernel(layer), weights.bias(layer)),
                },
                Op::BatchNorm if !folded.is_absorbed(id) => {
                    let (factor, bias) = scaling(layer, id, weights, statistics);
                    let channels = factor.dims()[0];
                    (id, factor.reshape([channels, 1, 1, 1]), Some(bias))
                }
                _ => continue,
            };
            let is_nonlinear =
                |reader: &LayerId| matches!(architecture.layer(*reader).op, Op::Activation { .. });
            let behind = only_reader(last).filter(is_nonlinear);
            folded.absorbed.extend(behind);
            let activation =
                behind.map_or(Activation::Identity, |reader| nonlinearity(architecture.layer(reader)));
            let (stride, padding, groups) = match layer.op {
                Op::Conv2d { stride, padding, groups, .. } => (stride, padding, groups),
                _ => ([1, 1], [0, 0], kernel.dims()[0]),
            };
            let convolution = FixedConv2d::new(kernel, bias, stride, padding, groups, activation);
            folded.convolutions.insert(id, convolution);
        }
        folded
    }

    /// What computes the layer, if it is a convolution here.
    pub(crate) fn convolution(&self, id: LayerId) -> Option<&FixedConv2d> {
        self.convolutions.get(&id)
    }

    /// Whether the layer passes its input on, because the convolution before has done its work.
    pub(crate) fn is_absorbed(&self, id: LayerId) -> bool {
        self.absorbed.contains(&id)
    }
}

/// The batch normalization that alone reads this convolution.
pub(crate) fn reader_that_folds(
    architecture: &Architecture,
    readers: &[Vec<LayerId>],
    id: LayerId,
) -> Option<LayerId> {
    match readers[id.0].as_slice() {
        [reader] if matches!(architecture.layer(*reader).op, Op::BatchNorm) => Some(*reader),
        _ => None,
    }
}

/// Weight and bias of a convolution with the normalization after it.
pub(crate) fn fold(
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

/// What a normalization with fixed statistics multiplies with and adds.
fn scaling(
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
