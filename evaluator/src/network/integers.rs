//! Running layers of 8 bits as integer runtimes do: whole numbers in, whole numbers as weights, and values between layers on
//! their grids. All of it is held in single precision, where sums of whole numbers below 2^24 are exact in any order.

use std::collections::BTreeMap;

use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Tensor, TensorData};
use kiln_export::{Grid, QuantizedKernel, QuantizedNetwork};
use kiln_space::{Layer, LayerId, Op, PoolKind};

use super::operations::{convolve, nonlinearity};

/// A network's grids and its integer weights.
#[derive(Clone, Debug)]
pub(crate) struct Integers {
    network: QuantizedNetwork,
    kernels: BTreeMap<LayerId, Kernel>,
}

/// A layer with integer weights, the normalization after it folded in.
#[derive(Clone, Debug)]
struct Kernel {
    weight: Weight,
    bias: Tensor<1>,
    /// What one of a sum stands for, `[1, out, 1, 1]`.
    step: Tensor<4>,
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

    /// Whether a layer of such a network is computed here, which others are not.
    pub(crate) fn computes(&self, id: LayerId, layer: &Layer) -> bool {
        let by_burn = matches!(
            layer.op,
            Op::Activation { .. } | Op::GlobalPool | Op::Pool { kind: PoolKind::Average, .. }
        );
        by_burn || self.kernels.contains_key(&id) || self.network.plan.is_folded(id)
    }

    /// The output of a layer that [is computed here](Self::computes), from its input as it [reads](Self::read) it.
    ///
    /// What is rounded afterwards keeps to operations of burn, as exported packages do: the last bit of a value may decide
    /// between two grid points.
    pub(crate) fn compute(&self, id: LayerId, layer: &Layer, input: Tensor<4>) -> Tensor<4> {
        if let Some(kernel) = self.kernels.get(&id) {
            return kernel.sums(layer, input) * kernel.step.clone();
        }
        match &layer.op {
            Op::Activation { .. } => nonlinearity(layer).by_burn(input),
            Op::GlobalPool => {
                let [batch, channels, _, _] = input.dims();
                input.flatten::<3>(2, 3).mean_dim(2).reshape([batch, channels, 1, 1])
            }
            Op::Pool { kernel, stride, padding, .. } => {
                let options = AvgPoolOptions::new(*kernel).with_stride(*stride).with_padding(*padding);
                avg_pool2d(input, options.with_count_include_pad(false))
            }
            _ => input,
        }
    }

    /// Whether a layer reads its inputs in 8 bits.
    pub(crate) fn reads_grids(&self, id: LayerId) -> bool {
        self.network.plan.reads_grids(id)
    }

    /// The value of `input` as `reader` reads it: with integer weights, in whole steps.
    pub(crate) fn read(&self, reader: LayerId, input: LayerId, value: Tensor<4>) -> Tensor<4> {
        if self.kernels.contains_key(&reader) {
            // Constant zeros have no grid, and are zero steps of any.
            return match self.network.grids.get(&input) {
                Some(grid) => steps(value, *grid),
                None => value,
            };
        }
        round(value, self.network.read_grid(reader, input))
    }

    /// The output of a layer as it is kept.
    pub(crate) fn store(&self, id: LayerId, value: Tensor<4>) -> Tensor<4> {
        round(value, self.network.stored_grid(id))
    }
}

impl Kernel {
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

    fn sums(&self, layer: &Layer, steps: Tensor<4>) -> Tensor<4> {
        let bias = self.bias.clone();
        match &self.weight {
            Weight::Window(window) => convolve(layer, steps, window.clone(), Some(bias)),
            Weight::Matrix(matrix) => connect(steps, matrix.clone(), bias),
        }
    }
}

/// Fully connected: `[batch, in, 1, 1]` to `[batch, out, 1, 1]`, with a matrix `[out, in]`.
fn connect(input: Tensor<4>, matrix: Tensor<2>, bias: Tensor<1>) -> Tensor<4> {
    let ([batch, features, _, _], [outputs, _]) = (input.dims(), matrix.dims());
    let sums = input.reshape([batch, features]).matmul(matrix.transpose());
    (sums + bias.unsqueeze()).reshape([batch, outputs, 1, 1])
}

/// The nearest numbers of steps away from zero, as [`Grid::quantize`] has them.
fn steps(value: Tensor<4>, grid: Grid) -> Tensor<4> {
    let [least, most] = grid.steps();
    (value / grid.scale).round().clamp(least, most)
}

/// The nearest values on a grid, as [`Grid::round`] has them.
fn round(value: Tensor<4>, grid: Option<Grid>) -> Tensor<4> {
    match grid {
        Some(grid) => steps(value, grid) * grid.scale,
        None => value,
    }
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
        // Read again, what is on the grid is the same number of steps.
        let tensor = Tensor::<4>::from_data(TensorData::new(found, [2, 4, 4, 4]), &Device::flex());
        let found = steps(tensor, grid).into_data().try_to_vec::<f32>().unwrap();
        let whole = |value: &f32| f32::from(i16::from(grid.quantize(*value)) - i16::from(grid.zero_point));
        assert_eq!(found, values.iter().map(whole).collect::<Vec<_>>());
    }
}
