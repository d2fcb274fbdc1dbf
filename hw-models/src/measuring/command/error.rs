//! Errors of commands.

use std::io;
use std::sync::Arc;

use thiserror::Error;

/// Why a command gave no latency, except for what it printed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no program.
    #[error("the command is empty, expected a program and its arguments")]
    Empty,
    /// No argument names the model.
    #[error(
        "no argument contains `{{model}}`, which stands for the file of the network; add it to `--command` or `--copy`"
    )]
    NoModel,
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
    /// The program did not end in time. It was killed.
    #[error("`{program}` did not end within {seconds} s and was killed")]
    TimeOut {
        /// The program.
        program: String,
        /// The limit.
        seconds: u64,
    },
    /// The program reported failure.
    #[error("`{program}` failed ({status}); its last line is `{said}`")]
    Failed {
        /// The program.
        program: String,
        /// Exit status.
        status: String,
        /// Last line of its error output, or of its output.
        said: String,
    },
}
