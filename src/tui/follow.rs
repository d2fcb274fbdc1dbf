//! Follows another process's journal for the terminal UI. This module reads only the journal and no other
//! file in the run folder.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use kiln_search::{Doubts, JournalEntry, JournalReader, RunPaths, Seconds, StudyError};

use super::screen::{News, Source};
use super::setup::Setup;
use super::state::{Level, State};

/// Maximum time of reading before the terminal UI draws a frame and responds to keys.
const AT_ONCE: Duration = Duration::from_millis(60);

/// Result of reading one entry from a journal.
#[derive(Debug)]
pub(crate) enum Step {
    /// The next journal entry.
    Entry(Box<JournalEntry>),
    /// There is no new entry at present. More entries may follow.
    Nothing,
    /// The journal has become shorter, for example because a crash left an incomplete line. The journal is
    /// read again from its beginning, and the entries returned so far are void.
    Again,
}

/// Follows a growing journal.
#[derive(Debug)]
pub(crate) struct Follow {
    path: PathBuf,
    /// Names of the study's objectives. `None` if they are unknown.
    objectives: Option<Vec<String>>,
    reader: JournalReader,
    /// Largest observed length of the file since this reader opened the file.
    longest: u64,
    /// Whether the last read found a damaged line. The other process may have been writing the line at that
    /// moment. The line counts as damaged only if the next read finds the damage too.
    suspected: bool,
    /// Times of the last entry: the study's elapsed time, and seconds since the Unix epoch.
    last: Option<(Seconds, Seconds)>,
}

impl Follow {
    /// Opens the journal in a run folder.
    ///
    /// # Errors
    /// [`StudyError`] if there is no journal, or if the journal cannot be read.
    pub(crate) fn open(paths: &RunPaths) -> Result<Self, StudyError> {
        let reader = JournalReader::of_run(paths)?;
        Ok(Self { path: paths.journal(), objectives: None, reader, longest: 0, suspected: false, last: None })
    }

    /// Sets the study's objectives. Each trial in the journal is checked against these objectives.
    pub(crate) fn with_objectives(self, objectives: &[String]) -> Self {
        let (objectives, reader) = (Some(objectives.to_vec()), self.reader.with_objectives(objectives));
        Self { objectives, reader, ..self }
    }

    /// Reads the next entry.
    ///
    /// # Errors
    /// [`StudyError`] if the journal is damaged or can no longer be read.
    pub(crate) fn step(&mut self) -> Result<Step, StudyError> {
        let length = fs::metadata(&self.path).map_or(self.longest, |file| file.len());
        if length < self.longest {
            return self.restart();
        }
        self.longest = length;
        match self.reader.next_entry() {
            Ok(Some(entry)) => {
                self.last = Some((entry.elapsed_s, entry.unix_s));
                Ok(Step::Entry(Box::new(entry)))
            }
            Ok(None) => {
                self.suspected = false;
                Ok(Step::Nothing)
            }
            Err(StudyError::JournalLine { .. }) if !self.suspected => {
                self.suspected = true;
                self.restart()
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the reasons to doubt the part of the journal that was read so far.
    pub(crate) fn doubts(&self) -> Doubts {
        // No warning is needed for an incomplete last line, because the other process may still be writing
        // the line.
        Doubts { torn_bytes: 0, ..self.reader.doubts() }
    }

    fn restart(&mut self) -> Result<Step, StudyError> {
        let reader = JournalReader::open(&self.path)?;
        self.reader = match &self.objectives {
            Some(objectives) => reader.with_objectives(objectives),
            None => reader,
        };
        self.longest = 0;
        self.last = None;
        Ok(Step::Again)
    }
}

/// A growing journal as a source of events.
pub(super) struct Journal {
    follow: Follow,
    setup: Setup,
    broken: bool,
    /// Whether the doubts about the journal were already reported.
    said: bool,
}

impl Journal {
    pub(super) const fn new(follow: Follow, setup: Setup) -> Self {
        Self { follow, setup, broken: false, said: false }
    }
}

impl Journal {
    /// Reports doubts about the journal after the whole journal was read. Returns whether there were any
    /// doubts.
    fn say_doubts(&mut self, state: &mut State) -> bool {
        if std::mem::replace(&mut self.said, true) {
            return false;
        }
        let doubts = self.follow.doubts().sentences();
        for doubt in &doubts {
            state.lines.push(self.now(state), Level::Warning, format!("the journal: {doubt}"));
        }
        !doubts.is_empty()
    }
}

impl Source for Journal {
    fn advance(&mut self, state: &mut State) -> News {
        let mut changed = false;
        let began = Instant::now();
        while !self.broken && began.elapsed() < AT_ONCE {
            match self.follow.step() {
                Ok(Step::Entry(entry)) => state.apply(&entry.event, entry.elapsed_s.duration()),
                Ok(Step::Nothing) => {
                    changed |= self.say_doubts(state);
                    break;
                }
                Ok(Step::Again) => {
                    *state = State::new(&self.setup);
                    self.said = false;
                }
                Err(error) => {
                    self.broken = true;
                    state.lines.push(self.now(state), Level::Warning, error.to_string());
                }
            }
            changed = true;
        }
        News { changed, over: false }
    }

    fn now(&self, state: &State) -> Duration {
        let Some((elapsed, unix_s)) = self.follow.last else { return Duration::ZERO };
        if state.ended {
            return elapsed.duration();
        }
        let clock = SystemTime::UNIX_EPOCH.elapsed().map_or(Seconds::ZERO, Seconds::from);
        elapsed.saturating_add(clock.since(unix_s)).duration()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::path::Path;

    use kiln_search::{CheckChain, Event, JOURNAL_VERSION};

    use super::*;

    /// Returns consecutive journal lines.
    fn lines<const COUNT: usize>(numbers: [u32; COUNT]) -> [String; COUNT] {
        let mut chain = CheckChain::default();
        numbers.map(|number| {
            let event = Event::Warning { message: format!("number {number}") };
            let (unix_s, elapsed_s) = (Seconds::ZERO, Seconds::saturating(f64::from(number)));
            chain.line(&JournalEntry { version: JOURNAL_VERSION, unix_s, elapsed_s, event })
        })
    }

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Returns the messages up to the journal's present end. If the journal became shorter, the list starts
    /// again.
    fn messages(follow: &mut Follow) -> Result<Vec<String>, StudyError> {
        let mut messages = Vec::new();
        loop {
            match follow.step()? {
                Step::Entry(entry) => match entry.event {
                    Event::Warning { message } => messages.push(message),
                    event => panic!("{event:?}"),
                },
                Step::Nothing => return Ok(messages),
                Step::Again => messages.clear(),
            }
        }
    }

    fn run() -> (tempfile::TempDir, RunPaths) {
        let folder = tempfile::tempdir().unwrap();
        let paths = RunPaths::new(folder.path());
        (folder, paths)
    }

    #[test]
    fn unfinished_line_is_read_once_complete() {
        let (_folder, paths) = run();
        let [first, second] = lines([1, 2]);
        append(&paths.journal(), &first);
        append(&paths.journal(), &second[..20]);
        let mut follow = Follow::open(&paths).unwrap();
        assert_eq!(messages(&mut follow).unwrap(), ["number 1"]);
        assert_eq!(messages(&mut follow).unwrap(), [""; 0]);
        append(&paths.journal(), &second[20..]);
        assert_eq!(messages(&mut follow).unwrap(), ["number 2"]);
    }

    #[test]
    fn repaired_end_of_journal_is_not_damage() {
        for torn in [10, 60] {
            let (_folder, paths) = run();
            let path = paths.journal();
            let [first, torn_off] = lines([1, 2]);
            let [_, third, fourth] = lines([1, 3, 4]);
            append(&path, &first);
            append(&path, &torn_off[..torn]);
            let mut follow = Follow::open(&paths).unwrap();
            assert_eq!(messages(&mut follow).unwrap(), ["number 1"]);
            // The other process repairs the journal and continues to write. The file may then be shorter or
            // longer than before the repair.
            OpenOptions::new().write(true).open(&path).unwrap().set_len(first.len() as u64).unwrap();
            if torn == 60 {
                assert_eq!(messages(&mut follow).unwrap(), ["number 1"]);
            }
            append(&path, &third);
            append(&path, &fourth);
            let read = messages(&mut follow).unwrap();
            assert!(read.ends_with(&["number 3".to_owned(), "number 4".to_owned()]), "{read:?}");
        }
    }

    #[test]
    fn damaged_line_is_error_with_its_number() {
        let (_folder, paths) = run();
        let [first, second, third] = lines([1, 2, 3]);
        for damaged in
            [first.clone() + "{\n" + &third, first + &second.replace("number 2", "number 3") + &third]
        {
            drop(fs::remove_file(paths.journal()));
            append(&paths.journal(), &damaged);
            let mut follow = Follow::open(&paths).unwrap();
            let error = messages(&mut follow).unwrap_err().to_string();
            assert!(error.contains("journal.jsonl:2: damaged"), "{error}");
        }
    }

    #[test]
    fn folder_without_journal_is_refused() {
        let (_folder, paths) = run();
        assert!(matches!(Follow::open(&paths), Err(StudyError::NotARun { .. })));
    }
}
