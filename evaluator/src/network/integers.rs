//! Runs 8-bit layers as integer runtimes do: with integer inputs and integer weights. The outputs of layers
//! are rounded to their quantization grids.
//!
//! Integers are stored in single precision, which represents every integer below 2^24 exactly. Sums of
//! integers below 2^24 are therefore exact in any order.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use kiln_export::{Grid, QuantizedKernel, QuantizedNetwork};
use kiln_kernels::conv2d;
use kiln_space::LayerId;

use super::rounding::Rounding;
use super::window::Window;

/// A network's quantization grids and integer weights.
#[derive(Clone, Debug)]
pub(crate) struct Integers {
    network: QuantizedNetwork,
    kernels: BTreeMap<LayerId, IntegerKernel>,
}

/// The integer weights of a layer. The normalization after the layer is folded into them.
#[derive(Clone, Debug)]
pub(super) struct IntegerKernel {
    weight: Weight,
    bias: Tensor<1>,
    /// The real value of one integer unit of the sum, `[1, out, 1, 1]`.
    step: Tensor<4>,
}

/// Integer weights, of shape `[out, in / groups, height, width]` for a convolution and `[out, in]` for a
/// fully connected layer.
#[derive(Clone, Debug)]
enum Weight {
    Window(Tensor<4>),
    Matrix(Tensor<2>),
}

impl Integers {
    pub(crate) fn new(network: QuantizedNetwork, device: &Device) -> Self {
        let kernels =
            network.kernels.iter().map(|(id, kernel)| (*id, IntegerKernel::new(kernel, device))).collect();
        Self { network, kernels }
    }

    /// Returns the integer weights of a layer if the layer has any.
    pub(super) fn kernel(&self, id: LayerId) -> Option<&IntegerKernel> {
        self.kernels.get(&id)
    }

    /// Whether a layer is a normalization that is folded into integer weights.
    pub(super) fn is_folded(&self, id: LayerId) -> bool {
        self.network.plan.is_folded(id)
    }

    /// Whether a layer reads 8-bit inputs.
    pub(super) fn reads_grids(&self, id: LayerId) -> bool {
        self.network.plan.reads_grids(id)
    }

    /// Returns how the layer `reader` rounds its input, which is the output of the layer `input`. A layer
    /// with integer weights reads quantized values, which are integers.
    pub(super) fn rounding(&self, reader: LayerId, input: LayerId) -> Rounding {
        if self.kernels.contains_key(&reader) {
            // Constant zeros need no grid, because every grid quantizes zero to the integer zero.
            return self.network.grids.get(&input).map_or(Rounding::None, |grid| Rounding::Steps(*grid));
        }
        self.network.read_grid(reader, input).map_or(Rounding::None, Rounding::Nearest)
    }

    /// The grid to which the output of a layer is rounded. Returns `None` if the output is not rounded.
    pub(super) fn stored_grid(&self, id: LayerId) -> Option<Grid> {
        self.network.stored_grid(id)
    }
}

impl IntegerKernel {
    fn new(kernel: &QuantizedKernel, device: &Device) -> Self {
        let weights: Vec<f32> = kernel.weights.iter().map(|weight| f32::from(*weight)).collect();
        let data = TensorData::new(weights, kernel.shape.clone());
        let weight = match kernel.shape.len() {
            4 => Weight::Window(Tensor::from_data(data, device)),
            _ => Weight::Matrix(Tensor::from_data(data, device)),
        };
        let outputs = kernel.bias.len();
        let bias: Vec<f32> = kernel.bias.iter().map(|bias| *bias as f32).collect();
        let bias = Tensor::from_data(TensorData::new(bias, [outputs]), device);
        let step = TensorData::new(kernel.bias_scales.clone(), [1, outputs, 1, 1]);
        Self { weight, bias, step: Tensor::from_data(step, device) }
    }

    /// Computes the output of the layer for quantized inputs. `Window` is used by convolutions only.
    pub(super) fn forward(
        &self,
        steps: Tensor<4>,
        Window { stride, padding, groups, .. }: Window,
    ) -> Tensor<4> {
        let bias = self.bias.clone();
        let sums = match &self.weight {
            Weight::Window(window) => conv2d(steps, window.clone(), Some(bias), stride, padding, groups),
            Weight::Matrix(matrix) => connect(steps, matrix.clone(), bias),
        };
        sums * self.step.clone()
    }
}

/// Computes a fully connected layer from `[batch, in, 1, 1]` to `[batch, out, 1, 1]`, with a matrix `[out,
/// in]`.
fn connect(input: Tensor<4>, matrix: Tensor<2>, bias: Tensor<1>) -> Tensor<4> {
    let ([batch, features, _, _], [outputs, _]) = (input.dims(), matrix.dims());
    let sums = input.reshape([batch, features]).matmul(matrix.transpose());
    (sums + bias.unsqueeze()).reshape([batch, outputs, 1, 1])
}
