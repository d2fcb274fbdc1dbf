//! Errors of running a program.

use std::io;
use std::sync::Arc;

use thiserror::Error;

/// Why a program did not run. A program that ran and failed is an [`Ending`](crate::Ending).
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// There is no program.
    #[error("the command is empty, expected a program and its arguments")]
    Empty,
    /// The program cannot be started.
    #[error(
        "`{program}` cannot be started ({source}); give the path of a program, and each argument separately"
    )]
    Start {
        /// The program.
        program: String,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// The system does not say whether the program still runs. It was killed.
    #[error("the system does not say whether `{program}` still runs ({source}); it was killed")]
    Wait {
        /// The program.
        program: String,
        /// The system's error.
        source: Arc<io::Error>,
    },
}
