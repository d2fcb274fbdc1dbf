//! Checkpoints of a training. Each checkpoint is a file with named parts, which is always written as a whole.
//! A training keeps its last two checkpoints.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use kiln_files::{WholeFile, make_folder};
use kiln_search::{EvalError, hold_folder};

use crate::training::checkpoint_error::CheckpointError;

const MAGIC: &[u8; 8] = b"kilnckp3";
/// Number of checkpoints that a training keeps.
const KEPT: usize = 2;
/// Maximum size in bytes of a checkpoint that Kiln reads.
const LONGEST_BYTES: u64 = 64 << 30;
/// Length of the header in bytes: magic, identity, step, number of parts.
const HEADER: usize = 8 + 32 + 8 + 8;

/// The state of a training after `step` steps. Parts are named, for example weights and optimizer state.
pub(crate) struct Checkpoint {
    pub(crate) step: u64,
    pub(crate) parts: BTreeMap<String, Vec<u8>>,
}

impl Checkpoint {
    /// Writes a checkpoint to a file. `identity` is a hash that identifies the training. The file ends with a
    /// hash of everything before it.
    pub(crate) fn write(&self, identity: &[u8; 32], file: &mut dyn Write) -> io::Result<()> {
        let mut hasher = blake3::Hasher::new();
        let mut header = [MAGIC.as_slice(), identity].concat();
        header.extend(self.step.to_le_bytes());
        header.extend((self.parts.len() as u64).to_le_bytes());
        let mut write = |bytes: &[u8]| {
            hasher.update(bytes);
            file.write_all(bytes)
        };
        write(&header)?;
        for (name, content) in &self.parts {
            for part in [name.as_bytes(), content] {
                write(&(part.len() as u64).to_le_bytes())?;
                write(part)?;
            }
        }
        file.write_all(hasher.finalize().as_bytes())
    }

    /// Reads a checkpoint of this training that has at most `steps` steps. A state with more steps is
    /// refused, because it already contains the effect of later steps.
    ///
    /// # Errors
    /// [`CheckpointError`] when the file is damaged, belongs to another training, or has more than `steps`
    /// steps.
    pub(crate) fn read(identity: &[u8; 32], path: &Path, steps: u64) -> Result<Self, CheckpointError> {
        let bytes = kiln_files::read(path, LONGEST_BYTES).map_err(CheckpointError::File)?;
        let (body, hash) = bytes.split_last_chunk::<32>().ok_or(CheckpointError::TooShort)?;
        if blake3::hash(body).as_bytes() != hash {
            return Err(CheckpointError::Changed);
        }
        let (header, mut rest) = body.split_at_checked(HEADER).ok_or(CheckpointError::TooShort)?;
        if header[..8] != *MAGIC {
            return Err(CheckpointError::OtherVersion);
        }
        if header[8..40] != *identity {
            return Err(CheckpointError::OtherTraining);
        }
        let step = number(&header[40..])?;
        if step > steps {
            return Err(CheckpointError::Beyond { step, steps });
        }
        let mut parts = BTreeMap::new();
        for _ in 0..number(&header[48..])? {
            let name = String::from_utf8(take(&mut rest)?.to_vec())?;
            parts.insert(name, take(&mut rest)?.to_vec());
        }
        Ok(Self { step, parts })
    }
}

/// Locks a folder of checkpoints. The folder stays locked until the returned file is dropped or the process
/// ends.
///
/// # Errors
/// [`EvalError::Held`] when another process has locked the folder, [`EvalError::File`] when it cannot be
/// locked.
pub(crate) fn hold(folder: &Path) -> Result<File, EvalError> {
    let path = folder.to_owned();
    match hold_folder(folder) {
        Ok(Some(held)) => Ok(held),
        Ok(None) => Err(EvalError::Held { path }),
        Err(source) => Err(EvalError::File { path, action: "hold the folder of checkpoints", source }),
    }
}

/// The checkpoints of one training in a folder. `identity` is a hash of everything that the training's states
/// depend on.
pub(crate) struct Checkpoints {
    folder: PathBuf,
    identity: [u8; 32],
}

impl Checkpoints {
    pub(crate) fn new(folder: PathBuf, identity: &str) -> Self {
        Self { folder, identity: *blake3::hash(identity.as_bytes()).as_bytes() }
    }

    /// Opens the checkpoints of a training by the hash of the training's identity.
    pub(crate) const fn of(folder: PathBuf, identity: [u8; 32]) -> Self {
        Self { folder, identity }
    }

    /// Returns the hash of the identity.
    pub(crate) const fn identity(&self) -> [u8; 32] {
        self.identity
    }

    fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step:08}.ckpt"))
    }

    /// Whether there is a checkpoint of this training after this number of steps. Its content is not checked.
    pub(crate) fn has(&self, step: u64) -> bool {
        self.step_of(&self.path(step)) == Some(step)
    }

    /// Writes a checkpoint, and removes all other checkpoints of this training except the last two.
    ///
    /// Files of other trainings are neither removed nor counted. Otherwise, files of other trainings with
    /// later steps could displace the checkpoint that was just written.
    pub(crate) fn save(&self, checkpoint: &Checkpoint) -> Result<(), EvalError> {
        let path = self.path(checkpoint.step);
        let failed = |source| EvalError::File { path: path.clone(), action: "write a checkpoint", source };
        kiln_search::check_held(&self.folder).map_err(failed)?;
        make_folder(&self.folder)?;
        let mut file = WholeFile::create(&path)?;
        checkpoint.write(&self.identity, &mut file).map_err(failed)?;
        file.finish()?;
        self.remove_others(checkpoint.step).map_err(|source| EvalError::File {
            path: self.folder.clone(),
            action: "remove old checkpoints",
            source,
        })
    }

    /// Removes this training's checkpoints with more than `step` steps, and all others except the last two.
    fn remove_others(&self, step: u64) -> io::Result<()> {
        let (mut before, beyond): (Vec<_>, Vec<_>) = self
            .files()?
            .into_iter()
            .filter_map(|path| Some((self.step_of(&path)?, path)))
            .partition(|(found, _)| *found <= step);
        before.sort();
        before.truncate(before.len().saturating_sub(KEPT));
        // A usable checkpoint with more steps would have been restored, so these checkpoints are not usable.
        before.iter().chain(&beyond).try_for_each(|(_, path)| fs::remove_file(path))
    }

    /// Returns the step of a file if its header has the identity of this training.
    fn step_of(&self, path: &Path) -> Option<u64> {
        let mut header = [0; HEADER];
        File::open(path).and_then(|mut file| file.read_exact(&mut header)).ok()?;
        let is_own = header[..8] == *MAGIC && header[8..40] == self.identity;
        is_own.then(|| number(&header[40..]).ok())?
    }

    /// Reads the newest intact checkpoint of this training with at most `steps` steps. Logs a warning for
    /// each file that it skips.
    pub(crate) fn latest(&self, steps: u64) -> io::Result<Option<Checkpoint>> {
        for path in self.files()?.iter().rev() {
            match Checkpoint::read(&self.identity, path, steps) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(problem) => tracing::warn!("{}: {problem}; passing over it", path.display()),
            }
        }
        Ok(None)
    }

    /// Lists checkpoint files in the order of their steps.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "ckpt") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Reads the little-endian number at the beginning.
fn number(bytes: &[u8]) -> Result<u64, CheckpointError> {
    let first = bytes.first_chunk().ok_or(CheckpointError::CutOff)?;
    Ok(u64::from_le_bytes(*first))
}

/// Splits off the part at the beginning, which is preceded by its length. `rest` becomes the bytes after the
/// part.
fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], CheckpointError> {
    let length = usize::try_from(number(rest)?).map_err(|_| CheckpointError::CutOff)?;
    let (piece, after) = rest[8..].split_at_checked(length).ok_or(CheckpointError::CutOff)?;
    *rest = after;
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = u64::MAX;

    fn state(step: u64) -> Checkpoint {
        let parts = [("weights", vec![step as u8; 5]), ("empty", Vec::new())];
        Checkpoint { step, parts: parts.map(|(name, bytes)| (name.to_owned(), bytes)).into() }
    }

    #[test]
    fn two_checkpoints_are_kept_and_damaged_or_foreign_ones_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path().to_owned(), "a");
        assert!(checkpoints.latest(ALL).unwrap().is_none());
        for step in 1..=3 {
            checkpoints.save(&state(step)).unwrap();
        }
        assert_eq!(checkpoints.files().unwrap().len(), 2);
        let latest = checkpoints.latest(ALL).unwrap().unwrap();
        assert_eq!((latest.step, latest.parts["weights"].as_slice()), (3, [3; 5].as_slice()));
        assert!(latest.parts["empty"].is_empty());
        let newest = checkpoints.files().unwrap().pop().unwrap();
        let mut bytes = fs::read(&newest).unwrap();
        bytes[70] ^= 1;
        fs::write(&newest, bytes).unwrap();
        assert_eq!(checkpoints.latest(ALL).unwrap().unwrap().step, 2);
        assert!(Checkpoints::new(folder.path().to_owned(), "b").latest(ALL).unwrap().is_none());
    }

    #[test]
    fn states_beyond_the_steps_asked_for_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path().to_owned(), "a");
        checkpoints.save(&state(20)).unwrap();
        checkpoints.save(&state(30)).unwrap();
        let latest = |steps| checkpoints.latest(steps).unwrap().map(|state| state.step);
        assert_eq!([19, 20, 29, 30].map(latest), [None, Some(20), Some(20), Some(30)]);
        // If a training starts over although these states exist, it keeps the states that it writes.
        checkpoints.save(&state(5)).unwrap();
        assert_eq!(latest(ALL), Some(5));
        checkpoints.save(&state(10)).unwrap();
        assert_eq!((latest(7), latest(ALL)), (Some(5), Some(10)));
    }

    #[test]
    fn later_states_of_another_training_stay_and_push_nothing_out() {
        let folder = tempfile::tempdir().unwrap();
        let stranger = Checkpoints::new(folder.path().to_owned(), "older build");
        stranger.save(&state(80)).unwrap();
        stranger.save(&state(90)).unwrap();
        let checkpoints = Checkpoints::new(folder.path().to_owned(), "a");
        for step in [5, 10, 15] {
            checkpoints.save(&state(step)).unwrap();
            assert_eq!(checkpoints.latest(ALL).unwrap().unwrap().step, step);
        }
        assert_eq!(stranger.latest(ALL).unwrap().unwrap().step, 90);
        assert_eq!(checkpoints.files().unwrap().len(), 4);
    }
}
