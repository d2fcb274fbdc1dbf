//! The cost of a layer or a network on one device, and the trait of cost models.

use std::fmt;

use kiln_space::{Architecture, LayerId};
use serde::{Deserialize, Serialize};

use crate::HwError;

/// Cost of one layer, for the model's batch size and threads. A layer that is fused into another layer costs
/// zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Latency in microseconds.
    pub latency_us: f64,
    /// Energy in microjoules.
    pub energy_uj: f64,
}

/// A prediction with an interval. Nine of ten measurements are expected inside the interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The prediction.
    pub value: f64,
    /// 5 % quantile.
    pub low: f64,
    /// 95 % quantile.
    pub high: f64,
}

impl Interval {
    /// Creates the interval within a factor of `1 + relative` on both sides of `value`.
    ///
    /// # Example
    /// ```
    /// let interval = kiln_hw_models::Interval::relative(30.0, 0.5);
    /// assert_eq!((interval.low, interval.high), (20.0, 45.0));
    /// ```
    #[must_use]
    pub fn relative(value: f64, relative: f64) -> Self {
        Self { value, low: value / (1.0 + relative), high: value * (1.0 + relative) }
    }
}

/// Predicted cost of a network, for the model's batch size and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Latency in microseconds.
    pub latency_us: Interval,
    /// Energy in microjoules.
    pub energy_uj: Interval,
    /// Maximum number of bytes of activations that are live at the same time.
    pub peak_memory_bytes: u64,
    /// Bytes of the stored weights.
    pub model_bytes: u64,
}

/// The conditions under which a cost model predicts latency, energy and peak memory. Predictions under
/// different conditions are not comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// Examples in a batch.
    pub batch: u64,
    /// Number of threads.
    pub threads: u64,
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let Self { batch, threads } = *self;
        write!(f, "a batch of {batch} example{} on {threads} thread{}", plural(batch), plural(threads))
    }
}

/// Predicts cost from the architecture alone.
///
/// Every implementation must obey these laws, which the functions of `testing` check:
/// - Every number is finite and not negative. An interval contains its value.
/// - An unknown operation or format is an error, never zero.
/// - Equal architectures have equal costs.
pub trait CostModel: Send + Sync {
    /// Returns the name of the model: device, cost model and calibration, such as
    /// `xeon-4210r/roofline/datasheet`.
    fn name(&self) -> &str;

    /// Returns the name of the device, which is the first part of [`CostModel::name`].
    fn device(&self) -> &str {
        let name = self.name();
        name.split_once('/').map_or(name, |(device, _)| device)
    }

    /// Returns the batch size and threads of the predictions, or `None` if the model uses neither.
    fn conditions(&self) -> Option<Conditions> {
        None
    }

    /// Returns a text that describes everything else on which predictions depend. Two models make equal
    /// predictions if their names, conditions and bases are equal.
    fn basis(&self) -> String {
        String::new()
    }

    /// In what a network is unlike all that the model was fitted to, in words; empty if it resembles them, or
    /// for a model that was not fitted to networks.
    ///
    /// # Errors
    /// As [`CostModel::network`].
    fn unlike(&self, _architecture: &Architecture) -> Result<Vec<String>, HwError> {
        Ok(Vec::new())
    }

    /// Predicts the cost of one layer.
    ///
    /// # Errors
    /// [`HwError`] when the model does not know the operation or its number format.
    fn layer(&self, architecture: &Architecture, layer: LayerId) -> Result<Cost, HwError>;

    /// Predicts the cost of the network.
    ///
    /// # Errors
    /// The errors of [`CostModel::layer`].
    fn network(&self, architecture: &Architecture) -> Result<Estimate, HwError>;
}
