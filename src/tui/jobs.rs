//! The jobs of a study that has an engine: what runs where, since when, how far, at which attempt.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kiln_engines::{JobRow, JobsFolder};
use kiln_search::Seconds;

/// Interval between two looks at the folder of jobs.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A job that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Running {
    /// Name of the job, and the first part of the engine's name for it, such as the process id.
    pub(crate) job: String,
    pub(crate) place: String,
    /// What it works on, or its state if it works on nothing.
    pub(crate) work: String,
    /// Time since it began with that, when the folder was read.
    pub(crate) since: Option<Duration>,
    /// Share of the steps that are done, in percent.
    pub(crate) percent: Option<u64>,
    /// Number of the attempt at that work, from 1.
    pub(crate) attempt: u32,
}

impl Running {
    fn new(row: JobRow, now_unix_s: f64) -> Self {
        let place =
            row.handle.as_deref().unwrap_or_default().split(':').next().unwrap_or_default().to_owned();
        let percent = row.progress.as_ref().filter(|(_, total, _)| *total > 0);
        Self {
            job: row.job,
            place,
            since: row.since_unix_s.map(|since| Seconds::saturating(now_unix_s - since).duration()),
            percent: percent.map(|(done, total, _)| done.saturating_mul(100) / total),
            attempt: row.attempt.unwrap_or(1),
            work: row.work.unwrap_or(row.state),
        }
    }
}

/// Reads the jobs of a run folder again and again.
pub(super) struct Reader<'a> {
    folder: Option<&'a JobsFolder>,
    read: Option<Instant>,
}

impl<'a> Reader<'a> {
    /// Reads nothing without a folder.
    pub(super) const fn new(folder: Option<&'a JobsFolder>) -> Self {
        Self { folder, read: None }
    }

    /// Returns the jobs that have not ended. Returns `None` if the last look was a moment ago, or if the
    /// folder cannot be read at the moment.
    pub(super) fn look(&mut self) -> Option<Vec<Running>> {
        let folder = self.folder.filter(|_| self.read.is_none_or(|read| read.elapsed() >= LOOK_EVERY))?;
        self.read = Some(Instant::now());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let rows = JobRow::running(folder).ok()?;
        Some(rows.into_iter().map(|row| Running::new(row, now)).collect())
    }
}
