//! Takes over the jobs of an earlier process of the study.

use std::time::Instant;

use kiln_files::FileError;

use super::state::{Job, State};
use crate::engine::{Engine, Handle, JobEnd, JobState};
use crate::folder::{JobFolder, JobsFolder, Request, StartRecord, now};
use crate::work::Work;

/// Takes over the jobs of an earlier process. A job whose files are damaged is left alone: what it may have
/// done is done again, and the first result counts.
pub(super) fn adopt(engine: &dyn Engine, folder: &JobsFolder) -> Result<State, FileError> {
    let mut state = State { next_job: folder.next_number()?, ..State::default() };
    for job in folder.all()? {
        match adopt_one(engine, folder, job, &mut state) {
            Err(error @ FileError::Damaged { .. }) => {
                tracing::warn!("{error}; the job is passed over");
            }
            adopted => adopted?,
        }
    }
    Ok(state)
}

fn adopt_one(
    engine: &dyn Engine,
    folder: &JobsFolder,
    job: JobFolder,
    state: &mut State,
) -> Result<(), FileError> {
    let mut end = job.ended()?.map(|ended| ended.end);
    let handle = if end.is_none() { handle(&job)? } else { None };
    if let Some(handle) = &handle {
        match engine.status(handle) {
            Ok(JobState::Ended(ended)) => end = Some(settle(engine, &job, handle, ended)?.0),
            Ok(JobState::Running | JobState::Waiting) => {}
            Err(error) => tracing::warn!("job {}: {error}", job.name()),
        }
    }
    if end.as_ref().is_some_and(|end| !end.counts()) {
        return Ok(());
    }
    let is_running = end.is_none();
    let mut last = None;
    for number in 1.. {
        let Some(request) = job.request(number)? else { break };
        let open = match &request {
            Request::Work { key, .. } if folder.result(key)?.is_none() => Some(key.clone()),
            _ => None,
        };
        if let Some(key) = open.clone().filter(|_| !is_running && job.begun(number).is_some()) {
            *state.attempts.entry(key).or_default() += 1;
        }
        last = Some((number, request, open));
    }
    let Some(handle) = handle.filter(|_| is_running) else { return Ok(()) };
    let next = last.as_ref().map_or(1, |(number, ..)| number + 1);
    let trains = |work: &Work| matches!(work, Work::Supernet { .. });
    let is_training = matches!(&last, Some((_, Request::Work { work, .. }, _)) if trains(work));
    let running = Job { is_training, folder: job, handle, next, began: Instant::now() };
    match last {
        // It ends by itself.
        Some((_, Request::Closed { .. }, _)) => {}
        Some((_, _, Some(key))) => {
            state.jobs += 1;
            state.adopted.insert(key, running);
        }
        Some(_) if is_training => running.close()?,
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
    folder.end(end.clone(), log.clone())?;
    Ok(match folder.ended()? {
        Some(ended) => (ended.end, if ended.log.is_empty() { log } else { ended.log }),
        None => (end, log),
    })
}
