//! Statistics of each worker.

use std::time::Duration;

use kiln_search::{Seconds, TrialId};

/// Statistics of a worker, which is a thread that evaluates networks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Worker {
    /// Number of evaluations.
    pub(crate) trials: u64,
    /// Total time of the evaluations.
    pub(crate) busy: Seconds,
    /// The trial that the worker evaluated last, and the time when this evaluation ended.
    pub(crate) last: Option<(TrialId, Duration)>,
}

impl Worker {
    /// Adds an evaluation to the statistics.
    pub(super) fn add(&mut self, trial: TrialId, seconds: Seconds, at: Duration) {
        self.trials += 1;
        self.busy = self.busy.saturating_add(seconds);
        self.last = Some((trial, at));
    }

    /// Returns the mean duration of an evaluation, in seconds.
    pub(crate) fn mean_s(&self) -> f64 {
        self.busy.get() / self.trials.max(1) as f64
    }
}
