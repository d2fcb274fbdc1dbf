//! Gives pieces of work to jobs, and waits for their results.

mod adoption;
mod state;
mod undone;

use std::ffi::OsString;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kiln_files::FileError;
use kiln_search::{EvalError, Progress};

use self::adoption::{Engines, adopt, settle};
use self::state::{Attempts, Job, State};
use self::undone::broken;
pub(crate) use self::undone::{Undone, said};
use crate::engine::{Engine, Handle, JobEnd, JobState, Launch};
use crate::folder::{
    JobRecord, JobsFolder, ProgressRecord, Request, ResultRecord, StartRecord, VERSION, now, pause,
    pause_of_many,
};
use crate::plan::Plan;
use crate::registry::BuiltEngine;
use crate::work::{Key, Work};

/// Interval between two questions to the engine about a job. With more jobs, it is longer: this time for each
/// of them, so that the questions about all jobs together cost the same, up to a limit.
const ASK_EVERY: Duration = Duration::from_millis(200);
const ASK_SHARE: Duration = Duration::from_millis(5);
const ASK_MAX: Duration = Duration::from_secs(1);
/// Interval between two messages that the engine does not answer for the same job.
const SAY_EVERY: Duration = Duration::from_mins(1);
/// Time that a job has to save its state after it was asked to end.
const GRACE: Duration = Duration::from_secs(30);
/// Time that jobs have to end when the study has ended.
const END: Duration = Duration::from_secs(5);
/// Number of jobs that may end in a row before they begin with any work.
const FALSE_STARTS: u32 = 5;
/// Number of ends of jobs without the fault of their work that do not count as attempts at it.
const MISFORTUNES: u32 = 100;

/// Runs the work of a study as jobs of an engine. All threads of the study share it.
///
/// A new pool takes over the jobs that an earlier process of the study started: it waits for those that run,
/// takes the results of those that ended, and starts nothing twice.
pub struct Pool {
    engine: Box<dyn Engine>,
    /// The engine of the job that trains a supernet.
    training: Box<dyn Engine>,
    plan: Plan,
    folder: JobsFolder,
    record: JobRecord,
    /// The program of a job and its first arguments. The path of the job's folder follows them.
    program: Vec<OsString>,
    state: Mutex<State>,
    /// A job ended or has nothing to do.
    changed: Condvar,
}

/// What a study's jobs need to know.
#[derive(Clone, Debug)]
pub struct PoolStudy {
    /// Full path of the run folder.
    pub run: std::path::PathBuf,
    /// Full path of the folder of data sets and tables, if the user named one.
    pub data: Option<std::path::PathBuf>,
    /// The settings of `[finish]` that are in effect. `None` if no network is finished.
    pub finish: Option<serde_json::Map<String, serde_json::Value>>,
    /// Version of this program.
    pub version: String,
    /// Whether attempts of earlier processes do not count, because failed evaluations are repeated.
    pub forgets_attempts: bool,
}

enum Waited {
    Done(Box<ResultRecord>),
    Ended(JobEnd),
    Stopped,
}

impl Pool {
    /// Opens the jobs of a run folder that this process has locked. Takes over the jobs that still run.
    ///
    /// # Errors
    /// [`FileError`] if a file of the folder cannot be read or written.
    pub fn open(built: BuiltEngine, study: PoolStudy, program: Vec<OsString>) -> Result<Self, FileError> {
        let PoolStudy { run, data, finish, version, forgets_attempts } = study;
        let folder = JobsFolder::of_run(&run);
        let is_training = false;
        let record =
            JobRecord { version: VERSION, kiln: version, unix_s: 0.0, run, data, finish, is_training };
        let BuiltEngine { engine, training, plan } = built;
        let engines = Engines { most: engine.as_ref(), training: training.as_ref() };
        let mut state = adopt(engines, &folder)?;
        if forgets_attempts {
            state.attempts.clear();
        }
        let state = Mutex::new(state);
        Ok(Self { engine, training, plan, folder, record, program, state, changed: Condvar::new() })
    }

    /// Number of jobs at a time.
    #[must_use]
    pub const fn jobs(&self) -> usize {
        self.plan.jobs
    }

    /// Does a piece of work in a job, or takes its result if there is one. `study` is what results depend on.
    /// Reports the job's progress to `progress`. If that asks for a stop, the job saves its state and ends.
    ///
    /// # Errors
    /// [`Undone`].
    pub(crate) fn run(
        &self,
        study: &str,
        work: &Work,
        progress: Option<&dyn Progress>,
    ) -> Result<ResultRecord, Undone> {
        let key = work.key(study);
        // Another thread may wait for the same work. Then this one takes the result that comes.
        let mut state = self.state();
        while !state.awaited.insert(key.clone()) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        let done = self.run_alone(study, work, &key, progress);
        self.state().awaited.remove(&key);
        self.changed.notify_all();
        done
    }

    fn run_alone(
        &self,
        study: &str,
        work: &Work,
        key: &Key,
        progress: Option<&dyn Progress>,
    ) -> Result<ResultRecord, Undone> {
        if let Some(known) = self.folder.result(key)? {
            return Ok(known);
        }
        let is_training = matches!(work, Work::Supernet { .. });
        let (mut false_starts, mut misfortunes) = (0, 0);
        loop {
            let Attempts { count: attempts, end, log } =
                self.state().attempts.get(key).cloned().unwrap_or_default();
            if attempts >= self.plan.attempts {
                return Err(Undone::Lost { attempts, end, log });
            }
            let (mut job, is_asked) = self.acquire(key, is_training, attempts + 1)?;
            if !is_asked {
                let work = Box::new(work.clone());
                let (key, study) = (key.clone(), study.to_owned());
                let request = Request::Work { key, study, attempt: attempts + 1, work };
                let is_free = job.folder.ask(job.next, &request).inspect_err(|_| self.retire());
                if !is_free? {
                    // The job had nothing to do and ends at this moment.
                    self.retire();
                    continue;
                }
                job.next += 1;
            }
            let waited = self.wait(&job, key, progress).inspect_err(|_| self.retire())?;
            match waited {
                Waited::Done(record) => {
                    self.release(job)?;
                    return Ok(*record);
                }
                Waited::Stopped => {
                    self.retire();
                    return Err(Undone::Broken(EvalError::Interrupted));
                }
                Waited::Ended(ended) => {
                    self.retire();
                    let (end, log) = self.settle(&job, ended)?;
                    tracing::warn!("job {} with {}: {end}", job.folder.name(), work.label());
                    if let JobEnd::NoFolder { node } = &end {
                        self.avoid(node, progress);
                    }
                    if let JobEnd::Failed { problem } = end {
                        let path = job.folder.path().to_owned();
                        return Err(Undone::Broken(EvalError::Job { path, problem }));
                    }
                    if job.folder.begun(job.next - 1).is_some() {
                        if !end.counts() && misfortunes < MISFORTUNES {
                            misfortunes += 1;
                            continue;
                        }
                        self.state().attempts.entry(key.clone()).or_default().add(end, log);
                        continue;
                    }
                    // A job that was killed while it had nothing to do had begun well.
                    false_starts += u32::from(job.next == 2);
                    if false_starts >= FALSE_STARTS {
                        let path = job.folder.path().to_owned();
                        let problem = format!(
                            "{FALSE_STARTS} jobs in a row ended before they began to work; the last one: \
                             {end}{}",
                            said(&log)
                        );
                        return Err(Undone::Broken(EvalError::Job { path, problem }));
                    }
                }
            }
        }
    }

    /// Lets the engine start no further job on a machine that does not see the run folder, and says once
    /// which machine that is.
    fn avoid(&self, node: &str, progress: Option<&dyn Progress>) {
        let mut state = self.state();
        if state.blind.iter().all(|known| known != node) {
            state.blind.push(node.to_owned());
            drop(state);
            let what = JobEnd::NoFolder { node: node.to_owned() };
            warn(progress, &format!("a job cannot begin: {what}; other machines are tried"));
        }
    }

    /// Ends the jobs, and removes results that the journal has. Call this when the study has ended.
    ///
    /// # Errors
    /// [`FileError`] if a file cannot be written or removed.
    pub fn end(&self) -> Result<(), FileError> {
        self.close_idle()?;
        let ending = std::mem::take(&mut self.state().ending);
        let began = Instant::now();
        for folder in ending {
            while !folder.has_ended() && began.elapsed() < END {
                thread::sleep(pause(began.elapsed()));
            }
        }
        self.folder.clear_results()
    }

    fn close_idle(&self) -> Result<(), FileError> {
        let idle = std::mem::take(&mut self.state().idle);
        idle.into_iter().try_for_each(|job| self.state().end(job))
    }

    pub(crate) const fn folder(&self) -> &JobsFolder {
        &self.folder
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn engine_of(&self, is_training: bool) -> &dyn Engine {
        Engines { most: self.engine.as_ref(), training: self.training.as_ref() }.of(is_training)
    }

    /// Drops the stored result of a piece of work, so that it is done again.
    pub(crate) fn forget(&self, study: &str, work: &Work) -> Result<(), FileError> {
        self.folder.forget(&work.key(study))
    }

    /// Returns a job for a piece of work, and whether the job was already asked to do it. The training of a
    /// supernet gets a job of its own.
    fn acquire(&self, key: &Key, is_training: bool, attempt: u32) -> Result<(Job, bool), Undone> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.adopted.remove(key) {
                return Ok((job, true));
            }
            if let Some(job) = state.idle.pop() {
                if job.is_training == is_training {
                    return Ok((job, false));
                }
                // Makes room for a job of the other kind.
                state.end(job)?;
            }
            if state.jobs < self.plan.jobs {
                state.jobs += 1;
                drop(state);
                return match self.start(is_training, attempt) {
                    Ok(job) => Ok((job, false)),
                    Err(error) => {
                        self.retire();
                        Err(error)
                    }
                };
            }
            state = self.look_at_adopted(state)?;
            if state.idle.is_empty() && state.jobs >= self.plan.jobs {
                let waited = self.changed.wait_timeout(state, ASK_EVERY);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// Frees the places of adopted jobs that ended or that have done their work. The study may never ask for
    /// that work, because a free key of its config changed. While the engine answers, other threads go on.
    fn look_at_adopted<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, FileError> {
        if state.adopted.is_empty() || state.looked.is_some_and(|looked| looked.elapsed() < ASK_EVERY) {
            return Ok(state);
        }
        state.looked = Some(Instant::now());
        let of = |(key, job): (&Key, &Job)| (key.clone(), job.handle.clone(), job.is_training);
        let adopted: Vec<(Key, Handle, bool)> = state.adopted.iter().map(of).collect();
        drop(state);
        let mut over = Vec::new();
        for (key, handle, is_training) in adopted {
            let is_done = self.folder.result(&key)?.is_some();
            let end = match self.engine_of(is_training).status(&handle) {
                Ok(JobState::Ended(end)) => Some(end),
                _ => None,
            };
            if is_done || end.is_some() {
                over.push((key, end));
            }
        }
        let mut state = self.state();
        for (key, end) in over {
            // Another thread may have asked for the work meanwhile.
            let Some(job) = state.adopted.remove(&key) else { continue };
            if let Some(end) = end {
                state.jobs -= 1;
                self.settle(&job, end)?;
            } else if job.is_training {
                state.end(job)?;
            } else {
                state.idle.push(job);
            }
        }
        Ok(state)
    }

    fn start(&self, is_training: bool, attempt: u32) -> Result<Job, Undone> {
        let record = JobRecord { unix_s: now(), is_training, ..self.record.clone() };
        let (number, avoid) = {
            let mut state = self.state();
            state.next_job += 1;
            (state.next_job - 1, state.blind.clone())
        };
        let folder = self.folder.create(&record, number)?;
        let mut arguments = self.program.clone();
        arguments.push(folder.path().as_os_str().to_owned());
        let name = format!("kiln-{}", folder.name());
        let (log, engine) = (folder.log(), self.engine_of(is_training));
        let launch = Launch { name: &name, arguments: &arguments, log: &log, attempt, avoid: &avoid };
        let submitted = engine.submit(&launch).or_else(|error| {
            if avoid.is_empty() {
                return Err(error);
            }
            // There may be no other machine. These may see the folder by now.
            self.state().blind.clear();
            engine.submit(&Launch { avoid: &[], ..launch.clone() })
        });
        let handle = submitted.map_err(|error| {
            let end = JobEnd::Failed { problem: error.to_string() };
            // If the engine has the job nevertheless, it does not begin.
            let withdrawn = StartRecord { handle: None, unix_s: now(), is_withdrawn: true };
            if let Err(error) = folder.claim(&withdrawn).and_then(|_| folder.end(end, String::new())) {
                tracing::warn!("{error}");
            }
            Undone::Broken(broken(&folder, &error))
        })?;
        folder.submit(&handle)?;
        Ok(Job { is_training, folder, handle, next: 1, began: Instant::now() })
    }

    /// Waits until the result is there or the job has ended.
    fn wait(&self, job: &Job, key: &Key, progress: Option<&dyn Progress>) -> Result<Waited, Undone> {
        let engine = self.engine_of(job.is_training);
        let (began, mut asked) = (Instant::now(), Instant::now());
        let mut stopped: Option<Instant> = None;
        let mut said: Option<Instant> = None;
        let mut reported = None;
        let jobs = u32::try_from(self.plan.jobs).unwrap_or(u32::MAX);
        let ask_every = ASK_EVERY.max(ASK_SHARE.saturating_mul(jobs)).min(ASK_MAX);
        let mut said_waiting = Duration::from_secs(u64::from(self.plan.start_warning_s));
        loop {
            if let Some(record) = self.folder.result(key)? {
                return Ok(Waited::Done(Box::new(record)));
            }
            if asked.elapsed() >= ask_every {
                asked = Instant::now();
                if let Some(progress) = progress {
                    report(job, &mut reported, progress);
                    if progress.stop_requested() && stopped.is_none() {
                        stopped = Some(Instant::now());
                        job.folder.stop()?;
                    }
                }
                if stopped.is_some_and(|stopped| stopped.elapsed() >= GRACE) {
                    engine
                        .cancel(&job.handle)
                        .map_err(|error| Undone::Broken(broken(&job.folder, &error)))?;
                }
                match engine.status(&job.handle) {
                    Ok(JobState::Ended(end)) => {
                        // The result may have come between the two looks.
                        self.folder.refresh(key);
                        if let Some(record) = self.folder.result(key)? {
                            return Ok(Waited::Done(Box::new(record)));
                        }
                        if stopped.is_some() {
                            self.settle(job, end)?;
                            return Ok(Waited::Stopped);
                        }
                        return Ok(Waited::Ended(end));
                    }
                    Ok(JobState::Waiting) if began.elapsed() >= said_waiting => {
                        said_waiting = began.elapsed() * 2;
                        warn(
                            progress,
                            &format!(
                                "job {} has waited for its start for {} minutes",
                                job.folder.name(),
                                began.elapsed().as_secs() / 60
                            ),
                        );
                    }
                    Err(error) if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) => {
                        said = Some(Instant::now());
                        tracing::warn!("job {}: {error}", job.folder.name());
                    }
                    Ok(JobState::Running | JobState::Waiting) | Err(_) => {}
                }
            }
            thread::sleep(pause_of_many(began.elapsed(), self.plan.jobs));
        }
    }

    /// Records how a job ended, unless the job has recorded it. Returns the end and the job's last lines.
    fn settle(&self, job: &Job, end: JobEnd) -> Result<(JobEnd, String), FileError> {
        settle(self.engine_of(job.is_training), &job.folder, &job.handle, end)
    }

    /// A job that has done its work gets other work, or is closed.
    fn release(&self, job: Job) -> Result<(), FileError> {
        let goes_on = !job.is_training && self.plan.continues(job.next - 1, job.began.elapsed());
        if goes_on {
            self.state().idle.push(job);
            self.changed.notify_all();
            return Ok(());
        }
        self.retire();
        job.close()?;
        let mut state = self.state();
        // Jobs that have ended by now need no place in memory.
        state.ending.retain(|folder| !folder.has_ended());
        state.ending.push(job.folder);
        Ok(())
    }

    /// A job ended, or will end by itself: its place is free.
    fn retire(&self) {
        self.state().jobs -= 1;
        self.changed.notify_all();
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("folder", &self.folder).field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Err(error) = self.close_idle() {
            tracing::warn!("{error}");
        }
    }
}

fn warn(progress: Option<&dyn Progress>, message: &str) {
    if let Some(progress) = progress {
        progress.warn(message);
    } else {
        tracing::warn!("{message}");
    }
}

/// Reports the progress of a job, unless it is still what was reported last.
fn report(job: &Job, last: &mut Option<ProgressRecord>, progress: &dyn Progress) {
    let now = job.folder.progress().filter(|shown| shown.request + 1 == job.next);
    if now == *last {
        return;
    }
    if let Some(shown) = &now {
        progress.report(&shown.stage, shown.done, shown.total, &shown.note);
        for (stage, numbers) in &shown.numbers {
            for (name, (step, value)) in numbers {
                progress.number(stage, *step, name, *value);
            }
        }
    }
    *last = now;
}

#[cfg(test)]
mod tests;
