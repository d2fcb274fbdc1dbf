//! The evaluations that are going on, and the trials that wait for their answers.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender};

use kiln_space::Architecture;

use super::ledger::Settled;
use crate::contracts::EvalError;
use crate::study::question::Question;
use crate::study::workers::{Answer, Job};
use crate::trials::seed::trial_seed;
use crate::trials::{Outcome, Proposal, Seconds, TrialId};

/// A trial that waits for an answer.
struct Waiting {
    id: TrialId,
    proposal: Proposal,
}

/// Hands jobs to the workers and takes their answers. Trials that ask the same share one evaluation.
pub(super) struct Evaluations {
    seed: u64,
    jobs: Sender<Job>,
    answers: Receiver<Answer>,
    /// By what is being evaluated.
    waiting: BTreeMap<Question, Vec<Waiting>>,
    /// Evaluations that panicked. They are not repeated: a panic is likely to come again, and may be slow.
    panicked: BTreeMap<Question, Outcome>,
}

/// What came from the workers.
pub(super) struct Received {
    pub(super) settled: Vec<Settled>,
    /// The first error of the environment.
    pub(super) failed: Option<EvalError>,
    /// Whether a job was not begun because the study stops.
    pub(super) interrupted: bool,
}

impl Evaluations {
    /// Nothing is going on. `panicked` are the questions whose evaluations panicked before.
    pub(super) const fn new(
        seed: u64,
        jobs: Sender<Job>,
        answers: Receiver<Answer>,
        panicked: BTreeMap<Question, Outcome>,
    ) -> Self {
        Self { seed, jobs, answers, waiting: BTreeMap::new(), panicked }
    }

    /// Whether an answer is still to come.
    pub(super) fn are_running(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The panic that a question ended in before.
    pub(super) fn panic_of(&self, question: &Question) -> Option<&Outcome> {
        self.panicked.get(question)
    }

    /// Has a proposal evaluated, or lets it wait for an evaluation of the same question.
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

    /// Waits for an answer, and takes all others that have come with it.
    pub(super) fn receive(&mut self) -> Received {
        let first = self.answers.recv().expect("workers live as long as the search");
        let mut received = Received { settled: Vec::new(), failed: None, interrupted: false };
        for answer in std::iter::once(first).chain(self.answers.try_iter()) {
            let waiting = self.waiting.remove(&answer.question);
            let waiting = waiting.expect("only evaluations that run are answered");
            match answer.outcome {
                Ok(outcome) => {
                    if outcome.is_panic() {
                        self.panicked.insert(answer.question, outcome.clone());
                    }
                    received.settled.extend(waiting.into_iter().map(|Waiting { id, proposal }| {
                        // The others got the answer of this one for nothing.
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
