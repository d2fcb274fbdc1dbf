//! What a pool knows of its jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use kiln_files::FileError;

use crate::engine::Handle;
use crate::folder::{JobFolder, Request};
use crate::work::Key;

#[derive(Default)]
pub(super) struct State {
    /// Number of jobs that run or wait for their start.
    pub(super) jobs: usize,
    /// Jobs without work.
    pub(super) idle: Vec<Job>,
    /// Jobs of an earlier process, by the work that they do.
    pub(super) adopted: BTreeMap<Key, Job>,
    /// Number of times that a piece of work was begun without a result.
    pub(super) attempts: BTreeMap<Key, u32>,
    /// Jobs that were told to end.
    pub(super) ending: Vec<JobFolder>,
    /// The work that threads of this process wait for.
    pub(super) awaited: BTreeSet<Key>,
    /// Machines that do not see the run folder.
    pub(super) blind: Vec<String>,
    /// Number of the next job.
    pub(super) next_job: u32,
    /// When a thread looked at the adopted jobs.
    pub(super) looked: Option<Instant>,
}

/// A job that runs or waits for its start.
pub(super) struct Job {
    /// Whether it has the settings of the job that trains a supernet.
    pub(super) is_training: bool,
    pub(super) folder: JobFolder,
    pub(super) handle: Handle,
    /// Number of the next request.
    pub(super) next: u32,
    pub(super) began: Instant,
}

impl Job {
    /// Tells the job that it gets no more work.
    pub(super) fn close(&self) -> Result<(), FileError> {
        self.folder.ask(self.next, &Request::Closed { by: "the study".to_owned() }).map(drop)
    }
}
