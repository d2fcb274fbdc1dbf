//! What the screen knows of a study that its events do not tell.

use kiln_search::{Constraint, RunPaths, Trial};

use crate::report::PredictedFor;
use crate::units::{self, Numbers};

/// Whether the process that shows the study also runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It runs the study: leaving stops it.
    Runs,
    /// It only watches: leaving changes nothing.
    Watches,
}

/// Facts of a study that stay the same.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Name of the study.
    pub(crate) study: String,
    /// Files of the run folder.
    pub(crate) paths: RunPaths,
    /// Names of the objectives.
    pub(crate) objectives: Vec<String>,
    /// Limits on costs.
    pub(crate) constraints: Vec<Constraint>,
    /// Cost models, and what they predict for.
    pub(crate) models: Vec<PredictedFor>,
    /// Threads that evaluate, where this process has them.
    pub(crate) workers: usize,
    /// Networks that are finished when the search has ended.
    pub(crate) networks: usize,
    /// What the metrics of trials are.
    pub(crate) metrics: Numbers,
    /// Whether this process runs the study.
    pub(crate) role: Role,
}

impl Setup {
    /// What the metrics of trials are.
    pub(crate) const fn numbers(&self) -> Numbers {
        self.metrics
    }

    /// The heading of a trial's metric or cost.
    pub(crate) fn heading(&self, name: &str) -> String {
        self.numbers().heading(name)
    }

    /// The limit on a cost, if there is one.
    pub(crate) fn limit(&self, cost: &str) -> Option<f64> {
        let limits = self.constraints.iter().filter(|constraint| constraint.cost == cost);
        limits.map(|constraint| constraint.max).min_by(f64::total_cmp)
    }
}

/// What a name stands for in a trial: a metric, or else a cost.
pub(crate) fn value(trial: &Trial, name: &str) -> Option<f64> {
    let measured = trial.outcome.measurement().and_then(|measurement| measurement.get(name));
    measured.or_else(|| trial.costs.0.get(name).copied())
}

/// The number that stands for a value on screens: accuracy for an error, the value itself otherwise.
pub(crate) fn displayed(name: &str, value: f64) -> f64 {
    if is_error(name) { 100.0 - value } else { value }
}

/// A value as text, with its unit where the heading does not say it.
pub(crate) fn text(name: &str, value: f64) -> String {
    units::shown(name, value).1
}

/// The heading of a test result or a cost: what it is, in which unit.
pub(crate) fn heading(name: &str) -> String {
    units::shown(name, 0.0).0
}

/// A heading with its long words abbreviated, for columns and titles.
pub(crate) fn abbreviated(heading: &str) -> String {
    heading
        .replace("estimated accuracy", "est. acc.")
        .replace("estimated", "est.")
        .replace("peak memory", "memory")
        .replace("parameters", "params")
}

/// Whether accuracy is shown instead.
pub(crate) fn is_error(name: &str) -> bool {
    name.split('@').next().is_some_and(|base| base.ends_with("error_percent"))
}
