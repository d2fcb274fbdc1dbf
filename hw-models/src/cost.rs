//! What a layer and a network cost on one device, and the contract of every cost model.

use std::fmt;

use kiln_space::{Architecture, LayerId};
use serde::{Deserialize, Serialize};

use crate::HwError;

/// Cost of one layer, for the batch and threads that the model was made for. A layer fused into another costs zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Microseconds.
    pub latency_us: f64,
    /// Microjoules.
    pub energy_uj: f64,
}

/// A predicted value with the interval in which nine of ten measurements are expected.
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

/// Predicted cost of a whole network for the batch and threads that the model was made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Microseconds.
    pub latency_us: Interval,
    /// Microjoules.
    pub energy_uj: Interval,
    /// Most bytes of activations alive at one time.
    pub peak_memory_bytes: u64,
    /// Bytes of the stored weights.
    pub model_bytes: u64,
}

/// The conditions for which a cost model predicts latency, energy and peak memory. Numbers for other
/// conditions are not comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// Examples that go through the network together.
    pub batch: u64,
    /// Threads that work on them.
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
/// Laws (checked by the functions of `testing`): every number is finite and not negative; an interval holds its value;
/// an operation or format the model does not know is an error, never zero; equal architectures have equal costs.
pub trait CostModel: Send + Sync {
    /// Device, model and calibration id, such as `xeon-4210r/roofline/datasheet`.
    fn name(&self) -> &str;

    /// The device: the first part of [`CostModel::name`].
    fn device(&self) -> &str {
        let name = self.name();
        name.split_once('/').map_or(name, |(device, _)| device)
    }

    /// For how many examples and threads it predicts; `None` for a model that knows neither.
    fn conditions(&self) -> Option<Conditions> {
        None
    }

    /// What predictions depend on besides name and conditions, as text: two models predict the same if all
    /// three are equal.
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
