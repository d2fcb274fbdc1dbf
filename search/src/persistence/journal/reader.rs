//! Reads a journal, even while another process writes to it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::chain::CheckChain;
use super::doubts::Doubts;
use super::entry::{JOURNAL_VERSION, JournalEntry, LONGEST_LINE, UNCHECKED_VERSION};
use super::plausibility::Plausibility;
use crate::contracts::Event;
use crate::domain::Constraint;
use crate::error::{LineDamage, StudyError};
use crate::persistence::run_folder::{RunPaths, check_file};
use crate::trials::{Seconds, Trial};

/// Size of the read buffer in bytes.
const BUFFER: usize = 64 << 10;

/// Reads a journal line by line. The reader remembers its position, so it can follow a running study.
#[derive(Debug)]
pub struct JournalReader {
    path: PathBuf,
    file: BufReader<File>,
    lines: u64,
    bytes: u64,
    partial: Vec<u8>,
    chain: CheckChain,
    plausibility: Plausibility,
    checked: bool,
    /// Names of the metrics and names of the costs in the last trial.
    names: [Arc<[String]>; 2],
}

impl JournalReader {
    /// Opens a journal.
    ///
    /// # Errors
    /// [`StudyError::File`] if the journal cannot be opened, or [`StudyError::Misplaced`] if the path is not
    /// a file.
    pub fn open(path: &Path) -> Result<Self, StudyError> {
        check_file(path)?;
        let file = File::open(path).map_err(|source| StudyError::File {
            path: path.to_owned(),
            action: "open the journal",
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(BUFFER, file),
            lines: 0,
            bytes: 0,
            partial: Vec::new(),
            chain: CheckChain::default(),
            plausibility: Plausibility::default(),
            checked: false,
            names: [Arc::default(), Arc::default()],
        })
    }

    /// Opens the journal of a run folder.
    ///
    /// # Errors
    /// [`StudyError::NotARun`] if there is no journal, and all errors of [`JournalReader::open`].
    pub fn of_run(paths: &RunPaths) -> Result<Self, StudyError> {
        if !paths.journal().exists() {
            let path = paths.root().to_owned();
            return Err(StudyError::NotARun { path, missing: "journal.jsonl" });
        }
        Self::open(&paths.journal())
    }

    /// Sets the study's objectives. The reader then checks that the objective values of each trial follow
    /// from the trial's metrics and costs. Without this call, the reader only checks that each value equals a
    /// metric or a cost of the trial.
    #[must_use]
    pub fn with_objectives(mut self, objectives: &[String]) -> Self {
        self.plausibility.objectives = Some(objectives.to_vec());
        self
    }

    /// Sets the study's constraints. The reader then checks that the violation of each trial follows from its
    /// costs.
    #[must_use]
    pub fn with_constraints(mut self, constraints: &[Constraint]) -> Self {
        self.plausibility.constraints = constraints.to_vec();
        self
    }

    /// Returns the entry on the next line, or `None` at the end of the file. Later calls return lines that
    /// were added in the meantime. An incomplete line is kept for the next call.
    ///
    /// # Errors
    /// [`StudyError::JournalLine`] for a line that is damaged or longer than 4 MiB, [`StudyError::Newer`] for
    /// a line that a newer build wrote.
    pub fn next_entry(&mut self) -> Result<Option<JournalEntry>, StudyError> {
        let room = LONGEST_LINE.saturating_sub(self.partial.len() as u64);
        let read = self.file.by_ref().take(room).read_until(b'\n', &mut self.partial);
        read.map_err(|source| StudyError::File {
            path: self.path.clone(),
            action: "read the journal",
            source,
        })?;
        let Some(line) = self.partial.strip_suffix(b"\n") else {
            return if self.partial.len() as u64 >= LONGEST_LINE {
                Err(self.damaged(LineDamage::TooLong { limit: LONGEST_LINE }))
            } else {
                Ok(None)
            };
        };
        let checked = self.chain.verify(line).map_err(|broken| self.damaged(broken.into()))?;
        let mut entry = self.parse(line, checked)?;
        let plausible = self.plausibility.check(&entry.event);
        plausible.map_err(|implausible| self.damaged(implausible.into()))?;
        if let Event::Trial { trial, .. } = &mut entry.event {
            trial.share_names(&mut self.names);
        }
        self.checked = checked;
        self.lines += 1;
        self.bytes += self.partial.len() as u64;
        self.partial.clear();
        Ok(Some(entry))
    }

    /// Returns all entries up to the end of the file.
    ///
    /// # Errors
    /// The same as for [`JournalReader::next_entry`].
    pub fn entries(&mut self) -> Result<Vec<JournalEntry>, StudyError> {
        let mut entries = Vec::new();
        while let Some(entry) = self.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Whether the last line read has a check.
    pub(super) const fn is_checked(&self) -> bool {
        self.checked
    }

    /// Returns the doubts about the lines read so far.
    #[must_use]
    pub fn doubts(&self) -> Doubts {
        Doubts {
            unchecked_lines: self.chain.unchecked_lines(),
            vouched: self.chain.has_checks(),
            torn_bytes: self.partial.len(),
            unknown_networks: Vec::new(),
        }
    }

    /// Number of bytes in the complete lines read so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the bytes after the last complete line as a line without a line end.
    pub(super) fn last_without_end(&mut self) -> Option<JournalEntry> {
        let checked = self.chain.clone().verify(&self.partial).ok()?;
        let entry = self.parse(&self.partial, checked).ok()?;
        self.plausibility.clone().check(&entry.event).ok()?;
        self.chain.verify(&self.partial).ok()?;
        self.checked = checked;
        self.partial.clear();
        Some(entry)
    }

    /// Returns the chain of checks up to the last line, so that more lines can be appended.
    pub(super) fn into_chain(self) -> CheckChain {
        self.chain
    }

    fn parse(&self, line: &[u8], is_checked: bool) -> Result<JournalEntry, StudyError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let newer = |version| StudyError::Newer { path: self.path.clone(), version };
        match entry(line) {
            Ok(entry) if entry.version > JOURNAL_VERSION => Err(newer(entry.version)),
            Ok(entry) if is_checked == (entry.version > UNCHECKED_VERSION) => Ok(entry),
            Ok(entry) => Err(self.damaged(LineDamage::Version { version: entry.version, is_checked })),
            // A line of a newer build may contain an event that this build does not know.
            Err(error) => match serde_json::from_slice::<Versioned>(line) {
                Ok(Versioned { version }) if version > JOURNAL_VERSION => Err(newer(version)),
                _ => Err(self.damaged(LineDamage::Json(error))),
            },
        }
    }

    fn damaged(&self, damage: LineDamage) -> StudyError {
        StudyError::JournalLine { path: self.path.clone(), line: self.lines + 1, damage }
    }
}

/// A journal line with a trial. Most lines contain trials. Parsing them directly avoids the buffering that
/// `serde` needs to find the tag of an event.
#[derive(Deserialize)]
struct TrialLine {
    version: u32,
    unix_s: Seconds,
    elapsed_s: Seconds,
    #[serde(rename = "kind")]
    _kind: TrialKind,
    trial: Trial,
    known: bool,
    seconds: Seconds,
    worker: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum TrialKind {
    Trial,
}

fn entry(line: &[u8]) -> Result<JournalEntry, serde_json::Error> {
    match serde_json::from_slice(line) {
        Ok(TrialLine { version, unix_s, elapsed_s, trial, known, seconds, worker, .. }) => {
            let event = Event::Trial { trial, known, seconds, worker };
            Ok(JournalEntry { version, unix_s, elapsed_s, event })
        }
        Err(_) => serde_json::from_slice(line),
    }
}
