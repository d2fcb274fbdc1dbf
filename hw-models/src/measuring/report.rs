//! What a device file says about its own measurements.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::disturbance::Summary;
use crate::{Comparison, Repeats};

/// Where the latencies of a device file come from, and how good its predictions were on networks that it was
/// not fitted to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuringReport {
    /// Name of the runtime.
    pub runtime: String,
    /// Its version. Empty if it does not say.
    pub runtime_version: String,
    /// Processor and instruction set of the machine, if the networks ran on the machine that wrote the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Day on which the measuring began, in universal time: `2026-11-29`.
    pub date: String,
    /// Examples in a batch.
    pub batch: u64,
    /// Number of threads.
    pub threads: u64,
    /// Clock governors of the processor, joined by `, `. Empty if unknown or another machine's.
    pub governor: String,
    /// Highest load of the system during the measuring, averaged over a minute. Absent if unknown or another
    /// machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
    /// Number of networks that the file was fitted to.
    pub fitted: usize,
    /// Agreement with the networks that it was not fitted to, by the name of the cost model.
    pub held_out: BTreeMap<String, HeldOut>,
    /// The session in a few numbers.
    pub session: Summary,
    /// Spread of the visits to the same network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Repeats>,
}

/// Agreement with networks that a file was not fitted to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOut {
    /// Number of networks.
    pub networks: usize,
    /// Mean of |predicted - measured| / measured, in percent.
    pub mean_error_percent: f64,
    /// Median of |predicted - measured| / measured, in percent.
    pub median_error_percent: f64,
    /// Percentage of networks whose prediction is within 10 % of the measurement.
    pub within_10_percent: f64,
    /// Percentage of measurements inside their predicted interval.
    pub within_interval_percent: f64,
    /// Spearman's rank correlation; absent if all predictions or all measurements are equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spearman: Option<f64>,
}

impl From<Comparison> for HeldOut {
    fn from(found: Comparison) -> Self {
        let Comparison { agreement, within_interval_percent } = found;
        Self {
            networks: agreement.networks,
            mean_error_percent: agreement.mean_error_percent,
            median_error_percent: agreement.median_error_percent,
            within_10_percent: agreement.within_a_tenth_percent,
            within_interval_percent,
            spearman: agreement.spearman,
        }
    }
}
