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
    /// The study's evaluator is not `supernet`.
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
    /// The audit needs more feasible architectures than it found.
    #[error(
        "only {found} different architectures meet the constraints, {wanted} were asked for; lower \
         `--networks`"
    )]
    TooFew {
        /// Number of feasible architectures that were found.
        found: usize,
        /// Number of feasible architectures that the audit needs.
        wanted: usize,
    },
    /// The file of training records cannot be used.
    #[error("{}: cannot {action}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The operation that failed.
        action: &'static str,
        /// Why the operation failed.
        source: std::io::Error,
    },
    /// A file cannot be read or written, or its content is damaged.
    #[error(transparent)]
    Files(#[from] kiln_files::FileError),
    /// Another process has locked the file of training records.
    #[error("{}: another audit of this run is running; wait for it, or stop it", path.display())]
    Held {
        /// Path of the file.
        path: PathBuf,
    },
    /// A line in the file of training records is damaged.
    #[error("{}:{line}: {damage}; remove the line to train its network again", path.display())]
    Line {
        /// Path of the file.
        path: PathBuf,
        /// Number of the damaged line, counted from 1.
        line: usize,
        /// The kind of damage.
        damage: AuditDamage,
    },
    /// The audit's result file is damaged.
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
    /// An evaluation was stopped, or the evaluation's environment is broken.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

/// Damage in a file of an audit.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditDamage {
    /// The text is not JSON in the expected form, or its hash does not match.
    #[error("{0}")]
    Text(Damage),
    /// The format version is unknown. Either a later build wrote the file, or the file is damaged.
    #[error("unknown format version {0}")]
    Version(u32),
    /// The file contains no predictor, although every audit has at least one predictor.
    #[error("it has no predictor")]
    NoPredictor,
    /// A rank correlation is not between -1 and 1.
    #[error("tau of `{predictor}` is not between -1 and 1")]
    Tau {
        /// Name of the predictor with this rank correlation.
        predictor: String,
    },
}

impl AuditError {
    pub(super) const fn interrupted() -> Self {
        Self::Eval(EvalError::Interrupted)
    }

    /// Whether the user can fix the error. All other errors occur while the audit runs.
    #[must_use]
    pub const fn is_callers(&self) -> bool {
        match self {
            Self::Files(error) => error.is_callers(),
            Self::File { .. } | Self::Eval(_) => false,
            _ => true,
        }
    }
}
