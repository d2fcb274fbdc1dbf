//! The worker threads that evaluate. Workers do not know which trials wait for an outcome.

use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use kiln_space::Architecture;

use super::panics;
use super::question::Question;
use crate::contracts::{EvalError, Evaluator, Progress, Request, Watch};
use crate::trials::{FailureKind, Outcome, Seconds, TrialId};

/// An evaluation for a worker.
pub(super) struct Job {
    pub(super) trial: TrialId,
    pub(super) question: Question,
    pub(super) architecture: Architecture,
    pub(super) seed: u64,
}

/// The result of a job.
pub(super) struct Answer {
    pub(super) trial: TrialId,
    pub(super) question: Question,
    /// [`EvalError::Interrupted`] for a job that was not started.
    pub(super) outcome: Result<Outcome, EvalError>,
    pub(super) seconds: Seconds,
    pub(super) worker: usize,
}

/// Evaluates jobs until the channel closes. While `stopping` is set, jobs are returned without an evaluation.
pub(super) fn work(
    worker: usize,
    evaluator: &dyn Evaluator,
    (jobs, progress): (&Mutex<Receiver<Job>>, &dyn Progress),
    answers: &Sender<Answer>,
    stopping: &dyn Fn() -> bool,
) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        let began = Instant::now();
        let outcome =
            if stopping() { Err(EvalError::Interrupted) } else { evaluate(evaluator, &job, progress) };
        let seconds = began.elapsed().into();
        let Job { trial, question, .. } = job;
        if answers.send(Answer { trial, question, outcome, seconds, worker }).is_err() {
            return;
        }
    }
}

fn evaluate(evaluator: &dyn Evaluator, job: &Job, progress: &dyn Progress) -> Result<Outcome, EvalError> {
    let request = Request {
        genotype: &job.question.genotype,
        architecture: &job.architecture,
        fidelity: job.question.fidelity,
        seed: job.seed,
    };
    let watch = Watch { trial: Some(job.trial), progress };
    panics::catch(|| evaluator.evaluate_watched(&request, watch))
        .unwrap_or_else(|panic| Ok(Outcome::Failed { kind: FailureKind::Panicked, reason: panic.message }))
}
