//! Records of the trainings of an audit. The file in the run folder has one line for each training, so that a
//! later audit repeats no training.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kiln_files::{Checked, parse_line, read_text, seal_line};
use kiln_search::{Outcome, Progress};
use kiln_space::Genotype;
use serde::{Deserialize, Serialize};

use super::{AuditDamage, AuditError};

/// Size limit of the file in bytes. Kiln never writes a larger file.
const LONGEST_BYTES: u64 = 256 << 20;

/// The record of one training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Fingerprint of the evaluator that trained the network.
    pub(super) reference: String,
    pub(super) genotype: Genotype,
    /// Number of the repeated training, counted from 0.
    #[serde(default)]
    pub(super) repeat: u32,
    pub(super) outcome: Outcome,
    /// Duration of the training in seconds.
    pub(super) seconds: f64,
}

/// The open file of training records. A lock ensures that only this process writes to the file.
pub(super) struct Records {
    path: PathBuf,
    state: Mutex<(File, Vec<Record>)>,
}

impl Records {
    /// Opens or creates the file. Warns if lines have no check. If a process died while it wrote the last
    /// line, the line has no line end. This function then removes the incomplete line.
    pub(super) fn open(path: &Path, progress: &dyn Progress) -> Result<Self, AuditError> {
        let failed = |action| move |source| AuditError::File { path: path.to_owned(), action, source };
        check_file(path)?;
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AuditError::Held { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        let text = read_text(path, LONGEST_BYTES)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let parse = |(index, line): (usize, &str)| {
            parse_line(line.as_bytes()).map_err(|problem| AuditError::Line {
                path: path.to_owned(),
                line: index + 1,
                damage: AuditDamage::Text(problem),
            })
        };
        let lines = text[..whole].lines().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
        if lines.iter().any(|line: &Checked<Record>| !line.is_checked) {
            progress.warn(&format!(
                "{}: lines of an older build have no hash and are not checked",
                path.display()
            ));
        }
        let records = lines.into_iter().map(|line| line.content).collect();
        if whole < text.len() {
            file.set_len(whole as u64).map_err(failed("cut off an unfinished line"))?;
        }
        file.seek(SeekFrom::Start(whole as u64)).map_err(failed("seek to the end"))?;
        Ok(Self { path: path.to_owned(), state: Mutex::new((file, records)) })
    }

    /// Returns the recorded outcome of a training.
    pub(super) fn get(&self, reference: &str, genotype: &Genotype, repeat: u32) -> Option<Outcome> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut records = state.1.iter();
        let found = records.find(|known| {
            known.reference == reference && known.genotype == *genotype && known.repeat == repeat
        });
        found.map(|known| known.outcome.clone())
    }

    /// Appends a record to the file and syncs the file to disk.
    pub(super) fn append(&self, record: Record) -> Result<(), AuditError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = seal_line(&record);
        line.push(b'\n');
        let written = state.0.write_all(&line).and_then(|()| state.0.sync_data());
        written.map_err(|source| AuditError::File { path: self.path.clone(), action: "write", source })?;
        state.1.push(record);
        Ok(())
    }
}

/// Refuses a folder, a pipe or a device at the file's path. Opening a pipe would block until another process
/// opens the pipe's other end.
fn check_file(path: &Path) -> Result<(), AuditError> {
    match kiln_files::optional(kiln_files::open(path, LONGEST_BYTES)) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
