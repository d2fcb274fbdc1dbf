//! Checkpoints of a training: whole files of named parts, written beside and renamed, the last two kept.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kiln_files::{WholeFile, make_folder};
use kiln_search::EvalError;

const MAGIC: &[u8; 8] = b"kilnckp3";
const KEPT: usize = 2;
/// Bytes of the longest checkpoint that is read.
const LONGEST_BYTES: u64 = 64 << 30;
/// Magic, identity, step, number of parts.
const HEADER: usize = 8 + 32 + 8 + 8;

/// State of a training after `step` steps: weights, optimizer state and whatever else it needs, by name.
pub(crate) struct Checkpoint {
    pub(crate) step: u64,
    pub(crate) parts: BTreeMap<String, Vec<u8>>,
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

    /// Checkpoints of whichever training, known by the hash of its identity.
    pub(crate) const fn of(folder: PathBuf, identity: [u8; 32]) -> Self {
        Self { folder, identity }
    }

    /// Hash of the identity.
    pub(crate) const fn identity(&self) -> [u8; 32] {
        self.identity
    }

    /// Writes a checkpoint, and removes all but the last two.
    pub(crate) fn save(&self, checkpoint: &Checkpoint) -> Result<(), EvalError> {
        kiln_search::check_held(&self.folder).map_err(|source| EvalError::File {
            path: self.folder.clone(),
            action: "write a checkpoint",
            source,
        })?;
        make_folder(&self.folder)?;
        let path = self.folder.join(format!("step-{:08}.ckpt", checkpoint.step));
        let mut file = WholeFile::create(&path)?;
        let failed = |source| EvalError::File { path: path.clone(), action: "write a checkpoint", source };
        self.write(checkpoint, &mut file).map_err(failed)?;
        file.finish()?;
        let removed = self.files().and_then(|mut files| {
            files.truncate(files.len().saturating_sub(KEPT));
            files.iter().try_for_each(fs::remove_file)
        });
        removed.map_err(|source| EvalError::File {
            path: self.folder.clone(),
            action: "remove old checkpoints",
            source,
        })
    }

    fn write(&self, checkpoint: &Checkpoint, file: &mut dyn Write) -> io::Result<()> {
        let mut hasher = blake3::Hasher::new();
        let mut header = [MAGIC.as_slice(), &self.identity].concat();
        header.extend(checkpoint.step.to_le_bytes());
        header.extend((checkpoint.parts.len() as u64).to_le_bytes());
        let mut write = |bytes: &[u8]| {
            hasher.update(bytes);
            file.write_all(bytes)
        };
        write(&header)?;
        for (name, content) in &checkpoint.parts {
            for part in [name.as_bytes(), content] {
                write(&(part.len() as u64).to_le_bytes())?;
                write(part)?;
            }
        }
        file.write_all(hasher.finalize().as_bytes())
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
        let bytes = kiln_files::read(path, LONGEST_BYTES).map_err(|error| error.said())?;
        let (body, hash) = bytes.split_last_chunk::<32>().ok_or("too short for a checkpoint")?;
        if blake3::hash(body).as_bytes() != hash {
            return Err("the content does not match its hash".to_owned());
        }
        let (header, mut rest) = body.split_at_checked(HEADER).ok_or("too short for a header")?;
        if header[..8] != *MAGIC {
            return Err("not a checkpoint of this version".to_owned());
        }
        if header[8..40] != self.identity {
            return Err("belongs to another training (settings, data, seed or build differ)".to_owned());
        }
        let mut parts = BTreeMap::new();
        for _ in 0..number(&header[48..])? {
            let name = String::from_utf8(take(&mut rest)?.to_vec()).map_err(|error| error.to_string())?;
            parts.insert(name, take(&mut rest)?.to_vec());
        }
        Ok(Checkpoint { step: number(&header[40..])?, parts })
    }
}

/// The number at the beginning.
fn number(bytes: &[u8]) -> Result<u64, String> {
    let first = bytes.first_chunk().ok_or("a number is cut off")?;
    Ok(u64::from_le_bytes(*first))
}

/// The piece at the beginning, behind its length; `rest` is what follows.
fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = number(rest)?;
    let length = usize::try_from(length).map_err(|error| error.to_string())?;
    let (piece, after) = rest[8..].split_at_checked(length).ok_or("a part is cut off")?;
    *rest = after;
    Ok(piece)
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
            let parts = [("weights", vec![step as u8; 5]), ("empty", Vec::new())];
            let parts = parts.map(|(name, bytes)| (name.to_owned(), bytes)).into();
            checkpoints.save(&Checkpoint { step, parts }).unwrap();
        }
        assert_eq!(checkpoints.files().unwrap().len(), 2);
        let latest = checkpoints.latest().unwrap().unwrap();
        assert_eq!((latest.step, latest.parts["weights"].as_slice()), (3, [3; 5].as_slice()));
        assert!(latest.parts["empty"].is_empty());
        let newest = checkpoints.files().unwrap().pop().unwrap();
        let mut bytes = fs::read(&newest).unwrap();
        bytes[70] ^= 1;
        fs::write(&newest, bytes).unwrap();
        assert_eq!(checkpoints.latest().unwrap().unwrap().step, 2);
        assert!(Checkpoints::new(folder.path().to_owned(), "b").latest().unwrap().is_none());
    }
}
