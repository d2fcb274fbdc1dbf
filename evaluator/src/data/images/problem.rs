//! The reason why one file cannot be used.

use std::path::PathBuf;

/// A file that cannot be used, and the reason.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) path: PathBuf,
    pub(super) why: String,
    /// Whether the file may be skipped. Damaged files may be skipped. Files that need another setting may
    /// not.
    pub(super) is_skippable: bool,
}

impl Problem {
    /// The file is damaged or not an image.
    pub(super) const fn unreadable(path: PathBuf, why: String) -> Self {
        Self { path, why, is_skippable: true }
    }

    /// The file is intact but does not fit the settings.
    pub(super) const fn unfit(path: PathBuf, why: String) -> Self {
        Self { path, why, is_skippable: false }
    }
}
