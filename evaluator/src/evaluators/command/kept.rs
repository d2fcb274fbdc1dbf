//! What stays between the trainings of a network: the checkpoint and the course of a shorter training, and
//! the weights of a whole one. No training needs them, so any of them may be missing.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use kiln_files::{Content, FileError, WholeFolder, make_folder, read_document, write_document};
use serde::{Deserialize, Serialize};

use super::course::Course;
use super::message::Metrics;

/// Name of the program's own folder.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// Name of the file with the weights of a network.
pub(super) const WEIGHTS: &str = "weights.safetensors";
/// Name of the document about a kept folder.
const RECORD: &str = "record.json";
/// Maximum size of a record in bytes.
const RECORD_MAX: u64 = 64 << 20;
/// Maximum number of kept folders of a study.
const MOST: usize = 4096;

/// The document about a kept folder.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// Everything that the network's trainings depend on, except their length.
    identity: String,
    /// Number of epochs of the training.
    epochs: u32,
    course: Course,
    /// The result, and the file of weights. Only of a whole training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trained: Option<Trained>,
}

/// The result of a whole training whose weights are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trained {
    pub(super) metrics: Metrics,
    pub(super) weights: Content,
}

/// What is kept of one network.
pub(super) struct Kept {
    folder: PathBuf,
    identity: String,
    bytes_max: u64,
}

impl Kept {
    /// `folder` contains what a study keeps of all networks. `identity` names everything that the network's
    /// trainings depend on, except their length.
    pub(super) const fn new(folder: PathBuf, identity: String, bytes_max: u64) -> Self {
        Self { folder, identity, bytes_max }
    }

    /// Returns the courses of earlier trainings, the longest first, each with its number of epochs.
    pub(super) fn courses(&self) -> impl Iterator<Item = (u32, Course)> + '_ {
        let mut epochs = self.known().unwrap_or_default();
        epochs.sort_unstable();
        epochs.into_iter().rev().filter_map(|epochs| Some((epochs, self.record(epochs)?.course)))
    }

    /// Copies the checkpoint of the longest training with at most `epochs` epochs to `to`, which must not
    /// exist. Returns the training's course, or `None` if there is no such training.
    pub(super) fn restore(&self, epochs: u32, to: &Path) -> Option<Course> {
        let found = self.courses().find(|(known, _)| *known <= epochs);
        let (known, course) = found?;
        let from = self.place(known).join(CHECKPOINT);
        match copy(&from, to) {
            Ok(()) => Some(course),
            Err(error) => {
                // Another training may have removed it, or the disk is full. Then the training starts anew.
                tracing::warn!("{}: cannot be copied ({error}); the training starts anew", from.display());
                let _ = fs::remove_dir_all(to);
                None
            }
        }
    }

    /// Keeps the state of a training that ended. `checkpoint` and `weights` are moved away if they are there.
    /// The states of shorter trainings are removed, which no training needs any more.
    pub(super) fn keep(
        &self,
        epochs: u32,
        course: &Course,
        checkpoint: Option<&Path>,
        trained: Option<(&Path, Metrics)>,
    ) {
        let kept = self.try_keep(epochs, course, checkpoint, trained).and_then(|()| {
            for shorter in self.known()?.into_iter().filter(|shorter| *shorter < epochs) {
                remove(&self.place(shorter))?;
            }
            limit(&self.folder, MOST, self.bytes_max)
        });
        if let Err(error) = kept {
            tracing::warn!("{}: cannot keep what a training left: {error}", self.folder.display());
        }
    }

    fn try_keep(
        &self,
        epochs: u32,
        course: &Course,
        checkpoint: Option<&Path>,
        trained: Option<(&Path, Metrics)>,
    ) -> io::Result<()> {
        make_folder(&self.folder).map_err(other)?;
        let folder = WholeFolder::create(&self.place(epochs)).map_err(other)?;
        let place = folder.path().join(CHECKPOINT);
        match checkpoint.filter(|checkpoint| checkpoint.is_dir()) {
            Some(checkpoint) => fs::rename(checkpoint, &place)?,
            None => fs::create_dir(&place)?,
        }
        let trained = match trained {
            Some((weights, metrics)) => {
                let content = Content::of_file(weights).map_err(other)?;
                fs::rename(weights, folder.path().join(WEIGHTS))?;
                Some(Trained { metrics, weights: content })
            }
            None => None,
        };
        let record = Record { identity: self.identity.clone(), epochs, course: course.clone(), trained };
        write_document(&folder.path().join(RECORD), &record).map_err(other)?;
        folder.finish_over().map_err(other)
    }

    /// Returns the file of weights of the whole training of this many epochs, with its result. Returns `None`
    /// if there is none, or if it was changed.
    pub(super) fn trained(&self, epochs: u32) -> Option<(PathBuf, Trained)> {
        let trained = self.record(epochs)?.trained?;
        let path = self.place(epochs).join(WEIGHTS);
        let is_same = Content::of_file(&path).is_ok_and(|content| content == trained.weights);
        is_same.then_some((path, trained))
    }

    fn record(&self, epochs: u32) -> Option<Record> {
        let path = self.place(epochs).join(RECORD);
        match read_document::<Record>(&path, RECORD_MAX) {
            Ok(read) if read.is_checked => {
                let record = read.content;
                (record.identity == self.identity && record.epochs == epochs).then_some(record)
            }
            Ok(_) => None,
            Err(error) => {
                if !error.is_missing() {
                    tracing::warn!("{error}; passing over it");
                }
                None
            }
        }
    }

    fn place(&self, epochs: u32) -> PathBuf {
        self.folder.join(format!("{}{epochs}", self.prefix()))
    }

    fn prefix(&self) -> String {
        format!("{}-", &blake3::hash(self.identity.as_bytes()).to_hex()[..16])
    }

    /// Lists the epochs of the trainings of this network.
    fn known(&self) -> io::Result<Vec<u32>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let prefix = self.prefix();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| name.strip_prefix(&prefix)?.parse().ok()).collect())
    }
}

fn other(error: FileError) -> io::Error {
    io::Error::other(error)
}

/// Copies a folder. Links and special files are left out, because a copy must not change what they lead to.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, place) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &place)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &place)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn bytes_of(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { bytes_of(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}

/// Removes the oldest folders until at most `most` folders and `bytes_max` bytes are left.
fn limit(folder: &Path, most: usize, bytes_max: u64) -> io::Result<()> {
    let mut folders: Vec<(SystemTime, OsString, u64)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Another training may remove the folder in the meantime. Names with `.` are being written.
        let is_whole = !entry.file_name().to_string_lossy().contains('.');
        if let (true, Ok(about), Ok(bytes)) = (is_whole, entry.metadata(), bytes_of(&entry.path())) {
            folders.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), entry.file_name(), bytes));
        }
    }
    folders.sort();
    let (mut left, mut bytes) = (folders.len(), folders.iter().map(|(_, _, bytes)| bytes).sum::<u64>());
    for (_, name, size) in folders {
        if left <= most && bytes <= bytes_max {
            break;
        }
        remove(&folder.join(name))?;
        (left, bytes) = (left - 1, bytes - size);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(folder: &Path, network: &str) -> Kept {
        Kept::new(folder.join("kept"), network.to_owned(), 1 << 20)
    }

    fn course(epochs: u32) -> Course {
        let mut course = Course::default();
        course.add(epochs, Metrics::from([("error".to_owned(), f64::from(epochs))]));
        course
    }

    fn keep(folder: &Path, network: &str, epochs: u32, text: &str) {
        let checkpoint = folder.join("work");
        fs::create_dir_all(checkpoint.join("inner")).unwrap();
        fs::write(checkpoint.join("inner").join("state"), text).unwrap();
        kept(folder, network).keep(epochs, &course(epochs), Some(&checkpoint), None);
        assert!(!checkpoint.exists());
    }

    fn restored(folder: &Path, network: &str, epochs: u32) -> Option<(String, Course)> {
        let to = folder.join("to");
        let course = kept(folder, network).restore(epochs, &to)?;
        let text = fs::read_to_string(to.join("inner").join("state")).unwrap();
        fs::remove_dir_all(&to).unwrap();
        Some((text, course))
    }

    #[test]
    fn training_starts_from_the_longest_one_within_its_epochs() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(restored(folder, "a", 9), None);
        keep(folder, "a", 1, "one");
        keep(folder, "a", 3, "three");
        keep(folder, "b", 2, "two");
        assert_eq!(restored(folder, "a", 9), Some(("three".to_owned(), course(3))));
        assert_eq!(restored(folder, "a", 2), None, "the training of three epochs removed that of one");
        assert_eq!(restored(folder, "b", 2), Some(("two".to_owned(), course(2))));
        let all: Vec<u32> = kept(folder, "a").courses().map(|(epochs, _)| epochs).collect();
        assert_eq!(all, [3]);
    }

    #[test]
    fn changed_records_and_weights_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let network = kept(folder.path(), "a");
        let weights = folder.path().join("w");
        fs::write(&weights, "weights").unwrap();
        let metrics = Metrics::from([("error".to_owned(), 2.0)]);
        network.keep(9, &course(9), None, Some((&weights, metrics.clone())));
        let (path, trained) = network.trained(9).unwrap();
        assert_eq!((trained.metrics, fs::read_to_string(&path).unwrap()), (metrics, "weights".to_owned()));
        fs::write(&path, "w3ights").unwrap();
        assert!(network.trained(9).is_none() && network.courses().count() == 1);
        let record = path.with_file_name(RECORD);
        let text = fs::read_to_string(&record).unwrap().replace("9.0", "8.0");
        fs::write(&record, text).unwrap();
        assert_eq!(network.courses().count(), 0);
    }

    #[test]
    fn oldest_folders_beyond_the_limits_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..5_u64 {
            let place = folder.path().join(format!("a-{number}"));
            fs::create_dir(&place).unwrap();
            fs::write(place.join("state"), [0; 100]).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number);
            fs::File::open(&place).unwrap().set_modified(time).unwrap();
        }
        let names = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names
        };
        limit(folder.path(), 4, 10_000).unwrap();
        assert_eq!(names(), ["a-1", "a-2", "a-3", "a-4"]);
        limit(folder.path(), 4, 250).unwrap();
        assert_eq!(names(), ["a-3", "a-4"]);
    }
}
