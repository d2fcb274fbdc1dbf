//! The folder of one study. This module defines where the study's files are and which process may write them,
//! and ensures that the config stays the same.

mod held;
mod journal_lock;
mod kept_config;
mod lock;
mod paths;
mod place;
mod places;

use std::fs;
use std::io;
use std::path::Path;

pub use self::held::hold_folder;
pub(crate) use self::journal_lock::hold_journal;
use self::kept_config::{Difference, difference, parse};
use self::lock::Lock;
pub use self::paths::{RunPaths, check_study_name};
use self::place::Held;
pub use self::place::check_held;
pub(crate) use self::place::{Place, Places};
pub(crate) use self::places::check_file;
use crate::error::StudyError;

/// A run folder that only this process may write. The lock is released when the value is dropped.
#[derive(Debug)]
pub struct RunFolder {
    paths: RunPaths,
    is_unchanged: bool,
    held: Places,
    _folder: Held,
    _lock: Lock,
}

impl RunFolder {
    /// Opens the run folder, or creates it. Call this method last, after all other parts of the study were
    /// checked.
    ///
    /// `config` is the resolved config as TOML. In an existing run folder, the stored config must be equal.
    /// Only the dotted keys in `free` (such as `search.trials`) and the keys below them may differ. The new
    /// text then replaces the stored text.
    ///
    /// # Errors
    /// [`StudyError::Held`] if another process locks the folder. [`StudyError::Changed`] if the config
    /// differs in a key that is not free. [`StudyError::NotAFolder`] or [`StudyError::Misplaced`] if the
    /// folder or an entry in it has the wrong kind. [`StudyError::File`] if the folder cannot be created.
    pub fn open(paths: &RunPaths, config: &str, free: &[&str]) -> Result<Self, StudyError> {
        let now = parse(&paths.config(), config)?;
        let root = paths.root();
        fs::create_dir_all(root).map_err(|source| unmade(root, source))?;
        let mut folder = Self::hold(paths)?;
        match kept_config::read(&paths.config())? {
            Some(kept) => {
                let before = parse(&paths.config(), &kept.text)?;
                if let Some(Difference { key, before, after }) = difference("", &before, &now, free) {
                    let path = paths.config();
                    if kept.is_changed {
                        return Err(StudyError::KeptConfig { path, key, before, after });
                    }
                    return Err(StudyError::Changed { path, key, before, after });
                }
                folder.is_unchanged = !kept.is_changed && difference("", &before, &now, &[]).is_none();
                if kept.text != config || kept.is_changed {
                    kept_config::write(&paths.config(), config)?;
                }
            }
            None if paths.journal().exists() => {
                return Err(StudyError::NotARun { path: root.to_owned(), missing: "config.toml" });
            }
            None => kept_config::write(&paths.config(), config)?,
        }
        Ok(folder)
    }

    /// Locks an existing run folder, for work other than running the study.
    ///
    /// # Errors
    /// The errors of [`RunFolder::open`], except those about the config.
    pub fn hold(paths: &RunPaths) -> Result<Self, StudyError> {
        paths.check_places()?;
        let lock = Lock::take(paths)?;
        let root = paths.root();
        let folder = Place::of_folder(root).map_err(StudyError::file(root, "look at the run folder"))?;
        let held = Places::new(root, vec![folder.clone(), lock.place()?]);
        journal_lock::check_free(&paths.journal())?;
        Ok(Self { paths: paths.clone(), is_unchanged: false, held, _folder: Held::new(folder), _lock: lock })
    }

    /// Whether a process has locked the run folder. This function does not wait.
    #[must_use]
    pub fn is_held(paths: &RunPaths) -> bool {
        lock::is_held(paths)
    }

    /// Whether the config is the same as in the previous run, including free keys.
    pub(crate) const fn is_unchanged(&self) -> bool {
        self.is_unchanged
    }

    /// Returns the paths of the files in the run folder.
    #[must_use]
    pub const fn paths(&self) -> &RunPaths {
        &self.paths
    }

    /// Returns the places in the run folder that this process has open.
    pub(crate) const fn held(&self) -> &Places {
        &self.held
    }
}

/// Returns the error for a folder that cannot be created. The folder's path, or the path of a parent folder,
/// may lead to a file.
fn unmade(root: &Path, source: io::Error) -> StudyError {
    let in_the_way = root.ancestors().find(|path| path.symlink_metadata().is_ok() && !path.is_dir());
    match in_the_way {
        Some(path) => StudyError::NotAFolder { path: path.to_owned() },
        None => StudyError::file(root, "make the run folder")(source),
    }
}

#[cfg(test)]
mod tests {
    use kiln_files::FileError;

    use super::*;
    use crate::persistence::journal::Journal;

    const CONFIG: &str =
        "[study]\nname = \"a\"\nseed = 1\n[search]\ntrials = 10\n[[hardware]]\ndevice = \"x\"\n";
    const FREE: &[&str] = &["search.trials", "search.workers"];

    fn paths() -> (tempfile::TempDir, RunPaths) {
        let folder = tempfile::tempdir().unwrap();
        let paths = RunPaths::of_study(&folder.path().join("runs"), "a").unwrap();
        (folder, paths)
    }

    #[test]
    fn config_may_change_in_free_keys_only() {
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
    fn config_edited_in_the_run_folder_is_mended_where_free_and_refused_elsewhere() {
        let (_folder, paths) = paths();
        drop(RunFolder::open(&paths, CONFIG, FREE).unwrap());
        assert!(!paths.config_is_changed().unwrap());
        let text = fs::read_to_string(paths.config()).unwrap();
        for (from, to, is_mended) in [("trials = 10", "trials = 11", true), ("seed = 1", "seed = 3", false)] {
            fs::write(paths.config(), text.replace(from, to)).unwrap();
            assert!(paths.config_is_changed().unwrap());
            let opened = RunFolder::open(&paths, CONFIG, FREE).map(drop);
            assert_eq!(opened.is_ok(), is_mended);
            assert_eq!(fs::read_to_string(paths.config()).unwrap() == text, is_mended);
            let said = opened.map_or_else(|error| error.to_string(), |()| String::new());
            assert_eq!(
                said.contains("it was changed since Kiln wrote it: `study.seed` is `3` there"),
                !is_mended
            );
        }
        // Older builds wrote no hash line.
        fs::write(paths.config(), CONFIG).unwrap();
        assert!(!paths.config_is_changed().unwrap());
        drop(RunFolder::open(&paths, CONFIG, FREE).unwrap());
    }

    #[test]
    fn second_holder_is_refused_with_the_process_id_of_the_first() {
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
    fn config_that_is_not_toml_leaves_no_folder() {
        let (_folder, paths) = paths();
        assert!(matches!(RunFolder::open(&paths, "a =", FREE), Err(StudyError::Config { .. })));
        assert!(!paths.root().exists());
    }

    #[cfg(unix)]
    #[test]
    fn misplaced_files_and_folders_are_named() {
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

    #[cfg(unix)]
    #[test]
    fn links_inside_a_run_folder_are_refused_and_a_link_to_it_is_not() {
        use std::os::unix::fs::symlink;
        let (folder, paths) = paths();
        drop(RunFolder::open(&paths, CONFIG, FREE).unwrap());
        let (file, elsewhere) = (folder.path().join("file"), folder.path().join("elsewhere"));
        fs::write(&file, CONFIG).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        for (name, target) in
            [("kiln.log", &file), ("journal.jsonl", &file), ("store", &elsewhere), ("supernet", &elsewhere)]
        {
            let place = paths.root().join(name);
            symlink(target, &place).unwrap();
            match RunFolder::open(&paths, CONFIG, FREE).unwrap_err() {
                StudyError::Linked { path } => assert_eq!(path, place),
                error => panic!("{name}: {error}"),
            }
            fs::remove_file(&place).unwrap();
        }
        let linked = folder.path().join("linked");
        symlink(paths.root(), &linked).unwrap();
        drop(RunFolder::open(&RunPaths::new(linked), CONFIG, FREE).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn open_journal_keeps_others_away_when_the_lock_file_is_removed() {
        let (_folder, paths) = paths();
        let first = RunFolder::open(&paths, CONFIG, FREE).unwrap();
        let journal = Journal::open(&paths.journal()).unwrap().journal;
        first.held().check().unwrap();
        fs::remove_file(paths.lock()).unwrap();
        assert!(
            matches!(first.held().check(), Err(StudyError::Displaced { what, .. }) if what == paths.lock())
        );
        assert!(matches!(RunFolder::open(&paths, CONFIG, FREE), Err(StudyError::Held { .. })));
        drop(journal);
        RunFolder::open(&paths, CONFIG, FREE).unwrap();
    }

    #[test]
    fn config_that_is_not_utf8_is_refused_with_line_and_byte() {
        let (_folder, paths) = paths();
        fs::create_dir_all(paths.root()).unwrap();
        fs::write(paths.config(), b"[study]\nname = \"\xe9\"\n").unwrap();
        for error in [paths.read_config().unwrap_err(), RunFolder::open(&paths, CONFIG, FREE).unwrap_err()] {
            assert!(error.to_string().contains(":2: byte 16 of the file is not UTF-8"), "{error}");
        }
        fs::write(paths.config(), vec![b' '; (16 << 20) + 1]).unwrap();
        assert!(matches!(paths.read_config(), Err(StudyError::Files(FileError::TooLarge { .. }))));
    }

    #[test]
    fn journal_without_config_is_refused() {
        let (_folder, paths) = paths();
        fs::create_dir_all(paths.root()).unwrap();
        fs::write(paths.journal(), "").unwrap();
        assert!(matches!(RunFolder::open(&paths, CONFIG, FREE), Err(StudyError::NotARun { .. })));
        assert!(matches!(paths.read_config(), Err(StudyError::NotARun { .. })));
    }
}
