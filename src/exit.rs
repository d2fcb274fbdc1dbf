//! Exit codes, and errors with an exit code.

use std::io::ErrorKind;
use std::process::ExitCode;

use kiln::assembly::Assembly;
use kiln::audit::AuditError;
use kiln::config::ConfigError;
use kiln_export::plain_text;
use kiln_search::StudyError;

/// The ways in which the program can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command was successful.
    Done,
    /// An error stopped a study or a command during its work.
    Stopped,
    /// The arguments, the config or the data are wrong.
    Wrong,
    /// The user interrupted a study. It can be resumed.
    Interrupted,
}

impl Exit {
    /// Returns the exit code of the process.
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

/// An error with its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    pub(crate) error: anyhow::Error,
}

/// Maximum number of characters of a value that an error message quotes.
const LONGEST_VALUE: usize = 300;

impl Failure {
    /// Returns the exit code of this error. If access to a file is denied, or if another kind of file is at
    /// the path, the user made a mistake. If the system reaches a limit (a full disk, too many open files),
    /// the user did not.
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
        if self.files().any(|error| advice(error).is_some()) {
            Exit::Stopped
        } else if self.kinds().any(is_callers) {
            Exit::Wrong
        } else {
            self.exit
        }
    }

    /// Returns the input and output errors in the chain of causes.
    fn files(&self) -> impl Iterator<Item = &std::io::Error> {
        self.error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>())
    }

    /// Returns the kinds of the input and output errors in the chain of causes.
    fn kinds(&self) -> impl Iterator<Item = ErrorKind> {
        self.files().map(std::io::Error::kind)
    }

    /// Returns the error message, with advice that the error itself does not contain.
    pub(crate) fn message(&self) -> String {
        let advice = self.files().find_map(advice).unwrap_or_default();
        plain_text(&shortened(&format!("error: {:#}{advice}", self.error))).into_owned()
    }

    /// Makes the failure for a request that Kiln cannot fulfill.
    pub(crate) fn wrong(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Wrong, error: error.into() }
    }

    /// Makes the failure for an output that cannot be written. The failure counts as the user's mistake if
    /// the output's folder is missing.
    pub(crate) fn unwritable(error: impl Into<anyhow::Error>) -> Self {
        let failure = Self { exit: Exit::Stopped, error: error.into() };
        let is_missing = failure.kinds().any(|kind| kind == ErrorKind::NotFound);
        Self { exit: if is_missing { Exit::Wrong } else { Exit::Stopped }, ..failure }
    }
}

/// Shortens long values in backticks. A value that comes from a file may be as long as the file.
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

/// Unix error numbers for too many open files: in the process, and in the whole system.
const TOO_MANY_OPEN: [i32; 2] = [24, 23];

/// Returns advice for an error that a system limit caused. If the user follows the advice, the same command
/// continues the work.
fn advice(error: &std::io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Some("; the disk is full: make room, then run the same command again")
        }
        ErrorKind::FileTooLarge => Some(
            "; the limit on file sizes is reached: raise it (`ulimit -f`), then run the same command again",
        ),
        _ if cfg!(unix) && error.raw_os_error().is_some_and(|number| TOO_MANY_OPEN.contains(&number)) => {
            Some("; raise the limit of open files (`ulimit -n`), then run the same command again")
        }
        _ => None,
    }
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
    fn long_quoted_value_is_shortened() {
        let failure =
            Failure::wrong(anyhow!("found `{}`, expected `{}`", "é".repeat(1 << 20), "b".repeat(300)));
        let expected = format!("error: found `{}…`, expected `{}`", "é".repeat(300), "b".repeat(300));
        assert_eq!(failure.message(), expected);
    }

    #[test]
    fn user_errors_and_failures_have_different_exit_codes() {
        let exit = |kind: io::ErrorKind| {
            let error = Err::<(), _>(io::Error::from(kind)).context("runs/a").unwrap_err();
            (Failure::from(error).exit(), Failure::unwritable(io::Error::from(kind)).exit())
        };
        assert_eq!(exit(ErrorKind::StorageFull), (Exit::Stopped, Exit::Stopped));
        assert_eq!(exit(ErrorKind::FileTooLarge), (Exit::Stopped, Exit::Stopped));
        assert_eq!(Failure::wrong(io::Error::from(ErrorKind::FileTooLarge)).exit(), Exit::Stopped);
        assert_eq!(exit(ErrorKind::NotFound), (Exit::Stopped, Exit::Wrong));
        assert_eq!(exit(ErrorKind::PermissionDenied), (Exit::Wrong, Exit::Wrong));
        assert_eq!(exit(ErrorKind::IsADirectory), (Exit::Wrong, Exit::Wrong));
    }

    #[cfg(unix)]
    #[test]
    fn system_limits_are_reported_with_advice() {
        for (number, expected) in [(24, "`ulimit -n`"), (27, "`ulimit -f`"), (28, "make room")] {
            let failure = Failure::wrong(io::Error::from_raw_os_error(number));
            assert_eq!(failure.exit(), Exit::Stopped);
            assert!(failure.message().contains(expected), "{}", failure.message());
        }
    }

    #[test]
    fn message_is_one_line_for_any_quoted_value() {
        let failure = Failure::wrong(anyhow!("found `a\nerror: b\u{1b}[2J\u{202e}`"));
        assert_eq!(failure.message(), r"error: found `a\nerror: b\u{1b}[2J\u{202e}`");
    }
}
