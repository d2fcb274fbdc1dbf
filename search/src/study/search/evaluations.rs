//! The running evaluations, and the trials that wait for their outcomes.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender};

use kiln_space::Architecture;

use super::ledger::Settled;
use crate::contracts::EvalError;
use crate::study::question::Question;
use crate::study::workers::{Answer, Job};
use crate::trials::seed::trial_seed;
use crate::trials::{Outcome, Proposal, Seconds, TrialId};

/// A trial that waits for an outcome.
struct Waiting {
    id: TrialId,
    proposal: Proposal,
}

/// Sends jobs to the workers and receives their outcomes. Trials with equal genotype and fidelity share one
/// evaluation.
pub(super) struct Evaluations {
    seed: u64,
    jobs: Sender<Job>,
    answers: Receiver<Answer>,
    /// The waiting trials, by the genotype and fidelity of their evaluation.
    waiting: BTreeMap<Question, Vec<Waiting>>,
    /// Evaluations that panicked. They are not repeated, because a panic is likely to recur and may be slow.
    panicked: BTreeMap<Question, Outcome>,
}

/// The outcomes received from the workers.
pub(super) struct Received {
    pub(super) settled: Vec<Settled>,
    /// The first error about a broken environment.
    pub(super) failed: Option<EvalError>,
    /// Whether a job was not started because the study is stopping.
    pub(super) interrupted: bool,
}

impl Evaluations {
    /// Creates a state without running evaluations. `panicked` contains the earlier evaluations that
    /// panicked.
    pub(super) const fn new(
        seed: u64,
        jobs: Sender<Job>,
        answers: Receiver<Answer>,
        panicked: BTreeMap<Question, Outcome>,
    ) -> Self {
        Self { seed, jobs, answers, waiting: BTreeMap::new(), panicked }
    }

    /// Whether at least one evaluation is running.
    pub(super) fn are_running(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns the outcome of this evaluation if it panicked earlier.
    pub(super) fn panic_of(&self, question: &Question) -> Option<&Outcome> {
        self.panicked.get(question)
    }

    /// Starts the evaluation of a proposal. If the same genotype and fidelity are already being evaluated,
    /// the proposal waits for that evaluation.
    pub(super) fn start(&mut self, id: TrialId, proposal: Proposal, architecture: Architecture) {
        let question = Question::from(&proposal);
        let waiting = self.waiting.entry(question.clone()).or_default();
        waiting.push(Waiting { id, proposal });
        if waiting.len() == 1 {
            let seed = trial_seed(self.seed, &question.genotype);
            let job = Job { trial: id, question, architecture, seed };
            self.jobs.send(job).expect("workers live as long as the search");
        }
    }

    /// Waits for an outcome, and also receives all other outcomes that have arrived.
    pub(super) fn receive(&mut self) -> Received {
        let first = self.answers.recv().expect("workers live as long as the search");
        let mut received = Received { settled: Vec::new(), failed: None, interrupted: false };
        for answer in std::iter::once(first).chain(self.answers.try_iter()) {
            let waiting = self.waiting.remove(&answer.question);
            let waiting = waiting.expect("only evaluations that run are answered");
            match answer.outcome {
                Ok(outcome) => {
                    if outcome.is_breakdown() {
                        self.panicked.insert(answer.question, outcome.clone());
                    }
                    received.settled.extend(waiting.into_iter().map(|Waiting { id, proposal }| {
                        // The other waiting trials get the same outcome without an evaluation of their own.
                        let known = id != answer.trial;
                        let seconds = if known { Seconds::ZERO } else { answer.seconds };
                        let (outcome, worker) = (outcome.clone(), answer.worker);
                        Settled { id, proposal, outcome, known, seconds, worker }
                    }));
                }
                Err(EvalError::Interrupted) => received.interrupted = true,
                Err(error) => received.failed = received.failed.or(Some(error)),
            }
        }
        received
    }
}
