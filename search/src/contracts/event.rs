//! The events of a study, for journals, terminal UIs and logs.

use serde::{Deserialize, Serialize};

use super::end::SearchEnd;
use super::finished::Finished;
use super::measuring::MeasuredLatency;
use super::supernet_health::SupernetHealth;
use crate::trials::{Seconds, Trial, TrialId};

/// An event of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The study was opened. The journal already has `resumed` trials.
    Started {
        /// Name of the study.
        study: String,
        /// Finished trials in the journal.
        resumed: u64,
        /// Budget of trials. `None` if the study has no such budget.
        #[serde(default)]
        trials: Option<u64>,
    },
    /// Reports the progress of long work.
    Progress {
        /// Stage of the study: `data`, `supernet`, `search` or `finish`.
        stage: String,
        /// Number of steps done.
        done: u64,
        /// Total number of steps, or 0 if it is not known.
        total: u64,
        /// A text to display.
        note: String,
    },
    /// The evaluator is ready.
    Prepared {
        /// Fingerprint of the evaluator.
        fingerprint: String,
        /// Number of epochs of a training with full fidelity; 0 if the evaluator trains no networks.
        #[serde(default, skip_serializing_if = "is_zero")]
        full_epochs: u32,
    },
    /// The shared weights were checked, before any network is evaluated with them.
    Health {
        /// Result of the check.
        health: SupernetHealth,
    },
    /// A trial was reported to the strategy.
    Trial {
        /// The trial.
        trial: Trial,
        /// Whether the store already contained the outcome.
        known: bool,
        /// Time that the evaluation took.
        seconds: Seconds,
        /// Index of the worker that evaluated the trial.
        worker: usize,
    },
    /// Evaluations that panicked will be retried. After this event, every trial is reported to the strategy
    /// again.
    Retried {
        /// Ids of the trials whose evaluations panicked.
        trials: Vec<TrialId>,
    },
    /// Number of candidates that the constraints have refused so far.
    Rejections {
        /// Number of candidates checked.
        candidates: u64,
        /// Number of infeasible candidates among the checked ones.
        rejected: u64,
    },
    /// The search stage ended before it used up its budget of trials.
    SearchEnd {
        /// The reason why the search ended.
        end: SearchEnd,
    },
    /// The search stage ended.
    Searched {
        /// Number of trials reported to the strategy.
        trials: u64,
        /// Ids of the trials on the Pareto front, ascending.
        front: Vec<TrialId>,
    },
    /// A network was finished.
    Finished {
        /// Metrics and files of the network.
        finished: Finished,
        /// Time that finishing took.
        seconds: Seconds,
    },
    /// The latency of a finished network was measured. No trial, front or cost depends on it.
    Measured {
        /// The measurement, beside the prediction.
        measured: MeasuredLatency,
        /// Time that measuring took. Networks are measured together: the event of the first one states the
        /// time of all, and those of the others state 0.
        seconds: Seconds,
    },
    /// All stages are done.
    Ended,
    /// A warning to the user.
    Warning {
        /// Text of the warning.
        message: String,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Receives the events of a study. The study calls it in the order of events, from one thread at a time. It
/// must not block.
pub trait Observer: Send {
    /// Takes the next event.
    fn on_event(&mut self, event: &Event);

    /// Takes a number of a running stage, such as the learning rate at a training's step `step`. Numbers are
    /// not in the journal.
    fn on_number(&mut self, _stage: &str, _step: u64, _name: &str, _value: f64) {}
}
