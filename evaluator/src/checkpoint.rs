//! Checkpoints of shared weights and optimizer state: whole files, written beside and renamed, the last two kept.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"kilnckp1";
const KEPT: usize = 2;

/// State of a training after `step` steps.
pub(crate) struct Checkpoint {
    pub(crate) step: u64,
    pub(crate) weights: Vec<u8>,
    pub(crate) optimizer: Vec<u8>,
}

/// Checkpoints of one training in a folder. `identity` says which training: settings, data, seed and build.
pub(crate) struct Checkpoints {
    folder: PathBuf,
    identity: [u8; 32],
}

impl Checkpoints {
    pub(crate) fn new(folder: PathBuf, identity: &str) -> Self {
        Self { folder, identity: *blake3::hash(identity.as_bytes()).as_bytes() }
    }

    /// Writes a checkpoint, and removes all but the last two.
    pub(crate) fn save(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("step-{:08}.ckpt", checkpoint.step));
        let beside = path.with_extension("tmp");
        let mut hasher = blake3::Hasher::new();
        let mut file = File::create(&beside)?;
        let lengths = [checkpoint.step, checkpoint.weights.len() as u64, checkpoint.optimizer.len() as u64];
        let header: Vec<u8> = MAGIC
            .iter()
            .chain(&self.identity)
            .copied()
            .chain(lengths.iter().flat_map(|length| length.to_le_bytes()))
            .collect();
        for part in [&header, &checkpoint.weights, &checkpoint.optimizer] {
            hasher.update(part);
            file.write_all(part)?;
        }
        file.write_all(hasher.finalize().as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(&self.folder)?.sync_all()?;
        let mut files = self.files()?;
        files.truncate(files.len().saturating_sub(KEPT));
        files.iter().try_for_each(fs::remove_file)
    }

    /// The newest checkpoint of this training that is whole. Others are passed over with a warning.
    pub(crate) fn latest(&self) -> io::Result<Option<Checkpoint>> {
        for path in self.files()?.iter().rev() {
            match self.read(path) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(problem) => tracing::warn!("{}: {problem}; passing over it", path.display()),
            }
        }
        Ok(None)
    }

    /// Checkpoint files, oldest first.
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

    fn read(&self, path: &Path) -> Result<Checkpoint, String> {
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        let (body, hash) = bytes.split_last_chunk::<32>().ok_or("too short for a checkpoint")?;
        if blake3::hash(body).as_bytes() != hash {
            return Err("the content does not match its hash".to_owned());
        }
        let (header, content) = body.split_at_checked(64).ok_or("too short for a header")?;
        if header[..8] != *MAGIC {
            return Err("not a checkpoint of this version".to_owned());
        }
        if header[8..40] != self.identity {
            return Err("belongs to another training (settings, data, seed or build differ)".to_owned());
        }
        let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
        let (weights, optimizer) =
            content.split_at_checked(number(48) as usize).ok_or("the weights are cut off")?;
        if optimizer.len() as u64 != number(56) {
            return Err("the optimizer state is cut off".to_owned());
        }
        Ok(Checkpoint { step: number(40), weights: weights.to_vec(), optimizer: optimizer.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_two_and_passes_over_damage_and_strangers() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path().to_owned(), "a");
        assert!(checkpoints.latest().unwrap().is_none());
        for step in 1..=3 {
            let weights = vec![step as u8; 5];
            checkpoints.save(&Checkpoint { step, weights, optimizer: vec![7; 3] }).unwrap();
        }
        assert_eq!(checkpoints.files().unwrap().len(), 2);
        assert_eq!(checkpoints.latest().unwrap().unwrap().weights, [3; 5]);
        let newest = checkpoints.files().unwrap().pop().unwrap();
        let mut bytes = fs::read(&newest).unwrap();
        bytes[70] ^= 1;
        fs::write(&newest, bytes).unwrap();
        assert_eq!(checkpoints.latest().unwrap().unwrap().step, 2);
        assert!(Checkpoints::new(folder.path().to_owned(), "b").latest().unwrap().is_none());
    }
}
