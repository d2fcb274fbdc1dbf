//! The folder of one study: where its files are, who may write them, and that its config stays what it was.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use toml::{Table, Value};

use crate::{StudyError, TrialId};

/// Tries of a lock that is held, beside the last one, and the pause after each.
const LOCK_ATTEMPTS: u32 = 8;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Where the files of a run folder are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPaths(PathBuf);

impl RunPaths {
    /// The files of the run folder `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// The files of a study among the run folders in `runs`.
    ///
    /// # Errors
    /// [`StudyError::Setting`] when the name cannot be a folder's.
    pub fn of_study(runs: &Path, study: &str) -> Result<Self, StudyError> {
        check_study_name(study)?;
        Ok(Self(runs.join(study)))
    }

    /// The run folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// The resolved config.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal.jsonl")
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// The finished networks.
    #[must_use]
    pub fn models(&self) -> PathBuf {
        self.0.join("models")
    }

    /// The files of one finished network.
    #[must_use]
    pub fn model(&self, trial: TrialId) -> PathBuf {
        self.models().join(trial.to_string())
    }

    /// Checkpoints of trainings that have begun and not ended, a folder for each.
    #[must_use]
    pub fn trainings(&self) -> PathBuf {
        self.0.join("training")
    }

    /// Checkpoints of a network that is being finished. They are removed when the journal says that it is.
    #[must_use]
    pub fn training(&self, trial: TrialId) -> PathBuf {
        self.trainings().join(format!("network-{trial}"))
    }

    /// The file whose lock the working process holds.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// The text of the config with which the study began, for programs that only read the run folder.
    ///
    /// # Errors
    /// [`StudyError::NotARun`] when there is none.
    pub fn read_config(&self) -> Result<String, StudyError> {
        read_text(&self.config())?
            .ok_or_else(|| StudyError::NotARun { path: self.0.clone(), missing: "config.toml" })
    }
}

/// A run folder that this process alone may write, until it is dropped.
#[derive(Debug)]
pub struct RunFolder {
    paths: RunPaths,
    _lock: File,
}

impl RunFolder {
    /// Opens the run folder, which is made when it is missing: call this when everything else about the study is known
    /// to be right.
    ///
    /// `config` is the resolved config as TOML. In an existing run folder it must say the same as the text there, but for
    /// the dotted keys in `free` (`search.trials`) and what lies below them; the new text then takes the old one's place.
    ///
    /// # Errors
    /// [`StudyError::Held`] when another process has it, [`StudyError::Changed`] when the config was edited where it may
    /// not be, [`StudyError::File`] when it cannot be made.
    pub fn open(paths: &RunPaths, config: &str, free: &[&str]) -> Result<Self, StudyError> {
        let now = parse(&paths.config(), config)?;
        let root = paths.root();
        fs::create_dir_all(root).map_err(failed(root, "make the run folder"))?;
        let lock = lock(paths)?;
        match read_text(&paths.config())? {
            Some(text) => {
                let before = parse(&paths.config(), &text)?;
                if let Some((key, before, after)) = difference("", &before, &now, free) {
                    return Err(StudyError::Changed { path: paths.config(), key, before, after });
                }
                if text != config {
                    write_whole(&paths.config(), config)?;
                }
            }
            None if paths.journal().exists() => {
                return Err(StudyError::NotARun { path: root.to_owned(), missing: "config.toml" });
            }
            None => write_whole(&paths.config(), config)?,
        }
        Ok(Self { paths: paths.clone(), _lock: lock })
    }

    /// Where its files are.
    #[must_use]
    pub const fn paths(&self) -> &RunPaths {
        &self.paths
    }
}

/// Checks that a study's name can be that of its run folder.
///
/// # Errors
/// [`StudyError::Setting`] when it cannot.
pub fn check_study_name(name: &str) -> Result<(), StudyError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(plain) {
        let expected = "1 to 100 letters, digits, `-`, `_` or `.`, not beginning with `.`";
        return Err(StudyError::Setting { key: "name", found: format!("`{name}`"), expected });
    }
    Ok(())
}

/// Tries the lock a few times: a child process that is just being started holds its parent's files open until it runs its
/// program, and with them a lock that was given back.
fn patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            tried => return tried,
        }
    }
    file.try_lock()
}

/// Takes the lock of a run folder and writes the id of this process into it.
fn lock(paths: &RunPaths) -> Result<File, StudyError> {
    let path = paths.lock();
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = open.map_err(failed(&path, "open the lock file"))?;
    match patiently(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.take(32).read_to_string(&mut holder);
            let pid = read.ok().and_then(|_| holder.trim().parse().ok());
            return Err(StudyError::Held { path: paths.root().to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(failed(&path, "lock")(source)),
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(failed(&path, "write the lock file"))?;
    Ok(file)
}

/// The first key at which two tables differ, with both values; `free` keys and what lies below them do not count.
fn difference(path: &str, before: &Table, now: &Table, free: &[&str]) -> Option<(String, String, String)> {
    let keys = before.keys().chain(now.keys().filter(|key| !before.contains_key(*key)));
    for key in keys {
        let dotted = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if free.contains(&dotted.as_str()) {
            continue;
        }
        match (before.get(key), now.get(key)) {
            (Some(Value::Table(before)), Some(Value::Table(now))) => {
                if let Some(found) = difference(&dotted, before, now, free) {
                    return Some(found);
                }
            }
            (before, now) if before == now => {}
            (before, now) => {
                let show = |value: Option<&Value>| match value {
                    Some(value) => format!("`{value}`"),
                    None => "not set".to_owned(),
                };
                return Some((dotted, show(before), show(now)));
            }
        }
    }
    None
}

fn parse(path: &Path, text: &str) -> Result<Table, StudyError> {
    toml::from_str(text)
        .map_err(|source| StudyError::Config { path: path.to_owned(), source: Box::new(source) })
}

fn read_text(path: &Path) -> Result<Option<String>, StudyError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, "read")(error)),
    }
}

/// Writes a file beside its place and moves it there, so that it is never seen half written.
fn write_whole(path: &Path, text: &str) -> Result<(), StudyError> {
    let beside = path.with_extension("tmp");
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|source| {
        // What is left of a failed write is of no use; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&beside);
        failed(path, "write")(source)
    })
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> StudyError {
    let path = path.to_owned();
    move |source| StudyError::File { path, action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str =
        "[study]\nname = \"a\"\nseed = 1\n[search]\ntrials = 10\n[[hardware]]\ndevice = \"x\"\n";
    const FREE: &[&str] = &["search.trials", "search.workers"];

    fn paths() -> (tempfile::TempDir, RunPaths) {
        let folder = tempfile::tempdir().unwrap();
        let paths = RunPaths::of_study(&folder.path().join("runs"), "a").unwrap();
        (folder, paths)
    }

    #[test]
    fn only_free_keys_may_change() {
        let (_folder, paths) = paths();
        drop(RunFolder::open(&paths, CONFIG, FREE).unwrap());
        let more = CONFIG.replace("trials = 10", "trials = 20\nworkers = 4");
        drop(RunFolder::open(&paths, &more, FREE).unwrap());
        assert_eq!(paths.read_config().unwrap(), more);
        for (edit, key, was, is) in [
            (more.replace("seed = 1", "seed = 2"), "study.seed", "`1`", "`2`"),
            (more.replace("seed = 1", ""), "study.seed", "`1`", "not set"),
            (more.replace("seed = 1", "seed = 1\nnew = 1"), "study.new", "not set", "`1`"),
            (more.replace("\"x\"", "\"y\""), "hardware", "`[{ device = \"x\" }]`", "`[{ device = \"y\" }]`"),
        ] {
            match RunFolder::open(&paths, &edit, FREE).unwrap_err() {
                StudyError::Changed { key: found, before, after, .. } => {
                    assert_eq!((found.as_str(), before.as_str(), after.as_str()), (key, was, is));
                }
                error => panic!("{error}"),
            }
        }
        assert_eq!(paths.read_config().unwrap(), more);
    }

    #[test]
    fn a_second_holder_is_refused_with_the_process_id_of_the_first() {
        let (_folder, paths) = paths();
        let first = RunFolder::open(&paths, CONFIG, FREE).unwrap();
        match RunFolder::open(&paths, CONFIG, FREE).unwrap_err() {
            StudyError::Held { pid, .. } => assert_eq!(pid, Some(std::process::id())),
            error => panic!("{error}"),
        }
        drop(first);
        RunFolder::open(&paths, CONFIG, FREE).unwrap();
    }

    #[test]
    fn a_config_that_is_no_toml_leaves_no_folder() {
        let (_folder, paths) = paths();
        assert!(matches!(RunFolder::open(&paths, "a =", FREE), Err(StudyError::Config { .. })));
        assert!(!paths.root().exists());
    }

    #[test]
    fn a_journal_without_config_is_refused() {
        let (_folder, paths) = paths();
        fs::create_dir_all(paths.root()).unwrap();
        fs::write(paths.journal(), "").unwrap();
        assert!(matches!(RunFolder::open(&paths, CONFIG, FREE), Err(StudyError::NotARun { .. })));
        assert!(matches!(paths.read_config(), Err(StudyError::NotARun { .. })));
    }

    #[test]
    fn names_stay_inside_the_folder_of_runs() {
        for name in ["", ".", "..", "a/b", "a\\b", ".hidden", "é", &"a".repeat(101)] {
            assert!(check_study_name(name).is_err(), "{name}");
        }
        check_study_name("mnist-2_b.1").unwrap();
    }
}
