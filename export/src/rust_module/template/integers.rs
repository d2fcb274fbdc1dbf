//! Layers of 8 bits: integer weights, and the grids of the values between layers.
//!
//! burn has no convolution of integers. Whole numbers are computed in single precision instead, where sums below 2^24 are
//! exact.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use safetensors::Dtype;

use crate::layers::{Weights, WeightsError, fully_connected};

/// The values that a number of 8 bits stands for: `(q - zero_point) * step`.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Distance between neighbors.
    pub step: f32,
    /// The integer that stands for zero.
    pub zero_point: i8,
}

impl Grid {
    /// The nearest whole numbers of steps away from zero, half to even.
    pub fn steps(self, value: Tensor<4>) -> Tensor<4> {
        let [least, most] = [i8::MIN, i8::MAX].map(|end| f32::from(end) - f32::from(self.zero_point));
        (value / self.step).round().clamp(least, most)
    }

    /// The nearest values on the grid.
    pub fn round(self, value: Tensor<4>) -> Tensor<4> {
        self.steps(value) * self.step
    }
}

/// A convolution with integer weights.
#[derive(Module, Debug)]
pub struct IntegerConv {
    /// Its weights and bias are whole numbers.
    pub conv: Conv2d,
    /// What one of a sum stands for, `[1, outputs, 1, 1]`.
    pub step: Tensor<4>,
}

impl IntegerConv {
    /// From whole steps of the input to values of the output.
    pub fn forward(&self, steps: Tensor<4>) -> Tensor<4> {
        self.conv.forward(steps) * self.step.clone()
    }
}

/// A fully connected layer with integer weights.
#[derive(Module, Debug)]
pub struct IntegerLinear {
    /// Its weights and bias are whole numbers.
    pub linear: Linear,
    /// What one of a sum stands for, `[1, outputs, 1, 1]`.
    pub step: Tensor<4>,
}

impl IntegerLinear {
    /// From whole steps of the input to values of the output.
    pub fn forward(&self, steps: Tensor<4>) -> Tensor<4> {
        fully_connected(&self.linear, steps) * self.step.clone()
    }
}

impl Weights<'_> {
    /// The convolution `name`: `name.weight_int8`, `name.bias_int32` and `name.bias_step`.
    pub fn integer_conv(&self, name: &str, config: &Conv2dConfig) -> Result<IntegerConv, WeightsError> {
        let ([inputs, outputs], [height, width]) = (config.channels, config.kernel_size);
        let weight = self.weight(name, [outputs, inputs / config.groups, height, width])?;
        let (bias, step) = self.bias(name, outputs)?;
        let conv = Conv2d { weight: Param::from_tensor(weight), bias: Some(bias), ..config.init(self.device) };
        Ok(IntegerConv { conv, step })
    }

    /// The fully connected layer `name`: `name.weight_int8`, `[outputs, inputs]`, `name.bias_int32` and `name.bias_step`.
    pub fn integer_linear(&self, name: &str, config: &LinearConfig) -> Result<IntegerLinear, WeightsError> {
        let weight = self.weight(name, [config.d_output, config.d_input])?.transpose();
        let (bias, step) = self.bias(name, config.d_output)?;
        Ok(IntegerLinear { linear: Linear { weight: Param::from_tensor(weight), bias: Some(bias) }, step })
    }

    /// The grid `name`: `name.step` and `name.zero_point`.
    pub fn grid(&self, name: &str) -> Result<Grid, WeightsError> {
        let step = self.bytes(name, "step", Dtype::F32, &[])?.as_chunks().0[0];
        let zero_point = self.bytes(name, "zero_point", Dtype::I8, &[])?[0];
        Ok(Grid { step: f32::from_le_bytes(step), zero_point: zero_point.cast_signed() })
    }

    fn weight<const D: usize>(&self, layer: &str, shape: [usize; D]) -> Result<Tensor<D>, WeightsError> {
        let bytes = self.bytes(layer, "weight_int8", Dtype::I8, &shape)?;
        Ok(self.put(bytes.iter().map(|byte| f32::from(byte.cast_signed())), shape))
    }

    /// Bias, and what one of it stands for.
    fn bias(&self, layer: &str, outputs: usize) -> Result<(Param<Tensor<1>>, Tensor<4>), WeightsError> {
        let (words, _) = self.bytes(layer, "bias_int32", Dtype::I32, &[outputs])?.as_chunks();
        let bias = self.put(words.iter().map(|bytes| i32::from_le_bytes(*bytes) as f32), [outputs]);
        let step = self.tensor(layer, "bias_step", [outputs])?.reshape([1, outputs, 1, 1]);
        Ok((Param::from_tensor(bias), step))
    }
}
