//! The events of a study, for journals, screens and logs.

use serde::{Deserialize, Serialize};

use super::end::SearchEnd;
use super::finished::Finished;
use super::supernet_health::SupernetHealth;
use crate::trials::{Seconds, Trial, TrialId};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The study was opened. The journal already has `resumed` trials.
    Started {
        /// Name of the study.
        study: String,
        /// Finished trials in the journal.
        resumed: u64,
        /// Budget of trials, if there is one.
        #[serde(default)]
        trials: Option<u64>,
    },
    /// Long work advanced.
    Progress {
        /// `data`, `supernet`, `search`, `finish`.
        stage: String,
        /// Steps done.
        done: u64,
        /// Total number of steps, 0 where it is not known.
        total: u64,
        /// A text to display.
        note: String,
    },
    /// The evaluator is ready.
    Prepared {
        /// Its fingerprint.
        fingerprint: String,
        /// Number of epochs of a training with full effort; 0 if the evaluator trains no networks.
        #[serde(default, skip_serializing_if = "is_zero")]
        full_epochs: u32,
    },
    /// The shared weights were checked, before any network is evaluated with them.
    Health {
        /// What was found.
        health: SupernetHealth,
    },
    /// The strategy was told of a trial.
    Trial {
        /// The trial.
        trial: Trial,
        /// Whether the outcome was already in the store.
        known: bool,
        /// Time of its evaluation.
        seconds: Seconds,
        /// Worker that evaluated it.
        worker: usize,
    },
    /// Evaluations that panicked will be retried. After this event, the strategy is told of every trial
    /// again.
    Retried {
        /// Trials that had panicked.
        trials: Vec<TrialId>,
    },
    /// Number of candidates that the constraints have refused so far.
    Rejections {
        /// Number of candidates checked.
        candidates: u64,
        /// Number of infeasible candidates among them.
        rejected: u64,
    },
    /// The search stage ended before it used up its budget of trials.
    SearchEnd {
        /// Why.
        end: SearchEnd,
    },
    /// The search stage ended.
    Searched {
        /// Number of trials reported to the strategy.
        trials: u64,
        /// Ids of the Pareto front, ascending.
        front: Vec<TrialId>,
    },
    /// A network was finished.
    Finished {
        /// Its metrics and files.
        finished: Finished,
        /// Time it took.
        seconds: Seconds,
    },
    /// All stages are done.
    Ended,
    /// A warning to the user.
    Warning {
        /// What.
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
}
