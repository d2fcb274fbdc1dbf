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
    pub(crate) exit: Exit,
    pub(crate) error: anyhow::Error,
}

impl Failure {
    /// What is wrong, and what to do where the error cannot know it.
    pub(crate) fn message(&self) -> String {
        let is_full = |cause: &(dyn std::error::Error + 'static)| {
            let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
        };
        let advice = if self.error.chain().any(is_full) {
            "; the disk is full: make room, then run the same command again"
        } else {
            ""
        };
        one_line(&format!("error: {:#}{advice}", self.error))
    }

    /// The user asked for something that cannot be.
    pub(crate) fn wrong(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Wrong, error: error.into() }
    }
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
