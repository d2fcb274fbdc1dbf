//! Running layers of 8 bits: their values rounded to the grids on which integer runtimes keep them, in single precision.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use kiln_export::{Grid, QuantizedKernel, QuantizedNetwork};
use kiln_space::{Layer, LayerId};

use crate::executor::convolve;

/// A network's grids, and its integer weights as the values they stand for.
#[derive(Clone, Debug)]
pub(crate) struct Integers {
    network: QuantizedNetwork,
    kernels: BTreeMap<LayerId, Kernel>,
}

/// Weights and bias of a layer with integer weights, the normalization after it folded in.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    weight: Weight,
    bias: Tensor<1>,
}

/// Of a convolution, `[out, in / groups, height, width]`, or of a fully connected layer, `[out, in]`.
#[derive(Clone, Debug)]
enum Weight {
    Window(Tensor<4>),
    Matrix(Tensor<2>),
}

impl Integers {
    pub(crate) fn new(network: QuantizedNetwork, device: &Device) -> Self {
        let kernels = network.kernels.iter().map(|(id, kernel)| (*id, Kernel::new(kernel, device))).collect();
        Self { network, kernels }
    }

    /// The weights of a layer that computes in integers.
    pub(crate) fn kernel(&self, id: LayerId) -> Option<&Kernel> {
        self.kernels.get(&id)
    }

    /// Whether a batch normalization does nothing, for it is folded into integer weights.
    pub(crate) fn is_folded(&self, id: LayerId) -> bool {
        self.network.plan.is_folded(id)
    }

    /// Whether a layer reads its inputs in 8 bits.
    pub(crate) fn reads_grids(&self, id: LayerId) -> bool {
        self.network.plan.reads_grids(id)
    }

    /// The value of `input` as `reader` reads it.
    pub(crate) fn read(&self, reader: LayerId, input: LayerId, value: Tensor<4>) -> Tensor<4> {
        round(value, self.network.read_grid(reader, input))
    }

    /// The output of a layer as it is kept.
    pub(crate) fn store(&self, id: LayerId, value: Tensor<4>) -> Tensor<4> {
        round(value, self.network.stored_grid(id))
    }
}

impl Kernel {
    fn new(kernel: &QuantizedKernel, device: &Device) -> Self {
        let data = TensorData::new(kernel.weight_values(), kernel.shape.clone());
        let weight = match kernel.shape.len() {
            4 => Weight::Window(Tensor::from_data(data, device)),
            _ => Weight::Matrix(Tensor::from_data(data, device)),
        };
        let bias = kernel.bias_values();
        let bias = TensorData::new(bias, [kernel.bias.len()]);
        Self { weight, bias: Tensor::from_data(bias, device) }
    }

    /// The output of a layer with these weights, before it is rounded.
    pub(crate) fn sums(&self, layer: &Layer, input: Tensor<4>) -> Tensor<4> {
        match &self.weight {
            Weight::Window(window) => convolve(layer, input, window.clone(), Some(self.bias.clone())),
            Weight::Matrix(matrix) => {
                let ([batch, features, _, _], [outputs, _]) = (input.dims(), matrix.dims());
                let sums = input.reshape([batch, features]).matmul(matrix.clone().transpose());
                (sums + self.bias.clone().unsqueeze()).reshape([batch, outputs, 1, 1])
            }
        }
    }
}

/// The nearest values on a grid, as [`Grid::round`] has them.
fn round(value: Tensor<4>, grid: Option<Grid>) -> Tensor<4> {
    let Some(grid) = grid else { return value };
    let [least, most] = grid.steps();
    (value / grid.scale).round().clamp(least, most) * grid.scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_rounded_as_numbers_are() {
        let grid = Grid::covering(-1.0, 2.0).unwrap();
        let halves = (0..64).map(|i| (f32::from(i8::try_from(i).unwrap()) - 32.0 + 0.5) * grid.scale);
        let values: Vec<f32> = halves.chain((0..64).map(|i| -1.5 + i as f32 * 0.07)).collect();
        let tensor = Tensor::<4>::from_data(TensorData::new(values.clone(), [2, 4, 4, 4]), &Device::flex());
        let found = round(tensor, Some(grid)).into_data().try_to_vec::<f32>().unwrap();
        let expected: Vec<f32> = values.iter().map(|value| grid.round(*value)).collect();
        assert_eq!(found, expected);
    }
}
