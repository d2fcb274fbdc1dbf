//! Takes over the jobs of an earlier process of the study.

use std::time::Instant;

use kiln_files::FileError;

use super::state::{Job, State};
use crate::engine::{Engine, Handle, JobEnd, JobState};
use crate::folder::{JobFolder, JobsFolder, Request, StartRecord, now};

/// The engine of most jobs, and that of the job that trains a supernet.
#[derive(Clone, Copy)]
pub(super) struct Engines<'a> {
    pub(super) most: &'a dyn Engine,
    pub(super) training: &'a dyn Engine,
}

impl<'a> Engines<'a> {
    pub(super) fn of(self, is_training: bool) -> &'a dyn Engine {
        if is_training { self.training } else { self.most }
    }
}

/// Takes over the jobs of an earlier process. A job whose files are damaged is left alone: what it may have
/// done is done again, and the first result counts.
pub(super) fn adopt(engines: Engines<'_>, folder: &JobsFolder) -> Result<State, FileError> {
    let mut state = State { next_job: folder.next_number()?, ..State::default() };
    for job in folder.all()? {
        match adopt_one(engines, folder, job, &mut state) {
            Err(error @ FileError::Damaged { .. }) => {
                tracing::warn!("{error}; the job is passed over");
            }
            adopted => adopted?,
        }
    }
    Ok(state)
}

fn adopt_one(
    engines: Engines<'_>,
    folder: &JobsFolder,
    job: JobFolder,
    state: &mut State,
) -> Result<(), FileError> {
    let mut ended = job.ended()?.map(|ended| (ended.end, ended.log));
    let is_training = job.record()?.is_some_and(|record| record.is_training);
    let engine = engines.of(is_training);
    let handle = if ended.is_none() { handle(&job)? } else { None };
    if let Some(handle) = &handle {
        match engine.status(handle) {
            Ok(JobState::Ended(end)) => ended = Some(settle(engine, &job, handle, end)?),
            Ok(JobState::Running | JobState::Waiting) => {}
            Err(error) => tracing::warn!("job {}: {error}", job.name()),
        }
    }
    if ended.as_ref().is_some_and(|(end, _)| !end.counts()) {
        return Ok(());
    }
    let mut last = None;
    for number in 1.. {
        let Some(request) = job.request(number)? else { break };
        let open = match &request {
            Request::Work { key, work, .. } if folder.result(key)?.is_none() => {
                Some((key.clone(), work.may_fail()))
            }
            _ => None,
        };
        if let (Some((key, true)), Some((end, log))) = (&open, &ended)
            && job.begun(number).is_some()
        {
            state.attempts.entry(key.clone()).or_default().add(end.clone(), log.clone());
        }
        last = Some((number, request, open.map(|(key, _)| key)));
    }
    let Some(handle) = handle.filter(|_| ended.is_none()) else { return Ok(()) };
    let next = last.as_ref().map_or(1, |(number, ..)| number + 1);
    let running = Job { is_training, folder: job, handle, next, began: Instant::now() };
    match last {
        // It ends by itself.
        Some((_, Request::Closed { .. }, _)) => {}
        Some((_, _, Some(key))) => {
            state.jobs += 1;
            state.adopted.insert(key, running);
        }
        Some(_) | None => {
            state.jobs += 1;
            state.idle.push(running);
        }
    }
    Ok(())
}

/// Returns the handle of a job. If the earlier process ended before it stored the handle, the job itself may
/// have stored it. A job that has not begun is withdrawn.
fn handle(job: &JobFolder) -> Result<Option<Handle>, FileError> {
    if let Some(handle) = job.submitted()? {
        return Ok(Some(handle));
    }
    let withdrawn = StartRecord { handle: None, unix_s: now(), is_withdrawn: true };
    if job.record()?.is_none() || job.claim(&withdrawn)? {
        job.end(JobEnd::NotStarted, String::new())?;
        return Ok(None);
    }
    let started = job.started()?.and_then(|started| started.handle);
    if started.is_none() {
        job.end(JobEnd::NotStarted, String::new())?;
    }
    Ok(started)
}

/// Records how a job ended, unless the job has recorded it. Returns the end and the job's last lines.
pub(super) fn settle(
    engine: &dyn Engine,
    folder: &JobFolder,
    handle: &Handle,
    end: JobEnd,
) -> Result<(JobEnd, String), FileError> {
    let log = engine.logs(handle, &folder.log());
    let end = match end {
        // An engine that has lost a job may think so. Ray does when the job's node fails.
        JobEnd::NotStarted if folder.started()?.is_some_and(|started| !started.is_withdrawn) => {
            JobEnd::NodeLost { node: "unknown".to_owned() }
        }
        end => end,
    };
    folder.end(end.clone(), log.clone())?;
    Ok(match folder.ended()? {
        Some(ended) => (ended.end, if ended.log.is_empty() { log } else { ended.log }),
        None => (end, log),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kiln_search::Fidelity;
    use kiln_space::Genotype;

    use super::*;
    use crate::engine::{EngineError, Launch};
    use crate::folder::{JobRecord, VERSION};
    use crate::work::{Key, Work};

    /// Says the same of every job.
    struct Says(JobState);

    impl Engine for Says {
        fn submit(&self, launch: &Launch<'_>) -> Result<Handle, EngineError> {
            Ok(Handle(launch.name.to_owned()))
        }

        fn status(&self, _: &Handle) -> Result<JobState, EngineError> {
            Ok(self.0.clone())
        }

        fn cancel(&self, _: &Handle) -> Result<(), EngineError> {
            Ok(())
        }

        fn own_handle(&self) -> Option<Handle> {
            None
        }
    }

    fn supernet() -> Work {
        Work::Supernet { conditions: "aa".to_owned() }
    }

    fn trial() -> Work {
        let genotype = Genotype::new([0]);
        Work::Trial { trial: 1, genotype, fidelity: Fidelity::Full, seed: 1 }
    }

    /// Makes a job that began with this work, and returns the key of the work.
    fn began(run: &Path, work: Option<Work>, is_training: bool) -> Option<Key> {
        let (run, kiln) = (run.to_owned(), String::new());
        let jobs = JobsFolder::of_run(&run);
        let record =
            JobRecord { version: VERSION, kiln, unix_s: 0.0, run, data: None, finish: None, is_training };
        let job = jobs.create(&record, 1).unwrap();
        job.submit(&Handle("1".to_owned())).unwrap();
        let work = work?;
        let (key, study) = (work.key("study"), "study".to_owned());
        let request = Request::Work { key: key.clone(), study, attempt: 1, work: Box::new(work) };
        assert!(job.ask(1, &request).unwrap());
        job.begin(1).unwrap();
        Some(key)
    }

    #[test]
    fn job_of_a_training_is_asked_for_through_its_own_engine() {
        let folder = tempfile::tempdir().unwrap();
        let key = began(folder.path(), Some(supernet()), true).unwrap();
        began(folder.path(), None, true);
        let (running, lost) = (Says(JobState::Running), Says(JobState::Ended(JobEnd::Gone)));
        let engines = Engines { most: &lost, training: &running };
        let state = adopt(engines, &JobsFolder::of_run(folder.path())).unwrap();
        assert!(state.adopted.get(&key).is_some_and(|job| job.is_training));
        assert!(state.idle.iter().all(|job| job.is_training) && state.idle.len() == 1);
        assert_eq!(state.jobs, 2);
    }

    #[test]
    fn job_that_began_was_started_whatever_its_engine_says() {
        let folder = tempfile::tempdir().unwrap();
        let job = |is_claimed: bool| {
            let key = began(folder.path(), Some(trial()), false);
            let job = JobsFolder::of_run(folder.path()).all().unwrap().pop().unwrap();
            if is_claimed {
                let record = StartRecord { handle: None, unix_s: now(), is_withdrawn: false };
                assert!(key.is_some() && job.claim(&record).unwrap());
            }
            let says = Says(JobState::Running);
            settle(&says, &job, &Handle("1".to_owned()), JobEnd::NotStarted).unwrap().0
        };
        assert_eq!(job(false), JobEnd::NotStarted);
        assert_eq!(job(true), JobEnd::NodeLost { node: "unknown".to_owned() });
    }

    #[test]
    fn only_work_whose_failure_is_recorded_keeps_its_attempts() {
        let folder = tempfile::tempdir().unwrap();
        let [failed, again] =
            [trial(), supernet()].map(|work| began(folder.path(), Some(work), false).unwrap());
        let killed = Says(JobState::Ended(JobEnd::Killed { signal: 9 }));
        let engines = Engines { most: &killed, training: &killed };
        let state = adopt(engines, &JobsFolder::of_run(folder.path())).unwrap();
        assert!(!state.attempts.contains_key(&again), "the next study tries again");
        let attempts = &state.attempts[&failed];
        assert_eq!((attempts.count, &attempts.end), (1, &JobEnd::Killed { signal: 9 }));
    }
}
