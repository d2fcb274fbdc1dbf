//! The network `samples/5`, as a burn module.
//!
//! It takes raw values `[batch, 5, 1, 1]` (grey level 0..255), normalizes them, and gives
//! logits `[batch, 3]` in the order of [`CLASSES`].
//!
//! ```no_run
//! use std::path::Path;
//!
//! use burn::tensor::{Device, Tensor};
//! use samples_5::Network;
//!
//! let device = Device::flex();
//! let network = Network::load(Path::new("weights.safetensors"), &device)?;
//! let logits = network.forward(Tensor::<4>::zeros([1, 5, 1, 1], &device));
//! # Ok::<(), samples_5::layers::WeightsError>(())
//! ```
//!
//! - Parameters: 28; multiply-accumulates for one example: 15
//! - Data: random numbers
//! - Training: none: random weights
//! - `test_accuracy_percent`: 10.25 (test split, 100 examples)
//!
//! Written by Kiln 0.1.0.

pub mod integers;
pub mod layers;

use std::path::Path;

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, LinearConfig};
use burn::tensor::activation;
use burn::tensor::{Device, Tensor};

use integers::{Grid, IntegerLinear};
use layers::{Weights, WeightsError};

/// `[channels, height, width]` of one example.
pub const INPUT: [usize; 3] = [5, 1, 1];

/// Names of the classes, in the order of the logits.
pub const CLASSES: [&str; 3] = ["class 0", "class 1", "class 2"];

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
    /// The values that `act` takes in 8 bits.
    #[module(skip)]
    pub act_grid: Grid,
    /// `norm`: to 5x1x1.
    pub norm: BatchNorm,
    /// `head`: to 3x1x1.
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
            mean: layers::per_channel([144.66113, 146.69937, 116.63623, 119.548584, 135.42711], device),
            deviation: layers::per_channel([61.61251, 54.317684, 45.95054, 59.8632, 42.027473], device),
            input_grid: weights.grid("input")?,
            act_grid: weights.grid("act")?,
            norm: weights.norm("norm", &BatchNormConfig::new(5).with_epsilon(1e-5))?,
            head: weights.integer_linear("head", &LinearConfig::new(5, 3))?,
        })
    }

    /// Logits of a batch of raw values.
    ///
    /// # Shapes
    /// - `raw`: `[batch, 5, 1, 1]`
    /// - output: `[batch, 3]`
    pub fn forward(&self, raw: Tensor<4>) -> Tensor<2> {
        let input = self.input_grid.round((raw - self.mean.clone()) / self.deviation.clone());
        let norm = self.norm.forward(input);
        let act = self.act_grid.round(activation::relu(norm));
        let head = self.head.forward(self.act_grid.steps(act));
        head.flatten(1, 3)
    }
}
