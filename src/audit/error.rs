//! Errors of an audit.

use std::path::PathBuf;

use kiln_files::Damage;
use kiln_search::EvalError;
use kiln_space::{SettingsError, SpaceError};
use thiserror::Error;

/// Why an audit failed or was stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The study has no supernet.
    #[error("the evaluator of this run is `{kind}`; audits need the evaluator `supernet`")]
    Evaluator {
        /// Kind of the study's evaluator.
        kind: String,
    },
    /// A part cannot be built from the run's settings.
    #[error("the run cannot be audited: {0}")]
    Settings(SettingsError),
    /// A drawn architecture cannot be built.
    #[error("an architecture of the run's space cannot be built")]
    Space(#[source] SpaceError),
    /// Fewer architectures meet the constraints than the audit needs.
    #[error(
        "only {found} different architectures meet the constraints, {wanted} were asked for; lower \
         `--networks`"
    )]
    TooFew {
        /// Number of architectures found.
        found: usize,
        /// Number of architectures requested.
        wanted: usize,
    },
    /// The file of trained networks cannot be used.
    #[error("{}: cannot {action}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Operation that failed.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file cannot be read or written, or its content is damaged.
    #[error(transparent)]
    Files(#[from] kiln_files::FileError),
    /// Another process has locked the file of trained networks.
    #[error("{}: another audit of this run is running; wait for it, or stop it", path.display())]
    Held {
        /// Path of the file.
        path: PathBuf,
    },
    /// A line of the file of trained networks is damaged.
    #[error("{}:{line}: {damage}; remove the line to train its network again", path.display())]
    Line {
        /// Path of the file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// The kind of damage.
        damage: AuditDamage,
    },
    /// The result file of the audit is damaged.
    #[error(
        "{}: damaged ({damage}); remove it, or run `kiln supernet audit` again, which trains nothing \
         twice", path.display()
    )]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// The kind of damage.
        damage: AuditDamage,
    },
    /// An evaluation was stopped, or the environment of the evaluation is broken.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

/// Damage in one of an audit's files.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditDamage {
    /// The text is not JSON in the expected form, or its hash does not match.
    #[error("{0}")]
    Text(Damage),
    /// The version of the format is unknown. Either a later build wrote the file, or the file is damaged.
    #[error("unknown format version {0}")]
    Version(u32),
    /// The file has no predictor, but every audit has at least one.
    #[error("it has no predictor")]
    NoPredictor,
    /// A rank correlation is outside its range.
    #[error("tau of `{predictor}` is not between -1 and 1")]
    Tau {
        /// The predictor.
        predictor: String,
    },
}

impl AuditError {
    pub(super) const fn interrupted() -> Self {
        Self::Eval(EvalError::Interrupted)
    }

    /// Whether the user can fix the error. Other errors occur while the audit runs.
    #[must_use]
    pub const fn is_callers(&self) -> bool {
        match self {
            Self::Files(error) => error.is_callers(),
            Self::File { .. } | Self::Eval(_) => false,
            _ => true,
        }
    }
}
