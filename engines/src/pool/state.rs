//! What a pool knows of its jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use kiln_files::FileError;

use crate::engine::{Handle, JobEnd};
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
    /// The attempts at pieces of work that have no result.
    pub(super) attempts: BTreeMap<Key, Attempts>,
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

/// Attempts at a piece of work that ended without a result.
#[derive(Clone)]
pub(super) struct Attempts {
    pub(super) count: u32,
    /// How the last one ended.
    pub(super) end: JobEnd,
    /// What the last job printed at its end.
    pub(super) log: String,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { count: 0, end: JobEnd::Gone, log: String::new() }
    }
}

impl Attempts {
    pub(super) fn add(&mut self, end: JobEnd, log: String) {
        *self = Self { count: self.count + 1, end, log };
    }
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

impl State {
    /// Frees the place of a job that gets no more work, and tells the job.
    pub(super) fn end(&mut self, job: Job) -> Result<(), FileError> {
        self.jobs -= 1;
        let closed = job.close();
        self.ending.push(job.folder);
        closed
    }
}

impl Job {
    /// Tells the job that it gets no more work.
    pub(super) fn close(&self) -> Result<(), FileError> {
        self.folder.ask(self.next, &Request::Closed { by: "the study".to_owned() }).map(drop)
    }
}
