//! The files through which a study and its jobs talk: the folder `jobs` of a run folder.
//!
//! ```text
//! jobs/0003/job.json          what the job is, written before it is submitted
//!           submitted.json    the engine's handle
//!           started.json      written by the job; who creates this file first decides whether it may begin
//!           requests/1.json   the pieces of work; whoever creates the next file first decides: a request, or
//!                             a note that the job takes no more
//!           requests/1.begun  the job began with this request
//!           progress.json     what the job does
//!           stop              the study asks the job to save its state and to end
//!           ended.json        how it ended
//!           log               both outputs
//! jobs/results/ab/KEY.json    the first complete result of a piece of work
//! jobs/results/ab/KEY         files that belong to it
//! ```
//!
//! A file that decides something is created by a hard link, which only the first writer can make.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kiln_files::{
    Existing, FileError, hand_over, make_folder, optional, read_document, seal_document, show,
    write_document, write_new,
};
use kiln_search::{Finished, Seconds};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::engine::{Handle, JobEnd};
use crate::work::{Done, Key, Work};

/// Maximum size of a file of this folder in bytes.
const FILE_MAX: u64 = 16 << 20;
/// Longest interval between two looks for a file.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Version of the files of a job.
pub(crate) const VERSION: u32 = 1;

/// The folder of all jobs of a run folder.
#[derive(Clone, Debug)]
pub struct JobsFolder {
    root: PathBuf,
}

/// The folder of one job.
#[derive(Clone, Debug)]
pub struct JobFolder {
    root: PathBuf,
    jobs: PathBuf,
}

/// `job.json`: everything that the job needs to know before its first request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRecord {
    /// Version of the files of a job.
    pub version: u32,
    /// Version of the program that made it.
    pub kiln: String,
    /// When it was made, in seconds since the Unix epoch.
    pub unix_s: f64,
    /// Full path of the run folder.
    pub run: PathBuf,
    /// Full path of the folder of data sets and tables, if the user named one.
    pub data: Option<PathBuf>,
    /// The settings of `[finish]` that are in effect. `None` if no network is finished.
    pub finish: Option<Map<String, Value>>,
    /// Whether the job trains a supernet, and so belongs to the engine with the settings of `training`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_training: bool,
}

/// `submitted.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Submitted {
    handle: Handle,
}

/// `started.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartRecord {
    /// The handle under which the engine knows the job, if the job knows it.
    pub(crate) handle: Option<Handle>,
    /// When the job began. 0 if it may not begin.
    pub(crate) unix_s: f64,
    /// Whether the study withdrew the job before it began.
    pub(crate) is_withdrawn: bool,
}

/// `ended.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndRecord {
    /// When the end was noticed.
    pub(crate) unix_s: f64,
    pub(crate) end: JobEnd,
    /// The end of what the job printed, if it ended too early.
    pub(crate) log: String,
}

/// `requests/N.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// A piece of work.
    Work {
        key: Key,
        /// What results of the study depend on. The job compares it with what it reads itself.
        study: String,
        /// The number of this attempt at the work, from 1.
        attempt: u32,
        work: Box<Work>,
    },
    /// There are no more requests.
    Closed {
        /// Who closed the job.
        by: String,
    },
}

/// Numbers by stage and name, each with its step.
pub(crate) type Numbers = BTreeMap<String, BTreeMap<String, (u64, f64)>>;

/// `progress.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgressRecord {
    /// Number of the request that is worked on.
    pub(crate) request: u32,
    pub(crate) stage: String,
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) note: String,
    /// The last numbers of each stage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) numbers: Numbers,
}

/// A file of results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResultRecord {
    pub(crate) key: Key,
    /// Name of the job that did the work.
    pub(crate) job: String,
    /// Time that the work took.
    pub(crate) seconds: Seconds,
    pub(crate) done: Done,
}

/// Seconds since the Unix epoch.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Interval between two looks for a file, after this time of waiting. What takes longer is looked for less
/// often: 32 times less than it takes for short work, 128 times less for work of seconds, and at least once
/// in a second.
pub(crate) fn pause(waited: Duration) -> Duration {
    const SHORT: Duration = Duration::from_millis(20);
    let short = (waited / 32).clamp(Duration::from_micros(300), SHORT);
    short.max(waited / 128).min(PAUSE_MAX)
}

/// The same interval where this number of threads wait. Together they look about 500 times in a second, so
/// hundreds of jobs cost little. Short work is still noticed after a part of its time.
pub(crate) fn pause_of_many(waited: Duration, threads: usize) -> Duration {
    let threads = u32::try_from(threads).unwrap_or(u32::MAX);
    let shared = Duration::from_millis(2).saturating_mul(threads).min(waited / 8);
    pause(waited).max(shared).min(PAUSE_MAX)
}

/// Writes a file that only the first writer can make. Returns whether this was the first.
fn first(path: &Path, written: Result<(), FileError>) -> Result<bool, FileError> {
    match written {
        Ok(()) => Ok(true),
        Err(FileError::Exists { existing: Existing::Any, .. }) => Ok(false),
        // Another process may remove results that are not needed any more.
        Err(error) if path.exists() => {
            tracing::warn!("{error}");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    Ok(optional(read_document(path, FILE_MAX))?.map(|read| read.content))
}

impl JobsFolder {
    /// The jobs of a run folder.
    #[must_use]
    pub fn of_run(run: &Path) -> Self {
        Self { root: run.join("jobs") }
    }

    /// Path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Makes the folder of a new job, with the first free number from `number` on.
    pub(crate) fn create(&self, record: &JobRecord, mut number: u32) -> Result<JobFolder, FileError> {
        make_folder(&self.root)?;
        loop {
            let folder = self.job(number);
            match fs::create_dir(&folder.root) {
                Ok(()) => {
                    make_folder(&folder.requests())?;
                    write_document(&folder.root.join("job.json"), record)?;
                    return Ok(folder);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => {
                    return Err(FileError::Io { path: folder.root, action: "make the folder", source });
                }
            }
        }
    }

    fn job(&self, number: u32) -> JobFolder {
        JobFolder { root: self.root.join(format!("{number:04}")), jobs: self.root.clone() }
    }

    fn numbers(&self) -> Result<Vec<u32>, FileError> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                let path = self.root.clone();
                return Err(FileError::Io { path, action: "list the jobs", source });
            }
        };
        let number = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        let mut numbers: Vec<u32> = entries.filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Returns the number of the next job. This lists the folder, which takes long in a run with many jobs.
    pub(crate) fn next_number(&self) -> Result<u32, FileError> {
        Ok(self.numbers()?.last().map_or(1, |last| last + 1))
    }

    /// Returns all jobs, the oldest first.
    ///
    /// # Errors
    /// [`FileError`] if the folder cannot be listed.
    pub fn all(&self) -> Result<Vec<JobFolder>, FileError> {
        Ok(self.numbers()?.into_iter().map(|number| self.job(number)).collect())
    }

    fn results(&self) -> PathBuf {
        self.root.join("results")
    }

    /// Path of the files that belong to a result. Results are in folders of their own, because writing a file
    /// takes longer in a folder with many files.
    pub(crate) fn files(&self, key: &Key) -> PathBuf {
        self.results().join(&key.as_str()[..2]).join(key.as_str())
    }

    /// Makes files of a result visible that another machine wrote. A shared folder remembers for a while that
    /// a file was missing. Listing the folder ends that.
    pub(crate) fn refresh(&self, key: &Key) {
        let files = self.files(key);
        for folder in files.ancestors().skip(1).take(3) {
            // A folder that is missing has no files.
            let _ = fs::read_dir(folder).map(Iterator::count);
        }
    }

    /// Reads the result of a piece of work. A damaged result counts as missing, so the work is done again.
    pub(crate) fn result(&self, key: &Key) -> Result<Option<ResultRecord>, FileError> {
        let path = self.files(key).with_extension("json");
        match read::<ResultRecord>(&path) {
            Ok(Some(record)) if record.key == *key => Ok(Some(record)),
            Ok(None) => Ok(None),
            Ok(Some(_)) | Err(FileError::Damaged { .. }) => {
                tracing::warn!("{}: damaged; the work is done again", path.display());
                self.forget(key).map(|()| None)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes a result, so that the work is done again.
    pub(crate) fn forget(&self, key: &Key) -> Result<(), FileError> {
        let path = self.files(key).with_extension("json");
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(FileError::Io { path, action: "remove", source })
            }
            _ => Ok(()),
        }
    }

    /// Stores a result, unless there is one.
    pub(crate) fn keep(&self, record: &ResultRecord) -> Result<bool, FileError> {
        let path = self.files(&record.key).with_extension("json");
        make_folder(path.parent().unwrap_or(&self.root))?;
        first(&path, write_new(&path, &seal_document(record)))
    }

    /// Removes all results, when the journal has them.
    pub(crate) fn clear_results(&self) -> Result<(), FileError> {
        let path = self.results();
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(FileError::Io { path, action: "remove", source })
            }
            _ => Ok(()),
        }
    }
}

impl JobFolder {
    /// Opens the folder of a job.
    ///
    /// # Errors
    /// [`FileError`] if it has no `job.json` of this version.
    pub fn open(path: &Path) -> Result<(Self, JobRecord), FileError> {
        let path = std::path::absolute(path).map_err(|source| FileError::Io {
            path: path.to_owned(),
            action: "find the full path",
            source,
        })?;
        let file = path.join("job.json");
        let record: JobRecord = read_document(&file, FILE_MAX)?.content;
        let jobs = path.parent().unwrap_or(&path).to_owned();
        Ok((Self { root: path, jobs }, record))
    }

    /// Path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Name of the job in its run folder.
    #[must_use]
    pub fn name(&self) -> String {
        self.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub(crate) fn results(&self) -> JobsFolder {
        JobsFolder { root: self.jobs.clone() }
    }

    /// Path of the file with the job's outputs.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(crate) fn record(&self) -> Result<Option<JobRecord>, FileError> {
        read(&self.root.join("job.json"))
    }

    pub(crate) fn submitted(&self) -> Result<Option<Handle>, FileError> {
        Ok(read::<Submitted>(&self.root.join("submitted.json"))?.map(|submitted| submitted.handle))
    }

    pub(crate) fn submit(&self, handle: &Handle) -> Result<(), FileError> {
        write_document(&self.root.join("submitted.json"), &Submitted { handle: handle.clone() })
    }

    pub(crate) fn started(&self) -> Result<Option<StartRecord>, FileError> {
        read(&self.root.join("started.json"))
    }

    /// Claims the right to begin, or withdraws the job. Returns whether this was the first claim.
    pub(crate) fn claim(&self, record: &StartRecord) -> Result<bool, FileError> {
        let path = self.root.join("started.json");
        first(&path, hand_over(&path, &seal_document(record)))
    }

    pub(crate) fn ended(&self) -> Result<Option<EndRecord>, FileError> {
        read(&self.root.join("ended.json"))
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.root.join("ended.json").exists()
    }

    /// Whether the job ended before it had done all that it was asked for.
    pub(crate) fn was_cut_off(&self) -> bool {
        self.ended().ok().flatten().is_some_and(|ended| ended.end != JobEnd::Done)
    }

    /// Records the end of the job, unless it is recorded.
    pub(crate) fn end(&self, end: JobEnd, log: String) -> Result<(), FileError> {
        let path = self.root.join("ended.json");
        let record = EndRecord { unix_s: now(), end, log };
        first(&path, write_new(&path, &seal_document(&record))).map(drop)
    }

    /// Asks the job to save its state and to end.
    pub(crate) fn stop(&self) -> Result<(), FileError> {
        let path = self.root.join("stop");
        first(&path, hand_over(&path, b"")).map(drop)
    }

    /// Whether the study asked the job to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.root.join("stop").exists()
    }

    fn requests(&self) -> PathBuf {
        self.root.join("requests")
    }

    pub(crate) fn request(&self, number: u32) -> Result<Option<Request>, FileError> {
        read(&self.requests().join(format!("{number}.json")))
    }

    /// Makes a request, or closes the job. Returns whether the place was free.
    pub(crate) fn ask(&self, number: u32, request: &Request) -> Result<bool, FileError> {
        let path = self.requests().join(format!("{number}.json"));
        first(&path, hand_over(&path, &seal_document(request)))
    }

    /// Notes that the job begins with a request.
    pub(crate) fn begin(&self, number: u32) -> Result<(), FileError> {
        let path = self.requests().join(format!("{number}.begun"));
        first(&path, hand_over(&path, b"")).map(drop)
    }

    /// When the job began with a request, in seconds since the Unix epoch.
    pub(crate) fn begun(&self, number: u32) -> Option<f64> {
        let path = self.requests().join(format!("{number}.begun"));
        let time = path.metadata().ok()?.modified().ok()?;
        Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
    }

    pub(crate) fn progress(&self) -> Option<ProgressRecord> {
        read(&self.root.join("progress.json")).ok().flatten()
    }

    pub(crate) fn show_progress(&self, record: &ProgressRecord) -> Result<(), FileError> {
        show(&self.root.join("progress.json"), &seal_document(record))
    }
}

/// Links the files of a finished network into another folder, or copies them where links are impossible.
pub(crate) fn place_files(from: &Path, finished: &Finished, into: &Path) -> Result<(), FileError> {
    for file in &finished.files {
        let (source, target) = (from.join(&file.name), into.join(&file.name));
        if let Some(parent) = target.parent() {
            make_folder(parent)?;
        }
        kiln_files::link_or_copy(&source, &target)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_adds_little_to_short_work_and_costs_little_for_long_work() {
        let milliseconds = |waited: u64| pause(Duration::from_millis(waited)).as_micros();
        assert_eq!(milliseconds(0), 300);
        assert_eq!(milliseconds(320), 10_000);
        assert_eq!(milliseconds(1_000), 20_000);
        assert_eq!(milliseconds(12_800), 100_000);
        assert_eq!(milliseconds(3_600_000), 1_000_000);
        let of_many = |waited, threads| pause_of_many(Duration::from_millis(waited), threads).as_millis();
        assert_eq!(of_many(1_000, 2), 20);
        assert_eq!(of_many(1_000, 200), 125);
        assert_eq!(of_many(10_000, 200), 400);
        assert_eq!(of_many(60_000, 10_000), 1_000);
    }
}
