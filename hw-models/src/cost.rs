//! Cost of a layer and of a network on one device, and the contract of cost models.

use std::fmt;

use kiln_space::{Architecture, LayerId};
use serde::{Deserialize, Serialize};

use crate::HwError;

/// Cost of one layer, for the model's batch and threads. A layer that is fused into another costs zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Latency in microseconds.
    pub latency_us: f64,
    /// Energy in microjoules.
    pub energy_uj: f64,
}

/// A prediction with an interval. Nine of ten measurements are expected inside.
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
    /// The interval within a factor of `1 + relative` on both sides of `value`.
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

/// Predicted cost of a network, for the model's batch and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Latency in microseconds.
    pub latency_us: Interval,
    /// Energy in microjoules.
    pub energy_uj: Interval,
    /// Maximum bytes of activations that are live at the same time.
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
/// Laws, checked by the functions of `testing`:
/// - Every number is finite and not negative. An interval contains its value.
/// - An unknown operation or format is an error, never zero.
/// - Equal architectures have equal costs.
pub trait CostModel: Send + Sync {
    /// Device, model and calibration id, such as `xeon-4210r/roofline/datasheet`.
    fn name(&self) -> &str;

    /// The device: the first part of [`CostModel::name`].
    fn device(&self) -> &str {
        let name = self.name();
        name.split_once('/').map_or(name, |(device, _)| device)
    }

    /// Batch and threads of the predictions; `None` for a model that uses neither.
    fn conditions(&self) -> Option<Conditions> {
        None
    }

    /// Everything else that predictions depend on, as text. Two models predict the same if name, conditions
    /// and basis are equal.
    fn basis(&self) -> String {
        String::new()
    }

    /// Cost of one layer.
    ///
    /// # Errors
    /// [`HwError`] when the model does not know the operation or its number format.
    fn layer(&self, architecture: &Architecture, layer: LayerId) -> Result<Cost, HwError>;

    /// Cost of the network.
    ///
    /// # Errors
    /// As [`CostModel::layer`].
    fn network(&self, architecture: &Architecture) -> Result<Estimate, HwError>;
}
