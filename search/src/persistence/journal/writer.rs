//! Writes a journal. Before that, an incomplete last line, which a crash may have left, is removed.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::chain::CheckChain;
use super::doubts::Doubts;
use super::entry::{JOURNAL_VERSION, JournalEntry};
use super::reader::JournalReader;
use super::record::StudyRecord;
use crate::contracts::Event;
use crate::error::StudyError;
use crate::persistence::run_folder::{Place, hold_journal};
use crate::trials::Seconds;

/// A journal that is open for writing. The lock of the run folder prevents other writers.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    began: Instant,
    elapsed_before: Seconds,
    chain: CheckChain,
}

/// A journal that was opened for writing, and the state of the study in it.
#[derive(Debug)]
pub struct Opened {
    /// The journal, for writing.
    pub journal: Journal,
    /// The state of the study according to the journal.
    pub record: StudyRecord,
    /// Number of bytes of an incomplete last line that was cut off. `None` if the last line was complete.
    pub cut: Option<usize>,
}

impl Journal {
    /// Opens or creates a journal. An incomplete last line is cut off.
    ///
    /// # Errors
    /// [`StudyError`] if the journal cannot be read or written, or if another line is damaged.
    pub fn open(path: &Path) -> Result<Opened, StudyError> {
        Self::open_with(path, |reader| reader)
    }

    /// Works like [`Journal::open`]. `expect` can set the study's objectives and constraints in the reader.
    ///
    /// # Errors
    /// The same as for [`Journal::open`].
    pub fn open_with(
        path: &Path,
        expect: impl FnOnce(JournalReader) -> JournalReader,
    ) -> Result<Opened, StudyError> {
        let failed = |action| move |source| StudyError::File { path: path.to_owned(), action, source };
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map_err(failed("open the journal for writing"))?;
        hold_journal(path, &file)?;
        let mut reader = expect(JournalReader::open(path)?);
        let mut record = StudyRecord::default();
        record.take_in(&mut reader, |_| {})?;
        let mut cut = None;
        let torn = reader.doubts().torn_bytes;
        if torn > 0 {
            if record.take_in_last(&mut reader) {
                file.write_all(b"\n").map_err(failed("repair the journal"))?;
            } else {
                file.set_len(reader.bytes()).map_err(failed("repair the journal"))?;
                cut = Some(torn);
            }
        }
        file.sync_all().map_err(failed("sync the journal"))?;
        if reader.bytes() == 0 {
            // The file may be new, and its directory entry must also survive a crash.
            kiln_files::sync_parent(path).map_err(failed("sync the folder of the journal"))?;
        }
        record.doubts = Doubts { torn_bytes: 0, ..reader.doubts() };
        let (path, began, elapsed_before) = (path.to_owned(), Instant::now(), record.elapsed_s);
        let journal = Self { path, file, began, elapsed_before, chain: reader.into_chain() };
        Ok(Opened { journal, record, cut })
    }

    /// Appends an event as one line. Only after the next [`Journal::sync`] is the line sure to survive a
    /// crash.
    ///
    /// # Errors
    /// [`StudyError::File`] if the line cannot be written. A partly written line is removed.
    pub fn append(&mut self, event: &Event) -> Result<(), StudyError> {
        let entry = JournalEntry {
            version: JOURNAL_VERSION,
            unix_s: SystemTime::UNIX_EPOCH.elapsed().map_or(Seconds::ZERO, Seconds::from),
            elapsed_s: self.elapsed(),
            event: event.clone(),
        };
        let (line, check) = self.chain.sealed(&entry);
        let before = self.file.metadata().map(|metadata| metadata.len());
        self.file.write_all(line.as_bytes()).map_err(|source| {
            // If the disk is full, half of this line may be written. Another line must not follow it.
            if let Ok(length) = before {
                drop(self.file.set_len(length));
            }
            self.failed("write the journal", source)
        })?;
        // Only a line that was written completely becomes part of the chain.
        self.chain.advance(check);
        Ok(())
    }

    /// Syncs the file to disk, so that all lines survive a crash.
    ///
    /// # Errors
    /// [`StudyError::File`] if the file cannot be synced.
    pub fn sync(&self) -> Result<(), StudyError> {
        self.file.sync_data().map_err(|source| self.failed("sync the journal", source))
    }

    /// Returns the path and identity of the journal file.
    pub(crate) fn place(&self) -> Result<Place, StudyError> {
        Place::of_file(&self.path, &self.file).map_err(|source| self.failed("look at the journal", source))
    }

    /// Returns the total time for which this process and earlier processes have run the study.
    #[must_use]
    pub fn elapsed(&self) -> Seconds {
        self.elapsed_before.saturating_add(self.began.elapsed().into())
    }

    fn failed(&self, action: &'static str, source: std::io::Error) -> StudyError {
        StudyError::File { path: self.path.clone(), action, source }
    }
}

#[cfg(test)]
mod tests;
