//! Finds the folders of the splits in the usual layouts: `train`, `val` and `test`, or only class folders.

use std::fs;
use std::path::{Path, PathBuf};

use kiln_space::SettingsError;

use super::listing::{Listing, folders, labeled};
use crate::data::input_file::MAX_CLASSES;
use crate::data::preparation::Preparation;
use crate::data::{DataError, Opening, ReadingRules, Split};

/// Folder of training images.
const TRAIN: &str = "train";
/// Folder of test images.
const TEST: &str = "test";

/// Folders that contain class folders, by split.
pub(super) struct Layout {
    pub(super) train: PathBuf,
    validation: Option<PathBuf>,
    pub(super) test: Option<PathBuf>,
    rules: ReadingRules,
}

impl Layout {
    /// Finds the folders. If a split has its own folder, refuses a setting that would hold out a fraction of
    /// the training images for that split.
    pub(super) fn find(
        root: &Path,
        preparation: &Preparation,
        opening: &Opening<'_>,
    ) -> Result<Self, DataError> {
        let (rules, settings) = (opening.rules, opening.settings);
        if rules == ReadingRules::First {
            // Under the first rules, a stated fraction disabled the test folder, and a validation folder was
            // not read.
            let test = Some(root.join(TEST)).filter(|path| path.is_dir() && preparation.test.is_none());
            return Ok(Self { train: root.join(TRAIN), validation: None, test, rules });
        }
        let [train, validation, test] = folders_of_splits(root)?;
        let shares =
            [("test", preparation.test, &test), ("validation", preparation.stated_validation, &validation)];
        for (key, share, folder) in shares {
            if let (Some(share), Some(folder)) = (share, folder) {
                let expected =
                    format!("no share: the folder `{}` is there, which is used instead", folder.display());
                return Err(SettingsError::value(settings.key(key), share, &expected).into());
            }
        }
        let train = match train {
            Some(train) => train,
            // There are only class folders. If there are none, report that `train` is missing.
            None if validation.is_none() && test.is_none() => {
                if folders(root, &mut Vec::new())?.is_empty() {
                    root.join(TRAIN)
                } else {
                    root.to_owned()
                }
            }
            None => {
                let found = "a folder for validation or testing, and none for training";
                return Err(DataError::content(
                    root,
                    "folder",
                    found,
                    "a folder `train` with one folder for each class",
                ));
            }
        };
        Ok(Self { train, validation, test, rules })
    }

    /// All images of all splits, and entries that are not images.
    pub(super) fn list(&self) -> Result<Listing, DataError> {
        let train = &self.train;
        let mut problems = Vec::new();
        let names = folders(train, &mut problems)?;
        check_classes(train, &names)?;
        let mut files = Vec::new();
        let splits = [(Some(train), None), (self.validation.as_ref(), Some(Split::Validation))];
        for (folder, split) in splits.into_iter().chain([(self.test.as_ref(), Some(Split::Test))]) {
            let Some(folder) = folder else { continue };
            if split.is_some()
                && let Some(unknown) =
                    folders(folder, &mut problems)?.iter().find(|name| !names.contains(name))
            {
                let expected = format!("only classes that `{}` has", train.display());
                return Err(DataError::content(folder, "folder", format!("class `{unknown}`"), expected));
            }
            labeled(folder, &names, split, self.rules, &mut files, &mut problems)?;
        }
        Ok(Listing { names, files, problems })
    }
}

/// Checks the number of class folders.
fn check_classes(folder: &Path, names: &[String]) -> Result<(), DataError> {
    if (2..=MAX_CLASSES).contains(&names.len()) {
        return Ok(());
    }
    let expected = format!("2 to {MAX_CLASSES} folders, one for each class");
    Err(DataError::content(folder, "folder", format!("{} folders", names.len()), expected))
}

/// The folders for training, validation and testing. Case is ignored.
fn folders_of_splits(root: &Path) -> Result<[Option<PathBuf>; 3], DataError> {
    let failed = |source| DataError::Read { path: root.to_owned(), source };
    let mut found = [const { None::<PathBuf> }; 3];
    let entries = fs::read_dir(root).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut paths: Vec<PathBuf> =
        entries.iter().map(fs::DirEntry::path).filter(|path| path.is_dir()).collect();
    paths.sort();
    for path in paths {
        let Some(split) = Split::named(&name(&path)) else { continue };
        if let Some(first) = &found[split as usize] {
            let found = format!("`{}` beside `{}`", name(&path), name(first));
            return Err(DataError::content(root, "folder", found, "one folder for each split"));
        }
        found[split as usize] = Some(path);
    }
    Ok(found)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
