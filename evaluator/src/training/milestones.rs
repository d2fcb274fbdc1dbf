//! Milestones: the final states of trainings that are shorter than the whole schedule. A longer training of
//! the same network can start from a milestone. The result is bitwise equal to the result of a training from
//! new weights, so any milestone may be missing.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use kiln_files::{WholeFile, make_folder};

use crate::training::checkpoint::Checkpoint;

/// Maximum number of milestones that a study keeps. The oldest milestones are removed first.
const MOST: usize = 4096;
/// Maximum total size of the milestones, in bytes.
const MOST_BYTES: u64 = 512 << 20;

/// The milestones of one network, for one training of that network.
pub(crate) struct Milestones {
    /// The folder with all milestones of a study.
    folder: PathBuf,
    /// Everything that the network's trainings depend on, except their length.
    identity: String,
    /// Number of epochs of this training.
    epochs: u32,
    /// Number of epochs of the whole schedule.
    full: u32,
}

impl Milestones {
    /// Opens the milestones of one network, for a training of `epochs` of the schedule's `full` epochs.
    /// `identity` names everything that the network's trainings depend on, except their length.
    pub(crate) fn new(folder: PathBuf, identity: String, epochs: u32, full: u32) -> Self {
        Self { folder, identity, epochs, full }
    }

    /// Returns the newest milestone that this training of `steps` steps can start from: the final state of
    /// the longest training that was no longer than this one.
    pub(crate) fn latest(&self, steps: u64) -> Option<Checkpoint> {
        let mut known = self.known().ok()?;
        known.retain(|epochs| *epochs <= self.epochs);
        known.sort_unstable();
        known.into_iter().rev().find_map(|epochs| {
            let path = self.path(epochs);
            let read = Checkpoint::read(&self.identity_of(epochs), &path, steps);
            let is_there = path.exists();
            // Another training may have removed the file in the meantime.
            read.inspect_err(|problem| {
                if is_there {
                    tracing::warn!("{}: {problem}; passing over it", path.display());
                }
            })
            .ok()
        })
    }

    /// Stores the final state of this training, unless the training ran the whole schedule. Removes the
    /// milestones of shorter trainings, which are no longer needed. If a file cannot be written or removed,
    /// this only logs a warning, because no training needs a milestone.
    pub(crate) fn end(&self, state: impl FnOnce() -> Checkpoint) {
        if let Err(error) = self.keep(state) {
            tracing::warn!(
                "{}: cannot keep the state at which a training ended: {error}",
                self.folder.display()
            );
        }
    }

    fn keep(&self, state: impl FnOnce() -> Checkpoint) -> Result<(), Box<dyn Error>> {
        if self.epochs < self.full {
            make_folder(&self.folder)?;
            let mut file = WholeFile::create(&self.path(self.epochs))?;
            state().write(&self.identity_of(self.epochs), &mut file)?;
            file.finish()?;
            limit(&self.folder, MOST, MOST_BYTES)?;
        }
        for shorter in self.known()?.into_iter().filter(|epochs| *epochs < self.epochs) {
            remove(&self.path(shorter))?;
        }
        Ok(())
    }

    fn path(&self, epochs: u32) -> PathBuf {
        self.folder.join(format!("{}{epochs}.ckpt", self.prefix()))
    }

    fn prefix(&self) -> String {
        format!("{}-", &blake3::hash(self.identity.as_bytes()).to_hex()[..16])
    }

    fn identity_of(&self, epochs: u32) -> [u8; 32] {
        *blake3::hash(format!("{}\nafter {epochs} epochs", self.identity).as_bytes()).as_bytes()
    }

    /// Lists the epochs of this network's milestones.
    fn known(&self) -> io::Result<Vec<u32>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let prefix = self.prefix();
        let mut known = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let epochs = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(".ckpt"));
            known.extend(epochs.and_then(|epochs| epochs.parse::<u32>().ok()));
        }
        Ok(known)
    }
}

/// Removes the oldest files of a folder until at most `most` files and `most_bytes` bytes are left.
fn limit(folder: &Path, most: usize, most_bytes: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Another training may have removed the file in the meantime.
        if let Ok(about) = entry.metadata() {
            files.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), entry.path(), about.len()));
        }
    }
    let mut bytes: u64 = files.iter().map(|(_, _, length)| length).sum();
    if files.len() <= most && bytes <= most_bytes {
        return Ok(());
    }
    files.sort();
    let mut left = files.len();
    for (_, path, length) in files {
        if left <= most && bytes <= most_bytes {
            break;
        }
        remove(&path)?;
        (left, bytes) = (left - 1, bytes - length);
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn state(step: u64) -> Checkpoint {
        Checkpoint { step, parts: BTreeMap::from([("weights".to_owned(), vec![1; 100])]) }
    }

    #[test]
    fn training_starts_from_the_longest_milestone_within_its_epochs() {
        let folder = tempfile::tempdir().unwrap();
        let of = |network: &str, epochs| {
            Milestones::new(folder.path().join("milestones"), network.to_owned(), epochs, 9)
        };
        let step = |network: &str, epochs: u32| {
            of(network, epochs).latest(10 * u64::from(epochs)).map(|state| state.step)
        };
        assert_eq!(step("a", 9), None);
        of("a", 1).end(|| state(10));
        of("a", 3).end(|| state(30));
        of("b", 2).end(|| state(20));
        // The training of three epochs has removed the milestone of one epoch.
        assert_eq!([1, 2, 3, 9].map(|epochs| step("a", epochs)), [None, None, Some(30), Some(30)]);
        assert_eq!([1, 2, 9].map(|epochs| step("b", epochs)), [None, Some(20), Some(20)]);
        // A milestone with more steps than the training is ignored.
        of("a", 1).end(|| state(30));
        assert_eq!(step("a", 1), None);
        of("a", 9).end(|| panic!("nothing follows the whole schedule"));
        assert_eq!((step("a", 9), step("b", 9)), (None, Some(20)));
    }

    #[test]
    fn damaged_milestones_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let short = Milestones::new(folder.path().to_owned(), "a".to_owned(), 1, 9);
        short.end(|| state(10));
        let path = short.path(1);
        let mut bytes = fs::read(&path).unwrap();
        bytes[80] ^= 4;
        fs::write(&path, &bytes).unwrap();
        assert!(short.latest(10).is_none());
        // A crash of the machine may leave a truncated file.
        fs::write(&path, &bytes[..20]).unwrap();
        assert!(short.latest(10).is_none());
    }

    #[test]
    fn oldest_files_beyond_the_limits_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..6_u64 {
            let path = folder.path().join(format!("{}.ckpt", 9 - number));
            let file = fs::File::create(path).unwrap();
            file.set_len(100).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number)).unwrap();
        }
        let names = || {
            let mut names: Vec<String> = fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        limit(folder.path(), 4, 10_000).unwrap();
        assert_eq!(names(), ["4.ckpt", "5.ckpt", "6.ckpt", "7.ckpt"]);
        limit(folder.path(), 4, 250).unwrap();
        assert_eq!(names(), ["4.ckpt", "5.ckpt"]);
        limit(folder.path(), 4, 99).unwrap();
        assert_eq!(names(), Vec::<String>::new());
    }
}
