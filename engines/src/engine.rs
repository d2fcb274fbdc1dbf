//! The trait of engines, which start jobs and say what became of them.

use std::ffi::OsString;
use std::path::Path;

use kiln_processes::ProcessError;
use kiln_space::{Registration, Settings, SettingsError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::plan::Plan;

/// A job to start.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    /// Name of the job, for lists of jobs. It consists of letters, digits, `-`, `_` and `.`.
    pub name: &'a str,
    /// The program and its arguments. No shell interprets them.
    pub arguments: &'a [OsString],
    /// The file to which both outputs of the program are appended.
    pub log: &'a Path,
    /// Number of the attempt at the job's first piece of work, from 1. An engine may allow later attempts
    /// more memory or time.
    pub attempt: u32,
    /// Machines that do not see the run folder. An engine that can choose does not use them.
    pub avoid: &'a [String],
}

/// The engine's own name for a job, in a form that can be stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(pub String);

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It waits for its start.
    Waiting,
    /// It runs.
    Running,
    /// It ended.
    Ended(JobEnd),
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum JobEnd {
    /// It did all that it was asked for.
    Done,
    /// It could not go on, and says why.
    Failed {
        /// The problem.
        problem: String,
    },
    /// Its process ended with an exit code.
    Exited {
        /// The exit code.
        code: i32,
    },
    /// Its process was ended by a signal.
    Killed {
        /// The signal.
        signal: i32,
    },
    /// It was ended because it used too much memory.
    Memory {
        /// The memory that it used, in bytes, if that is known.
        bytes: Option<u64>,
    },
    /// It was ended because it took longer than the engine allows.
    TimeLimit,
    /// It was ended to make room for other jobs.
    Preempted,
    /// Its machine failed.
    NodeLost {
        /// Name of the machine.
        node: String,
    },
    /// Its machine does not see the run folder.
    NoFolder {
        /// Name of the machine.
        node: String,
    },
    /// Somebody cancelled it.
    Cancelled,
    /// It never began.
    NotStarted,
    /// It is gone, and nobody was there to see how it ended.
    Gone,
}

impl JobEnd {
    /// Whether the cause may be the work itself, so that the end counts as an attempt at it. A job that
    /// failed says why. A job that is gone may have been ended by a restart of the machine.
    pub(crate) const fn counts(&self) -> bool {
        match self {
            Self::Exited { .. }
            | Self::Killed { .. }
            | Self::Memory { .. }
            | Self::TimeLimit
            | Self::Cancelled => true,
            Self::Done
            | Self::Failed { .. }
            | Self::Preempted
            | Self::NodeLost { .. }
            | Self::NoFolder { .. }
            | Self::NotStarted
            | Self::Gone => false,
        }
    }
}

impl std::fmt::Display for JobEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => write!(f, "done"),
            Self::Failed { problem } => write!(f, "failed: {problem}"),
            Self::Exited { code } => write!(f, "ended with exit code {code}"),
            Self::Killed { signal: 9 } => {
                write!(f, "killed (signal 9), as the system does when memory runs out")
            }
            Self::Killed { signal } => write!(f, "killed (signal {signal})"),
            Self::Memory { bytes: Some(bytes) } => {
                write!(f, "killed: it used {} MB of memory", bytes / 1_000_000)
            }
            Self::Memory { bytes: None } => write!(f, "killed: it used more memory than its limit"),
            Self::TimeLimit => write!(f, "ended: it took longer than its limit of time"),
            Self::Preempted => write!(f, "ended to make room for other jobs"),
            Self::NodeLost { node } => write!(f, "its machine `{node}` failed"),
            Self::NoFolder { node } => {
                write!(f, "its machine `{node}` does not see the run folder, or may not write there")
            }
            Self::Cancelled => write!(f, "cancelled"),
            Self::NotStarted => write!(f, "it was never started"),
            Self::Gone => write!(f, "gone: it was killed while the study did not run"),
        }
    }
}

/// An error of an engine.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The job's program cannot be started.
    #[error("the job cannot be started: {0}")]
    Process(#[from] ProcessError),
    /// The engine does not know this job.
    #[error("`{0}` is no job of this engine")]
    Unknown(String),
    /// The engine does not answer as it should.
    #[error("{0}")]
    Answer(String),
}

/// Starts jobs. All threads of the study share it.
///
/// A job is a program that works until it has nothing to do. It outlives the process that started it: another
/// process finds its state by its [`Handle`].
pub trait Engine: Send + Sync {
    /// Starts a job, or puts it in a queue, and returns at once.
    ///
    /// # Errors
    /// [`EngineError`] if the job is refused.
    fn submit(&self, launch: &Launch<'_>) -> Result<Handle, EngineError>;

    /// Returns what a job does. The engine may have been started by another process.
    ///
    /// # Errors
    /// [`EngineError`] if the engine does not answer. The caller asks again later.
    fn status(&self, handle: &Handle) -> Result<JobState, EngineError>;

    /// Ends a job. A job that has ended stays ended.
    ///
    /// # Errors
    /// [`EngineError`] if the engine does not answer.
    fn cancel(&self, handle: &Handle) -> Result<(), EngineError>;

    /// Returns the end of what the job printed. By default, this is the end of the file `log`.
    fn logs(&self, handle: &Handle, log: &Path) -> String {
        let _ = handle;
        tail(log)
    }

    /// Returns the handle of the job in which this process runs. `None` if it does not know.
    fn own_handle(&self) -> Option<Handle>;

    /// Whether the engine runs only this program, on this machine, whatever its settings say. Only such an
    /// engine is used with a config that may come from somebody else.
    fn runs_only_this_program(&self) -> bool {
        false
    }
}

/// Builds an engine from its settings. Nothing is started.
pub type EngineBuilder = fn(&Settings, &Plan) -> Result<Box<dyn Engine>, SettingsError>;

/// The registry entry of an engine.
pub type EnginePart = Registration<EngineBuilder>;

/// Largest log file that is read in bytes.
const LOG_MAX: u64 = 64 << 20;
/// Number of bytes at the end of a log from which lines are taken.
const END: usize = 8192;
/// Number of lines that are shown.
const LINES: usize = 3;

/// Returns the end of a text file. A file that cannot be read has an empty end.
pub(crate) fn tail(path: &Path) -> String {
    let bytes = kiln_files::read(path, LOG_MAX).unwrap_or_default();
    let end = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(END)..]);
    kiln_processes::last_lines(&end, LINES).join(" | ")
}
