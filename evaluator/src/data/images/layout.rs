//! Which folders hold the splits: `train`, one of `val`, `valid` and `validation`, and `test`.

use std::path::{Path, PathBuf};

use kiln_space::SettingsError;

use super::check_classes;
use super::listing::{Listing, folders, labeled};
use crate::data::preparation::Preparation;
use crate::data::{DataError, Opening, ReadingRules, Split};

/// Names under which the world keeps images for validation.
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];

/// Folder of training images.
pub(super) const TRAIN: &str = "train";

/// Folders of classes, by split.
pub(super) struct Layout {
    root: PathBuf,
    validation: Option<PathBuf>,
    pub(super) test: Option<PathBuf>,
    rules: ReadingRules,
}

impl Layout {
    /// Looks which folders there are, and refuses a share that would be held out beside a folder.
    pub(super) fn find(
        root: &Path,
        preparation: &Preparation,
        opening: &Opening<'_>,
    ) -> Result<Self, DataError> {
        let there = |name: &str| Some(root.join(name)).filter(|path| path.is_dir());
        let (rules, settings) = (opening.rules, opening.settings);
        let test = there("test");
        if rules == ReadingRules::First {
            // A stated share made the folder be ignored, and no folder was read for validation.
            let test = test.filter(|_| preparation.test.is_none());
            return Ok(Self { root: root.to_owned(), validation: None, test, rules });
        }
        let found: Vec<PathBuf> = VALIDATION.iter().filter_map(|name| there(name)).collect();
        if let [first, second, ..] = found.as_slice() {
            let found = format!("`{}` beside `{}`", name(second), name(first));
            return Err(DataError::content(root, "folder", found, "one folder of images for validation"));
        }
        let validation = found.into_iter().next();
        let shares =
            [("test", preparation.test, &test), ("validation", preparation.stated_validation, &validation)];
        for (key, share, folder) in shares {
            if let (Some(share), Some(folder)) = (share, folder) {
                let expected =
                    format!("no share: the folder `{}` is there, which is used instead", folder.display());
                return Err(SettingsError::value(settings.key(key), share, &expected).into());
            }
        }
        Ok(Self { root: root.to_owned(), validation, test, rules })
    }

    /// All images of all splits, and the entries that are none.
    pub(super) fn list(&self) -> Result<Listing, DataError> {
        let train = self.root.join(TRAIN);
        let mut problems = Vec::new();
        let names = folders(&train, &mut problems)?;
        check_classes(&train, &names)?;
        let mut files = Vec::new();
        let splits = [(Some(&train), None), (self.validation.as_ref(), Some(Split::Validation))];
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

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
