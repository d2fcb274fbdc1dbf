//! Reading a journal, also while another process writes it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{JOURNAL_VERSION, JournalEntry, LONGEST_LINE};
use crate::StudyError;
use crate::run_folder::check_file;

/// Reads a journal line by line and remembers where it stopped, so that it can follow a running study.
#[derive(Debug)]
pub struct JournalReader {
    path: PathBuf,
    file: BufReader<File>,
    lines: u64,
    bytes: u64,
    partial: Vec<u8>,
}

impl JournalReader {
    /// Opens a journal.
    ///
    /// # Errors
    /// [`StudyError::File`] when it cannot be opened, [`StudyError::Misplaced`] when it is no file.
    pub fn open(path: &Path) -> Result<Self, StudyError> {
        check_file(path)?;
        let file = File::open(path).map_err(|source| StudyError::File {
            path: path.to_owned(),
            action: "open the journal",
            source,
        })?;
        let path = path.to_owned();
        Ok(Self { path, file: BufReader::new(file), lines: 0, bytes: 0, partial: Vec::new() })
    }

    /// The entry on the next line; `None` at the end, where more may come later. A line that is not yet whole is kept for
    /// the next call.
    ///
    /// # Errors
    /// [`StudyError::JournalLine`] for a line that is damaged or longer than 4 MiB, [`StudyError::Newer`] for one that a
    /// newer program wrote.
    pub fn next_entry(&mut self) -> Result<Option<JournalEntry>, StudyError> {
        let room = LONGEST_LINE.saturating_sub(self.partial.len() as u64);
        let read = self.file.by_ref().take(room).read_until(b'\n', &mut self.partial);
        read.map_err(|source| StudyError::File {
            path: self.path.clone(),
            action: "read the journal",
            source,
        })?;
        if self.partial.last() != Some(&b'\n') {
            return if self.partial.len() as u64 >= LONGEST_LINE {
                Err(self.damaged(format!("longer than {LONGEST_LINE} bytes")))
            } else {
                Ok(None)
            };
        }
        let entry = self.parse(&self.partial[..self.partial.len() - 1])?;
        self.lines += 1;
        self.bytes += self.partial.len() as u64;
        self.partial.clear();
        Ok(Some(entry))
    }

    /// All entries up to the end of the file.
    ///
    /// # Errors
    /// As [`JournalReader::next_entry`].
    pub fn entries(&mut self) -> Result<Vec<JournalEntry>, StudyError> {
        let mut entries = Vec::new();
        while let Some(entry) = self.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Bytes of the whole lines read.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What stands behind the last whole line, and the entry it holds if only the line end is missing.
    pub(super) fn torn(&self) -> (usize, Option<JournalEntry>) {
        (self.partial.len(), self.parse(&self.partial).ok())
    }

    fn parse(&self, line: &[u8]) -> Result<JournalEntry, StudyError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let versioned: Versioned =
            serde_json::from_slice(line).map_err(|error| self.damaged(error.to_string()))?;
        if versioned.version > JOURNAL_VERSION {
            return Err(StudyError::Newer { path: self.path.clone(), version: versioned.version });
        }
        serde_json::from_slice(line).map_err(|error| self.damaged(error.to_string()))
    }

    fn damaged(&self, problem: String) -> StudyError {
        StudyError::JournalLine { path: self.path.clone(), line: self.lines + 1, problem }
    }
}
