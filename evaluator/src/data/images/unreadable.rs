//! Reports all unreadable files in one error, or skips and counts them.

use std::path::Path;

use super::problem::Problem;
use crate::data::DataError;

/// Maximum number of files in a message.
const NAMED: usize = 8;

/// The problems found so far.
pub(super) struct Unreadable<'a> {
    root: &'a Path,
    skip: bool,
    /// Number of all files, readable or not.
    total: usize,
    problems: Vec<Problem>,
}

impl<'a> Unreadable<'a> {
    pub(super) const fn new(root: &'a Path, skip: bool, total: usize) -> Self {
        Self { root, skip, total, problems: Vec::new() }
    }

    /// Adds problems. Fails immediately if one of them may not be skipped.
    pub(super) fn add(&mut self, problems: Vec<Problem>) -> Result<(), DataError> {
        let (skippable, unfit): (Vec<_>, Vec<_>) =
            problems.into_iter().partition(|problem| problem.is_skippable);
        self.problems.extend(skippable);
        if unfit.is_empty() { Ok(()) } else { Err(self.error(&unfit, "")) }
    }

    /// Fails if there are problems, or returns a note about skipped files.
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

    /// Reports all problems with files that the user named one by one.
    pub(super) fn refuse_all(total: usize, problems: &[Problem]) -> Result<(), DataError> {
        if problems.is_empty() {
            return Ok(());
        }
        let named = Self::new(Path::new("images"), false, total);
        Err(named.error(problems, "; nothing was predicted"))
    }

    /// The error when no file is readable. Takes only as many items from `problems` as the message lists.
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
