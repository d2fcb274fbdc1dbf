//! What each worker did.

use std::time::Duration;

use kiln_search::TrialId;

/// A thread that evaluates.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Worker {
    /// Evaluations.
    pub(crate) trials: u64,
    /// Seconds of all of them.
    pub(crate) busy_s: f64,
    /// Its last evaluation, and when its answer came.
    pub(crate) last: Option<(TrialId, Duration)>,
}

impl Worker {
    /// Counts an evaluation.
    pub(super) fn add(&mut self, trial: TrialId, seconds: f64, at: Duration) {
        self.trials += 1;
        self.busy_s += seconds.max(0.0);
        self.last = Some((trial, at));
    }

    /// Seconds of an evaluation, on average.
    pub(crate) fn mean_s(&self) -> f64 {
        self.busy_s / self.trials.max(1) as f64
    }
}
