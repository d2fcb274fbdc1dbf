//! The network `samples/2`, as a burn module.
//!
//! It takes raw values `[batch, 3, 9, 8]` (grey level 0..255), normalizes them, and gives
//! logits `[batch, 5]` in the order of [`CLASSES`].
//!
//! ```no_run
//! use std::path::Path;
//!
//! use burn::tensor::{Device, Tensor};
//! use samples_2::Network;
//!
//! let device = Device::flex();
//! let network = Network::load(Path::new("weights.safetensors"), &device)?;
//! let logits = network.forward(Tensor::<4>::zeros([1, 3, 9, 8], &device));
//! # Ok::<(), samples_2::layers::WeightsError>(())
//! ```
//!
//! - Parameters: 2650; multiply-accumulates for one example: 17660
//! - Data: random numbers
//! - Training: none: random weights
//! - `test_accuracy_percent`: 10.25 (test split, 100 examples)
//!
//! Written by Kiln 0.1.0.

pub mod layers;

use std::path::Path;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation;
use burn::tensor::{Device, Tensor};

use layers::{Weights, WeightsError};

/// `[channels, height, width]` of one example.
pub const INPUT: [usize; 3] = [3, 9, 8];

/// Names of the classes, in the order of the logits.
pub const CLASSES: [&str; 5] = ["class 0", "class 1", "class 2", "class 3", "class 4"];

/// The network with its weights.
#[derive(Module, Debug)]
pub struct Network {
    /// Mean of each input channel, in raw units.
    pub mean: Tensor<4>,
    /// Standard deviation of each input channel, in raw units.
    pub deviation: Tensor<4>,
    /// `stem.conv`: to 8x5x4.
    pub stem_conv: Conv2d,
    /// `stem.bn`: to 8x5x4.
    pub stem_bn: BatchNorm,
    /// `relu.conv`: to 8x5x4.
    pub relu_conv: Conv2d,
    /// `relu6.conv`: to 8x5x4.
    pub relu6_conv: Conv2d,
    /// `hard_swish.conv`: to 8x5x4.
    pub hard_swish_conv: Conv2d,
    /// `hard_sigmoid.conv`: to 8x5x4.
    pub hard_sigmoid_conv: Conv2d,
    /// `sigmoid.conv`: to 8x5x4.
    pub sigmoid_conv: Conv2d,
    /// `silu.conv`: to 8x5x4.
    pub silu_conv: Conv2d,
    /// `tanh.conv`: to 8x5x4.
    pub tanh_conv: Conv2d,
    /// `gelu.conv`: to 8x5x4.
    pub gelu_conv: Conv2d,
    /// `se.reduce`: to 2x1x1.
    pub se_reduce: Conv2d,
    /// `se.expand`: to 8x1x1.
    pub se_expand: Conv2d,
    /// `hidden`: to 12x1x1.
    pub hidden: Linear,
    /// `head`: to 5x1x1.
    pub head: Linear,
}

impl Network {
    /// Reads the weights from a safetensors file.
    pub fn load(path: &Path, device: &Device) -> Result<Self, WeightsError> {
        Self::from_bytes(&std::fs::read(path).map_err(WeightsError::File)?, device)
    }

    /// Reads the weights from the bytes of a safetensors file.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self, WeightsError> {
        let weights = Weights::read(bytes, device)?;
        Ok(Self {
            mean: layers::per_channel([103.501686, 113.37003, 106.71414], device),
            deviation: layers::per_channel([68.04413, 75.923935, 51.010307], device),
            stem_conv: weights.conv(
                "stem.conv",
                &Conv2dConfig::new([3, 8], [3, 3])
                    .with_stride([2, 2])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_bias(false),
            )?,
            stem_bn: weights.norm("stem.bn", &BatchNormConfig::new(8).with_epsilon(1e-5))?,
            relu_conv: weights.conv(
                "relu.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8)
                    .with_bias(false),
            )?,
            relu6_conv: weights.conv(
                "relu6.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8)
                    .with_bias(false),
            )?,
            hard_swish_conv: weights.conv(
                "hard_swish.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8)
                    .with_bias(false),
            )?,
            hard_sigmoid_conv: weights.conv(
                "hard_sigmoid.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8)
                    .with_bias(false),
            )?,
            sigmoid_conv: weights.conv(
                "sigmoid.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8)
                    .with_bias(false),
            )?,
            silu_conv: weights.conv(
                "silu.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8)
                    .with_bias(false),
            )?,
            tanh_conv: weights.conv(
                "tanh.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8)
                    .with_bias(false),
            )?,
            gelu_conv: weights.conv(
                "gelu.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8)
                    .with_bias(false),
            )?,
            se_reduce: weights.conv("se.reduce", &Conv2dConfig::new([8, 2], [1, 1]))?,
            se_expand: weights.conv("se.expand", &Conv2dConfig::new([2, 8], [1, 1]))?,
            hidden: weights.linear("hidden", &LinearConfig::new(144, 12))?,
            head: weights.linear("head", &LinearConfig::new(12, 5).with_bias(false))?,
        })
    }

    /// Logits of a batch of raw values.
    ///
    /// # Shapes
    /// - `raw`: `[batch, 3, 9, 8]`
    /// - output: `[batch, 5]`
    pub fn forward(&self, raw: Tensor<4>) -> Tensor<2> {
        let (batch, device) = (raw.dims()[0], raw.device());
        let input = (raw - self.mean.clone()) / self.deviation.clone();
        let stem_conv = self.stem_conv.forward(input);
        let stem_bn = self.stem_bn.forward(stem_conv);
        let relu_conv = self.relu_conv.forward(stem_bn.clone());
        let relu_2 = activation::relu(relu_conv);
        let relu_add = stem_bn + relu_2;
        let relu6_conv = self.relu6_conv.forward(relu_add.clone());
        let relu6 = layers::relu6(relu6_conv);
        let relu6_add = relu_add + relu6;
        let hard_swish_conv = self.hard_swish_conv.forward(relu6_add.clone());
        let hard_swish = layers::hard_swish(hard_swish_conv);
        let hard_swish_add = relu6_add + hard_swish;
        let hard_sigmoid_conv = self.hard_sigmoid_conv.forward(hard_swish_add.clone());
        let hard_sigmoid = layers::hard_sigmoid(hard_sigmoid_conv);
        let hard_sigmoid_add = hard_swish_add + hard_sigmoid;
        let sigmoid_conv = self.sigmoid_conv.forward(hard_sigmoid_add.clone());
        let sigmoid = activation::sigmoid(sigmoid_conv);
        let sigmoid_add = hard_sigmoid_add + sigmoid;
        let silu_conv = self.silu_conv.forward(sigmoid_add.clone());
        let silu = activation::silu(silu_conv);
        let silu_add = sigmoid_add + silu;
        let tanh_conv = self.tanh_conv.forward(silu_add.clone());
        let tanh = activation::tanh(tanh_conv);
        let tanh_add = silu_add + tanh;
        let gelu_conv = self.gelu_conv.forward(tanh_add.clone());
        let gelu = activation::gelu(gelu_conv);
        let gelu_add = tanh_add + gelu;
        let se_squeeze = layers::global_average(gelu_add.clone());
        let se_reduce = self.se_reduce.forward(se_squeeze);
        let se_expand = self.se_expand.forward(se_reduce);
        let se_gate = layers::hard_sigmoid(se_expand);
        let se_scale = gelu_add * se_gate;
        let square = se_scale.clone() * se_scale.clone();
        let max = layers::max_pool(se_scale, [3, 3], [2, 2], [1, 1]);
        let average = layers::average_pool(square, [3, 3], [2, 2], [1, 1]);
        let zero = Tensor::<4>::zeros([batch, 8, 3, 2], &device);
        let sum = max.clone() + average + zero.clone();
        let concat = Tensor::cat(vec![sum, max, zero], 1);
        let flatten = layers::flattened(concat);
        let hidden = layers::fully_connected(&self.hidden, flatten);
        let head = layers::fully_connected(&self.head, hidden);
        head.flatten(1, 3)
    }
}
