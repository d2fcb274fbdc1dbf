//! The weights and grids with which a network is trained for 8-bit or 4-bit integers: rounded values in
//! single precision, whose gradients reach the trained weights and step sizes.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use kiln_export::{QuantizedKernel, QuantizedNetwork};
use kiln_space::{Architecture, Layer, LayerId, Op};

use super::folding::{fold, fold_linear};
use super::rounding::Rounding;
use super::statistics::Statistics;
use super::step::StepKind;
use super::straight_through::{LearnedGrid, WeightBounds, change};
use super::weights::Weights;
use super::window::Window;

/// The rounded weights of one step, and the grids of all rounded values. Both come from the same
/// [`QuantizedNetwork`] that would be exported with the present weights.
pub(crate) struct FakeQuantization {
    network: QuantizedNetwork,
    grids: BTreeMap<LayerId, LearnedGrid>,
    kernels: BTreeMap<LayerId, FakeKernel>,
}

/// Rounded weights and bias of a layer.
struct FakeKernel {
    weight: FakeWeight,
    bias: Tensor<1>,
}

enum FakeWeight {
    Window(Tensor<4>),
    Matrix(Tensor<2>),
}

impl FakeQuantization {
    /// Rounds the weights of the layers that `network` has integers for. `network` was made from the values
    /// of `weights`, with weights beyond their bounds set to these bounds. `grids` has the trained grid of
    /// each layer that owns one, and `bounds` the trained bounds of each layer with integer weights.
    ///
    /// # Panics
    /// When a layer with integers has no bounds, or `network` belongs to another architecture.
    pub(crate) fn new(
        architecture: &Architecture,
        weights: &Weights,
        statistics: &Statistics,
        network: QuantizedNetwork,
        grids: BTreeMap<LayerId, LearnedGrid>,
        bounds: &BTreeMap<LayerId, WeightBounds>,
    ) -> Self {
        let mut kernels = BTreeMap::new();
        for (id, norm) in network.plan.kernels() {
            let (layer, rounded, bounds) = (architecture.layer(id), &network.kernels[&id], &bounds[&id]);
            let norm = norm.map(|norm| (architecture.layer(norm), norm));
            let device = bounds.log_steps.device();
            let (weight, bias) = if let Op::Linear { .. } = layer.op {
                let (matrix, bias) = match norm {
                    Some((norm, id)) => fold_linear(layer, norm, id, weights, statistics),
                    None => (weights.matrix(layer), bias_of(layer, weights, &device)),
                };
                let rounded = Tensor::from_data(values(rounded), &device);
                (FakeWeight::Matrix(bounds.through(matrix, rounded)), bias)
            } else {
                let (kernel, bias) = match norm {
                    Some((norm, id)) => fold(layer, norm, id, weights, statistics),
                    None => (weights.kernel(layer), bias_of(layer, weights, &device)),
                };
                let rounded = Tensor::from_data(values(rounded), &device);
                (FakeWeight::Window(bounds.through(kernel, rounded)), bias)
            };
            let bias = Tensor::from_data(bias_values(rounded), &device) + change(bias);
            kernels.insert(id, FakeKernel { weight, bias });
        }
        Self { network, grids, kernels }
    }

    /// The step of a layer with integer weights. `None` for other layers.
    pub(super) fn kernel(&self, id: LayerId, layer: &Layer) -> Option<StepKind> {
        let FakeKernel { weight, bias } = self.kernels.get(&id)?;
        let bias = bias.clone();
        Some(match weight {
            FakeWeight::Window(kernel) => {
                StepKind::FoldedConv { kernel: kernel.clone(), bias, window: Window::of(layer) }
            }
            FakeWeight::Matrix(matrix) => StepKind::FoldedLinear { matrix: matrix.clone(), bias },
        })
    }

    /// Whether a layer is a normalization that is folded into integer weights.
    pub(super) fn is_folded(&self, id: LayerId) -> bool {
        self.network.plan.is_folded(id)
    }

    /// Whether a layer reads 8-bit inputs.
    pub(super) fn reads_grids(&self, id: LayerId) -> bool {
        self.network.plan.reads_grids(id)
    }

    /// How a layer's output is rounded.
    pub(super) fn stored(&self, id: LayerId) -> Rounding {
        self.network.stored_grid(id).map_or(Rounding::None, |_| self.learned(id))
    }

    /// How the layer `reader` rounds the output of the layer `input`.
    pub(super) fn read(&self, reader: LayerId, input: LayerId) -> Rounding {
        self.network.read_grid(reader, input).map_or(Rounding::None, |_| self.learned(input))
    }

    fn learned(&self, id: LayerId) -> Rounding {
        let owner = self.network.plan.owner(id).unwrap_or(id);
        let learned = self.grids.get(&owner).cloned().map(Box::new);
        learned.map_or(Rounding::None, Rounding::Learned)
    }
}

fn bias_of(layer: &Layer, weights: &Weights, device: &Device) -> Tensor<1> {
    weights.bias(layer).unwrap_or_else(|| Tensor::zeros([layer.output.channels], device))
}

/// The values that integer weights represent.
fn values(kernel: &QuantizedKernel) -> TensorData {
    let row = (kernel.weights.len() / kernel.scales.len().max(1)).max(1);
    let value = |(at, weight): (usize, &i8)| f32::from(*weight) * kernel.scales[at / row];
    let values: Vec<f32> = kernel.weights.iter().enumerate().map(value).collect();
    TensorData::new(values, kernel.shape.clone())
}

/// The values that integer biases represent.
fn bias_values(kernel: &QuantizedKernel) -> TensorData {
    let value = |(bias, scale): (&i32, &f32)| *bias as f32 * scale;
    let values: Vec<f32> = kernel.bias.iter().zip(&kernel.bias_scales).map(value).collect();
    let outputs = values.len();
    TensorData::new(values, [outputs])
}
