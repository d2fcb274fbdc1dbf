//! The folder of one study: where its files are, who may write them, and that its config stays what it was.

mod kept_config;
mod lock;
mod paths;
mod places;

use std::fs::{self, File};
use std::io;
use std::path::Path;

use self::kept_config::{difference, parse, read_text, write_whole};
use self::lock::lock;
pub use self::paths::{RunPaths, check_study_name};
pub(crate) use self::places::check_file;
use crate::StudyError;

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
    /// not be, [`StudyError::NotAFolder`] and [`StudyError::Misplaced`] when something else stands in its place or in that of what it
    /// holds, [`StudyError::File`] when it cannot be made.
    pub fn open(paths: &RunPaths, config: &str, free: &[&str]) -> Result<Self, StudyError> {
        let now = parse(&paths.config(), config)?;
        let root = paths.root();
        fs::create_dir_all(root).map_err(|source| unmade(root, source))?;
        places::check_all(paths)?;
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

    /// Whether a process works on a run folder. It only looks, and never waits.
    #[must_use]
    pub fn is_held(paths: &RunPaths) -> bool {
        lock::is_held(paths)
    }

    /// Where its files are.
    #[must_use]
    pub const fn paths(&self) -> &RunPaths {
        &self.paths
    }
}

/// Why a folder could not be made: something else is in its place, or in that of a folder above it.
fn unmade(root: &Path, source: io::Error) -> StudyError {
    let in_the_way = root.ancestors().find(|path| path.symlink_metadata().is_ok() && !path.is_dir());
    match in_the_way {
        Some(path) => StudyError::NotAFolder { path: path.to_owned() },
        None => failed(root, "make the run folder")(source),
    }
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> StudyError {
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

    #[cfg(unix)]
    #[test]
    fn other_things_in_the_place_of_files_and_folders_are_named() {
        use std::os::unix::fs::symlink;
        for (name, kind) in [
            ("lock", "file"),
            ("journal.jsonl", "file"),
            ("kiln.log", "file"),
            ("store", "folder"),
            ("models", "folder"),
        ] {
            let (_folder, paths) = paths();
            drop(RunFolder::open(&paths, CONFIG, FREE).unwrap());
            let place = paths.root().join(name);
            let _ = fs::remove_file(&place);
            let others: [&dyn Fn(); 3] = [
                &|| symlink("nowhere", &place).unwrap(),
                &|| symlink(name, &place).unwrap(),
                &|| match kind {
                    "file" => fs::create_dir(&place).unwrap(),
                    _ => fs::write(&place, "").unwrap(),
                },
            ];
            for put in others {
                put();
                match RunFolder::open(&paths, CONFIG, FREE).unwrap_err() {
                    StudyError::Misplaced { path, kind: found } => {
                        assert_eq!((path, found), (place.clone(), kind));
                    }
                    error => panic!("{name}: {error}"),
                }
                if place.symlink_metadata().unwrap().is_dir() {
                    fs::remove_dir(&place).unwrap();
                } else {
                    fs::remove_file(&place).unwrap();
                }
            }
            drop(RunFolder::open(&paths, CONFIG, FREE).unwrap());
        }
    }

    #[test]
    fn a_journal_without_config_is_refused() {
        let (_folder, paths) = paths();
        fs::create_dir_all(paths.root()).unwrap();
        fs::write(paths.journal(), "").unwrap();
        assert!(matches!(RunFolder::open(&paths, CONFIG, FREE), Err(StudyError::NotARun { .. })));
        assert!(matches!(paths.read_config(), Err(StudyError::NotARun { .. })));
    }
}
