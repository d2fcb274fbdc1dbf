//! Measured latencies of finished networks. They are observations: no trial, front or cost depends on them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_hw_models::Interval;
use serde::{Deserialize, Serialize};

use super::evaluator::{EvalError, Progress};
use crate::trials::TrialId;

/// The latency of a finished network on a device, beside its prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredLatency {
    /// Id of the trial.
    pub trial: TrialId,
    /// Name of the device in the config.
    pub device: String,
    /// What ran the network, and how.
    pub conditions: MeasuredUnder,
    /// Hash of the measured file. A network that is finished again is measured again.
    pub file: String,
    /// Predicted latency in microseconds.
    pub predicted_us: Interval,
    /// The measurement.
    pub outcome: LatencyOutcome,
}

/// The conditions of a measurement. Latencies of other conditions are not comparable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredUnder {
    /// Name of the runtime: `kiln`, `onnxruntime` or `command`.
    pub runtime: String,
    /// Version of the runtime. Empty if it does not state one.
    pub runtime_version: String,
    /// Hash of the command, if a command ran the networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Examples in a batch.
    pub batch: u64,
    /// Number of threads.
    pub threads: u64,
}

/// The result of measuring one network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LatencyOutcome {
    /// The network ran.
    Measured {
        /// Median latency in microseconds.
        latency_us: f64,
        /// Lowest 95 % bound of the medians of its visits, in microseconds.
        low_us: f64,
        /// Highest 95 % bound of the medians of its visits, in microseconds.
        high_us: f64,
        /// Number of runs.
        runs: u64,
    },
    /// The network did not run on the device.
    Failed {
        /// The reason, for people.
        reason: String,
    },
}

impl MeasuredLatency {
    /// The measured latency in microseconds. `None` if the network failed on the device.
    #[must_use]
    pub const fn latency_us(&self) -> Option<f64> {
        match self.outcome {
            LatencyOutcome::Measured { latency_us, .. } => Some(latency_us),
            LatencyOutcome::Failed { .. } => None,
        }
    }

    /// Measured latency, divided by the predicted latency.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let ratio = self.latency_us()? / self.predicted_us.value;
        ratio.is_finite().then_some(ratio)
    }

    /// Whether the measurement lies in the predicted interval.
    #[must_use]
    pub fn is_as_predicted(&self) -> Option<bool> {
        let latency = self.latency_us()?;
        Some((self.predicted_us.low..=self.predicted_us.high).contains(&latency))
    }

    /// The name and value of the first number that no measurement gives.
    pub(crate) fn implausible(&self) -> Option<(&'static str, f64)> {
        let Interval { value, low, high } = self.predicted_us;
        let predicted = [("predicted_us", value), ("predicted_us.low", low), ("predicted_us.high", high)];
        let measured = match self.outcome {
            LatencyOutcome::Measured { latency_us, low_us, high_us, .. } => {
                vec![("latency_us", latency_us), ("low_us", low_us), ("high_us", high_us)]
            }
            LatencyOutcome::Failed { .. } => Vec::new(),
        };
        let mut predicted = predicted.into_iter().filter(|(_, value)| !(value.is_finite() && *value >= 0.0));
        let mut measured = measured.into_iter().filter(|(_, value)| !(value.is_finite() && *value > 0.0));
        predicted.next().or_else(|| measured.next())
    }
}

/// A finished network that is to be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkToMeasure {
    /// Id of its trial.
    pub trial: TrialId,
    /// Folder with its files.
    pub folder: PathBuf,
    /// Paths of its files, relative to the folder.
    pub files: Vec<String>,
}

/// Measures the latency of finished networks on one device of a study.
pub trait Measurer: Send + Sync {
    /// Name of the device. The study has a cost model with that name.
    fn device(&self) -> &str;

    /// Everything besides the network that latencies depend on.
    ///
    /// # Errors
    /// [`EvalError::Device`] if the runtime cannot be used.
    fn conditions(&self) -> Result<MeasuredUnder, EvalError>;

    /// Measures networks and returns a result for each that was measured or failed. The measurements so far
    /// are kept in the folder `state`, so that an interrupted measuring goes on. If the device does not
    /// answer, the measurer warns and returns nothing.
    ///
    /// # Errors
    /// [`EvalError::Interrupted`] if the user stopped the work. Other errors if files cannot be read or
    /// written.
    fn measure(
        &self,
        networks: &[NetworkToMeasure],
        state: &Path,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<TrialId, LatencyOutcome>, EvalError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(outcome: LatencyOutcome) -> MeasuredLatency {
        MeasuredLatency {
            trial: 3,
            device: "board".to_owned(),
            conditions: MeasuredUnder {
                runtime: "command".to_owned(),
                runtime_version: String::new(),
                command: Some("abc".to_owned()),
                batch: 1,
                threads: 2,
            },
            file: "def".to_owned(),
            predicted_us: Interval { value: 100.0, low: 80.0, high: 125.0 },
            outcome,
        }
    }

    #[test]
    fn ratio_and_interval_match_hand_computation() {
        let ran = |latency_us| {
            measured(LatencyOutcome::Measured { latency_us, low_us: 1.0, high_us: 200.0, runs: 30 })
        };
        assert_eq!((ran(150.0).ratio(), ran(150.0).is_as_predicted()), (Some(1.5), Some(false)));
        assert_eq!((ran(125.0).ratio(), ran(125.0).is_as_predicted()), (Some(1.25), Some(true)));
        assert_eq!(ran(50.0).implausible(), None);
        assert!(matches!(ran(f64::NAN).implausible(), Some(("latency_us", _))));
        let failed = measured(LatencyOutcome::Failed { reason: "no memory".to_owned() });
        assert_eq!((failed.ratio(), failed.is_as_predicted(), failed.implausible()), (None, None, None));
        let text = serde_json::to_string(&failed).unwrap();
        assert_eq!(serde_json::from_str::<MeasuredLatency>(&text).unwrap(), failed);
    }
}
