//! Proposals, outcomes and trials. A trial combines a proposal with its outcome.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiln_space::Genotype;
use serde::{Deserialize, Serialize};

use super::fidelity::Fidelity;
use super::named_values::NamedValues;

/// Id of a trial in its study. Trials are numbered from 0, in the order in which they are proposed.
pub type TrialId = u64;

/// The origin of a proposal. The terminal UI and reports show it. It affects no decision of the study.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The operator that generated the proposal: `random`, `mutation`, `crossover`, ...
    pub operator: String,
    /// The parent trials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<TrialId>,
    /// The cluster from which the proposal was chosen, for strategies with clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<usize>,
}

impl Origin {
    /// Creates the origin of a proposal that `operator` generated from `parents`.
    pub(crate) fn of(operator: &str, parents: Vec<TrialId>) -> Self {
        Self { operator: operator.to_owned(), parents, cluster: None }
    }
}

/// A genotype to evaluate, and the fidelity of the evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// The genotype to evaluate, which is feasible and canonical in its space.
    pub genotype: Genotype,
    /// The fidelity of the evaluation.
    pub fidelity: Fidelity,
    /// How the strategy generated the genotype.
    #[serde(default)]
    pub origin: Origin,
}

/// Metrics of one evaluation. Every metric is finite and minimized. Each name includes the unit
/// (`error_percent`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "NamedValues", into = "NamedValues")]
pub struct Measurement(NamedValues);

/// The error for a metric that is not a finite number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metric `{name}` is {value}, expected a finite number")]
pub struct NotFinite {
    /// Name of the metric.
    pub name: String,
    /// Value of the metric, as text.
    pub value: String,
}

impl Measurement {
    /// Creates a measurement from these metrics.
    ///
    /// # Errors
    /// [`NotFinite`] if a value is NaN or infinite.
    pub fn new(metrics: BTreeMap<String, f64>) -> Result<Self, NotFinite> {
        NamedValues::from(metrics).try_into()
    }

    /// Returns the value of a metric.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Returns all metrics, by name.
    #[must_use]
    pub const fn metrics(&self) -> &NamedValues {
        &self.0
    }
}

impl TryFrom<NamedValues> for Measurement {
    type Error = NotFinite;
    fn try_from(metrics: NamedValues) -> Result<Self, NotFinite> {
        match metrics.iter().find(|(_, value)| !value.is_finite()) {
            Some((name, value)) => Err(NotFinite { name: name.clone(), value: value.to_string() }),
            None => Ok(Self(metrics)),
        }
    }
}

impl From<Measurement> for NamedValues {
    fn from(measurement: Measurement) -> Self {
        measurement.0
    }
}

/// The kind of failure of an architecture's evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The architecture cannot be built.
    Invalid,
    /// The training produced numbers that are not finite, or the loss exploded.
    Diverged,
    /// The evaluation panicked.
    Panicked,
    /// The program that evaluates networks failed: it crashed, hung, or reported no usable result.
    Program,
}

/// The result of evaluating a proposal. A failure is an outcome, too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The architecture was evaluated.
    Measured(Measurement),
    /// The architecture could not be evaluated.
    Failed {
        /// The kind of failure.
        kind: FailureKind,
        /// The reason of the failure, as a text to display.
        reason: String,
    },
}

impl Outcome {
    /// Creates the outcome with these metrics. The outcome is a failure of the kind `Diverged` if a metric is
    /// not finite.
    #[must_use]
    pub fn from_metrics(metrics: BTreeMap<String, f64>) -> Self {
        match Measurement::new(metrics) {
            Ok(measurement) => Self::Measured(measurement),
            Err(error) => Self::Failed { kind: FailureKind::Diverged, reason: error.to_string() },
        }
    }

    /// Returns the measurement, or `None` if the evaluation failed.
    #[must_use]
    pub const fn measurement(&self) -> Option<&Measurement> {
        match self {
            Self::Measured(measurement) => Some(measurement),
            Self::Failed { .. } => None,
        }
    }

    /// Whether the evaluation broke down: it panicked, or its program failed. The cause may be another than
    /// the network, so such outcomes are never stored, several in a row end the study, and the user can have
    /// them repeated.
    pub(crate) const fn is_breakdown(&self) -> bool {
        matches!(self, Self::Failed { kind: FailureKind::Panicked | FailureKind::Program, .. })
    }
}

/// Costs that the study's cost models compute from the architecture. Each name includes the unit:
/// `latency_us`, `energy_uj`, `peak_memory_bytes`, `model_bytes`, `parameters`, `macs`. With several devices,
/// the names of all costs except the last two end in `@device`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Costs(pub NamedValues);

/// Values of the study's objectives, in the order of the config. All objectives are minimized. A failed trial
/// has no values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Objectives(pub Vec<f64>);

/// A proposal and its outcome, with costs and objectives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Id of the trial, in the order of proposals.
    pub id: TrialId,
    /// The proposal that was evaluated.
    pub proposal: Proposal,
    /// The result of the evaluation.
    pub outcome: Outcome,
    /// Costs of the architecture; empty if it cannot be built.
    pub costs: Costs,
    /// Values of the objectives; empty for a failed trial.
    pub objectives: Objectives,
    /// Sum of the relative amounts by which costs exceed the constraints. It is 0 if all constraints are met.
    pub violation: f64,
}

impl Trial {
    /// Shares the lists of metric and cost names with earlier trials, to save memory.
    pub(crate) fn share_names(&mut self, [metrics, costs]: &mut [Arc<[String]>; 2]) {
        if let Outcome::Measured(measured) = &mut self.outcome {
            measured.0.share_names(metrics);
        }
        self.costs.0.share_names(costs);
    }
}
