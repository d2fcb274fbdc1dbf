//! Properties of a study that the study's events do not contain.

use kiln_engines::JobsFolder;
use kiln_search::{Constraint, RunPaths, Trial};

use crate::report::PredictedFor;
use crate::units::{self, Numbers};

/// Whether this process runs the study that it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// This process runs the study. Quitting stops it.
    Runs,
    /// This process only watches the study. Quitting does not stop the study.
    Watches,
}

/// Constant properties of a study.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Name of the study.
    pub(crate) study: String,
    /// Paths in the run folder.
    pub(crate) paths: RunPaths,
    /// Names of the objectives.
    pub(crate) objectives: Vec<String>,
    /// Constraints on costs.
    pub(crate) constraints: Vec<Constraint>,
    /// Cost models, and the conditions of their predictions.
    pub(crate) models: Vec<PredictedFor>,
    /// Number of threads in this process that evaluate networks.
    pub(crate) workers: usize,
    /// Number of networks that the study finishes after the search.
    pub(crate) networks: usize,
    /// Whether the metrics of trials are measured or estimated.
    pub(crate) metrics: Numbers,
    /// Whether this process runs the study.
    pub(crate) role: Role,
    /// The folder of jobs, if the study's evaluations are jobs.
    pub(crate) jobs: Option<JobsFolder>,
}

impl Setup {
    /// Whether the metrics of trials are measured or estimated.
    pub(crate) const fn numbers(&self) -> Numbers {
        self.metrics
    }

    /// Returns the heading of a trial's metric or cost.
    pub(crate) fn heading(&self, name: &str) -> String {
        self.numbers().heading(name)
    }

    /// Returns the upper limit of a cost, if there is one.
    pub(crate) fn limit(&self, cost: &str) -> Option<f64> {
        let limits = self.constraints.iter().filter(|constraint| constraint.cost == cost);
        limits.map(|constraint| constraint.max).min_by(f64::total_cmp)
    }
}

/// Returns the trial's metric with this name. If there is no such metric, returns the cost with this name.
pub(crate) fn value(trial: &Trial, name: &str) -> Option<f64> {
    let measured = trial.outcome.measurement().and_then(|measurement| measurement.get(name));
    measured.or_else(|| trial.costs.0.get(name).copied())
}

/// Returns the number to display: an accuracy if the value is an error, otherwise the value itself.
pub(crate) fn displayed(name: &str, value: f64) -> f64 {
    if is_error(name) { 100.0 - value } else { value }
}

/// Formats a value. The text includes the unit unless the heading already does.
pub(crate) fn text(name: &str, value: f64) -> String {
    units::shown(name, value).1
}

/// Returns the heading of a test result or a cost: the name and the unit.
pub(crate) fn heading(name: &str) -> String {
    units::shown(name, 0.0).0
}

/// Abbreviates long words in a heading, so that the heading fits in a column or a title.
pub(crate) fn abbreviated(heading: &str) -> String {
    heading
        .replace("estimated accuracy", "est. acc.")
        .replace("estimated", "est.")
        .replace("peak memory", "memory")
        .replace("parameters", "params")
}

/// Whether this metric is an error, which the terminal UI displays as an accuracy.
pub(crate) fn is_error(name: &str) -> bool {
    name.split('@').next().is_some_and(|base| base.ends_with("error_percent"))
}
