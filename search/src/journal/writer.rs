//! Writing a journal, after repairing what a crash left at its end.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::{JOURNAL_VERSION, JournalEntry, JournalReader};
use crate::{Event, StudyError};

/// A journal open for writing. The run folder's lock keeps other writers away.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    began: Instant,
    elapsed_before: Duration,
}

/// A journal with what it held.
#[derive(Debug)]
pub struct Opened {
    /// The journal, for writing.
    pub journal: Journal,
    /// What it held.
    pub entries: Vec<JournalEntry>,
    /// Bytes cut from its end, where a crash had left part of a line.
    pub cut: Option<usize>,
}

impl Journal {
    /// Opens a journal, which is made when it is missing. A last line that was not written to its end is cut off.
    ///
    /// # Errors
    /// [`StudyError`] when it cannot be read or written, or is damaged elsewhere.
    pub fn open(path: &Path) -> Result<Opened, StudyError> {
        let failed = |action| move |source| StudyError::File { path: path.to_owned(), action, source };
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map_err(failed("open the journal for writing"))?;
        let mut reader = JournalReader::open(path)?;
        let mut entries = reader.entries()?;
        let mut cut = None;
        match reader.torn() {
            (0, _) => {}
            (_, Some(entry)) => {
                file.write_all(b"\n").map_err(failed("repair the journal"))?;
                entries.push(entry);
            }
            (bytes, None) => {
                file.set_len(reader.bytes()).map_err(failed("repair the journal"))?;
                cut = Some(bytes);
            }
        }
        file.sync_all().map_err(failed("sync the journal"))?;
        let elapsed_s = entries.iter().map(|entry| entry.elapsed_s).fold(0.0, f64::max);
        let elapsed_before = Duration::try_from_secs_f64(elapsed_s).unwrap_or_default();
        let journal = Self { path: path.to_owned(), file, began: Instant::now(), elapsed_before };
        Ok(Opened { journal, entries, cut })
    }

    /// Appends an event as one line. It survives a crash after the next [`Journal::sync`].
    ///
    /// # Errors
    /// [`StudyError::File`] when it cannot be written; a part of the line that was written is taken back.
    pub fn append(&mut self, event: &Event) -> Result<(), StudyError> {
        let entry = JournalEntry {
            version: JOURNAL_VERSION,
            unix_s: SystemTime::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64()),
            elapsed_s: self.elapsed().as_secs_f64(),
            event: event.clone(),
        };
        let mut line =
            serde_json::to_vec(&entry).map_err(|error| self.failed("write the journal", error.into()))?;
        line.push(b'\n');
        let before = self.file.metadata().map(|metadata| metadata.len());
        self.file.write_all(&line).map_err(|source| {
            // On a full disk a later line must not follow half of this one.
            if let Ok(length) = before {
                drop(self.file.set_len(length));
            }
            self.failed("write the journal", source)
        })
    }

    /// Returns when all lines will survive a crash.
    ///
    /// # Errors
    /// [`StudyError::File`] when they may not.
    pub fn sync(&self) -> Result<(), StudyError> {
        self.file.sync_data().map_err(|source| self.failed("sync the journal", source))
    }

    /// Time for which this and earlier processes have worked on the study.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed_before + self.began.elapsed()
    }

    fn failed(&self, action: &'static str, source: std::io::Error) -> StudyError {
        StudyError::File { path: self.path.clone(), action, source }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn events() -> Vec<Event> {
        let trial = r#"{"kind":"trial","known":false,"seconds":0.25,"worker":1,"trial":{"id":3,"proposal":
            {"genotype":[1,0],"fidelity":{"epochs":3}},"outcome":{"measured":{"error_percent":0.1}},
            "costs":{"macs":18446744073709551616.0},"objectives":[0.30000000000000004],"violation":0.0}}"#;
        vec![
            Event::Started { study: "a\n\u{2028}".to_owned(), resumed: 0, trials: Some(9) },
            serde_json::from_str(trial).unwrap(),
            Event::Ended,
        ]
    }

    /// A journal of [`events`], and its lines.
    fn written() -> (tempfile::TempDir, PathBuf, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = Journal::open(&path).unwrap().journal;
        for event in events() {
            journal.append(&event).unwrap();
        }
        journal.sync().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        (folder, path, text.split_inclusive('\n').map(str::to_owned).collect())
    }

    fn read(path: &Path) -> Result<Vec<Event>, StudyError> {
        let entries = JournalReader::open(path)?.entries()?;
        Ok(entries.into_iter().map(|entry| entry.event).collect())
    }

    #[test]
    fn what_was_written_is_read() {
        let (_folder, path, lines) = written();
        assert_eq!(lines.len(), 3);
        assert_eq!(read(&path).unwrap(), events());
    }

    #[test]
    fn a_reader_follows_a_journal_that_grows() {
        let (_folder, path, lines) = written();
        fs::write(&path, &lines[0][..10]).unwrap();
        let mut reader = JournalReader::open(&path).unwrap();
        assert_eq!(reader.next_entry().unwrap(), None);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&lines[0].as_bytes()[10..]).unwrap();
        file.write_all(lines[1].as_bytes()).unwrap();
        assert_eq!(reader.entries().unwrap().len(), 2);
        assert_eq!(reader.next_entry().unwrap(), None);
    }

    #[test]
    fn an_unfinished_last_line_is_cut_off_and_a_whole_one_kept() {
        let (_folder, path, lines) = written();
        let whole = lines[..2].concat();
        for cut in 1..lines[2].len() {
            fs::write(&path, format!("{whole}{}", &lines[2][..cut])).unwrap();
            assert_eq!(read(&path).unwrap(), events()[..2], "readers leave it alone");
            let mut opened = Journal::open(&path).unwrap();
            let kept = if cut == lines[2].len() - 1 { 3 } else { 2 };
            assert_eq!(opened.entries.len(), kept);
            assert_eq!(opened.cut, (kept == 2).then_some(cut));
            opened.journal.append(&Event::Ended).unwrap();
            assert_eq!(read(&path).unwrap().len(), kept + 1);
        }
    }

    #[test]
    fn time_goes_on_where_the_last_process_left_off() {
        let (_folder, path, lines) = written();
        let mut entry: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        entry["elapsed_s"] = 50.into();
        fs::write(&path, format!("{entry}\n")).unwrap();
        assert!(Journal::open(&path).unwrap().journal.elapsed() >= Duration::from_secs(50));
    }

    #[test]
    fn damage_elsewhere_is_named_by_file_and_line() {
        let (_folder, path, lines) = written();
        let [first, second, third] = [&lines[0], &lines[1], &lines[2]];
        for (text, line) in [
            (format!("{first}{}\n{third}", &second[..40]), 2),
            (format!("{first}\n{third}"), 2),
            (format!("{}{second}", first.replace("started", "began")), 1),
            (format!("{first}{second}{}", third.replace("version", "v")), 3),
            (format!("{first}{}", second.replace("0.1", "null")), 2),
        ] {
            fs::write(&path, text).unwrap();
            for error in [Journal::open(&path).unwrap_err(), read(&path).unwrap_err()] {
                assert!(
                    error.to_string().starts_with(&format!("{}:{line}: damaged (", path.display())),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn a_line_of_a_newer_program_is_refused() {
        let (_folder, path, lines) = written();
        fs::write(&path, lines[0].replace("\"version\":1", "\"version\":2")).unwrap();
        assert!(matches!(Journal::open(&path), Err(StudyError::Newer { version: 2, .. })));
    }

    #[test]
    fn a_line_without_end_is_not_read_into_memory() {
        let (_folder, path, _) = written();
        fs::write(&path, vec![b' '; (super::super::LONGEST_LINE + 10) as usize]).unwrap();
        assert!(matches!(read(&path), Err(StudyError::JournalLine { line: 1, .. })));
    }
}
