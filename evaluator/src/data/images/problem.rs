//! Why one file cannot be used.

use std::path::PathBuf;

/// A file that cannot be used, and why.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) path: PathBuf,
    pub(super) why: String,
    /// Whether it may be passed over: what is damaged may, what only lacks a setting may not.
    pub(super) is_skippable: bool,
}

impl Problem {
    /// The file is damaged, or no image.
    pub(super) const fn unreadable(path: PathBuf, why: String) -> Self {
        Self { path, why, is_skippable: true }
    }

    /// The file is whole, but cannot be used with these settings.
    pub(super) const fn unfit(path: PathBuf, why: String) -> Self {
        Self { path, why, is_skippable: false }
    }
}
