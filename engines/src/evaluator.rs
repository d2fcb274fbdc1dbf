//! Evaluates networks in jobs.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kiln_search::{
    EvalError, Evaluator, FailureKind, Fidelities, Fidelity, OpenAnchor, Outcome, Progress, REASON_PARTS,
    Request, Silent, SupernetHealth, Watch,
};

use kiln_space::Genotype;

use crate::folder::ResultRecord;
use crate::pool::{Pool, Undone, said};
use crate::work::{Done, Work};
use crate::worker::machine;

/// Name of the stage that trains anchors.
const ANCHORS: &str = "anchors";
/// Time for which a machine may not see files yet that another machine wrote.
const SEEN_AFTER: Duration = Duration::from_mins(1);
const SEEN_EVERY: Duration = Duration::from_millis(500);
const UNSEEN: &str = "it does not see the trained supernet in the run folder; let jobs run only on machines \
                      that share the run folder with the study";

/// Evaluates networks in jobs. The supernet and its open anchors are trained in jobs, too.
pub struct EngineEvaluator {
    inner: Arc<dyn Evaluator>,
    pool: Arc<Pool>,
}

impl EngineEvaluator {
    /// Evaluates in the jobs of `pool` what `inner` would evaluate.
    #[must_use]
    pub const fn new(inner: Arc<dyn Evaluator>, pool: Arc<Pool>) -> Self {
        Self { inner, pool }
    }

    /// Trains the supernet in a job of its own, on the machine that the engine chooses for it.
    fn train_supernet(&self, progress: &dyn Progress) -> Result<(), EvalError> {
        let Some(conditions) = self.inner.open_supernet() else { return Ok(()) };
        // Its beginning names the kind of device, so that a job on another kind of machine can say so.
        let study = format!("{}{conditions}", self.inner.fingerprint_start());
        let work = Work::Supernet { conditions };
        // A result of an earlier training may be there, although the supernet is not.
        self.pool.forget(&study, &work)?;
        match self.pool.run(&study, &work, Some(progress)) {
            Ok(ResultRecord { done: Done::Supernet, .. }) => wait_for_supernet(self.inner.as_ref(), progress),
            Ok(ResultRecord { job, .. }) => Err(unasked(&work, job)),
            Err(Undone::Lost { attempts, end, log }) => {
                let path = self.pool.folder().path().to_owned();
                let problem = format!(
                    "{attempts} jobs ended while they trained the supernet; the last one: {end}{}",
                    said(&log)
                );
                Err(EvalError::Job { path, problem })
            }
            Err(Undone::Broken(error)) => Err(error),
        }
    }

    /// Trains the open anchors side by side in jobs.
    fn train_anchors(&self, progress: &dyn Progress) -> Result<(), EvalError> {
        let open = self.inner.open_anchors(progress)?;
        if open.is_empty() {
            return Ok(());
        }
        let total = open.len() as u64;
        progress.report(ANCHORS, 0, total, "");
        let kept: Mutex<u64> = Mutex::new(0);
        let one = |anchor: &OpenAnchor| -> Result<(), EvalError> {
            let (genotype, conditions) = (anchor.genotype.clone(), anchor.conditions.clone());
            let work = Work::Anchor { genotype, conditions };
            let stopping = Stopping(progress);
            let outcome = outcome(&work, self.pool.run(&anchor.conditions, &work, Some(&stopping)))?;
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            self.inner.keep_anchor(anchor, &outcome)?;
            *kept += 1;
            progress.report(ANCHORS, *kept, total, "");
            Ok(())
        };
        side_by_side(&open, self.pool.jobs(), &one, progress)
    }
}

/// Waits until the run folder shows the trained supernet, which another machine may have trained. Returns at
/// once if there is none to wait for.
///
/// # Errors
/// [`EvalError::Machine`] if this machine does not see it within a minute. [`EvalError::Interrupted`] if the
/// user stopped the work.
pub fn wait_for_supernet(evaluator: &dyn Evaluator, progress: &dyn Progress) -> Result<(), EvalError> {
    wait_at_most(SEEN_AFTER, evaluator, progress)
}

fn wait_at_most(most: Duration, evaluator: &dyn Evaluator, progress: &dyn Progress) -> Result<(), EvalError> {
    let began = Instant::now();
    while evaluator.open_supernet().is_some() {
        if progress.stop_requested() {
            return Err(EvalError::Interrupted);
        }
        if began.elapsed() >= most {
            return Err(EvalError::Machine { machine: machine(), problem: UNSEEN });
        }
        thread::sleep(SEEN_EVERY);
    }
    Ok(())
}

impl Pool {
    /// Trains a network of an audit in a job. `reference` is the fingerprint of the training.
    ///
    /// # Errors
    /// [`EvalError`] if the environment is broken.
    pub fn audit(
        &self,
        genotype: Genotype,
        epochs: Option<u32>,
        seed: u64,
        reference: &str,
    ) -> Result<Outcome, EvalError> {
        let work = Work::Audit { genotype, epochs, seed, reference: reference.to_owned() };
        outcome(&work, self.run(reference, &work, None))
    }
}

/// Calls a function for each item, on several threads. After an error or a request to stop, it begins with
/// no other item.
pub(crate) fn side_by_side<T: Sync>(
    items: &[T],
    threads: usize,
    one: &(dyn Fn(&T) -> Result<(), EvalError> + Sync),
    progress: &dyn Progress,
) -> Result<(), EvalError> {
    let next = Mutex::new((items.iter(), None::<EvalError>));
    let take = || {
        let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.1.is_none() && progress.stop_requested() {
            next.1 = Some(EvalError::Interrupted);
        }
        if next.1.is_some() { None } else { next.0.next() }
    };
    thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                while let Some(item) = take() {
                    if let Err(error) = one(item) {
                        next.lock().unwrap_or_else(PoisonError::into_inner).1.get_or_insert(error);
                    }
                }
            });
        }
    });
    let (rest, error) = next.into_inner().unwrap_or_else(PoisonError::into_inner);
    match error {
        // The stop was requested when everything was done.
        Some(EvalError::Interrupted) if rest.len() == 0 => Ok(()),
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Passes only the request to stop on, because several trainings run side by side.
struct Stopping<'a>(&'a dyn Progress);

impl Progress for Stopping<'_> {
    fn report(&self, _stage: &str, _done: u64, _total: u64, _note: &str) {}

    fn stop_requested(&self) -> bool {
        self.0.stop_requested()
    }

    fn warn(&self, message: &str) {
        self.0.warn(message);
    }
}

/// Passes only warnings on. An evaluation runs to its end even if the study stops, so that its work is not
/// lost.
struct Warnings<'a>(&'a dyn Progress);

impl Progress for Warnings<'_> {
    fn report(&self, _stage: &str, _done: u64, _total: u64, _note: &str) {}

    fn stop_requested(&self) -> bool {
        false
    }

    fn warn(&self, message: &str) {
        self.0.warn(message);
    }
}

/// Returns the outcome of an evaluation in a job. If each attempt ended too early, the evaluation failed: the
/// network may need more memory than there is.
pub(crate) fn outcome(work: &Work, done: Result<ResultRecord, Undone>) -> Result<Outcome, EvalError> {
    match done {
        Ok(ResultRecord { done: Done::Outcome(outcome), .. }) => Ok(outcome),
        Ok(ResultRecord { job, .. }) => Err(unasked(work, job)),
        Err(Undone::Lost { attempts, end, log }) => {
            let times = if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
            let mut parts = vec![format!("its job ended {times} before it had a result"), end.to_string()];
            if !log.is_empty() {
                parts.push(log);
            }
            let reason = parts.join(REASON_PARTS);
            Ok(Outcome::Failed { kind: FailureKind::Program, reason })
        }
        Err(Undone::Broken(error)) => Err(error),
    }
}

fn unasked(work: &Work, job: String) -> EvalError {
    let problem = format!("it returned another kind of result for {}", work.label());
    EvalError::Job { path: job.into(), problem }
}

impl Evaluator for EngineEvaluator {
    fn prepare(&self, progress: &dyn Progress) -> Result<(), EvalError> {
        self.train_supernet(progress)?;
        self.train_anchors(progress)?;
        self.inner.prepare(progress)
    }

    fn fingerprint(&self) -> String {
        self.inner.fingerprint()
    }

    fn fingerprint_start(&self) -> String {
        self.inner.fingerprint_start()
    }

    fn fidelities(&self) -> Fidelities {
        self.inner.fidelities()
    }

    fn health(&self, progress: &dyn Progress) -> Result<Option<SupernetHealth>, EvalError> {
        self.inner.health(progress)
    }

    fn evaluate(&self, request: &Request<'_>) -> Result<Outcome, EvalError> {
        self.evaluate_watched(request, Watch { trial: None, progress: &Silent })
    }

    fn evaluate_watched(&self, request: &Request<'_>, watch: Watch<'_>) -> Result<Outcome, EvalError> {
        self.inner.fidelities().check(request.fidelity)?;
        if request.fidelity == Fidelity::Proxy {
            // Takes less time than a job's start.
            return self.inner.evaluate_watched(request, watch);
        }
        let work = Work::Trial {
            trial: watch.trial.unwrap_or_default(),
            genotype: request.genotype.clone(),
            fidelity: request.fidelity,
            seed: request.seed,
        };
        let progress = Warnings(watch.progress);
        outcome(&work, self.pool.run(&self.inner.fingerprint(), &work, Some(&progress)))
    }

    fn try_out(&self, request: &Request<'_>) -> Result<(Outcome, Vec<String>), EvalError> {
        self.inner.try_out(request)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Its supernet appears after this number of looks.
    struct Late(AtomicU32);

    impl Evaluator for Late {
        fn prepare(&self, _: &dyn Progress) -> Result<(), EvalError> {
            Ok(())
        }

        fn fingerprint(&self) -> String {
            String::new()
        }

        fn evaluate(&self, _: &Request<'_>) -> Result<Outcome, EvalError> {
            Err(EvalError::Interrupted)
        }

        fn open_supernet(&self) -> Option<String> {
            let left = self.0.load(Ordering::Relaxed);
            self.0.store(left.saturating_sub(1), Ordering::Relaxed);
            (left > 0).then(String::new)
        }
    }

    #[test]
    fn machine_that_does_not_see_the_supernet_is_named() {
        let wait = |looks: u32, most| wait_at_most(most, &Late(AtomicU32::new(looks)), &Silent);
        assert!(wait(0, Duration::ZERO).is_ok());
        assert!(wait(2, Duration::from_mins(1)).is_ok());
        let message = wait(u32::MAX, Duration::ZERO).unwrap_err().to_string();
        assert!(
            message.contains(&machine()) && message.contains("does not see the trained supernet"),
            "{message}"
        );
    }
}
