//! From the journal of another process to the screen. Only reads: the journal, and nothing else of the run folder.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use kiln_search::{JournalEntry, JournalReader, RunPaths, StudyError};

use super::screen::{News, Source};
use super::setup::Setup;
use super::state::{Level, State};

/// Time for which entries are read before what there is of them is drawn and keys are answered.
const AT_ONCE: Duration = Duration::from_millis(60);

/// What a step through a journal gives.
#[derive(Debug)]
pub(crate) enum Step {
    /// The next entry.
    Entry(Box<JournalEntry>),
    /// Nothing now; more may come.
    Nothing,
    /// The end of the journal was cut off, as after a crash. It is read from its beginning again: what came before is void.
    Again,
}

/// Follows a journal while it grows.
#[derive(Debug)]
pub(crate) struct Follow {
    path: PathBuf,
    reader: JournalReader,
    /// Largest length of the file since it was opened.
    longest: u64,
    /// A damaged line may be the rest of one that was cut off while it was read; it is damage when it is there again.
    suspected: bool,
    /// The times of the last entry: the study's own, and seconds since the epoch.
    last: Option<(Duration, f64)>,
}

impl Follow {
    /// Opens the journal of a run folder.
    ///
    /// # Errors
    /// [`StudyError`] when there is none, or it cannot be read.
    pub(crate) fn open(paths: &RunPaths) -> Result<Self, StudyError> {
        let path = paths.journal();
        if !path.exists() {
            return Err(StudyError::NotARun { path: paths.root().to_owned(), missing: "journal.jsonl" });
        }
        let reader = JournalReader::open(&path)?;
        Ok(Self { path, reader, longest: 0, suspected: false, last: None })
    }

    /// Goes on by one entry.
    ///
    /// # Errors
    /// [`StudyError`] when the journal is damaged or cannot be read any more.
    pub(crate) fn step(&mut self) -> Result<Step, StudyError> {
        let length = fs::metadata(&self.path).map_or(self.longest, |file| file.len());
        if length < self.longest {
            return self.restart();
        }
        self.longest = length;
        match self.reader.next_entry() {
            Ok(Some(entry)) => {
                self.last = Some((study_time(&entry), entry.unix_s));
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

    fn restart(&mut self) -> Result<Step, StudyError> {
        self.reader = JournalReader::open(&self.path)?;
        self.longest = 0;
        self.last = None;
        Ok(Step::Again)
    }
}

/// The study's own time at an entry.
fn study_time(entry: &JournalEntry) -> Duration {
    Duration::try_from_secs_f64(entry.elapsed_s).unwrap_or_default()
}

/// A journal as a source of the screen.
pub(super) struct Journal {
    follow: Follow,
    setup: Setup,
    broken: bool,
}

impl Journal {
    pub(super) const fn new(follow: Follow, setup: Setup) -> Self {
        Self { follow, setup, broken: false }
    }
}

impl Source for Journal {
    fn advance(&mut self, state: &mut State) -> News {
        let mut changed = false;
        let began = Instant::now();
        while !self.broken && began.elapsed() < AT_ONCE {
            match self.follow.step() {
                Ok(Step::Entry(entry)) => state.apply(&entry.event, study_time(&entry)),
                Ok(Step::Nothing) => break,
                Ok(Step::Again) => *state = State::new(&self.setup),
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
            return elapsed;
        }
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        elapsed + Duration::try_from_secs_f64(clock.as_secs_f64() - unix_s).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::path::Path;

    use kiln_search::{Event, JOURNAL_VERSION};

    use super::*;

    fn line(number: usize) -> String {
        let event = Event::Warning { message: format!("number {number}") };
        let entry = JournalEntry { version: JOURNAL_VERSION, unix_s: 1.0, elapsed_s: number as f64, event };
        serde_json::to_string(&entry).unwrap() + "\n"
    }

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Messages up to where the journal ends for now; begun anew when it was cut.
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
    fn a_line_that_is_being_written_is_read_when_it_is_whole() {
        let (_folder, paths) = run();
        let (first, second) = (line(1), line(2));
        append(&paths.journal(), &first);
        append(&paths.journal(), &second[..20]);
        let mut follow = Follow::open(&paths).unwrap();
        assert_eq!(messages(&mut follow).unwrap(), ["number 1"]);
        assert_eq!(messages(&mut follow).unwrap(), [""; 0]);
        append(&paths.journal(), &second[20..]);
        assert_eq!(messages(&mut follow).unwrap(), ["number 2"]);
    }

    #[test]
    fn a_torn_end_that_is_cut_off_is_no_damage() {
        for torn in [10, 60] {
            let (_folder, paths) = run();
            let path = paths.journal();
            append(&path, &line(1));
            append(&path, &line(2)[..torn]);
            let mut follow = Follow::open(&paths).unwrap();
            assert_eq!(messages(&mut follow).unwrap(), ["number 1"]);
            // The journal is repaired and written on: shorter than it was, or longer.
            OpenOptions::new().write(true).open(&path).unwrap().set_len(line(1).len() as u64).unwrap();
            if torn == 60 {
                assert_eq!(messages(&mut follow).unwrap(), ["number 1"]);
            }
            append(&path, &line(3));
            append(&path, &line(4));
            let read = messages(&mut follow).unwrap();
            assert!(read.ends_with(&["number 3".to_owned(), "number 4".to_owned()]), "{read:?}");
        }
    }

    #[test]
    fn damage_is_an_error_that_names_the_line() {
        let (_folder, paths) = run();
        append(&paths.journal(), &(line(1) + "{\n" + &line(3)));
        let mut follow = Follow::open(&paths).unwrap();
        let error = messages(&mut follow).unwrap_err().to_string();
        assert!(error.contains("line 2") || error.contains(":2"), "{error}");
    }

    #[test]
    fn a_folder_without_journal_is_no_run() {
        let (_folder, paths) = run();
        assert!(matches!(Follow::open(&paths), Err(StudyError::NotARun { .. })));
    }
}
