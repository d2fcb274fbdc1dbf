//! Finishes networks in jobs.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use kiln_search::{EvalError, Evaluator, Finished, Finisher, Progress, Trial};

use crate::folder::{ResultRecord, place_files};
use crate::pool::{Pool, Undone, said};
use crate::work::{Done, Work};

/// Finishes networks in jobs, several at a time.
pub struct EngineFinisher {
    evaluator: Arc<dyn Evaluator>,
    pool: Arc<Pool>,
    /// The settings of `[finish]` as text. Files of finished networks depend on them.
    settings: String,
    ahead: Mutex<Vec<JoinHandle<()>>>,
    stop: Arc<AtomicBool>,
}

/// Returns what files of finished networks depend on.
#[must_use]
pub fn finish_study(fingerprint: &str, settings: &str) -> String {
    format!("{fingerprint}\n{settings}")
}

impl EngineFinisher {
    /// Finishes in the jobs of `pool` networks that `evaluator` has evaluated. `settings` are those of
    /// `[finish]`, as text.
    #[must_use]
    pub fn new(evaluator: Arc<dyn Evaluator>, pool: Arc<Pool>, settings: String) -> Self {
        Self { evaluator, pool, settings, ahead: Mutex::default(), stop: Arc::default() }
    }

    fn study(&self) -> String {
        finish_study(&self.evaluator.fingerprint(), &self.settings)
    }
}

impl Finisher for EngineFinisher {
    /// Begins with all trials but the first, for which the study calls [`Finisher::finish`] at once. That
    /// method then finds their results, and repeats what failed.
    fn announce(&self, trials: &[&Trial]) {
        let mut queue: Vec<Work> =
            trials.iter().skip(1).rev().map(|trial| Work::Finish { trial: (*trial).clone() }).collect();
        let threads = queue.len().min(self.pool.jobs().saturating_sub(1));
        let study = self.study();
        queue.shrink_to_fit();
        let queue = Arc::new(Mutex::new(queue));
        let begin = |_| {
            let (pool, study, queue) = (Arc::clone(&self.pool), study.clone(), Arc::clone(&queue));
            let stop = Flag(Arc::clone(&self.stop));
            thread::spawn(move || {
                while !stop.stop_requested() {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(work) = next else { return };
                    if let Err(error) = pool.run(&study, &work, Some(&stop)) {
                        tracing::warn!("{}: {error:?}", work.label());
                    }
                }
            })
        };
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).extend((0..threads).map(begin));
    }

    fn finish(&self, trial: &Trial, into: &Path, progress: &dyn Progress) -> Result<Finished, EvalError> {
        let study = self.study();
        let work = Work::Finish { trial: trial.clone() };
        let path = self.pool.folder().path().to_owned();
        match self.pool.run(&study, &work, Some(&Both { progress, stop: &self.stop })) {
            Ok(ResultRecord { done: Done::Finished(finished), key, .. }) => {
                place_files(&self.pool.folder().files(&key), &finished, into)?;
                Ok(finished)
            }
            Ok(ResultRecord { done: Done::Outcome(_) | Done::Supernet, .. }) => {
                Err(EvalError::Job { path, problem: "it returned no network".to_owned() })
            }
            Err(Undone::Lost { attempts, end, log }) => {
                let problem = format!(
                    "{attempts} jobs ended while they finished trial {}; the last one: {end}{}",
                    trial.id,
                    said(&log)
                );
                Err(EvalError::Job { path, problem })
            }
            Err(Undone::Broken(error)) => Err(error),
        }
    }
}

impl Drop for EngineFinisher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.ahead.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Reports nothing, and requests a stop when the flag is set.
struct Flag(Arc<AtomicBool>);

impl Progress for Flag {
    fn report(&self, _stage: &str, _done: u64, _total: u64, _note: &str) {}

    fn stop_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Reports the progress of one network. A stop that the user requests reaches the others too.
struct Both<'a> {
    progress: &'a dyn Progress,
    stop: &'a AtomicBool,
}

impl Progress for Both<'_> {
    fn report(&self, stage: &str, done: u64, total: u64, note: &str) {
        self.progress.report(stage, done, total, note);
    }

    fn stop_requested(&self) -> bool {
        let is_requested = self.progress.stop_requested();
        if is_requested {
            self.stop.store(true, Ordering::Relaxed);
        }
        is_requested
    }
}
