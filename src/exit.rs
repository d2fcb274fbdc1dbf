//! How the program ends: exit codes, and errors with the code they lead to.

use std::io::ErrorKind;
use std::process::ExitCode;

use kiln::assembly::Assembly;
use kiln::audit::AuditError;
use kiln::config::ConfigError;
use kiln_export::plain_text;
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
    /// How the program ends. A forbidden access, or something else in the place of a file, is not the
    /// program's failure. A limit of the system, wherever it is met, is nobody's mistake.
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

    /// Failures of files that led to it.
    fn files(&self) -> impl Iterator<Item = &std::io::Error> {
        self.error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>())
    }

    /// Their kinds.
    fn kinds(&self) -> impl Iterator<Item = ErrorKind> {
        self.files().map(std::io::Error::kind)
    }

    /// What is wrong, and what to do where the error cannot know it.
    pub(crate) fn message(&self) -> String {
        let advice = self.files().find_map(advice).unwrap_or_default();
        plain_text(&shortened(&format!("error: {:#}{advice}", self.error))).into_owned()
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

/// Numbers of the errors of Unix that a process, and a system, has too many files open.
const TOO_MANY_OPEN: [i32; 2] = [24, 23];

/// What to do about a failure that comes from a limit, after which the same command goes on.
fn advice(error: &std::io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Some("; the disk is full: make room, then run the same command again")
        }
        ErrorKind::FileTooLarge => Some(
            "; longer files may not be written here, as on a full disk: raise the limit (`ulimit -f`), then \
             run the same command again",
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
        assert_eq!(exit(ErrorKind::FileTooLarge), (Exit::Stopped, Exit::Stopped));
        assert_eq!(Failure::wrong(io::Error::from(ErrorKind::FileTooLarge)).exit(), Exit::Stopped);
        assert_eq!(exit(ErrorKind::NotFound), (Exit::Stopped, Exit::Wrong));
        assert_eq!(exit(ErrorKind::PermissionDenied), (Exit::Wrong, Exit::Wrong));
        assert_eq!(exit(ErrorKind::IsADirectory), (Exit::Wrong, Exit::Wrong));
    }

    #[cfg(unix)]
    #[test]
    fn limits_of_the_system_are_told_with_what_to_do() {
        for (number, expected) in [(24, "`ulimit -n`"), (27, "`ulimit -f`"), (28, "make room")] {
            let failure = Failure::wrong(io::Error::from_raw_os_error(number));
            assert_eq!(failure.exit(), Exit::Stopped);
            assert!(failure.message().contains(expected), "{}", failure.message());
        }
    }

    #[test]
    fn a_message_is_one_line_whatever_it_quotes() {
        let failure = Failure::wrong(anyhow!("found `a\nerror: b\u{1b}[2J\u{202e}`"));
        assert_eq!(failure.message(), r"error: found `a\nerror: b\u{1b}[2J\u{202e}`");
    }
}
