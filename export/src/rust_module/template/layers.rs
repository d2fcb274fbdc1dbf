//! The layers of the network: those with weights, read from a safetensors file, and the operations that burn has no
//! layer for.

use std::fmt;

use burn::module::{Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensorError, SafeTensors};

/// Why weights cannot be used.
#[derive(Debug)]
pub enum WeightsError {
    /// The file cannot be read.
    File(std::io::Error),
    /// The file is no safetensors file, is damaged, or lacks an array.
    Format(SafeTensorError),
    /// An array is not what the network needs.
    Array {
        /// Name of the array.
        name: String,
        /// Type and shape found.
        found: String,
        /// Type and shape expected.
        expected: String,
    },
}

impl fmt::Display for WeightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "cannot read the weights: {error}"),
            Self::Format(error) => write!(f, "cannot use the weights: {error}"),
            Self::Array { name, found, expected } => {
                write!(f, "array `{name}` is {found}, expected {expected}")
            }
        }
    }
}

impl std::error::Error for WeightsError {}

/// Arrays of a safetensors file, on their way to a device.
pub struct Weights<'a> {
    arrays: SafeTensors<'a>,
    /// Where tensors are put.
    pub device: &'a Device,
}

impl<'a> Weights<'a> {
    /// The arrays in these bytes, which are a whole file.
    pub fn read(bytes: &'a [u8], device: &'a Device) -> Result<Self, WeightsError> {
        let arrays = SafeTensors::deserialize(bytes).map_err(WeightsError::Format)?;
        Ok(Self { arrays, device })
    }

    /// The convolution `name`: `name.weight`, and `name.bias` if it has one.
    pub fn conv(&self, name: &str, config: &Conv2dConfig) -> Result<Conv2d, WeightsError> {
        let ([inputs, outputs], [height, width]) = (config.channels, config.kernel_size);
        let weight = self.parameter(name, "weight", [outputs, inputs / config.groups, height, width])?;
        let bias = config.bias.then(|| self.parameter(name, "bias", [outputs])).transpose()?;
        Ok(Conv2d { weight, bias, ..config.init(self.device) })
    }

    /// The fully connected layer `name`: `name.weight`, `[outputs, inputs]`, and `name.bias` if it has one.
    pub fn linear(&self, name: &str, config: &LinearConfig) -> Result<Linear, WeightsError> {
        let (inputs, outputs) = (config.d_input, config.d_output);
        let weight = self.tensor(name, "weight", [outputs, inputs])?.transpose();
        let bias = config.bias.then(|| self.parameter(name, "bias", [outputs])).transpose()?;
        Ok(Linear { weight: Param::from_tensor(weight), bias })
    }

    /// The batch normalization `name`: `name.scale`, `name.shift`, `name.mean` and `name.variance`.
    pub fn norm(&self, name: &str, config: &BatchNormConfig) -> Result<BatchNorm, WeightsError> {
        let size = [config.num_features];
        Ok(BatchNorm {
            gamma: self.parameter(name, "scale", size)?,
            beta: self.parameter(name, "shift", size)?,
            running_mean: RunningState::new(self.tensor(name, "mean", size)?),
            running_var: RunningState::new(self.tensor(name, "variance", size)?),
            ..config.init(self.device)
        })
    }

    fn parameter<const D: usize>(
        &self,
        layer: &str,
        part: &str,
        shape: [usize; D],
    ) -> Result<Param<Tensor<D>>, WeightsError> {
        Ok(Param::from_tensor(self.tensor(layer, part, shape)?))
    }

    /// The array `layer.part` in single precision.
    pub fn tensor<const D: usize>(
        &self,
        layer: &str,
        part: &str,
        shape: [usize; D],
    ) -> Result<Tensor<D>, WeightsError> {
        let (values, _) = self.bytes(layer, part, Dtype::F32, &shape)?.as_chunks();
        Ok(self.put(values.iter().map(|bytes| f32::from_le_bytes(*bytes)), shape))
    }

    /// The bytes of the array `layer.part`, little-endian.
    pub fn bytes(&self, layer: &str, part: &str, dtype: Dtype, shape: &[usize]) -> Result<&'a [u8], WeightsError> {
        let name = format!("{layer}.{part}");
        let array = self.arrays.tensor(&name).map_err(WeightsError::Format)?;
        if array.dtype() != dtype || array.shape() != shape {
            let found = format!("{:?} {:?}", array.dtype(), array.shape());
            return Err(WeightsError::Array { name, found, expected: format!("{dtype:?} {shape:?}") });
        }
        Ok(array.data())
    }

    /// Values, row-major, on the device.
    pub fn put<const D: usize>(&self, values: impl Iterator<Item = f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values.collect(), shape), self.device)
    }
}

/// One number for each channel, to be combined with `[batch, channels, height, width]`.
pub fn per_channel<const C: usize>(values: [f32; C], device: &Device) -> Tensor<4> {
    Tensor::<1>::from_floats(values, device).reshape([1, C, 1, 1])
}

/// `[batch, inputs, 1, 1]` to `[batch, outputs, 1, 1]`.
pub fn fully_connected(layer: &Linear, input: Tensor<4>) -> Tensor<4> {
    let output = layer.forward(input.flatten::<2>(1, 3));
    let [batch, outputs] = output.dims();
    output.reshape([batch, outputs, 1, 1])
}

/// Average over all positions: `[batch, channels, height, width]` to `[batch, channels, 1, 1]`.
pub fn global_average(input: Tensor<4>) -> Tensor<4> {
    let [batch, channels, _, _] = input.dims();
    input.flatten::<3>(2, 3).mean_dim(2).reshape([batch, channels, 1, 1])
}

/// `[batch, channels, height, width]` to `[batch, channels * height * width, 1, 1]`.
pub fn flattened(input: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = input.dims();
    input.reshape([batch, channels * height * width, 1, 1])
}

/// Largest value of each window.
pub fn max_pool(input: Tensor<4>, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Tensor<4> {
    max_pool2d(input, MaxPoolOptions::new(kernel).with_stride(stride).with_padding(padding))
}

/// Average of each window; positions outside the image do not count.
pub fn average_pool(
    input: Tensor<4>,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> Tensor<4> {
    let options = AvgPoolOptions::new(kernel).with_stride(stride).with_padding(padding);
    avg_pool2d(input, options.with_count_include_pad(false))
}

/// `min(max(x, 0), 6)`.
pub fn relu6(x: Tensor<4>) -> Tensor<4> {
    x.clamp(0.0, 6.0)
}

/// `min(max(x + 3, 0), 6) / 6`.
pub fn hard_sigmoid(x: Tensor<4>) -> Tensor<4> {
    relu6(x + 3.0) / 6.0
}

/// `x * hard_sigmoid(x)`.
pub fn hard_swish(x: Tensor<4>) -> Tensor<4> {
    x.clone() * hard_sigmoid(x)
}
