//! Convolutions of a network that is not trained any more: the normalization after them folded into weight and bias, once
//! for all batches, and the nonlinearity behind computed with it.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Tensor;
use kiln_kernels::{Activation, conv2d_activated};
use kiln_space::{Architecture, BATCH_NORM_EPSILON, Layer, LayerId, Op};

use crate::executor::nonlinearity;
use crate::statistics::Statistics;
use crate::weights::Weights;

/// The folded convolutions of a network.
#[derive(Default)]
pub(crate) struct Folded {
    convolutions: BTreeMap<LayerId, Convolution>,
    /// Layers that were taken into a convolution, whose output is theirs.
    absorbed: BTreeSet<LayerId>,
}

struct Convolution {
    kernel: Tensor<4>,
    bias: Option<Tensor<1>>,
    activation: Activation,
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
            if !matches!(layer.op, Op::Conv2d { .. }) {
                continue;
            }
            let norm = reader_that_folds(architecture, &readers, id);
            let (kernel, bias) = match norm {
                Some(norm) => {
                    let (kernel, bias) = fold(layer, architecture.layer(norm), norm, weights, statistics);
                    (kernel, Some(bias))
                }
                None => (weights.kernel(layer), weights.bias(layer)),
            };
            folded.absorbed.extend(norm);
            let behind = only_reader(norm.unwrap_or(id));
            let is_nonlinear =
                |reader: &LayerId| matches!(architecture.layer(*reader).op, Op::Activation { .. });
            let behind = behind.filter(is_nonlinear);
            folded.absorbed.extend(behind);
            let activation =
                behind.map_or(Activation::Identity, |reader| nonlinearity(architecture.layer(reader)));
            folded.convolutions.insert(id, Convolution { kernel, bias, activation });
        }
        folded
    }

    /// Whether the layer passes its input on, because the convolution before has done its work.
    pub(crate) fn is_absorbed(&self, id: LayerId) -> bool {
        self.absorbed.contains(&id)
    }

    /// The output of a live convolution.
    pub(crate) fn convolve(&self, id: LayerId, layer: &Layer, input: Tensor<4>) -> Tensor<4> {
        let Op::Conv2d { stride, padding, groups, .. } = layer.op else {
            unreachable!("only convolutions are convolved")
        };
        let convolution = self.convolutions.get(&id).expect("every live convolution is folded");
        let (kernel, bias) = (convolution.kernel.clone(), convolution.bias.clone());
        conv2d_activated(input, kernel, bias, stride, padding, groups, convolution.activation)
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
    let (mean, variance) = statistics.layer(norm_id);
    let (scale, shift) = weights.affine(norm);
    let factor = scale / (variance + BATCH_NORM_EPSILON).sqrt();
    let channels = factor.dims()[0];
    let kernel = weights.kernel(conv) * factor.clone().reshape([channels, 1, 1, 1]);
    let mean = match weights.bias(conv) {
        Some(bias) => mean - bias,
        None => mean,
    };
    (kernel, shift - mean * factor)
}
