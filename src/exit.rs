//! How the program ends: exit codes, and errors with the code they lead to.

use std::io::ErrorKind;
use std::process::ExitCode;

use kiln::assembly::Assembly;
use kiln::audit::AuditError;
use kiln::config::ConfigError;
use kiln_search::StudyError;

/// Ways to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked is done.
    Done,
    /// A study, or what a command does, was stopped by an error.
    Stopped,
    /// The call, the config or the data are wrong.
    Wrong,
    /// The user interrupted a study; it can be gone on with.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self.number())
    }

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Stopped => 1,
            Self::Wrong => 2,
            Self::Interrupted => 130,
        }
    }
}

/// An error, and how the program ends by it.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    pub(crate) error: anyhow::Error,
}

/// Characters of a quoted value that are shown.
const LONGEST_VALUE: usize = 300;

impl Failure {
    /// How the program ends. What the user may not do, or where something else stands, is not the program's failure.
    pub(crate) fn exit(&self) -> Exit {
        let is_callers = |kind| {
            matches!(
                kind,
                ErrorKind::IsADirectory
                    | ErrorKind::NotADirectory
                    | ErrorKind::AlreadyExists
                    | ErrorKind::InvalidFilename
                    | ErrorKind::PermissionDenied
                    | ErrorKind::ReadOnlyFilesystem
            )
        };
        if self.kinds().any(is_callers) { Exit::Wrong } else { self.exit }
    }

    /// Kinds of the failures of files that led to it.
    fn kinds(&self) -> impl Iterator<Item = ErrorKind> {
        self.error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
            .map(std::io::Error::kind)
    }

    /// What is wrong, and what to do where the error cannot know it.
    pub(crate) fn message(&self) -> String {
        let is_full = |kind| matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        let advice = if self.kinds().any(is_full) {
            "; the disk is full: make room, then run the same command again"
        } else {
            ""
        };
        one_line(&shortened(&format!("error: {:#}{advice}", self.error)))
    }

    /// The user asked for something that cannot be.
    pub(crate) fn wrong(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Wrong, error: error.into() }
    }

    /// A file that was asked for cannot be written: that its folder is not there is a wrong call.
    pub(crate) fn unwritable(error: impl Into<anyhow::Error>) -> Self {
        let failure = Self { exit: Exit::Stopped, error: error.into() };
        let is_missing = failure.kinds().any(|kind| kind == ErrorKind::NotFound);
        Self { exit: if is_missing { Exit::Wrong } else { Exit::Stopped }, ..failure }
    }
}

/// The text with what is quoted in backticks cut to a length that can be read: a value of a file may be the whole file.
fn shortened(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(index, part)| {
        let end = part.char_indices().nth(LONGEST_VALUE).map(|(end, _)| end);
        match end.filter(|_| index % 2 == 1) {
            Some(end) => format!("{}…", &part[..end]),
            None => part.to_owned(),
        }
    });
    parts.collect::<Vec<_>>().join("`")
}

/// The text with its control characters written out: what stands in files may move the cursor or look like another message.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::wrong(error)
    }
}

impl From<StudyError> for Failure {
    fn from(error: StudyError) -> Self {
        let exit = if Assembly::is_callers(&error) { Exit::Wrong } else { Exit::Stopped };
        Self { exit, error: error.into() }
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        let exit = if error.is_callers() { Exit::Wrong } else { Exit::Stopped };
        Self { exit, error: error.into() }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Stopped, error }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { exit: Exit::Stopped, error: error.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn a_value_as_long_as_a_file_is_cut() {
        let failure =
            Failure::wrong(anyhow!("found `{}`, expected `{}`", "é".repeat(1 << 20), "b".repeat(300)));
        let expected = format!("error: found `{}…`, expected `{}`", "é".repeat(300), "b".repeat(300));
        assert_eq!(failure.message(), expected);
    }

    #[test]
    fn what_the_user_can_mend_is_told_from_what_broke() {
        let exit = |kind: io::ErrorKind| {
            let error = Err::<(), _>(io::Error::from(kind)).context("runs/a").unwrap_err();
            (Failure::from(error).exit(), Failure::unwritable(io::Error::from(kind)).exit())
        };
        assert_eq!(exit(ErrorKind::StorageFull), (Exit::Stopped, Exit::Stopped));
        assert_eq!(exit(ErrorKind::NotFound), (Exit::Stopped, Exit::Wrong));
        assert_eq!(exit(ErrorKind::PermissionDenied), (Exit::Wrong, Exit::Wrong));
        assert_eq!(exit(ErrorKind::IsADirectory), (Exit::Wrong, Exit::Wrong));
    }
}
