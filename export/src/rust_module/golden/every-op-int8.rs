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

pub mod integers;
pub mod layers;

use std::path::Path;

use burn::module::Module;
use burn::nn::conv::Conv2dConfig;
use burn::nn::{LinearConfig, PaddingConfig2d};
use burn::tensor::activation;
use burn::tensor::{Device, Tensor};

use integers::{Grid, IntegerConv, IntegerLinear};
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
    /// The values that `input` takes in 8 bits.
    #[module(skip)]
    pub input_grid: Grid,
    /// The values that `stem.bn` takes in 8 bits.
    #[module(skip)]
    pub stem_bn_grid: Grid,
    /// The values that `relu` takes in 8 bits.
    #[module(skip)]
    pub relu_grid: Grid,
    /// The values that `relu.add` takes in 8 bits.
    #[module(skip)]
    pub relu_add_grid: Grid,
    /// The values that `relu6` takes in 8 bits.
    #[module(skip)]
    pub relu6_grid: Grid,
    /// The values that `relu6.add` takes in 8 bits.
    #[module(skip)]
    pub relu6_add_grid: Grid,
    /// The values that `hard_swish.conv` takes in 8 bits.
    #[module(skip)]
    pub hard_swish_conv_grid: Grid,
    /// The values that `hard_swish` takes in 8 bits.
    #[module(skip)]
    pub hard_swish_grid: Grid,
    /// The values that `hard_swish.add` takes in 8 bits.
    #[module(skip)]
    pub hard_swish_add_grid: Grid,
    /// The values that `hard_sigmoid.conv` takes in 8 bits.
    #[module(skip)]
    pub hard_sigmoid_conv_grid: Grid,
    /// The values that `hard_sigmoid` takes in 8 bits.
    #[module(skip)]
    pub hard_sigmoid_grid: Grid,
    /// The values that `hard_sigmoid.add` takes in 8 bits.
    #[module(skip)]
    pub hard_sigmoid_add_grid: Grid,
    /// The values that `sigmoid.conv` takes in 8 bits.
    #[module(skip)]
    pub sigmoid_conv_grid: Grid,
    /// The values that `sigmoid` takes in 8 bits.
    #[module(skip)]
    pub sigmoid_grid: Grid,
    /// The values that `sigmoid.add` takes in 8 bits.
    #[module(skip)]
    pub sigmoid_add_grid: Grid,
    /// The values that `silu.conv` takes in 8 bits.
    #[module(skip)]
    pub silu_conv_grid: Grid,
    /// The values that `silu` takes in 8 bits.
    #[module(skip)]
    pub silu_grid: Grid,
    /// The values that `silu.add` takes in 8 bits.
    #[module(skip)]
    pub silu_add_grid: Grid,
    /// The values that `tanh.conv` takes in 8 bits.
    #[module(skip)]
    pub tanh_conv_grid: Grid,
    /// The values that `tanh` takes in 8 bits.
    #[module(skip)]
    pub tanh_grid: Grid,
    /// The values that `tanh.add` takes in 8 bits.
    #[module(skip)]
    pub tanh_add_grid: Grid,
    /// The values that `gelu.conv` takes in 8 bits.
    #[module(skip)]
    pub gelu_conv_grid: Grid,
    /// The values that `gelu` takes in 8 bits.
    #[module(skip)]
    pub gelu_grid: Grid,
    /// The values that `gelu.add` takes in 8 bits.
    #[module(skip)]
    pub gelu_add_grid: Grid,
    /// The values that `se.squeeze` takes in 8 bits.
    #[module(skip)]
    pub se_squeeze_grid: Grid,
    /// The values that `se.reduce` takes in 8 bits.
    #[module(skip)]
    pub se_reduce_grid: Grid,
    /// The values that `se.expand` takes in 8 bits.
    #[module(skip)]
    pub se_expand_grid: Grid,
    /// The values that `se.gate` takes in 8 bits.
    #[module(skip)]
    pub se_gate_grid: Grid,
    /// The values that `se.scale` takes in 8 bits.
    #[module(skip)]
    pub se_scale_grid: Grid,
    /// The values that `square` takes in 8 bits.
    #[module(skip)]
    pub square_grid: Grid,
    /// The values that `average` takes in 8 bits.
    #[module(skip)]
    pub average_grid: Grid,
    /// The values that `sum` takes in 8 bits.
    #[module(skip)]
    pub sum_grid: Grid,
    /// The values that `concat` takes in 8 bits.
    #[module(skip)]
    pub concat_grid: Grid,
    /// The values that `hidden` takes in 8 bits.
    #[module(skip)]
    pub hidden_grid: Grid,
    /// `stem.conv`: to 8x5x4, `stem.bn` folded in.
    pub stem_conv: IntegerConv,
    /// `relu.conv`: to 8x5x4.
    pub relu_conv: IntegerConv,
    /// `relu6.conv`: to 8x5x4.
    pub relu6_conv: IntegerConv,
    /// `hard_swish.conv`: to 8x5x4.
    pub hard_swish_conv: IntegerConv,
    /// `hard_sigmoid.conv`: to 8x5x4.
    pub hard_sigmoid_conv: IntegerConv,
    /// `sigmoid.conv`: to 8x5x4.
    pub sigmoid_conv: IntegerConv,
    /// `silu.conv`: to 8x5x4.
    pub silu_conv: IntegerConv,
    /// `tanh.conv`: to 8x5x4.
    pub tanh_conv: IntegerConv,
    /// `gelu.conv`: to 8x5x4.
    pub gelu_conv: IntegerConv,
    /// `se.reduce`: to 2x1x1.
    pub se_reduce: IntegerConv,
    /// `se.expand`: to 8x1x1.
    pub se_expand: IntegerConv,
    /// `hidden`: to 12x1x1.
    pub hidden: IntegerLinear,
    /// `head`: to 5x1x1.
    pub head: IntegerLinear,
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
            input_grid: weights.grid("input")?,
            stem_bn_grid: weights.grid("stem.bn")?,
            relu_grid: weights.grid("relu")?,
            relu_add_grid: weights.grid("relu.add")?,
            relu6_grid: weights.grid("relu6")?,
            relu6_add_grid: weights.grid("relu6.add")?,
            hard_swish_conv_grid: weights.grid("hard_swish.conv")?,
            hard_swish_grid: weights.grid("hard_swish")?,
            hard_swish_add_grid: weights.grid("hard_swish.add")?,
            hard_sigmoid_conv_grid: weights.grid("hard_sigmoid.conv")?,
            hard_sigmoid_grid: weights.grid("hard_sigmoid")?,
            hard_sigmoid_add_grid: weights.grid("hard_sigmoid.add")?,
            sigmoid_conv_grid: weights.grid("sigmoid.conv")?,
            sigmoid_grid: weights.grid("sigmoid")?,
            sigmoid_add_grid: weights.grid("sigmoid.add")?,
            silu_conv_grid: weights.grid("silu.conv")?,
            silu_grid: weights.grid("silu")?,
            silu_add_grid: weights.grid("silu.add")?,
            tanh_conv_grid: weights.grid("tanh.conv")?,
            tanh_grid: weights.grid("tanh")?,
            tanh_add_grid: weights.grid("tanh.add")?,
            gelu_conv_grid: weights.grid("gelu.conv")?,
            gelu_grid: weights.grid("gelu")?,
            gelu_add_grid: weights.grid("gelu.add")?,
            se_squeeze_grid: weights.grid("se.squeeze")?,
            se_reduce_grid: weights.grid("se.reduce")?,
            se_expand_grid: weights.grid("se.expand")?,
            se_gate_grid: weights.grid("se.gate")?,
            se_scale_grid: weights.grid("se.scale")?,
            square_grid: weights.grid("square")?,
            average_grid: weights.grid("average")?,
            sum_grid: weights.grid("sum")?,
            concat_grid: weights.grid("concat")?,
            hidden_grid: weights.grid("hidden")?,
            stem_conv: weights.integer_conv(
                "stem.conv",
                &Conv2dConfig::new([3, 8], [3, 3])
                    .with_stride([2, 2])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)),
            )?,
            relu_conv: weights.integer_conv(
                "relu.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8),
            )?,
            relu6_conv: weights.integer_conv(
                "relu6.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8),
            )?,
            hard_swish_conv: weights.integer_conv(
                "hard_swish.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8),
            )?,
            hard_sigmoid_conv: weights.integer_conv(
                "hard_sigmoid.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8),
            )?,
            sigmoid_conv: weights.integer_conv(
                "sigmoid.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8),
            )?,
            silu_conv: weights.integer_conv(
                "silu.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8),
            )?,
            tanh_conv: weights.integer_conv(
                "tanh.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8),
            )?,
            gelu_conv: weights.integer_conv(
                "gelu.conv",
                &Conv2dConfig::new([8, 8], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_groups(8),
            )?,
            se_reduce: weights.integer_conv("se.reduce", &Conv2dConfig::new([8, 2], [1, 1]))?,
            se_expand: weights.integer_conv("se.expand", &Conv2dConfig::new([2, 8], [1, 1]))?,
            hidden: weights.integer_linear("hidden", &LinearConfig::new(144, 12))?,
            head: weights.integer_linear("head", &LinearConfig::new(12, 5))?,
        })
    }

    /// Logits of a batch of raw values.
    ///
    /// # Shapes
    /// - `raw`: `[batch, 3, 9, 8]`
    /// - output: `[batch, 5]`
    pub fn forward(&self, raw: Tensor<4>) -> Tensor<2> {
        let (batch, device) = (raw.dims()[0], raw.device());
        let input = self.input_grid.round((raw - self.mean.clone()) / self.deviation.clone());
        let stem_conv = self.stem_conv.forward(self.input_grid.steps(input));
        let stem_conv = self.stem_bn_grid.round(stem_conv);
        let relu_conv = self.relu_conv.forward(self.stem_bn_grid.steps(stem_conv.clone()));
        let relu_2 = self.relu_grid.round(activation::relu(relu_conv));
        let relu_add = self.relu_add_grid.round(stem_conv + relu_2);
        let relu6_conv = self.relu6_conv.forward(self.relu_add_grid.steps(relu_add.clone()));
        let relu6 = self.relu6_grid.round(layers::relu6(relu6_conv));
        let relu6_add = self.relu6_add_grid.round(relu_add + relu6);
        let hard_swish_conv = self.hard_swish_conv.forward(self.relu6_add_grid.steps(relu6_add.clone()));
        let hard_swish_conv = self.hard_swish_conv_grid.round(hard_swish_conv);
        let hard_swish = self.hard_swish_grid.round(layers::hard_swish(hard_swish_conv));
        let hard_swish_add = self.hard_swish_add_grid.round(relu6_add + hard_swish);
        let hard_sigmoid_conv = self.hard_sigmoid_conv.forward(self.hard_swish_add_grid.steps(hard_swish_add.clone()));
        let hard_sigmoid_conv = self.hard_sigmoid_conv_grid.round(hard_sigmoid_conv);
        let hard_sigmoid = self.hard_sigmoid_grid.round(layers::hard_sigmoid(hard_sigmoid_conv));
        let hard_sigmoid_add = self.hard_sigmoid_add_grid.round(hard_swish_add + hard_sigmoid);
        let sigmoid_conv = self.sigmoid_conv.forward(self.hard_sigmoid_add_grid.steps(hard_sigmoid_add.clone()));
        let sigmoid_conv = self.sigmoid_conv_grid.round(sigmoid_conv);
        let sigmoid = self.sigmoid_grid.round(activation::sigmoid(sigmoid_conv));
        let sigmoid_add = self.sigmoid_add_grid.round(hard_sigmoid_add + sigmoid);
        let silu_conv = self.silu_conv.forward(self.sigmoid_add_grid.steps(sigmoid_add.clone()));
        let silu_conv = self.silu_conv_grid.round(silu_conv);
        let silu = self.silu_grid.round(activation::silu(silu_conv));
        let silu_add = self.silu_add_grid.round(sigmoid_add + silu);
        let tanh_conv = self.tanh_conv.forward(self.silu_add_grid.steps(silu_add.clone()));
        let tanh_conv = self.tanh_conv_grid.round(tanh_conv);
        let tanh = self.tanh_grid.round(activation::tanh(tanh_conv));
        let tanh_add = self.tanh_add_grid.round(silu_add + tanh);
        let gelu_conv = self.gelu_conv.forward(self.tanh_add_grid.steps(tanh_add.clone()));
        let gelu_conv = self.gelu_conv_grid.round(gelu_conv);
        let gelu = self.gelu_grid.round(activation::gelu(gelu_conv));
        let gelu_add = self.gelu_add_grid.round(tanh_add + gelu);
        let se_squeeze = self.se_squeeze_grid.round(layers::global_average(gelu_add.clone()));
        let se_reduce = self.se_reduce.forward(self.se_squeeze_grid.steps(se_squeeze));
        let se_reduce = self.se_reduce_grid.round(se_reduce);
        let se_expand = self.se_expand.forward(self.se_reduce_grid.steps(se_reduce));
        let se_expand = self.se_expand_grid.round(se_expand);
        let se_gate = self.se_gate_grid.round(layers::hard_sigmoid(se_expand));
        let se_scale = self.se_scale_grid.round(gelu_add * se_gate);
        let square = self.square_grid.round(se_scale.clone() * se_scale.clone());
        let max = layers::max_pool(se_scale, [3, 3], [2, 2], [1, 1]);
        let average = layers::average_pool(square, [3, 3], [2, 2], [1, 1]);
        let average = self.average_grid.round(average);
        let zero = Tensor::<4>::zeros([batch, 8, 3, 2], &device);
        let sum = self.sum_grid.round(max.clone() + average + zero.clone());
        let concat = self.concat_grid.round(Tensor::cat(vec![sum, max, zero], 1));
        let flatten = layers::flattened(concat);
        let hidden = self.hidden_grid.round(self.hidden.forward(self.concat_grid.steps(flatten)));
        let head = self.head.forward(self.hidden_grid.steps(hidden));
        head.flatten(1, 3)
    }
}
