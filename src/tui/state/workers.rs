//! What each worker did.

use std::time::Duration;

use kiln_search::{Seconds, TrialId};

/// A thread that evaluates.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Worker {
    /// Evaluations.
    pub(crate) trials: u64,
    /// Time of all of them.
    pub(crate) busy: Seconds,
    /// Its last evaluation, and when its answer came.
    pub(crate) last: Option<(TrialId, Duration)>,
}

impl Worker {
    /// Counts an evaluation.
    pub(super) fn add(&mut self, trial: TrialId, seconds: Seconds, at: Duration) {
        self.trials += 1;
        self.busy = self.busy.saturating_add(seconds);
        self.last = Some((trial, at));
    }

    /// Seconds of an evaluation, on average.
    pub(crate) fn mean_s(&self) -> f64 {
        self.busy.get() / self.trials.max(1) as f64
    }
}
