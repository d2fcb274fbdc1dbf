//! What can go wrong in an audit.

use std::path::PathBuf;

use kiln_search::EvalError;
use kiln_space::{SettingsError, SpaceError};
use thiserror::Error;

/// An audit cannot be made, or was stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The study has no supernet.
    #[error("the evaluator of this run is `{kind}`; an audit is for runs with the evaluator `supernet`")]
    Evaluator {
        /// Its evaluator.
        kind: String,
    },
    /// A part cannot be built from the run's settings.
    #[error("the run cannot be audited: {0}")]
    Settings(SettingsError),
    /// A drawn architecture cannot be built.
    #[error("an architecture of the run's space cannot be built")]
    Space(#[source] SpaceError),
    /// The space is small, or the constraints are tight.
    #[error(
        "only {found} different architectures meet the constraints, {wanted} were asked for; lower `--networks`"
    )]
    TooFew {
        /// Architectures found.
        found: usize,
        /// Architectures asked for.
        wanted: usize,
    },
    /// The file of trained networks cannot be used.
    #[error("{}: cannot {action}", path.display())]
    File {
        /// File.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A whole file cannot be read or written, or is not what was written.
    #[error(transparent)]
    Files(#[from] kiln_files::FileError),
    /// Another process writes the file of trained networks.
    #[error("{}: another audit of this run is under way; wait for it, or stop it", path.display())]
    Held {
        /// File.
        path: PathBuf,
    },
    /// A line of the file of trained networks is damaged.
    #[error("{}:{line}: {damage}; remove the line, and its network is trained again", path.display())]
    Line {
        /// File.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        damage: AuditDamage,
    },
    /// The file of what an audit found is not what an audit writes.
    #[error(
        "{}: damaged ({damage}); remove it, or run `kiln supernet audit` again, which trains nothing twice", path.display()
    )]
    Damaged {
        /// File.
        path: PathBuf,
        /// What is wrong with it.
        damage: AuditDamage,
    },
    /// An evaluation was stopped, or its environment is broken.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

/// What is wrong with a file of an audit.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditDamage {
    /// Its text is not what Kiln wrote.
    #[error("{0}")]
    Text(String),
    /// A later build wrote it, or nobody did.
    #[error("version {0} of its format is not known")]
    Version(u32),
    /// It has no predictor, and every audit has one.
    #[error("it names no predictor")]
    NoPredictor,
    /// A rank correlation is out of its range.
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

    /// Whether it is one of the call, not of the work.
    #[must_use]
    pub const fn is_callers(&self) -> bool {
        match self {
            Self::Files(error) => error.is_callers(),
            Self::File { .. } | Self::Eval(_) => false,
            _ => true,
        }
    }
}
