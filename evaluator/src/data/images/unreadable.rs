//! Files that cannot be read: all of them in one message, or passed over and counted.

use std::path::{Path, PathBuf};

use crate::data::DataError;

/// Files that a message names.
const NAMED: usize = 8;

/// A file that cannot be used, and why.
#[derive(Debug)]
pub(super) struct Problem {
    path: PathBuf,
    why: String,
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

/// What could not be read so far.
pub(super) struct Unreadable<'a> {
    root: &'a Path,
    skip: bool,
    /// Files in all.
    total: usize,
    problems: Vec<Problem>,
}

impl<'a> Unreadable<'a> {
    pub(super) const fn new(root: &'a Path, skip: bool, total: usize) -> Self {
        Self { root, skip, total, problems: Vec::new() }
    }

    /// Takes problems in; refuses at once what no setting passes over.
    pub(super) fn add(&mut self, problems: Vec<Problem>) -> Result<(), DataError> {
        let (skippable, unfit): (Vec<_>, Vec<_>) =
            problems.into_iter().partition(|problem| problem.is_skippable);
        self.problems.extend(skippable);
        if unfit.is_empty() { Ok(()) } else { Err(self.error(&unfit, "")) }
    }

    /// Refuses what was found, or says what is passed over.
    pub(super) fn finish(self) -> Result<Vec<String>, DataError> {
        if self.problems.is_empty() {
            return Ok(Vec::new());
        }
        if self.skip {
            return Ok(vec![format!(
                "{} are passed over: {}",
                self.count(&self.problems),
                self.list(&self.problems)
            )]);
        }
        Err(self.error(&self.problems, "; mend or remove them, or set `skip_unreadable = true`"))
    }

    /// Refuses files that were named one by one, all problems in one message.
    pub(super) fn refuse_all(total: usize, problems: &[Problem]) -> Result<(), DataError> {
        if problems.is_empty() {
            return Ok(());
        }
        let named = Self::new(Path::new("images"), false, total);
        Err(named.error(problems, "; nothing was predicted"))
    }

    /// The error where none of the files can be read. Only as many problems are looked for as are named.
    pub(super) fn refused(&self, problems: impl Iterator<Item = Problem>) -> DataError {
        let problems: Vec<Problem> = problems.take(NAMED).collect();
        self.error(&problems, "")
    }

    fn error(&self, problems: &[Problem], advice: &str) -> DataError {
        DataError::Unreadable {
            folder: self.root.to_owned(),
            files: self.count(problems),
            list: self.list(problems),
            advice: advice.to_owned(),
        }
    }

    fn count(&self, problems: &[Problem]) -> String {
        format!("{} of {} files", problems.len(), self.total)
    }

    fn list(&self, problems: &[Problem]) -> String {
        let named = problems.iter().take(NAMED).map(|problem| {
            let path = problem.path.strip_prefix(self.root).unwrap_or(&problem.path);
            format!("`{}` ({})", path.display(), problem.why)
        });
        let named = named.collect::<Vec<_>>().join(", ");
        let more = problems.len().saturating_sub(NAMED);
        if more > 0 { format!("{named} and {more} more") } else { named }
    }
}
