//! The network `samples/8`, as a burn module.
//!
//! It takes raw values `[batch, 2, 5, 4]` (grey level 0..255), normalizes them, and gives
//! logits `[batch, 3]` in the order of [`CLASSES`].
//!
//! ```no_run
//! use std::path::Path;
//!
//! use burn::tensor::{Device, Tensor};
//! use samples_8::Network;
//!
//! let device = Device::flex();
//! let network = Network::load(Path::new("weights.safetensors"), &device)?;
//! let logits = network.forward(Tensor::<4>::zeros([1, 2, 5, 4], &device));
//! # Ok::<(), samples_8::layers::WeightsError>(())
//! ```
//!
//! - Parameters: 199; multiply-accumulates for one example: 1092
//! - Data: random numbers
//! - Training: none: random weights
//! - `test_accuracy_percent`: 10.25 (test split, 100 examples)
//!
//! Written by Kiln 0.1.0.

pub mod layers;

use std::path::Path;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};

use layers::{Weights, WeightsError};

/// `[channels, height, width]` of one example.
pub const INPUT: [usize; 3] = [2, 5, 4];

/// Names of the classes, in the order of the logits.
pub const CLASSES: [&str; 3] = ["class 0", "class 1", "class 2"];

/// The network with its weights.
#[derive(Module, Debug)]
pub struct Network {
    /// Mean of each input channel, in raw units.
    pub mean: Tensor<4>,
    /// Standard deviation of each input channel, in raw units.
    pub deviation: Tensor<4>,
    /// `conv`: to 4x3x2.
    pub conv: Conv2d,
    /// `head`: to 3x1x1.
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
            mean: layers::per_channel([92.93428, 132.54796], device),
            deviation: layers::per_channel([46.56492, 50.189434], device),
            conv: weights.conv(
                "conv",
                &Conv2dConfig::new([5, 4], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)),
            )?,
            head: weights.linear("head", &LinearConfig::new(4, 3))?,
        })
    }

    /// Logits of a batch of raw values.
    ///
    /// # Shapes
    /// - `raw`: `[batch, 2, 5, 4]`
    /// - output: `[batch, 3]`
    pub fn forward(&self, raw: Tensor<4>) -> Tensor<2> {
        let (batch, device) = (raw.dims()[0], raw.device());
        let first = Tensor::<4>::zeros([batch, 3, 3, 2], &device);
        let second = Tensor::<4>::zeros([batch, 2, 3, 2], &device);
        let joined = Tensor::cat(vec![first, second], 1);
        let conv = self.conv.forward(joined);
        let pool = layers::global_average(conv);
        let head = layers::fully_connected(&self.head, pool);
        head.flatten(1, 3)
    }
}
