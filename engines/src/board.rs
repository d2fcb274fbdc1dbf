//! What the jobs of a run do, for people.

use kiln_files::FileError;
use serde::Serialize;

use crate::engine::JobEnd;
use crate::folder::{JobFolder, JobsFolder, ProgressRecord, Request, StartRecord};

/// A job of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct JobRow {
    /// Name of the job.
    pub job: String,
    /// `waiting`, `running`, `idle`, or how it ended.
    pub state: String,
    /// Whether the job ended.
    pub is_ended: bool,
    /// Whether the job ended before it had done all that it was asked for.
    pub is_lost: bool,
    /// The engine's name for the job.
    pub handle: Option<String>,
    /// When it was submitted, in seconds since the Unix epoch.
    pub submitted_unix_s: Option<f64>,
    /// When it began, in seconds since the Unix epoch.
    pub started_unix_s: Option<f64>,
    /// When its end was noticed, in seconds since the Unix epoch.
    pub ended_unix_s: Option<f64>,
    /// Number of pieces of work that it has done.
    pub done: u32,
    /// What it works on, or worked on when it ended too early.
    pub work: Option<String>,
    /// The trial to which that work belongs.
    pub trial: Option<u64>,
    /// Number of the attempt at that work, from 1.
    pub attempt: Option<u32>,
    /// When it began with that work, in seconds since the Unix epoch.
    pub since_unix_s: Option<f64>,
    /// Progress of that work: steps done and all steps, and a note.
    pub progress: Option<(u64, u64, String)>,
    /// The end of what a job printed that ended too early.
    pub log: Option<String>,
}

impl JobRow {
    /// Reads the jobs of a run, the oldest first.
    ///
    /// # Errors
    /// [`FileError`] if a file of the jobs cannot be read.
    pub fn all(folder: &JobsFolder) -> Result<Vec<Self>, FileError> {
        folder.all()?.iter().map(|job| Self::read_any(folder, job)).collect()
    }

    /// Reads a job, whose files may be damaged.
    fn read_any(folder: &JobsFolder, job: &JobFolder) -> Result<Self, FileError> {
        match Self::read(folder, job) {
            Err(error @ FileError::Damaged { .. }) => Ok(Self {
                job: job.name(),
                state: error.to_string(),
                is_ended: true,
                is_lost: true,
                ..Self::default()
            }),
            read => read,
        }
    }

    /// Reads the jobs of a run that have not ended, the oldest first. Faster than [`JobRow::all`] for runs
    /// with many jobs.
    ///
    /// # Errors
    /// [`FileError`] if a file of the jobs cannot be read.
    pub fn running(folder: &JobsFolder) -> Result<Vec<Self>, FileError> {
        let mut rows = Vec::new();
        for job in folder.all()? {
            if !job.has_ended() {
                rows.push(Self::read_any(folder, &job)?);
            }
        }
        Ok(rows)
    }

    fn read(folder: &JobsFolder, job: &JobFolder) -> Result<Self, FileError> {
        let record = job.record()?;
        let started = job.started()?;
        let ended = job.ended()?;
        let mut current = None;
        let (mut done, mut is_closed) = (0, false);
        for number in 1.. {
            match job.request(number)? {
                None => break,
                Some(Request::Closed { .. }) => {
                    is_closed = true;
                    break;
                }
                Some(Request::Work { key, work, attempt, .. }) => {
                    if folder.result(&key)?.is_none() && is_open(job, number, ended.is_some()) {
                        current = Some((number, work, attempt));
                    } else {
                        done += 1;
                    }
                }
            }
        }
        let is_withdrawn = started.as_ref().is_some_and(|started| started.is_withdrawn);
        let state = match (&ended, &started, &current) {
            (Some(ended), ..) => ended.end.to_string(),
            _ if is_withdrawn => JobEnd::NotStarted.to_string(),
            (None, None, _) => "waiting".to_owned(),
            (None, Some(_), Some(_)) => "running".to_owned(),
            (None, Some(_), None) if is_closed => "ending".to_owned(),
            (None, Some(_), None) => "idle".to_owned(),
        };
        let progress = job.progress();
        let progress = progress.filter(|shown| current.as_ref().is_some_and(|(at, ..)| *at == shown.request));
        let from_start = started.as_ref().and_then(|started| started.handle.clone());
        let handle = job.submitted()?.or(from_start);
        Ok(Self {
            job: job.name(),
            state,
            is_ended: ended.is_some(),
            is_lost: ended.as_ref().is_some_and(|ended| ended.end != JobEnd::Done) || is_withdrawn,
            handle: handle.map(|handle| handle.0),
            submitted_unix_s: record.map(|record| record.unix_s),
            started_unix_s: started.filter(|_| !is_withdrawn).map(|StartRecord { unix_s, .. }| unix_s),
            ended_unix_s: ended.as_ref().map(|ended| ended.unix_s),
            done,
            trial: current.as_ref().and_then(|(_, work, _)| work.trial()),
            attempt: current.as_ref().map(|(.., attempt)| *attempt),
            since_unix_s: current.as_ref().and_then(|(number, ..)| job.begun(*number)),
            work: current.map(|(_, work, _)| work.label()),
            progress: progress.map(|ProgressRecord { done, total, note, .. }| (done, total, note)),
            log: ended.map(|ended| ended.log).filter(|log| !log.is_empty()),
        })
    }
}

/// Whether a request without a result is open. Results are removed when the study has ended, so a job that
/// ended has only its last request open, and only if it did not do it.
fn is_open(job: &JobFolder, number: u32, has_ended: bool) -> bool {
    !has_ended || (matches!(job.request(number + 1), Ok(None)) && job.was_cut_off())
}
